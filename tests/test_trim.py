"""Trimming: every version kept reads as it did, every older one is refused, and what no version needs is freed."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model import ModelLog, Op, examples, operations, small_limits
from staged import Faulty, Time, Untold, add, fill, noise, whole

from eventlog_session import (
    EventLog,
    EventLogSession,
    HistoryTrimmed,
    Limits,
    MemoryStore,
    NoSuchPoint,
    Store,
)
from eventlog_session.revising import Told, pop_newest, step
from eventlog_session.testing import CountingStore

pytestmark = pytest.mark.usefixtures("bounded")
SMALL = Limits(tail_bytes=600, carried_bytes=300, index_segments=4, index_nodes=4, inline_bytes=2000, value_bytes=20_000)


def named(plain: MemoryStore) -> int:
    """Return how many segments, nodes, parts and large events are in the store."""
    return sum(key.split(":")[2] in "snp" or len(data) > 4000 for key, (data, _, _) in plain._values.items() if ":h" not in key)


async def at_every_version(log: EventLog, floor: int) -> dict[int, list[Any]]:
    """Return the history at each version from *floor* on."""
    newest = (await log.head()).version
    return {version: (await log.read(at=version)).items for version in range(floor, newest + 1)}


async def test_what_was_cleared_is_freed(plain: MemoryStore, session_id: str) -> None:
    """Segments, nodes, large events and parts of before the clear; the versions kept read as they did, cold and warm."""
    log = EventLog(plain, session_id, limits=SMALL)
    await fill(log, 150, size=60)
    await add(log, noise(1, 5000))
    await add(log, noise(2, 60_000))
    await fill(log, 30, size=60)
    await log.clear()
    floor = (await log.head()).version
    await fill(log, 100, size=60)
    await log.settle()
    before, values, size = await at_every_version(log, floor), named(plain), len((await log.head()).to_bytes())
    assert (await log.trim(floor)).version == floor + 101
    await log.settle()
    assert named(plain) < values / 2
    await add(log, "more")
    head = await log.head()
    assert head.floor == floor
    assert not head.trash
    assert len(head.to_bytes()) < size + 500
    for one in (log, EventLog(CountingStore(plain), session_id, limits=SMALL)):
        assert {
            version: items for version, items in (await at_every_version(one, floor)).items() if version in before
        } == before
        for version in (0, 1, 100, floor - 1):
            with pytest.raises(HistoryTrimmed, match=f"version {version} was trimmed; the log goes from {floor} to"):
                await one.read(at=version)
        with pytest.raises(HistoryTrimmed):
            await one.rewind(floor - 1)
        assert (await one.verify()).sound
    events = [version async for version, _, _ in log.events()]
    assert events == list(range(floor, head.version + 1))


async def test_what_a_later_version_goes_back_to_is_kept(plain: MemoryStore, session_id: str) -> None:
    """A rewind after the floor to before it: that old version can't be asked for, but what it made reads as it did."""
    log = EventLog(plain, session_id, limits=SMALL)
    await fill(log, 60, size=60)
    await log.clear()
    await fill(log, 60, size=60)
    await log.clear()
    floor = (await log.head()).version
    await fill(log, 60, size=60)
    await log.rewind(55)
    await fill(log, 60, size=60)
    await log.settle()
    before, values = await at_every_version(log, floor), named(plain)
    await log.trim(floor)
    await log.settle()
    assert named(plain) < values
    fresh = EventLog(CountingStore(plain), session_id, limits=SMALL)
    now = await at_every_version(fresh, floor)
    assert {version: now[version] for version in before} == before
    assert (await fresh.verify()).sound


async def test_what_was_trimmed_is_not_gone_back_to(plain: MemoryStore, session_id: str) -> None:
    """Nor where its own event lies in a segment that is kept: what came before it is gone, and would be missing silently."""
    log = EventLog(plain, session_id, limits=Limits(tail_events=6, carried_bytes=100))
    for number in range(30):
        await add(log, number)
    await log.clear()
    await fill(log, 2)
    floor = (await log.head()).version
    await fill(log, 20)
    await log.trim(floor)
    await log.settle()
    head = await log.head()
    assert [ref.hole for ref in head.index[:2]] == [True, False]
    assert head.index[0].last < 30 <= head.index[1].last
    for version in (1, 30, floor - 1):
        with pytest.raises(HistoryTrimmed, match=f"version {version} was trimmed; the log goes from {floor} to"):
            await log.rewind(version)
    assert (await log.rewind(floor)).version == head.version + 1
    assert len((await log.read()).items) == 2


