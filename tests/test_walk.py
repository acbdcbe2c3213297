"""Walking through a log while others write, merge, trim, erase and close; and what that costs."""

import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from staged import Time, add, noise

from eventlog_session import (
    Conflict,
    EventLog,
    EventLogError,
    EventLogSession,
    HistoryTrimmed,
    InvalidExport,
    Limits,
    MemoryStore,
    NoSuchPoint,
    StoreRefused,
    Unavailable,
)
from eventlog_session.copying import fork
from eventlog_session.core.events import to_datetime
from eventlog_session.exporting import dump, load
from eventlog_session.protocol.adoption import legacy_keys
from eventlog_session.stores.base import Put, Value
from eventlog_session.stores.sqlite import SQLiteStore
from eventlog_session.testing import CountingStore

SMALL = Limits(tail_bytes=300, carried_bytes=300, merge_bytes=(2000, 8000), stray=1)
Meanwhile = Callable[[], Awaitable[object]]


class Meddled(CountingStore):
    """A store in which something happens once, after the head was read or before anything else is."""

    after_head: Meanwhile | None = None
    before_values: Meanwhile | None = None

    async def get(self, key: str) -> Value | None:  # noqa: D102
        found = await super().get(key)
        if key.endswith(":h") and self.after_head is not None:
            meanwhile, self.after_head = self.after_head, None
            await meanwhile()
        return found

    async def get_many(self, keys: Sequence[str]) -> Any:  # noqa: D102
        if self.before_values is not None:
            meanwhile, self.before_values = self.before_values, None
            await meanwhile()
        return await super().get_many(keys)


async def grow(log: EventLog, number: int) -> None:
    """Add so much that segments are made, and merged."""
    for count in range(number):
        await add(log, {"role": "user", "content": noise(count, 60)})
        if not count % 5:
            await log.settle()
    await log.settle()


async def two(number: int = 40) -> tuple[EventLog, Meddled, EventLog]:
    """Return a log, and another process's view of it that has nothing in memory yet, with its store."""
    store = MemoryStore()
    log = EventLog(store, "x", limits=SMALL)
    await grow(log, number)
    meddled = Meddled(store)
    return log, meddled, EventLog(meddled, "x", limits=SMALL)


# ---- what others do meanwhile ------------------------------------------------------------------------------------------


async def test_a_time_is_found_while_others_merge() -> None:
    """What the first head names is gone by then; the newer one has it."""
    log, store, other = await two()
    committed = [one.committed async for one in log.walk(whole=False)]
    store.after_head = lambda: grow(log, 400)
    assert [one.version async for one in other.walk(since=to_datetime(committed[3]), until=40)] == list(range(5, 41))
    store.after_head = lambda: grow(log, 400)
    fresh = EventLog(store, "x", limits=SMALL)
    assert [one.version async for one in fresh.walk(until=to_datetime(committed[3]))] == [1, 2, 3, 4]


async def test_a_time_is_found_while_others_trim() -> None:
    """From the oldest version kept on then, up to where the log ends then."""
    log, store, other = await two()
    committed = [one.committed async for one in log.walk(whole=False)]
    await log.clear()

    async def trim() -> None:
        await log.trim(41)
        await grow(log, 60)

    store.after_head = trim
    versions = [one.version async for one in other.walk(since=to_datetime(committed[3]))]
    assert versions == list(range(41, 103))


async def from_before_the_floor() -> tuple[EventLog, Meddled, EventLog, list[Any]]:
    """Return `two` of a log in which a rewind to what was trimmed since stands alone only with its items; and those."""
    log, _, _ = await two()
    await log.rewind(10)
    await log.trim(35)
    await grow(log, 10)
    store = Meddled(log.store)
    return log, store, EventLog(store, "x", limits=SMALL), (await log.read(None, 41)).items


