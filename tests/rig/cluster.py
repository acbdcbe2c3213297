"""A Redis Cluster of three nodes without replicas."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path

from .base import free_port, port_is_free
from .errors import RigError
from .servers import Flavour, Redis

NODES = 3
SLOTS = 16384
BUS = 10_000
"""A node's port plus this is where the others talk to it."""


class Node(Redis):
    """One node: it knows nothing of the others before they are told of each other."""

    def command(self) -> list[str]:
        """As a single server, in cluster mode."""
        return [*super().command(), "--cluster-enabled", "yes", "--cluster-node-timeout", "5000"]

    def ask(self, *words: str) -> bytes:
        """The reply to one command, as the protocol has it. No client of any kind comes with the servers' packages."""
        request = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection, connection.makefile("rb") as reply:
            connection.sendall(request)
            first = reply.readline()
            if first.startswith(b"-"):
                raise RigError(f"redis refused {' '.join(words[:2])}: {first.decode().strip()}")
            return reply.read(int(first[1:])) if first.startswith(b"$") else first


class RedisCluster:
    """Three nodes on this machine that share the slots; a transaction's keys must lie in one of them."""

    def __init__(self, directory: Path, *, flavour: Flavour = "valkey") -> None:
        self.nodes = [Node(directory / f"node{number}", flavour=flavour, port=_port()) for number in range(NODES)]
        self._started = ExitStack()

    @property
    def settings(self) -> dict[str, str]:
        """What the component has to know."""
        return {"redisHost": ",".join(node.address for node in self.nodes), "redisType": "cluster"}

    def start(self) -> None:
        """Start the nodes, give each its slots and wait until all of them serve."""
        with ExitStack() as starting:
            for node in self.nodes:
                starting.callback(node.close)
                node.start()
            self._meet()
            self._started = starting.pop_all()

    def close(self) -> None:
        """Stop the nodes."""
        self._started.close()

    def _meet(self) -> None:
        bounds = [SLOTS * number // NODES for number in range(NODES + 1)]
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            node.ask("CLUSTER", "ADDSLOTS", *map(str, range(bounds[number], bounds[number + 1])))
            node.ask("CLUSTER", "MEET", "127.0.0.1", str(self.nodes[0].port))
        give_up = time.monotonic() + Node.deadline
        while not all(self._complete(node.ask("CLUSTER", "INFO")) for node in self.nodes):
            if time.monotonic() > give_up:
                raise RigError(f"the nodes did not form a cluster: {self.nodes[0].ask('CLUSTER', 'INFO').decode()}")
            time.sleep(0.1)

    @staticmethod
    def _complete(said: bytes) -> bool:
        return b"cluster_state:ok" in said and b"cluster_known_nodes:%d" % NODES in said


def _port() -> int:
    while True:
        port = free_port()
        if port_is_free(port + BUS):
            return port
