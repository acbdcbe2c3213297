"""A process with the session open."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from eventlog_session import EventLog
from eventlog_session.errors import OutcomeUnknown
from eventlog_session.runtime import Runtime

from .history import KINDS, Call, paired
from .world import GRACE, SESSION, SKEW, Wire, World


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
            if call.kind in ("read", "verify", *KINDS) and call.target is None and call.version is not None:
                self.version = call.version
            if isinstance(call.error, OutcomeUnknown) and call.kind in KINDS:
                self.world.doubts.append(call)
            self.world.note(call)
        return call

    async def _answer(self, call: Call) -> None:
        if call.kind == "walk":
            async for version, _, event in self.log.events():
                call.version = version
                call.found.append((event.extensions.get("call"), False))
            call.version = call.version or 0
        elif call.kind == "read":
            view = await self.log.read(call.need, call.target)
            call.version, call.found = view.version, paired(view.items, view.texts)
        elif call.kind == "verify":
            found = await self.log.verify()
            call.version, call.found = found.version, [(key, True) for key in (*found.missing, *found.altered)]
        elif call.kind == "erase":
            await self.log.erase(GRACE)
        elif call.kind == "resolve":
            assert call.doubt is not None
            call.version = await self.log.resolve(call.doubt)
        else:
            await self._change(call)

    async def _change(self, call: Call) -> None:
        log, extensions = self.log, {"call": call.name}
        if call.kind == "add":
            text = tuple(place for place, (_, is_text) in enumerate(call.items) if is_text)
            data = orjson.dumps([item for item, _ in call.items])
            self.world.ledger.asked(call.name, data, text)
            answer = await log.add(
                data, len(call.items), text, extensions, call.ttl, expected=call.expected, key=call.key
            )  # fmt: skip
        elif call.kind == "rewind":
            answer = await log.rewind(call.target or 0, extensions, call.ttl)
        elif call.kind == "trim":
            answer = await log.trim(call.target or 0, extensions, call.ttl)
        else:
            change: Callable[..., Awaitable[Any]] = log.pop if call.kind == "pop" else log.clear
            answer = await change(extensions, call.ttl, expected=call.expected)
        call.version = answer.version
        if call.kind == "pop" and answer.version is not None:
            call.found = [(answer.item, bool(answer.texts))]

    def next_call(self, kind: str, **what: Any) -> Call:
        """Return a call to make now."""
        self.calls += 1
        return Call(self.name, kind, f"{self.name}-{self.calls}", self.world.tick(), **what)