async def test_a_second_trim_steps_over_what_the_first_one_freed(plain: MemoryStore, session_id: str) -> None:
    """Nodes whose items were all popped again are holes then, between what is kept: there is nothing of them to read."""
    log = EventLog(plain, session_id, limits=SMALL)
    await fill(log, 400, size=60)
    for _ in range(400):
        await log.pop()
    await fill(log, 20, size=60)
    await log.trim(810)
    await log.settle()
    assert any(ref.hole and ref.level for ref in (await log.head()).index)
    await fill(log, 20, size=60)
    before = (await log.read()).items
    assert (await log.trim(830)).version is not None
    await log.settle()
    fresh = EventLog(CountingStore(plain), session_id, limits=SMALL)
    assert (await fresh.read()).items == before
    assert (await fresh.verify()).sound


async def test_a_point_in_time(time: Time, session_id: str) -> None:
    """The version that stood at that moment is the oldest kept; a moment before it is refused."""
    plain = MemoryStore(clock=time.clock)
    session = EventLogSession(session_id, store=plain, limits=SMALL)
    session._runtime = time.runtime()
    moments = []
    for number in range(40):
        time.now += 60
        await session.add_items([{"role": "user", "content": noise(number, 100)}])
        moments.append(datetime.fromtimestamp(time.now + 1, UTC))
    await session.clear_session()
    await session.trim(before=moments[30])
    assert len(await session.at(moments[30]).get_items()) == 31
    for moment in (moments[29], moments[0], datetime(2000, 1, 1, tzinfo=UTC)):
        with pytest.raises(HistoryTrimmed):
            await session.at(moment).get_items()
    with pytest.raises(NoSuchPoint, match="no version 99"):
        await session.trim(before=99)
    with pytest.raises(ValueError, match="time zone"):
        await session.trim(before=datetime(2026, 1, 1))  # noqa: DTZ001


async def test_trimming_less_than_before_is_nothing(plain: MemoryStore, session_id: str) -> None:
    """What is given up is given up."""
    log = EventLog(plain, session_id)
    await fill(log, 10)
    assert (await log.trim(5)).version == 11
    assert (await log.trim(5)).version is None
    assert (await log.trim(3)).version is None
    assert (await log.read()).items == list(range(10))


async def test_nobody_goes_back_to_what_was_trimmed(plain: MemoryStore, session_id: str) -> None:
    """Not even where its event is still there: what it was made of need not be."""
    log = EventLog(plain, session_id)
    await fill(log, 10)
    await log.trim(5)
    with pytest.raises(HistoryTrimmed, match="version 4 was trimmed; the log goes from 5 to 11"):
        await log.rewind(4)
    assert (await log.rewind(5)).version == 12
    assert (await log.rewind(0)).version == 13  # as good as a clear


@pytest.mark.parametrize("cut", range(6))
async def test_freeing_that_was_interrupted_is_taken_up(cut: int, session_id: str) -> None:
    """The head names what is left until it is deleted: the next writer's process goes on with it."""
    plain = Untold()

    class Failing(CountingStore):
        async def delete_many(self, keys: Any) -> None:
            if trimming and self.calls["delete_many"] >= cut:
                raise ConnectionError
            await super().delete_many(keys)

    trimming = False
    store = Failing(plain)
    log = EventLog(store, session_id, limits=SMALL)
    await fill(log, 150, size=60)
    await add(log, noise(2, 60_000))
    await fill(log, 150, size=60)
    await log.clear()
    await log.settle()
    store.reset()
    trimming = True
    floor = (await log.head()).version
    values = named(plain)
    await log.trim(floor)
    sweeping = log._sweeper._task
    assert sweeping is not None
    await asyncio.wait({sweeping})
    assert isinstance(sweeping.exception(), ConnectionError)
    assert (await log.head()).trash
    other = EventLog(CountingStore(plain), session_id, limits=SMALL)
    await add(other, 1)
    await other.settle()
    await add(other, 2)
    assert not (await other.head()).trash
    assert named(plain) < values / 3
    assert (await EventLog(CountingStore(plain), session_id, limits=SMALL).verify()).sound
    assert await whole(plain, session_id) == [1, 2]


