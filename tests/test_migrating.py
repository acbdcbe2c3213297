"""From a DaprSession's single key to a log and back."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from agents.extensions.memory.dapr_session import DaprSession
from dapr.aio.clients import DaprClient
from rig import Rig
from staged import Time

from eventlog_session import CorruptLog, EventLog, EventLogSession, Limits, MemoryStore, SessionExists, StoreRefused
from eventlog_session.migrating import (
    ALREADY,
    GONE,
    MIGRATED,
    NOTHING,
    WOULD,
    Migration,
    same_store,
    to_log,
    to_single_key,
)
from eventlog_session.stores.base import Committed, NotCommitted, Put, Value
from eventlog_session.stores.dapr import DaprStore
from eventlog_session.stores.sidecar import SidecarClient
from eventlog_session.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.usefixtures("bounded")


def item(number: int) -> Any:
    """An item as agents have them."""
    return {"type": "message", "role": "user", "content": f"{number}: Grüße, 日本 😀", "n": 1.5}


@pytest.fixture
async def client(rig: Rig) -> AsyncIterator[DaprClient]:
    """The SDK's own client."""
    opened = DaprClient(address=rig.address)
    yield opened
    await opened.close()  # type: ignore[no-untyped-call]


async def left(store: MemoryStore, session_id: str, *entries: str) -> None:
    """Leave what a DaprSession would."""
    await store.put_many([Put(f"{session_id}:messages", json.dumps(entries).encode()), Put(f"{session_id}:metadata", b"{}")])


@pytest.mark.daprd
async def test_a_thousand_items_there_and_back(client: DaprClient, component: str, session_id: str) -> None:
    """In place: what DaprSession reads afterwards is what it had, with what was added to the log meanwhile."""
    theirs = DaprSession(session_id, state_store_name=component, dapr_client=client)
    items = [item(number) for number in range(1_000)]
    await theirs.add_items(items)
    store = DaprStore.of(client, component)
    log = EventLog.of(store, session_id)
    done = await to_log(log, store)
    assert (done.outcome, done.items) == (MIGRATED, 1_000)
    ours = EventLogSession(session_id, state_store_name=component, dapr_client=client)
    assert await ours.get_items() == items
    assert (await to_log(log, store)).outcome == ALREADY
    await ours.add_items([item(1_000)])
    done = await to_single_key(log, store)
    assert (done.outcome, done.items) == (MIGRATED, 1_001)
    assert await theirs.get_items() == [*items, item(1_000)]
    assert (await to_single_key(log, store)).outcome == ALREADY
    await theirs.add_items([item(1_001)])
    assert len(await theirs.get_items()) == 1_002
    await log.settle()


async def test_to_another_store_and_the_source_deleted_when_told(session_id: str) -> None:
    """Not before it was verified, and not unless told."""
    source, target = MemoryStore(), MemoryStore()
    await left(source, session_id, '{"a":1}', '{"b":2}')
    log = EventLog(target, session_id)
    assert (await to_log(log, source)).outcome == MIGRATED
    assert await source.get(f"{session_id}:messages") is not None
    assert (await log.read()).items == [{"a": 1}, {"b": 2}]
    assert (await to_log(log, source, delete_source=True)).outcome == ALREADY
    assert await source.get(f"{session_id}:messages") is None
    assert await source.get(f"{session_id}:metadata") is None
    assert (await to_log(log, source)).outcome == NOTHING
    assert (await log.verify()).sound


async def test_what_it_would_skip_is_kept_to_the_letter(session_id: str) -> None:
    """Entries that are no JSON, or other JSON than DaprSession writes, come back as they were."""
    store = MemoryStore()
    entries = ['{"a":1}', "not json", '{"a": 1}', '"text"', "NaN", '{"big":123456789012345678901234567890}']
    await left(store, session_id, *entries)
    log = EventLog(store, session_id)
    assert (await to_log(log, store)).items == len(entries)
    other = MemoryStore()
    await to_single_key(log, other)
    value = await other.get(f"{session_id}:messages")
    assert value is not None
    assert json.loads(value.data) == entries


async def test_a_log_of_something_else_is_left_alone(session_id: str) -> None:
    """And so is a single key that holds another history."""
    source, target = MemoryStore(), MemoryStore()
    await left(source, session_id, '{"a":1}', '{"b":2}')
    log = EventLog(target, session_id)
    await log.add(b'[{"a":1},{"b":3}]', 2)
    with pytest.raises(SessionExists, match="item 1"):
        await to_log(log, source, delete_source=True)
    assert await source.get(f"{session_id}:messages") is not None
    with pytest.raises(SessionExists):
        await to_single_key(log, source)
    before = await source.get(f"{session_id}:messages")
    assert before is not None
    assert json.loads(before.data) == ['{"a":1}', '{"b":2}']


