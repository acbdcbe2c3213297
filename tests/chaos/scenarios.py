"""The scenarios: which faults, on which component; and how one is run and judged."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from agents.extensions.memory import DaprSession

from eventlog_session.log import EventLog
from eventlog_session.stores.dapr import DaprStore
from eventlog_session.stores.sidecar import SidecarClient

from .checker import Verdict, check_dapr, check_log
from .crew import Crew
from .faults import Kind
from .nemesis import KILL_DAPRD, KILL_STORE, KILL_WRITER, PAUSE_DAPRD, PAUSE_STORE, Nemesis
from .record import Operation, Spec
from .stage import Stage

SETTLING = 90.0
"""Seconds that writers may take to end after their time: a retry budget, a deadline, and a slow machine."""

_CUTS = {Kind.BEFORE: 0.01, Kind.AFTER: 0.01, Kind.WITHIN: 0.01, Kind.DELAY: 0.03, Kind.REFUSE: 0.1}
_FEW = {kind: rate / 3 for kind, rate in _CUTS.items()}
_STORE_CUTS = {kind: rate / 2 for kind, rate in _CUTS.items()}
"""Between daprd and a store each operation takes several exchanges."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Faults on the way to one component."""

    name: str
    store: str
    variant: str = "plain"
    door: Mapping[Kind, float] = field(default_factory=dict)
    """Rates between the writers and daprd."""
    wire: Mapping[Kind, float] = field(default_factory=dict)
    """Rates between daprd and the store."""
    strikes: Sequence[str] = ()

    @property
    def title(self) -> str:
        """What it is called in reports."""
        return f"{self.name}, {self.store}"

    @property
    def component(self) -> str:
        """The Dapr component it is run on."""
        return f"{self.store}-{self.variant}"

    @property
    def judged(self) -> str:
        """The component it is judged through: the rig's own, with no proxy and no policy, if that can read what was written."""
        return self.component if self.variant == "encrypted" else self.store


def _scenarios() -> list[Scenario]:
    found = []
    for store in ("redis", "postgresql"):
        # PostgreSQL's backends are no children that a signal to its group would reach
        pause = (PAUSE_DAPRD, PAUSE_STORE) if store == "redis" else (PAUSE_DAPRD,)
        found += [
            Scenario("cuts before daprd", store, door=_CUTS),
            Scenario("cuts behind daprd", store, wire=_STORE_CUTS),
            Scenario("outages", store, door={Kind.OUTAGE: 0.02}),
            Scenario("kill -9 of daprd", store, strikes=(KILL_DAPRD,)),
            Scenario("kill -9 of the store", store, strikes=(KILL_STORE,)),
            Scenario("kill -9 of writers", store, door=_FEW, strikes=(KILL_WRITER,)),
            Scenario("pauses", store, strikes=pause),
            Scenario("retry and timeout policy", store, "retried", door=_FEW, wire=_STORE_CUTS),
            Scenario("encrypted", store, "encrypted", door=_FEW, wire=_STORE_CUTS),
            Scenario(
                "everything", store, door=_FEW, wire=_FEW,
                strikes=(KILL_DAPRD, KILL_STORE, KILL_WRITER, *pause),
            ),
        ]  # fmt: skip
    return [*found, Scenario("writeTimeout", "redis", "twice", door=_FEW, wire=_STORE_CUTS)]


SCENARIOS = _scenarios()


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a scenario."""

    title: str
    faults: Counter[str]
    verdicts: list[Verdict]
    """Of the event log, and of the `DaprSession` beside it."""
    seconds: float
    seed: int


def _specs(scenario: Scenario, stage: Stage, run: str, seed: int, seconds: float) -> list[Spec]:
    """Five writers of a log, one of them a session, two of them impatient; and two of a `DaprSession` beside it."""

    def spec(writer: str, kind: str, number: int, budget: float = 30.0, lanes: int = 1) -> Spec:
        return Spec(
            writer, kind, stage.address(number), scenario.component, f"chaos-{kind == 'dapr'}-{run}", seed, seconds,
            lanes=lanes, budget=budget, deadline=10.0 if budget > 10 else 1.0,
        )  # fmt: skip

    return [
        spec("log0", "log", 0, lanes=2),
        spec("log1", "log", 1),
        spec("log2", "log", 0, budget=0.5),
        spec("log3", "log", 1, budget=1.0, lanes=2),
        spec("session0", "session", 1),
        spec("dapr0", "dapr", 0),
        spec("dapr1", "dapr", 1),
    ]


async def run_scenario(stage: Stage, scenario: Scenario, directory: Path, seconds: float, seed: int) -> Result:
    """Run a scenario for some seconds of load, heal everything, and judge."""
    chance = random.Random(f"{seed} {scenario.title}")
    run = uuid4().hex[:12]
    began = time.monotonic()
    specs = _specs(scenario, stage, run, seed, seconds)
    crew = Crew(stage.standby, directory / run, specs)
    nemesis = Nemesis(stage, scenario.store, crew, chance, scenario.strikes)
    try:
        await crew.ready()
        stage.rage(chance, scenario.store, scenario.door, scenario.wire)
        await crew.go()
        await nemesis.strike(seconds)
        stage.soothe()
        operations = await crew.done(SETTLING)
    finally:
        stage.soothe()
        await crew.abandon()
    stage.check()
    verdicts = await judge(stage, scenario.judged, specs, operations, crew.killed)
    return Result(scenario.title, stage.injected(scenario.store) + nemesis.struck, verdicts, time.monotonic() - began, seed)


async def judge(
    stage: Stage, component: str, specs: Sequence[Spec], operations: Sequence[Operation], killed: set[str]
) -> list[Verdict]:
    """Read both sessions afresh, past the faults, and check what the writers were told."""
    ours = next(spec.session_id for spec in specs if spec.kind != "dapr")
    theirs = next((spec.session_id for spec in specs if spec.kind == "dapr"), None)
    of_dapr = {spec.writer for spec in specs if spec.kind == "dapr"}
    client = SidecarClient(stage.rig.address)
    try:
        await _answering(client, component)
        log = EventLog(DaprStore(client, component), ours)
        verdicts = [await check_log(log, [one for one in operations if one.writer not in of_dapr], killed)]
        if theirs is not None:
            final = await DaprSession(theirs, state_store_name=component, dapr_client=client).get_items()
            verdicts.append(check_dapr(final, [one for one in operations if one.writer in of_dapr]))
        return verdicts
    finally:
        await client.close()


async def _answering(client: SidecarClient, component: str) -> None:
    """Wait until a component answers a few times: its pool may still hold connections that were cut."""
    good = 0
    last: Exception | None = None
    for _ in range(200):
        try:
            await client.get_state(component, "connected")
            good += 1
        except Exception as error:  # noqa: BLE001 whatever it is, it must pass
            good, last = 0, error
        if good == 8:
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"{component} does not answer after the faults have ended") from last