async def test_readers_of_an_older_head_look_again(plain: MemoryStore, session_id: str) -> None:
    """One that was about to read what is freed reads the head again instead of calling it damage."""
    log = EventLog(plain, session_id, limits=SMALL)
    await fill(log, 100, size=60)
    await log.clear()
    floor = (await log.head()).version
    await fill(log, 20, size=60)
    other = EventLog(CountingStore(plain), session_id, limits=SMALL)
    known = await other._heads.fresh()
    await log.trim(floor)
    await log.settle()

    async def stale(*, eager: bool = False) -> Any:
        other._heads.fresh = fresh  # type: ignore[method-assign]
        return known

    fresh, other._heads.fresh = other._heads.fresh, stale  # type: ignore[method-assign]
    with pytest.raises(HistoryTrimmed):
        await other.read(at=50)


@pytest.mark.parametrize("word", ["lost", "dropped", "late"])
async def test_a_doubtful_trim_is_settled(word: str, session_id: str, time: Time) -> None:
    """It is an event like any other: told by who stands there."""
    plain = Faulty()
    log = EventLog(plain, session_id, limits=SMALL, runtime=time.runtime())
    await fill(log, 100, size=60)
    await log.clear()
    plain.plan.append(word)
    assert (await log.trim(101)).version == 102
    await plain.land()
    await log.settle()
    assert [event.kind async for _, _, event in log.events()] == ["c", "t"]
    assert (await log.verify()).sound


async def test_what_was_never_sent_is_not_looked_for_in_what_was_trimmed(session_id: str, time: Time) -> None:
    """An add that did not leave, while others went on and trimmed the version that was its to take: it is added after them."""
    plain = Faulty()
    limits = replace(SMALL, recent_ids=1)
    log, other = (EventLog(store, session_id, limits=limits, runtime=time.runtime()) for store in (plain, CountingStore(plain)))
    await add(log, "first")
    await log.settle()

    async def meanwhile() -> None:
        await fill(other, 150, size=60)
        await other.clear()
        await other.trim(152)
        await other.settle()

    plain.plan.append("unsent")
    plain.meanwhile = meanwhile
    assert await add(log, "last") == 154
    assert await whole(plain, session_id, limits=limits) == ["last"]


async def test_an_erasure_after_a_trim_leaves_nothing(session_id: str) -> None:
    """Neither what is kept nor what was not freed yet."""
    plain = Untold()
    log = EventLog(plain, session_id, limits=SMALL)
    await fill(log, 200, size=60)
    await log.clear()
    await fill(log, 100, size=60)
    await log.trim(201)
    await log.erase(grace=0)
    assert set(plain._values) == {log.keys.head}


async def test_trimmed_on_every_store(store: Store, session_id: str) -> None:
    """What is kept reads as it did."""
    session = EventLogSession(session_id, store=store, limits=SMALL)
    for number in range(30):
        await session.add_items([{"role": "user", "content": noise(number, 200)}])
    await session.clear_session()
    for number in range(10):
        await session.add_items([{"role": "user", "content": noise(number, 200)}])
    before = [await session.at(version).get_items() for version in range(31, 42)]
    await session.trim(before=31)
    other = EventLogSession(session_id, store=CountingStore(store), limits=SMALL)
    assert [await other.at(version).get_items() for version in range(31, 42)] == before
    with pytest.raises(HistoryTrimmed):
        await other.at(30).get_items()
    assert (await other.verify()).sound


