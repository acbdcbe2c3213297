"""From a DaprSession's single key to a log and back."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from agents.extensions.memory.dapr_session import DaprSession
from dapr.aio.clients import DaprClient
from rig import Rig

from eventlog_session import CorruptLog, EventLog, EventLogSession, MemoryStore, SessionExists, StoreRefused
from eventlog_session.migrating import ALREADY, MIGRATED, NOTHING, to_log, to_single_key
from eventlog_session.stores.base import Put
from eventlog_session.stores.dapr import DaprStore

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
    with pytest.raises(StoreRefused, match="no key"):
        await to_single_key(EventLog(MemoryStore(), "a||b"), target)


async def test_ttl(session_id: str) -> None:
    """What is migrated lives as long as is said."""
    source, target = MemoryStore(), MemoryStore()
    await left(source, session_id, '{"a":1}')
    log = EventLog(target, session_id)
    await to_log(log, source, ttl=500)
    assert (await log.head()).ttl == 500
