"""Faults on request: that each is what it says, on stores that differ as real ones do; and what they showed of the log."""

import asyncio
import gc
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import orjson
import pytest

from eventlog_session import CorruptLog, EventLog, ForkDetected, Limits, MemoryStore, OutcomeUnknown, Retry, Unavailable
from eventlog_session.protocol.adoption import legacy_key
from eventlog_session.stores.base import Committed, NotCommitted, Put, Value
from eventlog_session.testing import PROFILES, Chance, Fault, FaultyStore, ProfiledStore, Script, StoreContract
from eventlog_session.testing.faulty import APPLICABLE
from eventlog_session.testing.profiles import BORN_TWICE, LOST_RACE_OK, MISSING_PASSED, TORN

HEAD = "evl:{aaaaaaaaaaaaaaaaaaaaaaaaaa}:h"
ONE, TWO = (Put(HEAD.replace(":h", f":e:{name}"), f'["{name}"]'.encode()) for name in ("one", "two"))


def head(text: str, ttl: int | None = None) -> Put:
    """A head that says *text*."""
    return Put(HEAD, orjson.dumps([text]), ttl)


async def add(log: EventLog, *items: Any) -> int | None:
    """Append *items* as one event and return the version it made."""
    return (await log.add(orjson.dumps(items), len(items))).version


class TestFaultyStoreIsAStore(StoreContract):
    """Without faults, it is as good as what it wraps."""

    @pytest.fixture
    def store(self) -> FaultyStore:
        """Nothing goes wrong."""
        return FaultyStore(MemoryStore())


@pytest.mark.parametrize("profile", PROFILES)
class TestProfiledStoreIsAStore(StoreContract):
    """Whatever a profile's sins are, they are within what the port allows."""

    @pytest.fixture
    def store(self, profile: str) -> ProfiledStore:
        """Each profile in turn."""
        return ProfiledStore(profile)


# ---- each fault --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "outcome", "heads", "values"),
    [
        (Fault.UNREACHABLE, NotCommitted, False, False),
        (Fault.DROPPED, NotCommitted, False, False),
        (Fault.LOST_REPLY, NotCommitted, True, True),
        (Fault.LATE, NotCommitted, False, False),
        (Fault.TWICE, NotCommitted, True, True),
        (Fault.TORN, NotCommitted, False, True),
        (Fault.FALSE_SUCCESS, Committed, False, False),
    ],
)
async def test_what_a_fault_makes_of_a_commit(
    fault: Fault, outcome: type[Committed | NotCommitted], heads: bool, values: bool
) -> None:
    """What is said of it, and what is in the store; it is counted, and the next commit works."""
    inner = ProfiledStore("sql")
    await inner.create(head("before"))
    etag = (await inner.get(HEAD) or Value(b"", "")).etag
    store = FaultyStore(inner, Script(commit=[fault]))
    said = await store.commit(head("after"), etag, [ONE])
    assert isinstance(said, outcome)
    assert getattr(said, "sent", True) == (fault is not Fault.UNREACHABLE)
    found = await inner.get(HEAD)
    assert found is not None
    assert (found.data == head("after").value, bool(await inner.get_many([ONE.key]))) == (heads, values)
    assert store.injected == {fault: 1}
    if not heads:
        assert isinstance(await store.commit(head("after"), etag, [TWO]), Committed)


async def test_a_late_write_lands_after_later_ones() -> None:
    """By itself before the call after *late* others, or at once when it is told to; then its etag may be an old one."""
    inner = ProfiledStore("sql")
    await inner.create(head("before"))
    etag = (await inner.get(HEAD) or Value(b"", "")).etag
    store = FaultyStore(inner, Script(put_many=[Fault.LATE, Fault.LATE], commit=[Fault.LATE]), late=2)
    with pytest.raises(Unavailable):
        await store.put_many([ONE])
    await store.ping()
    assert await inner.get(ONE.key) is None
    await store.ping()
    assert await inner.get(ONE.key) is not None
    assert isinstance(await store.commit(head("late"), etag, [TWO]), NotCommitted)
    assert isinstance(await inner.commit(head("after"), etag, []), Committed)
    assert await store.land() == 1
    assert (await inner.get(HEAD) or Value(b"", "")).data == head("after").value
    assert await store.land() == 0


