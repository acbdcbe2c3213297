"""
A process that knows nothing: connecting, and reading all of a session for the first time. Part "process".

Each sample is a process of its own, which imports first and then waits for its turn, so that no other is at work while the
clock runs. As a program (`processes.py`) this module is such a process.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from time import perf_counter, process_time
from typing import Any
from uuid import uuid4

from cases import expect
from dapr.aio.clients import DaprClient
from figures import Cell, Taken, timed
from items import PLAIN, compact
from meter import Sample
from rig import Rig
from scope import Budget, Scope
from subjects import KINDS, make

OPERATIONS = {"client": "get all, cold process", "address": "get all, cold process, from_address"}
"""By how the session is made: over a `DaprClient`, or by `from_address`, which opens each implementation's own client."""
AT_ONCE = 2
"""Rounds whose processes start together, since it is the imports that take long."""


async def read_all(kind: str, way: str, address: str, store: str, session_id: str) -> dict[str, Any]:
    """Connect and read a session; return what it took and a digest of the items."""
    cpu, begun = process_time(), perf_counter()
    client: Any
    if way == "client":
        client = DaprClient(address=address)
        session = make(kind, session_id, client, store)
    else:
        session = KINDS[kind].from_address(session_id, state_store_name=store, dapr_address=address)
        client = session
    items = await session.get_items()
    took = {"seconds": perf_counter() - begun, "cpu": process_time() - cpu}
    await client.close()
    return {**took, "digest": digest(items)}


def digest(items: list[Any]) -> str:
    """Return what tells one history from another."""
    return blake2b(compact(items).encode(), digest_size=16).hexdigest()


def child(kind: str, way: str, address: str, store: str, session_id: str) -> None:
    """Say that all is imported, wait for a line, read the session."""
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asyncio.run(read_all(kind, way, address, store, session_id))), flush=True)


async def measure(rig: Rig, scope: Scope) -> AsyncIterator[Cell]:
    """Yield the cells of part "process"."""
    from matrix import connected  # noqa: PLC0415 a cold process need not import those

    store = scope.process_store
    async with connected(rig.address, store) as subjects:
        for size in scope.process_sizes:
            history = PLAIN.history(size)
            ids = {kind: uuid4().hex for kind in KINDS}
            for kind, session_id in ids.items():
                await subjects[kind].seed(session_id, history)
            where = {"part": "process", "store": store, "n": size, "state": "" if size else "new"}
            for way in OPERATIONS if size in scope.address_sizes else ("client",):
                turn = Turn(rig, store, way, ids, digest(history))
                yield timed(where, OPERATIONS[way], turn.rounds(scope.processes), wired=False)


@dataclass(frozen=True, slots=True)
class Turn:
    """What is read, how, and the digest of the *right* answer."""

    rig: Rig
    store: str
    way: str
    ids: Mapping[str, str]
    right: str

    def rounds(self, budget: Budget) -> Taken:
        """Measure within the budget, some processes at a time."""
        taken = Taken(samples={kind: {} for kind in self.ids})
        for first in budget.rounds(step=AT_ONCE):
            for kind, number, answer in self._some(first):
                expect(self.right, answer["digest"])
                taken.samples[kind][number] = Sample(answer["seconds"], answer["cpu"], 0, 0, 0, 0, 0)
        return taken

    def _some(self, first: int) -> Iterator[tuple[str, int, Any]]:
        """Yield what `AT_ONCE` rounds took, one process after the other, in alternating order."""
        kinds = list(self.ids)
        order = [(kind, first + n) for n in range(AT_ONCE) for kind in (kinds if n % 2 else reversed(kinds))]
        waiting = [(*turn, self._start(turn[0])) for turn in order]
        for *_, process in waiting:
            assert process.stdout is not None
            expect("ready\n", process.stdout.readline())
        for kind, number, process in waiting:
            yield kind, number, json.loads(process.communicate("go\n")[0])

    def _start(self, kind: str) -> "subprocess.Popen[str]":
        place = [self.rig.address, self.store, self.ids[kind]]
        command = [sys.executable, "-P", __file__, kind, self.way, *place]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


if __name__ == "__main__":
    child(*sys.argv[1:])
