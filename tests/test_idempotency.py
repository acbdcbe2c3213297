"""Calls that can be repeated: idempotency keys, the version expected, and what became of a write in doubt."""

import asyncio
import json
from typing import Any

import orjson
import pytest
from staged import Faulty, Time, Untold, add, fill, noise, warm, whole

from eventlog_session import (
    Conflict,
    EventLog,
    EventLogSession,
    IdempotencyKeyReused,
    Limits,
    MemoryStore,
    OutcomeUnknown,
    Retry,
    Store,
)
from eventlog_session.core.head import _cut
from eventlog_session.core.keys import Keys
from eventlog_session.testing import CountingStore

pytestmark = pytest.mark.usefixtures("bounded")


async def keyed(log: EventLog, key: str, *items: Any, expected: int | None = None) -> int | None:
    """Add *items* under an idempotency key and return the version."""
    return (await log.add(orjson.dumps(items), len(items), key=key, expected=expected)).version


# ---- idempotency keys ----------------------------------------------------------------------------------------------


async def test_a_key_is_written_once(plain: MemoryStore, session_id: str) -> None:
    """By whichever process it is sent again, one after the other or at once; the answer is the version it made."""
    logs = [EventLog(CountingStore(plain), session_id) for _ in range(3)]
    assert await keyed(logs[0], "a", 1) == 1
    assert await add(logs[1], 2) == 2
    assert [await keyed(log, "a", 1) for log in logs] == [1, 1, 1]
    versions = await asyncio.gather(*(keyed(log, "b", 3) for log in logs for _ in range(3)))
    assert versions == [3] * 9
    assert await whole(plain, session_id) == [1, 2, 3]


async def test_a_key_with_other_items_is_an_error(plain: MemoryStore, session_id: str) -> None:
    """Nothing is written, and whoever was queued with it goes on."""
    log = EventLog(plain, session_id)
    await keyed(log, "a", 1)
    done = await asyncio.gather(add(log, 2), keyed(log, "a", 7), keyed(log, "a", 1), add(log, 3), return_exceptions=True)
    assert [type(one) for one in done] == [int, IdempotencyKeyReused, int, int]
    assert await whole(plain, session_id) == [1, 2, 3]
    with pytest.raises(IdempotencyKeyReused, match="version 1 came with this key and other items; nothing was written"):
        await keyed(EventLog(CountingStore(plain), session_id), "a", "1")


async def test_a_key_is_remembered_for_a_stated_number_of_events(session_id: str) -> None:
    """Through sealing, pops and clears, in at most 30 bytes each; after that it is a new one."""
    plain = Untold()
    log = EventLog(plain, session_id)
    assert Limits().idempotent_events == 128
    for number in range(200):
        await keyed(log, f"key {number}", noise(number, 100))
    size = len(orjson.dumps(orjson.loads(_cut(plain._values[Keys(session_id).head][0])[0])[3]["y"]))
    assert size <= 128 * 30
    assert (await log.head()).index  # the first ones are sealed
    await log.clear()
    fresh = EventLog(CountingStore(plain), session_id)
    assert await keyed(fresh, "key 74", noise(74, 100)) == 75
    assert (await fresh.head()).version == 201
    assert await keyed(fresh, "key 70", noise(70, 100)) == 202


async def test_the_key_is_a_field_of_its_own(plain: MemoryStore, session_id: str) -> None:
    """An attribute of the event, for whoever reads the log; the storage key is minted whatever it is."""
    log = EventLog(plain, session_id)
    await keyed(log, "order 1881 é", 1)
    ((_, _, event),) = [one async for one in log.events()]
    assert event.extensions["idempotencykey"] == "order 1881 é"
    stored = plain._values[log.keys.event(event.id)][0]
    assert json.loads(stored)[0]["idempotencykey"] == "order 1881 é"
    assert "1881" not in "".join(plain._values)


@pytest.mark.parametrize("fate", ["lost", "dropped", "late"])
async def test_a_doubtful_call_is_repeated_safely(fate: str, session_id: str, time: Time) -> None:
    """Its process is gone, another one repeats it, and the first attempt may still land: it is there once."""
    plain = Faulty()
    one = EventLog(CountingStore(plain), session_id, retry=Retry(budget=2), runtime=time.runtime())
    await add(one, "first")
    await one.settle()
    plain.plan.extend([fate])
    plain.meanwhile = plain.fail
    with pytest.raises(OutcomeUnknown):
        await keyed(one, "a", "second")
    plain.down = False
    plain.plan.clear()
    other = EventLog(CountingStore(plain), session_id, runtime=time.runtime())
    if fate == "late":
        await plain.land()
    assert await keyed(other, "a", "second") == 2
    await plain.land()
    assert await keyed(other, "a", "second") == 2
    assert await whole(plain, session_id) == ["first", "second"]


async def test_a_key_is_checked_before_anything_else(store: Store, session_id: str) -> None:
    """Empty, too long or unprintable is a ValueError; on every store a repeated key is written once."""
    session = EventLogSession(session_id, store=store)
    for key in ("", "x" * 257, "a\nb", "\ud800"):
        with pytest.raises(ValueError, match="1 to 256 printable characters"):
            await session.add_items([{"role": "user", "content": "hi"}], idempotency_key=key)
    for _ in range(3):
        await session.add_items([{"role": "user", "content": "hi"}], idempotency_key="k" * 256)
    assert len(await session.get_items()) == 1


# ---- the version expected ------------------------------------------------------------------------------------------


