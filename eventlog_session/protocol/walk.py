"""
Walking through a log, event by event: what happened, from any version to any other, forwards or backwards.

A walk ends where the log did when it began. Of what is merged, trimmed or erased meanwhile it learns when a value is gone, and
goes on with the newer head, from where it stands.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import blake2b
from typing import NamedTuple

import orjson

from ..core.events import IDEMPOTENCY_KEY, REPLACED, Event
from ..core.keys import mint
from ..core.plan import ALL, Far
from ..core.run import Run
from .heads import Heads, Known
from .reader import Gone, Reader


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


class Walker:
    """Walks through one session's log."""

    def __init__(self, heads: Heads, reader: Reader) -> None:
        self._heads = heads
        self._reader = reader

    async def events(self, known: Known, over: Range, *, whole: bool = True) -> AsyncIterator[Recorded]:
        """
        Yield the events in *over*, whose versions are in *known*.

        With their items, unless *whole* is False: then those of large events are left out, which are not in the segments.
        Raises HistoryTrimmed when one is given up meanwhile; ends when the session is.
        """
        missed: set[str] = set()
        at, step = (over.last, -1) if over.reverse else (over.first, 1)
        while over.first <= at <= over.last:
            try:
                run = await self._reader.run_of(known.head, at)
                events = list(run.events())
                for version, committed, event in reversed(events) if over.reverse else events:
                    if version == at and over.first <= at <= over.last:
                        found = await self._with_items(run, version, event) if whole else event
                        at += step
                        yield Recorded(version, committed, run.length_at(version), found)
            except Gone as gone:
                begun = known.head.generation
                known = await self._heads.moved_on(known, gone, missed)
                if known.head.generation != begun:  # it was erased meanwhile, or has expired
                    return

    async def standing_alone(self, known: Known, upto: int) -> AsyncIterator[Recorded]:
        """
        Yield the events up to version *upto*, so that they mean the same without those that were trimmed.

        The oldest version, and whatever starts from a trimmed one, is then a REPLACED event with the whole of its history.
        """
        floor = known.head.floor
        async for recorded in self.events(known, Range(max(1, floor), upto)):
            base = recorded.event.base
            if floor <= 1 or base == 0 or (recorded.version > floor and (base is None or base >= floor)):
                yield recorded
            else:
                yield recorded._replace(event=await self._snapshot(known, recorded))

    async def _snapshot(self, known: Known, recorded: Recorded) -> Event:
        """Return an event with the whole history in it that *recorded* leaves; its bytes are others, and so is its id."""
        event = recorded.event
        items, texts = await self._reader.read(known.head, recorded.version, ALL)
        extensions = {name: value for name, value in event.extensions.items() if name != IDEMPOTENCY_KEY}
        return Event(
            mint(blake2b(event.id.encode(), digest_size=10, person=b"snapshot").digest()), REPLACED, event.time, base=0,
            count=len(items), items=orjson.dumps(items), text=tuple(texts), extensions=extensions,
        )  # fmt: skip

    async def _with_items(self, run: Run, version: int, event: Event) -> Event:
        """Return *event* with its items, which for a large one lie under its own key."""
        odd = run.odd.get(version - run.first, {})
        return replace(event, items=await self._reader.items_of(Far.of(event.id, odd))) if "f" in odd else event
