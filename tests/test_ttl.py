"""A ttl: sliding, for the whole session, on every kind of clock; and history that never expires under a live head."""

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import pytest
from staged import Faulty, Time, Untold, add, do, fill, noise, turns, warm, whole

from eventlog_session import CorruptLog, EventLog, ForkDetected, Limits, MemoryStore, OutcomeUnknown, Retry
from eventlog_session.core.keys import Keys
from eventlog_session.testing import CountingStore, Fault, FaultyStore, ProfiledStore, Script

pytestmark = pytest.mark.usefixtures("bounded")


async def test_a_session_expires_whole(time: Time, session_id: str) -> None:
    """A ttl after the last write, whoever wrote it: then it is empty, not shorter, and a new one begins without an error."""
    plain = MemoryStore(clock=time.clock)
    log = EventLog(plain, session_id, runtime=time.runtime())
    await add(log, 1, ttl=100)
    for number in range(2, 6):
        time.now += 90
        await add(log, number)  # a ttl of None follows
        assert (await log.read()).items == list(range(1, number + 1))
    assert (await log.head()).ttl == 100
    time.now += 99
    assert len((await log.read()).items) == 5
    time.now += 2
    other = EventLog(CountingStore(plain), session_id, runtime=time.runtime())
    assert (await log.read()).items == []
    assert (await other.read()).items == []
    assert await add(log, "new") == 1
    assert (await log.head()).ttl is None
    assert (await other.read()).items == ["new"]


@pytest.mark.parametrize("call", ["read", "add", "pop"])
async def test_an_expired_session_is_no_fork(call: str, time: Time, session_id: str) -> None:
    """Also when what follows is the first to notice, and when another process has begun anew."""
    for anew in (False, True):
        plain = MemoryStore(clock=time.clock)
        log = EventLog(plain, session_id, runtime=time.runtime())
        await add(log, 1, ttl=100)
        await log.settle()
        time.now += 101
        if anew:
            await add(EventLog(CountingStore(plain), session_id, runtime=time.runtime()), "new")
        await do(log, call)
        assert (await log.read()).items == {"read": ["new"], "add": ["new", "x"], "pop": []}[call][
            0 if anew or call == "pop" else 1 :
        ]


async def test_what_may_land_on_an_expired_head_stays_unknown(time: Time, session_id: str) -> None:
    """It is the one that it was sent on, for as long as the store keeps it."""
    store = Faulty("late", clock=time.clock)
    log = EventLog(store, session_id, runtime=time.runtime(), retry=Retry(budget=1))
    store.plan.appendleft("done")
    await add(log, 1, ttl=100)
    await log.settle()
    time.now += 80
    store.meanwhile = store.fail
    with pytest.raises(OutcomeUnknown) as unknown:
        await add(log, 2)
    store.down = False
    time.now += 30
    assert (await log.read()).items == []
    with pytest.raises(OutcomeUnknown):
        await log.resolve(unknown.value)
    assert await store.land() == [True]
    assert await log.resolve(unknown.value) == 2
    assert (await log.read()).items == [1, 2]


async def test_parts_outlast_a_longer_ttl_that_came_with_them(time: Time, session_id: str) -> None:
    """Of a commit that lengthens the ttl the head lives longer than what was asked for with the parts, which it names."""
    plain = MemoryStore(clock=time.clock)
    await add(EventLog(plain, session_id, runtime=time.runtime()), 1, ttl=10)
    store = FaultyStore(plain, Script(put_many=[None, *[Fault.DROPPED] * 9]))  # the parts are written, nothing is renewed
    log = EventLog(store, session_id, runtime=time.runtime())
    large = noise(1, 400_000)
    await asyncio.gather(add(log, 2), add(log, large), add(log, 3, ttl=1000))
    await log.settle()
    assert store.injected[Fault.DROPPED] == 1
    time.now += 990
    assert await whole(plain, session_id, runtime=time.runtime()) == [1, 2, large, 3]


