"""
The log: what each operation costs in round trips, and what becomes of it when the store or another writer interferes.

Costs are counted, never timed. Faults come from `Faulty`, a memory store whose next commits go as the test says.
"""

import asyncio
import gc
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from staged import ALL_TRAITS, Faulty, Time, Untold, add, do, fill, noise, numbered, turns, warm, whole

from eventlog_session import (
    Conflict,
    CorruptLog,
    EventLog,
    ForkDetected,
    Limits,
    MemoryStore,
    NoSuchPoint,
    OutcomeUnknown,
    Retry,
    Store,
    StoreRefused,
    Unavailable,
    UnsupportedFormat,
)
from eventlog_session.core.events import ADDED, ADOPTED, Event
from eventlog_session.core.keys import Keys
from eventlog_session.core.run import frame, unframe
from eventlog_session.protocol.adoption import legacy_key
from eventlog_session.protocol.lane import Answer
from eventlog_session.stores.base import Committed, NotCommitted, Put, Traits, Value
from eventlog_session.testing import CountingStore

KIB = 1 << 10
pytestmark = pytest.mark.usefixtures("bounded")


# ---- what it costs -------------------------------------------------------------------------------------------------


async def test_a_warm_append_is_one_trip(plain: MemoryStore, session_id: str) -> None:
    """Also right after the one before: what is still to be read of that is read behind it."""
    store = CountingStore(plain)
    log = EventLog(store, session_id)
    await add(log, "first")
    for number in range(5):
        await warm(log, store)
        await add(log, number)
        assert store.trips == 1, store
        assert store.calls["commit"] == 1
    assert await whole(plain, session_id) == ["first", 0, 1, 2, 3, 4]


async def test_a_told_etag_needs_no_read_between_appends(session_id: str) -> None:
    """In a tight loop an append is one call, not two."""
    store = CountingStore(MemoryStore())
    log = EventLog(store, session_id)
    await add(log, "first")
    store.reset()
    for number in range(20):
        await add(log, number)
    assert store.calls == {"commit": 20}


async def test_a_cold_append_is_two_trips(plain: MemoryStore, session_id: str) -> None:
    """The head, the commit."""
    await add(EventLog(plain, session_id), "first")
    store = CountingStore(plain)
    await add(EventLog(store, session_id), "second")
    assert store.trips == 2, store


@pytest.mark.parametrize(
    ("traits", "trips"),
    [
        (Traits(atomic_create=True, keeps_bytes=True, trusted=True), 2),
        (Traits(atomic_create=False, keeps_bytes=True, trusted=True), 4),
        (Traits(atomic_create=True, keeps_bytes=True, trusted=False), 3),
        (Traits(atomic_create=False, keeps_bytes=False, trusted=False), 5),
    ],
)
async def test_a_first_commit_is_few_trips(traits: Traits, trips: int, session_id: str) -> None:
    """Two where a commit may create the head, else four; and one more to make sure where a success is no proof."""
    store = CountingStore(MemoryStore(traits=traits))
    await add(EventLog(store, session_id), "first")
    assert store.trips <= trips, store
    assert await whole(store, session_id) == ["first"]


async def test_an_untrusted_append_is_confirmed(session_id: str) -> None:
    """Two trips, and the read that confirms it makes the next one warm."""
    store = CountingStore(MemoryStore(traits=Traits(atomic_create=True)))
    log = EventLog(store, session_id)
    await add(log, "first")
    store.reset()
    await add(log, "second")
    assert store.trips == 2
    assert store.calls == {"commit": 1, "get": 1}


async def test_a_read_in_the_head_is_one_trip(plain: MemoryStore, session_id: str) -> None:
    """Cold: the newest items of a long log, all of a short one, and none. One more for a session that is not there yet."""
    await fill(EventLog(plain, session_id), 2000, size=100)
    for need in (0, 1, 10):
        store = CountingStore(plain)
        view = await EventLog(store, session_id).read(need)
        assert [item["number"] for item in view.items] == list(range(2000 - need, 2000))
        assert store.trips == 1, (need, store)
    store = CountingStore(plain)
    log = EventLog(store, "nobody")
    for trips in (2, 1):  # what a `DaprSession` left is looked for once
        store.reset()
        assert (await log.read()).items == []
        assert store.trips == trips, store
    short = EventLog(plain, "short")
    await asyncio.gather(*(add(short, _said(number)) for number in range(100)))
    store = CountingStore(plain)
    assert (await EventLog(store, "short").read()).items == [_said(number) for number in range(100)]
    assert store.trips == 1, store


async def test_a_long_read_is_two_trips(plain: MemoryStore, session_id: str) -> None:
    """Cold and whole: the head, then every segment at once. Warm again: the head only."""
    await fill(EventLog(plain, session_id), 2000, size=100)
    store = CountingStore(plain)
    log = EventLog(store, session_id)
    assert len((await log.read()).items) == 2000
    assert store.trips == 2, store
    store.reset()
    assert len((await log.read()).items) == 2000
    assert store.calls == {"get": 1}


@pytest.mark.parametrize(("back", "trips"), [(60, 3), (10_000, 5)])
async def test_a_read_after_rewinds_is_at_most_one_trip_more(
    back: int, trips: int, plain: MemoryStore, session_id: str
) -> None:
    """
    A rewind in every twenty events: a wrong guess costs one trip, not one each, and so does every point of the past.

    Where each goes far back, into history that itself begins with such a rewind, it may be a few.
    """
    log = EventLog(plain, session_id)
    history: list[list[Any]] = [[]]
    for number in range(1500):
        if number % 20 == 19:
            version = max(0, len(history) - 1 - number * 7919 % min(back, len(history)))
            if (await log.rewind(version)).version is not None:
                history.append(history[version])
        else:
            await add(log, numbered(number, 60))
            history.append([*history[-1], numbered(number, 60)])
    assert len((await log.head()).index) > 3
    for version in (None, *range(0, len(history), 97)):
        items = history[-1 if version is None else version]
        for need in (None, 10):
            store = CountingStore(plain)
            assert (await EventLog(store, session_id).read(need, version)).items == (items if need is None else items[-need:])
            assert store.trips <= trips, (version, need, store)


async def test_the_past_costs_what_the_present_does(time: Time, session_id: str) -> None:
    """``at`` a version or a time: one trip where the answer lies in the head, else two."""
    plain = Untold()
    log = EventLog(plain, session_id, runtime=time.runtime())
    moments: list[datetime] = []
    for number in range(600):
        await add(log, numbered(number, 100))
        moments.append(datetime.fromtimestamp(time.now, UTC))
        time.now += 60
    for version, trips in ((600, 1), (590, 1), (300, 2), (1, 2)):
        for point in (version, moments[version - 1], moments[version - 1] + timedelta(seconds=59)):
            store = CountingStore(plain)
            view = await EventLog(store, session_id).read(5, point)
            assert view.version == version
            assert [item["number"] for item in view.items] == list(range(max(0, version - 5), version))
            assert store.trips <= trips, (point, store)
    for before in (0, moments[0] - timedelta(microseconds=1)):
        store = CountingStore(plain)
        assert (await EventLog(store, session_id).read(5, before)).items == []
        assert store.trips == 1


