"""
A state store component, asked directly: every call goes out as given and comes back as it was answered.

`DaprStore` makes a store of a component, and so hides how it behaves; this is for whoever wants to see that.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import grpc
from dapr.aio.clients import DaprClient
from dapr.proto import api_v1, common_v1

from ..errors import StoreRefused, Unavailable
from .dapr import DaprStore, _partition

FIRST_CALL = 1.5
"""Seconds for the first call: a sidecar that is not there should be known within two."""
_PAGE = 100
_DENIED = frozenset(
    {
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
    }
)


class Write(NamedTuple):
    """One value to write, with all that can be said about it."""

    key: str
    value: bytes
    etag: str | None = None
    first_write: bool = False
    ttl: int | None = None


class Found(NamedTuple):
    """A value as it came back."""

    data: bytes
    etag: str
    metadata: Mapping[str, str]


class Answer(NamedTuple):
    """How a call ended, in the sidecar's words."""

    ok: bool
    code: str = "OK"
    details: str = ""


@dataclass(frozen=True, slots=True)
class Description:
    """What the sidecar says of itself and of the component."""

    type: str
    version: str
    capabilities: tuple[str, ...]
    app_id: str
    dapr: str
    resiliencies: tuple[str, ...]
    """Loaded policies: which component they are for isn't told."""


class NoSuchComponent(StoreRefused):
    """The sidecar has no state store of that name; the message lists those it has. Correct the name."""


class NoSidecar(Unavailable):
    """Nobody answers at the address. Start a sidecar there, or correct the address."""


class Unreadable(Unavailable):
    """The component answered a read with an error."""


class Component:
    """The component *name* behind *client*. It remembers every key it wrote, so that `clean` can delete them."""

    def __init__(self, client: DaprClient, name: str, *, deadline: float = 10.0) -> None:
        store = DaprStore(client, name)
        self.name = name
        self.address = store._address()
        self._stub = store._stub
        self._deadline = deadline
        self._written: dict[str, None] = {}
        self.calls = 0
        self.seconds: dict[str, list[float]] = defaultdict(list)
        """How long calls took, by method."""

    async def describe(self) -> Description:
        """Ask the sidecar. Raises `NoSidecar`, within two seconds, and `NoSuchComponent`."""
        try:
            reply = await self._stub().GetMetadata(api_v1.GetMetadataRequest(), timeout=FIRST_CALL)
        except grpc.aio.AioRpcError as error:
            if error.code() in _DENIED:
                raise StoreRefused(
                    f"the Dapr sidecar at {self.address} keeps its metadata to itself: {error.details()}"
                ) from error
            raise NoSidecar(f"no Dapr sidecar at {self.address}") from error
        stores = {one.name: one for one in reply.registered_components if one.type.startswith("state.")}
        if self.name not in stores:
            there = f"it has {', '.join(sorted(stores))}" if stores else "it has none at all"
            raise NoSuchComponent(f"the sidecar at {self.address} has no state store {self.name!r}: {there}")
        found = stores[self.name]
        return Description(
            type=found.type,
            version=found.version,
            capabilities=tuple(sorted(found.capabilities)),
            app_id=reply.id,
            dapr=reply.runtime_version,
            resiliencies=tuple(sorted(one.name for one in reply.resiliencies)),
        )

    async def get(self, key: str) -> Found | None:
        """Read strongly; None where there is nothing."""
        request = api_v1.GetStateRequest(
            store_name=self.name,
            key=key,
            consistency=common_v1.StateOptions.CONSISTENCY_STRONG,
            metadata=_partition(key),
        )
        reply = await self._call("GetState", request)
        if isinstance(reply, Answer):
            raise Unreadable(f"{self.name} can't be read: {reply.code}: {reply.details}")
        return Found(reply.data, reply.etag, dict(reply.metadata)) if reply.data else None

    async def get_bulk(self, keys: Sequence[str]) -> list[tuple[str, bytes]] | Answer:
        """Read many in one call: what came back in its order, or why nothing did."""
        request = api_v1.GetBulkStateRequest(store_name=self.name, keys=keys, parallelism=0, metadata=_partition(keys[0]))
        reply = await self._call("GetBulkState", request)
        return reply if isinstance(reply, Answer) else [(item.key, item.data) for item in reply.items]

    async def save(self, *writes: Write) -> Answer:
        """Write without a transaction."""
        request = api_v1.SaveStateRequest(store_name=self.name, states=self._items(writes))
        return _answer(await self._call("SaveState", request))

    async def transact(self, *writes: Write) -> Answer:
        """Write in one transaction."""
        operations = [api_v1.TransactionalStateOperation(operationType="upsert", request=item) for item in self._items(writes)]
        request = api_v1.ExecuteStateTransactionRequest(
            storeName=self.name, operations=operations, metadata=_partition(writes[0].key)
        )
        return _answer(await self._call("ExecuteStateTransaction", request))

    async def delete(self, *keys: str) -> Answer:
        """Delete in one call."""
        states = [common_v1.StateItem(key=key, metadata=_partition(key)) for key in keys]
        return _answer(await self._call("DeleteBulkState", api_v1.DeleteBulkStateRequest(store_name=self.name, states=states)))

    async def clean(self) -> int:
        """Delete everything written here; how many of the keys could not be."""
        keys, left = list(self._written), 0
        for start in range(0, len(keys), _PAGE):
            page = keys[start : start + _PAGE]
            if (await self.delete(*page)).ok:
                self._written = {key: None for key in self._written if key not in page}
            else:
                left += len(page)
        return left

    async def pause(self, seconds: float) -> None:
        """Let time pass: a component's ttl runs in real time."""
        await asyncio.sleep(seconds)

    def _items(self, writes: Iterable[Write]) -> list[Any]:
        return [self._item(write) for write in writes]

    def _item(self, write: Write) -> Any:
        self._written[write.key] = None
        metadata = _partition(write.key)
        if write.ttl is not None:
            metadata["ttlInSeconds"] = str(write.ttl)
        options = common_v1.StateOptions.CONCURRENCY_LAST_WRITE
        if write.first_write or write.etag is not None:
            options = common_v1.StateOptions.CONCURRENCY_FIRST_WRITE
        item = common_v1.StateItem(
            key=write.key, value=write.value, metadata=metadata, options=common_v1.StateOptions(concurrency=options)
        )
        if write.etag is not None:
            item.etag.value = write.etag
        return item

    async def _call(self, method: str, request: Any) -> Any:
        self.calls += 1
        start = time.perf_counter()
        try:
            reply = await getattr(self._stub(), method)(request, timeout=self._deadline)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                raise Unavailable(f"the Dapr sidecar at {self.address} went away: {error.details()}") from error
            return Answer(ok=False, code=error.code().name, details=error.details() or "")
        else:
            return reply
        finally:
            self.seconds[method].append(time.perf_counter() - start)


def _answer(reply: Any) -> Answer:
    return reply if isinstance(reply, Answer) else Answer(ok=True)
