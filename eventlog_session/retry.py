"""How long a commit goes on, and how it waits."""

from collections.abc import Callable
from dataclasses import dataclass

from .runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How long a commit goes on. Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter")."""

    budget: float = 30.0
    """From the first attempt to giving up. A store that has never answered is not waited for."""
    first: float = 0.004
    """Upper bound of the first back-off: about one commit's duration."""
    cap: float = 0.128
    """Upper bound of any back-off."""

    def bound(self, attempt: int) -> float:
        """Return the upper bound of the back-off after *attempt* (0 first) failed attempts."""
        return min(self.cap, self.first * 2.0 ** min(attempt, 16))


class Patience:
    """What is left of one commit's budget, over all its attempts."""

    def __init__(self, retry: Retry, runtime: Runtime, warn: Callable[[str], None]) -> None:
        self._retry = retry
        self._runtime = runtime
        self._warn = warn
        self._warned = False
        self._deadline = runtime.monotonic() + retry.budget
        self._attempt = 0

    @property
    def spent(self) -> bool:
        """Whether it is time to give up."""
        return self._runtime.monotonic() >= self._deadline

    async def back_off(self) -> None:
        """Wait before the head is read again: longer each time, and never as long as anybody else."""
        if not self._warned and self._runtime.monotonic() >= self._deadline - self._retry.budget / 2:
            self._warned = True
            self._warn(f"half of {self._retry.budget:g} s is gone after {self._attempt} attempts to commit")
        await self._runtime.sleep(self._runtime.uniform(0, self._retry.bound(self._attempt)))
        self._attempt += 1
