"""The servers that come as Debian packages: MariaDB and etcd, each in a directory of its own and on a loopback port."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from .base import Server, free_port
from .debian import program
from .errors import RigError


class MariaDB(Server):
    """MariaDB with an empty root password, on a loopback port. Its data live in a temporary directory that `close` removes.

    As with PostgreSQL: it runs as another user where we are root, and that user can't enter pytest's directories.
    """

    name = "mariadb"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._server = program("mariadbd", "mariadb-server")
        self.user = "nobody" if os.geteuid() == 0 else ""
        self._home = tempfile.TemporaryDirectory(prefix="rig-mariadb-", dir="/tmp" if self.user else None)
        self.home = Path(self._home.name)
        self.port = free_port()

    @property
    def settings(self) -> dict[str, str]:
        """What the component has to know. No socket: Dapr's component cuts the string at its only "/"."""
        return {"connectionString": f"root@tcp(127.0.0.1:{self.port})/?allowNativePasswords=true"}

    def start(self) -> None:
        """Create the database the first time, then start."""
        if not (self.home / "data").exists():
            self._create()
        super().start()

    def command(self) -> list[str]:
        """The server, as installed but for its place and its size: nothing is read from the machine's own configuration."""
        place = [f"--datadir={self.home}/data", f"--socket={self.home}/socket", f"--pid-file={self.home}/pid"]
        small = ["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M", "--performance-schema=OFF"]
        return [str(self._server), "--no-defaults", *place, "--bind-address=127.0.0.1", f"--port={self.port}", *small]

    def answers(self) -> bool:
        """Whether it greets: the first thing a server says is its version."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return b"MariaDB" in connection.recv(128)
        except OSError:
            return False

    def close(self) -> None:
        """Stop and remove the data."""
        super().close()
        self._home.cleanup()

    def _create(self) -> None:
        if self.user:
            shutil.chown(self.home, self.user)
        options = [f"--datadir={self.home}/data", "--auth-root-authentication-method=normal", "--skip-test-db"]
        command = [str(program("mariadb-install-db", "mariadb-server")), "--no-defaults", *options]
        done = subprocess.run(
            self._guarded(command), cwd=self.home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        self.log.write_text(done.stdout)
        if done.returncode:
            raise RigError(f"mariadb-install-db ended with status {done.returncode}{self._log_tail()}")


class Etcd(Server):
    """One etcd, with the limits it has when nobody says otherwise. `close` removes its data."""

    name = "etcd"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._server = program("etcd", "etcd-server")
        self.port, self._peer_port = free_port(), free_port()

    @property
    def settings(self) -> dict[str, str]:
        """What the component has to know."""
        return {"endpoints": f"127.0.0.1:{self.port}"}

    def command(self) -> list[str]:
        """The server, alone in its cluster."""
        clients, peers = (f"http://127.0.0.1:{port}" for port in (self.port, self._peer_port))
        flags = {
            "--data-dir": str(self.directory / "data"),
            "--listen-client-urls": clients,
            "--advertise-client-urls": clients,
            "--listen-peer-urls": peers,
            "--initial-advertise-peer-urls": peers,
            "--initial-cluster": f"default={peers}",
        }
        return [str(self._server), *(word for flag, value in flags.items() for word in (flag, value))]

    def answers(self) -> bool:
        """Whether it has elected itself."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def close(self) -> None:
        """Stop and remove the data."""
        super().close()
        shutil.rmtree(self.directory / "data", ignore_errors=True)
