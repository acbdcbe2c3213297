"""The whole rig: what the components need, and one sidecar that serves them all."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import yaml

from .build import daprd, is_ours
from .catalogue import COMPONENTS, KINDS, SERVERS, Backend
from .errors import NotInstalled, RigError
from .servers import Flavour, Postgres, Redis
from .sidecar import Sidecar

FOLDER = Path(__file__).resolve().parents[2] / "components"
SECRETS = "rig-secrets"


class Rig:
    """Servers and a sidecar over the repository's component files, each under its name in the catalogue.

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
        if unknown := set(components) - set(KINDS):
            raise RigError(f"no such component: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
        self.directory = directory.absolute()
        self.components = self.directory / "components"
        self.components.mkdir(parents=True, exist_ok=True)
        self._chosen = tuple(components)
        self._names = dict(names or {})
        self._servers: dict[str, Backend] = {}
        if any(KINDS[name].server == "redis" for name in components):
            self._servers["redis"] = Redis(
                self.directory / "redis", flavour=redis_flavour, durable=durable_redis, port=redis_port
            )
        if any(KINDS[name].server == "postgres" for name in components):
            self._servers["postgres"] = Postgres(self.directory / "postgres")
        self.sidecar = Sidecar(self.directory / "daprd", app_id, [self.components], grpc_port=grpc_port, http_port=http_port)
        self._served: set[str] = set()
        self._up: set[str] = set()
        self._started = ExitStack()

    @property
    def redis(self) -> Redis:
        """The Redis server; an error in a rig without one."""
        server = self._servers.get("redis")
        if not isinstance(server, Redis):
            raise RigError("this rig has no redis")
        return server

    @property
    def postgres(self) -> Postgres:
        """The PostgreSQL server; an error in a rig without one."""
        server = self._servers.get("postgres")
        if not isinstance(server, Postgres):
            raise RigError("this rig has no postgresql")
        return server

    def server(self, component: str) -> Backend:
        """The server behind a component that is served."""
        return self._servers[KINDS[component].server]

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
            for component in self._chosen:
                self._prepare(component, starting)
            starting.callback(self.sidecar.close)
            self.sidecar.start()
            self._started = starting.pop_all()
        self._served.update(self._chosen)

    def add(self, component: str) -> str:
        """Serve one more component from now on, if it is not served yet, with its server started for it; its name."""
        if component not in self._served:
            self._prepare(component, self._started)
            self.sidecar.await_component(self._names.get(component, component))
            self._served.add(component)
        return component

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

    def _prepare(self, component: str, started: ExitStack) -> None:
        """Start the component's server, if it is not up, and write the component's file."""
        server = KINDS[component].server
        if KINDS[component].type and not is_ours(daprd()):  # Any other would end over it, and with it everything else.
            raise NotInstalled(f"only the daprd of tests/daprd knows {KINDS[component].type}: unset $DAPRD, remove others")
        if server and server not in self._up:
            if server not in self._servers:
                self._servers[server] = SERVERS[server](self.directory / server)
            started.callback(self._servers[server].close)
            self._servers[server].start()
            self._up.add(server)
        self._write(component)

    def _write(self, component: str) -> None:
        """The repository's file with our name and addresses in it, and all else as users find it."""
        kind = KINDS[component]
        document = yaml.safe_load((FOLDER / kind.folder / "statestore.yaml").read_text())
        document["metadata"]["name"] = self._names.get(component, component)
        document["spec"]["version"] = kind.version or document["spec"]["version"]
        document["spec"]["type"] = kind.type or document["spec"]["type"]
        ours = self._settings(component)
        entries = document["spec"]["metadata"]
        for entry in entries:
            entry["value"] = ours.pop(entry["name"], entry.get("value"))
        entries.extend({"name": name, "value": value} for name, value in ours.items())
        if kind.encrypted:
            entries.append({"name": "primaryEncryptionKey", "secretKeyRef": {"name": "key", "key": "key"}})
            document["auth"] = {"secretStore": SECRETS}
            self._keep_a_secret()
        self._put(component, document)

    def _settings(self, component: str) -> dict[str, str]:
        kind = KINDS[component]
        ours = {"connectionString": str(self.directory / "sqlite.db")} if kind.folder == "sqlite" else {}
        if kind.server:
            ours |= self._servers[kind.server].settings
        return ours | dict(kind.more)

    def _keep_a_secret(self) -> None:
        """A secret store with a key to encrypt with."""
        file = self.directory / "secrets.json"
        if file.exists():
            return
        file.write_text(json.dumps({"key": secrets.token_hex(32)}))
        document = {
            "apiVersion": "dapr.io/v1alpha1",
            "kind": "Component",
            "metadata": {"name": SECRETS},
            "spec": {
                "type": "secretstores.local.file",
                "version": "v1",
                "metadata": [{"name": "secretsFile", "value": str(file)}],
            },
        }
        self._put(SECRETS, document)
        if self.sidecar.running:
            self.sidecar.await_component(SECRETS)

    def _put(self, name: str, document: object) -> None:
        """Write a component's file in one step: a sidecar that runs loads it at once."""
        unfinished = self.directory / f"{name}.yaml"
        unfinished.write_text(yaml.safe_dump(document, sort_keys=False))
        unfinished.rename(self.components / f"{name}.yaml")
