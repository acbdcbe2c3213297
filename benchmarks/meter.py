"""
Times operations, and counts what goes over the wire for them, for every implementation in the same way.

The generated stub in a `dapr.aio.clients.DaprClient` is what every call passes through, whoever makes it, so the meter takes
its place. While the clock runs it only keeps references, and sizes are computed later. Bytes are those of protobuf messages,
without the framing of gRPC and HTTP/2. Of a call that was called off only the request counts.
"""

import asyncio
from collections.abc import Awaitable, Generator
from time import perf_counter, process_time
from typing import Any, NamedTuple

PAUSE = 0.01
"""Seconds after each operation, as a model call would give, so that what is done behind one does not disturb the next."""


class Sample(NamedTuple):
    """What one operation took. Bytes of calls that ended after it had returned are *behind* it, and only there."""

    seconds: float
    cpu: float  # seconds of this process, until what was left to do behind the operation was done, too
    trips: float  # longest chain of calls of which each began after another had ended: calls that overlap count as one
    bytes_out: float
    bytes_in: float
    behind_out: float
    behind_in: float


class Meter:
    """Measures one operation at a time. It stands in for the generated stub *stub*; without one it only measures time."""

    def __init__(self, stub: Any = None) -> None:
        self.taken: list[tuple[str, Sample]] = []  # by the operation's name
        self.calls: list[_Call] = []
        self.operation = ""  # the one that was begun last
        self.running = False
        self.wired = stub is not None
        self._watching = False
        self._stub = stub

    def __getattr__(self, method: str) -> Any:
        real = getattr(self._stub, method)
        return lambda request, **options: self._call(request, real(request, **options))

    async def timed(self, operation: str, work: Awaitable[Any], times: int = 1) -> Any:
        """
        Return the answer of *work* after a pause, longer than `PAUSE` if calls behind it need more; add a sample.

        *work* that is the operation done *times* over counts as one operation of its mean.
        """
        self.calls, self.operation = [], operation
        self._watching = self.running = True
        try:
            cpu, start = process_time(), perf_counter()
            answer = await work
            seconds = perf_counter() - start
            self.running = False
            await asyncio.sleep(PAUSE)
            while any(call.state == "under way" for call in self.calls):  # noqa: ASYNC110
                await asyncio.sleep(PAUSE)
            cpu = process_time() - cpu
        finally:
            self._watching = self.running = False
        trips = max((call.depth for call in self.calls if call.state == "waited for"), default=0)
        sizes = (*self._sizes("waited for", "called off"), *self._sizes("behind"))
        self.taken.append((operation, Sample(*(value / times for value in (seconds, cpu, trips, *sizes)))))
        return answer

    def _call(self, request: Any, real: Any) -> Any:
        return _Call(self, request, real) if self._watching else real

    def _sizes(self, *states: str) -> tuple[int, int]:
        calls = [call for call in self.calls if call.state in states]
        replies = [call.reply for call in calls if call.reply is not None]
        return sum(call.request.ByteSize() for call in calls), sum(reply.ByteSize() for reply in replies)


class _Call:
    """Stands in for the call object that a stub returns."""

    def __init__(self, meter: Meter, request: Any, real: Any) -> None:
        self.request = request
        self.reply: Any = None
        self.depth: int = 1 + max((call.depth for call in meter.calls if call.state == "waited for"), default=0)
        self.state: str = "under way"
        self._meter = meter
        self._real = real
        meter.calls.append(self)

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            self.reply = yield from self._real.__await__()
        except asyncio.CancelledError:
            self.state = "called off"
            raise
        finally:
            if self.state == "under way":
                self.state = "waited for" if self._meter.running else "behind"
        return self.reply

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)