async def test_what_was_trimmed_is_copied_while_others_merge() -> None:
    """The items that a version has from before the floor are read by a newer head, too."""
    log, _, other, items = await from_before_the_floor()
    known, version = await other.located(None)
    assert version == 52
    events = other.standing_alone(known, version)
    await grow(log, 400)
    (snapshot,) = [one.event async for one in events if one.version == 41]
    assert orjson.loads(snapshot.items) == items
    copy = EventLog(MemoryStore(), "y")
    store = Meddled(log.store)
    store.after_head = lambda: grow(log, 400)
    newest = await log.version()
    assert await fork(EventLog(store, "x", limits=SMALL), copy, None, {}) == newest + 1
    assert (await copy.read(None, 41)).items == items


async def test_what_is_trimmed_while_it_is_copied_is_missed() -> None:
    """Not made up of what is left of it."""
    log, _, other, _ = await from_before_the_floor()
    known, version = await other.located(None)
    events = other.standing_alone(known, version)

    async def trim() -> None:
        await log.trim(50)
        await grow(log, 100)

    await trim()
    with pytest.raises(HistoryTrimmed):
        _ = [one async for one in events]


@pytest.mark.parametrize("again", [False, True])
async def test_a_copy_of_what_is_erased_meanwhile_is_not_cut_short(*, again: bool) -> None:
    """Neither a fork nor a file; whether or not another session has begun since."""

    async def erase() -> None:
        await log.erase(0)
        if again:
            await grow(log, 60)

    log, store, other = await two()
    store.before_values = erase
    copy = MemoryStore()
    with pytest.raises(Conflict, match="is gone or another has begun"):
        await fork(other, EventLog(copy, "y"), None, {})
    assert not copy._values
    log, store, other = await two()
    store.before_values = erase
    with pytest.raises(Conflict, match="is gone or another has begun"):
        await dump(other, file := io.BytesIO())
    file.seek(0)
    with pytest.raises(InvalidExport):
        await load(EventLog(copy, "y"), file)


async def test_a_file_of_what_expires_meanwhile_is_not_cut_short() -> None:
    """It is as gone as if it had been erased."""
    time = Time()
    store = MemoryStore(clock=time.clock)
    log = EventLog(store, "x", limits=SMALL, runtime=time.runtime())
    for number in range(40):
        await add(log, noise(number, 60), ttl=100)
    await log.settle()
    meddled = Meddled(store)

    async def expire() -> None:
        time.now += 1000

    meddled.before_values = expire
    with pytest.raises(Conflict, match="is gone or another has begun"):
        await dump(EventLog(meddled, "x", limits=SMALL, runtime=time.runtime()), io.BytesIO())


async def test_a_history_ends_when_the_session_does() -> None:
    """Without an error: what was told of it was so."""
    log, store, other = await two()
    store.before_values = lambda: log.erase(0)
    assert [one async for one in other.walk()] == []


async def test_closed_meanwhile(tmp_path: Path) -> None:
    """It is an error of ours that says what happened."""
    session = EventLogSession.from_url("x", url=f"sqlite:///{tmp_path}/a.db")
    for number in range(Limits().bulk_keys + 1):
        await session.add_items([{"role": "user", "content": noise(number, 5000)}])
    events = session.events()
    await anext(events)
    await session.close()
    with pytest.raises(EventLogError, match="was closed"):
        _ = [one async for one in events]


async def test_a_store_that_was_closed(tmp_path: Path) -> None:
    """Every call says so."""
    store = SQLiteStore.open(tmp_path / "a.db")
    await store.ping()
    await store.close()
    calls: list[Meanwhile] = [lambda: store.get("a"), lambda: store.get_many(["a"]), lambda: store.put_many([]), store.ping]
    for call in calls:
        with pytest.raises(StoreRefused, match="was closed"):
            await call()


# ---- what it costs -----------------------------------------------------------------------------------------------------


