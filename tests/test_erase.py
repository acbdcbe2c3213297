"""Erasing: nothing of a session is left, wherever it is interrupted and whoever else is at work, and the id begins anew."""

import asyncio
import json
from collections.abc import Sequence

import orjson
import pytest
from staged import Faulty, Time, Untold, add, do, fill, noise, turns, whole

from eventlog_session import (
    BeingErased,
    Conflict,
    EventLog,
    EventLogSession,
    ForkDetected,
    Limits,
    MemoryStore,
    OutcomeUnknown,
    Retry,
    Store,
    Unavailable,
)
from eventlog_session.core.keys import Keys
from eventlog_session.core.tombstone import GENERATIONS, Tombstone
from eventlog_session.protocol.adoption import legacy_key, legacy_keys
from eventlog_session.runtime import Runtime
from eventlog_session.stores.base import Put
from eventlog_session.testing import CountingStore, Fault, FaultyStore, ProfiledStore, Script
from eventlog_session.testing.profiles import TORN

pytestmark = pytest.mark.usefixtures("bounded")
SMALL = Limits(tail_bytes=600, carried_bytes=300, index_segments=4, index_nodes=4, inline_bytes=2000, value_bytes=20_000)


async def grown(plain: MemoryStore, session_id: str, time: Time, **options: object) -> EventLog:
    """Return a log that has everything: nodes, segments, large events, parts, unswept keys, and what a DaprSession left."""
    left = json.dumps([json.dumps("left")]).encode()
    for key in legacy_keys(session_id):
        plain._values[key] = left, 1, float("inf")
    log = EventLog(plain, session_id, limits=SMALL, runtime=time.runtime(), **options)  # type: ignore[arg-type]
    await fill(log, 200, size=60)
    await add(log, noise(1, 5000))
    await add(log, noise(2, 60_000))
    await fill(log, 10, size=60)
    await log.settle()
    kinds = {key.split(":")[2] for key in plain._values if key.startswith("evl:")}
    assert kinds == set("haespn")
    return log


def left_over(plain: MemoryStore, session_id: str) -> set[str]:
    """Return the session's keys in the store but for the tombstone and the mark that a history was adopted."""
    keys = Keys(session_id)
    return plain._values.keys() - {keys.head, keys.adopted}


async def test_nothing_is_left(time: Time, session_id: str) -> None:
    """But a tombstone without the id; the receipt names every key that there was, and nothing of what was said."""
    plain = MemoryStore(clock=time.clock)
    log = await grown(plain, session_id, time)
    before = left_over(plain, session_id)
    began = time.now
    receipt = await log.erase()
    assert time.now >= began + 60
    assert before <= set(receipt.keys)
    assert receipt.tombstone == Keys(session_id).head
    assert not left_over(plain, session_id)
    stone = plain._values[Keys(session_id).head][0]
    assert session_id.encode() not in stone
    assert len(stone) < 200
    assert (await log.read()).items == []
    assert await whole(plain, session_id) == []


async def test_what_lands_within_the_grace_is_deleted_too(time: Time, session_id: str) -> None:
    """On a store that does not roll back, a commit that was refused may put its values after they were deleted once."""
    plain = MemoryStore(clock=time.clock)
    await grown(plain, session_id, time)
    values = {key: plain._values[key] for key in left_over(plain, session_id)}

    async def late(delay: float) -> None:
        assert delay == Limits().stray
        assert not left_over(plain, session_id)
        plain._values.update(values)

    log = EventLog(CountingStore(plain), session_id, limits=SMALL, runtime=Runtime(clock=time.clock, sleep=late))
    await log.erase()
    assert not left_over(plain, session_id)


