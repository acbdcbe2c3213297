"""
What is known of the head: reading it, remembering it, noticing when the store has forgotten.

Dapr's writes return no etag, so after a commit the head is read once more in the background, behind the caller's next model
call: that read learns the etag that the next append needs, and an append then costs one round trip.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from ..core.head import Head
from ..core.keys import Keys
from ..core.tombstone import Tombstone
from ..errors import BeingErased, CorruptLog, EventLogError, ForkDetected, SessionExists, UnsupportedFormat
from ..limits import Limits
from ..runtime import Runtime
from ..stores.base import Store, Value
from .adoption import Legacy, legacy_key, read_legacy
from .reader import Gone, Reader

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Known:
    """A head as it stood in the store at some moment."""

    head: Head
    etag: str | None
    """None while the head is absent, or while the store has not told it yet."""
    data: bytes = b""
    """The head's bytes, so that reading the same ones again parses nothing; none where there is no head."""
    legacy: Legacy | None = None
    """What a `DaprSession` left, looked for while the log has no event."""
    tombstone: Tombstone | None = None
    """What an erased session left in the place of its head, which then is one without events."""
    expired: Head | None = None
    """The head that is still in the store after its session expired; *head* then is one without events."""
    read_at: float = 0.0
    """`Runtime.monotonic` before it was asked for, or sent."""

    @property
    def absent(self) -> bool:
        """Whether there is nothing under the head's key."""
        return not self.data

    @property
    def standing(self) -> Head:
        """The head as the session reads: what a `DaprSession` left is its version 1 before it is taken over."""
        return self.head if self.legacy is None else self.head._replace(version=1, length=self.legacy.count)

    @property
    def vacant(self) -> bool:
        """Whether there is something, but no session: a genesis, a tombstone, or a head that has expired."""
        return not self.absent and not self.head.version

    @property
    def being_erased(self) -> bool:
        """Whether an erasure began there and has not finished."""
        return self.tombstone is not None and self.tombstone.remains is not None

    def check_free(self, *, takes_over: bool) -> None:
        """Raise SessionExists or BeingErased unless a copy may be made here; where a `DaprSession` was if it *takes_over*."""
        self.check_not_being_erased()
        if self.head.version or (self.legacy is not None and not takes_over):
            raise SessionExists("there is a session of that id already, and nothing was written; take another id, or erase it")

    def check_not_being_erased(self) -> None:
        """Raise BeingErased when there is something left to delete of what was erased here."""
        if self.being_erased:
            raise BeingErased(
                "the session is being erased; wait until erase() has returned, or call it again if it was cut short"
            )