async def test_parts_expire_when_they_do_whenever_they_are_committed(time: Time, session_id: str) -> None:
    """They are written once, before the first attempt; a later one counts from then."""
    store = Faulty("dropped", clock=time.clock)
    began = time.now

    async def rival() -> None:
        time.now += 15
        await add(EventLog(CountingStore(store), session_id, runtime=time.runtime()), 1, ttl=20)

    store.meanwhile = rival
    log = EventLog(store, session_id, runtime=time.runtime())
    await add(log, noise(1, 400_000), ttl=20)
    assert (await log.head()).version == 2
    assert (await log.head()).values_expire == began + 60


@pytest.mark.parametrize("profile", ["sql", "redis", "mongodb"])
@pytest.mark.parametrize("late", [1, 2, 3])
async def test_what_is_under_way_when_the_session_expires_is_written_once(
    late: int, profile: str, time: Time, session_id: str
) -> None:
    """Its head looks like none then, and still is the one it was sent on: it may land and have the session live on."""
    plain = ProfiledStore(profile, clock=time.clock)
    await add(EventLog(plain, session_id, runtime=time.runtime()), 1, ttl=15)
    time.now += 10
    store = FaultyStore(plain, Script(commit=[Fault.LATE]), late=late)
    waits = iter([10.0])

    async def sleep(_: float) -> None:
        time.now += next(waits, 0.1)

    log = EventLog(store, session_id, runtime=replace(time.runtime(), sleep=sleep))
    await add(log, 2)
    await store.land()
    assert await whole(plain, session_id, runtime=time.runtime()) == [1, 2]
    assert (await log.read()).items == [1, 2]


async def test_a_head_about_to_expire_is_read_first(time: Time, session_id: str) -> None:
    """A commit through a remembered head could reach the store after it expired, and on Redis bring it back to life."""
    store = CountingStore(Untold(clock=time.clock))
    log = EventLog(store, session_id, runtime=time.runtime())
    await add(log, 1, ttl=100)
    await warm(log, store)
    await add(log, 2)
    assert store.trips == 1
    await warm(log, store)
    time.now += 80
    await add(log, 3)
    assert store.trips == 2, store


async def test_another_ttl_holds_for_all(time: Time, session_id: str) -> None:
    """The newest one given is the session's, for every writer."""
    plain = MemoryStore(clock=time.clock)
    log = EventLog(plain, session_id, runtime=time.runtime())
    other = EventLog(CountingStore(plain), session_id, runtime=time.runtime())
    await add(log, 1, ttl=100)
    await add(other, 2, ttl=1000)
    await add(log, 3)
    time.now += 800
    assert (await log.read()).items == [1, 2, 3]
    await add(log, 4, ttl=10)
    time.now += 11
    assert (await log.read()).items == []
    assert (await other.read()).items == []  # it knew of a longer ttl; the head that lingers tells it of the shorter one


def ends(plain: MemoryStore) -> dict[str, float]:
    """Return when each value expires, without the heads and the redundant own keys of events."""
    large = {key for key, (data, _, _) in plain._values.items() if ":e:" in key and len(data) > 20_000}
    return {key: end for key, (_, _, end) in plain._values.items() if key.split(":")[2] in "spn" or key in large}


async def quiet(log: EventLog) -> None:
    """Wait for what goes on in the background."""
    await turns(5)
    await log.settle()


async def test_what_a_head_names_is_renewed_in_the_background(time: Time, session_id: str) -> None:
    """Segments, large events and parts live for three ttls and are written again after one: a commit never waits for it."""
    plain = MemoryStore(clock=time.clock)
    store = CountingStore(plain)
    log = EventLog(store, session_id, runtime=time.runtime())
    await add(log, noise(1, 30_000), ttl=100)
    await add(log, noise(2, 600_000))
    await fill(log, 400, size=100)
    began = time.now
    assert set(ends(plain).values()) == {began + 300}
    for _ in range(8):
        time.now += 90
        await quiet(log)
        store.reset()
        await add(log, "on")
        assert store.calls["put_many"] == 0
        await quiet(log)
    assert time.now > began + 600
    assert len(ends(plain)) >= 5
    assert min(ends(plain).values()) >= time.now + 100
    assert len(await whole(plain, session_id, runtime=time.runtime())) == 410
    assert (await log.verify()).sound


