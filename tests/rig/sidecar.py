"""daprd as a server of the rig."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Sequence
from pathlib import Path

from .base import Server, free_port
from .build import daprd
from .errors import RigError


class Sidecar(Server):
    """One daprd that loads the component files of the given directories, on ports that a restart keeps.

    It watches those directories (hot reload is on by default since Dapr 1.18): a component file that appears or
    changes there takes effect at once, so nothing but component files may lie in them.
    """

    name = "daprd"
    deadline = 60.0

    def __init__(
        self,
        directory: Path,
        app_id: str,
        components: Sequence[Path],
        *,
        grpc_port: int | None = None,
        http_port: int | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        super().__init__(directory)
        self.app_id = app_id
        self.components = [path.absolute() for path in components]
        self.arguments = list(arguments)
        self.grpc_port = grpc_port or free_port()
        self.http_port = http_port or free_port()
        self.address = f"127.0.0.1:{self.grpc_port}"
        # By default it follows from the app id, so that two sidecars of one app would fight for it.
        self._internal_port = free_port()

    def command(self) -> list[str]:
        """Everything on the loopback interface, and nothing that state stores do not need."""
        ports = {
            "--dapr-grpc-port": self.grpc_port,
            "--dapr-http-port": self.http_port,
            "--dapr-internal-grpc-port": self._internal_port,
        }
        return [
            str(daprd()),
            *("--app-id", self.app_id),
            *(word for path in self.components for word in ("--resources-path", str(path))),
            *(word for flag, port in ports.items() for word in (flag, str(port))),
            *("--dapr-listen-addresses", "127.0.0.1", "--dapr-internal-grpc-listen-address", "127.0.0.1"),
            "--enable-metrics=false",
            *self.arguments,
        ]

    def answers(self) -> bool:
        """Whether every component is loaded; the app's own health plays no part in this path."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=1)
        try:
            connection.request("GET", "/v1.0/healthz/outbound")
            return connection.getresponse().status == 204
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def await_component(self, name: str) -> None:
        """Return when a component whose file has just appeared is served."""
        give_up = time.monotonic() + self.deadline
        while name not in self._serves():
            if not self.running:
                raise RigError(f"daprd ended over the component {name}{self._log_tail()}")
            if time.monotonic() > give_up:
                late = f"daprd did not load the component {name} within {self.deadline:.0f} s"
                raise RigError(f"{late}; one before 1.18 loads none while it runs{self._log_tail()}")
            time.sleep(0.05)

    def _serves(self) -> set[str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        try:
            connection.request("GET", "/v1.0/metadata")
            return {component["name"] for component in json.load(connection.getresponse()).get("components", [])}
        except (OSError, http.client.HTTPException):
            return set()
        finally:
            connection.close()
