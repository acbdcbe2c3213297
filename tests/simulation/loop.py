"""
An event loop whose clock is its own: when nothing is left to do now, the time is that of the next timer.

async-solipsism does the same for programs with sockets. Its clock counts in microseconds, and a program that waits for less
than one waits for ever.
"""

import asyncio
from typing import Any

STEPS = 500_000


class Stuck(RuntimeError):
    """Everybody waits for somebody else, or nobody for anything."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs tasks in virtual time. No files, sockets, threads or signals."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._steps = 0
        self._clock_resolution = 1e-9  # else the time of a timer, off by a rounding error, never comes
        self._selector = self

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        """Let *timeout* pass at once; None means that there is nothing to wait for. Raises Stuck."""
        self._steps += 1
        if timeout is None or self._steps > STEPS:
            self._steps = 0  # what is cancelled now has turns again
            raise Stuck("nothing will ever happen" if timeout is None else f"no end after {STEPS} turns")
        self._now += timeout
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none: nothing comes from outside."""

    def _write_to_self(self) -> None:
        """Nobody has to be woken."""