async def test_a_warm_pop_is_one_trip(plain: MemoryStore, session_id: str) -> None:
    """While the item lies in the head, which it does for long."""
    store = CountingStore(plain)
    log = EventLog(store, session_id)
    await fill(log, 500, size=100)
    for number in range(499, 480, -1):
        await warm(log, store)
        answer = await log.pop()
        assert answer.item == numbered(number, 100)
        assert store.trips == 1, store


async def test_a_pop_of_nothing_reads_first(plain: MemoryStore, session_id: str) -> None:
    """A remembered empty head may be stale: what another process has added since is popped, not denied."""
    store = CountingStore(plain)
    log = EventLog(store, session_id)
    await add(log, "first")
    assert (await log.pop()).item == "first"
    await warm(log, store)
    assert (await log.pop()).version is None
    assert store.calls == {"get": 1}
    await add(EventLog(plain, session_id), "other")
    answer = await log.pop()
    assert (answer.version, answer.item) == (4, "other")


async def test_nothing_to_do_is_said_of_a_fresh_head(plain: MemoryStore, session_id: str) -> None:
    """A clear of nothing and a rewind to where we stand write nothing, but look first; so does a refusal."""
    log = EventLog(plain, session_id)
    await add(log, "first")
    await log.clear()
    await log.settle()
    other = EventLog(plain, session_id)
    await add(other, "other")
    assert (await log.clear()).version == 4
    assert (await log.clear()).version is None
    await add(other, "another")
    assert (await log.rewind(4)).version == 6
    assert (await log.rewind(6)).version is None
    await add(other, "one more")
    assert (await log.rewind(7)).version is None  # where it stands now, unknown to us until we look
    await log.settle()
    await add(other, "and one")
    await add(other, "at last")
    assert (await log.rewind(8)).version == 10
    with pytest.raises(NoSuchPoint, match="no version 11"):
        await log.rewind(11)
    with pytest.raises(NoSuchPoint, match="0 to 10"):
        await log.read(at=11)


async def test_the_costs_are_the_same_on_every_store(store: Store, session_id: str) -> None:
    """What is said above of memory, on all six: first commit, warm and cold append, reads, a pop in the head."""
    async with asyncio.timeout(60):
        await store.traits()  # asked once for each store, not for each log
        counting = CountingStore(store)
        log = EventLog(counting, session_id)
        await add(log, 0)
        assert counting.trips == 2, counting
        for number in range(1, 4):
            await warm(log, counting)
            await add(log, number)
            assert counting.trips == 1, counting
        await log.settle()
        counting = CountingStore(store)
        log = EventLog(counting, session_id)
        await add(log, 4)
        assert counting.trips == 2, counting
        await warm(log, counting)
        assert (await log.pop()).item == 4
        assert counting.trips == 1, counting
        await fill(log, 700, size=100)
        await log.settle()
        for need, trips in ((10, 1), (None, 2)):
            counting = CountingStore(store)
            assert len((await EventLog(counting, session_id).read(need)).items) == need or 704
            assert counting.trips == trips, counting
        for point in (700, 350):
            counting = CountingStore(store)
            assert (await EventLog(counting, session_id).read(1, point)).version == point
            assert counting.trips <= 2, counting


# ---- how much it sends ---------------------------------------------------------------------------------------------


