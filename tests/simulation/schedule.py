"""One schedule: what the processes do, what befalls them, and the check at its end. All of it drawn from one seed."""

import asyncio
import gc
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from types import MappingProxyType
from typing import Any, Final

from eventlog_session import EventLog, Limits, Retry
from eventlog_session.errors import CorruptLog
from eventlog_session.runtime import Runtime
from eventlog_session.testing import Fault

from .history import Call, Log, State, Violated, check
from .loop import Stuck, VirtualLoop
from .world import LEFT, SESSION, Process, World

PROFILES: Final = ("redis", "sql", "mongodb", "etcd", "plain")
_LYING: Final = frozenset({"mongodb", "etcd", "plain"})
"""Profiles that are not believed when they report success."""
_FAULTS: Final[Sequence[Fault]] = tuple(fault for fault in Fault if fault not in (Fault.STALE_HEAD, Fault.FALSE_SUCCESS))
_KINDS: Final[Mapping[str, int]] = MappingProxyType(
    {"add": 9, "pop": 4, "clear": 1, "rewind": 2, "read": 3, "past": 2, "walk": 1}
)


@dataclass(frozen=True, slots=True)
class Result:
    """What one schedule came to."""

    profile: str
    seed: int
    counts: Counter[str]
    """How its changes ended."""
    faults: Counter[str]
    trace: list[str]
    wrong: str = ""
    """What was violated; "" for nothing."""


