"""
Deleting what nobody reads any more: the own keys of events once sealed, what merging and trimming gave up, and what lost.

An event is sealed when it goes from the tail to the run that the head carries, and then its own key goes. If keys were kept
until that run becomes a segment, a session of a hundred items would take 2.4 times the bytes of a `DaprSession`'s array.

Done in the background, outside commits and at best effort. The head remembers up to which version own keys are deleted, and
what merging and trimming gave up (its trash), so that whoever seals next goes on where another process stopped.
"""

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Awaitable, Iterable, Sequence

from ..core.draft import Draft
from ..core.head import Head, Ref
from ..core.keys import Keys
from ..core.run import Run
from ..core.tombstone import events_of
from ..errors import EventLogError
from ..limits import Limits
from ..stores.base import Put, Store
from .adoption import MARK
from .reader import Gone, Reader

_log = logging.getLogger("eventlog_session")


class Sweeper:
    """Deletes one session's keys that its head no longer names."""

    def __init__(self, keys: Keys, store: Store, reader: Reader, limits: Limits) -> None:
        self._keys = keys
        self._store = store
        self._reader = reader
        self._limits = limits
        self._upto = ("", 0)
        self._emptied: tuple[Ref, ...] = ()
        self._task: asyncio.Task[None] | None = None
        self._aside: set[asyncio.Task[None]] = set()

    def upto(self, head: Head) -> int:
        """Return the version up to which this process knows the own keys of *head*'s inline events to be deleted."""
        generation, version = self._upto
        return version if generation == head.generation else 0

    def emptied(self, head: Head) -> bool:
        """Whether this process knows that all that *head*'s trash named is deleted."""
        return self._emptied == head.trash

    def start(self, head: Head, *, since: int = 0) -> None:
        """
        Delete what *head*, just committed, makes redundant, unless a deletion is under way: the next one catches up.

        Of own keys only those of events after the version *since*: of what others sealed before, many writers would else
        delete the same keys again and again.
        """
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._quietly(self._sweep(head, since)), name="eventlog: delete redundant keys")

    async def settle(self) -> None:
        """Wait for what is under way."""
        tasks = {*self._aside, *([self._task] if self._task else [])}
        if tasks:
            await asyncio.wait(tasks)

    def discard(self, draft: Draft) -> None:
        """Delete what a draft that lost for good may have left in the store."""
        keys = [self._keys.event(draft.event.id), *draft.ahead]
        self._do_aside(self.delete(keys), "eventlog: delete what lost")

    def discard_sealed(self, names: Iterable[str]) -> None:
        """Delete segments of a session that was erased, which a commit decided on before that may have put there again."""
        self._do_aside(self.delete(self._keys.segment(name) for name in names), "eventlog: delete what came back")

    def mark_adopted(self) -> None:
        """
        Say that a `DaprSession`'s history was taken over, where the commit that did so could not say it.

        Where there are no transactions the mark could be there without the head, and then the history would read as gone. So it
        could where a head without events is created first: a commit may be refused for it, and its values stay.
        """
        self._do_aside(self._mark(), "eventlog: mark the takeover")

    def _do_aside(self, work: Awaitable[object], name: str) -> None:
        task = asyncio.create_task(self._quietly(work), name=name)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    async def _mark(self) -> None:
        traits = await self._store.traits()
        if not (traits.transactional and traits.atomic_create):
            await self._store.put_many([Put(self._keys.adopted, MARK)])

    async def empty(self, head: Head) -> None:
        """Delete what *head*'s trash names and its index does not. Raises Gone or CorruptLog."""
        if self.emptied(head):
            return
        live = {ref.name: ref for ref in await self._reader.tree(head.index)}
        gone = [ref for ref in await self._reader.tree(head.trash, faults={}) if ref.name not in live]
        merged = within(gone, [ref for ref in live.values() if not ref.level])
        await self.delete(self._keys.segment(ref.name) for ref in merged)
        await self.free([ref for ref in gone if ref not in merged])
        self._emptied = head.trash

    async def free(self, refs: Sequence[Ref]) -> list[str]:
        """
        Delete the values that *refs* name, of which those not there any more are passed over, and return their keys.

        Each node comes before what it names and is deleted after it, so that a deletion cut short can be taken up again.
        """
        keys: list[str] = []
        for page in self._limits.pages((ref, ref.size) for ref in refs if not ref.level):
            for run in await self._reader.runs(page):
                keys += await self.delete(self.keys_of(events_of(run)))
            keys += await self.delete(self._keys.segment(ref.name) for ref in page)
        nodes = [self._keys.node(ref.name) for ref in reversed(refs) if ref.level]
        return keys + await self.delete(nodes)

    def keys_of(self, events: Iterable[tuple[str, int]]) -> list[str]:
        """Return the keys of events given by id and number of parts, parts first."""
        return [
            key for event_id, parts in events
            for key in (*(self._keys.part(event_id, number) for number in range(parts)), self._keys.event(event_id))
        ]  # fmt: skip

    async def delete(self, keys: Iterable[str]) -> list[str]:
        """Delete *keys*, and return them."""
        doomed = list(keys)
        for page in self._limits.pages((key, 0) for key in doomed):
            await self._store.delete_many(page)
        return doomed

    async def _sweep(self, head: Head, since: int) -> None:
        done = max(head.swept, self.upto(head))
        version = max(done, since)
        await self.empty(head)
        while version < head.tail.first - 1:
            place = await self._reader.place_of(head, version + 1)
            if isinstance(place, Run):
                await self.delete(self._keys.event(event_id) for event_id in inline_ids(place, version))
            version = place.last
            if since <= done:
                self._upto = head.generation, version

    async def _quietly(self, work: Awaitable[object]) -> None:
        try:
            await work
        except (EventLogError, Gone) as error:
            _log.debug("redundant keys are left for the next sweep: %s", type(error).__name__)


def inline_ids(run: Run, after: int) -> list[str]:
    """Return the ids of those events in *run* after version *after* that are not read from their own keys."""
    places = range(max(0, after + 1 - run.first), len(run))
    return [run.id_of(run.first + place) for place in places if "f" not in run.odd.get(place, ())]


def within(gone: Iterable[Ref], live: Iterable[Ref]) -> set[Ref]:
    """Return the segments among *gone* that were merged into a *live* one, which holds their events; others were trimmed."""
    ordered = sorted(live, key=lambda ref: ref.first)
    held: set[Ref] = set()
    for ref in gone:
        place = bisect_right(ordered, ref.first, key=lambda one: one.first) - 1
        if not ref.level and place >= 0 and ref.first <= ordered[place].last:
            held.add(ref)
    return held
