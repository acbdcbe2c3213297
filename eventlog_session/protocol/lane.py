"""
One commit lane for each session: adds that arrive while a commit is under way go together in the next.

Without it the writers of one process would race each other for the head's etag, and each race has one winner.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..core.copy import Copy
from ..core.draft import Draft
from ..core.head import Head
from ..errors import Conflict
from ..limits import Limits


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an intent: the version it made, or None where there was nothing to do; for a pop, the items."""

    version: int | None
    items: Sequence[Any] = ()
    """What was popped, oldest first; *texts* are the positions of those kept as text."""
    texts: Sequence[int] = ()

    @property
    def item(self) -> Any:
        """The item that a pop took; None where it took none."""
        return self.items[-1] if self.items else None


class Expected(NamedTuple):
    """The version to commit on, and no other, None for any; in a *generation* if it is known."""

    version: int | None
    generation: str | None = None

    def check(self, head: Head) -> None:
        """Raise Conflict when *head* is not the one expected."""
        if self.version not in (None, head.version):
            raise Conflict(f"the session stands at version {head.version}, not {self.version}; nothing was written")
        if self.generation not in (None, head.generation):
            raise Conflict("the session that was read is gone, and another has begun; nothing was written")


@dataclass(slots=True, eq=False)
class Intent:
    """One call's wish: an event whose bytes are fixed, to be committed on whatever head there is then."""

    draft: Draft | None = None
    """None for an `Erasure`'s two steps, which put a tombstone in the place of the head, and for a *copy*."""
    ttl: int | None = None
    expected: Expected | None = None
    alone: bool = False
    """Whether nothing else may go into its commit."""
    erased: tuple[str, ...] = ()
    """For an erasure's second step: the tombstone, by the generations it is for, whose names of what to delete are let go."""
    copy: Copy | None = None
    """A whole log that is to be there at once."""
    parts_written: bool = False
    parts_expire: int | None = None
    """When the parts of its event do, in seconds since 1970, once they are written under a ttl."""
    attempts: int = 0
    """How many times it was sent."""
    sent: bool = False
    """Whether it may be in the store, or on its way."""
    left: bool = False
    """Whether its caller was cancelled and hears no answer."""
    answer: "asyncio.Future[Answer]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def size(self) -> int:
        """Bytes that it adds to a commit's request."""
        return len(self.draft.value) + 256 if self.draft else 0


class Lane:
    """
    Queues intents and hands them to *commit* in groups, one group at a time.

    *unheard* is given the error of a group none of whose callers is left to hear it.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Intent]], Awaitable[None]],
        limits: Limits,
        unheard: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        self._commit = commit
        self._limits = limits
        self._unheard = unheard
        self._queue: deque[Intent] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, intent: Intent) -> Answer:
        """
        Return what became of *intent*.

        A call that is cancelled before its intent was sent was never written. After that it settles first, for at most one
        deadline: whoever cancelled finds the session in a state that will not change behind its back.
        """
        self._queue.append(intent)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), name="eventlog: commit lane")
        try:
            return await asyncio.shield(intent.answer)
        except asyncio.CancelledError:
            intent.left = True
            if intent.answer.done():  # it was cancelled while the answer was on its way to it
                _heard(intent.answer, self._unheard)
            elif intent.sent:
                await self._outlast(intent)
            else:
                intent.answer.cancel()
            raise

    async def settle(self) -> None:
        """Wait until nothing is under way."""
        while self._worker is not None and not self._worker.done():
            await asyncio.wait({self._worker})

    async def _outlast(self, intent: Intent) -> None:
        """Wait for an intent under way through further cancellations, for at most one deadline."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._limits.deadline
        while not intent.answer.done() and (left := end - loop.time()) > 0:
            try:
                await asyncio.wait({intent.answer}, timeout=left)
            except asyncio.CancelledError:
                continue
        intent.answer.add_done_callback(_heard)  # nobody else asks for it, however late it comes

    async def _work(self) -> None:
        while self._queue:
            group = self._next_group()
            try:
                if group:
                    await self._commit(group)
            except BaseException as error:
                if all(intent.left for intent in group):
                    self._unheard(error)
                for intent in group:
                    if not intent.answer.done():
                        if isinstance(error, Exception):
                            intent.answer.set_exception(error)
                        else:
                            intent.answer.cancel()
                if not isinstance(error, Exception):
                    raise

    def _next_group(self) -> list[Intent]:
        """Take from the queue what one commit holds."""
        group: list[Intent] = []
        size = 0
        while self._queue and len(group) < self._limits.commit_events:
            if self._queue[0].answer.done():  # cancelled
                self._queue.popleft()
                continue
            if group and (group[0].alone or self._queue[0].alone):
                break
            size += self._queue[0].size
            if group and size > self._limits.commit_bytes - self._limits.head_reserve:
                break
            group.append(self._queue.popleft())
        return group


def _heard(answer: "asyncio.Future[Answer]", unheard: Callable[[BaseException], None] = lambda _: None) -> None:
    error = None if answer.cancelled() else answer.exception()
    if error is not None:
        unheard(error)
