"""
The past reads exactly as it did when it was the present: every version and every moment of random sessions, on every store.

Warm and cold, whole and limited, through all that a log goes through: sealing, merging, index nodes, rewinds, undo and redo,
replacement, pops of many, tags, trimming, deletion of own keys, large events and such in parts, idempotency keys.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model import examples
from played import Act, Item, Played, acts, expected, facts, limits, plain
from rig import Rig
from staged import Time

from eventlog_session import EventLog, HistoryTrimmed, Limits, MemoryStore, NoSuchPoint, Store
from eventlog_session.core.events import to_datetime
from eventlog_session.stores.dapr import DaprStore
from eventlog_session.stores.sidecar import SidecarClient
from eventlog_session.stores.sqlite import SQLiteStore
from eventlog_session.testing import CountingStore

NUMBER = {"memory": 150, "sqlite": 25}
"""Examples; on Dapr's components fewer."""
ON_DAPR = 16
EVERYTHING = (
    "add", "join", "pop", "pops", "clear", "rewind", "replace", "replace all", "undo", "redo", "tag", "untag", "keyed", "again",
    "trim", "clock backwards", "several in a commit", "carried", "segments", "merged", "swept", "nodes", "nodes of nodes",
    "holes", "far", "parts", "texts", "trimmed version", "trimmed moment", "moment between",
)  # fmt: skip
"""What must have occurred in the examples, else they show nothing of it."""


class Stores:
    """Opens stores of one kind, on whatever loop."""

    def __init__(self, backend: str, request: pytest.FixtureRequest, folder: Path) -> None:
        self.number = NUMBER.get(backend, ON_DAPR)
        self._backend = backend
        self._folder = folder
        self._rig: Rig | None = request.getfixturevalue("rig") if backend.startswith("dapr-") else None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Store]:
        """Open one, and close it."""
        store: Store = MemoryStore()
        if self._backend == "sqlite":
            store = SQLiteStore.open(self._folder / "sessions.db")
        elif self._rig is not None:
            store = DaprStore(SidecarClient(self._rig.address), self._backend.removeprefix("dapr-"))
        yield store
        await store.close()


