"""A process with the session open."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson

from eventlog_session import EventLog
from eventlog_session.copying import restore
from eventlog_session.errors import OutcomeUnknown
from eventlog_session.protocol.lane import Answer, Expected
from eventlog_session.protocol.walk import Recorded
from eventlog_session.revising import Told, pop_newest, replace, step, tag, untag
from eventlog_session.runtime import Runtime

from .history import KINDS, Call, State, paired
from .world import GRACE, SESSION, SKEW, Wire, World


class Process:
    """One process with the session open: a log, caches and a lane of its own."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.wire = Wire(world, name)
        self.calls = 0
        self.alive = True
        self.undid = False
        """Whether the last change that it made was an undo or a redo."""
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
            now = call.target is None and call.tag is None
            if call.kind in ("read", "verify", "restore", *KINDS) and now and call.version is not None:
                self.version = call.version
            if call.kind in KINDS and call.fate == "acknowledged":
                self.undid = call.kind in ("undo", "redo")
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
            view = await self.log.read(call.need, call.target if call.tag is None else call.tag)
            call.version, call.found = view.version, paired(view.items, view.texts)
        elif call.kind == "verify":
            found = await self.log.verify()
            call.version, call.found = found.version, [(key, True) for key in (*found.missing, *found.altered)]
        elif call.kind == "erase":
            await self.log.erase(GRACE)
        elif call.kind == "resolve":
            assert call.doubt is not None
            call.version = await self.log.resolve(call.doubt)
        elif call.kind == "restore":
            call.version = await restore(self.log, _each(self.world.ledger.files[call.mark][0]))
        else:
            await self._change(call)

    async def _change(self, call: Call) -> None:
        on = None if call.expected is None else Expected(call.expected)
        told = Told({"call": call.name}, call.ttl, on)
        if call.kind in ("undo", "redo"):
            call.moved = await step(self.log, call.number, told, forward=call.kind == "redo")
            call.version = call.moved.version if call.moved else None
        elif call.kind == "tag":
            call.tagged = await tag(self.log, call.tag or "", call.target, told)
            call.done, call.version = True, None if call.target is not None else call.tagged + 1
        elif call.kind == "untag":
            call.done = await untag(self.log, call.tag or "", told)
        else:
            answer = await (self._replace(call, told) if call.kind == "replace" else self._write(call, told))
            call.version = answer.version
            if call.kind in ("pop", "pop newest"):
                call.found = paired(answer.items, answer.texts)

    async def _write(self, call: Call, told: Told) -> Answer:
        log, extensions, ttl = self.log, told.extensions, told.ttl
        if call.kind == "add":
            data, text = encoded(call.items)
            self.world.ledger.asked(call.name, items=data, text=text)
            return await log.add(data, len(call.items), text, extensions, ttl, expected=told.expected, key=call.key)
        if call.kind == "rewind":
            return await log.rewind(call.target or 0, extensions, ttl, expected=told.expected)
        if call.kind == "trim":
            return await log.trim(call.target or 0, extensions, ttl)
        if call.kind == "pop newest":
            return await pop_newest(log, call.number, told)
        if call.kind == "pop":
            return await log.pop(extensions, ttl, number=call.number, expected=told.expected)
        return await log.clear(extensions, ttl, expected=told.expected)

    async def _replace(self, call: Call, told: Told) -> Answer:
        """Read what is to be replaced, and replace that or nothing."""
        view = await self.log.read(None if call.number < 0 else call.number)
        call.expected, call.found = view.version, paired(view.items, view.texts)
        call.number = min(call.number, len(view.items))
        self.world.note(f"{call.name} read {call.expected}")
        data, text = encoded(call.items)
        effect = {"base": 0} if call.number < 0 else {"pops": call.number}
        self.world.ledger.asked(call.name, items=data, text=text, **effect)
        on = told._replace(expected=Expected(view.version, view.generation))
        return await replace(self.log, effect.get("pops"), data, len(call.items), text, on)

    def next_call(self, kind: str, **what: Any) -> Call:
        """Return a call to make now."""
        self.calls += 1
        return Call(self.name, kind, f"{self.name}-{self.calls}", self.world.tick(), **what)


def encoded(items: State) -> tuple[bytes, tuple[int, ...]]:
    """Return *items* as a JSON array, and which of them are kept as text."""
    return orjson.dumps([item for item, _ in items]), tuple(place for place, (_, is_text) in enumerate(items) if is_text)


async def _each(file: Sequence[Recorded]) -> AsyncIterator[Recorded]:
    for recorded in file:
        yield recorded