async def test_large_events_come_in_pages(session_id: str) -> None:
    """A thousand of 6 kB: trips by the page, not by the event, in either direction, to a copy, to a file."""
    store = MemoryStore()
    log = EventLog(store, session_id)
    items = [{"type": "function_call_output", "output": noise(number, 6000)} for number in range(1000)]
    for number, item in enumerate(items):
        await log.add(orjson.dumps([item]), 1, extensions={"agentstraceid": f"t{number // 5}"})
    await log.settle()

    async def walk(log: EventLog) -> None:
        assert [orjson.loads(one.event.items) async for one in log.walk()] == [[item] for item in items]

    async def back(log: EventLog) -> None:
        assert [orjson.loads(one.event.items) async for one in log.walk(reverse=True)] == [[item] for item in items[::-1]]

    async def copied(log: EventLog) -> None:
        copy = EventLog(MemoryStore(), "copy")
        assert await fork(log, copy, None, {}) == 1001
        assert (await copy.read()).items == items

    async def filed(log: EventLog) -> None:
        assert await dump(log, io.BytesIO()) == 1000

    async def three(log: EventLog) -> None:
        assert len([one async for one in log.walk(500, 503)]) == 3

    async def cost(work: Callable[[EventLog], Awaitable[object]]) -> tuple[int, int]:
        counting = CountingStore(store)
        await work(EventLog(counting, session_id))
        return counting.trips, counting.keys

    for work in (walk, back, copied, filed):
        trips, keys = await cost(work)
        assert (trips < 20, keys < 1050) == (True, True), (work.__name__, trips, keys)
    trips, keys = await cost(three)
    assert keys < 10  # of those that are not asked for, none is read


async def test_large_events_are_not_all_in_memory(session_id: str) -> None:
    """What is read ahead is a page, whatever the run it is of has."""
    limits = Limits(bulk_keys=10, cache_bytes=0)
    store = MemoryStore()
    log = EventLog(store, session_id, limits=limits)
    for number in range(100):
        await add(log, noise(number, 6000))
    await log.settle()
    counting = CountingStore(store)
    events = EventLog(counting, session_id, limits=limits).walk()
    assert max([counting.keys - one.version async for one in events]) < 30
    assert counting.trips < 25


async def test_runs_read_items_of_changes_without_a_trace_only(session_id: str) -> None:
    """By the items it is told whether a user began a turn; a trace tells it without."""
    store = MemoryStore()
    traced, plain = EventLog(store, session_id + "-a"), EventLog(store, session_id + "-b")
    for number in range(30):
        items = orjson.dumps([{"role": "user" if not number % 3 else "assistant", "content": noise(number, 6000)}])
        await traced.add(items, 1, extensions={"agentstraceid": f"t{number // 3}"})
        await plain.add(items, 1)
    for suffix, keys in (("-a", 2), ("-b", 32)):
        counting = CountingStore(store)
        session = EventLogSession(session_id + suffix, store=counting)
        assert [(one.first, one.last) async for one in session.runs()] == [(n, n + 2) for n in range(1, 31, 3)]
        assert counting.keys <= keys


# ---- what a DaprSession left -------------------------------------------------------------------------------------------

LEFT = [{"role": "user", "content": f"m{number}"} for number in range(3)]


async def left(updated: str | None = "1700000000") -> MemoryStore:
    """Return a store with what a `DaprSession` left, its metadata included unless *updated* is None."""
    store = MemoryStore()
    messages, metadata = legacy_keys("x")
    entries = [json.dumps(item, separators=(",", ":")) for item in LEFT]
    await store.put_many([Put(messages, json.dumps(entries).encode())])
    if updated is not None:
        told = {"session_id": "x", "created_at": "1600000000", "updated_at": updated}
        await store.put_many([Put(metadata, json.dumps(told).encode())])
    return store


async def all_of(found: AsyncIterator[Any]) -> list[Any]:
    """Return what it yields."""
    return [one async for one in found]