@given(
    limits=small_limits(),
    ops=st.integers(0, 50).flatmap(operations),
    later=st.integers(0, 20).flatmap(operations),
    pick=st.data(),
)
@examples(120)
def test_every_version_kept_reads_as_it_did(limits: Limits, ops: list[Op], later: list[Op], pick: Any) -> None:
    """Any log, trimmed anywhere, written to after that and trimmed again; and what is freed is not read by anybody."""
    model = ModelLog(limits).run(ops)

    async def check() -> None:
        plain = MemoryStore()
        plain._values = {key: (value, 1, float("inf")) for key, value in model.values.items()}
        plain._values[model.keys.head] = model.head.to_bytes(), 1, float("inf")
        versions = {version: list(items) for version, items in enumerate(model.versions)}
        log = EventLog(plain, "a session", limits=limits)
        floor = 0
        for round_of in (ops, later):
            if round_of is later:
                for op in later:
                    await _same(log, op, versions)
            newest = (await log.head()).version
            floor = max(floor, pick.draw(st.integers(0, newest)))
            answer = await log.trim(floor)
            if answer.version is not None:
                versions[answer.version] = versions[newest]
            await log.settle()
            fresh = EventLog(CountingStore(plain), "a session", limits=limits)
            for version, items in versions.items():
                if version >= floor:
                    view = await fresh.read(at=version)
                    assert _plain(view) == items
                    short = await EventLog(CountingStore(plain), "a session", limits=limits).read(2, at=version)
                    assert _plain(short) == items[-2:]
                else:
                    with pytest.raises(HistoryTrimmed):
                        await fresh.read(at=version)
            assert (await fresh.verify()).sound

    asyncio.run(check())


def _plain(view: Any) -> list[Any]:
    """Return the items of a view, those kept as text decoded."""
    return [json.loads(item) if place in view.texts else item for place, item in enumerate(view.items)]


async def _same(log: EventLog, op: Op, versions: dict[int, list[Any]]) -> None:
    """Do to the log what *op* says, and to the model."""
    newest = max(versions)
    history = versions[newest]
    if op.kind == "add":
        items = [[newest, place, "x" * size] for place, size in enumerate(op.sizes)]
        answer = await log.add(orjson.dumps(items), len(items))
        after = [*history, *items]
    elif op.kind in ("pop", "drop"):
        answer, after = await log.pop(), history[:-1]
    elif op.kind == "clear":
        answer, after = await log.clear(), []
    else:
        back = max(0, newest - op.pick)
        try:
            answer, after = await log.rewind(back), versions[back]
        except HistoryTrimmed:
            return
    if answer.version is not None:
        versions[answer.version] = after


@pytest.mark.parametrize("seed", [4, 8, 9, 17, 19])  # of twenty, those that did not end
async def test_trimming_again_and_again(session_id: str, seed: int) -> None:
    """
    Of a history that goes back and forth, as segments are merged: it ends, and every version from the floor on still reads.

    A merged segment holds events from long before the floor, which start from what was trimmed before: that must lead nowhere.
    """
    limits = Limits(inline_bytes=200, tail_bytes=400, carried_bytes=300, merge_bytes=(1200, 5000))
    random, log = Random(seed), EventLog(MemoryStore(), session_id, limits=limits)
    versions: list[list[Any]] = [[]]
    for number in range(400):
        newest = len(versions) - 1
        kind = random.choices(("add", "pop", "rewind", "undo", "clear", "trim"), (12, 3, 4, 4, 1, 2))[0]
        try:
            if kind == "add":
                await log.add(orjson.dumps([f"{number} {random.randbytes(30).hex()}"]), 1)
            elif kind == "pop":
                await pop_newest(log, random.randint(1, 4), Told({}))
            elif kind == "rewind":
                await log.rewind(max(0, newest - random.randint(1, 20)))
            elif kind == "undo":
                await step(log, random.randint(1, 3), Told({}), forward=random.random() < 0.4)
            elif kind == "clear":
                await log.clear()
            else:
                await log.trim(max(0, newest - random.randint(5, 40)))
        except HistoryTrimmed:
            continue
        view = await log.read()
        versions += [view.items for _ in range(len(versions), view.version + 1)]
    head = await log.head()
    assert any(ref.hole for ref in head.index)
    cold = EventLog(CountingStore(log.store), session_id, limits=limits)
    for version in range(head.floor, head.version + 1):
        assert (await cold.read(None, version)).items == versions[version]
    assert (await log.verify()).sound