@pytest.mark.parametrize("fault", [Fault.HOLES, Fault.STALE])
async def test_nothing_is_left_where_bulk_reads_leave_something_out(fault: Fault, time: Time, session_id: str) -> None:
    """What names an event's keys is read again before it is taken for deleted already: else nobody would know of them."""
    plain = MemoryStore(clock=time.clock)
    await grown(plain, session_id, time)
    store = FaultyStore(plain, Script(get_many=[fault] * 20))
    await EventLog(store, session_id, limits=SMALL, runtime=time.runtime()).erase()
    assert store.injected[fault]
    assert not left_over(plain, session_id)


async def test_a_writer_who_slept_through_it_brings_nothing_back(time: Time, session_id: str) -> None:
    """Redis keeps what a refused commit brings: a segment of the erased session is deleted again."""
    store = ProfiledStore("redis", clock=time.clock)
    limits = Limits(tail_events=3, carried_bytes=1)
    log, other = (EventLog(FaultyStore(store), session_id, limits=limits, runtime=time.runtime()) for _ in range(2))
    await fill(log, 3)
    await log.settle()
    await other.erase()
    keys = set(store._held)
    await add(log, "new")
    await log.settle()
    new = (await log.head()).tail
    assert store._held.keys() - keys == {Keys(session_id).event(new.id_of(1))}
    assert store.seen[TORN]


async def test_who_slept_through_an_erasure_erases_what_came_after(time: Time, session_id: str) -> None:
    """That the session they remember was erased is not what they asked for."""
    plain = Untold(clock=time.clock)
    log, other = (EventLog(store, session_id, runtime=time.runtime()) for store in (plain, CountingStore(plain)))
    await add(log, "old")
    await other.read()
    await log.erase()
    await add(log, "new")
    assert (await other.erase()).keys
    assert (await log.read()).items == []
    assert not left_over(plain, session_id)


async def test_a_walk_ends_where_the_session_does(time: Time, session_id: str) -> None:
    """What was erased under its feet is not continued with what began anew."""
    plain = MemoryStore(clock=time.clock)
    log = await grown(plain, session_id, time)
    walk = EventLog(CountingStore(plain), session_id, limits=SMALL, runtime=time.runtime()).events()
    await anext(walk)
    await log.erase()
    await fill(log, 100, size=60)
    new = {event.id async for _, _, event in log.events()}
    assert len(new) == 100
    assert not new & {event.id async for _, _, event in walk}


async def test_an_erased_session_begins_anew(time: Time, session_id: str) -> None:
    """With a new generation; whoever knew the old one goes on with the new one, without an error. Nothing is adopted again."""
    plain = MemoryStore(clock=time.clock)
    log = await grown(plain, session_id, time)
    others = [EventLog(CountingStore(plain), session_id, limits=SMALL, runtime=time.runtime()) for _ in range(3)]
    for other in others:
        await other.read()
    old = (await log.head()).generation
    await log.erase()
    plain._values[legacy_key(session_id)] = json.dumps([json.dumps("again")]).encode(), 1, float("inf")
    assert (await others[0].read()).items == []
    assert await add(others[1], "new") == 1
    assert (await others[2].read()).items == ["new"]
    assert await add(log, "more") == 2
    head = await log.head()
    assert head.generation != old
    assert head.erased == (old,)
    assert await whole(plain, session_id, limits=SMALL) == ["new", "more"]
    assert (await log.verify()).sound


async def test_it_takes_no_writes_while_it_is_erased(time: Time, session_id: str) -> None:
    """A run under way must not begin the conversation anew that is being erased: adds are refused; it reads as empty."""
    plain = Untold(clock=time.clock)
    log = await grown(plain, session_id, time)
    resume = asyncio.Event()

    async def sleep(delay: float) -> None:
        await resume.wait()

    eraser = EventLog(
        CountingStore(plain), session_id, limits=SMALL, runtime=type(time.runtime())(clock=time.clock, sleep=sleep)
    )
    erasing = asyncio.create_task(eraser.erase())
    await turns(400)
    assert not erasing.done()
    assert (await log.read()).items == []
    assert (await log.pop()).version is None
    assert (await log.clear()).version is None
    with pytest.raises(BeingErased, match="call it again if it was cut short"):
        await add(log, "too early")
    resume.set()
    await erasing
    assert await add(log, "now") == 1