async def test_a_commit_waits_where_the_background_did_not_come_to_it(time: Time, session_id: str) -> None:
    """Past two ttls, in a process that just started: everything is renewed before the head that would outlive it."""
    plain = MemoryStore(clock=time.clock)
    first = EventLog(plain, session_id, runtime=time.runtime())
    await add(first, noise(1, 30_000), ttl=100)
    await fill(first, 400, size=100)
    for number in range(6):
        time.now += 90
        await add(EventLog(CountingStore(plain), session_id, runtime=time.runtime()), number)  # and the process is gone
        assert min(ends(plain).values()) >= time.now + 100
    assert len(await whole(plain, session_id, runtime=time.runtime())) == 407
    time.now += 101
    assert await whole(plain, session_id, runtime=time.runtime()) == []


async def test_a_longer_ttl_renews_first(time: Time, session_id: str) -> None:
    """A head must not be given ten times the ttl while what it names still has the old one; a shorter one needs nothing."""
    plain = MemoryStore(clock=time.clock)
    log = EventLog(plain, session_id, runtime=time.runtime())
    await add(log, noise(1, 30_000), ttl=100)
    await fill(log, 400, size=100)
    await add(log, "longer", ttl=1000)
    await quiet(log)
    assert min(ends(plain).values()) >= time.now + 1000
    time.now += 990
    assert len(await whole(plain, session_id, runtime=time.runtime())) == 402
    await add(log, "shorter", ttl=10)
    await quiet(log)
    time.now += 11
    assert await whole(plain, session_id, runtime=time.runtime()) == []


async def test_a_bulk_read_with_holes_renews_everything(time: Time, session_id: str) -> None:
    """What it leaves out is there when it is asked for by itself, and is no damage."""
    plain = MemoryStore(clock=time.clock)
    log = EventLog(plain, session_id, runtime=time.runtime())
    await add(log, noise(1, 30_000), ttl=100)
    await fill(log, 400, size=100)
    await quiet(log)
    holes = FaultyStore(plain, Script(get_many=[Fault.HOLES, Fault.STALE] * 50))
    await add(EventLog(holes, session_id, runtime=time.runtime()), "longer", ttl=1000)
    assert holes.injected[Fault.HOLES]
    assert min(ends(plain).values()) >= time.now + 1000


async def test_a_ttl_that_comes_late_is_for_everything(time: Time, session_id: str) -> None:
    """Values written without a ttl are given one when the session is: an expired session leaves no history behind."""
    plain = MemoryStore(clock=time.clock)
    log = EventLog(plain, session_id, runtime=time.runtime())
    await add(log, noise(1, 30_000))
    await fill(log, 400, size=100)
    assert set(ends(plain).values()) == {float("inf")}
    await add(log, "from now on", ttl=100)
    await quiet(log)
    assert max(ends(plain).values()) < float("inf")


async def test_a_ttl_that_comes_late_is_tried_again(time: Time, session_id: str) -> None:
    """The first pass over what has no ttl failed, its process is gone: the next writer's makes up for it."""
    plain = MemoryStore(clock=time.clock)
    log = EventLog(plain, session_id, runtime=time.runtime())
    await add(log, noise(1, 30_000))
    await fill(log, 400, size=100)
    log._renewer.start = lambda *_, **__: None  # type: ignore[method-assign]
    await add(log, "from now on", ttl=100)
    await quiet(log)
    assert set(ends(plain).values()) == {float("inf")}
    other = EventLog(CountingStore(plain), session_id, runtime=time.runtime())
    await add(other, "on")
    await quiet(other)
    assert max(ends(plain).values()) < float("inf")


