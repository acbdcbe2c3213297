"""
Walking through a log, event by event: what happened, from any version to any other, forwards or backwards.

A walk ends where the log did when it began. Of what is merged, trimmed or erased meanwhile it learns when a value is gone, and
goes on with the newer head, from where it stands. When the session itself is gone, a history ends there; a copy can't be made.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from ..core.events import IDEMPOTENCY_KEY, REPLACED, Event
from ..core.keys import mint
from ..core.plan import ALL
from ..core.run import Run
from ..errors import Conflict
from .heads import Heads, Known
from .reader import Gone, Reader, far_of

Whole = bool | Callable[[Event], bool]
"""Whether events are wanted with their items, all or none of them or as is said of each."""
_Event = tuple[int, int, Event]
"""As `Run.events` yields them."""


class Range(NamedTuple):
    """The versions from *first* to *last*, both in it; backwards if *reverse*."""

    first: int
    last: int
    reverse: bool = False


class Recorded(NamedTuple):
    """An event and what the log says of it."""

    version: int
    """That it makes; the history then has *length* items."""
    committed: int
    """When, in microseconds since 1970."""
    length: int
    event: Event


class _Way:
    """The head that a walk goes by: a newer one once a value is gone that the one before it names."""

    def __init__(self, heads: Heads, known: Known) -> None:
        self.head = known.head
        self._heads = heads
        self._known = known
        self._missed: set[str] = set()

    async def go_on(self, gone: Gone) -> None:
        """Go by the head that came since. Raises Conflict when the session is another one by now, and as `moved_on` does."""
        self._known = await self._heads.moved_on(self._known, gone, self._missed)
        if self._known.head.generation != self.head.generation:  # it was erased meanwhile, or has expired
            raise Conflict("the session is gone or another has begun since; what was read of it is not all, begin anew")
        self.head = self._known.head


class Walker:
    """Walks through one session's log."""

    def __init__(self, heads: Heads, reader: Reader) -> None:
        self._heads = heads
        self._reader = reader

    async def events(self, known: Known, over: Range, *, whole: Whole = True) -> AsyncIterator[Recorded]:
        """
        Yield the events in *over*, whose versions are in *known*.

        With their items, unless *whole* is False, or is of an event: then those of large events are left out, which are not
        in the segments. Raises HistoryTrimmed when one is given up meanwhile; ends when the session is.
        """
        try:
            async for recorded in self._along(_Way(self._heads, known), over, whole):
                yield recorded
        except Conflict:
            return

    async def standing_alone(self, known: Known, upto: int) -> AsyncIterator[Recorded]:
        """
        Yield the events up to version *upto*, so that they mean the same without those that were trimmed.

        The oldest version, and whatever starts from a trimmed one, is then a REPLACED event with the whole of its history.
        Raises HistoryTrimmed when one is given up meanwhile, Conflict when the session is: what was yielded is no whole log.
        """
        way = _Way(self._heads, known)
        floor = known.head.floor
        async for recorded in self._along(way, Range(max(1, floor), upto), whole=True):
            base = recorded.event.base
            if floor <= 1 or base == 0 or (recorded.version > floor and (base is None or base >= floor)):
                yield recorded
            else:
                yield recorded._replace(event=await self._snapshot(way, recorded))

    async def _along(self, way: _Way, over: Range, whole: Whole) -> AsyncIterator[Recorded]:
        """Yield the events in *over*. Raises HistoryTrimmed or Conflict when they, or the session, are given up meanwhile."""
        at, step = (over.last, -1) if over.reverse else (over.first, 1)
        while over.first <= at <= over.last:
            try:
                run = await self._reader.run_of(way.head, at)
                first, last = (over.first, at) if over.reverse else (at, over.last)
                events = [one for one in run.events() if first <= one[0] <= last][::step]
                async for version, committed, event in self._with_items(run, events, whole):
                    at += step
                    yield Recorded(version, committed, run.length_at(version), event)
            except Gone as gone:
                await way.go_on(gone)

    async def _with_items(self, run: Run, events: list[_Event], whole: Whole) -> AsyncIterator[_Event]:
        """Yield the *events* of *run*, those that are wanted *whole* with their items: read ahead, a page at a time."""
        wanted = [one[2] for one in events if (whole(one[2]) if callable(whole) else whole)]
        ids = {event.id for event in wanted}
        by_id = {far.name: far for far in far_of(run) if far.name in ids}
        pages = self._reader.pages((by_id[event.id], by_id[event.id].size) for event in wanted if event.id in by_id)
        ready: dict[str, bytes] = {}
        for version, committed, event in events:
            if event.id not in by_id:
                yield version, committed, event
                continue
            if event.id not in ready:
                ready = await self._reader.items_of_all(next(pages))
            yield version, committed, replace(event, items=ready.pop(event.id))

    async def _snapshot(self, way: _Way, recorded: Recorded) -> Event:
        """Return an event with the whole history in it that *recorded* leaves; its bytes are others, and so is its id."""
        event = recorded.event
        items, texts = await self._history(way, recorded.version)
        extensions = {name: value for name, value in event.extensions.items() if name != IDEMPOTENCY_KEY}
        return Event(
            mint(blake2b(event.id.encode(), digest_size=10, person=b"snapshot").digest()), REPLACED, event.time, base=0,
            count=len(items), items=orjson.dumps(items), text=tuple(texts), extensions=extensions,
        )  # fmt: skip

    async def _history(self, way: _Way, version: int) -> tuple[list[Any], list[int]]:
        """Return what `Reader.read` does of all the history at *version*. Raises HistoryTrimmed when it was given up."""
        while version >= way.head.floor:
            try:
                return await self._reader.read(way.head, version, ALL)
            except Gone as gone:
                await way.go_on(gone)
        raise way.head.trimmed(version)
