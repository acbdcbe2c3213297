"""
Where the time goes: of one warm add and one cold get of 5,000 items, through daprd to Redis. `make profile`.

Writes ``results/profile.md``.
"""

import asyncio
import gc
import os
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, thread_time
from typing import Any

import psutil
from dapr.aio.clients import DaprClient
from dapr.conf import settings
from dapr.proto import api_v1
from facts import machine
from items import message
from replay import Call, Recorder, Writes, replay
from rig import Rig
from sampler import Samples, sampled
from scope import STORES
from stages import Stages, sealing, stages_of_add, stages_of_get

from eventlog_session import EventLogSession, MemoryStore

RESULTS = Path(__file__).parent / "results"
SIZE = 5_000
SPACE = 0.01
"""Seconds between operations, as a model call would give, for what is done behind them."""
ADDS, GETS, BLOCKS = 400, 60, 10
SAMPLED = 12.0
"""Seconds of repetitions that are sampled."""
NOTES = f"""\
A history of {SIZE:,} items of 330 B, an event each, on Redis. Three views that must fit together. **Whole**: the operation as
a user has it, median of its time. **Bare calls**: the very same requests made again without the operation, which is what gRPC,
sidecar and store take. **Python above the store**: the operation on a store in memory, in CPU of the thread, so that waiting
for a busy machine does not count. These take turns, {SPACE * 1e3:.0f} ms after one another, as between model calls; meanwhile
the processor's caches and its clock forget, which shows when the same is done without a pause. Of that, each function of ours
by itself, many times over, on the very same values. A sampling profiler over many repetitions without a pause names the
functions; other than the rest it counts the CPU of all threads, gRPC's own with it.
"""
Work = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Timed:
    """What one repetition takes, in seconds: the medians of *wall* and of the *thread*'s CPU; the mean CPU of each process."""

    wall: float
    thread: float
    client: float
    daprd: float
    redis: float


@dataclass(frozen=True, slots=True)
class Profile:
    """All that was found of one operation."""

    name: str
    times: Mapping[str, Timed]
    """Of the "whole", the "bare" calls, the operation in "memory" and an "empty" call."""
    hot: float
    """The thread's CPU of the operation on a store in memory, without a pause before it."""
    stages: Stages
    calls: Sequence[Call]
    samples: Samples
    repeated: int
    """How often while it was sampled."""
    note: str = ""