async def test_what_a_fault_makes_of_other_writes() -> None:
    """Half done, done and not told, not done; a creation that fails is for its caller to read."""
    inner = MemoryStore()
    store = FaultyStore(inner, Script(put_many=[Fault.TORN, Fault.LOST_REPLY, Fault.DROPPED], create=[Fault.LOST_REPLY]))
    for there in ([ONE.key], [ONE.key, TWO.key], [ONE.key, TWO.key]):
        with pytest.raises(Unavailable):
            await store.put_many([ONE, TWO])
        assert list(await inner.get_many([ONE.key, TWO.key])) == there
    await store.create(head("created"))
    assert await inner.get(HEAD) is not None
    assert store.injected == {Fault.TORN: 1, Fault.LOST_REPLY: 2, Fault.DROPPED: 1}


async def test_what_a_fault_makes_of_reads() -> None:
    """Holes, nothing at all, what was read before; down is down until it is up again."""
    store = FaultyStore(
        MemoryStore(),
        Script(get_many=[Fault.HOLES, Fault.STALE], get=[None, Fault.STALE_HEAD, Fault.STALE_HEAD, Fault.DROPPED]),
    )
    await store.put_many([head("old"), ONE, TWO])
    assert list(await store.get_many([ONE.key, TWO.key])) == [TWO.key]
    assert await store.get_many([ONE.key, TWO.key]) == {}
    assert list(await store.get_many([ONE.key, TWO.key])) == [ONE.key, TWO.key]
    old = await store.get(HEAD)
    await store.put_many([head("new")])
    assert await store.get(HEAD) == old
    assert await store.get(ONE.key) is not None, "never read before, so there is nothing stale to return"
    with pytest.raises(Unavailable):
        await store.get(HEAD)
    assert (await store.get(HEAD) or Value(b"", "")).data == head("new").value
    store.down = True
    with pytest.raises(Unavailable):
        await store.ping()
    assert repr(store) == (
        "<FaultyStore down dropped request: 1, holes in a bulk read: 1, stale bulk read: 1, stale read of a head: 2, "
        "unreachable: 1>"
    )
    store.down = False
    await store.ping()


def test_a_fault_that_a_call_cannot_have_is_refused() -> None:
    """A script that asks for what never happens would test nothing."""
    with pytest.raises(ValueError, match="get can't fail"):
        Script(get=[Fault.LOST_REPLY])
    with pytest.raises(ValueError, match="gett can't fail"):
        Script(gett=[Fault.DROPPED])


def test_chance_follows_its_seed() -> None:
    """The same seed, the same faults; each call has those that it can have, all of them in time."""
    chances = dict.fromkeys(Fault, 0.2)

    def drawn(seed: int) -> list[Fault | None]:
        chance = Chance(Random(seed).random, chances)
        return [chance(method) for _ in range(200) for method in APPLICABLE]

    assert drawn(1) == drawn(1) != drawn(2)
    methods = list(APPLICABLE)
    for place, faults in enumerate(APPLICABLE.values()):
        assert set(drawn(1)[place :: len(methods)]) == {None, *faults}


# ---- each profile ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "kept"), [("redis", True), ("sql", False), ("mongodb", False), ("etcd", False), ("plain", True)]
)
async def test_what_a_refused_head_leaves_behind(profile: str, kept: bool) -> None:
    """On Redis, and where there are no transactions, its siblings; no reader is to see them."""
    store = ProfiledStore(profile)
    await store.create(head("stands"))
    assert isinstance(await store.commit(head("refused"), "777", [ONE]), NotCommitted)
    assert (await store.get(HEAD) or Value(b"", "")).data == head("stands").value
    assert bool(await store.get_many([ONE.key])) == kept
    assert store.seen == ({TORN: 1} if profile == "redis" else {})


@pytest.mark.parametrize("profile", PROFILES)
async def test_an_etag_of_a_key_that_is_gone(profile: str) -> None:
    """Redis and MongoDB let it pass, and on Redis the count begins again: the head that was is back under an old etag."""
    store = ProfiledStore(profile)
    await store.create(head("first"))
    etag = (await store.get(HEAD) or Value(b"", "")).etag
    await store.delete_many([HEAD])
    outcome = await store.commit(head("again"), etag, [])
    assert isinstance(outcome, Committed) == (profile in ("redis", "mongodb"))
    assert store.seen[MISSING_PASSED] == isinstance(outcome, Committed)
    if profile == "redis":
        assert (await store.get(HEAD) or Value(b"", "")).etag == etag


