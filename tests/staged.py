"""Stores and a clock that do what a test says, and what the tests of the log say often."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from eventlog_session import EventLog, MemoryStore, Store, Unavailable
from eventlog_session.runtime import Runtime
from eventlog_session.stores.base import Committed, NotCommitted, Put, Traits, Value
from eventlog_session.testing import CountingStore

ALL_TRAITS = Traits(True, True, True)


class Untold(MemoryStore):
    """Memory that behaves like Dapr's transactions: a commit does not tell the head's new etag."""

    async def commit(self, head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:  # noqa: D102
        outcome = await super().commit(head, etag, values)
        return Committed(None) if isinstance(outcome, Committed) else outcome


class Faulty(Untold):
    """
    Memory whose next commits go as *plan* says, one word for each; after that it works.

    ``lost``: done, the reply is lost. ``dropped``: not done, the reply is lost. ``lie``: not done, and reported as done.
    ``late``: not done yet, the reply is lost; `land` does it. ``unsent``: it surely never left. While *down*, nothing else
    answers. *meanwhile* runs once after the next commit, before its reply.
    """

    def __init__(self, *plan: str, traits: Traits = ALL_TRAITS, **options: Any) -> None:
        super().__init__(traits=traits, **options)
        self.plan = deque(plan)
        self.down = False
        self.commits: list[tuple[Put, str | None, Sequence[Put]]] = []
        self.late: list[tuple[Put, str | None, Sequence[Put]]] = []
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def commit(self, head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:  # noqa: D102
        self.commits.append((head, etag, values))
        word = self.plan.popleft() if self.plan else "done"
        outcome: Committed | NotCommitted = NotCommitted(ConnectionError(word), sent=word != "unsent")
        if word in ("done", "lost"):
            done = await super().commit(head, etag, values)
            outcome = done if word == "done" or isinstance(done, NotCommitted) else outcome
        elif word == "late":
            self.late.append((head, etag, values))
        elif word == "lie":
            outcome = Committed(None)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return outcome

    async def fail(self) -> None:
        """Answer nothing from now on, until *down* is False again."""
        self.down = True

    async def land(self) -> list[bool]:
        """Let what was late reach the store, and say of each whether it was taken."""
        late, self.late = self.late, []
        return [isinstance(await super(Faulty, self).commit(*one), Committed) for one in late]

    async def get(self, key: str) -> Value | None:  # noqa: D102
        if self.down:
            raise Unavailable("the store is down")
        return await super().get(key)

    async def put_many(self, values: Sequence[Put]) -> None:  # noqa: D102
        if self.down:
            raise Unavailable("the store is down")
        await super().put_many(values)


@dataclass
class Time:
    """A clock that moves when somebody sleeps, or is told to; and what was slept."""

    now: float = 1_700_000_000.0
    slept: list[float] = field(default_factory=list)
    bounds: list[float] = field(default_factory=list)

    def clock(self) -> float:
        """Return the seconds since 1970."""
        return self.now

    def uniform(self, low: float, high: float) -> float:
        """Draw the largest number, always."""
        self.bounds.append(high)
        return high

    async def sleep(self, delay: float) -> None:
        """Let *delay* pass at once."""
        self.slept.append(delay)
        self.now += delay
        await asyncio.sleep(0)

    def runtime(self) -> Runtime:
        """Return a runtime on this clock."""
        return Runtime(clock=self.clock, monotonic=self.clock, uniform=self.uniform, sleep=self.sleep)


async def add(log: EventLog, *items: Any, ttl: int | None = None) -> int:
    """Append *items* as one event and return the version it made."""
    answer = await log.add(orjson.dumps(items), len(items), ttl=ttl)
    assert answer.version is not None
    return answer.version


async def do(log: EventLog, call: str) -> object:
    """Have *log* do what *call* names."""
    if call == "add":
        return await add(log, "x")
    if call == "events":
        return [event async for event in log.events()]
    return await getattr(log, call)()


async def fill(log: EventLog, count: int, *, size: int = 1) -> None:
    """Add *count* items, numbered from the log's length on, as an event each."""
    start = (await log.head()).length
    await asyncio.gather(*(add(log, numbered(number, size)) for number in range(start, start + count)))


async def whole(store: Store, session_id: str, **options: Any) -> list[Any]:
    """Read all of the history with nothing cached."""
    return (await EventLog(CountingStore(store), session_id, **options).read()).items


async def warm(log: EventLog, store: CountingStore) -> None:
    """Have the head and its etag known, nothing under way, and nothing counted."""
    await log.read()
    await log.settle()
    store.reset()


def numbered(number: int, size: int = 1) -> Any:
    """Return an item that is unlike those of other numbers; about *size* bytes."""
    return number if size == 1 else {"number": number, "text": noise(number, size)}


async def turns(number: int) -> None:
    """Let everything else run for *number* turns of the event loop."""
    for _ in range(number):
        await asyncio.sleep(0)


def noise(seed: int, size: int) -> str:
    """Return *size* hex digits that compress to half at best, the same each time."""
    from hashlib import shake_256

    return shake_256(b"%d" % seed).hexdigest((size + 1) // 2)
