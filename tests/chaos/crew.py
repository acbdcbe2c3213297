"""A crew of writer processes, forked from one that has everything imported, which start at one word.

`import agents` takes seconds, so 64 processes can't each do it; and the process with the proxies and gRPC's threads in it
must not be forked. So a program of its own stands by: for each crew it says who is ready, waits for a line, and says how they
ended.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from .record import Operation, Spec, read_records


class CrewError(RuntimeError):
    """A crew did not do its work: that is a fault of the test."""


class Standby:
    """The program that crews are forked from, one crew at a time; started when it is needed."""

    def __init__(self, directory: Path) -> None:
        self._errors = directory / "crews.log"
        self._process: Process | None = None

    async def say(self, line: str) -> None:
        """Send it a line."""
        if self._process is None:
            with self._errors.open("ab") as errors:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "chaos.crew"),
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
                    stdin=PIPE,
                    stdout=PIPE,
                    stderr=errors,
                    start_new_session=True,
                )
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def answer(self, within: float) -> str:
        """Return its next line. Raises CrewError if it has none within so many seconds."""
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), within)
        except TimeoutError:
            line = b""
        if not line:
            await self.kill()
            raise CrewError(f"no answer within {within:g} s:\n{self._errors.read_text()[-4000:]}")
        return line.decode()

    async def kill(self) -> None:
        """End it and all that it forked: the group is its own."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()


class Crew:
    """Writers on their way: ready, at work, done."""

    def __init__(self, standby: Standby, directory: Path, specs: Sequence[Spec]) -> None:
        self._standby = standby
        self._directory = directory
        self._specs = specs
        self._ended = False
        self.pids: dict[str, int] = {}
        self.killed: set[str] = set()

    async def ready(self) -> None:
        """Return when every writer is connected and waits for the word."""
        self._directory.mkdir(parents=True)
        (self._directory / "specs.json").write_text(json.dumps([asdict(spec) for spec in self._specs]))
        await self._standby.say(str(self._directory))
        self.pids = json.loads(await self._standby.answer(120))

    async def go(self) -> None:
        """Give the word."""
        await self._standby.say("go")

    def kill(self, writer: str) -> None:
        """End a writer as a crash would."""
        self.killed.add(writer)
        os.kill(self.pids[writer], signal.SIGKILL)

    async def done(self, within: float) -> list[Operation]:
        """Return what all of them recorded, when they have ended."""
        failed = json.loads(await self._standby.answer(within))
        self._ended = True
        if unexpected := set(failed) - self.killed:
            raise CrewError(f"{', '.join(sorted(unexpected))} failed: see crews.log")
        return [one for spec in self._specs for one in read_records(self._directory / f"{spec.writer}.jsonl")]

    async def abandon(self) -> None:
        """End whatever still runs."""
        if not self._ended:
            await self._standby.kill()


def main() -> None:
    """Stand by: read a directory with specs, fork its writers, say their ids, wait for the word, say who failed; again."""
    from .writers import work

    fork = multiprocessing.get_context("fork")
    while line := sys.stdin.readline():
        directory = Path(line.strip())
        specs = [Spec(**spec) for spec in json.loads((directory / "specs.json").read_text())]
        barrier = fork.Barrier(len(specs) + 1)
        writers = {spec.writer: fork.Process(target=work, args=(spec, directory, barrier)) for spec in specs}
        for writer in writers.values():
            writer.start()
        barrier.wait(60)
        print(json.dumps({name: writer.pid for name, writer in writers.items()}), flush=True)
        sys.stdin.readline()
        for _ in range(1 + specs[0].rounds):
            barrier.wait(120)
        for writer in writers.values():
            writer.join()
        print(json.dumps([name for name, writer in writers.items() if writer.exitcode]), flush=True)


if __name__ == "__main__":
    main()