async def test_a_race_lost_on_etcd_looks_won() -> None:
    """Who looked before the other wrote is told of success, its other values are there, and its head is not."""
    store = ProfiledStore("etcd")
    await store.create(head("before"))
    etag = (await store.get(HEAD) or Value(b"", "")).etag
    both = await asyncio.gather(store.commit(head("mine"), etag, [ONE]), store.commit(head("other's"), etag, [TWO]))
    assert all(isinstance(one, Committed) for one in both)
    assert (await store.get(HEAD) or Value(b"", "")).data == head("mine").value
    assert len(await store.get_many([ONE.key, TWO.key])) == 2
    assert store.seen == {LOST_RACE_OK: 1}


async def test_a_creation_on_etcd_can_undo_a_commit() -> None:
    """Who looked before the head was there writes over it: what `ForkDetected` is for."""
    pauses = [asyncio.Event(), asyncio.Event()]
    waits = iter(pauses)
    store = ProfiledStore("etcd", pause=lambda: next(waits).wait())
    late = asyncio.create_task(store.create(head("genesis")))
    await asyncio.sleep(0)
    await store.put_many([head("moved on")])
    pauses[0].set()
    await late
    assert (await store.get(HEAD) or Value(b"", "")).data == head("genesis").value
    assert store.seen == {BORN_TWICE: 1}


async def test_a_failover_takes_writes_back() -> None:
    """Whole requests, the newest first; Redis then gives the same etags to other values, the others never do."""
    for profile in ("redis", "sql"):
        store = ProfiledStore(profile)
        await store.create(head("first"))
        first = await store.get(HEAD)
        assert first is not None
        assert isinstance(await store.commit(head("second"), first.etag, [ONE]), Committed)
        lost = await store.get(HEAD)
        store.fail_over(1)
        assert await store.get(HEAD) == first
        assert await store.get(ONE.key) is None
        assert isinstance(await store.commit(head("other"), first.etag, [TWO]), Committed)
        other = await store.get(HEAD)
        assert lost is not None
        assert other is not None
        assert (other.etag == lost.etag) == (profile == "redis")
        store.fail_over(99)
        assert await store.get(HEAD) is None


async def test_a_ttl_on_redis_outlasts_a_write_without_one() -> None:
    """And a refused head takes the loser's; elsewhere a write without a ttl has none, and a loser changes nothing."""
    for profile, stays in (("redis", False), ("sql", True)):
        now = [1000.0]
        store = ProfiledStore(profile, clock=lambda now=now: now[0])  # type: ignore[misc]
        await store.put_many([head("short", ttl=10)])
        await store.put_many([head("for good")])
        now[0] += 5
        assert isinstance(await store.commit(head("loser", ttl=100), "777", []), NotCommitted)
        now[0] += 50
        assert await store.get(HEAD) is not None, profile
        now[0] += 100
        assert (await store.get(HEAD) is not None) == stays


async def test_text_stores_change_what_is_no_text() -> None:
    """MongoDB gives back what it can read; the log must not write bytes there."""
    for profile in PROFILES:
        store = ProfiledStore(profile)
        await store.put_many([Put(ONE.key, b"[\xff")])
        assert ((await store.get(ONE.key) or Value(b"", "")).data == b"[\xff") == (await store.traits()).keeps_bytes


# ---- what they showed of the log -----------------------------------------------------------------------------------------

SMALL = Limits(inline_bytes=16, tail_bytes=1, carried_bytes=1, cache_bytes=1)


@pytest.mark.parametrize("fault", [Fault.HOLES, Fault.STALE])
async def test_a_bulk_read_with_holes_is_no_damage(fault: Fault, session_id: str) -> None:
    """What a bulk read left out is read again singly: the history is whole, and nothing is called damaged."""
    inner = MemoryStore()
    log = EventLog(inner, session_id, limits=SMALL)
    for number in range(6):
        await add(log, {"number": number, "text": "x" * 40})
    await log.settle()
    store = FaultyStore(inner, Script(get_many=[fault] * 20))
    view = await EventLog(store, session_id, limits=SMALL).read()
    assert [item["number"] for item in view.items] == list(range(6))
    assert store.injected[fault]