def run(profile: str, seed: int, *, traced: bool = False) -> Result:
    """Run one schedule, from its seed alone."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        complaints: list[str] = []
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(str(context)))
        try:
            result = runner.run(_run(profile, seed, traced=traced))
        except Stuck as stuck:
            result = Result(profile, seed, Counter(), Counter(), [], str(stuck))
    gc.collect(1)
    if complaints and not result.wrong:
        return Result(profile, seed, result.counts, result.faults, result.trace, f"the event loop complains: {complaints}")
    return result


async def _run(profile: str, seed: int, *, traced: bool) -> Result:
    random = Random(f"{profile} {seed}")
    world = World(
        random, profile, _limits(random), _retry(random), _chances(random, profile),
        slow=random.choice((0, 0, 0.01, 0.05)),
        legacy=random.random() < 0.1,
        ttl=random.choice((2, 10, 100)) if random.random() < 0.15 else None,
        traced=traced,
    )  # fmt: skip
    schedule = _Schedule(world)
    counts: Counter[str] = Counter()
    wrong = ""
    try:
        await schedule.live()
        await world.quieten()
        counts = await schedule.judge()
    except Violated as violated:
        wrong = str(violated)
    except Exception as error:  # noqa: BLE001 the history is what is needed to understand it
        wrong = f"{type(error).__name__}: {error}"
    trace = world.trace or [str(call) for call in world.calls] if wrong or traced else []
    return Result(profile, seed, counts, world.count_faults(), trace, wrong)


class _Schedule:
    def __init__(self, world: World) -> None:
        self.world = world
        self.random = world.random
        self.processes: list[Process] = []
        self.lives: list[asyncio.Task[None]] = []

    async def live(self) -> None:
        """Have all processes do what they do, and everything befall them that does."""
        random, loop = self.random, self.world.loop
        writers = random.choice((2, 2, 2, 3, 3, 4, 5, 8))
        bursts = random.randint(2, max(3, 24 // writers))
        for _ in range(writers):
            self._start(bursts)
        for _ in range(random.choice((0, 0, 0, 1, 2))):
            loop.call_later(random.random() * 0.3, self._crash, bursts)
        for _ in range(random.choice((0, 0, 1, 2))):
            loop.call_later(random.random() * 0.3, self._cut_off)
        if self.world.profile in ("redis", "sql") and random.random() < 0.15:
            loop.call_later(random.random() * 0.3, self._fail_over)
        while running := [life for life in self.lives if not life.done()]:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for life in self.lives:
            if not life.cancelled():
                life.result()

    async def judge(self) -> Counter[str]:
        """Have who is left look once more, and somebody new read it all; check everything."""
        world = self.world
        for process in self.processes:
            if process.alive:
                await self._look(process)
        world.look_for_expiry()
        try:
            limits = replace(world.limits, cache_bytes=1 << 20)
            reader = EventLog(world.store, SESSION, limits=limits, adopt=False, runtime=Runtime(clock=world.clock))
            log = await Log.read(reader)
        except CorruptLog:
            if not world.forgot and not world.expired:
                raise
            return Counter({"damage reported": 1})
        if world.expired:
            return Counter({"expired": 1})
        alive = {process.name for process in self.processes if process.alive}
        if world.ttl is not None:  # who looks only after the ttl can't know that it was something else that took it away
            alive = set()
        return check(world.calls, log, world.sent, left=LEFT if world.legacy else [], forgot=world.forgot, alive=alive)

    async def _look(self, process: Process) -> None:
        for _ in range(4):
            call = await process.call(process.next_call("read"))
            if call.error is None:
                return
            if not self.world.forgot and not self.world.expired:
                raise Violated(f"after all faults had ended:\n{call}")

    def _start(self, bursts: int) -> None:
        process = Process(self.world, f"p{len(self.processes) + 1}")
        self.processes.append(process)
        self.lives.append(self.world.loop.create_task(self._life(process, bursts)))

    async def _life(self, process: Process, bursts: int) -> None:
        random, loop = self.random, self.world.loop
        await asyncio.sleep(random.choice((0, 0, random.random() * 0.1)))
        together = random.choice((1, 1, 2, 4))
        for _ in range(bursts):
            calls = [loop.create_task(process.call(self._draw(process))) for _ in range(random.randint(1, together))]
            for task in calls:
                if random.random() < 0.04:
                    loop.call_later(random.random() * 0.02, task.cancel)
            await asyncio.wait(calls)
            if random.random() < 0.3:
                await asyncio.sleep(random.random() * (0.03 if self.world.ttl is None else self.world.ttl * 0.6))
        await process.log.settle()

    def _draw(self, process: Process) -> Call:
        """Draw something to do."""
        random = self.random
        kind = random.choices(tuple(_KINDS), tuple(_KINDS.values()))[0]
        what: dict[str, Any] = {"ttl": random.choice((None, self.world.ttl, self.world.ttl))}
        if kind == "add":
            what["items"] = self._items(process)
        elif kind in ("rewind", "past"):
            what["target"] = random.randint(0, process.version + (random.random() < 0.05))
        if kind in ("read", "past"):
            kind, what["need"] = "read", random.choice((None, None, 0, 1, 3, 10))
        return process.next_call(kind, **what)

    def _items(self, process: Process) -> State:
        random = self.random
        if random.random() < 0.01:
            return [("x" * self.world.limits.event_bytes, False)]
        items: State = []
        for place in range(random.choice((1, 1, 1, 2, 4))):
            size = random.choice((0, 4, 10, 20, 60, random.randint(90, 700)))
            name = f"{process.name}-{process.calls + 1}.{place}"
            noise = random.randbytes(size).hex()
            items.append((f"{name} {noise}", True) if random.random() < 0.1 else ({"name": name, "noise": noise}, False))
        return items

    # ---- what befalls them -----------------------------------------------------------------------------------------

    def _crash(self, bursts: int) -> None:
        number = self.random.randrange(len(self.processes))
        if self.world.calm or not self.processes[number].alive:
            return
        self.processes[number].crash()
        self.lives[number].cancel()
        self._start(self.random.randint(1, bursts))  # it is started again, and knows nothing

    def _cut_off(self) -> None:
        if self.world.calm:
            return
        some = [process for process in self.processes if self.random.random() < 0.6]
        for process in some:
            process.wire.faulty.down = True
        self.world.faults["outage"] += 1
        self.world.note(f"{' '.join(process.name for process in some)} cut off")
        self.world.loop.call_later(self.random.choice((0.02, 0.2, 2.0)), self._back, some)

    def _back(self, some: list[Process]) -> None:
        for process in some:
            process.wire.faulty.down = False

    def _fail_over(self) -> None:
        if self.world.calm:
            return
        self.world.store.fail_over(self.random.randint(1, 12))
        self.world.note("the store fails over and forgets")


def _limits(random: Random) -> Limits:
    """Draw limits so small that a few events have everything: parts, segments, nodes, sweeping, groups that don't fit."""
    return Limits(
        deadline=0.3,
        commit_events=random.choice((1, 2, 4, 32)),
        bulk_keys=random.choice((2, 5, 200)),
        inline_bytes=random.choice((16, 100, 1000)),
        tail_bytes=random.choice((1, 400, 1200, 4000)),
        tail_events=random.choice((1, 2, 3, 6, 128)),
        carried_bytes=random.choice((1, 250, 500, 1000, 4000)),
        value_bytes=random.choice((60, 300, 10_000)),
        event_bytes=100_000,
        recent_ids=random.choice((0, 1, 4, 12, 128)),
        index_segments=random.randint(4, 6),
        index_nodes=random.randint(4, 5),
        cache_bytes=random.choice((1, 5_000, 1 << 20)),
    )


def _retry(random: Random) -> Retry:
    return Retry(budget=random.choice((0.1, 0.5, 2.0)), cap=0.064)


def _chances(random: Random, profile: str) -> Mapping[Fault, float]:
    """Draw which faults there are, and how often."""
    level = random.choice((0.0, 0.02, 0.1, 0.25))
    chances = {fault: level * random.random() for fault in _FAULTS if random.random() < 0.5}
    if profile in _LYING and random.random() < 0.5:
        chances[Fault.FALSE_SUCCESS] = level * random.random()
    return chances