@pytest.mark.parametrize("cut", range(1, 13, 2))
async def test_an_interrupted_erasure_is_taken_up_again(cut: int, time: Time, session_id: str) -> None:
    """Wherever it stops, another process that calls it again deletes what is left."""
    plain = MemoryStore(clock=time.clock)
    await grown(plain, session_id, time)

    class Stopping(CountingStore):
        async def delete_many(self, keys: object) -> None:
            if self.calls["delete_many"] == cut:
                raise asyncio.CancelledError
            await super().delete_many(keys)  # type: ignore[arg-type]

    first = EventLog(Stopping(plain), session_id, limits=SMALL, runtime=time.runtime())
    with pytest.raises(asyncio.CancelledError):
        await first.erase()
    second = EventLog(CountingStore(plain), session_id, limits=SMALL, runtime=time.runtime())
    assert (await second.read()).items == []
    await second.erase()
    assert not left_over(plain, session_id)
    assert await add(second, "new") == 1


@pytest.mark.parametrize("word", ["lost", "dropped", "lie"])
async def test_a_doubtful_erasure_is_settled(word: str, time: Time, session_id: str) -> None:
    """By the same protocol as every commit: by what stands there."""
    plain = Faulty(
        clock=time.clock, traits=(await Faulty().traits()) if word != "lie" else type(await Faulty().traits())(True, True)
    )
    log = await grown(plain, session_id, time)
    plain.plan.extend([word, word, word])
    await log.erase()
    assert not left_over(plain, session_id)
    assert await whole(plain, session_id) == []


async def test_writers_lose_to_an_erasure(time: Time, session_id: str) -> None:
    """Four processes write while it is erased: each add is refused, or in the new session; of the old one nothing is left."""
    plain = Untold(clock=time.clock)
    log = await grown(plain, session_id, time)
    logs = [EventLog(CountingStore(plain), session_id, limits=SMALL) for _ in range(4)]
    calls = [add(one, f"{number}.{n}") for n in range(10) for number, one in enumerate(logs)]
    done = await asyncio.gather(log.erase(grace=0), *calls, return_exceptions=True)
    refused = [one for one in done if isinstance(one, BaseException)]
    assert all(isinstance(one, BeingErased) for one in refused), refused
    await log.erase()
    await asyncio.gather(*(one.settle() for one in logs))
    assert not {key for key in left_over(plain, session_id) if ":e:" not in key}
    assert await whole(plain, session_id) == []


async def test_nothing_to_erase(store: Store, session_id: str) -> None:
    """A session that never was: no receipt, nothing written. Twice erased: the same."""
    counting = CountingStore(store)
    session = EventLogSession(session_id, store=counting)
    assert (await session.erase(grace=0)).keys == ()
    assert counting.calls["commit"] == counting.calls["delete_many"] == 0
    await session.add_items([{"role": "user", "content": "hi"}])
    assert len((await session.erase(grace=0)).keys) >= 1
    assert (await session.erase(grace=0)).keys == ()
    assert await session.get_items() == []


async def test_a_history_that_was_never_taken_over_is_erased(plain: MemoryStore, session_id: str) -> None:
    """What a `DaprSession` left is part of the session before the first write, too."""
    for key in legacy_keys(session_id):
        plain._values[key] = json.dumps([json.dumps("left")]).encode(), 1, float("inf")
    session = EventLogSession(session_id, store=plain)
    assert len(await session.get_items()) == 1
    assert set((await session.erase(grace=0)).keys) == set(legacy_keys(session_id))
    assert not left_over(plain, session_id)
    assert await session.get_items() == []
    await session.add_items([{"role": "user", "content": "new"}])
    assert len(await session.get_items()) == 1