async def test_a_first_write_asks_for_head_and_traits_at_once(session_id: str) -> None:
    """Each may be a round trip: neither waits for the other."""

    class Meeting(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self.both = asyncio.Barrier(2)
            self.met = False

        async def meet(self) -> None:
            if not self.met:
                async with asyncio.timeout(5):
                    await self.both.wait()
                self.met = True

        async def traits(self) -> Traits:
            await self.meet()
            return await super().traits()

        async def get(self, key: str) -> Value | None:
            if key.endswith(":h"):
                await self.meet()
            return await super().get(key)

    store = Meeting()
    assert await add(EventLog(store, session_id), 1) == 1
    assert store.met


async def test_an_append_sends_as_much_at_any_length(session_id: str) -> None:
    """
    At most 40 KiB warm, at ten events and at twenty thousand; the head stays below 32 KiB and ``limit=10`` in it.

    An append in some hundred also writes what segments are merged into, which is bounded, too.
    """
    plain = MemoryStore()
    log = EventLog(plain, session_id)
    sent: dict[int, list[int]] = {}
    largest = 0
    for length in (10, 100, 1000, 20_000):
        while (missing := length - (await log.head()).length) > 0:
            await fill(log, min(missing, 320), size=40)
        store = CountingStore(plain)
        other = EventLog(store, session_id)
        for _ in range(100 if length < 1000 else 300):
            await warm(other, store)
            await add(other, numbered(0, 40))
            sent.setdefault(length, []).append(store.sent)
            largest = max(largest, len(plain._values[log.keys.head][0]))
    for length, bytes_sent in sent.items():
        *others, _, most = sorted(bytes_sent)
        assert others[-1] <= 40 * KIB, length
        assert most <= 40 * KIB + Limits().merge_bytes[-1], length
    assert largest <= 32 * KIB
    store = CountingStore(plain)
    assert len((await EventLog(store, session_id).read(10)).items) == 10
    assert store.trips <= 2
    assert store.received <= 40 * KIB


async def test_every_append_is_small_with_items_of_any_size(session_id: str) -> None:
    """Whatever the mix, the head stays below 48 KiB: what is inline is sealed by weight."""
    plain = MemoryStore()
    log = EventLog(plain, session_id)
    largest = 0
    for number in range(1500):
        await add(log, numbered(number, (1, 40, 300, 4000, 5000, 100)[number % 6]))
        largest = max(largest, len(plain._values[log.keys.head][0]))
    assert largest <= 48 * KIB
    assert len(await whole(plain, session_id)) == 1500


async def test_large_items_read_back_whole(session_id: str) -> None:
    """100 items of 500 kB each, that don't compress, one event each; and as one batch of 20."""
    plain = Untold()
    log = EventLog(plain, session_id)
    items = [noise(number, 250_000) for number in range(100)]
    for item in items:
        await add(log, item)
    await add(log, *items[:20])
    assert len(plain._values[log.keys.head][0]) < 48 * KIB
    assert max(len(value) for value, _, _ in plain._values.values()) <= 256 * KIB
    assert await whole(plain, session_id) == items + items[:20]
    store = CountingStore(plain)
    assert (await EventLog(store, session_id).read(1)).items == [items[19]]
    assert store.trips == 2, store


@pytest.mark.parametrize("traits", [ALL_TRAITS, Traits(atomic_create=True, trusted=True)])
async def test_large_values_are_json_where_a_store_needs_that(traits: Traits, session_id: str) -> None:
    """Every value begins with ``[`` and is JSON unless the store keeps bytes."""
    plain = MemoryStore(traits=traits)
    log = EventLog(plain, session_id)
    await add(log, noise(1, 400_000))
    await fill(log, 500, size=100)
    assert (await whole(plain, session_id))[0] == noise(1, 400_000)
    values = [value for value, _, _ in plain._values.values()]
    texts = [value for value in values if value.startswith(b"[") and value.endswith(b"]")]
    assert all(json.loads(text) for text in texts)
    assert (len(texts) == len(values)) is not traits.keeps_bytes


# ---- group commit --------------------------------------------------------------------------------------------------


async def test_adds_that_come_together_are_committed_together(plain: MemoryStore, session_id: str) -> None:
    """A hundred at once are a handful of commits, in the order they were made; each is an event with a key of its own."""
    store = CountingStore(plain)
    log = EventLog(store, session_id)
    await add(log, "first")
    await warm(log, store)
    versions = await asyncio.gather(*(add(log, number) for number in range(100)))
    assert versions == list(range(2, 102))
    assert store.calls["commit"] <= 5, store
    assert store.trips <= 10
    assert await whole(plain, session_id) == ["first", *range(100)]
    events = [event async for _, _, event in log.events()]
    assert len({event.id for event in events}) == 101


async def test_a_group_holds_what_fits_a_request(session_id: str) -> None:
    """Events of 200 kB that come together are split before a commit is too large for what some stores take."""
    plain = Untold()
    store = CountingStore(plain)
    log = EventLog(store, session_id)
    await add(log, "first")
    await log.settle()
    largest: list[int] = []
    commit = plain.commit

    async def measured(head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:
        largest.append(sum(len(put.key) + len(put.value) for put in (head, *values)))
        return await commit(head, etag, values)

    plain.commit = measured  # type: ignore[method-assign]
    items = [noise(number, 100_000) for number in range(40)]
    await asyncio.gather(*(add(log, item) for item in items))
    assert max(largest) <= 1 << 20
    assert len(largest) <= 21
    assert await whole(plain, session_id) == ["first", *items]


async def test_a_pop_takes_what_the_same_commit_added(plain: MemoryStore, session_id: str) -> None:
    """An add, a pop, an add and two pops at once, in that order, large items among them."""
    log = EventLog(plain, session_id)
    await add(log, "first")
    large = noise(1, 5000)
    answers = await asyncio.gather(add(log, "a", large), log.pop(), add(log, "b"), log.pop(), log.pop(), log.pop(), log.pop())
    assert [answer.item if isinstance(answer, Answer) else answer for answer in answers] == [
        2,
        large,
        4,
        "b",
        "a",
        "first",
        None,
    ]
    assert await whole(plain, session_id) == []


async def test_one_callers_fault_is_its_own(plain: MemoryStore, session_id: str) -> None:
    """A rewind to nowhere fails alone; what was asked for with it is done."""
    log = EventLog(plain, session_id)
    await add(log, "first")
    done = await asyncio.gather(add(log, 1), log.rewind(99), add(log, 2), return_exceptions=True)
    assert isinstance(done[1], NoSuchPoint)
    assert (done[0], done[2]) == (2, 3)
    assert await whole(plain, session_id) == ["first", 1, 2]


async def test_parts_are_written_once(time: Time, session_id: str) -> None:
    """Ahead of the commit, and not again with each race that is lost."""
    plain = Untold()
    store = CountingStore(plain)
    log = EventLog(store, session_id, runtime=time.runtime())
    other = EventLog(CountingStore(plain), session_id)
    await add(log, "first")
    await warm(log, store)
    commit, races = plain.commit, 3

    async def loses(head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:
        nonlocal races
        if races:
            races -= 1
            plain.commit = commit  # type: ignore[method-assign]
            await add(other, "other")
            plain.commit = loses  # type: ignore[method-assign]
        return await commit(head, etag, values)

    plain.commit = loses  # type: ignore[method-assign]
    await add(log, noise(1, 1_000_000))
    assert store.calls["commit"] == 4
    assert store.calls["put_many"] == 1, store


async def test_parts_that_are_refused_fail_their_own_caller(plain: MemoryStore, session_id: str) -> None:
    """What was queued together with a large event is none the worse."""
    log = EventLog(plain, session_id)
    await add(log, "first")

    async def refuse(values: Sequence[Put]) -> None:
        raise StoreRefused("too large for this store")

    put_many = MemoryStore.put_many

    async def choose(values: Sequence[Put]) -> None:
        await (refuse(values) if any(":p:" in put.key for put in values) else put_many(plain, values))

    plain.put_many = choose  # type: ignore[method-assign]
    done = await asyncio.gather(add(log, "a"), add(log, noise(1, 1_000_000)), add(log, "b"), return_exceptions=True)
    assert isinstance(done[1], StoreRefused)
    assert not isinstance(done[0], BaseException)
    assert not isinstance(done[2], BaseException)
    assert await whole(plain, session_id) == ["first", "a", "b"]


# ---- keys ----------------------------------------------------------------------------------------------------------


async def test_every_event_is_under_its_own_key(store: Store, session_id: str) -> None:
    """Right after the commit, on every store: a CloudEvent with the event's id, whose items are those of the history."""
    log = EventLog(store, session_id)
    async with asyncio.timeout(60):
        await asyncio.gather(*(add(log, {"number": number}) for number in range(20)))
        large = noise(1, 400_000)
        await add(log, large)
        await log.pop()
        await log.clear()
        found = [event async for _, _, event in log.events()]
        values = await store.get_many([log.keys.event(event.id) for event in found])
        assert len(values) == 23
        for event in found:
            stored = Event.of(values[log.keys.event(event.id)])
            assert (stored.id, stored.kind, stored.base, stored.pops, stored.count) == (
                event.id, event.kind, event.base, event.pops, event.count,
            )  # fmt: skip
            if event.parts is None:
                assert stored.items == event.items
        assert "".join(event.kind for event in found) == "a" * 21 + "pc"
        await log.settle()


async def test_redundant_keys_are_swept(plain: MemoryStore, session_id: str) -> None:
    """Once it is sealed, an event's own key goes, and the head says so; those of far events never go."""
    log = EventLog(plain, session_id)
    far = noise(7, 5000)
    await add(log, far)
    for number in range(400):
        await add(log, numbered(number, 300))
        await log.settle()
    await add(log, "so that the head tells")
    head = await log.head()
    assert head.index
    assert head.swept == head.tail.first - 1
    events = [event async for _, _, event in log.events()]
    kept = {place for place, event in enumerate(events) if log.keys.event(event.id) in plain._values}
    assert kept == {0, *range(head.swept, head.version)}
    assert (await whole(plain, session_id))[0] == far


async def test_an_interrupted_sweep_is_finished_by_the_next_writer(session_id: str) -> None:
    """One process seals and dies before it has deleted; another, when it seals next, deletes for both."""
    plain = Faulty()
    log = EventLog(plain, session_id)
    delete = plain.delete_many

    async def never(keys: Sequence[str]) -> None:
        raise Unavailable("the process died here")

    plain.delete_many = never  # type: ignore[method-assign]
    for number in range(400):
        await add(log, numbered(number, 300))
    await log.settle()
    head = await log.head()
    assert head.index
    assert head.swept == 0
    plain.delete_many = delete  # type: ignore[method-assign]
    other = EventLog(CountingStore(plain), session_id)
    segments = len(head.index)
    while len((await other.head()).index) == segments:
        await add(other, numbered(0, 300))
        await other.settle()
    await add(other, "so that the head tells")
    head = await other.head()
    assert head.swept == head.tail.first - 1
    assert sum(":e:" in key for key in plain._values) == head.version - head.swept
    assert len(await whole(plain, session_id)) == head.length


async def test_a_key_on_every_store_is_in_the_alphabet(plain: MemoryStore) -> None:
    """Whatever the session is called: lowercase, digits, braces, colons, dashes, and below 64 bytes."""
    for session_id in ("", "Ünïcode ☃ " * 50, "a/b?c#d|e", "\ud800"):
        log = EventLog(plain, session_id)
        await fill(log, 300, size=300)
        await add(log, noise(1, 400_000))
        assert len(await whole(plain, session_id)) == 301
    assert all(set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789{}:-") and len(key) < 64 for key in plain._values)


# ---- several writers -----------------------------------------------------------------------------------------------


async def test_two_processes_lose_nothing(store: Store, session_id: str) -> None:
    """Two logs that know nothing of each other add 200 each at once: every item is there once, in each writer's order."""
    logs = [EventLog(CountingStore(store), session_id) for _ in range(2)]

    async def write(log: EventLog, name: str) -> None:
        for number in range(200):
            await add(log, [name, number])

    async with asyncio.timeout(110):
        await asyncio.gather(write(logs[0], "a"), write(logs[1], "b"))
        items = await whole(store, session_id)
        for name in "ab":
            assert [number for whose, number in items if whose == name] == list(range(200))
        for log in logs:
            await log.settle()


async def test_two_processes_create_a_session_at_once(plain: MemoryStore, session_id: str) -> None:
    """Where a commit creates the head and where it does not: both are in it."""
    for number, traits in enumerate((ALL_TRAITS, Traits(trusted=True), Traits())):
        plain._traits = traits
        stores = [CountingStore(plain), CountingStore(plain)]
        await asyncio.gather(*(add(EventLog(one, f"{session_id}{number}"), "hello") for one in stores))
        assert await whole(plain, f"{session_id}{number}") == ["hello", "hello"]


async def test_a_session_known_to_be_new_is_created_in_one_trip(plain: MemoryStore, session_id: str) -> None:
    """After a read that found nothing; and where another process was quicker, it is rebased like any other commit."""
    store = CountingStore(plain)
    log = EventLog(store, session_id)
    await warm(log, store)
    await add(log, 1)
    assert store.trips == 1, store
    for name in ("pop", "clear", "add"):
        late = EventLog(CountingStore(plain), session_id + name)
        assert (await late.read()).items == []
        await add(EventLog(CountingStore(plain), session_id + name), 1)
        match name:
            case "pop":
                assert (await late.pop()).item == 1
            case "clear":
                assert (await late.clear()).version == 2
            case _:
                assert await add(late, 2) == 2


async def test_a_stale_head_is_rebased(plain: MemoryStore, session_id: str) -> None:
    """One lost race, then the very same event under the same key on the head that won."""
    store = CountingStore(plain)
    log = EventLog(store, session_id)
    await add(log, 1)
    await warm(log, store)
    await add(EventLog(plain, session_id), 2)
    assert await add(log, 3) == 3
    assert store.trips == 3, store
    assert await whole(plain, session_id) == [1, 2, 3]
    assert sum(":e:" in key for key in plain._values) == 3


async def test_back_off_grows_with_lost_races(time: Time, session_id: str) -> None:
    """Full jitter: the bound doubles with each race that was lost, up to its cap, and it comes before the read."""
    plain = Faulty()
    log = EventLog(plain, session_id, runtime=time.runtime())
    other = EventLog(CountingStore(plain), session_id)
    await add(log, 0)
    races = 8

    commit = plain.commit

    async def loses(head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:
        nonlocal races
        if races and values and values[0].key != head.key and etag is not None:
            races -= 1
            plain.commit = commit  # type: ignore[method-assign]
            await add(other, "other")
            plain.commit = loses  # type: ignore[method-assign]
        return await commit(head, etag, values)

    plain.commit = loses  # type: ignore[method-assign]
    await log.settle()
    await add(log, "mine")
    assert time.bounds == [0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.128, 0.128]
    assert (await whole(plain, session_id))[-1] == "mine"


async def test_losing_every_race_is_a_conflict(time: Time, session_id: str) -> None:
    """Within the budget; nothing was written, and calling again works."""
    plain = Faulty()
    log = EventLog(plain, session_id, runtime=time.runtime(), retry=Retry(budget=0.5))
    other = EventLog(CountingStore(plain), session_id)
    await add(log, 0)
    await log.settle()
    commit = plain.commit

    async def loses(head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:
        plain.commit = commit  # type: ignore[method-assign]
        await add(other, "other")
        plain.commit = loses  # type: ignore[method-assign]
        return await commit(head, etag, values)

    plain.commit = loses  # type: ignore[method-assign]
    with pytest.raises(Conflict, match="nothing was written"):
        await add(log, "mine")
    plain.commit = commit  # type: ignore[method-assign]
    assert "mine" not in await whole(plain, session_id)
    await add(log, "mine")
    assert (await whole(plain, session_id)).count("mine") == 1


# ---- doubt ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("word", ["lost", "dropped", "unsent", "late"])
async def test_a_lost_reply_doubles_nothing(word: str, cold: bool, session_id: str, time: Time) -> None:
    """Whether the commit was done or not, and whether the session was there or not: in the end it is there once."""
    plain = Faulty()
    if not cold:
        await add(EventLog(plain, session_id), "first")
    log = EventLog(plain, session_id, runtime=time.runtime())
    plain.plan.append(word)
    assert await add(log, "mine") == 2 - cold
    assert await plain.land() in ([], [False])
    assert await whole(plain, session_id) == ["first", "mine"][cold:]
    await add(log, "next")
    assert (await whole(plain, session_id))[-2:] == ["mine", "next"]


async def test_the_very_same_request_is_sent_again(session_id: str, time: Time) -> None:
    """While the head stands where it stood: the same bytes, keys and etag, since the first may still be under way."""
    plain = Faulty()
    log = EventLog(plain, session_id, runtime=time.runtime())
    await add(log, "first")
    plain.plan.extend(["dropped", "late", "dropped"])
    await add(log, "mine")
    assert len(plain.commits) == 5
    assert all(sent == plain.commits[1] for sent in plain.commits[1:])
    assert await plain.land() == [False]


async def test_a_late_commit_that_lands_first_is_ours(session_id: str, time: Time) -> None:
    """What was given up for lost lands while it is sent again: both are one commit."""
    plain = Faulty("done", "late", "dropped")
    log = EventLog(plain, session_id, runtime=time.runtime())
    await add(log, "first")
    plain.meanwhile = None
    commit = plain.commit

    async def lands_before(head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:
        if len(plain.commits) == 2:
            assert await plain.land() == [True]
        return await commit(head, etag, values)

    plain.commit = lands_before  # type: ignore[method-assign]
    assert await add(log, "mine") == 2
    assert await whole(plain, session_id) == ["first", "mine"]


@pytest.mark.parametrize("others", [1, 5, 200, 1000])
async def test_our_commit_is_found_below_others(others: int, session_id: str, time: Time) -> None:
    """The reply is lost and others have written on top: found among the head's ids, or in the segment it was sealed into."""
    plain = Faulty("done", "lost")
    log = EventLog(plain, session_id, runtime=time.runtime())
    other = EventLog(CountingStore(plain), session_id)
    await add(log, "first")
    plain.meanwhile = lambda: fill(other, others, size=100)
    await log.settle()
    plain.plan.clear()
    plain.plan.append("lost")
    assert await add(log, "mine") == 2
    items = await whole(plain, session_id)
    assert items[:2] == ["first", "mine"]
    assert len(items) == 2 + others
    assert items.count("mine") == 1
    await add(log, "next")
    assert len(await whole(plain, session_id)) == 3 + others


async def test_a_commit_that_lost_is_not_taken_for_ours(session_id: str, time: Time) -> None:
    """The reply is lost, it was not done, and others have written: rebased, once, behind them."""
    plain = Faulty()
    log = EventLog(plain, session_id, runtime=time.runtime())
    other = EventLog(CountingStore(plain), session_id)
    await add(log, "first")
    await log.settle()
    plain.plan.append("late")
    plain.meanwhile = lambda: fill(other, 300, size=100)
    assert await add(log, "mine") == 302
    assert await plain.land() == [False]
    items = await whole(plain, session_id)
    assert items[-1] == "mine"
    assert items.count("mine") == 1


async def test_an_unreadable_outcome_is_unknown(session_id: str, time: Time) -> None:
    """The reply is lost and the head can't be read within the budget: the error says which events to look for."""
    plain = Faulty()
    log = EventLog(plain, session_id, runtime=time.runtime(), retry=Retry(budget=2))
    await add(log, "first")
    await log.settle()
    plain.plan.append("lost")

    async def cut_off() -> None:
        plain.down = True
        plain.plan.extend(["dropped"] * 1000)

    plain.meanwhile = cut_off
    with pytest.raises(OutcomeUnknown, match="Read the session") as unknown:
        await add(log, "mine")
    plain.down = False
    plain.plan.clear()
    found = [event.id async for _, _, event in EventLog(plain, session_id).events()]
    assert unknown.value.event_ids == (found[1],)
    assert (await log.read()).items == ["first", "mine"]
    await add(log, "next")
    assert await whole(plain, session_id) == ["first", "mine", "next"]


@pytest.mark.parametrize("known", [True, False])
async def test_nothing_sent_is_unavailable(known: bool, session_id: str, time: Time) -> None:
    """The store can't be reached from the start: nothing was written, and the error says so."""
    plain = Faulty()
    log = EventLog(plain, session_id, runtime=time.runtime(), retry=Retry(budget=2))
    if known:
        await add(log, "first")
        await log.settle()
    plain.down = True
    plain.plan.extend(["unsent"] * 1000)
    with pytest.raises(Unavailable):
        await add(log, "mine")
    plain.down = False
    plain.plan.clear()
    assert await whole(plain, session_id) == ["first"][: int(known)]
    await add(log, "mine")


@pytest.mark.parametrize("size", [10, 1_000_000])
async def test_a_short_outage_is_sat_out(size: int, session_id: str, time: Time) -> None:
    """By a large event as by a small one: within the budget a write is tried until the store is back."""
    plain = Faulty()
    log = EventLog(plain, session_id, runtime=time.runtime())
    await add(log, "first")
    await log.settle()
    plain.down = True
    plain.plan.extend(["unsent"] * 5)
    call = asyncio.create_task(add(log, noise(1, size)))
    await turns(10)
    plain.down = False
    assert await call == 2
    assert await whole(plain, session_id) == ["first", noise(1, size)]


async def test_an_outage_at_the_end_of_the_budget_is_no_conflict(session_id: str, time: Time) -> None:
    """What made it give up is what it raises: no other writer was ever met."""
    for budget in (0.01, 0.1, 0.5, 1.0):
        plain = Faulty()
        log = EventLog(plain, session_id, runtime=time.runtime(), retry=Retry(budget=budget))
        await add(log, "first")
        await log.settle()
        assert log._heads._known is not None
        log._heads._known = replace(log._heads._known, etag=None)  # so that it must be read before a commit
        plain.down = True
        with pytest.raises(Unavailable):
            await add(log, "mine")


async def test_a_success_that_is_a_lie_is_sent_again(session_id: str, time: Time) -> None:
    """Where a store's success is no proof the head is read, and the commit is repeated until it stands, not in a hot loop."""
    plain = Faulty("lie", "lie", "lie", traits=Traits(atomic_create=True))
    log = EventLog(plain, session_id, runtime=time.runtime())
    assert await add(log, "first") == 1
    plain.plan.extend(["lie", "lie"])
    assert await add(log, "second") == 2
    assert await whole(plain, session_id) == ["first", "second"]
    assert len(plain.commits) == 4 + 3
    assert len(time.slept) >= 5


async def test_what_a_store_refuses_is_not_tried_again(session_id: str) -> None:
    """It was turned down as such: the error at once, nothing written, the next call works."""
    plain = Faulty()
    log = EventLog(plain, session_id)
    await add(log, "first")
    commit, calls = plain.commit, 0

    async def refuse(head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:
        nonlocal calls
        calls += 1
        raise StoreRefused("no transactions here")

    plain.commit = refuse  # type: ignore[method-assign]
    with pytest.raises(StoreRefused):
        await add(log, "mine")
    assert calls == 1
    plain.commit = commit  # type: ignore[method-assign]
    await add(log, "next")
    assert await whole(plain, session_id) == ["first", "next"]


# ---- a store that forgets ------------------------------------------------------------------------------------------


def _forget(plain: MemoryStore, key: str, kept: tuple[bytes, int, float] | None) -> None:
    """Have *key* be what it was, with an etag of its own, as after a restore."""
    if kept is None:
        del plain._values[key]
    else:
        plain._writes += 1
        plain._values[key] = kept[0], plain._writes, kept[2]


@pytest.mark.parametrize("call", ["read", "add", "pop"])
@pytest.mark.parametrize("gone", [True, False])
async def test_what_was_acknowledged_does_not_vanish_silently(
    call: str, gone: bool, plain: MemoryStore, session_id: str
) -> None:
    """The head is gone, or back at an older version: said once, by whatever call comes next; the one after that goes on."""
    log = EventLog(plain, session_id)
    await add(log, 1)
    old = plain._values[log.keys.head]
    await add(log, 2)
    await log.settle()
    _forget(plain, log.keys.head, None if gone else old)
    with pytest.raises(ForkDetected):
        await do(log, call)
    await add(log, 3)
    assert (await log.read()).items == ([3] if gone else [1, 3])


@pytest.mark.parametrize("call", ["read", "add", "pop"])
async def test_another_history_is_a_fork(call: str, plain: MemoryStore, session_id: str) -> None:
    """The head went back and others went on from there, beyond what was known: the version is there, with another event."""
    log = EventLog(plain, session_id)
    await add(log, 1)
    old = plain._values[log.keys.head]
    await add(log, 2)
    await log.settle()
    _forget(plain, log.keys.head, old)
    await fill(EventLog(CountingStore(plain), session_id), 400, size=100)
    with pytest.raises(ForkDetected):
        await do(log, call)
    await add(log, 3)
    assert len((await log.read()).items) == 402


@pytest.mark.parametrize("reading", [False, True])
async def test_a_fork_seen_behind_the_scenes_is_raised_once(reading: bool, session_id: str) -> None:
    """By the call after the commit whose background read saw it; unless a read at the same time saw it too, and raised."""
    plain = Gated("get")
    log = EventLog(plain, session_id)
    await add(log, 1)
    old = plain._values[log.keys.head]
    await log.settle()
    plain.gate.clear()
    await add(log, 2)
    call = asyncio.create_task(log.read()) if reading else None
    await turns(5)
    assert plain.waiting == 1 + reading
    _forget(plain, log.keys.head, old)
    plain.gate.set()
    await log.settle()
    with pytest.raises(ForkDetected):
        await (call or log.read())
    assert (await log.read()).items == [1]
    assert await add(log, 3) == 2


# ---- damage --------------------------------------------------------------------------------------------------------


async def _sealed(plain: MemoryStore, session_id: str) -> tuple[EventLog, str, int]:
    """Return a log with sealed history, the key of a segment and a version in it; nothing of it cached."""
    await fill(EventLog(plain, session_id), 1000, size=100)
    log = EventLog(CountingStore(plain), session_id)
    ref = (await log.head()).index[1]
    return log, log.keys.segment(ref.name), ref.first + 3


async def test_a_missing_segment_is_named(plain: MemoryStore, session_id: str) -> None:
    """A read that needs it raises; one that does not is none the worse; restored, all is well."""
    log, key, version = await _sealed(plain, session_id)
    kept = plain._values.pop(key)
    for call in (log.read, lambda: log.read(at=version), lambda: _all_events(log), lambda: log.rewind(version)):
        with pytest.raises(CorruptLog, match=re.escape(key)):
            await call()
    assert len((await log.read(10)).items) == 10
    await add(log, "on top")  # an append reads nothing old, so it can't know; it is there when the segment is
    with pytest.raises(CorruptLog, match=re.escape(key)):
        await log.read()
    plain._values[key] = kept
    assert len((await log.read()).items) == 1001


async def test_a_missing_segment_is_named_while_others_write(plain: MemoryStore, session_id: str) -> None:
    """The head moves on with each look, and still names what is missing: a few looks are enough to know."""
    log, key, _ = await _sealed(plain, session_id)
    del plain._values[key]
    other = EventLog(CountingStore(plain), session_id)
    get, looks = plain.get, 0

    async def busy(asked: str) -> Value | None:
        nonlocal looks
        looks += asked == log.keys.head
        if looks > 20:
            pytest.fail("it reads for ever")
        plain.get = get  # type: ignore[method-assign]
        await add(other, "meanwhile")
        plain.get = busy  # type: ignore[assignment, method-assign]
        return await get(asked)

    plain.get = busy  # type: ignore[assignment, method-assign]
    with pytest.raises(CorruptLog, match=re.escape(key)):
        await log.read()


async def test_a_damaged_segment_is_named(plain: MemoryStore, session_id: str) -> None:
    """Other bytes, cut short, or of another session."""
    log, key, _ = await _sealed(plain, session_id)
    value, etag, expires = plain._values[key]
    for damaged in (value[:-1], b"[]", b"x", value.replace(value[40:44], b"\0\0\0\0")):
        plain._values[key] = damaged, etag, expires
        with pytest.raises(CorruptLog, match=re.escape(key)):
            await log.read()
    plain._values[key] = value, etag, expires
    assert len((await log.read()).items) == 1000


async def test_a_missing_large_event_is_named(plain: MemoryStore, session_id: str) -> None:
    """Its own key, or one of its parts."""
    for size, kind in ((5000, ":e:"), (400_000, ":p:")):
        name = f"{session_id}{size}"
        log = EventLog(plain, name)
        before = set(plain._values)
        await add(log, noise(1, size))
        await add(log, "small")
        key = next(key for key in sorted(plain._values.keys() - before) if kind in key)
        if kind == ":e:":
            key = log.keys.event((await _all_events(log))[0].id)
        del plain._values[key]
        other = EventLog(CountingStore(plain), name)
        with pytest.raises(CorruptLog, match=re.escape(key)):
            await other.read()
        assert (await other.read(1)).items == ["small"]
        assert (await other.pop()).item == "small"
        with pytest.raises(CorruptLog, match=re.escape(key)):
            await other.pop()
        with pytest.raises(CorruptLog, match=re.escape(key)):
            await _all_events(other)


@pytest.mark.parametrize("value", [b"[]", b"[", b"x", b'["eventlog-head",1,"00000002",{},[]]', None])
@pytest.mark.parametrize("cold", [True, False])
async def test_nothing_is_written_on_a_damaged_head(
    value: bytes | None, cold: bool, plain: MemoryStore, session_id: str
) -> None:
    """Its key is named by every call, with and without a head remembered, and its bytes stay."""
    log = EventLog(plain, session_id)
    await add(log, 1)
    key = log.keys.head
    await log.settle()
    good = plain._values[key]
    damaged = value if value is not None else good[0].replace(b'"v":1', b'"v":2')
    for call in ("read", "add", "pop"):
        plain._writes += 1
        plain._values[key] = damaged, plain._writes, good[2]
        fresh = EventLog(CountingStore(plain), session_id) if cold else log
        with pytest.raises(CorruptLog, match=re.escape(key)):
            await do(fresh, call)
        assert plain._values[key][0] == damaged
        plain._writes += 1
        plain._values[key] = good[0], plain._writes, good[2]
        assert (await log.read()).items == [1]
        await log.settle()


async def test_a_head_of_another_session_is_no_head_of_ours(plain: MemoryStore, session_id: str) -> None:
    """A digest could collide: the id in the head decides."""
    log = EventLog(plain, session_id)
    await add(log, 1)
    other = EventLog(plain, "other")
    plain._values[other.keys.head] = plain._values[log.keys.head]
    for call in ("read", "add"):
        with pytest.raises(CorruptLog, match="another session"):
            await do(other, call)


@pytest.mark.parametrize("call", ["read", "add", "pop"])
async def test_a_newer_format_is_not_touched(call: str, plain: MemoryStore, session_id: str) -> None:
    """It is not damage, and the error says what to do."""
    log = EventLog(plain, session_id)
    await add(log, 1)
    key = log.keys.head
    value, etag, expires = plain._values[key]
    newer = value.replace(b'["eventlog-head",1,', b'["eventlog-head",2,')
    plain._values[key] = newer, etag, expires
    with pytest.raises(UnsupportedFormat, match=re.escape(key) + ".*[Uu]pgrade"):
        await do(EventLog(CountingStore(plain), session_id), call)
    assert plain._values[key][0] == newer


async def test_unknown_fields_of_a_head_are_handed_on(plain: MemoryStore, session_id: str) -> None:
    """What a later release of the same format has added survives an append by this one."""
    log = EventLog(plain, session_id)
    await add(log, 1)
    value, etag, expires = plain._values[log.keys.head]
    fields, items = unframe("head", value)
    newer = frame("head", fields | {"future": {"a": [1]}}, items)
    plain._values[log.keys.head] = newer, etag, expires
    other = EventLog(CountingStore(plain), session_id)
    await add(other, 2)
    assert (await other.head()).extra == {"future": {"a": [1]}}
    assert await whole(plain, session_id) == [1, 2]


@pytest.mark.parametrize("call", ["read", "add", "pop", "head", "events"])
async def test_damage_found_while_looking_back_is_named(call: str, time: Time, plain: MemoryStore, session_id: str) -> None:
    """A process that slept looks whether what it knew still stands; the segment that could say so is missing."""
    log = EventLog(CountingStore(plain), session_id, runtime=time.runtime())
    await add(log, 0)
    await log.settle()
    await fill(EventLog(CountingStore(plain), session_id), 1000, size=100)
    head = await EventLog(CountingStore(plain), session_id).head()
    key = log.keys.segment(head.index[0].name)
    del plain._values[key]
    with pytest.raises(CorruptLog, match=re.escape(key)):
        await do(log, call)


async def test_events_are_never_skipped_or_repeated(session_id: str) -> None:
    """A value turns out to be missing while others write: the walk names it, and yields nothing twice."""
    plain = Untold()
    log = EventLog(plain, session_id)
    await add(log, 1)
    await add(log, noise(1, 5000))
    await add(log, 3)
    missing = log.keys.event((await _all_events(log))[1].id)
    del plain._values[missing]
    versions: list[int] = []

    async def walk() -> None:
        async for version, _, _ in EventLog(CountingStore(plain), session_id).events():
            versions.append(version)
            if len(versions) < 3:
                await add(log, "meanwhile")

    with pytest.raises(CorruptLog, match=re.escape(missing)):
        await walk()
    assert versions == [1]


async def _all_events(log: EventLog) -> list[Event]:
    return [event async for _, _, event in log.events()]


# ---- adoption ------------------------------------------------------------------------------------------------------


def _legacy(plain: MemoryStore, session_id: str, *items: Any) -> None:
    """Leave what a `DaprSession` leaves."""
    value = json.dumps([json.dumps(item) for item in items]).encode()
    plain._values[legacy_key(session_id)] = value, 0, float("inf")


async def test_a_legacy_history_is_read_in_three_trips(plain: MemoryStore, session_id: str) -> None:
    """The head, which is not there; the history; and only where there is one, whether it was taken over before."""
    _legacy(plain, session_id, "a", "b", "c")
    for need, items in ((None, ["a", "b", "c"]), (2, ["b", "c"]), (0, []), (9, ["a", "b", "c"])):
        store = CountingStore(plain)
        view = await EventLog(store, session_id).read(need)
        assert (view.items, view.version) == (items, 1)
        assert store.trips <= 3, store


async def test_a_legacy_history_is_what_version_1_will_be(plain: MemoryStore, session_id: str) -> None:
    """What was read at its version before it was taken over reads the same there afterwards."""
    _legacy(plain, session_id, "a", "b")
    log = EventLog(plain, session_id)
    assert ((await log.read(at=1)).items, (await log.read(at=0)).items) == (["a", "b"], [])
    with pytest.raises(NoSuchPoint):
        await log.read(at=2)
    await add(log, "c")
    assert ((await log.read(at=1)).items, (await log.read(at=0)).items) == (["a", "b"], [])


async def test_a_legacy_history_is_adopted_by_the_first_commit(plain: MemoryStore, session_id: str) -> None:
    """In three trips, one more than any first commit, as the first event; the source is kept."""
    _legacy(plain, session_id, "a", "b", "c")
    store = CountingStore(plain)
    log = EventLog(store, session_id)
    assert await add(log, "d") == 2
    assert store.trips <= 3, store
    assert await whole(plain, session_id) == ["a", "b", "c", "d"]
    assert [event.kind for event in await _all_events(log)] == [ADOPTED, ADDED]
    assert legacy_key(session_id) in plain._values
    assert (await log.read(at=1)).items == ["a", "b", "c"]


@pytest.mark.parametrize(("call", "left"), [("pop", ["a", "b"]), ("clear", []), ("rewind", []), ("nothing", ["a", "b", "c"])])
async def test_a_legacy_history_can_be_changed_at_once(call: str, left: list[str], plain: MemoryStore, session_id: str) -> None:
    """The first change is not an add: the history is taken over with it, whatever it is."""
    _legacy(plain, session_id, "a", "b", "c")
    log = EventLog(plain, session_id)
    match call:
        case "pop":
            assert (await log.pop()).item == "c"
        case "clear":
            assert (await log.clear()).version == 2
        case "rewind":
            assert (await log.rewind(0)).version == 2
        case _:
            with pytest.raises(NoSuchPoint):
                await log.rewind(99)
    assert await whole(plain, session_id) == left


async def test_a_history_is_adopted_once(time: Time, session_id: str) -> None:
    """By one of two processes; and not again by a session that expired after it, nor by one that does not look."""
    plain = MemoryStore(clock=time.clock)
    _legacy(plain, session_id, "a", "b")
    logs = [EventLog(CountingStore(plain), session_id, runtime=time.runtime()) for _ in range(2)]
    await asyncio.gather(*(add(log, "c", ttl=100) for log in logs))
    assert await whole(plain, session_id, runtime=time.runtime()) == ["a", "b", "c", "c"]
    time.now += 101
    for log in (*logs, EventLog(CountingStore(plain), session_id, runtime=time.runtime())):
        assert (await log.read()).items == []
    assert await add(logs[0], "d") == 1
    assert await whole(plain, session_id, runtime=time.runtime()) == ["d"]
    assert await whole(plain, "ignoring", adopt=False) == []
    _legacy(plain, "ignoring", "a")
    assert await whole(plain, "ignoring", adopt=False) == []


async def test_a_large_legacy_history_is_adopted(plain: MemoryStore, session_id: str) -> None:
    """Of 2 MB, by one commit with its parts written ahead."""
    items = [noise(number, 5000) for number in range(200)]
    _legacy(plain, session_id, *items)
    log = EventLog(plain, session_id)
    await add(log, "new")
    assert await whole(plain, session_id) == [*items, "new"]


async def test_a_history_that_cannot_be_taken_over_is_not_written_over(plain: MemoryStore, session_id: str) -> None:
    """Its parts are refused: so is every call, none is told of a version, and the history is still there."""
    items = [noise(number, 5000) for number in range(200)]
    _legacy(plain, session_id, *items)
    put_many = plain.put_many

    async def refuse(values: Sequence[Put]) -> None:
        if any(":p:" in put.key for put in values):
            raise StoreRefused("too large for this store")
        await put_many(values)

    plain.put_many = refuse  # type: ignore[method-assign]
    log = EventLog(plain, session_id)
    done = await asyncio.gather(add(log, "a"), add(log, "b"), return_exceptions=True)
    assert [type(one) for one in done] == [StoreRefused, StoreRefused]
    assert await whole(plain, session_id) == items


async def test_a_damaged_legacy_history_is_not_passed_over(plain: MemoryStore, session_id: str) -> None:
    """Its key is named, and nothing is begun on top of it."""
    for value in (b"{}", b"[", b'"x"'):
        plain._values[legacy_key(session_id)] = value, 0, float("inf")
        log = EventLog(plain, session_id)
        for call in ("read", "add", "pop"):
            with pytest.raises(CorruptLog, match=re.escape(legacy_key(session_id))):
                await do(log, call)
        assert log.keys.head not in plain._values


async def test_a_search_that_fails_unseen_leaves_no_error_behind(session_id: str) -> None:
    """Head and legacy key fail both, the one that is not waited for first: nothing is left for the loop to complain about."""
    unheard: list[Mapping[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))

    class Down(MemoryStore):
        async def get(self, key: str) -> Value | None:
            for _ in range(5 if key.endswith(":h") else 0):
                await asyncio.sleep(0)
            raise Unavailable(key)

    with pytest.raises(Unavailable):
        await EventLog(Down(), session_id).read()
    for _ in range(3):
        await asyncio.sleep(0)
        gc.collect()
    assert unheard == []


# ---- cancellation --------------------------------------------------------------------------------------------------


class Gated(Untold):
    """Memory whose calls of one method, to the head, wait at a gate."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method = method
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0

    async def _pass(self, method: str) -> None:
        if method == self.method:
            self.waiting += 1
            await self.gate.wait()
            self.waiting -= 1

    async def get(self, key: str) -> Value | None:  # noqa: D102
        if key.endswith(":h"):
            await self._pass("get")
        return await super().get(key)

    async def commit(self, head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:  # noqa: D102
        await self._pass("commit")
        method, self.method = self.method, ""  # memory's commit reads the head itself
        try:
            return await super().commit(head, etag, values)
        finally:
            self.method = method


async def test_a_call_cancelled_in_the_queue_was_never_written(session_id: str) -> None:
    """It waits behind a commit under way; the one before it and the one after it are done."""
    plain = Gated("commit")
    log = EventLog(plain, session_id)
    await add(log, 0)
    await log.settle()
    plain.gate.clear()
    calls = [asyncio.create_task(add(log, 1))]
    await turns(5)
    calls += [asyncio.create_task(add(log, number)) for number in (2, 3)]
    await turns(5)
    assert plain.waiting == 1
    calls[1].cancel()
    await turns(5)
    assert calls[1].cancelled()
    plain.gate.set()
    assert [await calls[0], await calls[2]] == [2, 3]
    assert await whole(plain, session_id) == [0, 1, 3]


async def test_a_call_cancelled_before_it_is_sent_was_never_written(session_id: str) -> None:
    """It is being decided on, since the head is still being read: nothing has left, so nothing may."""
    plain = Gated("get")
    plain.gate.clear()
    log = EventLog(plain, session_id)
    call = asyncio.create_task(add(log, 1))
    await turns(5)
    assert plain.waiting == 1
    call.cancel()
    await turns(5)
    plain.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    await log.settle()
    assert await whole(plain, session_id) == []


async def test_a_cancelled_call_leaves_the_others_a_fresh_answer(session_id: str) -> None:
    """It is cancelled while it is decided on; what was asked for with it must not be answered from a stale head."""
    gate = asyncio.Event()
    gate.set()

    class Slow(Untold):
        async def traits(self) -> Traits:
            await gate.wait()
            return ALL_TRAITS

    plain = Slow()
    log = EventLog(plain, session_id)
    await add(log, 1)
    await log.clear()
    await log.settle()  # known, and empty
    await add(EventLog(CountingStore(plain), session_id), "other")
    gate.clear()
    pop = asyncio.create_task(log.pop())
    call = asyncio.create_task(add(log, 2))
    await turns(5)
    call.cancel()
    await turns(5)
    gate.set()
    assert (await pop).item == "other"
    assert await whole(plain, session_id) == []


async def test_a_call_cancelled_after_it_was_sent_settles_first(session_id: str) -> None:
    """Whoever cancelled it finds the session as it will stay; cancelled again and again, it still does."""
    plain = Gated("commit")
    log = EventLog(plain, session_id)
    await add(log, 0)
    await log.settle()
    plain.gate.clear()
    call = asyncio.create_task(add(log, 1))
    await turns(5)
    assert plain.waiting == 1
    for _ in range(3):
        call.cancel()
        await turns(5)
        assert not call.done()
    plain.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await whole(plain, session_id) == [0, 1]
    await add(log, 2)
    assert await whole(plain, session_id) == [0, 1, 2]


async def test_a_cancelled_call_waits_for_one_deadline_at_most(session_id: str) -> None:
    """A store that hangs holds nobody for longer."""
    plain = Gated("commit")
    log = EventLog(plain, session_id, limits=Limits(deadline=0.05))
    await add(log, 0)
    await log.settle()
    plain.gate.clear()
    call = asyncio.create_task(add(log, 1))
    await turns(5)
    call.cancel()
    async with asyncio.timeout(30):
        with pytest.raises(asyncio.CancelledError):
            await call
    plain.gate.set()
    await log.settle()
    assert await whole(plain, session_id) == [0, 1]


async def test_a_cancelled_read_leaves_nothing_behind(session_id: str) -> None:
    """And the next one works."""
    plain = Gated("get")
    log = EventLog(plain, session_id)
    await add(log, 1)
    await log.settle()
    plain.gate.clear()
    call = asyncio.create_task(log.read())
    await turns(3)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    plain.gate.set()
    assert (await log.read()).items == [1]


def _said(number: int) -> Any:
    """Return an item of about 330 bytes that compresses as conversations do."""
    words = ("the", "order", "was", "shipped", "on", "Monday", "and", "should", "arrive", "within", "three", "days", "please")
    content = " ".join(words[place] for place in (int(digit, 16) % len(words) for digit in noise(number, 44)))
    return {"role": "user" if number % 2 else "assistant", "content": content, "id": f"msg_{noise(number, 16)}"}


def test_the_keys_of_two_sessions_are_not_the_same() -> None:
    """Whatever their ids have in common."""
    assert len({Keys(name).head for name in ("a", "A", "a ", "", "ä", "a\u0308")}) == 6
