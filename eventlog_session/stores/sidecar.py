"""
A Dapr client that opens nothing until it is used.

The SDK's `DaprClient` polls the sidecar's HTTP port in its constructor, for up to a minute and blocking the event loop. This
one is the same client without that: it connects on the loop that first calls it, again on any other, and all clients of one
address share a connection.
"""

import asyncio
from threading import Lock
from typing import Any

import grpc
from dapr.aio.clients import DaprClient
from dapr.aio.clients.grpc.interceptors import DaprClientInterceptorAsync
from dapr.clients.retry import RetryPolicy
from dapr.conf import settings
from dapr.conf.helpers import GrpcEndpoint
from dapr.proto import api_service_v1

_OPTIONS = (
    # daprd bounds its replies itself, at 4 MiB unless told otherwise
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)


class Connection:
    """One channel for each event loop to one address, shared by all clients of that address."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.users = 0
        self._endpoint = GrpcEndpoint(address)
        self._channels: dict[asyncio.AbstractEventLoop, tuple[grpc.aio.Channel, Any]] = {}

    def stub(self) -> Any:
        """Return the generated stub, connected on the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._channels:
            # a closed loop's channel can't be awaited any more: letting go of it closes it
            self._channels = {used: kept for used, kept in self._channels.items() if not used.is_closed()}
            channel = self._connect()
            self._channels[loop] = channel, api_service_v1.DaprStub(channel)  # type: ignore[no-untyped-call]
        return self._channels[loop][1]

    def _connect(self) -> grpc.aio.Channel:
        token = settings.DAPR_API_TOKEN
        interceptors = [DaprClientInterceptorAsync([("dapr-api-token", token)])] if token else []
        if self._endpoint.tls:
            return grpc.aio.secure_channel(
                self._endpoint.endpoint, grpc.ssl_channel_credentials(), options=_OPTIONS, interceptors=interceptors
            )
        return grpc.aio.insecure_channel(self._endpoint.endpoint, options=_OPTIONS, interceptors=interceptors)

    async def close(self) -> None:
        """Close the running loop's channel and let go of all others."""
        channel = self._channels.pop(asyncio.get_running_loop(), None)
        self._channels.clear()
        if channel is not None:
            await channel[0].close()


_connections: dict[str, Connection] = {}
_connections_lock = Lock()


class SidecarClient(DaprClient):
    """The SDK's client for the sidecar at *address*, connected when it is first used. Raises ValueError for a bad address."""

    def __init__(self, address: str) -> None:
        # the base's constructor is what blocks; its methods need no more of it than what is set here
        self.retry_policy = RetryPolicy()
        self.invocation_client = None
        self._released = False
        with _connections_lock:
            self.connection = _connections.get(address) or Connection(address)
            self.connection.users += 1
            _connections[address] = self.connection

    @property
    def _stub(self) -> Any:  # type: ignore[override]
        return self.connection.stub()

    async def close(self) -> None:
        """Give up this client's share of the connection; the last one closes it."""
        if self._released:
            return
        self._released = True
        with _connections_lock:
            self.connection.users -= 1
            last = self.connection.users == 0
            if last:
                _connections.pop(self.connection.address, None)
        if last:
            await self.connection.close()
