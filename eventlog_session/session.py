"""
`EventLogSession`: a drop-in ``session=`` for the OpenAI Agents SDK, in the place of its `DaprSession`.

Usage::

    from eventlog_session import EventLogSession

    async with EventLogSession.from_address(
        "user-123", state_store_name="statestore", dapr_address="localhost:50001"
    ) as session:
        await Runner.run(agent, "Hello", session=session)

    session = EventLogSession.from_url("user-123", url="sqlite:///conversations.db")  # nothing else to install or start
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Final, Literal, Self, cast

from agents.memory.session_settings import SessionSettings, coerce_session_settings, resolve_session_limit

from .core import items as codec
from .core.events import ADDED, IDEMPOTENCY_KEY
from .errors import OutcomeUnknown, SessionClosed
from .gate import Gate
from .given import SessionView, check_key, check_settings, check_turns, expected_on
from .limits import Limits
from .log import EventLog
from .opening import open_store
from .points import Point, checked
from .protocol.erase import Erasure
from .protocol.lane import Expected
from .protocol.verify import Verification
from .retry import Retry
from .revising import Told
from .runtime import Runtime
from .stores.base import Store
from .stores.dapr import DaprStore
from .stores.sidecar import SidecarClient
from .telemetry import Counters
from .timetravel import TimeTravel
from .tracing import extensions
from .turns import beginning

if TYPE_CHECKING:
    from agents.items import TResponseInputItem
    from dapr.aio import clients

_ITEMS_OF_A_TURN: Final = 8
"""That are read at first: a question, an answer, and three calls of tools with their outputs."""
ConsistencyLevel = Literal["eventual", "strong"]

DAPR_CONSISTENCY_EVENTUAL: Final[ConsistencyLevel] = "eventual"
DAPR_CONSISTENCY_STRONG: Final[ConsistencyLevel] = "strong"

DaprClient = SidecarClient
"""What `from_address` opens. Under the name that DaprSession's module has for it, since tests replace it there."""