@pytest.mark.parametrize("other", ["true", "1.0"])
async def test_a_log_of_what_is_only_equal_to_python(other: str, session_id: str) -> None:
    """Is something else: neither way is it taken for what was migrated."""
    source, target = MemoryStore(), MemoryStore()
    await left(source, session_id, '{"a":1}')
    log = EventLog(target, session_id)
    await log.add(b'[{"a":%s}]' % other.encode(), 1)
    with pytest.raises(SessionExists, match="item 0"):
        await to_log(log, source)
    with pytest.raises(SessionExists, match="another history"):
        await to_single_key(log, source)


async def test_damage_is_no_history(session_id: str) -> None:
    """It is named, and nothing is written."""
    source, target = MemoryStore(), MemoryStore()
    await source.put_many([Put(f"{session_id}:messages", b"[cut")])
    log = EventLog(target, session_id)
    with pytest.raises(CorruptLog, match=":messages"):
        await to_log(log, source)
    await log.add(b"[1]", 1)
    with pytest.raises(CorruptLog):
        await to_single_key(log, source)


async def test_what_a_dapr_session_could_not_read_is_not_written(session_id: str) -> None:
    """More than 4 MiB it writes and never reads again."""
    target = MemoryStore()
    log = EventLog(MemoryStore(), session_id)
    await log.add(json.dumps(["x" * 5_000_000]).encode(), 1)
    with pytest.raises(StoreRefused, match="can't hold it"):
        await to_single_key(log, target)
    assert await target.get(f"{session_id}:messages") is None
    log = EventLog(MemoryStore(), "a||b")
    await log.add(b"[1]", 1)
    with pytest.raises(StoreRefused, match="no key"):
        await to_single_key(log, target)


async def test_ttl(session_id: str) -> None:
    """What is migrated lives as long as is said."""
    source, target = MemoryStore(), MemoryStore()
    await left(source, session_id, '{"a":1}')
    log = EventLog(target, session_id)
    await to_log(log, source, ttl=500)
    assert (await log.head()).ttl == 500


async def test_a_dry_run_says_what_would_be_done(session_id: str) -> None:
    """And what would not; both ways, and nothing is written."""
    source, target, third = MemoryStore(), MemoryStore(), MemoryStore()
    log = EventLog(target, session_id)
    assert (await to_log(log, source, dry_run=True)).outcome == NOTHING
    await left(source, session_id, '{"a":1}')
    assert await to_log(log, source, dry_run=True, delete_source=True) == Migration(session_id, WOULD, 1)
    assert not (await log.head()).version
    await to_log(log, source)
    assert (await to_log(log, source, dry_run=True, delete_source=True)).outcome == ALREADY
    assert await source.get(f"{session_id}:messages") is not None
    assert await to_single_key(log, third, dry_run=True, delete_source=True) == Migration(session_id, WOULD, 1)
    assert await third.get(f"{session_id}:messages") is None
    await to_single_key(log, third)
    assert (await to_single_key(log, third, dry_run=True, delete_source=True)).outcome == ALREADY
    assert (await log.head()).version == 1
    await left(source, session_id, '{"a":1}', '{"b":2}')
    with pytest.raises(SessionExists, match="there are 1 items, 2 in the source"):
        await to_log(log, source, dry_run=True)


class Busy(MemoryStore):
    """A store in which a DaprSession goes on writing: after its messages were read *reads* times there is one more."""

    reads = 1
    late = "{}"

    async def get(self, key: str) -> Value | None:  # noqa: D102
        found = await super().get(key)
        if key.endswith(":messages") and found is not None:
            self.reads -= 1
            if self.reads == 0:
                entries = [*json.loads(found.data), self.late]
                await self.put_many([Put(key, json.dumps(entries).encode())])
        return found


async def test_what_a_dapr_session_writes_meanwhile_is_not_deleted(session_id: str) -> None:
    """It is not in the log either: that is told then, and every time after."""
    source, target = Busy(), MemoryStore()
    await left(source, session_id, '{"a":1}')
    log = EventLog(target, session_id)
    with pytest.raises(SessionExists, match="was written to after it was read, and is left"):
        await to_log(log, source, delete_source=True)
    there = await source.get(f"{session_id}:messages")
    assert there is not None
    assert json.loads(there.data) == ['{"a":1}', "{}"]
    with pytest.raises(SessionExists, match="there are 1 items, 2 in the source"):
        await to_log(log, source, delete_source=True)
    assert await source.get(f"{session_id}:messages") is not None


