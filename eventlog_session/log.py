"""
The log of one session: reading it at any point, and changing it.

This is the session without the Agents SDK: items are JSON, changes are events. Parts: `Heads` knows the head, `Reader` reads
what it names, `Lane` queues changes, `Committer` commits them.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from weakref import WeakValueDictionary

import orjson

from .adoption import Legacy
from .commit import Committer
from .core.draft import draft
from .core.events import ADDED, CLEARED, POPPED, REWOUND, Event, from_datetime
from .core.head import Head
from .core.keys import Keys, mint
from .core.plan import ALL, Far
from .errors import NoSuchPoint
from .heads import Heads
from .lane import Answer, Intent, Lane
from .limits import Limits
from .reader import Gone, Reader
from .retry import Retry
from .runtime import Runtime
from .stores.base import Store
from .sweep import Sweeper

Point = int | datetime
"""A version, or an aware moment: then the last version committed by that moment."""

_logs: WeakValueDictionary[object, "EventLog"] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class View:
    """A history: *items*, oldest first, as it stands at *version*. *texts* are the positions of those kept as text."""

    items: list[Any]
    version: int
    texts: list[int]


class EventLog:
    """
    One session's log in a store. Use `of`: within a process, all users of a session share one lane and its caches.

    *adopt* takes over what a `DaprSession` left; *verbatim* keeps its items as the strings they are.
    """

    def __init__(
        self, store: Store, session_id: str, *, limits: Limits = Limits(), retry: Retry = Retry(), runtime: Runtime = Runtime(),
        adopt: bool = True, verbatim: bool = False,
    ) -> None:  # fmt: skip
        self._loop = asyncio.get_running_loop()  # kept, so that its id in the registry stays its own
        self.session_id = session_id
        self._store = store
        self._limits = limits
        self._runtime = runtime
        self.keys = Keys(session_id)
        self._reader = Reader(store, self.keys, limits)
        self._heads = Heads(session_id, self.keys, store, limits, runtime, self._reader, adopt=adopt, verbatim=verbatim)
        self._sweeper = Sweeper(self.keys, store, self._reader, limits)
        committer = Committer(self.keys, store, self._heads, self._reader, self._sweeper, limits, retry, runtime)
        self._lane = Lane(committer.commit, limits, self._heads.unheard)

    @classmethod
    def of(
        cls, store: Store, session_id: str, *, limits: Limits = Limits(), retry: Retry = Retry(), runtime: Runtime = Runtime(),
        adopt: bool = True, verbatim: bool = False,
    ) -> "EventLog":  # fmt: skip
        """Return the log of *session_id* in *store* for the running loop, shared with whoever has it."""
        loop = asyncio.get_running_loop()
        key = (store.identity, session_id, id(loop), limits, retry, runtime, adopt, verbatim)
        log = _logs.get(key)
        if log is None:
            log = _logs[key] = cls(
                store, session_id, limits=limits, retry=retry, runtime=runtime, adopt=adopt, verbatim=verbatim
            )
        return log

    # ---- reading ---------------------------------------------------------------------------------------------------

    async def read(self, need: int | None = None, at: Point | None = None) -> View:
        """
        Return the newest *need* items (all for None) of the history at a point (None: now).

        One round trip when the answer lies in the head, else two; one more for each level of index nodes, wrong guess and
        four further pages.
        Raises NoSuchPoint, Unavailable, CorruptLog, ForkDetected.
        """
        wanted = ALL if need is None else need
        known = await self._heads.fresh()
        missed: set[str] = set()
        while True:
            try:
                if known.legacy is not None:
                    return _adoptable(known.legacy, wanted, at)
                version = await self._version(known.head, at)
                items, texts = await self._reader.read(known.head, version, wanted)
                return View(items, version, texts)
            except Gone as gone:
                known = await self._heads.moved_on(known, gone, missed)

    async def events(self) -> AsyncIterator[tuple[int, int, Event]]:
        """
        Yield every event, oldest first, with the version it makes and when it was committed (microseconds since 1970).

        What is committed after the first one was asked for is not in it.
        """
        known = await self._heads.fresh()
        upto = known.head.version
        missed: set[str] = set()
        done = 0
        while done < upto:
            try:
                run = await self._reader.run_of(known.head, done + 1)
                for version, committed, event in run.events():
                    if done < version <= upto:
                        whole = await self._with_items(run.odd.get(version - run.first, {}), event)
                        done = version
                        yield version, committed, whole
            except Gone as gone:
                known = await self._heads.moved_on(known, gone, missed)
                upto = min(upto, known.head.version)  # it may have expired meanwhile and begun anew

    async def head(self) -> Head:
        """Return the head as it stands now; `Head.absent` where there is none. Trips as `Heads.fresh` says."""
        return (await self._heads.fresh()).head

    # ---- changing --------------------------------------------------------------------------------------------------

    async def add(
        self,
        items: bytes,
        count: int,
        text: tuple[int, ...] = (),
        extensions: Mapping[str, str] | None = None,
        ttl: int | None = None,
    ) -> Answer:
        """Append *count* items, a JSON array as bytes, as one event: all of them or, when this raises, none or unknown."""
        return await self._submit(ttl, ADDED, extensions, count=count, items=items, text=text)

    async def pop(self, extensions: Mapping[str, str] | None = None, ttl: int | None = None) -> Answer:
        """Remove the newest item; the answer holds it, or no version when there is none."""
        return await self._submit(ttl, POPPED, extensions, pops=1)

    async def clear(self, extensions: Mapping[str, str] | None = None, ttl: int | None = None) -> Answer:
        """Empty the history; what was there stays in the log."""
        return await self._submit(ttl, CLEARED, extensions, base=0)

    async def rewind(self, version: int, extensions: Mapping[str, str] | None = None, ttl: int | None = None) -> Answer:
        """Make the history what it was at *version*. Raises NoSuchPoint when there is none such yet."""
        return await self._submit(ttl, REWOUND, extensions, base=version)

    async def settle(self) -> None:
        """Wait for everything under way, in the background too, before the store is closed."""
        await self._lane.settle()
        await self._heads.settle()
        await self._sweeper.settle()

    async def _submit(self, ttl: int | None, kind: str, extensions: Mapping[str, str] | None, **effect: Any) -> Answer:
        event = Event(mint(self._runtime.random_bytes(10)), kind, self._runtime.now(), extensions=extensions or {}, **effect)
        large = len(event.items) > self._limits.value_bytes
        ready = draft(event, self.keys, self._limits, binary=large and (await self._store.traits()).keeps_bytes)
        return await self._lane.submit(Intent(ready, ttl))

    # ---- finding ---------------------------------------------------------------------------------------------------

    async def _version(self, head: Head, at: Point | None) -> int:
        if at is None:
            return head.version
        if isinstance(at, datetime):
            return await self._reader.version_at(head, from_datetime(at))
        return _within(at, head.version)

    async def _with_items(self, odd: Mapping[str, Any], event: Event) -> Event:
        """Return *event* with its items, which for a large one lie under its own key."""
        if "f" not in odd:
            return event
        return replace(event, items=await self._reader.items_of(Far.of(event.id, odd)))


def _within(version: int, newest: int) -> int:
    if not 0 <= version <= newest:
        raise NoSuchPoint(f"there is no version {version}; the log goes from 0 to {newest}")
    return version


def _adoptable(legacy: Legacy, wanted: int, at: Point | None) -> View:
    """Return the view of a `DaprSession`'s history as the first commit will take it over: as what version 1 added."""
    if isinstance(at, int) and _within(at, 1) == 0:
        return View([], 0, [])
    items = orjson.loads(legacy.items)[-wanted:] if wanted else []
    skipped = legacy.count - len(items)
    return View(items, 1, [place - skipped for place in legacy.text if place >= skipped])