@pytest.fixture
def stores(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    """Each kind of store in turn."""
    return Stores(backend, request, tmp_path)


@st.composite
def scenes(draw: st.DrawFn, longest: int = 60) -> tuple[Limits, list[Act]]:
    """Limits, and what is done: mostly much, since what lies deep needs many events."""
    return draw(limits()), draw(acts(longest if draw(st.integers(0, 3)) else draw(st.integers(0, longest))))


# ---- what is checked ---------------------------------------------------------------------------------------------------


async def reads_as_it_did(played: Played, log: EventLog, limit: int | None, *, fresh: bool) -> None:
    """Every version of it, and every moment; *fresh* asks another cold log each time."""
    truth = played.truth
    for version in range(truth.version + 1):
        log = played.opened(CountingStore(played.store)) if fresh else log
        await _reads(played, log, version, version, limit)
    moments = {time + around for time in truth.committed for around in (-1, 0, 1)}
    for moment in sorted(moments):
        version = truth.at(moment)
        played.seen["moment between"] += moment not in truth.committed
        played.seen["trimmed moment"] += version < truth.floor
        await _reads(played, log, to_datetime(moment), version, limit)
    for name, version in truth.tags.items():
        await _reads(played, log, name, version, limit)
    assert dict((await log.head()).tags) == truth.tags
    with pytest.raises(NoSuchPoint):
        await log.read(limit, truth.version + 1)


async def _reads(played: Played, log: EventLog, point: Any, version: int, limit: int | None) -> None:
    truth = played.truth
    if version < truth.floor:
        played.seen["trimmed version"] += 1
        with pytest.raises(HistoryTrimmed):
            await log.read(limit, point)
        with pytest.raises(HistoryTrimmed):
            await log.origins(limit, point)
        return
    items = _newest(truth.versions[version], limit)
    view = await log.read(limit, point)
    assert (view.version, view.items, view.texts) == (version, *plain(items))
    assert await log.origins(limit, point) == [item.origin for item in items]


def _newest(items: list[Item], limit: int | None) -> list[Item]:
    return items if limit is None else items[len(items) - min(limit, len(items)) :]


async def walks_through_what_happened(played: Played, log: EventLog, pick: int) -> None:
    """All of it, and any range, either way; without items those of large events are missing, and nothing else."""
    truth = played.truth
    first = max(1, truth.floor)
    newest = truth.version
    since = pick % (newest + 1)
    until = max(truth.floor, since + pick // 7 % (newest - since + 1))
    for over in ((None, None), (since, until), (since, None), (None, until)):
        begin = first if over[0] is None else max(first, over[0] + 1)
        end = newest if over[1] is None else over[1]
        wanted = [expected(truth, version) for version in range(begin, end + 1)]
        assert [facts(one) async for one in log.walk(*over)] == wanted
        assert [facts(one) async for one in log.walk(*over, reverse=True)] == wanted[::-1]
        bare = [facts(one) async for one in log.walk(*over, whole=False)]
        assert [{**one, "items": 0} for one in bare] == [{**one, "items": 0} for one in wanted]


async def everything_past(played: Played, pick: int) -> None:
    """All of the above, with a log that has it all in memory and with such as know nothing."""
    limit = pick % 12 + 1
    cold = played.opened(CountingStore(played.store))
    await reads_as_it_did(played, cold, None, fresh=False)
    await reads_as_it_did(played, played.log, limit, fresh=False)
    await walks_through_what_happened(played, played.log, pick)
    await walks_through_what_happened(played, played.opened(CountingStore(played.store)), pick + 1)
    assert (await played.opened(CountingStore(played.store)).verify()).sound


# ---- the tests ---------------------------------------------------------------------------------------------------------


def test_every_version_and_moment(stores: Stores) -> None:
    """On every store, while the log is in use."""
    seen = Counter[str]()

    async def run(scene: tuple[Limits, list[Act]], pick: int) -> None:
        async with stores.opened() as store:
            played = Played(store, f"test-{uuid4().hex}", scene[0], Time(), seen=seen)
            await played.play(scene[1])
            await everything_past(played, pick)
            if isinstance(store, MemoryStore):  # where it costs nothing
                await reads_as_it_did(played, played.log, None, fresh=True)
                await reads_as_it_did(played, played.log, pick % 12 + 1, fresh=True)
            await played.log.settle()

    @examples(stores.number)
    @given(scenes(), st.integers(0, 999))
    def check(scene: tuple[Limits, list[Act]], pick: int) -> None:
        asyncio.run(run(scene, pick))

    check()
    wanted = dict.fromkeys(EVERYTHING, 1 if stores.number < 20 else 5)
    assert {what: seen[what] for what in wanted if seen[what] < wanted[what]} == {}


# ---- which keys there are ----------------------------------------------------------------------------------------------


async def swept(played: Played) -> None:
    """Have everything deleted that nobody needs: a process that comes later catches up with what is left."""
    log = played.log
    for start in (0, 1):
        await log.settle()
        await log.read()
        if not start:
            log._sweeper.start(await log.head())
    await log.settle()


def keys_of(store: Store, log: EventLog) -> set[str]:
    """Return all keys in an embedded store that are a session's."""
    if isinstance(store, MemoryStore):
        every = set(store._values)
    else:
        assert isinstance(store, SQLiteStore)
        with closing(sqlite3.connect(store._path)) as file:
            every = {str(key) for (key,) in file.execute("SELECT key FROM eventlog_values")}
    return {key for key in every if log.keys.digest in key}


@pytest.mark.parametrize("backend", ["memory", "sqlite"], indirect=True)
def test_what_is_held_is_what_is_there(stores: Stores) -> None:
    """To the key, and to the byte but for parts."""
    seen = Counter[str]()

    async def run(scene: tuple[Limits, list[Act]]) -> None:
        async with stores.opened() as store:
            played = await Played(store, f"test-{uuid4().hex}", scene[0], Time(), seen=seen).play(scene[1])
            await swept(played)
            held = await played.opened(CountingStore(store)).held()
            assert sorted(one.key for one in held) == sorted(keys_of(store, played.log))
            seen.update(one.kind for one in held)
            for one in held:
                found = await store.get(one.key)
                assert found is not None
                assert one.size == len(found.data) or one.kind == "part"

    @examples(stores.number)
    @given(scenes())
    def check(scene: tuple[Limits, list[Act]]) -> None:
        asyncio.run(run(scene))

    check()
    assert {kind for kind in ("head", "event", "part", "segment", "node") if seen[kind] < 5} == set()


# ---- forks -------------------------------------------------------------------------------------------------------------


def test_forks_and_their_parents_know_nothing_of_each_other(stores: Stores) -> None:
    """Both go on, at the same time and in any order, and so does a fork of the fork; every past of each reads as it did."""
    seen = Counter[str]()

    async def run(scene: tuple[Limits, list[Act]], others: Limits, later: list[tuple[int, Act]], picks: list[int]) -> None:
        async with stores.opened() as store:
            played = await Played(store, f"test-{uuid4().hex}", scene[0], Time(), seen=seen).play(scene[1])
            elsewhere = store if picks[0] % 2 else MemoryStore()
            if not played.truth.version:  # there is no session to fork
                return
            child = await played.forked(elsewhere, played.session_id + "-b", others, picks[0])
            all_three = [played, child, await child.forked(store, played.session_id + "-c", scene[0], picks[1])]
            for which, act in later:
                await all_three[which].do(act)
            for one, pick in zip(all_three, picks, strict=True):
                seen["forks of what was trimmed"] += one.truth.floor > 1 and one.truth.forked is not None
                assert (await one.log.head()).forked == one.truth.forked
                await everything_past(one, pick)
            await played.log.erase(0)
            for one in all_three[1:]:
                await reads_as_it_did(one, one.opened(CountingStore(one.store)), None, fresh=False)
                await one.log.settle()

    @examples(max(6, stores.number // 3))
    @given(
        scenes(30),
        limits(),
        acts(30),
        st.lists(st.integers(0, 2), min_size=30, max_size=30),
        st.lists(st.integers(0, 999), min_size=3, max_size=3),
    )
    def check(
        scene: tuple[Limits, list[Act]], others: Limits, later: list[Act], whose: list[int], picks: list[int]
    ) -> None:  # fmt: skip
        asyncio.run(run(scene, others, list(zip(whose, later, strict=True)), picks))

    check()
    assert seen["segments"]
    assert seen["parts"]
    assert seen["undo"]
    assert stores.number < 100 or seen["forks of what was trimmed"] > 5
