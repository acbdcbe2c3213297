"""
The floor: the least that a session on a state store can do, by the same metered gRPC stub. No implementation: it keeps no log.

What it does for each operation, and what no session can do without:

- **add**, **pop**: one `ExecuteStateTransaction` of two upserts: a head of 1 KiB, guarded by its etag, and one event: the
  items' JSON and an envelope of 250 bytes (for a pop the envelope alone). Where etags count (Redis) the next one is known;
  elsewhere a `GetState` of the head reads it *behind* the operation, for which one that follows at once has to wait.
- **add, cold**: the head's etag has to be read first, by one `GetState`.
- **get 10**: one `GetState` of a 1 KiB head with the newest 10 items' JSON, and one `orjson.loads` of that.
- **get all, warm**: one `GetState` of the 1 KiB head, which says that nothing changed, and one `orjson.loads` of the array
  of all items, whose bytes are in memory.
- **get all, cold**: one `GetState` of a head, which holds the array if that is no longer than 8 KiB; else the array's bytes
  by `GetState`s of 3 MiB at the same time; and one `orjson.loads`.

Nothing is compressed, hashed, checked or retried, and no event is ever read: what is read was written by `Floor.seed`, and
what an object has added since it holds in memory. So its answers are right while one object at a time uses a session.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from agents.memory.session import SessionABC
from dapr.proto import api_v1, common_v1
from subjects import SidecarSubject

HEAD, ENVELOPE, INLINE, PAGE, NEWEST = 1 << 10, 250, 8 << 10, 3 << 20, 10
_FILL = b" " * HEAD
_FIRST_WRITE = common_v1.StateOptions.CONCURRENCY_FIRST_WRITE


@dataclass(slots=True)
class _Known:
    """What is known of a session. Its *etag* is None while it is not, and "" of a head that is not there."""

    etag: str | None = None
    array: bytes | None = None
    added: list[Any] = field(default_factory=list)
    events: int = 0
    learning: "asyncio.Task[None] | None" = None


class FloorSession(SessionABC):
    """What the module says, with a session's methods."""

    def __init__(self, session_id: str, *, stub: Any, component: str, known: _Known) -> None:
        self.session_id = session_id
        self._stub = stub
        self._component = component
        self._counts = component == "redis"
        self._known = known

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """Return the newest items."""
        known = self._known
        if limit is not None:
            assert limit == NEWEST
            reply = await self._get("newest")
            return [*self._loads(reply.data[HEAD:]), *known.added][-limit:]
        if known.array is None:
            known.array = await self._array()
        else:
            known.etag = (await self._get("head")).etag
        return [*self._loads(known.array), *known.added] if known.added else self._loads(known.array)

    async def add_items(self, items: list[Any]) -> None:
        """Write an event."""
        await self._commit(orjson.dumps(items) + _FILL[:ENVELOPE])
        self._known.added += items

    async def pop_item(self) -> Any:
        """Write an event, and return the newest item that was added by this subject."""
        await self._commit(_FILL[:ENVELOPE])
        return self._known.added.pop()

    async def clear_session(self) -> None:
        """Write an event of no content."""
        await self._commit(_FILL[:ENVELOPE])
        self._known.array, self._known.added = b"", []

    async def write(self, history: Sequence[Any]) -> None:
        """Write what is read: a head, one with the newest items, one with all or the number of pages, and the pages."""
        array = orjson.dumps(history) if history else b""
        pages = [array[start : start + PAGE] for start in range(0, len(array), PAGE)] if len(array) > INLINE else []
        values = {"head": _FILL, "newest": _FILL + orjson.dumps(history[-NEWEST:])}
        values["all"] = b"%4d" % len(pages) + _FILL[4:] + (b"" if pages else array)
        values |= {f"page {number}": page for number, page in enumerate(pages)}
        for name, value in values.items():  # one by one, as a message has 4 MiB at most
            item = common_v1.StateItem(key=self._key(name), value=value)
            await self._stub.SaveState(api_v1.SaveStateRequest(store_name=self._component, states=[item]))

    async def _array(self) -> bytes:
        data = (await self._get("all")).data
        if not data:
            self._known.etag = ""
        if pages := int(data[:4] or 0):
            replies = await asyncio.gather(*(self._get(f"page {number}") for number in range(pages)))
            return b"".join(reply.data for reply in replies)
        return bytes(data[HEAD:])

    @staticmethod
    def _loads(array: bytes) -> list[Any]:
        items: list[Any] = orjson.loads(array) if array else []
        return items

    async def _commit(self, event: bytes) -> None:
        known = self._known
        if known.learning is not None:
            await known.learning
            known.learning = None
        if known.etag is None:
            await self._learn()
        head = common_v1.StateItem(key=self._key("head"), value=_FILL)
        head.options.concurrency = _FIRST_WRITE
        if known.etag or self._counts:
            head.etag.value = known.etag or "-1"  # which on Redis creates what is not there
        known.events += 1
        items = [head, common_v1.StateItem(key=self._key(f"event {known.events}"), value=event)]
        operations = [api_v1.TransactionalStateOperation(operationType="upsert", request=item) for item in items]
        request = api_v1.ExecuteStateTransactionRequest(storeName=self._component, operations=operations)
        await self._stub.ExecuteStateTransaction(request)
        if self._counts:
            known.etag = str(int(known.etag or 0) + 1)
        else:
            known.learning = asyncio.create_task(self._learn())

    async def _learn(self) -> None:
        self._known.etag = (await self._get("head")).etag

    async def _get(self, name: str) -> Any:
        return await self._stub.GetState(api_v1.GetStateRequest(store_name=self._component, key=self._key(name)))

    def _key(self, name: str) -> str:
        return f"floor {self.session_id} {name}"


class Floor(SidecarSubject):
    """The floor as a subject. Objects that are cached share what they know of a session."""

    def __init__(self, client: Any, component: str) -> None:
        super().__init__(client, component)
        self._known: dict[str, _Known] = {}

    def session(self, session_id: str, *, cached: bool) -> FloorSession:
        """Return a session object on the open connection."""
        known = self._known.setdefault(session_id, _Known()) if cached else _Known()
        return FloorSession(session_id, stub=self.meter, component=self._component, known=known)

    async def seed(self, session_id: str, history: Sequence[Any]) -> None:
        """Write what is read later."""
        await self.session(session_id, cached=False).write(history)

    async def empty(self, session_id: str, items: Sequence[Any]) -> None:
        """Write what is read of a session that has a head and no items, whichever it had."""
        del items
        await self.seed(session_id, [])
