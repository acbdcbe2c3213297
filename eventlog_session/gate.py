"""Closing a session that is in use."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Calls go in and out; who closes has it to himself and waits until all that are in on his event loop are out."""

    def __init__(self) -> None:
        self._lock: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None
        self._inside: set[asyncio.Future[None]] = set()

    @property
    def lock(self) -> asyncio.Lock:
        """Held by who closes. A contended lock belongs to its loop for good, so each loop has its own."""
        loop = asyncio.get_running_loop()
        if self._lock is None or self._lock[0] is not loop:
            self._lock = loop, asyncio.Lock()
        return self._lock[1]

    @contextmanager
    def inside(self) -> Iterator[None]:
        """
        Be in.

        Not an asynchronous generator: after `Runner.run_sync` the loop warns of each of those.
        """
        call = asyncio.get_running_loop().create_future()
        self._inside.add(call)
        try:
            yield
        finally:
            self._inside.discard(call)
            if not call.get_loop().is_closed():
                call.set_result(None)

    async def empty(self) -> None:
        """Wait until all are out."""
        loop = asyncio.get_running_loop()
        if calls := {call for call in self._inside if call.get_loop() is loop}:
            await asyncio.wait(calls)