async def test_erased_on_every_store(store: Store, session_id: str) -> None:
    """The first pass and the second, with a ttl and without; the id goes on in a new generation."""
    session = EventLogSession(session_id, store=store)
    for ttl in (None, 600):
        session = EventLogSession(session_id, store=store, ttl=ttl)
        for number in range(5):
            await session.add_items([{"role": "user", "content": noise(number, 3000)}])
        keys = [key for key in (await session.erase(grace=0)).keys if key.startswith("evl:")]
        assert len(keys) >= 5
        assert await store.get_many(keys) == {}
        stone = await store.get(Keys(session_id).head)
        assert stone is not None
        assert Tombstone.of(stone.data) is not None
        assert await EventLogSession(session_id, store=CountingStore(store)).get_items() == []
    await session.add_items([{"role": "user", "content": "new"}])
    assert (await session.read()).version == 1


async def test_only_so_many_erasures_are_remembered(time: Time, session_id: str) -> None:
    """The tombstone stays small; who slept through more is told of a fork, once."""
    plain = MemoryStore(clock=time.clock)
    sleeper = EventLog(CountingStore(plain), session_id, runtime=time.runtime())
    await add(sleeper, "first")
    log = sleeper
    for number in range(GENERATIONS + 1):
        log = EventLog(CountingStore(plain), session_id, runtime=time.runtime())
        await log.erase()
        await add(log, number)
    assert len((await log.head()).erased) == GENERATIONS
    with pytest.raises(ForkDetected):
        await do(sleeper, "read")
    assert (await sleeper.read()).items == [GENERATIONS]


async def test_an_erasure_that_was_forgotten_is_told(time: Time, session_id: str) -> None:
    """A failover that loses the tombstone brings the session back: whoever knew that it was erased hears of it, once."""
    plain = MemoryStore(clock=time.clock)
    log = await grown(plain, session_id, time)
    before = dict(plain._values)
    await log.erase()
    other = EventLog(CountingStore(plain), session_id, limits=SMALL, runtime=time.runtime())
    assert (await other.read()).items == []
    plain._values = before
    for one in (log, other):
        with pytest.raises(ForkDetected, match="erased and is back"):
            await one.read()
        assert (await one.read()).items
    await other.erase()
    assert not left_over(plain, session_id)


async def test_parts_of_a_refused_add_are_deleted(time: Time, session_id: str) -> None:
    """They were written ahead of a commit that never came."""
    plain = Untold()
    log, other = EventLog(plain, session_id), EventLog(CountingStore(plain), session_id)
    await add(log, 1)
    await log.settle()
    await add(other, 2)
    with pytest.raises(Conflict):
        await log.add(orjson.dumps([noise(1, 600_000)]), 1, expected=1)
    await log.settle()
    assert not [key for key in plain._values if ":p:" in key]


async def test_an_expired_session_is_erased_too(time: Time, session_id: str) -> None:
    """It reads as gone, but what it said is in the store until that expires: while its head is there, that can be deleted."""
    plain = MemoryStore(clock=time.clock)
    log = await grown(plain, session_id, time)
    await add(log, "with a ttl", ttl=100)
    await log.settle()
    time.now += 101
    other = EventLog(CountingStore(plain), session_id, limits=SMALL, runtime=time.runtime())
    assert (await other.read()).items == []
    assert (await other.read()).items == []
    assert len((await other.erase()).keys) > 200
    assert not left_over(plain, session_id)
    assert await add(other, "new") == 1


async def test_what_a_daprsession_wrote_after_the_erasure_is_erased_by_the_next(time: Time, session_id: str) -> None:
    """It is never taken over, and no reason to keep it."""
    plain = MemoryStore(clock=time.clock)
    log = await grown(plain, session_id, time)
    await log.erase()
    plain._values[legacy_key(session_id)] = b"[]", 1, float("inf")
    assert (await log.erase()).keys == (legacy_key(session_id),)
    assert not left_over(plain, session_id)
    assert (await log.erase()).keys == ()


