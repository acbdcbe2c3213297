"""Everything that is not a pure function of its arguments, in one place that a test can replace: time, chance, waiting."""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Where the log gets its time and its randomness from."""

    clock: Callable[[], float] = time.time
    """Seconds since 1970: event and commit times, ttl."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds since whenever: budgets."""
    random_bytes: Callable[[int], bytes] = os.urandom
    """Event ids and generations."""
    uniform: Callable[[float, float], float] = random.uniform
    """Jitter."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def now(self) -> int:
        """Return the clock in microseconds since 1970."""
        return int(self.clock() * 1e6)