async def test_what_a_dapr_session_left_is_a_change() -> None:
    """Version 1 before it is taken over: for every way to look at what happened as for reading."""
    store = await left()
    session = EventLogSession("x", store=store)
    (change,) = await all_of(session.history())
    assert (change.version, change.kind, change.items, change.length) == (1, "adopted", 3, 3)
    assert change.time == datetime.fromtimestamp(1_700_000_000, UTC)
    for kept in ({"until": 1}, {"since": 0}, {"until": timedelta(0)}, {"reverse": True}):
        assert await all_of(session.history(**kept)) == [change]
    for none in ({"until": 0}, {"since": 1}, {"since": timedelta(days=9)}):
        assert await all_of(session.history(**none)) == []
    for wrong in ({"until": 2}, {"since": 2}, {"since": "tag"}, {"until": "tag"}):
        with pytest.raises(NoSuchPoint):
            await all_of(session.history(**wrong))
    (run,) = await all_of(session.runs())
    assert (run.first, run.last, run.items) == (1, 1, 3)
    (event,) = await all_of(session.events())
    assert event.get_data() == {"items": LEFT}
    assert set(store._values) == set(legacy_keys("x"))


async def test_a_file_of_what_a_dapr_session_left_is_always_the_same() -> None:
    """Its id is made of what is in it, its time is that of the `DaprSession`'s last change."""
    store = await left()
    files = []
    for _ in range(2):
        files.append(io.BytesIO())
        assert await dump(EventLog(store, "x"), files[-1]) == 1
    assert files[0].getvalue() == files[1].getvalue()
    assert b'"time":"2023-11-14T22:13:20.000000Z"' in files[0].getvalue()
    files[0].seek(0)
    copy = EventLog(MemoryStore(), "y")
    assert await load(copy, files[0]) == 1
    assert (await copy.read()).items == LEFT


@pytest.mark.parametrize("updated", [None, "", "soon", "99999999999999", "-5", "0"])
async def test_without_its_time_it_is_now(updated: str | None) -> None:
    """Where the metadata is missing, or says nothing that a clock has said yet."""
    time = Time()
    (one,) = await all_of(EventLog(await left(updated), "x", runtime=time.runtime()).walk())
    assert one.committed == one.event.time == int(time.now * 1_000_000)


# ---- which keys there are ----------------------------------------------------------------------------------------------


class Undeleting(CountingStore):
    """A store in which nothing can be deleted, but what is *until* the next commit."""

    until = False

    async def delete_many(self, keys: Sequence[str]) -> None:  # noqa: D102
        if not self.until:
            raise Unavailable("not now")
        await super().delete_many(keys)

    async def commit(self, *what: Any) -> Any:  # noqa: D102
        self.until = False
        return await super().commit(*what)


async def test_held_has_what_is_not_swept_yet() -> None:
    """Own keys of events that are in segments by now, and segments that were merged or trimmed away, with their events."""
    plain = MemoryStore()
    store = Undeleting(plain)
    log = EventLog(store, "x", limits=SMALL)

    async def all_are_held() -> None:
        held = await EventLog(CountingStore(plain), "x", limits=SMALL).held()
        assert sorted(one.key for one in held) == sorted(plain._values)
        assert all(one.size == len(plain._values[one.key][0]) for one in held)

    await grow(log, 60)
    await add(log, noise(1, 9000))
    await grow(log, 60)
    assert (await log.head()).trash  # of what was merged
    await all_are_held()
    await log.clear()
    store.until = True  # a trim deletes what others left first
    await log.trim(await log.version())
    await grow(log, 2)
    assert (await log.head()).trash
    assert (await log.head()).floor
    await all_are_held()


async def test_held_costs_no_more_for_what_is_swept(session_id: str) -> None:
    """One trip for each segment."""
    store = MemoryStore()
    log = EventLog(store, session_id, limits=SMALL)
    await grow(log, 60)
    log._sweeper.start(await log.head())
    await log.settle()
    counting = CountingStore(store)
    held = await EventLog(counting, session_id, limits=SMALL).held()
    assert counting.trips < len(held) + 12
