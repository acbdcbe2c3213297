"""Which components there are: a file of ``components/``, the server behind it, and what is changed for the test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .cluster import RedisCluster
from .databases import Etcd, MariaDB
from .servers import Postgres, Redis


class Backend(Protocol):
    """What a component needs of its server."""

    @property
    def settings(self) -> Mapping[str, str]:
        """What the component has to know: entries of its metadata."""

    def start(self) -> None:
        """Serve."""

    def close(self) -> None:
        """Stop for good."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One component."""

    folder: str
    """Of ``components/``: the file as users find it."""
    server: str = ""
    """Its server; "" where the sidecar is one."""
    version: str = ""
    """Instead of the file's."""
    type: str = ""
    """Instead of the file's."""
    more: Mapping[str, str] = field(default_factory=dict)
    """Metadata added to the file's."""
    encrypted: bool = False
    """With Dapr's state encryption."""
    note: str = ""
    """What is special about it, for whoever reads a table of them."""


COMPONENTS = ("redis", "postgresql", "sqlite", "memory")
"""What a rig serves unless told otherwise: quick to start, and all of it from wheels."""

KINDS: Mapping[str, Kind] = {
    "redis": Kind(folder="redis", server="redis"),
    "postgresql": Kind(folder="postgresql", server="postgres"),
    "sqlite": Kind(folder="sqlite"),
    "memory": Kind(folder="memory"),
    "redis6": Kind(folder="redis", server="redis6"),
    "redis8": Kind(folder="redis", server="redis8"),
    "redis-cluster": Kind(folder="redis", server="redis-cluster"),
    "redis6-cluster": Kind(folder="redis", server="redis6-cluster"),
    "redis-encrypted": Kind(folder="redis", server="redis", encrypted=True, note="encrypted"),
    # v1 and v2 keep other columns in tables of the same names
    "postgresql-v1": Kind(
        folder="postgresql",
        server="postgres",
        version="v1",
        more={"tableName": "state_v1", "metadataTableName": "dapr_metadata_v1"},
    ),
    "postgresql-encrypted": Kind(folder="postgresql", server="postgres", encrypted=True, note="encrypted"),
    "mysql": Kind(folder="mysql", server="mariadb"),
    "etcd": Kind(folder="etcd", server="etcd"),
    "etcd-v1": Kind(folder="etcd", server="etcd", version="v1", more={"keyPrefixPath": "eventlog-v1"}),
    # what an operator may have done, or Dapr may not offer
    "redis-writetimeout": Kind(folder="redis", server="redis", more={"writeTimeout": "3s"}, note="writeTimeout set"),
    "redis-expiring": Kind(folder="redis", server="redis", more={"ttlInSeconds": "600"}, note="ttlInSeconds set"),
    "memory-plain": Kind(folder="memory", type="state.in-memory-plain", note="without transactions"),
}

SERVERS: Mapping[str, Callable[[Path], Backend]] = {
    "redis": Redis,
    "redis6": lambda directory: Redis(directory, flavour="redis6"),
    "redis8": lambda directory: Redis(directory, flavour="redis8"),
    "redis-cluster": RedisCluster,
    "redis6-cluster": lambda directory: RedisCluster(directory, flavour="redis6"),
    "postgres": Postgres,
    "mariadb": MariaDB,
    "etcd": Etcd,
}
