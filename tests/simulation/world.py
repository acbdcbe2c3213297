"""The machine room: processes that share a store over a network of their own each, all of it in virtual time."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson

from eventlog_session import Limits, Retry
from eventlog_session.core.head import Head
from eventlog_session.core.keys import Keys
from eventlog_session.errors import Unavailable
from eventlog_session.protocol.adoption import legacy_key
from eventlog_session.stores.base import Committed, NotCommitted, Put, Traits, Value
from eventlog_session.testing import Chance, Fault, FaultyStore, ProfiledStore
from eventlog_session.testing.profiles import BORN_TWICE, FAILED_OVER

from .history import Call, State
from .ledger import Ledger

START = 1_700_000_000.0
SKEW = 0.05
"""Seconds by which a process's clock is ahead of or behind the store's, at most."""
GRACE = 20
"""Seconds for which an erasure waits: longer than anything is under way where there is one."""
SESSION = "a session"
LEFT: State = [({"name": f"left-{number}"}, False) for number in range(3)]
"""What a `DaprSession` left, where one did."""


@dataclass(slots=True)
class World:
    """One schedule's store, clock, chance and records."""

    random: Random
    profile: str
    limits: Limits
    retry: Retry
    chances: Mapping[Fault, float]
    slow: float
    """How often a request or a reply is slower than a deadline."""
    legacy: bool = False
    """Whether a `DaprSession` left a history, to be taken over."""
    ttl: int | None = None
    """What some writes ask for; None where the session is kept for good."""
    trims: bool = False
    """Whether old versions are given up."""
    erases: bool = False
    """Whether the session is erased: then no write is under way for longer than `GRACE`."""
    copies: bool = False
    """Whether whole logs are restored to where there is no session yet."""
    expired: bool = False
    """Whether the session ever was gone for its ttl: then whatever follows is another one."""
    traced: bool = False
    loop: asyncio.AbstractEventLoop = field(init=False)
    store: "Watched" = field(init=False)
    calm: bool = False
    """Whether everything works from now on."""
    calls: list[Call] = field(default_factory=list)
    keyed: list[Call] = field(default_factory=list)
    """Those that brought an idempotency key first."""
    doubts: list[Call] = field(default_factory=list)
    """Those that ended with an `OutcomeUnknown`."""
    trace: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    wires: "list[Wire]" = field(default_factory=list)
    ledger: Ledger = field(init=False)
    under_way: "set[asyncio.Task[Any]]" = field(default_factory=set)
    ticks: int = 0

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ledger = Ledger(Keys(SESSION))
        self.store = Watched(self)
        if self.legacy:
            self.ledger.asked(None, items=orjson.dumps([item for item, _ in LEFT]))
            left = json.dumps([json.dumps(item, separators=(",", ":")) for item, _ in LEFT]).encode()
            self.store.hold(Put(legacy_key(SESSION), left))

    def clock(self) -> float:
        """Return the seconds since 1970, as the store has them."""
        return START + self.loop.time()

    def tick(self) -> int:
        """Count whatever begins or ends: a total order of it all."""
        self.ticks += 1
        return self.ticks

    def note(self, what: object) -> None:
        """Add a line to the trace, if there is to be one."""
        if self.traced:
            self.trace.append(f"{self.loop.time():9.4f} {what}")

    async def pause(self) -> None:
        """Let others go first: mostly for a moment, sometimes for longer than anybody waits."""
        drawn = self.random.random()
        if drawn < self.slow and not self.calm:
            await asyncio.sleep(self.random.random() * 3 * self.limits.deadline)
        elif drawn < 0.6:
            await asyncio.sleep(drawn * 0.01)
        elif drawn < 0.8:
            await asyncio.sleep(0)

    @property
    def forgot(self) -> bool:
        """Whether the store lost what it had acknowledged."""
        return bool(self.store.seen[FAILED_OVER] or self.store.seen[BORN_TWICE])

    def look_for_expiry(self) -> None:
        """Notice that the head has expired by anybody's clock, before somebody writes another; the store keeps it longer."""
        value = self.store.peek(Keys(SESSION).head)
        if value is not None and self.ttl is not None and not self.expired:
            head = Head.of(value, limit=1 << 24)
            self.expired = bool(head.version) and self.clock() + SKEW >= head.expires

    async def quieten(self) -> None:
        """End all faults, and wait until nothing is under way, not even from those who died."""
        self.calm = True
        for wire in self.wires:
            wire.faulty.down = False
            await wire.faulty.land()
        while self.under_way:
            await asyncio.wait(self.under_way)

    def count_faults(self) -> Counter[str]:
        """Return how often each kind of fault happened."""
        total = Counter(self.store.seen) + self.faults
        for wire in self.wires:
            total.update({str(fault): number for fault, number in wire.faulty.injected.items()})
        return total


