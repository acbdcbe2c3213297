"""Closing a session that is in use."""

import asyncio


class Gate:
    """Calls go in and out; who closes has it to himself and waits until all that are in on his event loop are out."""

    def __init__(self) -> None:
        self._lock: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None
        self._inside: set[_Call] = set()

    @property
    def lock(self) -> asyncio.Lock:
        """Held by who closes. A contended lock belongs to its loop for good, so each loop has its own."""
        loop = asyncio.get_running_loop()
        if self._lock is None or self._lock[0] is not loop:
            self._lock = loop, asyncio.Lock()
        return self._lock[1]

    @property
    def closing(self) -> bool:
        """Whether somebody holds the lock."""
        return self._lock is not None and self._lock[1].locked()

    def inside(self) -> "_Call":
        """Return the context in which a call is in."""
        return _Call(self._inside)

    async def empty(self) -> None:
        """Wait until all are out."""
        loop = asyncio.get_running_loop()
        inside = list(self._inside)  # those on other threads' loops come and go
        if calls := [call.until_out() for call in inside if call.loop is loop]:
            await asyncio.wait(calls)


class _Call:
    """
    The context of a call: in between entering and leaving it.

    Not a generator's, which costs several times as much, nor an asynchronous generator's: after `Runner.run_sync` the loop
    warns of each of those.
    """

    __slots__ = ("_inside", "_out", "loop")

    def __init__(self, inside: "set[_Call]") -> None:
        self.loop = asyncio.get_running_loop()
        self._inside = inside
        self._out: asyncio.Future[None] | None = None

    def __enter__(self) -> None:
        self._inside.add(self)

    def __exit__(self, *_: object) -> None:
        self._inside.discard(self)
        if self._out is not None and not self.loop.is_closed():
            self._out.set_result(None)

    def until_out(self) -> "asyncio.Future[None]":
        """Return what is done once it is out. Made only when somebody closes."""
        if self._out is None:
            self._out = self.loop.create_future()
        return self._out
