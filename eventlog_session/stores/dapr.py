"""
The Dapr adapter: the port over a sidecar's state API. The only module that knows gRPC.

It calls the generated stub rather than the client's methods, since those have no strong reads, no first-write inside a
transaction, no deadline, no bulk delete, and retries that print. What daprd and each component make of these calls was
measured (daprd 1.18, components-contrib 1.18); ``PROFILES`` says which component earns which trust.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import grpc
from dapr.aio.clients import DaprClient
from dapr.proto import api_v1, common_v1

from ..core.keys import partition
from ..errors import EventLogError, StoreRefused, Unavailable
from .base import Committed, NotCommitted, Put, Traits, Value
from .sidecar import SidecarClient


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a component type beyond the port's traits. `certify` measures it on a running component."""

    traits: Traits
    create_etag: str = ""
    """An etag that no head ever has and that creates an absent one; "" to ask for first-write instead."""
    counts: bool = False
    """Etags are integers that grow by one, so that the next one is known."""
    keeps_ttl: bool = False
    """A write without a ttl leaves the key the one it had, so that a ttl must be taken away in so many words."""


SAFE = Profile(Traits())
_SQL = Profile(Traits(atomic_create=True, keeps_bytes=True, trusted=True))
PROFILES: Mapping[str, Profile] = {
    # Redis ignores first-write in a transaction, but an etag that is never issued creates an absent key and fails on any other
    "state.redis": Profile(
        Traits(atomic_create=True, keeps_bytes=True, trusted=True), create_etag="-1", counts=True, keeps_ttl=True
    ),
    "state.postgresql": _SQL,
    "state.sqlite": _SQL,
    "state.in-memory": _SQL,
    "state.mysql": _SQL,
    "state.cockroachdb": _SQL,
    "state.azure.cosmosdb": Profile(Traits(atomic_create=True, trusted=True)),
    "state.aws.dynamodb": Profile(Traits(atomic_create=True, trusted=True)),
    # MongoDB drops commit errors, so its success is no proof; SQL Server, etcd and RavenDB create by check-then-act
    "state.mongodb": Profile(Traits(atomic_create=True)),
    "state.sqlserver": Profile(Traits(trusted=True)),  # v1 keeps text only
    "state.sqlserver/v2": Profile(Traits(keeps_bytes=True, trusted=True)),
    "state.oracledatabase": Profile(Traits(atomic_create=True, trusted=True)),
    "state.etcd": Profile(Traits(keeps_bytes=True)),
}
"""By component type, or type and version where versions differ. What is not in here is trusted with nothing."""


def profile_of(component_type: str, version: str) -> Profile | None:
    """Return what is known of a component type, in that version if versions differ; None when nothing is."""
    return PROFILES.get(f"{component_type}/{version}") or PROFILES.get(component_type)


_REFUSED = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.NOT_FOUND,
    }
)
"""Codes of requests that daprd turns down without asking the component."""

_DECIMALS = re.compile(rb"\[\d{1,3}(?: \d{1,3})+\]")
_INFLATION = 4
"""Bytes that Go prints a byte as, with the space after it, at most."""
_STRONG = common_v1.StateOptions.CONSISTENCY_STRONG
_FIRST_WRITE = common_v1.StateOptions.CONCURRENCY_FIRST_WRITE
_LAST_WRITE = common_v1.StateOptions.CONCURRENCY_LAST_WRITE
_T = TypeVar("_T")
_stores: WeakValueDictionary[object, "DaprStore"] = WeakValueDictionary()