async def test_parts_of_a_cancelled_add_are_deleted(session_id: str) -> None:
    """Cancelled after they were written ahead, and before anything could name them."""
    plain = Untold()
    log = EventLog(plain, session_id)
    await add(log, 1)
    put_many = plain.put_many
    reached, resume = asyncio.Event(), asyncio.Event()

    async def slow(values: Sequence[Put]) -> None:
        await put_many(values)
        if any(":p:" in put.key for put in values):
            reached.set()
            await resume.wait()

    plain.put_many = slow  # type: ignore[method-assign]
    call = asyncio.create_task(add(log, noise(1, 600_000)))
    await reached.wait()
    call.cancel()
    await turns(3)
    resume.set()
    await asyncio.wait({call})
    await log.settle()
    assert call.cancelled()
    assert not [key for key in plain._values if ":p:" in key]
    assert await whole(plain, session_id) == [1]


async def test_an_eraser_leaves_a_later_erasure_alone(time: Time, session_id: str) -> None:
    """One waits out its grace while another ends, the id is used again, and a third erasure is cut short: it is taken up."""
    plain = MemoryStore(clock=time.clock)
    log = await grown(plain, session_id, time)
    reached, resume = asyncio.Event(), asyncio.Event()

    async def wait(delay: float) -> None:
        reached.set()
        await resume.wait()

    slow = EventLog(CountingStore(plain), session_id, limits=SMALL, runtime=Runtime(clock=time.clock, sleep=wait))
    erasing = asyncio.create_task(slow.erase())
    await reached.wait()
    await log.erase()
    await fill(log, 100, size=60)
    await log.settle()

    class Failing(CountingStore):
        async def delete_many(self, keys: Sequence[str]) -> None:
            raise Unavailable("down")

    with pytest.raises(BeingErased, match=r"call erase\(\) again"):
        await EventLog(Failing(plain), session_id, limits=SMALL, runtime=time.runtime()).erase()
    resume.set()
    await erasing
    with pytest.raises(BeingErased):
        await add(log, "too early")
    assert len((await log.erase()).keys) > 100
    assert not left_over(plain, session_id)


@pytest.mark.parametrize("grace", [-1, float("nan"), float("inf")])
async def test_a_grace_is_checked_first(grace: float, plain: MemoryStore, session_id: str) -> None:
    """Before anything is deleted."""
    session = EventLogSession(session_id, store=plain)
    await session.add_items([{"role": "user", "content": "hi"}])
    with pytest.raises(ValueError, match="nothing was erased"):
        await session.erase(grace=grace)
    assert len(await session.get_items()) == 1


async def test_an_erasure_in_doubt_is_taken_up_not_resolved(time: Time, session_id: str) -> None:
    """It has no event that could be looked for: `resolve` says so by raising it again, the next erasure ends it."""
    plain = Faulty(clock=time.clock)
    log = EventLog(plain, session_id, retry=Retry(budget=1), runtime=time.runtime())
    await add(log, 1)
    await log.settle()
    plain.plan.append("lost")
    plain.meanwhile = plain.fail
    with pytest.raises(OutcomeUnknown) as raised:
        await log.erase()
    plain.down = False
    with pytest.raises(OutcomeUnknown):
        await log.resolve(raised.value)
    assert (await log.erase()).keys
    assert not left_over(plain, session_id)


async def test_what_a_daprsession_left_is_erased_where_it_is_ignored(plain: MemoryStore, session_id: str) -> None:
    """``legacy="ignore"`` does not read it; erasing a session leaves nothing of the conversation all the same."""
    plain._values[legacy_key(session_id)] = json.dumps([json.dumps("left")]).encode(), 1, float("inf")
    session = EventLogSession(session_id, store=plain, legacy="ignore")
    assert await session.get_items() == []
    assert (await session.erase(grace=0)).keys == (legacy_key(session_id),)
    assert not left_over(plain, session_id)
