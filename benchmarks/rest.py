"""
Bytes: sent to the sidecar while a conversation of 1,000 items is added item by item, and kept by the store afterwards.

A session's items are added one by one, and at each length in question, when what runs behind has ended, the store is asked
what it keeps. A `DaprSession` keeps the same whichever way its items came, so it gets them in a few adds, but where the bytes
it sends are counted. Those are of the messages that write or delete, and do not depend on the store.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from time import perf_counter
from typing import Any
from uuid import uuid4

from cases import expect
from contest import describe
from dapr.aio.clients import DaprClient
from figures import Cell, cell
from items import SHAPES, Shape
from kept import Kept, kept
from rig import Rig
from subjects import KINDS, make, settle

from eventlog_session.core.keys import Keys

SIZES = (100, 1_000, 5_000)
KEPT = ("330 B", "2 kB")
"""Shapes of items for which kept bytes are counted."""
WRITTEN = ("redis", "2 kB")
"""Store and shape for which sent bytes are, of so many items:"""
WRITTEN_SIZE = 1_000
READS = ("GetState", "GetBulkState", "GetMetadata")


class Counted:
    """Stands in for the generated stub *stub* and adds up the bytes of requests."""

    def __init__(self, stub: Any) -> None:
        self.sent = Counter[str]()  # by method
        self._stub = stub

    def __getattr__(self, method: str) -> Any:
        real = getattr(self._stub, method)

        def call(request: Any, **options: Any) -> Awaitable[Any]:
            self.sent[method] += request.ByteSize()
            return real(request, **options)  # type: ignore[no-any-return]

        return call


def _connected(address: str) -> Any:
    client = DaprClient(address=address)
    vars(client)["_stub"] = Counted(client._stub)
    return client


class Conversation:
    """One implementation's session, which grows."""

    def __init__(self, kind: str, address: str, store: str) -> None:
        self._kind = kind
        self._client = _connected(address)
        self._wire: Counted = self._client._stub
        self._id = uuid4().hex
        self._store = store
        self._session = make(kind, self._id, self._client, store)
        self._length = 0

    async def grow(self, shape: Shape, size: int, *, one_by_one: bool) -> None:
        """Have *size* items."""
        step = 1 if one_by_one else 1_000
        for start in range(self._length, size, step):
            await self._session.add_items([shape.make(number) for number in range(start, min(start + step, size))])
        await settle(self._session)
        self._length = size
        expect(shape.history(size), await make(self._kind, self._id, self._client, self._store).get_items())

    def sent(self) -> dict[str, int]:
        """Return how many bytes were sent so far, to write and to delete, and in all."""
        sent = self._wire.sent
        return {"written_bytes": sent.total() - sum(sent[read] for read in READS), "sent_bytes": sent.total()}

    async def rest(self, rig: Rig) -> Kept:
        """Return what is kept of it."""
        part = f"{Keys(self._id).digest}" if self._kind == "eventlog" else self._id
        return await asyncio.to_thread(kept, rig, self._store, part)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()


async def measure(rig: Rig, store: str) -> AsyncIterator[Cell]:
    """Yield a cell of kept bytes for each shape and size, and on one store one of sent bytes."""
    for shape in SHAPES:
        if shape.name in KEPT:
            async for kept_bytes in _kept(rig, store, shape):
                yield kept_bytes
            if (store, shape.name) == WRITTEN:
                yield await _written(rig, store, shape)


async def _kept(rig: Rig, store: str, shape: Shape) -> AsyncIterator[Cell]:
    both = {kind: Conversation(kind, rig.address, store) for kind in KINDS}
    failed: dict[str, str] = {}
    for size in SIZES:
        found: dict[str, Any] = {}
        for kind, one in both.items():
            try:
                if kind not in failed:
                    await one.grow(shape, size, one_by_one=kind == "eventlog")
            except Exception as error:  # noqa: BLE001 how it fails is a result
                failed[kind] = describe(error)
            if kind in failed:
                found[kind] = {"failed": failed[kind], "times": 1}
            else:
                rest = await one.rest(rig)
                found[kind] = {
                    "rest_bytes": rest.stored,
                    "value_bytes": rest.values,
                    "whole_bytes": rest.whole,
                    "keys": rest.keys,
                }
        yield _cell(store, "bytes at rest", shape, size, found, "rest_bytes")
    await asyncio.gather(*(one.close() for one in both.values()))


async def _written(rig: Rig, store: str, shape: Shape) -> Cell:
    found = {}
    for kind in KINDS:
        one = Conversation(kind, rig.address, store)
        begun = perf_counter()
        await one.grow(shape, WRITTEN_SIZE, one_by_one=True)
        found[kind] = {**one.sent(), "seconds": perf_counter() - begun}
        await one.close()
    return _cell(store, "bytes written, added one by one", shape, WRITTEN_SIZE, found, "written_bytes")


def _cell(store: str, operation: str, shape: Shape, size: int, found: dict[str, Any], name: str) -> Cell:
    """Return a cell whose ratio is of the bytes *name*: `DaprSession`'s by ours."""
    values = [found[kind].get(name) for kind in ("DaprSession", "eventlog")]
    ratios = {"eventlog": [values[0] / values[1]]} if all(values) else {}
    return cell("rest", store, operation, size, rounds=1, subjects=found, ratios=ratios, items=shape.name)