class DaprStore:
    """
    A Dapr state store component behind a sidecar. Use `of`: users of one client, or of one address, share caches.

    *deadline* bounds each call, in seconds; *consistency* is asked of writes, reads of a head are always strong. *profile*
    overrides what is known of the component's type, for one that `certify` found to be different.
    """

    system = "dapr"

    def __init__(
        self, client: DaprClient, name: str, *, deadline: float = 10.0, consistency: str = "eventual",
        profile: Profile | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(client, SidecarClient) and not hasattr(client, "_stub"):
            raise TypeError(f"dapr_client must be a dapr.aio.clients.DaprClient, not {type(client).__name__}")
        self._client = client
        self.name = name
        self._deadline = deadline
        self._consistency = _STRONG if consistency == "strong" else common_v1.StateOptions.CONSISTENCY_EVENTUAL
        self._if_first = common_v1.StateOptions(concurrency=_FIRST_WRITE, consistency=self._consistency)
        self._in_any_case = common_v1.StateOptions(concurrency=_LAST_WRITE, consistency=self._consistency)
        self._given = profile
        self._profile = profile or SAFE
        self._traits = self._profile.traits
        self._transactional = True
        self._policed = True
        self._known = False
        self._inflated = False
        # a session may close its own client while others use the connection, so hold on to that
        self._stub: Callable[[], Any] = client.connection.stub if isinstance(client, SidecarClient) else lambda: client._stub

    @classmethod
    def of(
        cls, client: DaprClient, name: str, *, deadline: float = 10.0, consistency: str = "eventual",
        profile: Profile | None = None,
    ) -> "DaprStore":  # fmt: skip
        """Return the store *name* behind *client*, shared with whoever has it from the same client or address."""
        store = cls(client, name, deadline=deadline, consistency=consistency, profile=profile)
        return _stores.setdefault(store.identity, store)

    @property
    def identity(self) -> object:
        # the connection, not its address: one that was closed is not the one opened after it
        client = self._client
        through = id(client.connection if isinstance(client, SidecarClient) else client)
        return ("dapr", through, self.name, self._consistency, self._deadline, self._given)

    async def traits(self) -> Traits:
        if not self._known:
            try:
                reply = await self._call("GetMetadata", api_v1.GetMetadataRequest())
            except StoreRefused:
                pass  # a sidecar that does not tell its components: the safe profile
            else:
                self._learn(reply)
            self._known = True
        return self._traits

    def _learn(self, metadata: Any) -> None:
        """Take from the sidecar's *metadata* what kind of component this is. Raises StoreRefused for one without etags."""
        self._policed = bool(metadata.resiliencies)  # not told: of which components
        for one in metadata.registered_components:
            if one.name == self.name:
                can = set(one.capabilities) or {"ETAG", "TRANSACTIONAL"}  # none told: found out by trying
                self._transactional = "TRANSACTIONAL" in can
                self._profile = self._given or profile_of(one.type, one.version) or SAFE
                self._traits = replace(self._profile.traits, transactional=self._transactional)
                if "ETAG" not in can:
                    raise StoreRefused(
                        f"state store {self.name!r} ({one.type}) has no etags, without which writers can't be kept from "
                        "overwriting each other; use one with the ETAG capability"
                    )

    async def get(self, key: str) -> Value | None:
        request = api_v1.GetStateRequest(store_name=self.name, key=key, consistency=_STRONG, metadata=_partition(key))
        reply = await self._call("GetState", request)
        return Value(self._plain(reply.data), reply.etag) if reply.data else None

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        if not keys:
            return {}
        if not self._inflated:
            return await self._bulk(keys)
        found: dict[str, bytes] = {}
        # an encrypting component's replies are up to four times as long as the sizes that pages are made by
        step = -(-len(keys) // _INFLATION)
        for part in await asyncio.gather(*(self._bulk(keys[start : start + step]) for start in range(0, len(keys), step))):
            found.update(part)
        return found

    async def _bulk(self, keys: Sequence[str]) -> dict[str, bytes]:
        request = api_v1.GetBulkStateRequest(store_name=self.name, keys=keys, parallelism=0, metadata=_partition(keys[0]))
        try:
            reply = await self._call("GetBulkState", request)
        except _TooLarge:
            if len(keys) == 1:
                raise
            half = len(keys) // 2
            return {**await self._bulk(keys[:half]), **await self._bulk(keys[half:])}
        return {item.key: self._plain(item.data) for item in reply.items if item.data}

    async def commit(self, head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:
        await self.traits()
        if not self._transactional:
            return await self._commit_in_turn(head, etag, values)
        request = api_v1.ExecuteStateTransactionRequest(storeName=self.name, metadata=_partition(head.key))
        # the head first: on SQL stores the loser then waits at its row and writes nothing else
        self._fill_head(request.operations.add(operationType="upsert").request, head, etag)
        for put in values:
            self._fill(request.operations.add(operationType="upsert").request, put)
        try:
            await self._call("ExecuteStateTransaction", request)
        except StoreRefused:
            raise
        except EventLogError as error:
            return NotCommitted(error.__cause__)
        if self._profile.counts and head.ttl is None:  # with a ttl it may expire and count from one again
            return Committed("1" if etag is None else str(int(etag) + 1))
        return Committed(None)

    async def _commit_in_turn(self, head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:
        """Commit without a transaction: what the head will name, then the head, which so never names what is not there."""
        try:
            await self.put_many(values)
        except Unavailable as error:
            return NotCommitted(error.__cause__, sent=False)
        request = api_v1.SaveStateRequest(store_name=self.name)
        self._fill_head(request.states.add(), head, etag)
        try:
            await self._call("SaveState", request)
        except StoreRefused:
            raise
        except EventLogError as error:
            return NotCommitted(error.__cause__)
        return Committed(None)

    async def create(self, head: Put) -> None:
        try:
            await self.traits()
            if self._profile.create_etag:
                # Redis honours first-write only on keys that were created by it: one that a commit created it would overwrite
                await self.commit(head, None, [])
            else:
                request = api_v1.SaveStateRequest(store_name=self.name)
                self._fill(request.states.add(), head, first_write=True)
                await self._call("SaveState", request)
        except StoreRefused:
            raise
        except EventLogError:
            return  # it exists, or nobody knows: the caller reads it either way

    async def put_many(self, values: Sequence[Put]) -> None:
        await self._written(self._put, values)

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self._written(self._delete, keys)

    async def _written(self, write: Callable[[Sequence[_T]], Awaitable[None]], many: Sequence[_T]) -> None:
        """
        Have *many* written by one request; or by one each, all at once, where there is a resiliency policy.

        Retrying, daprd (1.18.1) writes again what failed of a bulk request, but from the second time on takes it from the wrong
        list: it ends with a panic, index out of range, or writes another key instead and reports success.
        """
        if len(many) > 1:
            await self.traits()
        if len(many) < 2 or not self._policed:
            await write(many)
            return
        for outcome in await asyncio.gather(*(write([one]) for one in many), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _put(self, values: Sequence[Put]) -> None:
        request = api_v1.SaveStateRequest(store_name=self.name)
        for put in values:
            self._fill(request.states.add(), put, clears=True)
        await self._call("SaveState", request)

    async def _delete(self, keys: Sequence[str]) -> None:
        states = [common_v1.StateItem(key=key, metadata=_partition(key)) for key in keys]
        await self._call("DeleteBulkState", api_v1.DeleteBulkStateRequest(store_name=self.name, states=states))

    async def ping(self) -> None:
        # through the client, as DaprSession does: it may be one that a test has put in
        await asyncio.wait_for(self._client.get_state(store_name=self.name, key="__ping__"), self._deadline)

    async def close(self) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]

    def _fill_head(self, item: Any, head: Put, etag: str | None) -> None:
        """Have *item* put a head if its etag still is *etag*, None for: if there is none."""
        create = etag is None
        self._fill(item, head, etag=self._profile.create_etag if create else etag, first_write=create)

    def _fill(
        self, item: Any, put: Put, *, etag: str | None = None, first_write: bool = False, clears: bool = False
    ) -> None:  # fmt: skip
        """
        Have *item*, a StateItem inside its request, put *put*: one made elsewhere would be copied, at twice the cost.

        *clears* says that the key may have had a ttl, as a head's may: of the values of a commit it is the first write.
        """
        conditional = first_write or etag is not None
        item.key = put.key
        item.value = put.value
        item.options.CopyFrom(self._if_first if conditional else self._in_any_case)
        for name, value in _partition(put.key).items():
            item.metadata[name] = value
        if put.ttl is not None:
            item.metadata["ttlInSeconds"] = str(put.ttl)
        elif self._profile.keeps_ttl and (conditional or clears):
            item.metadata["ttlInSeconds"] = "-1"
        if etag:
            item.etag.value = etag

    async def _call(self, method: str, request: Any) -> Any:
        try:
            return await getattr(self._stub(), method)(request, timeout=self._deadline)
        except grpc.aio.AioRpcError as error:
            raise self._error(error) from error

    def _error(self, error: grpc.aio.AioRpcError) -> EventLogError:
        """Return what *error* means. Of a write, `Unavailable` does not say that nothing was written."""
        code, details = error.code(), error.details()
        if code is grpc.StatusCode.UNAUTHENTICATED:
            details = f"{details}; set DAPR_API_TOKEN to the token that the sidecar asks for"
        if code in _REFUSED:
            return StoreRefused(f"Dapr refused the request on state store {self.name!r}: {details}")
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return _TooLarge(f"more than one message to or from Dapr holds: {details}")
        return Unavailable(
            f"no answer from the Dapr sidecar at {self._address()} for store {self.name!r}: {code.name}: {details}"
        )

    def _plain(self, data: bytes) -> bytes:
        plain = _plain(data)
        self._inflated = self._inflated or plain is not data
        return plain

    def _address(self) -> str:
        if isinstance(self._client, SidecarClient):
            return self._client.connection.address
        return str(getattr(getattr(self._client, "_uri", None), "endpoint", "the address of the injected client"))


class _TooLarge(StoreRefused):
    """A message was larger than daprd's limit (4 MiB by default)."""


def _partition(key: str) -> dict[str, str]:
    """Return the request metadata that puts a session's keys into one partition (Cosmos DB); none for keys not ours."""
    name = partition(key)
    return {"partitionKey": name} if name else {}


def _plain(data: bytes) -> bytes:
    """
    Return the value as it was written.

    With Dapr's state encryption on, a value written by a transaction comes back as Go prints bytes: ``[123 34 97]``.
    """
    if data[:1] == b"[" and data[1:2].isdigit() and _DECIMALS.fullmatch(data):
        numbers = list(map(int, data[1:-1].split()))
        return bytes(numbers) if max(numbers) < 256 else data
    return data