async def test_an_expected_version_is_written_on_or_not_at_all(store: Store, session_id: str) -> None:
    """Add, pop and clear, on every store: by whoever was first; the others hear Conflict and nothing of them is there."""
    session = EventLogSession(session_id, store=store)
    other = EventLogSession(session_id, store=CountingStore(store))
    said: Any = {"role": "user", "content": "hi"}
    await session.add_items([said, said], expected_version=0)
    seen = await other.read()
    assert seen.version == 1
    await session.add_items([said], expected_version=1)
    for write in (
        other.add_items([said], expected_version=seen.version),
        other.pop_item(expected_version=seen.version),
        other.clear_session(expected_version=seen.version),
        other.add_items([said], expected_version=7),
    ):
        with pytest.raises(Conflict, match="stands at version 2"):
            await write
    assert len(await session.get_items()) == 3
    assert await other.pop_item(expected_version=2) == said
    await session.clear_session(expected_version=3)
    assert (await other.read()).version == 4
    assert await other.get_items() == []


async def test_what_was_read_is_told_from_what_came_after_it(plain: MemoryStore, session_id: str) -> None:
    """An erased session and the one that follows count from the same zero: expected is the one that was read."""
    session, other = (EventLogSession(session_id, store=CountingStore(plain)) for _ in range(2))
    said: Any = {"role": "user", "content": "hi"}
    empty = await session.read()
    await session.add_items([said], expected_version=empty)
    seen = await session.read()
    await session.add_items([said], expected_version=seen)
    seen = await session.read()
    await other.erase(grace=0)
    await other.add_items([said])
    await other.add_items([said])
    for write in (
        session.add_items([said], expected_version=seen),
        session.pop_item(expected_version=seen),
        session.clear_session(expected_version=seen),
    ):
        with pytest.raises(Conflict, match="another has begun; nothing was written"):
            await write
    assert len(await session.get_items()) == 2
    for wrong in (-1, True, "1", 1.0):
        with pytest.raises(ValueError, match="expected version"):
            await session.add_items([said], expected_version=wrong)  # type: ignore[arg-type]


async def test_of_many_who_expect_the_same_version_one_wins(plain: MemoryStore, session_id: str) -> None:
    """In one process they go each alone, not into one commit; and so across processes."""
    logs = [EventLog(CountingStore(plain), session_id) for _ in range(4)]
    await add(logs[0], "first")
    for version in range(1, 6):
        calls = [log.add(orjson.dumps([n]), 1, expected=version) for n, log in enumerate([*logs, *logs])]
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert sorted(type(one).__name__ for one in done) == ["Answer", *["Conflict"] * 7]
    assert len(await whole(plain, session_id)) == 6


async def test_an_expected_version_goes_alone(session_id: str) -> None:
    """What waits beside it would move the version under it."""
    plain = Untold()
    store = CountingStore(plain)
    log = EventLog(store, session_id)
    await add(log, 1)
    await warm(log, store)
    done = await asyncio.gather(
        add(log, 2), log.add(b"[3]", 1, expected=1), log.add(b"[4]", 1, expected=2), add(log, 5), return_exceptions=True
    )
    assert [type(one).__name__ for one in done] == ["int", "Conflict", "Answer", "int"]
    assert await whole(plain, session_id) == [1, 2, 4, 5]
    assert store.calls["commit"] == 3


async def test_a_lost_reply_is_no_conflict_with_oneself(session_id: str, time: Time) -> None:
    """The head has moved, by our own commit; and a key that was written before satisfies whatever version was expected then."""
    plain = Faulty()
    log = EventLog(plain, session_id, runtime=time.runtime())
    await add(log, "first")
    plain.plan.extend(["lost"])
    assert await keyed(log, "a", "second", expected=1) == 2
    assert await keyed(log, "a", "second", expected=1) == 2
    assert await whole(plain, session_id) == ["first", "second"]


async def test_what_lost_leaves_nothing_behind(session_id: str) -> None:
    """A store that does not roll back keeps the event of a commit that was refused: it is deleted."""

    class Torn(Untold):
        async def commit(self, head: Any, etag: str | None, values: Any) -> Any:
            await self.put_many(values)
            return await super().commit(head, etag, values)

    plain = Torn()
    log, other = EventLog(plain, session_id), EventLog(CountingStore(plain), session_id)
    await add(log, 1)
    await log.settle()
    await add(other, 2)
    with pytest.raises(Conflict):
        await log.add(b"[3]", 1, expected=1)
    await log.settle()
    assert sum(":e:" in key for key in plain._values) == 2


# ---- doubt ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("fate", ["lost", "dropped"])
async def test_doubt_is_resolved_later(first: bool, fate: str, session_id: str, time: Time) -> None:
    """Written: its version. Not written, and nothing else either: it may land yet. Others stand there: it never will."""
    plain = Faulty()
    log = EventLog(plain, session_id, retry=Retry(budget=2), runtime=time.runtime())
    base = 0 if first else await add(log, "first")
    await log.read()
    await log.settle()
    plain.plan.extend([fate])
    plain.meanwhile = plain.fail
    with pytest.raises(OutcomeUnknown, match="with an idempotency key just call again") as raised:
        await add(log, "second")
    assert raised.value.base == base
    plain.down = False
    if fate == "lost":
        assert await log.resolve(raised.value) == base + 1
        await fill(log, 300, size=100)
        assert await EventLog(CountingStore(plain), session_id).resolve(raised.value) == base + 1
        return
    with pytest.raises(OutcomeUnknown):
        await log.resolve(raised.value)
    await add(EventLog(CountingStore(plain), session_id), "other")
    assert await log.resolve(raised.value) is None
    assert await EventLogSession(session_id, store=plain).resolve(raised.value) is None