async def test_a_renewal_of_another_ttl_is_not_believed(time: Time, session_id: str) -> None:
    """
    One process renewed all that there was; then another made the ttl short, sealed, and made it long again, and was gone.

    Everything that the first one sees fits what it renewed, but for when the ttl was last set.
    """
    plain = MemoryStore(clock=time.clock)
    one = EventLog(CountingStore(plain), session_id, runtime=time.runtime())
    await add(one, noise(1, 30_000), ttl=1000)
    time.now += 990
    await add(one, 1)
    time.now += 910
    await add(one, 2)
    await quiet(one)
    assert set(ends(plain).values()) == {time.now + 3000}
    other = EventLog(CountingStore(plain), session_id, runtime=time.runtime())
    other._renewer.start = lambda *_, **__: None  # type: ignore[method-assign]
    await add(other, "short", ttl=400)
    await fill(other, 300, size=100)
    await add(other, "long", ttl=1000)
    assert min(ends(plain).values()) == time.now + 1200
    assert (await other.head()).values_expire == time.now + 1100  # as it was when the first one renewed
    time.now += 300
    await add(one, "on")
    assert min(ends(plain).values()) >= time.now + 1000
    assert (await one.verify()).sound


async def test_a_missing_value_fails_the_commit_that_would_renew_it(time: Time, session_id: str) -> None:
    """And names it: a head is not kept alive over history that is not there."""
    plain = MemoryStore(clock=time.clock)
    log = EventLog(plain, session_id, runtime=time.runtime())
    await add(log, noise(1, 30_000), ttl=100)
    await quiet(log)
    (key,) = ends(plain)
    del plain._values[key]
    time.now += 90
    await add(log, 1)
    time.now += 90
    await add(log, 2)
    time.now += 90
    with pytest.raises(CorruptLog, match=key):
        await add(log, 3)


async def test_a_head_that_outlived_its_ttl_reads_as_gone(time: Time, session_id: str) -> None:
    """
    A head stays in the store for as long as a write may be under way: a missing key passes any etag on Redis.

    Also where a losing writer took its ttl away for good. What the head says of itself counts, and a new session begins.
    """
    plain = MemoryStore(clock=time.clock)
    log = EventLog(plain, session_id, runtime=time.runtime())
    await add(log, "old", ttl=100)
    await fill(log, 300, size=100)
    key = Keys(session_id).head
    data, etag, end = plain._values[key]
    assert end == time.now + 100 + Limits().stray
    plain._values[key] = data, etag, float("inf")
    time.now += 100
    for known in (log, EventLog(CountingStore(plain), session_id, runtime=time.runtime())):
        assert (await known.read()).items == []
        assert (await known.pop()).version is None
    assert await add(log, "new") == 1
    assert await whole(plain, session_id, runtime=time.runtime()) == ["new"]
    assert (await log.head()).ttl is None


async def test_a_writer_that_slept_through_the_expiry_starts_anew(time: Time, session_id: str) -> None:
    """Neither clock alone need be right: one that stands still is caught by the other."""
    for frozen in ("clock", "monotonic"):
        plain = Untold(clock=time.clock)
        store = CountingStore(plain)
        steady = time.now
        options: dict[str, Any] = {frozen: lambda steady=steady: steady}
        runtime = replace(time.runtime(), **options)
        log = EventLog(store, frozen, runtime=runtime)
        await add(log, "old", ttl=100)
        await warm(log, store)
        time.now += 101
        await add(EventLog(CountingStore(plain), frozen, runtime=time.runtime()), "successor")
        store.reset()
        with contextlib.suppress(ForkDetected):  # with a wrong clock it can't tell an expiry from a lost write
            await add(log, "late")
        assert store.calls["get"] >= 1
        assert (await whole(plain, frozen, runtime=time.runtime()))[0] == "successor"


async def test_parts_outlive_a_ttl_made_longer_meanwhile(time: Time, session_id: str) -> None:
    """They were written for the ttl known then; the commit that names them is by then under a longer one."""
    plain = MemoryStore(clock=time.clock)
    log = EventLog(plain, session_id, runtime=time.runtime())
    await add(log, 1, ttl=100)
    large = noise(1, 1_000_000)
    await asyncio.gather(add(log, large), add(log, 2, ttl=1000), return_exceptions=True)
    items = sorted(map(str, await whole(plain, session_id, runtime=time.runtime())))
    time.now += 900
    assert sorted(map(str, await whole(plain, session_id, runtime=time.runtime()))) in (items, [])