class Bench:
    """A session of 5,000 items on Redis behind a sidecar, and the same in memory."""

    def __init__(self, rig: Rig) -> None:
        self._client: Any = DaprClient(address=rig.address)
        self.stub = self._client._stub
        servers = [server._child.pid for server in (rig.sidecar, rig.redis) if server._child]
        self._processes = [psutil.Process(), *map(psutil.Process, servers)]
        self._number = SIZE
        self.memory = MemoryStore()

    def session(self, *, recorder: Recorder | None = None) -> EventLogSession:
        """Return a session object that knows nothing, on the connection that there is."""
        client = copy(self._client)
        client._stub = recorder or self.stub
        return EventLogSession("profile", state_store_name="redis", dapr_client=client)

    async def seed(self) -> None:
        """Write the history, an event for each item."""
        for session in (self.session(), EventLogSession("profile", store=self.memory)):
            await asyncio.gather(*(session.add_items([message(number)]) for number in range(SIZE)))
            await (await session._log()).settle()

    def item(self) -> Any:
        """Return the next item."""
        self._number += 1
        return message(self._number)

    async def alternate(self, works: Mapping[str, Work], times: int) -> dict[str, Timed]:
        """Return what each of *works* takes, done *times* over in turns of blocks, with a pause after each."""
        walls: dict[str, list[float]] = {name: [] for name in works}
        threads: dict[str, list[float]] = {name: [] for name in works}
        cpu: dict[str, list[float]] = {name: [0.0, 0.0, 0.0] for name in works}
        for work in works.values():
            await work()
        for _ in range(BLOCKS):
            for name, work in works.items():
                gc.collect()
                before = self._cpu()
                for _ in range(times // BLOCKS):
                    thread, begun = thread_time(), perf_counter()
                    await work()
                    walls[name].append(perf_counter() - begun)
                    threads[name].append(thread_time() - thread)
                    await asyncio.sleep(SPACE)
                cpu[name] = [sum_ + late - early for sum_, early, late in zip(cpu[name], before, self._cpu(), strict=True)]
        done = times // BLOCKS * BLOCKS
        return {
            name: Timed(median(walls[name]), median(threads[name]), *(seconds / done for seconds in cpu[name]))
            for name in works
        }

    async def hot(self, work: Work) -> float:
        """Return what *work* takes of the thread's CPU, done over and over for a second."""
        taken, end = [], perf_counter() + 1
        while perf_counter() < end:
            begun = thread_time()
            await work()
            taken.append(thread_time() - begun)
        return median(taken)

    def _cpu(self) -> list[float]:
        return [sum(process.cpu_times()[:2]) for process in self._processes]

    async def empty_call(self) -> object:
        """Ask for a key that is not there: the least that a call can be."""
        return await self.stub.GetState(api_v1.GetStateRequest(store_name="redis", key="nobody's"))

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()


async def repeated(work: Work, samples: Samples) -> int:
    """Sample *work*, done over and over; return how often."""
    times, end = 0, perf_counter() + SAMPLED
    with sampled(samples):
        while perf_counter() < end:
            await work()
            times += 1
    return times


async def add(bench: Bench) -> Profile:
    """Profile one add to a session that is known."""
    recorder = Recorder(bench.stub)
    session = bench.session(recorder=recorder)
    await session.get_items(limit=1)
    while True:  # until one that seals nothing, as most do
        await asyncio.sleep(SPACE)
        recorder.calls.clear()
        await session.add_items([bench.item()])
        if len(recorder.calls) == 1 and len(recorder.calls[0].request.operations) == 2:
            break
    call = recorder.calls[0]
    warm = bench.session()
    await warm.get_items(limit=1)
    writes = Writes(call, (await session._log()).keys.digest)
    in_memory = EventLogSession("profile", store=bench.memory)
    await in_memory.get_items(limit=1)
    works: dict[str, Work] = {
        "whole": lambda: warm.add_items([bench.item()]),
        "bare": lambda: writes.again(bench.stub),
        "memory": lambda: in_memory.add_items([bench.item()]),
        "empty": bench.empty_call,
    }
    times = await bench.alternate(works, ADDS)
    hot = await bench.hot(works["memory"])
    stages = await stages_of_add(warm, bench.item(), call)
    seconds, every = await sealing(warm, bench.item())
    samples = Samples()
    number = await repeated(works["whole"], samples)
    note = f"One add in about {every:.0f} seals the tail, which takes {seconds * 1e6:,.0f} us more"
    note += f": {seconds / every * 1e6:,.1f} us of each.\n"
    return Profile("one warm add", times, hot, stages, [call], samples, number, note)


async def get(bench: Bench) -> Profile:
    """Profile one read of everything by a session that knows nothing."""
    recorder = Recorder(bench.stub)
    session = bench.session(recorder=recorder)
    length = len(await session.get_items())
    calls = list(recorder.calls)

    async def cold() -> None:
        assert len(await bench.session().get_items()) >= length

    async def from_memory() -> None:
        store = MemoryStore()
        store._values = bench.memory._values
        assert await EventLogSession("profile", store=store).get_items()

    works: dict[str, Work] = {"whole": cold, "bare": lambda: replay(bench.stub, calls), "memory": from_memory}
    times = await bench.alternate({**works, "empty": bench.empty_call}, GETS)
    hot = await bench.hot(from_memory)
    samples = Samples()
    number = await repeated(cold, samples)
    stages = stages_of_get((await session._log()).keys, calls)
    name = f"one cold get of {SIZE:,} items"
    return Profile(name, times, hot, stages, calls, samples, number)


# ---- what is written ---------------------------------------------------------------------------------------------------


def markdown(profiles: Sequence[Profile], facts: Mapping[str, str]) -> str:
    """Return the whole of it."""
    parts = ["# Where the time goes\n", NOTES]
    for profile in profiles:
        parts += [f"## {profile.name[0].upper()}{profile.name[1:]}\n", *_described(profile)]
    return "\n".join([*parts, "## Where and when\n", *(f"- {name}: {fact}" for name, fact in facts.items()), ""])


def _rows(profile: Profile) -> list[tuple[str, float]]:
    """Return what the operation's time consists of, in seconds."""
    waves = max(call.wave for call in profile.calls)
    sent = sum(call.request.ByteSize() for call in profile.calls)
    received = sum(call.reply.ByteSize() for call in profile.calls)
    least, bare, above = waves * profile.times["empty"].wall, profile.times["bare"].wall, profile.times["memory"].thread
    # a bare call sends a message that is built, but parses its reply
    built = sum(time for name, time in profile.stages.items() if name.startswith("protobuf: built"))
    stages = [(name, time) for name, time in profile.stages.items() if not name.startswith("protobuf")]
    rest = profile.hot - sum(time for _, time in stages)
    return [
        ("**whole**", profile.times["whole"].wall),
        (f"**gRPC, sidecar and store**: the bare calls, {sent:,} B out, {received:,} B in", bare),
        (f"of that {'an empty call' if waves == 1 else f'{waves} empty calls, one after the other'}", least),
        ("of that for the bytes", bare - least),
        *((f"of that {name}", time) for name, time in profile.stages.items() if name.startswith("protobuf: replies")),
        *([("**protobuf**: requests built and serialised", built)] if built else []),
        ("**Python above the store**: the operation in memory", above),
        *((f"of that {name}", time) for name, time in stages),
        ("of that everything else: lane, tasks, futures, cache", rest),
        ("of that because of the pause before", above - profile.hot),
        ("**not accounted for**", profile.times["whole"].wall - bare - built - above),
    ]


def _described(profile: Profile) -> list[str]:
    calls = [f"{one.method} ({one.request.ByteSize():,} B out, {one.reply.ByteSize():,} B in)" for one in profile.calls]
    lines = [f"Calls: {', '.join(calls)}.\n", "| | us | of the whole |", "|---|--:|--:|"]
    lines += [f"| {name} | {time * 1e6:,.0f} | {time / profile.times['whole'].wall:.0%} |" for name, time in _rows(profile)]
    lines.append(f"\n{profile.note}")
    lines += ["| CPU, us | the operation | the bare calls | an empty call |", "|---|--:|--:|--:|"]
    for name in ("client", "daprd", "redis"):
        times = [getattr(one, name) * 1e6 for one in map(profile.times.__getitem__, ("whole", "bare", "empty"))]
        lines.append(f"| {name} | {' | '.join(f'{time:,.0f}' for time in times)} |")
    return [*lines, "", *_sampled(profile)]


def _sampled(profile: Profile) -> list[str]:
    """Return which packages and functions used the client's CPU."""
    samples = profile.samples
    total = samples.packages.total()
    each = samples.cpu / profile.repeated * 1e6
    lines = [
        f"The client's CPU by package, from {total:,} samples over {profile.repeated:,} repetitions ({each:,.0f} us each):\n"
    ]
    lines += ["| package | us | share |", "|---|--:|--:|"]
    lines += [
        f"| {name} | {each * count / total:,.0f} | {count / total:.0%} |" for name, count in samples.packages.most_common()
    ]
    lines += ["\nBy function (what C code does is its caller's; waiting in a selector is CPU of gRPC's own threads):\n"]
    lines += ["| function | us | share |", "|---|--:|--:|"]
    lines += [
        f"| {name} | {each * count / total:,.0f} | {count / total:.0%} |" for name, count in samples.functions.most_common(18)
    ]
    return [*lines, ""]


async def measure(rig: Rig) -> list[Profile]:
    """Return the profiles."""
    bench = Bench(rig)
    await bench.seed()
    gc.collect()
    gc.freeze()
    read = await get(bench)  # before the adds
    profiles = [await add(bench), read]
    await bench.close()
    return profiles


def main() -> None:
    """Profile, and write the results."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as directory, Rig(Path(directory), STORES) as rig:
        vars(settings)["DAPR_HTTP_PORT"] = rig.http_port  # where the SDK's client looks for the sidecar's health
        profiles = asyncio.run(measure(rig))
        facts = {**machine(rig, load), "command": "benchmarks/profile_hot.py"}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "profile.md").write_text(text := markdown(profiles, facts))
    print(text)


if __name__ == "__main__":
    main()