class Taken(MemoryStore):
    """A store whose new single key is followed by a write to the log that it was made of."""

    log: EventLog

    async def commit(self, head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:  # noqa: D102
        await self.log.add(b"[9]", 1)
        return await super().commit(head, etag, values)


async def test_a_log_that_is_written_to_meanwhile_is_not_erased(session_id: str) -> None:
    """What came late is only there."""
    target = Taken()
    target.log = log = EventLog(MemoryStore(), session_id)
    await log.add(b"[1]", 1)
    with pytest.raises(SessionExists, match="the log was written to after it was read, and is left"):
        await to_single_key(log, target, delete_source=True)
    assert (await log.read()).items[:2] == [1, 9]


async def test_back_with_the_log_erased_also_when_that_was_cut_short(session_id: str) -> None:
    """A log that is only half erased is no empty history: what is in the single key stays, and the erasure goes on."""
    source, target = MemoryStore(), MemoryStore()
    log = EventLog(source, session_id)
    await log.add(b'[{"a":1},{"b":2}]', 2)
    moving = asyncio.create_task(to_single_key(log, target, delete_source=True))
    while not (await log.located(None))[0].tombstone:  # noqa: ASYNC110 the erasure tells nobody how far it is
        await asyncio.sleep(0)
    moving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await moving
    assert (await to_single_key(log, target)).outcome == ALREADY
    assert (await log.located(None))[0].tombstone is not None
    again = EventLog(source, session_id, limits=Limits(stray=0))
    assert await to_single_key(again, target, delete_source=True) == Migration(session_id, ALREADY, 2)
    tombstone = (await again.located(None))[0].tombstone
    assert tombstone is not None
    assert tombstone.remains is None
    assert (await to_single_key(again, target, delete_source=True)).outcome == NOTHING
    there = await target.get(f"{session_id}:messages")
    assert there is not None
    assert json.loads(there.data) == ['{"a":1}', '{"b":2}']


async def test_what_expired_is_not_brought_back(session_id: str, time: Time) -> None:
    """In one store the takeover is remembered; the DaprSession's key is still there."""
    store = MemoryStore(clock=time.clock)
    await left(store, session_id, '{"a":1}')
    log = EventLog(store, session_id, runtime=time.runtime())
    assert (await to_log(log, store, ttl=100)).outcome == MIGRATED
    await log.settle()
    time.now += 1_000
    assert (await to_log(log, store, ttl=100)).outcome == GONE
    assert not (await log.head()).version


@pytest.mark.parametrize("one", ["the same object", "the same file"])
async def test_whether_two_stores_are_one_is_tried(one: str, tmp_path: Path) -> None:
    """However each is named; and nothing is left of the trial."""
    first = SQLiteStore.open(tmp_path / "a.db")
    other = SQLiteStore.open(tmp_path / "b.db")
    again = first if one == "the same object" else SQLiteStore.open(tmp_path / "." / "a.db")
    assert await same_store(first, again)
    assert not await same_store(first, other)
    for store in {first, other, again}:
        await store.close()
    for name in ("a.db", "b.db"):
        with closing(sqlite3.connect(tmp_path / name)) as database:
            assert database.execute("SELECT count(*) FROM eventlog_values").fetchone() == (0,)


@pytest.mark.daprd
async def test_two_sidecars_of_an_app_are_one_store(rig: Rig, component: str) -> None:
    """Which their addresses do not tell; in-memory is each sidecar's own."""
    first = DaprStore(SidecarClient(rig.address), component)
    other = DaprStore(SidecarClient(rig.second_sidecar().address), component)
    assert await same_store(first, other) == (component != "memory")
    await first.close()
    await other.close()


async def test_what_was_taken_back_is_found_equal(session_id: str) -> None:
    """Also if it is not what the log began with; and a log that went on is taken back again."""
    store = MemoryStore()
    await left(store, session_id, '{"a":1}', '{"b":2}')
    log = EventLog(store, session_id)
    await to_log(log, store)
    await log.pop()
    await log.add(b'[{"c":3},{"d":4}]', 2)
    assert (await to_single_key(log, store)).outcome == MIGRATED
    assert (await to_log(log, store)).outcome == ALREADY
    await log.add(b'[{"e":5}]', 1)
    assert (await to_single_key(log, store)).outcome == MIGRATED
    await log.clear()
    with pytest.raises(SessionExists, match="decide which to keep"):
        await to_single_key(log, store)
    with pytest.raises(SessionExists, match="decide which to keep"):
        await to_log(log, store)
