"""What a session can do beyond the Agents SDK's protocol since its log keeps every state that it ever had."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Self

from agents.memory.session import SessionABC
from agents.memory.session_settings import SessionSettings

from . import compaction, copying, revising
from .core.items import same
from .gate import Gate
from .given import SessionView, check_number
from .history import AgentRun, Change, runs_of, untraced
from .log import EventLog
from .past import PastSession
from .points import Point, as_it_is_now, checked, checked_name
from .protocol.lane import Expected
from .revising import Moved, Told
from .runtime import Runtime
from .stores.base import Store

if TYPE_CHECKING:
    from agents.items import TResponseInputItem
    from agents.memory.session import _CompactionSnapshot
    from cloudevents.core.v1.event import CloudEvent


@dataclass(frozen=True, slots=True)
class Difference:
    """What lies between two points of a session: *common* items first, then those only at *a*, or only at *b*."""

    a: int
    """The versions that were compared."""
    b: int
    common: int
    removed: "list[TResponseInputItem]"
    added: "list[TResponseInputItem]"


class TimeTravel(SessionABC):
    """The part of `EventLogSession` that is about other moments than now."""

    session_id: str
    _gate: Gate
    _runtime: Runtime

    # ---- looking back ----------------------------------------------------------------------------------------------

    def at(self, point: Point) -> PastSession:
        """
        Return the session as it was at *point*, to be read only.

        A point is a version, an aware datetime or a timedelta ago (the last version committed by then), or a tag's name. The
        time ago is counted from this call, so the session as it was stands still; a tag may be moved.
        Reading it costs what reading the present does. Reading raises NoSuchPoint for what is not in the log, HistoryTrimmed
        for what no longer is.

        ::

            await session.at(7).get_items()
            await session.at(timedelta(minutes=10)).get_items(limit=20)
            await session.at("before the refund").get_items()
        """
        return PastSession(self, as_it_is_now(checked(point), self._runtime.now()))

    async def history(
        self, since: Point | None = None, until: Point | None = None, *, reverse: bool = False
    ) -> AsyncIterator[Change]:
        """
        Yield what happened after the point *since* up to the point *until*, oldest first, or newest first if *reverse*.

        Without them: all that is kept. Items are not read; `events` has them. Raises NoSuchPoint.

        ::

            async for change in session.history(since=timedelta(hours=1), reverse=True):
                print(change.version, change.time, change.kind, change.items, change.length)
        """
        log = await self._log()
        async for recorded in log.walk(_point(since), _point(until), reverse=reverse, whole=False):
            yield Change.of(recorded)

    async def events(
        self, since: Point | None = None, until: Point | None = None, *, reverse: bool = False
    ) -> "AsyncIterator[CloudEvent]":
        """
        Yield the same as `history` as CloudEvents, with their items, as `export` does.

        ::

            async for event in session.events(since="before the refund"):
                print(event.get_type(), event.get_time(), event.get_data())
        """
        from .exporting import export  # noqa: PLC0415 the CloudEvents SDK takes its time to import

        async for event in export(await self._log(), _point(since), _point(until), reverse=reverse):
            yield event

    async def runs(self, since: Point | None = None, until: Point | None = None) -> AsyncIterator[AgentRun]:
        """
        Yield the agent runs after *since* up to *until*, oldest first: by the Agents SDK's traces, else by user turns.

        Those that went on at the same time overlap: before one is not before the other then. Of a trimmed log they begin with
        what is kept: the version before the oldest of them is not there any more, and reading it raises HistoryTrimmed.

        ::

            async for run in session.runs():
                print(run.trace_id, run.began, run.items, await session.at(run.before).get_items())
        """
        log = await self._log()
        async for run in runs_of(log.walk(_point(since), _point(until), whole=untraced)):
            yield run

    async def diff(self, a: Point, b: Point | None = None) -> Difference:
        """
        Return what lies between two points; *b* is now for None.

        ::

            difference = await session.diff("before the refund")
            print(difference.common, difference.removed, difference.added)
        """
        points = checked(a), _point(b)
        log = await self._log()
        with self._gate.inside():
            before, after = [await log.read(None, point) for point in points]
            old, new = [await self._decode(view.items, view.texts) for view in (before, after)]
        common = sum(1 for _ in takewhile(lambda pair: same(*pair), zip(old, new, strict=False)))
        return Difference(before.version, after.version, common, old[common:], new[common:])

    # ---- going back ------------------------------------------------------------------------------------------------

    async def rewind(self, to: Point, *, expected_version: int | SessionView | None = None) -> int:
        """
        Make the history what it was at a point, by one event of a few bytes, and return the version it stands at then.

        What came after stays in the log, and `undo` brings it back. Raises NoSuchPoint, and Conflict when the session was
        erased meanwhile and another has begun; see `add_items` for *expected_version* and what else.

        ::

            await session.rewind(to=timedelta(minutes=10))
        """
        log, told = await self._log(), self._told(expected_version)
        with self._gate.inside():
            answer = await revising.rewind(log, checked(to), told)
            return await log.version() if answer.version is None else answer.version

    async def undo(self, n: int = 1, *, expected_version: int | SessionView | None = None) -> Moved | None:
        """
        Take back the last *n* changes, by one event; None, and nothing written, when there are fewer.

        A change is whatever added, removed or replaced items: clearing, popping, rewinding and compaction, too. Undoing again
        goes further back. It is of whoever's change was last when this was asked for; with what `read` gave as
        *expected_version* of nothing that you have not seen. Raises Conflict when another writer was first, HistoryTrimmed when
        it would go back to what was trimmed.

        ::

            await session.clear_session()
            await session.undo()  # everything is there again
        """
        return await self._step(n, expected_version, forward=False)

    async def redo(self, n: int = 1, *, expected_version: int | SessionView | None = None) -> Moved | None:
        """
        Take back the last *n* undos, by one event; None when there are fewer: any other change ends what can be redone.

        ::

            await session.undo()
            await session.redo()  # as if nothing had been
        """
        return await self._step(n, expected_version, forward=True)

    async def pop_items(self, n: int, *, expected_version: int | SessionView | None = None) -> "list[TResponseInputItem]":
        """
        Remove the newest *n* items, or all where there are fewer, in one commit, and return them, oldest first.

        ::

            await session.pop_items(2)  # the last question and its answer, to ask again
        """
        check_number(n)
        log, told = await self._log(), self._told(expected_version)
        with self._gate.inside():
            answer = await revising.pop_newest(log, n, told)
            return await self._decode(list(answer.items), answer.texts)

    async def tag(self, name: str, at: Point | None = None) -> int:
        """
        Give a version a name, or the name to another version, and return that version; for None where the session stands.

        A name has at most 64 bytes in UTF-8 (`Limits.tag_bytes`). Tags are for `at` and wherever else a point is asked for.
        Undo passes them over. Raises TooManyTags, NoSuchPoint, and Conflict when the point's session was erased meanwhile.

        ::

            await session.tag("before the refund")
            await session.rewind(to="before the refund")
        """
        log, told = await self._log(), self._told(None)
        checked_name(name, log.limits.tag_bytes)
        with self._gate.inside():
            return await revising.tag(log, name, _point(at), told)

    async def untag(self, name: str) -> bool:
        """
        Take a tag away; False when there is no such tag.

        ::

            await session.untag("before the refund")
        """
        log, told = await self._log(), self._told(None)
        checked_name(name)
        with self._gate.inside():
            return await revising.untag(log, name, told)

    async def tags(self) -> Mapping[str, int]:
        """
        Return the versions that have names, by name.

        ::

            for name, version in (await session.tags()).items():
                print(name, version)
        """
        log = await self._log()
        with self._gate.inside():
            return (await log.head()).tags

    async def fork(self, new_session_id: str, at: Point | None = None, *, store: Store | None = None) -> Self:
        """
        Return a new session that begins as a copy of this one as it was at a point, now for None.

        Every version up to there reads as it does here, and neither is part of the other afterwards; *store* is where the new
        one is kept, in the same store for None. It takes as long as reading the whole log once and writing it. Raises
        SessionExists and NoSuchPoint. Items that were encrypted by the Agents SDK's `EncryptedSession` can't be read in the
        fork: their key is made of the session id. The idempotency keys come along: what was added with one here is not added
        again there. In the same store the connection stays this session's: closing this one closes it for the fork, too.

        ::

            what_if = await session.fork("user-123-b", at="before the refund")
            await what_if.add_items([{"role": "user", "content": "And what if I keep it?"}])
        """
        log, told = await self._log(), self._told(None)
        new = self._sibling(new_session_id, store)
        with self._gate.inside():
            await copying.fork(log, await new._log(), _point(at), told.extensions)
        return new

    # ---- the Agents SDK's own hooks for compaction -----------------------------------------------------------------

    async def _get_compaction_snapshot(
        self, limit: int, *, prune_prefix: "Callable[[TResponseInputItem], bool] | None" = None
    ) -> "_CompactionSnapshot | None":
        """Return the newest *limit* items with a way to replace the end of them, if it is still the end then."""
        return None if self._has_own_items() else await compaction.snapshot(self, limit, prune_prefix)

    @property
    def _read_compaction_items(self) -> "Callable[[int | None], Awaitable[tuple[list[TResponseInputItem], bool]]] | None":
        """What a compaction reads with, which tells later what it summed up; and what another process added is seen by it."""
        return None if self._has_own_items() else self._to_be_summed_up

    async def _to_be_summed_up(self, limit: int | None) -> "tuple[list[TResponseInputItem], bool]":
        """Return what `get_items` does, and whether it is known to be all."""
        view = await self._view(limit, None)
        compaction.was_read(await self._log(), view)
        return view.items, limit is not None and len(view.items) < limit

    async def _atomic_replace_items(self, items: "list[TResponseInputItem]") -> bool:
        """Put *items* in the place of what the compaction read, by one event. False for a subclass with its own way."""
        if self._has_own_items():
            return False
        log = await self._log()
        with self._gate.inside():
            await compaction.replace_all(self, log, items)
        return True

    # ---- inside ----------------------------------------------------------------------------------------------------

    async def _step(self, n: int, expected_version: int | SessionView | None, *, forward: bool) -> Moved | None:
        check_number(n)
        log, told = await self._log(), self._told(expected_version)
        with self._gate.inside():
            return await revising.step(log, n, told, forward=forward)

    def _has_own_items(self) -> bool:
        """Whether a subclass does more than this one to what is added or read: it must not be passed by."""
        return any(self._overrides(name) for name in ("get_items", "add_items", "pop_item", "clear_session"))

    @abstractmethod
    async def _log(self) -> EventLog: ...

    @abstractmethod
    def _told(self, expected_version: int | SessionView | None, expected: Expected | None = None) -> Told: ...

    @abstractmethod
    def _sibling(self, session_id: str, store: Store | None) -> Self: ...

    @abstractmethod
    async def _view(
        self, limit: int | None, point: Point | None, turns: int | None = None, settings: SessionSettings | None = None
    ) -> SessionView: ...

    @abstractmethod
    async def _encode(self, items: Sequence[Any]) -> tuple[bytes, tuple[int, ...]]: ...

    @abstractmethod
    async def _decode(self, items: list[Any], texts: Sequence[int]) -> "list[TResponseInputItem]": ...

    @abstractmethod
    def _overrides(self, method: str) -> bool: ...


def _point(point: Point | None) -> Point | None:
    return None if point is None else checked(point)
