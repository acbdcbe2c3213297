"""A sampling profiler: which function was at work each time that the process had used another bit of CPU."""

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from time import process_time
from types import FrameType

PERIOD = 0.001
"""Seconds of CPU, of all threads together, from sample to sample; the kernel may round it up."""
OURS = "eventlog_session"
_KNOWN = ("asyncio", "grpc", "dapr", "google", "opentelemetry", "cachetools", "agents")


class Samples:
    """
    Samples by package and by function, and the CPU that they stand for, in seconds.

    What C does (orjson, zstd, hashes) is its caller's, as C has no frames.
    """

    def __init__(self) -> None:
        self.packages: Counter[str] = Counter()
        self.functions: Counter[str] = Counter()
        self.cpu = 0.0

    def take(self, _: int, frame: FrameType | None) -> None:
        """Note where *frame* is."""
        if frame is None:
            return
        package, module = _place(frame)
        name = frame.f_code.co_qualname
        self.packages[package] += 1
        self.functions[f"{module}: {name}"] += 1


def _place(frame: FrameType) -> tuple[str, str]:
    """Return the package and the module that *frame* is in."""
    parts = PurePath(frame.f_code.co_filename).parts
    package = next((name for name in (OURS, *_KNOWN) if name in parts), "")
    if not package:
        return ("other", parts[-1])
    module = "/".join(parts[len(parts) - parts[::-1].index(package) :])
    return package, f"{package}/{module}"


@contextmanager
def sampled(samples: Samples) -> Iterator[None]:
    """Sample what runs inside, in the main thread: CPU of other threads shows where that one waits."""
    before = signal.signal(signal.SIGPROF, samples.take)
    begun = process_time()
    signal.setitimer(signal.ITIMER_PROF, PERIOD, PERIOD)
    try:
        yield
    finally:
        samples.cpu += process_time() - begun
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
