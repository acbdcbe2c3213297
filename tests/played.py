"""
Sessions that had everything done to them, and beside each the plain truth: what every version and every moment must read as.

The truth is lists of items and knows nothing of heads, runs, segments or an index. What was done is drawn by hypothesis; what
an `Act` means depends on the history it finds, so that any sequence is valid.
"""

import asyncio
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import orjson
from hypothesis import strategies as st
from model import small_limits
from staged import Time, noise

from eventlog_session import EventLog, HistoryTrimmed, Limits, Store
from eventlog_session.copying import fork
from eventlog_session.core import items as codec
from eventlog_session.core.events import (
    ADDED,
    CLEARED,
    FORKED,
    POPPED,
    REDONE,
    REPLACED,
    REWOUND,
    TAGGED,
    TRIMMED,
    UNDONE,
)
from eventlog_session.core.head import Ref
from eventlog_session.protocol.lane import Answer, Expected
from eventlog_session.protocol.walk import Recorded
from eventlog_session.revising import Told, pop_newest, step, tag, untag
from eventlog_session.revising import replace as put_in_place

TOLD = Told({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
NAMES = ("a", "before the refund", "日本", "b")


class Act(NamedTuple):
    """Something done to a session."""

    kind: str
    pick: int = 0
    sizes: tuple[int, ...] = (8,)
    """Characters of each item that is added."""
    wait: int = 0
    """Microseconds that the clock moved before it; below zero it ran backwards."""


def limits() -> st.SearchStrategy[Limits]:
    """Limits so small that short sessions have everything, merged segments included."""
    sizes = st.sampled_from(((600,), (1000, 2600), ()))
    return st.builds(
        replace, small_limits(), merge_bytes=sizes, index_segments=st.sampled_from((4, 6, 10)), idempotent_events=st.just(16)
    )


def acts(length: int) -> st.SearchStrategy[list[Act]]:
    """Sequences of everything that can be done to a session."""
    waits = st.integers(-3, 9) | st.just(0)
    picks = st.integers(0, 999)
    sizes = st.lists(st.integers(0, 40) | st.integers(90, 700), min_size=1, max_size=3).map(tuple)
    common = ("add", "add", "add", "add", "join", "pop", "undo", "undo", "redo")
    rare = ("pops", "clear", "rewind", "replace", "replace all", "tag", "untag", "keyed", "again", "trim", "cold", "settle")
    kinds = st.sampled_from(common) | st.sampled_from(common) | st.sampled_from(rare)
    return st.lists(st.builds(Act, kinds, picks, sizes, waits), min_size=length, max_size=length)


class Item(NamedTuple):
    """An item as it is stored, and the event and place that added it."""

    value: Any
    text: bool
    origin: str


@dataclass
class Truth:
    """What was done, and what each version reads as from it."""

    floor: int = 0
    events: list[tuple[str, int | None, int, list[tuple[Any, bool]]]] = field(default_factory=list)
    """Kind, base, pops, and items with whether they are kept as text."""
    committed: list[int] = field(default_factory=list)
    """Microseconds since 1970, from version 1 on."""
    versions: list[list[Item]] = field(default_factory=lambda: [[]])
    tags: dict[str, int] = field(default_factory=dict)
    forked: tuple[str, int] | None = None

    @property
    def version(self) -> int:
        """The newest."""
        return len(self.events)

    def happened(self, kind: str, committed: int, base: int | None = None, pops: int = 0, items: Any = ()) -> None:
        """Have an event make the next version."""
        before = self.versions[self.version if base is None else base]
        version = self.version + 1
        added = [Item(value, text, f"{version}.{place}") for place, (value, text) in enumerate(items)]
        self.events.append((kind, base, pops, list(items)))
        self.committed.append(max([committed, *self.committed[-1:]]))
        self.versions.append(before[: len(before) - pops] + added)

    def at(self, time: int) -> int:
        """Return the version at *time*."""
        return bisect_right(self.committed, time)

    def copied(self, upto: int) -> "Truth":
        """Return the truth of a copy up to a version: what can't be told without what was trimmed is told as a whole."""
        floor = self.floor if self.floor > 1 else 0
        copy = Truth(floor)
        for version, (event, committed) in enumerate(zip(self.events[:upto], self.committed, strict=False), 1):
            kind, base, pops, items = event
            before = version - 1 if base is None else base
            if version >= floor and base != 0 and before < floor:
                kind, base, pops = REPLACED, 0, 0
                items = [(item.value, item.text) for item in self.versions[version]]
            if version < floor:  # nobody may read it
                kind, base, pops, items = ADDED, None, 0, []
            copy.happened(kind, committed, base, pops, items)
        return copy


class Played:
    """A session in a store, and the truth of it."""

    def __init__(
        self,
        store: Store,
        session_id: str,
        limits: Limits,
        time: Time,
        truth: Truth | None = None,
        seen: Counter[str] | None = None,
    ) -> None:
        self.store = store
        self.session_id = session_id
        self.limits = limits
        self.time = time
        self.truth = Truth() if truth is None else truth
        self.seen = Counter[str]() if seen is None else seen
        """What has occurred, by name."""
        self.keys: dict[str, tuple[list[Any], int]] = {}
        """Items and version of the newest idempotency keys."""
        self.log = self.opened()

    def opened(self, store: Store | None = None) -> EventLog:
        """Return a log of it that knows nothing yet."""
        return EventLog(store or self.store, self.session_id, limits=self.limits, runtime=self.time.runtime())

    async def play(self, acts: list[Act]) -> "Played":
        """Do all of *acts*, and compare the present with the truth after each."""
        for act in acts:
            await self.do(act)
        return self

    async def do(self, act: Act) -> None:
        """Do one of them."""
        self.time.now += act.wait / 1e6
        before = self.truth.version
        try:
            await getattr(self, "_" + act.kind.replace(" ", "_"))(act)
        except HistoryTrimmed:
            assert act.kind in ("undo", "redo")
            assert self.truth.floor
            self.seen["trimmed, so not undone"] += 1
        if self.truth.version > before:
            self.seen[act.kind] += 1
            self.seen["clock backwards"] += act.wait < 0
        view = await self.log.read()
        assert view.version == self.truth.version
        assert (view.items, view.texts) == plain(self.truth.versions[-1])
        self._look(await self.log.head())

    def _look(self, head: Any) -> None:
        """Count what the log has come to be made of."""
        self.seen["merged"] += any(not ref.level and ref.last >= self.truth.floor for ref in head.trash) and not head.floor
        self.seen["carried"] += head.carried is not None
        self.seen["segments"] += bool(head.index)
        self.seen["swept"] += bool(head.swept)
        self.seen["nodes"] += any(ref.level for ref in head.index)
        self.seen["nodes of nodes"] += any(ref.level > 1 for ref in head.index)
        self.seen["holes"] += any(isinstance(ref, Ref) and ref.hole for ref in head.index)
        self.seen["far"] += sum("f" in odd and not odd["f"][1] for run in head.runs() for odd in run.odd.values())
        self.seen["parts"] += sum("f" in odd and odd["f"][1] > 1 for run in head.runs() for odd in run.odd.values())
        self.seen["texts"] += sum("s" in odd for run in head.runs() for odd in run.odd.values())

    # ---- what can be done ------------------------------------------------------------------------------------------

    def _items(self, act: Act, number: int = 0) -> list[Any]:
        seed = self.truth.version * 10 + number
        return [_item(seed, place, size) for place, size in enumerate(act.sizes)]

    async def _added(self, items: list[Any], key: str | None = None) -> Answer:
        data, text = codec.encode(items)
        return await self.log.add(data, len(items), text, TOLD.extensions, key=key)

    def _now(self) -> int:
        return self.time.runtime().now()

    async def _add(self, act: Act) -> None:
        items = self._items(act)
        await self._added(items)
        self.truth.happened(ADDED, self._now(), items=stored(items))

    async def _join(self, act: Act) -> None:
        """Several adds at once, which go together in a commit."""
        batches = [self._items(act, number) for number in range(act.pick % 4 + 2)]
        commits = self.log.counters.commits
        answers = await asyncio.gather(*(self._added(items) for items in batches))
        self.seen["several in a commit"] += self.log.counters.commits - commits < len(batches)
        for _, items in sorted(zip((answer.version or 0 for answer in answers), batches, strict=True)):
            self.truth.happened(ADDED, self._now(), items=stored(items))

    async def _keyed(self, act: Act) -> None:
        items, key = self._items(act), f"key {self.truth.version}"
        await self._added(items, key)
        self.truth.happened(ADDED, self._now(), items=stored(items))
        self.keys[key] = items, self.truth.version

    async def _again(self, act: Act) -> None:
        """The same key and items as before: nothing is written while it is remembered."""
        known = [key for key, (_, version) in self.keys.items() if version > self.truth.version - self.limits.idempotent_events]
        if known:
            items, version = self.keys[known[act.pick % len(known)]]
            assert (await self._added(items, known[act.pick % len(known)])).version == version
            self.seen["again"] += 1

    async def _pop(self, act: Act) -> None:
        await self._popped(1)

    async def _pops(self, act: Act) -> None:
        await self._popped(act.pick % 5 + 2)

    async def _popped(self, number: int) -> None:
        newest = self.truth.versions[-1]
        answer = await pop_newest(self.log, number, TOLD)
        assert list(answer.items) == plain(newest[-number:])[0]
        if newest:
            self.truth.happened(POPPED, self._now(), pops=min(number, len(newest)))

    async def _clear(self, act: Act) -> None:
        if (await self.log.clear(TOLD.extensions)).version is not None:
            self.truth.happened(CLEARED, self._now(), 0)

    async def _rewind(self, act: Act) -> None:
        version = self._some_version(act)
        if (await self.log.rewind(version, TOLD.extensions)).version is not None:
            self.truth.happened(REWOUND, self._now(), version)

    def _some_version(self, act: Act) -> int:
        return self.truth.floor + act.pick % (self.truth.version - self.truth.floor + 1)

    async def _replace(self, act: Act) -> None:
        await self._replaced(act, act.pick % (len(self.truth.versions[-1]) + 1))

    async def _replace_all(self, act: Act) -> None:
        await self._replaced(act, None)

    async def _replaced(self, act: Act, pops: int | None) -> None:
        items = self._items(act)
        data, text = codec.encode(items)
        told = TOLD._replace(expected=Expected(self.truth.version))
        await put_in_place(self.log, pops, data, len(items), text, told)
        self.truth.happened(REPLACED, self._now(), 0 if pops is None else None, pops or 0, stored(items))

    async def _undo(self, act: Act) -> None:
        await self._moved(act, UNDONE)

    async def _redo(self, act: Act) -> None:
        await self._moved(act, REDONE)

    async def _moved(self, act: Act, kind: str) -> None:
        moved = await step(self.log, 1 if act.pick % 3 else act.pick % 4 + 1, TOLD, forward=kind == REDONE)
        if moved is not None:  # that it is to where an editor goes is the matter of test_undo
            self.truth.happened(kind, self._now(), moved.to)

    async def _tag(self, act: Act) -> None:
        name = NAMES[act.pick % len(NAMES)]
        version = self._some_version(act)
        at = None if act.pick % 2 else version
        assert await tag(self.log, name, at, TOLD) == (self.truth.version if at is None else version)
        self.truth.tags[name] = self.truth.version if at is None else version
        self.truth.happened(TAGGED, self._now())

    async def _untag(self, act: Act) -> None:
        names = sorted(self.truth.tags) or NAMES
        name = names[act.pick % len(names)]
        assert await untag(self.log, name, TOLD) == (name in self.truth.tags)
        if self.truth.tags.pop(name, None) is not None:
            self.truth.happened(TAGGED, self._now())

    async def _trim(self, act: Act) -> None:
        """Give up a part of what is there, mostly a small one."""
        version = self.truth.floor + act.pick % (self.truth.version - self.truth.floor + 1) // (act.pick % 3 + 1)
        if (await self.log.trim(version, TOLD.extensions)).version is not None:
            self.truth.floor = version
            self.truth.happened(TRIMMED, self._now())

    async def _cold(self, act: Act) -> None:
        """Another process goes on."""
        await self.log.settle()
        self.log = self.opened()

    async def _settle(self, act: Act) -> None:
        await self.log.settle()

    # ---- copies ----------------------------------------------------------------------------------------------------

    async def forked(self, store: Store, session_id: str, limits: Limits, pick: int) -> "Played":
        """Return a fork at some version."""
        at = self._some_version(Act("", pick))
        new = Played(store, session_id, limits, self.time, self.truth.copied(at), self.seen)
        assert await fork(self.log, new.log, at, TOLD.extensions) == at + 1
        new.truth.happened(FORKED, self._now())
        new.truth.forked = (self.log.keys.source, at)
        new.truth.tags = dict((await new.log.head()).tags)  # of tags that were set before the floor nothing is left
        tagged = {name: version for name, version in new.truth.tags.items() if version >= new.truth.floor}
        if at == self.truth.version:
            assert tagged == {name: version for name, version in self.truth.tags.items() if version >= new.truth.floor}
        return new


def plain(items: list[Item]) -> tuple[list[Any], list[int]]:
    """Return items and texts as a view has them: those kept as text are still strings."""
    values = [json.dumps(item.value, separators=(",", ":")) if item.text else item.value for item in items]
    return values, [place for place, item in enumerate(items) if item.text]


def stored(items: list[Any]) -> list[tuple[Any, bool]]:
    """Return each item with whether it is kept as text."""
    return [(item, isinstance(item, dict) and "text" in item) for item in items]


def _item(seed: int, place: int, size: int) -> Any:
    """Return an item that does not compress away; one in seven is kept as text."""
    text = noise(seed * 5 + place, size)
    return {"text": "\ud800" + text} if (seed + place) % 7 == 6 else [seed, place, text]


def facts(recorded: Recorded) -> Mapping[str, Any]:
    """Return all that the truth can know of an event."""
    event = recorded.event
    return {
        "version": recorded.version, "committed": recorded.committed, "length": recorded.length, "kind": event.kind,
        "base": event.base, "pops": event.pops, "items": orjson.loads(event.items), "texts": list(event.text),
    }  # fmt: skip


def expected(truth: Truth, version: int) -> Mapping[str, Any]:
    """Return what `facts` must give for a version's event."""
    kind, base, pops, items = truth.events[version - 1]
    values, texts = plain([Item(value, text, "") for value, text in items])
    return {
        "version": version, "committed": truth.committed[version - 1], "length": len(truth.versions[version]), "kind": kind,
        "base": base, "pops": pops, "items": values, "texts": texts,
    }  # fmt: skip
