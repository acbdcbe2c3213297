"""The whole rig: what the components need, and one sidecar that serves them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import yaml

from .errors import RigError
from .servers import Flavour, Postgres, Redis
from .sidecar import Sidecar

FOLDER = Path(__file__).resolve().parents[2] / "components"
COMPONENTS = ("redis", "postgresql", "sqlite", "memory")


class Rig:
    """Servers and a sidecar over the repository's component files, each under the name of its folder.

    `rig.components` is the directory the sidecar loads: a test may add files of its own there, before or after start.
    """

    def __init__(
        self,
        directory: Path,
        components: Sequence[str] = COMPONENTS,
        *,
        durable_redis: bool = False,
        redis_flavour: Flavour = "valkey",
        redis_port: int | None = None,
        app_id: str = "rig",
        names: Mapping[str, str] | None = None,
        grpc_port: int | None = None,
        http_port: int | None = None,
    ) -> None:
        if unknown := set(components) - set(COMPONENTS):
            raise RigError(f"no such component: {', '.join(sorted(unknown))}; there are {', '.join(COMPONENTS)}")
        self.directory = directory.absolute()
        self.components = self.directory / "components"
        self.components.mkdir(parents=True, exist_ok=True)
        self._chosen = tuple(components)
        self._names = dict(names or {})
        self._redis = (
            Redis(self.directory / "redis", flavour=redis_flavour, durable=durable_redis, port=redis_port)
            if "redis" in components
            else None
        )
        self._postgres = Postgres(self.directory / "postgres") if "postgresql" in components else None
        self.sidecar = Sidecar(self.directory / "daprd", app_id, [self.components], grpc_port=grpc_port, http_port=http_port)
        self._started = ExitStack()

    @property
    def redis(self) -> Redis:
        """The Redis server; an error in a rig without one."""
        if self._redis is None:
            raise RigError("this rig has no redis")
        return self._redis

    @property
    def postgres(self) -> Postgres:
        """The PostgreSQL server; an error in a rig without one."""
        if self._postgres is None:
            raise RigError("this rig has no postgresql")
        return self._postgres

    @property
    def address(self) -> str:
        """The sidecar's gRPC address, "127.0.0.1:port"."""
        return self.sidecar.address

    @property
    def http_port(self) -> int:
        """The sidecar's HTTP port: the Dapr SDK looks for it in $DAPR_HTTP_PORT to see whether the sidecar is up."""
        return self.sidecar.http_port

    def start(self) -> None:
        """Start the servers, write the component files, start the sidecar. All or nothing."""
        with ExitStack() as starting:
            for server in (self._redis, self._postgres):
                if server is not None:
                    starting.callback(server.close)
                    server.start()
            for component in self._chosen:
                self._write(component)
            starting.callback(self.sidecar.close)
            self.sidecar.start()
            self._started = starting.pop_all()

    def stop(self) -> None:
        """Stop everything for good, second sidecars included. PostgreSQL's data are gone, other files stay."""
        self._started.close()

    def second_sidecar(self) -> Sidecar:
        """One more sidecar of the same app on the same stores, started; it stops with the rig, or before."""
        place = self.directory / f"daprd{len(list(self.directory.glob('daprd*'))) + 1}"
        sidecar = Sidecar(place, self.sidecar.app_id, [self.components])
        self._started.callback(sidecar.close)
        sidecar.start()
        return sidecar

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _write(self, component: str) -> None:
        """The repository's file with our name and addresses in it, and all else as users find it."""
        document = yaml.safe_load((FOLDER / component / "statestore.yaml").read_text())
        document["metadata"]["name"] = self._names.get(component, component)
        ours = self._addresses(component)
        for entry in document["spec"]["metadata"]:
            entry["value"] = ours.pop(entry["name"], entry.get("value"))
        if ours:
            raise RigError(f"components/{component}/statestore.yaml has no {', '.join(ours)}")
        (self.components / f"{component}.yaml").write_text(yaml.safe_dump(document, sort_keys=False))

    def _addresses(self, component: str) -> dict[str, str]:
        match component:
            case "redis":
                return {"redisHost": self.redis.address}
            case "postgresql":
                return {"connectionString": self.postgres.dsn}
            case "sqlite":
                return {"connectionString": str(self.directory / "sqlite.db")}
            case _:
                return {}
