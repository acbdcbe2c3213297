"""
The log of one session: reading it at any point, and changing it.

This is the session without the Agents SDK: items are JSON, changes are events. Parts: `Heads` knows the head, `Reader` reads
what it names, `Lane` queues changes, `Committer` commits them.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import orjson

from .core import items as codec
from .core.copy import Copy
from .core.draft import draft
from .core.events import (
    ADDED,
    CLEARED,
    IDEMPOTENCY_KEY,
    POPPED,
    REDONE,
    REPLACED,
    REWOUND,
    TAGGED,
    TRIMMED,
    TRIMMED_BEFORE,
    UNDONE,
    UNDONE_VERSIONS,
    Event,
    from_datetime,
    is_extension,
    is_idempotency_key,
)
from .core.head import Head
from .core.keys import Keys, mint
from .core.plan import ALL
from .errors import HistoryTrimmed, InvalidItem, NoSuchPoint, OutcomeUnknown
from .limits import Limits
from .points import Point
from .protocol.adoption import Legacy, before_adoption, legacy_keys
from .protocol.commit import Committer
from .protocol.erase import Eraser, Erasure
from .protocol.heads import Heads, Known
from .protocol.inventory import Held, inventory
from .protocol.lane import Answer, Expected, Intent, Lane
from .protocol.propose import Proposer
from .protocol.reader import Reader
from .protocol.renew import Renewer
from .protocol.sweep import Sweeper
from .protocol.verify import Verification, Verifier
from .protocol.walk import Range, Recorded, Walker, Whole
from .retry import Retry
from .runtime import Runtime
from .stores.base import Store
from .telemetry import Counters, Metered, Telemetry

_OPERATIONS = {
    ADDED: "append", POPPED: "pop", CLEARED: "clear", REWOUND: "rewind", REPLACED: "replace", UNDONE: "undo", REDONE: "redo",
    TAGGED: "tag",
}  # fmt: skip
"""What an event's kind is called as an operation, in spans and metrics."""
_T = TypeVar("_T")
_logs: WeakValueDictionary[object, "EventLog"] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class View:
    """
    A history: *items*, oldest first, as it stands at *version* of a *generation*.

    *texts* are the positions of those kept as text. The generation is "" while nothing was written.
    """

    items: list[Any]
    version: int
    texts: list[int]
    generation: str = ""


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
        self.limits = limits
        self.runtime = runtime
        self.keys = Keys(session_id)
        self._telemetry = Telemetry(store, self.keys, session_id, runtime)
        self.reader = Reader(store, self.keys, limits, self._telemetry)
        self.store = store = Metered(store, self._telemetry)
        self._heads = Heads(session_id, self.keys, store, limits, runtime, self.reader, adopt=adopt, verbatim=verbatim)
        self._walker = Walker(self._heads, self.reader)
        self._sweeper = Sweeper(self.keys, store, self.reader, limits)
        self._renewer = Renewer(store, self.reader, runtime)
        proposer = Proposer(self.keys, store, self.reader, self._sweeper, self._renewer, limits, runtime)
        self._committer = Committer(
            self.keys,
            store,
            self._heads,
            self.reader,
            proposer,
            self._sweeper,
            self._renewer,
            retry,
            runtime,
            self._telemetry,
        )
        self._lane = Lane(self._committer.commit, limits, self._heads.unheard)

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

    @property
    def counters(self) -> Counters:
        """What was done in this process since the log was opened. It goes on counting."""
        return self._telemetry.counters

    # ---- reading ---------------------------------------------------------------------------------------------------

    async def read(self, need: int | None = None, at: Point | None = None) -> View:
        """
        Return the newest *need* items (all for None) of the history at a point (None: now).

        One round trip when the answer lies in the head, else two; one more for each level of index nodes, wrong guess and
        four further pages.
        Raises NoSuchPoint (HistoryTrimmed), Unavailable, StoreRefused, CorruptLog, ForkDetected.
        """
        with self._telemetry.operation("read") as facts:
            view = await self._read(ALL if need is None else need, at)
            facts.update({"eventlog.version": view.version, "eventlog.items": len(view.items)})
            return view

    async def _read(self, wanted: int, at: Point | None) -> View:
        async def read(known: Known) -> View:
            version = await self._version(known, at)
            if known.legacy is not None:
                return _adoptable(known.legacy, wanted if version else 0, version)
            items, texts = await self.reader.read(known.head, version, wanted)
            return View(items, version, texts, known.head.generation)

        return await self.on_head(read)

    async def origins(self, need: int | None = None, at: Point | None = None) -> list[str]:
        """Return where each item that `read` returns came from: the version that added it, a dot, its place in that."""

        async def origins(known: Known) -> list[tuple[int, int]]:
            wanted = ALL if need is None else need
            version = await self._version(known, at)
            if known.legacy is not None:
                return [(1, place) for place in range(known.legacy.count)][-wanted:] if version else []
            return await self.reader.origins(known.head, version, wanted)

        return [f"{version}.{place}" for version, place in await self.on_head(origins)]

    async def held(self) -> list[Held]:
        """Return the store's keys of the session, those that redundant values may still be under included."""
        return await self.on_head(partial(inventory, self.session_id, self.keys, self.store, self.reader))

    async def walk(
        self, since: Point | None = None, until: Point | None = None, *, reverse: bool = False, whole: Whole = True
    ) -> AsyncIterator[Recorded]:
        """
        Yield the events after the point *since* up to the point *until*, without either: from the oldest one kept up to now.

        *reverse* begins with the newest; those that are not wanted *whole* come without their items if they are large. What is
        committed after the first one was asked for is not in it. What a `DaprSession` left is a change, as it is a version.
        Raises NoSuchPoint.
        """
        with self._telemetry.watch("events"):  # no span: it would be that of whatever is done with an event, too
            known, over = await self.on_head(lambda known: self._range(known, since, until, reverse=reverse))
            walked = self._walker.events(known, over, whole=whole) if known.legacy is None else self._left(known.legacy, over)
            async for recorded in walked:
                yield recorded

    async def events(self) -> AsyncIterator[tuple[int, int, Event]]:
        """Yield every event kept, oldest first, with its version and when it was committed (microseconds since 1970)."""
        async for recorded in self.walk():
            yield recorded.version, recorded.committed, recorded.event

    async def version(self, at: Point | None = None) -> int:
        """Return the version at a point: now, for None. Raises NoSuchPoint."""
        with self._telemetry.operation("head"):
            return (await self.located(at))[1]

    async def located(self, at: Point | None) -> tuple[Known, int]:
        """Return the head as it stands now, and the version at a point. Raises NoSuchPoint."""

        async def located(known: Known) -> tuple[Known, int]:
            return known, await self._version(known, at)

        return await self.on_head(located)

    async def standing_alone(self, known: Known, upto: int) -> AsyncIterator[Recorded]:
        """Yield the events up to a version of *known* as they are copied, see `Walker.standing_alone`."""
        walked = self._walker.standing_alone(known, upto) if known.legacy is None else self._left(known.legacy, Range(1, upto))
        async for recorded in walked:
            yield recorded

    async def on_head(self, work: Callable[[Known], Awaitable[_T]]) -> _T:
        """Return what *work* makes of the head as it stands now, see `Heads.on_head`."""
        return await self._heads.on_head(work)

    async def head(self) -> Head:
        """Return the head as it stands now; `Head.absent` where there is none. Trips as `Heads.fresh` says."""
        with self._telemetry.operation("head"):
            return (await self._heads.fresh()).head

    # ---- changing --------------------------------------------------------------------------------------------------

    async def add(
        self, items: bytes, count: int, text: tuple[int, ...] = (), extensions: Mapping[str, str] | None = None,
        ttl: int | None = None, *, expected: Expected | int | None = None, key: str | None = None,
    ) -> Answer:  # fmt: skip
        """
        Append *count* items, a JSON array as bytes, as one event: all of them or, when this raises, none or unknown.

        However it is written, it is stored as orjson writes it; *text* are the positions of strings that are the JSON of an
        item themselves. Raises InvalidItem for what is no such array, or for *extensions* that no event can have.

        With a *key* that one of the newest `Limits.idempotent_events` events has, nothing is written and the answer is the
        version which that one made. *expected*, here and below, is the only version to write on.
        """
        items, text = codec.canonical(items, count, text)
        named = {**(extensions or {}), IDEMPOTENCY_KEY: key} if key is not None else extensions
        return await self.submit(ttl, expected, ADDED, named, count=count, items=items, text=text)

    async def pop(
        self,
        extensions: Mapping[str, str] | None = None,
        ttl: int | None = None,
        *,
        number: int = 1,
        expected: Expected | int | None = None,
    ) -> Answer:
        """Remove the newest *number* items; the answer holds them, or no version when there are fewer."""
        return await self.submit(ttl, expected, POPPED, extensions, pops=number)

    async def clear(
        self, extensions: Mapping[str, str] | None = None, ttl: int | None = None, *, expected: Expected | int | None = None
    ) -> Answer:
        """Empty the history; what was there stays in the log."""
        return await self.submit(ttl, expected, CLEARED, extensions, base=0)

    async def rewind(
        self,
        version: int,
        extensions: Mapping[str, str] | None = None,
        ttl: int | None = None,
        *,
        expected: Expected | int | None = None,
    ) -> Answer:
        """Make the history what it was at *version*. Raises NoSuchPoint when there is none such yet, or no more."""
        return await self.submit(ttl, expected, REWOUND, extensions, base=version)

    async def resolve(self, unknown: OutcomeUnknown) -> int | None:
        """
        Return the version made by what raised *unknown*, or None when it was not written and can't be any more.

        Raises it again while it may land yet: that is over once anything else is written to the session.
        """
        with self._telemetry.operation("resolve"):
            return await self._committer.resolve(unknown)

    # ---- keeping house ---------------------------------------------------------------------------------------------

    async def trim(self, before: Point, extensions: Mapping[str, str] | None = None, ttl: int | None = None) -> Answer:
        """
        Give up the versions before a point, and free what no later one is made of: whole segments, in the background.

        The present and every version from the point on read as they did; reading an older one raises HistoryTrimmed. The
        answer has no version when they were given up before. Raises NoSuchPoint, Conflict when the session is gone meanwhile.
        """
        with self._telemetry.operation("trim") as facts:
            generation, floor = await self.on_head(lambda known: self._floor(known, before))
            on = Expected(None, generation)  # what was begun since keeps its past
            return await self._intend(facts, ttl, on, TRIMMED, {**(extensions or {}), TRIMMED_BEFORE: str(floor)})

    async def verify(self) -> Verification:
        """Read everything that the head names and check it. Raises for a damaged head, without which nothing can be said."""
        with self._telemetry.operation("verify") as facts:
            found = await Verifier(self.keys, self.store, self._heads, self.reader, self.limits).verify()
            facts.update({"eventlog.version": found.version, "eventlog.sound": found.sound})
            if not found.sound:
                keys = [*found.missing, *found.altered]
                self._telemetry.damaged("verify", f"{len(keys)} keys, such as {keys[0]}")
            return found

    async def erase(self, grace: float | None = None) -> Erasure:
        """
        Delete everything of the session, what a `DaprSession` left included, and again *grace* seconds later.

        Returns after that. Until then the session reads as empty and takes no writes (`BeingErased`); afterwards the id can be
        used again. If this is cut short, calling it again goes on.
        """
        eraser = Eraser(
            self.keys, self._heads, self.reader, self._sweeper, self.runtime, self._lane.submit, session_id=self.session_id
        )
        with self._telemetry.operation("erase"):
            return await eraser.erase(self.limits.stray if grace is None else grace)

    async def settle(self) -> None:
        """Wait for everything under way, in the background too, before the store is closed."""
        await self._lane.settle()
        await self._heads.settle()
        await self._sweeper.settle()
        await self._renewer.settle()

    async def submit(
        self, ttl: int | None, expected: Expected | int | None, kind: str, extensions: Mapping[str, str] | None, **effect: Any
    ) -> Answer:
        """Commit an event of *kind*, as the methods above do; *effect* are fields of `Event`."""
        with self._telemetry.operation(_OPERATIONS[kind]) as facts:
            return await self._intend(facts, ttl, expected, kind, extensions, **effect)

    async def submit_copy(self, copy: Copy) -> Answer:
        """Commit the head of a whole log, whose other values are written. Raises SessionExists."""
        with self._telemetry.operation("copy"):
            return await self._lane.submit(Intent(copy=copy, alone=True))

    async def _intend(
        self, facts: dict[str, Any], ttl: int | None, expected: Expected | int | None, kind: str,
        extensions: Mapping[str, str] | None, **effect: Any,
    ) -> Answer:  # fmt: skip
        _check_extensions(kind, extensions or {})
        event = Event(mint(self.runtime.random_bytes(10)), kind, self.runtime.now(), extensions=extensions or {}, **effect)
        large = len(event.items) > self.limits.value_bytes
        ready = draft(event, self.keys, self.limits, binary=large and (await self.store.traits()).keeps_bytes)
        wanted = Expected(expected) if isinstance(expected, int) else expected
        intent = Intent(ready, ttl, wanted, alone=kind == TRIMMED or (wanted is not None and wanted.version is not None))
        try:
            answer = await self._lane.submit(intent)
        finally:
            facts.update({"eventlog.items": event.count, "eventlog.attempts": intent.attempts})
        if answer.version is not None:
            facts["eventlog.version"] = answer.version
        return answer

    # ---- finding ---------------------------------------------------------------------------------------------------

    async def _range(
        self, known: Known, since: Point | None, until: Point | None, *, reverse: bool
    ) -> tuple[Known, Range]:  # fmt: skip
        """Return *known* and the versions after the one point up to the other. Raises NoSuchPoint or Gone."""
        first = max(1, known.head.floor)
        if since is not None:  # before the oldest one kept is fine
            first = max(first, _within(await self._version_by(known, since), 0, known.standing.version) + 1)
        return known, Range(first, await self._version(known, until), reverse)

    async def _floor(self, known: Known, before: Point) -> tuple[str, int]:
        return known.head.generation, await self._version_by(known, before)

    async def _left(self, legacy: Legacy, over: Range) -> AsyncIterator[Recorded]:
        """Yield what a `DaprSession` left, if *over* has version 1, as the first commit will take it over."""
        if over.first <= 1 <= over.last:
            metadata = await self.store.get(legacy_keys(self.session_id)[1])
            event = before_adoption(legacy, metadata.data if metadata else None, self.runtime.now())
            yield Recorded(1, event.time, event.count, event)

    async def _version(self, known: Known, at: Point | None) -> int:
        """Return the version at a point, which can be read. Raises NoSuchPoint or Gone."""
        if at is None:
            return known.standing.version
        return _within(await self._version_by(known, at), known.head.floor, known.standing.version)

    async def _version_by(self, known: Known, at: Point) -> int:
        head = known.head
        if isinstance(at, int):
            return at
        if isinstance(at, str):
            if at not in head.tags:
                raise NoSuchPoint(f"the session has no tag of that name; it has {len(head.tags)} tags, see tags()")
            return head.tags[at]
        if known.legacy is not None:  # whenever it came to be, it was there before
            return 1
        now = self.runtime.now()
        moment = now - at // timedelta(microseconds=1) if isinstance(at, timedelta) else from_datetime(at)
        return await self.reader.version_at(head, moment)