async def test_what_is_really_missing_is_still_damage(session_id: str) -> None:
    """Read singly and not there, with the head standing still: CorruptLog names the key."""
    inner = MemoryStore()
    log = EventLog(inner, session_id, limits=SMALL)
    await add(log, "x" * 40)
    await log.settle()
    (gone,) = [key for key in inner._values if ":e:" in key]
    await inner.delete_many([gone])
    with pytest.raises(CorruptLog, match=gone.replace("{", r"\{")):
        await EventLog(inner, session_id, limits=SMALL).read()


async def test_another_segment_in_its_place_is_damage(session_id: str) -> None:
    """Whole, readable, of the same versions and not the one that the head names: what was mixed up is not read as history."""
    inner = MemoryStore()
    for name in (session_id, "another"):
        log = EventLog(inner, name, limits=SMALL)
        await add(log, {"of": name})
        await add(log, {"of": name})
        await log.settle()
    segments = [key for key in inner._values if ":s:" in key]
    ours, other = segments[0], segments[len(segments) // 2]
    await inner.put_many([Put(ours, (await inner.get_many([other]))[other])])
    with pytest.raises(CorruptLog, match=ours.replace("{", r"\{")):
        await EventLog(inner, session_id, limits=SMALL).read()


def _quick() -> Retry:
    return Retry(budget=0.05, first=0.001, cap=0.002)


async def test_an_error_that_comes_after_its_caller_left_is_no_leak(session_id: str) -> None:
    """A cancelled call waits for one deadline; an outcome after that has nobody to go to, and is no leaked error either."""
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(str(context)))
    store = FaultyStore(MemoryStore(), Script(commit=[Fault.DROPPED]))
    log = EventLog(store, session_id, limits=Limits(deadline=0.001), retry=_quick())
    await log.read()
    call = asyncio.create_task(add(log, 1))
    for _ in range(100):
        if not store.injected:
            await asyncio.sleep(0)
    assert store.injected == {Fault.DROPPED: 1}
    store.down = True
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert log._lane._worker is not None
    await log.settle()
    del log, call
    gc.collect()
    assert complaints == []


@pytest.mark.parametrize("when", ["before it was sent", "after it was sent"])
async def test_a_fork_that_only_a_cancelled_call_saw_is_told_to_the_next(when: str, session_id: str) -> None:
    """An acknowledged add is lost in a failover; whoever knew is told, though the first to find out had been cancelled."""
    inner = ProfiledStore("sql")
    gate = _Gate(FaultyStore(inner, Script()))
    log = EventLog(gate, session_id, retry=_quick())
    for number in range(3):
        await add(log, number)
    await log.settle()
    inner.fail_over(2)
    gate.closed = "get" if when.startswith("before") else "commit"
    if when.startswith("before"):
        log._heads._known = _without_etag(log)
    call = asyncio.create_task(add(log, "lost"))
    await gate.reached.wait()
    call.cancel()
    await asyncio.sleep(0)
    gate.open.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    with pytest.raises(ForkDetected):
        await add(log, "next")
    assert await add(log, "after") is not None


def _without_etag(log: EventLog) -> Any:
    known = log._heads._known
    assert known is not None
    return replace(known, etag=None)


