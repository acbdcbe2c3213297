"""Trials without a nemesis: sessions created by two at once, many writers at one session, and sleeping through a ttl."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import orjson
from agents.extensions.memory import DaprSession
from rig import free_port

from eventlog_session.errors import EventLogError
from eventlog_session.log import EventLog
from eventlog_session.stores.dapr import DaprStore
from eventlog_session.stores.sidecar import SidecarClient

from .checker import Verdict, check_dapr, check_log
from .crew import Crew
from .faults import Kind, Once
from .items import item, name_of
from .proxy import Proxy
from .record import ACKNOWLEDGED, Operation, Spec
from .stage import Stage

LONGEST = 300.0
"""Seconds after which a trial's writers are given up."""


# ---- two create one session ------------------------------------------------------------------------------------------


async def create_together(stage: Stage, component: str, directory: Path, rounds: int) -> list[Verdict]:
    """Have two processes write the first item of a session at the same moment, again and again; the counts of both kinds."""
    return [await _create(stage, component, directory, rounds, kind) for kind in ("log", "dapr")]


async def _create(stage: Stage, component: str, directory: Path, rounds: int, kind: str) -> Verdict:
    run = uuid4().hex[:12]
    sidecars = stage.sidecars if component != "memory" else [stage.rig.sidecar] * 2  # memory is each sidecar's own
    specs = [
        Spec(f"{kind}{n}", kind, sidecar.address, component, f"created-{run}", n, rounds=rounds, adds=1)
        for n, sidecar in enumerate(sidecars)
    ]
    operations = await _worked(Crew(stage.standby, directory / run, specs))
    client = SidecarClient(stage.rig.address)
    total = Verdict("eventlog" if kind == "log" else "DaprSession")
    try:
        for number in range(rounds):
            session_id = f"created-{run}-{number}"
            both = [one for one in operations if one.number == number + 1]
            if kind == "log":
                total.include(await check_log(EventLog(DaprStore(client, component), session_id), both, set()))
            else:
                final = await DaprSession(session_id, state_store_name=component, dapr_client=client).get_items()
                total.include(check_dapr(final, both))
    finally:
        await client.close()
    return total


# ---- many writers, one session ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Crowd:
    """What many writers got done on one session."""

    store: str
    writers: int
    adds: int
    verdict: Verdict
    seconds: float
    """From the first add's beginning to the last one's end."""

    @property
    def rate(self) -> float:
        """Acknowledged adds a second."""
        return self.verdict.acknowledged / self.seconds


async def crowd(stage: Stage, store: str, directory: Path, writers: int, adds: int) -> list[Crowd]:
    """Have many processes add to one session at once, half of them through the second sidecar; then the same to theirs."""
    found = []
    for kind in ("log", "dapr"):
        run = uuid4().hex[:12]
        specs = [
            Spec(f"{kind}{n}", kind, stage.sidecars[n % 2].address, store, f"crowd-{run}", n, adds=adds) for n in range(writers)
        ]
        operations = await _worked(Crew(stage.standby, directory / run, specs))
        seconds = max(one.end or 0 for one in operations) - min(one.begin for one in operations)
        client = SidecarClient(stage.rig.address)
        try:
            if kind == "log":
                verdict = await check_log(EventLog(DaprStore(client, store), specs[0].session_id), operations, set())
            else:
                session = DaprSession(specs[0].session_id, state_store_name=store, dapr_client=client)
                verdict = check_dapr(await session.get_items(), operations)
        finally:
            await client.close()
        found.append(Crowd(store, writers, adds, verdict, seconds))
    return found


async def _worked(crew: Crew) -> list[Operation]:
    try:
        await crew.ready()
        await crew.go()
        return await crew.done(LONGEST)
    finally:
        await crew.abandon()


# ---- sleeping through a ttl ------------------------------------------------------------------------------------------

TTL = 3
"""Seconds."""

SLEPT = ("slept", "slept, 1 successor", "slept, 2 successors", "slept, 3 successors")
HELD = ("held", "held, 1 successor", "held, 2 successors", "held, 3 successors")
"""
How a writer meets the end of its session: it does nothing for too long, or its commit is held on the way to daprd for too
long; and how many commits a new session of the same id has by then. After 2 of its own, the one with 2 has the same etag
again where etags are counted (Redis).
"""


@dataclass(frozen=True, slots=True)
class Expiry:
    """What came of a session that expired under its writer."""

    store: str
    way: str
    told: str
    """What the late writer was told."""
    history: tuple[str, ...]
    """What a fresh reader sees."""
    successors: int

    @property
    def expected(self) -> list[str]:
        """What the history must be: the new session's items, and the late one if it was acknowledged."""
        return [f"new{n}" for n in range(self.successors)] + ["late"] * (self.told == ACKNOWLEDGED)

    @property
    def revived(self) -> bool:
        """Whether items of the expired session are back."""
        return any(name.startswith("old") for name in self.history)

    @property
    def lost(self) -> int:
        """How many acknowledged adds are not there; a late one that was held may have expired with its session."""
        missing = [name for name in self.expected if name not in self.history]
        return len(missing) if self.successors or self.way not in HELD else 0

    @property
    def sound(self) -> bool:
        """Whether the late writer neither revived the session nor harmed its successor."""
        return not self.revived and not self.lost and list(self.history) in (self.expected, [])


async def expire(stage: Stage, store: str, ways: Sequence[str] = SLEPT + HELD) -> list[Expiry]:
    """Have sessions expire under a writer in each of these ways, all at the same time."""
    return list(await asyncio.gather(*(_expire(stage, store, way) for way in ways)))


async def _expire(stage: Stage, store: str, way: str) -> Expiry:
    session_id = f"expiry-{uuid4().hex}"
    successors = int(way[way.index(",") + 2]) if "," in way else 0
    async with AsyncExitStack() as opened:
        sidecar = stage.rig.sidecar
        door = Proxy(("127.0.0.1", free_port()), ("127.0.0.1", sidecar.grpc_port), http2=True, delay=(TTL + 2.5, TTL + 2.5))
        await opened.enter_async_context(door)
        assert isinstance(door.listen, tuple)

        def log(address: str) -> EventLog:
            client = SidecarClient(address)
            opened.push_async_callback(client.close)
            return EventLog(DaprStore(client, store), session_id)

        first, second = log(f"127.0.0.1:{door.listen[1]}"), log(stage.sidecars[1].address)
        await _add(first, "old0", TTL)
        await _add(first, "old1", TTL)
        await first.settle()
        late: asyncio.Task[str] | None = None
        if way.startswith("held"):
            door.decide = Once(Kind.DELAY, b"upsert")
            late = asyncio.create_task(_add(first, "late", None))
        await asyncio.sleep(TTL + 1.2)
        for number in range(successors):
            await _add(second, f"new{number}", 600)
        told = await (late or _add(first, "late", None))
        for one in (first, second):
            await one.settle()
        view = await log(sidecar.address).read()
        assert not way.startswith("held") or door.injected[Kind.DELAY.value] == 1
        return Expiry(store, way, told, tuple(name_of(one) for one in view.items), successors)


async def _add(log: EventLog, name: str, ttl: int | None) -> str:
    """Add an item and return what came of it."""
    try:
        await log.add(orjson.dumps([item(name)]), 1, ttl=ttl)
    except EventLogError as error:
        return type(error).__name__
    return ACKNOWLEDGED
