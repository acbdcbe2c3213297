"""The writers: what one process does to one session, through an `EventLog`, an `EventLogSession` or a `DaprSession`."""

from __future__ import annotations

import asyncio
import os
import random
import time
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Protocol

import orjson
from agents.extensions.memory import DaprSession

from eventlog_session.limits import Limits
from eventlog_session.log import EventLog
from eventlog_session.retry import Retry
from eventlog_session.session import EventLogSession
from eventlog_session.stores.dapr import DaprStore
from eventlog_session.stores.sidecar import SidecarClient

from .items import digest, item, name_of
from .record import ACKNOWLEDGED, Operation, Recorder, Spec, Told

PATIENCE = 60.0
"""Seconds after which a call is given up: a `DaprSession` has no deadline of its own, and the others keep theirs."""


class Subject(Protocol):
    """A session as a writer sees it."""

    async def add(self, names: list[str]) -> Told:
        """Append the items of these names."""

    async def pop(self) -> Told:
        """Remove the newest item."""

    async def clear(self) -> Told:
        """Remove all items."""

    async def read(self, need: int | None, at: int | None) -> Told:
        """Read the newest *need* items."""


class LogSubject:
    """An `EventLog`, which tells versions."""

    def __init__(self, spec: Spec, store: DaprStore) -> None:
        self._log = EventLog.of(store, spec.session_id, retry=Retry(budget=spec.budget), limits=Limits(deadline=spec.deadline))

    async def add(self, names: list[str]) -> Told:
        """Append the items of these names."""
        return Told((await self._log.add(orjson.dumps([item(name) for name in names]), len(names))).version)

    async def pop(self) -> Told:
        """Remove the newest item."""
        answer = await self._log.pop()
        return Told(answer.version, None if answer.version is None else name_of(answer.item))

    async def clear(self) -> Told:
        """Remove all items."""
        return Told((await self._log.clear()).version)

    async def read(self, need: int | None, at: int | None) -> Told:
        """Read the newest *need* items, as they are or as they were at a version."""
        view = await self._log.read(need, at)
        return Told(view.version, read=digest([name_of(one) for one in view.items]))


class SessionSubject:
    """An `EventLogSession`, or a `DaprSession`: they tell no versions."""

    def __init__(self, session: Any) -> None:
        self._session = session

    async def add(self, names: list[str]) -> Told:
        """Append the items of these names."""
        await asyncio.wait_for(self._session.add_items([item(name) for name in names]), PATIENCE)
        return Told()

    async def pop(self) -> Told:
        """Remove the newest item."""
        popped = await asyncio.wait_for(self._session.pop_item(), PATIENCE)
        return Told(popped=None if popped is None else name_of(popped))

    async def clear(self) -> Told:
        """Do nothing: without a version a clear can't be told from none."""
        return Told()

    async def read(self, need: int | None, at: int | None) -> Told:
        """Read the newest *need* items."""
        return Told(read=digest([name_of(one) for one in await asyncio.wait_for(self._session.get_items(need), PATIENCE)]))


def _subject(spec: Spec, client: SidecarClient) -> Subject:
    if spec.kind == "log":
        return LogSubject(spec, DaprStore.of(client, spec.component))
    of = DaprSession if spec.kind == "dapr" else EventLogSession
    more: dict[str, Any] = {} if of is DaprSession else {
        "retry": Retry(budget=spec.budget), "limits": Limits(deadline=spec.deadline)
    }  # fmt: skip
    return SessionSubject(of(spec.session_id, state_store_name=spec.component, dapr_client=client, **more))


class Writer:
    """One writer process at work."""

    def __init__(self, spec: Spec, client: SidecarClient, recorder: Recorder) -> None:
        self._spec = spec
        self._subject = _subject(spec, client)
        self._recorder = recorder
        self._chance = random.Random(f"{spec.seed} {spec.writer}")
        self._names = 0
        self._seen = 0

    async def work(self) -> None:
        """Do what the spec says, on as many lanes."""
        if self._spec.adds:
            for _ in range(self._spec.adds):
                await self._add(1)
        else:
            until = time.monotonic() + self._spec.seconds
            await asyncio.gather(*(self._lane(until) for _ in range(self._spec.lanes)))

    async def _lane(self, until: float) -> None:
        chance = self._chance
        while time.monotonic() < until:
            done = await self._any()
            if done.outcome != ACKNOWLEDGED:  # what fails at once is not tried a thousand times a second
                await asyncio.sleep(0.05)
            await asyncio.sleep(chance.uniform(0, 0.01))

    async def _any(self) -> Operation:
        """Do one thing: of 1,000, about 530 adds, 220 pops, 3 clears and 247 reads."""
        drawn = self._chance.randrange(1000)
        if drawn < 530:
            return await self._add(self._chance.randint(1, 3))
        if drawn < 750:
            return await self._run(self._subject.pop, "pop")
        if drawn < 753 and self._spec.kind == "log":
            return await self._run(self._subject.clear, "clear")
        need = None if drawn < 880 else 10
        at = self._chance.randint(0, self._seen) if drawn > 950 and self._spec.kind == "log" else None
        return await self._run(lambda: self._subject.read(need, at), "read", need=need, at=at)

    async def _add(self, count: int) -> Operation:
        names = [f"{'d' if self._spec.kind == 'dapr' else 'e'}{self._spec.writer}-{self._names + n}" for n in range(count)]
        self._names += count
        return await self._run(lambda: self._subject.add(names), "add", names)

    async def _run(self, call: Any, kind: str, names: list[str] | None = None, **where: Any) -> Operation:
        done = await self._recorder.run(call, kind, names or [], **where)
        self._seen = max(self._seen, done.version or 0)
        return done


def work(spec: Spec, directory: Path, barrier: Barrier) -> None:
    """Be one writer process: get ready, wait for all, wait for the word, work."""
    os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"
    asyncio.run(_work(spec, directory, barrier))


async def _work(spec: Spec, directory: Path, barrier: Barrier) -> None:
    client = SidecarClient(spec.address)
    recorder = Recorder(spec.writer, directory / f"{spec.writer}.jsonl")
    try:
        await client.get_state(spec.component, "connected")
        barrier.wait()  # all are ready
        barrier.wait()  # the word is given
        if not spec.rounds:
            await Writer(spec, client, recorder).work()
        for number in range(spec.rounds):
            one = replace(spec, session_id=f"{spec.session_id}-{number}", writer=f"{spec.writer}-{number}")
            writer = Writer(one, client, recorder)
            barrier.wait()
            await writer.work()
    finally:
        recorder.close()
        await client.close()
