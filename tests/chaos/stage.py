"""A rig whose every wire runs through a proxy: writers to two sidecars, the sidecars to Redis and PostgreSQL."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from rig import COMPONENTS, Rig, Server, Sidecar, free_port

from .crew import Standby
from .faults import Chance, Kind, calm
from .proxy import Proxy
from .variants import write_components

_SOCKET = ".s.PGSQL.5432"


class Stage:
    """
    One rig with Redis (durable) and PostgreSQL, two sidecars and four proxies, and components of our own beside the rig's.

    The rig's components reach their servers directly. Ours, through the proxies, are named after the store and what is odd
    about them: "redis-plain", "-retried" (a resiliency policy), "-encrypted", and "redis-twice" (with `writeTimeout`, every
    operation runs twice). They share their store's keys with the rig's own, but for the encrypted ones.
    """

    def __init__(self, directory: Path) -> None:
        self.rig = Rig(directory, COMPONENTS, durable_redis=True)
        self.standby = Standby(self.rig.directory)
        self._sockets = tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp")  # a socket's path must be short
        place = Path(self._sockets.name)
        self.wires = {
            "redis": Proxy(("127.0.0.1", free_port()), ("127.0.0.1", self.rig.redis.port)),
            "postgresql": Proxy(place / _SOCKET, self.rig.postgres.home / _SOCKET),
        }
        self._places = {
            "redis": {"redisHost": f"127.0.0.1:{self._port('redis')}"},
            "postgresql": {"connectionString": f"host={place} port=5432 user=postgres database=postgres"},
        }
        self.sidecars: list[Sidecar] = []
        self.doors: list[Proxy] = []
        """One before each sidecar."""
        self._entered = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as entering:
            entering.callback(self._sockets.cleanup)
            entering.push_async_callback(self.standby.kill)
            for proxy in self.wires.values():
                await entering.enter_async_context(proxy)
            write_components(self.rig.components, self.rig.directory / "secrets.json", self._places)
            entering.push_async_callback(asyncio.to_thread, self.rig.stop)
            await asyncio.to_thread(self.rig.start)
            self.sidecars = [self.rig.sidecar, await asyncio.to_thread(self.rig.second_sidecar)]
            for sidecar in self.sidecars:
                door = Proxy(("127.0.0.1", free_port()), ("127.0.0.1", sidecar.grpc_port), http2=True)
                self.doors.append(await entering.enter_async_context(door))
            self._entered = entering.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._entered.aclose()

    def address(self, number: int) -> str:
        """Return where a writer of this number finds its sidecar: behind a proxy."""
        door = self.doors[number % len(self.doors)].listen
        assert isinstance(door, tuple)
        return f"{door[0]}:{door[1]}"

    def server(self, store: str) -> Server:
        """Return the server of a store."""
        return self.rig.redis if store == "redis" else self.rig.postgres

    def check(self) -> None:
        """Raise RigError if a server has ended by itself: a sidecar that did would otherwise pass for a long fault."""
        for server in (self.rig.redis, self.rig.postgres, *self.sidecars):
            server.check()

    def rage(self, chance: random.Random, store: str, door: Mapping[Kind, float], wire: Mapping[Kind, float]) -> None:
        """Have the proxies before the sidecars, and the one before the store, inject faults at these rates."""
        for proxy, rates in (*((door_, door) for door_ in self.doors), (self.wires[store], wire)):
            proxy.injected.clear()
            proxy.decide = Chance(random.Random(chance.random()), rates) if rates else calm

    def soothe(self) -> None:
        """Have no proxy inject anything any more."""
        for proxy in (*self.doors, *self.wires.values()):
            proxy.decide = calm

    def injected(self, store: str) -> Counter[str]:
        """Return how many faults the proxies injected, by kind and place."""
        found: Counter[str] = Counter()
        for place, proxies in (("client", self.doors), ("store", [self.wires[store]])):
            for proxy in proxies:
                found.update({f"{kind}, {place}": times for kind, times in proxy.injected.items()})
        return found

    def _port(self, store: str) -> int:
        listen = self.wires[store].listen
        assert isinstance(listen, tuple)
        return listen[1]