def _check_extensions(kind: str, extensions: Mapping[str, str]) -> None:
    """Raise InvalidItem for what could be exported and not loaded again, or be taken for what an undo says."""
    for name, value in extensions.items():
        if not is_extension(name, value) or (name == UNDONE_VERSIONS and kind != UNDONE):
            raise InvalidItem(f"no event can have the attribute {name!r} with that value; nothing was written")
    key = extensions.get(IDEMPOTENCY_KEY)
    if key is not None and not is_idempotency_key(key):
        raise InvalidItem("an idempotency key is a string of 1 to 256 printable characters; nothing was written")


def _within(version: int, oldest: int, newest: int) -> int:
    if not 0 <= version <= newest:
        raise NoSuchPoint(f"there is no version {version}; the log goes from {oldest} to {newest}")
    if version < oldest:
        raise HistoryTrimmed(f"version {version} was trimmed; the log goes from {oldest} to {newest}")
    return version


def _adoptable(legacy: Legacy, wanted: int, version: int) -> View:
    """Return the view of a `DaprSession`'s history as the first commit will take it over: as what version 1 added."""
    items = orjson.loads(legacy.items)[-wanted:] if wanted else []
    skipped = legacy.count - len(items)
    return View(items, version, [place - skipped for place in legacy.text if place >= skipped])