class _Gate:
    """A store whose next call of the method *closed*, of keys that begin with *key*, waits until it is *open*."""

    def __init__(self, inner: FaultyStore, key: str = "") -> None:
        self._inner = inner
        self._key = key
        self.closed = ""
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def get(self, key: str) -> Value | None:
        if key.startswith(self._key):
            await self._pass("get")
        return await self._inner.get(key)

    async def commit(self, head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:
        await self._pass("commit")
        return await self._inner.commit(head, etag, values)

    async def _pass(self, method: str) -> None:
        if method == self.closed:
            self.closed = ""
            self.reached.set()
            await self.open.wait()


@pytest.mark.parametrize("events", [1, 3])
async def test_a_commit_over_what_another_call_has_read_is_a_fork(events: int, session_id: str) -> None:
    """The store forgets what was read and gives its etag again, and a commit under way lands on it: the next call is told."""
    inner = ProfiledStore("redis")
    gate = _Gate(FaultyStore(inner))
    log = EventLog(gate, session_id)
    await add(log, "a")
    gate.closed = "commit"
    adds = asyncio.gather(*(add(log, n) for n in range(events)))
    await gate.reached.wait()
    await add(EventLog(inner, session_id), "b")
    assert (await log.read()).items == ["a", "b"]
    inner.fail_over(1)
    gate.open.set()
    assert await adds == list(range(2, 2 + events))
    with pytest.raises(ForkDetected, match="version 2 was made twice"):
        await log.read()
    assert (await log.read()).items == ["a", *range(events)]


async def test_what_a_slow_read_saw_is_remembered(session_id: str) -> None:
    """It saw version 1 while a quicker one saw that there is no session yet: if version 1 vanishes now, that is a fork."""
    inner = ProfiledStore("sql")
    gate = _Gate(FaultyStore(inner))
    log = EventLog(gate, session_id, adopt=False)
    gate.closed = "get"
    slow = asyncio.create_task(log.read())
    await gate.reached.wait()
    assert (await log.read()).version == 0
    await add(EventLog(inner, session_id, adopt=False), "theirs")
    gate.open.set()
    assert (await slow).version == 1
    inner.fail_over(9)
    with pytest.raises(ForkDetected):
        await log.read()
    assert (await log.read()).version == 0


async def test_a_history_taken_over_meanwhile_is_not_taken_for_an_expired_one(session_id: str) -> None:
    """One process finds no head, another takes a DaprSession's history over, the first finds it taken over: it is there."""
    inner = ProfiledStore("sql")
    inner.hold(Put(legacy_key(session_id), b'["{\\"left\\":1}","{\\"left\\":2}"]'))
    gate = _Gate(FaultyStore(inner), key=legacy_key(session_id))
    gate.closed = "get"
    pop = asyncio.create_task(EventLog(gate, session_id).pop())
    await gate.reached.wait()
    await add(EventLog(inner, session_id), "new")
    gate.open.set()
    assert (await pop).item == "new"


@pytest.mark.parametrize("profile", ["plain", "etcd"])
async def test_a_takeover_that_was_torn_is_made_again(profile: str, session_id: str) -> None:
    """
    What a DaprSession left is still the history where the values have landed and the head has not.

    Without transactions that may be; and on etcd, where who is overtaken between looking and writing writes the values.
    """
    inner = ProfiledStore(profile)
    inner.hold(Put(legacy_key(session_id), b'["{\\"left\\":1}"]'))
    store = FaultyStore(inner, Script(commit=[Fault.TORN] * 99))
    with pytest.raises(OutcomeUnknown):
        await add(EventLog(store, session_id, retry=_quick()), "new")
    assert (await EventLog(inner, session_id).read()).items == [{"left": 1}]


async def test_a_cancelled_call_with_nothing_to_do_is_not_done_later(session_id: str) -> None:
    """A pop of nothing in a group whose commit loses its race: cancelled meanwhile, it takes nothing from the winner."""
    inner = ProfiledStore("sql")
    gate = _Gate(FaultyStore(inner))
    gate.closed = "commit"
    log = EventLog(gate, session_id)
    pop, mine = asyncio.create_task(log.pop()), asyncio.create_task(add(log, "mine"))
    await gate.reached.wait()
    pop.cancel()
    await asyncio.sleep(0)
    await add(EventLog(inner, session_id), "theirs")
    gate.open.set()
    await mine
    with pytest.raises(asyncio.CancelledError):
        await pop
    assert (await EventLog(inner, session_id).read()).items == ["theirs", "mine"]


async def test_a_walk_whose_history_is_taken_back_ends(session_id: str) -> None:
    """Another call was told of the failover already; the walk can't go on with what stands there now, and says so."""
    inner = ProfiledStore("sql")
    log = EventLog(inner, session_id, limits=SMALL)
    for number in range(8):
        await add(log, {"number": number, "text": "x" * 40})
        await log.settle()
    reader = EventLog(FaultyStore(inner), session_id, limits=SMALL)
    walk = reader.events()
    assert (await anext(walk))[0] == 1
    inner.fail_over(8)
    with pytest.raises(ForkDetected):
        await reader.read()
    with pytest.raises(ForkDetected):
        await anext(walk)
