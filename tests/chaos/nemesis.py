"""What befalls whole processes: killed and started again, stopped and continued, at random moments."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence

from rig import RigError, Server

from .crew import Crew
from .stage import Stage

KILL_DAPRD, PAUSE_DAPRD = "daprd killed", "daprd paused"
KILL_STORE, PAUSE_STORE = "store killed", "store paused"
KILL_WRITER = "writer killed"


class Nemesis:
    """Strikes again and again until its time is over, and leaves everything running."""

    def __init__(self, stage: Stage, store: str, crew: Crew, chance: random.Random, strikes: Sequence[str]) -> None:
        self._stage = stage
        self._store = store
        self._crew = crew
        self._chance = chance
        self._strikes = strikes
        self.struck: Counter[str] = Counter()

    async def strike(self, seconds: float) -> None:
        """Strike until *seconds* are over: each kind in turn, so that a short run meets them all, then at random."""
        until = time.monotonic() + seconds
        waiting = list(self._strikes)
        while self._strikes and (pause := self._chance.uniform(0.1, 0.9)) < until - time.monotonic():
            await asyncio.sleep(pause)
            kind = waiting.pop(0) if waiting else self._chance.choice(self._strikes)
            self.struck[kind] += await self._one(kind)
        await asyncio.sleep(max(0.0, until - time.monotonic()))

    async def _one(self, kind: str) -> bool:
        """Strike once; whether there was somebody to strike."""
        if kind == KILL_WRITER:
            left = [writer for writer in self._crew.pids if writer not in self._crew.killed and writer.startswith("log")]
            if len(left) > 1:
                self._crew.kill(self._chance.choice(left))
            return len(left) > 1
        daprd = kind in (KILL_DAPRD, PAUSE_DAPRD)
        server: Server = self._chance.choice(self._stage.sidecars) if daprd else self._stage.server(self._store)
        if kind in (KILL_DAPRD, KILL_STORE):
            server.check()  # One that has ended by itself must not pass for one that was killed.
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(self._chance.uniform(0, 0.5))
            await self._start(server)
            return True
        assert server._child is not None
        os.kill(server._child.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(self._chance.uniform(0.1, 2.5))
        finally:
            os.kill(server._child.pid, signal.SIGCONT)
        return True

    async def _start(self, server: Server) -> None:
        """Start a server, again if the faults on its wires let it end at once: a supervisor would do the same."""
        for _ in range(20):
            try:
                return await asyncio.to_thread(server.start)
            except RigError:
                await asyncio.sleep(0.2)
        raise RigError(f"{server.name} could not be started again")