class Watched(ProfiledStore):
    """The store, of which the world sees every head that it takes."""

    def __init__(self, world: World) -> None:
        super().__init__(world.profile, clock=world.clock, pause=world.pause)
        self._world = world

    @property
    def keeps_bytes(self) -> bool:
        """Whether bytes come back as they were put, and not as text."""
        return self._profile.traits.keeps_bytes

    def keys(self) -> Mapping[str, object]:
        """Return everything that is there, by its key."""
        return self._held

    def _write(self, values: Iterable[Put], *, clears: bool = False) -> None:
        values = list(values)
        super()._write(values, clears=clears)
        for put in values:
            self._world.ledger.landed[put.key] = self._world.ticks
            if put.key == self._world.ledger.keys.head:
                self._world.ledger.stands(put.value, self._world.tick())


class Wire:
    """One process's way to the store: it takes time, breaks off at the deadline, and is silent for ever once cut."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name
        self._cut = False
        chance = Chance(world.random.random, world.chances)
        self.faulty = FaultyStore(world.store, lambda method: self._fault(chance, method))
        world.wires.append(self)

    @property
    def identity(self) -> object:
        """This wire and no other."""
        return ("wire", id(self))

    async def traits(self) -> Traits:
        """Return the store's, as soon as others had their turn."""
        await asyncio.sleep(0)
        return await self.faulty.traits()

    async def get(self, key: str) -> Value | None:  # noqa: D102 as the port says, all that follow
        found: Value | None = await self._ask("get", key)
        return found

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:  # noqa: D102
        found: Mapping[str, bytes] = await self._ask("get_many", keys)
        return found

    async def commit(self, head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:  # noqa: D102
        self._world.ledger.sending(head, values, self._world.ticks)
        try:
            outcome: Committed | NotCommitted = await self._ask("commit", head, etag, values)
        except Unavailable as error:
            return NotCommitted(error)
        return outcome

    async def create(self, head: Put) -> None:  # noqa: D102
        await self._ask("create", head)

    async def put_many(self, values: Sequence[Put]) -> None:  # noqa: D102
        self._world.ledger.ahead(values, self._world.ticks)
        await self._ask("put_many", values)

    async def delete_many(self, keys: Sequence[str]) -> None:  # noqa: D102
        await self._ask("delete_many", keys)

    async def ping(self) -> None:  # noqa: D102
        await self._ask("ping")

    async def close(self) -> None:
        """Nothing to close."""

    def cut(self) -> None:
        """Deliver no reply any more; what was sent arrives."""
        self._cut = True

    async def _ask(self, method: str, *arguments: Any) -> Any:
        world = self._world
        reply: asyncio.Future[Any] = world.loop.create_future()
        if not self._cut:
            task = world.loop.create_task(self._carry(reply, method, arguments))
            world.under_way.add(task)
            task.add_done_callback(world.under_way.discard)
            world.loop.call_later(world.limits.deadline, self._expire, reply)
        return await reply

    async def _carry(self, reply: "asyncio.Future[Any]", method: str, arguments: Sequence[Any]) -> None:
        world = self._world
        await world.pause()
        outcome: Any = None
        failure: Unavailable | None = None
        if world.ttl is not None:
            world.look_for_expiry()
        try:
            outcome = await getattr(self.faulty, method)(*arguments)
        except Unavailable as error:
            failure = error
        if world.erases and method not in ("get", "get_many"):
            world.loop.call_later(world.random.random(), self._land)
        if world.traced:
            world.note(f"{self._name} {method} {_brief(method, arguments)} -> {_said(failure or outcome)}")
        await world.pause()
        if self._cut or reply.done():
            return
        if failure is None:
            reply.set_result(outcome)
        else:
            reply.set_exception(failure)

    def _land(self) -> None:
        """Have what is late arrive: it is not under way for ever."""
        task = self._world.loop.create_task(self.faulty.land())
        self._world.under_way.add(task)
        task.add_done_callback(self._world.under_way.discard)

    def _fault(self, chance: Chance, method: str) -> Fault | None:
        fault = None if self._world.calm else chance(method)
        # where there are transactions they are torn by nothing else than what the profile says
        torn = method == "commit" and fault is Fault.TORN and self._world.profile != "plain"
        return None if torn else fault

    def _expire(self, reply: "asyncio.Future[Any]") -> None:
        if not self._cut and not reply.done():
            self._world.faults["deadline passed"] += 1
            reply.set_exception(Unavailable("no answer in time"))


def _brief(method: str, arguments: Sequence[Any]) -> str:
    if method == "commit":
        return f"{len(arguments[0].value)} bytes on {arguments[1]} with {len(arguments[2])} values"
    return str(len(arguments[0])) if method.endswith("many") else ""


def _said(outcome: Any) -> str:
    if isinstance(outcome, Value):
        return f"{len(outcome.data)} bytes at {outcome.etag}"
    return str(len(outcome)) if isinstance(outcome, Mapping) else repr(outcome)[:100]
