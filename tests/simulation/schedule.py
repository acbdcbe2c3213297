"""One schedule: what the processes do, what befalls them, and the check at its end. All of it drawn from one seed."""

import asyncio
import gc
from collections import Counter
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from eventlog_session import EventLog
from eventlog_session.errors import Conflict, CorruptLog, OutcomeUnknown, Unavailable
from eventlog_session.runtime import Runtime

from .drawing import KEPT, Drawing, draw_world
from .history import Call, Violated, require
from .judge import check
from .left import Log, erased, look_for_damage
from .loop import Stuck, VirtualLoop
from .process import Process
from .world import GRACE, LEFT, SESSION, World

PROFILES: Final = ("redis", "sql", "mongodb", "etcd", "plain")
PERSEVERANCE: Final = 10
"""How often an erasure is tried before all faults end."""


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
    world = draw_world(random, profile, traced=traced)
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
        self.drawing = Drawing(world)
        self.processes: list[Process] = []
        self.lives: dict[Process, asyncio.Task[None]] = {}
        self.erasures: list[tuple[Process, asyncio.Task[Call]]] = []
        """Those under way, and what is restored meanwhile."""

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
        if self.world.erases:
            for _ in range(random.choice((1, 1, 2))):
                loop.call_later(random.random() * 0.3, self._erase)
        elif self.world.profile in ("redis", "sql") and random.random() < 0.15:
            loop.call_later(random.random() * 0.3, self._fail_over)
        await self._outlive()
        if self.world.erases:
            await self._erase_for_good()
            for process in self._alive():
                self.lives[process] = loop.create_task(self._life(process, random.randint(1, 4)))
            self._start(random.randint(1, 4))
            await self._outlive()

    async def _outlive(self) -> None:
        while running := [life for life in self.lives.values() if not life.done()]:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for life in self.lives.values():
            if not life.cancelled():
                life.result()

    async def _erase_for_good(self) -> None:
        """Wait for who is erasing, and take up what they did not finish."""
        epochs, tries = self.world.ledger.epochs, 0
        await self._outwait()
        while epochs[-1].erased is None or not any(
            call.kind == "erase" and call.error is None and call.ended for call in self.world.calls
        ):
            require(tries < 2 * PERSEVERANCE, "it can't be erased")
            tries += 1
            await asyncio.sleep(0.3)
            self.world.calm = tries > PERSEVERANCE
            self._erase()
            await self._outwait()
        self.world.calm = False

    async def _outwait(self) -> None:
        while running := [task for process, task in self.erasures if process.alive and not task.done()]:
            await asyncio.wait(running, timeout=1)

    async def judge(self) -> Counter[str]:
        """Have who is left look once more, and somebody new read it all; check everything."""
        world = self.world
        await self._settle()
        for process in self._alive():
            await self._look(process)
        world.look_for_expiry()
        try:
            limits = replace(world.limits, cache_bytes=1 << 20)
            reader = EventLog(world.store, SESSION, limits=limits, adopt=False, runtime=Runtime(clock=world.clock))
            log = await Log.read(reader, world.ledger)
        except CorruptLog:
            if not world.forgot and not world.expired:
                raise
            return Counter({"damage reported": 1})
        if world.expired:
            return Counter({"expired": 1})
        if not world.forgot:
            await look_for_damage(reader)
            interrupted = any(call.kind == "erase" and (call.ended is None or call.error) for call in world.calls)
            left_over = world.ledger.left_over(world.store.keys(), interrupted=interrupted)
            require(not left_over, f"erased, and still there: {sorted(left_over)}")
        alive = {process.name for process in self._alive()}
        if world.ttl is not None:  # who looks only after the ttl can't know that it was something else that took it away
            alive = set()
        logs = [*erased(world.ledger), log]
        left = LEFT if world.legacy else []
        return check(
            world.calls, logs, world.ledger.sent, left=left, forgot=world.forgot, alive=alive, room=world.limits.tags
        )  # fmt: skip

    async def _settle(self) -> None:
        """Have somebody ask what became of what is in doubt, and repeat what has a key."""
        world, random = self.world, self.random
        some = [call for call in world.keyed if random.random() < 0.3]
        for doubtful in world.doubts:
            process = random.choice(self._alive())
            await process.call(self.drawing.resolve(process, doubtful))
        for first in some:
            process = random.choice(self._alive())
            if process.version < KEPT:
                call = await process.call(self.drawing.repeat(process, first))
                failed = isinstance(call.error, Unavailable | OutcomeUnknown | Conflict)
                # who slept through a trim can't know whether what it sent is among what was given up
                failed = failed and not (world.trims and isinstance(call.error, OutcomeUnknown))
                require(not failed or world.forgot or world.expired, f"after all faults had ended:\n{call}")

    def _alive(self) -> list[Process]:
        return [process for process in self.processes if process.alive]

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
        self.lives[process] = self.world.loop.create_task(self._life(process, bursts))

    async def _life(self, process: Process, bursts: int) -> None:
        random, loop = self.random, self.world.loop
        await asyncio.sleep(random.choice((0, 0, random.random() * 0.1)))
        together = random.choice((1, 1, 2, 4))
        for _ in range(bursts):
            calls = [loop.create_task(process.call(self.drawing.draw(process))) for _ in range(random.randint(1, together))]
            for task in calls:
                if random.random() < 0.04:
                    loop.call_later(random.random() * 0.02, task.cancel)
            await asyncio.wait(calls)
            if random.random() < 0.3:
                await asyncio.sleep(random.random() * (0.03 if self.world.ttl is None else self.world.ttl * 0.6))
        await process.log.settle()

    # ---- what befalls them -----------------------------------------------------------------------------------------

    def _crash(self, bursts: int, process: Process | None = None) -> None:
        process = process or self.random.choice(self.processes)
        if self.world.calm or not process.alive:
            return
        process.crash()
        self.lives[process].cancel()
        self._start(self.random.randint(1, bursts))  # it is started again, and knows nothing

    def _erase(self) -> None:
        random, loop = self.random, self.world.loop
        process = random.choice(self._alive())
        task = loop.create_task(process.call(process.next_call("erase")))
        self.erasures.append((process, task))
        when = random.random() * random.choice((0.05, 1, GRACE * 1.2))
        befalls = 1 if self.world.calm else random.random()
        if befalls < 0.25:
            loop.call_later(when, task.cancel)
        elif befalls < 0.5:
            loop.call_later(when, self._crash, 2, process)
        if self.world.copies:  # about when it is done
            loop.call_later(GRACE + random.uniform(-0.1, 0.3), self._restore)

    def _restore(self) -> None:
        process = self.random.choice(self._alive())
        task = self.world.loop.create_task(process.call(self.drawing.restore(process)))
        self.erasures.append((process, task))

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