class EventLogSession(TimeTravel):
    """A conversation in a Dapr state store (or an embedded SQLite file), kept as an event log."""

    session_settings: SessionSettings | None = None

    def __init__(
        self,
        session_id: str,
        *,
        state_store_name: str | None = None,
        dapr_client: "clients.DaprClient | None" = None,
        ttl: int | None = None,
        consistency: ConsistencyLevel = DAPR_CONSISTENCY_EVENTUAL,
        session_settings: SessionSettings | dict[str, Any] | None = None,
        store: Store | None = None,
        legacy: Literal["adopt", "ignore"] = "adopt",
        turns: int | None = None,
        limits: Limits = Limits(),
        retry: Retry = Retry(),
    ) -> None:
        """
        Make a session over a Dapr client of yours, which stays yours to close.

        Args:
            session_id: The conversation. Any string.
            state_store_name: Name of the Dapr state store component.
            dapr_client: A connected ``dapr.aio.clients.DaprClient``.
            ttl: Seconds after the last change until the whole session expires. None follows what the session has; for a
                new one that is: never.
            consistency: Asked of writes. The head is always read with strong consistency.
            session_settings: Its limit is the default of `get_items`.
            store: Any `Store`, instead of *state_store_name* and *dapr_client*.
            legacy: ``"adopt"`` goes on with what a `DaprSession` of this id left in the store; ``"ignore"`` does not look.
            turns: Of how many of the newest turns `get_items` returns the items when it is not told a limit, so what an agent
                is given. Instead of a limit in *session_settings*; one that a run has in its own goes before it.
            limits: Sizes, see `Limits`.
            retry: How long a write goes on under contention and faults, see `Retry`.
        """
        check_settings(session_id, ttl, legacy, turns)
        if store is None:
            if state_store_name is None or dapr_client is None:
                raise TypeError("EventLogSession needs state_store_name and dapr_client, or a store")
            store = DaprStore.of(dapr_client, state_store_name, consistency=consistency, deadline=limits.deadline)
        self.session_id = session_id
        self.session_settings = coerce_session_settings(session_settings) if session_settings is not None else SessionSettings()
        if turns is not None and self.session_settings.limit is not None:
            raise ValueError("turns or a limit in session_settings, not both")
        self._store = store
        self._dapr_client = dapr_client
        self._ttl = ttl
        self._adopt = legacy == "adopt"
        self._turns = turns
        self._limits = limits
        self._retry = retry
        self._runtime = Runtime()
        self._owns_client = False
        self._closed = False
        self._client_released = False
        self._gate = Gate()
        self._opened: tuple[asyncio.AbstractEventLoop, EventLog] | None = None
        self._before = Counters()  # of the logs on loops before this one

    @classmethod
    def from_address(
        cls,
        session_id: str,
        *,
        state_store_name: str,
        dapr_address: str = "localhost:50001",
        session_settings: SessionSettings | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Self:
        """
        Make a session over the Dapr sidecar at *dapr_address*, with a connection that it owns and closes.

        Returns at once: it connects when it is first used, and unlike `DaprSession` needs no HTTP port. *kwargs* go to the
        constructor. Sessions of one address share the connection.
        """
        client = DaprClient(address=dapr_address)
        session = cls(
            session_id,
            state_store_name=state_store_name,
            dapr_client=client,
            session_settings=session_settings,
            **kwargs,
        )
        session._owns_client = True
        return session

    @classmethod
    def from_url(
        cls,
        session_id: str,
        *,
        url: str,
        session_settings: SessionSettings | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Self:
        """
        Make a session over the store that *url* names, with a connection that it owns and closes.

        ``sqlite:///file.db``, ``memory://`` (a fresh store each time) or ``dapr://host:port/statestore``. *kwargs* go to
        the constructor. Raises ValueError for any other URL.
        """
        deadline = kwargs.get("limits", Limits()).deadline
        consistency = kwargs.get("consistency", DAPR_CONSISTENCY_EVENTUAL)
        store = open_store(url, deadline=deadline, consistency=consistency)
        session = cls(session_id, store=store, session_settings=session_settings, **kwargs)
        session._owns_client = True
        return session

    # ---- the SDK's protocol ----------------------------------------------------------------------------------------

    async def get_items(self, limit: int | None = None, *, turns: int | None = None) -> "list[TResponseInputItem]":
        """
        Return the newest *limit* items, oldest first; or the newest *turns* turns, whole.

        A turn is what the user says and all up to what the user says next. Where one has the output of a tool that was called
        in an older one, or an answer to it, the items begin with that. Without either it is the limit of *session_settings*,
        else the *turns* of the session, else all. A limit of zero and less is none.

        The turns of encrypted items can't be told: beneath the SDK's `EncryptedSession` they are one turn, and so all of them
        are returned. Its limit works as ever.

        ::

            await session.get_items(limit=20)
            await session.get_items(turns=3)
        """
        return (await self._view(limit, None, turns)).items

    async def add_items(
        self,
        items: "list[TResponseInputItem]",
        *,
        idempotency_key: str | None = None,
        expected_version: int | SessionView | None = None,
    ) -> None:
        """
        Append *items* as one event: all of them, or none.

        With an *idempotency_key* that one of the newest 128 events has (`Limits.idempotent_events`), nothing is written again,
        by whatever process: so a call that raised, or whose process died, can be repeated safely. With an *expected_version*
        the items are added to that version or not at all: a number, or better what `read` returned, which also tells an
        erased or expired session from the one that came after it.

        Raises InvalidItem or IdempotencyKeyReused before anything is written; Conflict, Unavailable, StoreRefused or
        BeingErased when nothing was; OutcomeUnknown when that can't be told: see `resolve`. CorruptLog or ForkDetected tell
        of the store, with a note if something was sent before they were met.
        """
        self._check_open()
        if not items:
            return
        if not isinstance(items, list) and isinstance(items, str | bytes | Mapping):
            raise TypeError(f"items are a list of items, not a {type(items).__name__}")
        if idempotency_key is not None:
            check_key(idempotency_key)
        expected = expected_on(expected_version)
        items = list(items)
        log = await self._log()
        with self._gate.inside():
            data, text = await self._encode(items)
            named = extensions()
            if idempotency_key is not None:
                named[IDEMPOTENCY_KEY] = idempotency_key
            # not by `add`, which looks at bytes that anybody may have made
            await log.submit(self._ttl, expected, ADDED, named, count=len(items), items=data, text=text)

    async def pop_item(self, *, expected_version: int | SessionView | None = None) -> "TResponseInputItem | None":
        """Remove the newest item and return it; None when there is none. *expected_version* as in `add_items`."""
        expected = expected_on(expected_version)
        log = await self._log()
        with self._gate.inside():
            while True:
                answer = await log.pop(extensions(), self._ttl, expected=expected)
                if answer.version is None:
                    return None
                read = await self._decode(list(answer.items), answer.texts)
                if read:  # else no item by this session's own reading: gone now, and the one before it is asked for
                    return read[0]
                expected = Expected(answer.version) if expected else None

    async def clear_session(self, *, expected_version: int | SessionView | None = None) -> None:
        """
        Empty the history. *expected_version* as in `add_items`.

        This does not erase: what was there stays in the log, where `at` finds it. `erase` does.
        """
        expected = expected_on(expected_version)
        log = await self._log()
        with self._gate.inside():
            await log.clear(extensions(), self._ttl, expected=expected)

    # ---- beyond the protocol ---------------------------------------------------------------------------------------

    async def read(self, limit: int | None = None, *, turns: int | None = None) -> SessionView:
        """Return what `get_items` does, together with the version it stands at."""
        return await self._view(limit, None, turns)

    @property
    def counters(self) -> Counters:
        """What was done for this session so far: commits, conflicts, round trips; zero before its first use."""
        return self._before + self._opened[1].counters if self._opened else Counters()

    async def resolve(self, unknown: OutcomeUnknown) -> int | None:
        """
        Return what became of a write that raised *unknown*: the version it made, or None when it was not and can't be written.

        Raises *unknown* again while it may still land, which is over once anything else is written to the session.
        """
        log = await self._log()
        with self._gate.inside():
            return await log.resolve(unknown)

    async def trim(self, before: Point) -> None:
        """
        Give up the versions before a point, and free what no later one is made of.

        The present, and every version from the point on, read as they did; an older one raises HistoryTrimmed. Space is freed
        in whole segments, in the background; items that are still part of a later version are kept. To remove what was said
        for good, use `erase`. Raises NoSuchPoint for a version that is not there yet.
        """
        log = await self._log()
        with self._gate.inside():
            await log.trim(checked(before), extensions(), self._ttl)

    async def verify(self) -> Verification:
        """
        Read the whole log and check all of it: bytes, hash chain, lengths, summaries.

        Returns what is missing or altered, by key. Raises CorruptLog for a damaged head.
        """
        log = await self._log()
        with self._gate.inside():
            return await log.verify()

    async def erase(self, *, grace: float | None = None) -> Erasure:
        """
        Delete everything of this session for good, past versions and what a `DaprSession` left included.

        Returns after *grace* seconds (`Limits.stray`, a minute), when all keys were deleted a second time, with a
        receipt of the keys. Meanwhile the session reads as empty and refuses writes (BeingErased); afterwards the id can be
        used again. A call that was cut short is taken up by the next. Backups and replicas of the store are beyond its reach.
        """
        log = await self._log()
        with self._gate.inside():
            return await log.erase(grace)

    async def ping(self) -> bool:
        """Return whether the store answers. Raises SessionClosed after `close`."""
        async with self._gate.lock:
            self._check_open()
        with self._gate.inside():
            try:
                await self._store.ping()
            except Exception:  # noqa: BLE001 the question is whether it works; whatever happened, it does not
                return False
            return True

    async def close(self) -> None:
        """
        Close what this session opened itself (`from_address`, `from_url`); with an injected client or store, do nothing.

        The session is closed for good from the first attempt. A close that failed or was cancelled can be called again.
        """
        async with self._gate.lock:
            if not self._owns_client:
                return
            self._closed = True
            if self._client_released:
                return
            await self._gate.empty()
            if self._opened is not None and self._opened[0] is asyncio.get_running_loop():
                await self._opened[1].settle()
            await (self._dapr_client or self._store).close()
            self._client_released = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    # ---- items as strings: overridden by subclasses that encrypt, redact or translate ------------------------------

    async def _serialize_item(self, item: "TResponseInputItem") -> str:
        """Return *item* as a string. A subclass that overrides this has its items kept as these strings."""
        return _as_text(item)

    async def _deserialize_item(self, item: str) -> "TResponseInputItem":
        """Return the item of a string. One that raises JSONDecodeError or TypeError is skipped, as `DaprSession` does."""
        return cast("TResponseInputItem", json.loads(item))

    async def _encode(self, items: Sequence[Any]) -> tuple[bytes, tuple[int, ...]]:
        if self._overrides("_serialize_item"):
            return codec.encode_texts([await self._serialize_item(item) for item in items])
        return codec.encode(items)

    async def _decode(self, items: list[Any], texts: Sequence[int]) -> "list[TResponseInputItem]":
        """Return what the stored *items*, of which *texts* are kept as text, are to this session."""
        own = self._overrides("_deserialize_item")
        if not texts and not own:
            return items
        as_text = set(texts)
        read: list[Any] = []
        for position, item in enumerate(items):
            try:
                if position in as_text:
                    read.append(await self._deserialize_item(item))
                else:
                    read.append(await self._deserialize_item(_as_text(item)) if own else item)
            except (json.JSONDecodeError, TypeError):
                continue
        return read

    def _told(self, expected_version: int | SessionView | None, expected: Expected | None = None) -> Told:
        return Told(extensions(), self._ttl, expected_on(expected_version) or expected)

    def _sibling(self, session_id: str, store: Store | None) -> Self:
        """Return a session like this one, in the same store unless another is given; what is connected stays this one's."""
        new = copy(self)
        new.session_id = session_id
        if store is not None:
            new._store, new._dapr_client = store, None
        new._owns_client = False
        new._gate = Gate()
        new._opened, new._before = None, Counters()
        return new

    def _overrides(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(EventLogSession, method)

    # ---- inside ----------------------------------------------------------------------------------------------------

    async def _view(
        self, limit: int | None, point: Point | None, turns: int | None = None, settings: SessionSettings | None = None
    ) -> SessionView:
        """Return the newest *limit* valid items at *point*, or *turns*: one that this session can't read does not count."""
        if limit is not None and turns is not None:
            raise ValueError("a limit or turns, not both")
        check_turns(turns)
        if turns is None:
            limit = resolve_session_limit(limit, settings or self.session_settings)
            turns = self._turns if limit is None else None
        log = await self._log()
        with self._gate.inside():
            return await (self._newest(log, limit, point) if turns is None else self._newest_turns(log, turns, point))

    async def _newest(self, log: EventLog, need: int | None, point: Point | None) -> SessionView:
        if need is not None and need <= 0:
            view = await log.read(0, point)
            return SessionView([], view.version, view.generation)
        wanted = need
        while True:
            view = await log.read(wanted, point)
            read = await self._decode(view.items, view.texts)
            if wanted is None or need is None or len(read) >= need or len(view.items) < wanted:
                return SessionView(read if need is None else read[-need:], view.version, view.generation)
            point, wanted = view.version, wanted * 2

    async def _newest_turns(self, log: EventLog, turns: int, point: Point | None) -> SessionView:
        wanted = _ITEMS_OF_A_TURN * turns
        while True:
            view = await log.read(wanted, point)
            read = await self._decode(view.items, view.texts)
            begin = beginning(read, turns, whole=len(view.items) < wanted)
            if begin is not None:
                return SessionView(read[begin:], view.version, view.generation)
            point, wanted = view.version, wanted * 4

    async def _log(self) -> EventLog:
        """Return the log on the running loop. Raises SessionClosed; waits for a close under way to know."""
        if self._gate.closing:
            async with self._gate.lock:
                pass
        self._check_open()
        loop = asyncio.get_running_loop()
        if self._opened is None or self._opened[0] is not loop:
            log = EventLog.of(
                self._store, self.session_id, limits=self._limits, retry=self._retry, runtime=self._runtime,
                adopt=self._adopt, verbatim=self._overrides("_deserialize_item"),
            )  # fmt: skip
            self._before = self.counters
            self._opened = loop, log
        return self._opened[1]

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosed(f"{type(self).__name__} is closed")


def _as_text(item: Any) -> str:
    """Return *item* as the string that `DaprSession` keeps, to the letter: a session may have its own way to read it."""
    return json.dumps(item, separators=(",", ":"))
