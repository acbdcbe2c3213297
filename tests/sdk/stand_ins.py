"""What the SDK's tests get in the place of their own fakes. `run.py` copies this file beside them, as `eventlog_stand_ins`."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from agents.memory.session_settings import SessionSettings

from eventlog_session.session import EventLogSession
from eventlog_session.stores.memory import MemoryStore
from eventlog_session.stores.sidecar import SidecarClient
from eventlog_session.stores.sqlite import SQLiteStore

if TYPE_CHECKING:
    from agents.items import TResponseInputItem

SIDECAR, COMPONENT = "EVENTLOG_SIDECAR", "EVENTLOG_COMPONENT"
"""Environment variables: the address of the sidecar, and which of its state stores the tests use."""
STATE_STORE = os.environ.get(COMPONENT, "")


class RealClient:
    """In the place of ``FakeDaprClient``: a real sidecar, of which each client sees keys of its own and so an empty store."""

    def __init__(self) -> None:
        self._sidecar = SidecarClient(os.environ[SIDECAR])
        self._prefix = f"{uuid4().hex}:"
        self._stub = PrefixingStub(self._sidecar, self._prefix)
        self._closed = False

    async def get_state(self, store_name: str, key: str) -> Any:
        """Get what `ping` asks for."""
        return await self._sidecar.get_state(store_name=store_name, key=self._prefix + key)

    async def close(self) -> None:
        """Close, and say so where the tests look."""
        self._closed = True
        await self._sidecar.close()


class PrefixingStub:
    """The calls of the generated stub that the library makes, with a prefix before every key: none can slip through."""

    def __init__(self, sidecar: SidecarClient, prefix: str) -> None:
        self._sidecar = sidecar
        self._prefix = prefix

    async def GetMetadata(self, request: Any, **options: Any) -> Any:  # noqa: N802 gRPC's name, as all below
        """Ask for the components; there are no keys in it."""
        return await self._sidecar._stub.GetMetadata(request, **options)

    async def GetState(self, request: Any, **options: Any) -> Any:  # noqa: N802
        """Get one key."""
        request = _copy(request)
        self._prefix_all([request])
        return await self._sidecar._stub.GetState(request, **options)

    async def GetBulkState(self, request: Any, **options: Any) -> Any:  # noqa: N802
        """Get several keys, and take the prefix off the answers."""
        request = _copy(request)
        request.keys[:] = [self._prefix + key for key in request.keys]
        reply = await self._sidecar._stub.GetBulkState(request, **options)
        for item in reply.items:
            item.key = item.key.removeprefix(self._prefix)
        return reply

    async def ExecuteStateTransaction(self, request: Any, **options: Any) -> Any:  # noqa: N802
        """Commit."""
        request = _copy(request)
        self._prefix_all(operation.request for operation in request.operations)
        return await self._sidecar._stub.ExecuteStateTransaction(request, **options)

    async def SaveState(self, request: Any, **options: Any) -> Any:  # noqa: N802
        """Save several keys."""
        request = _copy(request)
        self._prefix_all(request.states)
        return await self._sidecar._stub.SaveState(request, **options)

    async def DeleteBulkState(self, request: Any, **options: Any) -> Any:  # noqa: N802
        """Delete several keys."""
        request = _copy(request)
        self._prefix_all(request.states)
        return await self._sidecar._stub.DeleteBulkState(request, **options)

    def _prefix_all(self, messages: Any) -> None:
        for message in messages:
            message.key = self._prefix + message.key


def _copy(request: Any) -> Any:
    copied = type(request)()
    copied.CopyFrom(request)
    return copied


class SimpleListSession(EventLogSession):
    """In the place of the SDK tests' session of this name, a list in memory: the same constructor over our memory store."""

    _ignore_ids_for_matching = False

    def __init__(self, session_id: str = "test", history: "list[TResponseInputItem] | None" = None) -> None:
        super().__init__(session_id, store=MemoryStore())
        if history:
            self._at_once("add_items", history)

    @property
    def saved_items(self) -> "list[TResponseInputItem]":
        """All items, for tests that look without awaiting. Another session reads them, so from the store and no cache."""
        found: list[TResponseInputItem] = self._at_once("get_items")
        return found

    _items = saved_items

    def _at_once(self, method: str, *arguments: Any) -> Any:
        return _finish(getattr(EventLogSession(self.session_id, store=self._store), method)(*arguments))


class SQLiteSession(EventLogSession):
    """In the place of the SDK's session of this name: its constructor and its synchronous `close`, over our SQLite store."""

    def __init__(
        self,
        session_id: str,
        db_path: str | Path = ":memory:",
        *,
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ) -> None:
        store = MemoryStore() if db_path == ":memory:" else SQLiteStore.open(Path(db_path))
        super().__init__(session_id, store=store, session_settings=session_settings)
        self._owns_client = True

    def close(self) -> None:  # type: ignore[override]
        """Close, also from within a running loop."""
        _finish(super().close())


def _finish(coroutine: Any) -> Any:
    """Run *coroutine* on a loop in a thread of its own, and wait."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