class Heads:
    """Reads and remembers one session's head."""

    def __init__(
        self, session_id: str, keys: Keys, store: Store, limits: Limits, runtime: Runtime,
        reader: Reader,
        *, adopt: bool, verbatim: bool,
    ) -> None:  # fmt: skip
        self.session_id = session_id
        self._keys = keys
        self._store = store
        self._limits = limits
        self._runtime = runtime
        self._reader = reader
        self._legacy_key = legacy_key(session_id) if adopt else ""
        self._verbatim = verbatim
        self._known: Known | None = None
        self._confirming: asyncio.Task[None] | None = None
        self._fork: ForkDetected | None = None

    @property
    def reached(self) -> bool:
        """Whether a head is remembered: the store has answered before."""
        return self._known is not None

    async def current(self) -> tuple[Known, bool]:
        """
        Return a head to commit on, and whether it was read just now.

        It is the one remembered if its etag is known and it can't have expired, or if there was none and no `DaprSession`'s
        history either: a commit creates the head only if that still is so. What is vacant is read again: on Redis its etag
        may have come back by the time that it is written to.
        """
        confirming, self._confirming = self._confirming, None
        if confirming is not None:
            await asyncio.wait({confirming})  # its error is raised, or found again, by the read below
        known = self._known
        if known is None or known.legacy is not None or self.expiring(known):
            return await self.fresh(eager=True), True
        if known.vacant or (known.etag is None and not known.absent):
            return await self.fresh(), True
        return known, False

    async def fresh(self, *, eager: bool = False) -> Known:
        """
        Return the head as it stands in the store now.

        One round trip. While no event is known, a second looks for a `DaprSession`'s history, once, and only if there is
        one a third asks whether it was taken over before, and if it was a fourth reads the head again: it may have been just
        now. *eager* makes the first two at once.

        Readers are not eager: a second call at once costs every cold read of an existing session 10 to 16 %, measured on
        Redis and PostgreSQL, to save a trip once in a session's life.

        Raises Unavailable, StoreRefused, CorruptLog, or ForkDetected when what was known no longer stands there.
        """
        if self._fork is not None:
            fork, self._fork = self._fork, None
            raise fork
        before = self._known
        known = await self._read_checked(before, eager=eager)
        if self._runtime.clock() >= known.head.expires:  # the store keeps it for longer, see `Limits.stray`
            known = replace(known, head=Head.absent(self.session_id, known.head.erased), expired=known.head)
        self._learn(known, before)
        return known

    async def _read_checked(self, before: Known | None, *, eager: bool) -> Known:
        """Read the head and check it against *before*; read it again if what it names goes while that is looked at."""
        missed: set[str] = set()
        while True:
            known = await self._read(before, eager=eager)
            if before is None or not (before.head.version or before.tombstone) or known.head is before.head:
                return known
            try:
                await self._check(before.head, known.head)
            except Gone as gone:
                if gone.key in missed:  # by a head read since, too
                    raise _missing(gone) from gone
                missed.add(gone.key)
            except ForkDetected:
                fork_told = self._known is None and self._fork is None  # by a call at the same time that saw it first
                self._known = self._fork = None
                if not fork_told:
                    raise
                return known
            else:
                return known

    def _learn(self, known: Known, before: Known | None) -> None:
        """Remember what was just read, unless a commit has gone beyond it since *before* was all there was."""
        now = self._known
        if now is before or now is None or _goes_on(now.head, known.head):
            self._known = known

    def committed(self, known: Known) -> None:
        """
        Remember the head that was just committed; learn its etag in the background if the store did not tell it.

        If another call has seen another event at one of its versions, the store went back and gave the same etag again.
        """
        seen = self._known
        if seen is not None and seen.head.generation == known.head.generation:
            version = min(seen.head.version, known.head.version)
            there, ours = seen.head.recent_id(version), known.head.recent_id(version)
            if there and ours and there != ours:
                self._fork = ForkDetected(f"{self._keys.head}: version {version} was made twice; the store forgot")
        self._known = known
        if known.etag is None:
            self._confirming = asyncio.create_task(self._confirm(), name="eventlog: read the head after a commit")

    async def settle(self) -> None:
        """Wait for the read in the background, if there is one."""
        if self._confirming is not None:
            await asyncio.wait({self._confirming})

    def unheard(self, error: BaseException) -> None:
        """Keep *error* for whoever comes next, if it is a fork: who was to be told is gone."""
        if isinstance(error, ForkDetected):
            self._fork = error

    async def on_head(self, work: Callable[[Known], Awaitable[_T]]) -> _T:
        """Return what *work* makes of the head as it stands, and of a newer one if a value that it names goes meanwhile."""
        known = await self.fresh()
        missed: set[str] = set()
        while True:
            try:
                return await work(known)
            except Gone as gone:
                known = await self.moved_on(known, gone, missed)

    async def moved_on(self, known: Known, gone: Gone, missed: set[str]) -> Known:
        """
        Return the head that came after *known*, one of whose values is *gone*; *missed* remembers which were.

        Raises CorruptLog, naming the key, when the head stood still or still names what was missed before, ForkDetected when
        *known* no longer stands.
        """
        found = await self.fresh()
        stood = (found.head.generation, found.head.version) == (known.head.generation, known.head.version)
        if stood or gone.key in missed:
            raise _missing(gone) from gone
        missed.add(gone.key)
        try:
            await self._check(known.head, found.head)  # `fresh` does not tell a second time, and this call can't go on either
        except Gone as again:
            return await self.moved_on(known, again, missed)
        return found

    async def _confirm(self) -> None:
        """Read the head for whoever comes next, and keep a fork for them to raise; whatever else is amiss they will see."""
        try:
            await self.fresh()
        except ForkDetected as fork:
            self._fork = fork
        except EventLogError:
            return

    async def _read(self, before: Known | None, *, eager: bool) -> Known:
        """Read the head, and what a `DaprSession` left if the log has no event yet; looked for until found missing once."""
        read_at = self._runtime.monotonic()
        if not self._legacy_key or (before is not None and before.legacy is None):
            return self._parse(await self._store.get(self._keys.head), before, read_at)
        search = asyncio.create_task(self._find_legacy()) if eager else None
        try:
            known = self._parse(await self._store.get(self._keys.head), before, read_at)
            if known.head.version == 0 and known.tombstone is None:
                legacy, taken_over = await (search or self._find_legacy())
                if taken_over:  # by a session that has expired since, or by another process just now
                    return self._parse(await self._store.get(self._keys.head), before, read_at)
                known = replace(known, legacy=legacy)
            return known
        finally:
            if search is not None and not search.done():
                search.cancel()  # a history that was taken over is kept, and may be megabytes
            elif search is not None and not search.cancelled():
                search.exception()  # not asked for any more

    async def _find_legacy(self) -> tuple[Legacy | None, bool]:
        """Return what a `DaprSession` left, and whether it was taken over already."""
        found = await self._store.get(self._legacy_key)
        legacy = read_legacy(found.data if found else None, self._legacy_key, verbatim=self._verbatim)
        return legacy, legacy is not None and await self._store.get(self._keys.adopted) is not None

    def _parse(self, value: Value | None, before: Known | None, read_at: float) -> Known:
        if value is None:
            return Known(Head.absent(self.session_id), None, read_at=read_at)
        head, tombstone = self._decode(value.data, before)
        return Known(head, value.etag, value.data, tombstone=tombstone, read_at=read_at)

    def _decode(self, data: bytes, before: Known | None) -> tuple[Head, Tombstone | None]:
        if before is not None and data == before.data:
            return before.expired or before.head, before.tombstone
        try:
            tombstone = Tombstone.of(data)
            if tombstone is not None:
                return Head.absent(self.session_id, tombstone.erased), tombstone
            carried = before.head.carried if before is not None else None
            head = Head.of(data, limit=self._limits.event_bytes, known=carried)
        except UnsupportedFormat as error:
            raise UnsupportedFormat(f"{self._keys.head}: {error}") from error
        except CorruptLog as error:
            raise CorruptLog(f"{self._keys.head} is damaged: {error}; restore it from a backup") from error
        if head.session_id != self.session_id:
            raise CorruptLog(f"{self._keys.head} belongs to another session id")
        return head, None

    async def _check(self, before: Head, after: Head) -> None:
        """Raise ForkDetected unless *before* still stands in *after*, or *after* is a new session for a good reason."""
        if after.generation in before.erased:
            raise ForkDetected(f"{self._keys.head}: the session was erased and is back, as after a failover; erase it again")
        if not before.version:
            return
        if after.generation != before.generation:
            if before.generation in after.erased:
                return
            if self._runtime.clock() >= before.expires - (before.ttl or 0) * self._limits.ttl_margin:  # clocks differ
                return
            raise ForkDetected(
                f"{self._keys.head}: version {before.version} was acknowledged, and the session is gone or a new one"
            )
        if after.version < before.version or not await self._same(before, after):
            raise ForkDetected(
                f"{self._keys.head}: version {before.version} was acknowledged and no longer stands there (now at "
                f"{after.version}); the store lost a write, as a failover or a restore does"
            )

    async def _same(self, before: Head, after: Head) -> bool:
        """Whether the newest event of *before* makes that version in *after* too; what was trimmed is taken to have."""
        if before.version < after.floor and after.recent_id(before.version) is None:
            return True
        # a head repeats at least the newest id
        return await self._reader.id_of(after, before.version) == before.recent_id(before.version)

    def expiring(self, known: Known) -> bool:
        """
        Whether a write through *known* could reach the store after it expired.

        By two clocks: that of whoever wrote it last, which may differ from ours, and how long we have known it.
        """
        ttl = known.head.ttl
        if ttl is None:
            return False
        age = self._runtime.monotonic() - known.read_at
        left = min(known.head.expires - self._runtime.clock(), ttl - age)
        return left - ttl * self._limits.ttl_margin <= self._limits.deadline


def _missing(gone: Gone) -> CorruptLog:
    return CorruptLog(f"{gone.key} is missing from the store; restore it from a backup")


def _goes_on(now: Head, then: Head) -> bool:
    return not now.version or (now.generation == then.generation and now.version <= then.version)
