"""The machine room: processes that share a store over a network of their own each, all of it in virtual time."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson

from eventlog_session import EventLog, Limits, Retry
from eventlog_session.adoption import legacy_key
from eventlog_session.core.head import Head
from eventlog_session.core.keys import ID_LENGTH, Keys
from eventlog_session.errors import Unavailable
from eventlog_session.runtime import Runtime
from eventlog_session.stores.base import Committed, NotCommitted, Put, Traits, Value
from eventlog_session.testing import Chance, Fault, FaultyStore, ProfiledStore
from eventlog_session.testing.profiles import BORN_TWICE, FAILED_OVER

from .history import Call, State, paired

START = 1_700_000_000.0
SKEW = 0.05
"""Seconds by which a process's clock is ahead of or behind the store's, at most."""
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
    expired: bool = False
    """Whether the session ever was gone for its ttl: then whatever follows is another one."""
    traced: bool = False
    loop: asyncio.AbstractEventLoop = field(init=False)
    store: ProfiledStore = field(init=False)
    calm: bool = False
    """Whether everything works from now on."""
    calls: list[Call] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    wires: "list[Wire]" = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)
    """When each event was first sent, by its id."""
    under_way: "set[asyncio.Task[None]]" = field(default_factory=set)
    ticks: int = 0

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.store = ProfiledStore(self.profile, clock=self.clock, pause=self.pause)
        if self.legacy:
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
        if value is not None and not self.expired:
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
        for put in values:
            if ":e:" in put.key:
                self._world.sent.setdefault(put.key[-ID_LENGTH:], self._world.ticks)
        try:
            outcome: Committed | NotCommitted = await self._ask("commit", head, etag, values)
        except Unavailable as error:
            return NotCommitted(error)
        return outcome

    async def create(self, head: Put) -> None:  # noqa: D102
        await self._ask("create", head)

    async def put_many(self, values: Sequence[Put]) -> None:  # noqa: D102
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
        if world.traced:
            world.note(f"{self._name} {method} {_brief(method, arguments)} -> {_said(failure or outcome)}")
        await world.pause()
        if self._cut or reply.done():
            return
        if failure is None:
            reply.set_result(outcome)
        else:
            reply.set_exception(failure)

    def _fault(self, chance: Chance, method: str) -> Fault | None:
        fault = None if self._world.calm else chance(method)
        # where there are transactions they are torn by nothing else than what the profile says
        torn = method == "commit" and fault is Fault.TORN and self._world.profile != "plain"
        return None if torn else fault

    def _expire(self, reply: "asyncio.Future[Any]") -> None:
        if not self._cut and not reply.done():
            self._world.faults["deadline passed"] += 1
            reply.set_exception(Unavailable("no answer in time"))


class Process:
    """One process with the session open: a log, caches and a lane of its own."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.wire = Wire(world, name)
        self.calls = 0
        self.alive = True
        self.version = 0
        """The newest version that it has heard of."""
        skew = world.random.uniform(-SKEW, SKEW)
        self.log = EventLog(
            self.wire, SESSION, limits=world.limits, retry=world.retry, adopt=world.legacy,
            runtime=Runtime(
                clock=lambda: world.clock() + skew,
                monotonic=world.loop.time,
                random_bytes=world.random.randbytes,
                uniform=world.random.uniform,
            ),
        )  # fmt: skip

    def crash(self) -> None:
        """Die: nothing that it does is seen any more, but for what it has sent already."""
        self.alive = False
        self.wire.cut()
        self.world.faults["crashed process"] += 1
        self.world.note(f"{self.name} crashes")

    async def call(self, call: Call) -> Call:
        """Make *call* and record what comes of it."""
        self.world.calls.append(call)
        self.world.note(call)
        try:
            await self._answer(call)
        except asyncio.CancelledError as error:
            call.error = error
            self.world.faults["cancelled call"] += 1
        except Exception as error:  # noqa: BLE001 whatever it is, it is to be judged
            call.error = error
        if self.alive:
            call.ended = self.world.tick()
            self.version = max(self.version, call.version or 0)
            self.world.note(call)
        return call

    async def _answer(self, call: Call) -> None:
        if call.kind == "walk":
            call.found = [(event.extensions.get("call"), False) async for _, _, event in self.log.events()]
            call.version = len(call.found)
            return
        if call.kind == "read":
            view = await self.log.read(call.need, call.target)
            call.version, call.found = view.version, paired(view.items, view.texts)
            return
        extensions = {"call": call.name}
        if call.kind == "add":
            text = tuple(place for place, (_, is_text) in enumerate(call.items) if is_text)
            data = orjson.dumps([item for item, _ in call.items])
            answer = await self.log.add(data, len(call.items), text, extensions, call.ttl)
        elif call.kind == "rewind":
            answer = await self.log.rewind(call.target or 0, extensions, call.ttl)
        else:
            change: Callable[..., Awaitable[Any]] = self.log.pop if call.kind == "pop" else self.log.clear
            answer = await change(extensions, call.ttl)
        call.version = answer.version
        if call.kind == "pop" and answer.version is not None:
            call.found = [(answer.item, answer.is_text)]

    def next_call(self, kind: str, **what: Any) -> Call:
        """Return a call to make now."""
        self.calls += 1
        return Call(self.name, kind, f"{self.name}-{self.calls}", self.world.tick(), **what)


def _brief(method: str, arguments: Sequence[Any]) -> str:
    if method == "commit":
        return f"{len(arguments[0].value)} bytes on {arguments[1]} with {len(arguments[2])} values"
    return str(len(arguments[0])) if method.endswith("many") else ""


def _said(outcome: Any) -> str:
    if isinstance(outcome, Value):
        return f"{len(outcome.data)} bytes at {outcome.etag}"
    return str(len(outcome)) if isinstance(outcome, Mapping) else repr(outcome)[:100]
