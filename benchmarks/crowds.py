"""
Many writers on one session, in one process or in a process each: acknowledged adds a second, and whether they are there.

Each round is a new session with one item in it, to which every writer adds items one after the other, all writers at once; the
implementations take turns. Afterwards the session is read by an object that knows nothing: what was acknowledged must be
there, once. Only what was acknowledged counts as done.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from copy import copy
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from uuid import uuid4

from dapr.aio.clients import DaprClient
from figures import Cell, cell, spread
from rig import Rig
from scope import Budget
from subjects import KINDS, make
from writers import Crew, Processes, Together, Told, said, verdict

ONE_PROCESS, PROCESSES = "adds, writers in one process", "adds, a process for each writer"


ADDS = {1: 60, 8: 20, 32: 10}
"""Adds of each writer in a round, by the number of writers."""
BUDGET = Budget(seconds=7, least=6, most=12)


@dataclass(slots=True)
class Rounds:
    """What one implementation's writers did, over all rounds."""

    rates: list[float] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    def metrics(self) -> dict[str, Any]:
        """Return it as a cell has it. *adds* are those that were tried."""
        acknowledged = sum(len(one.acknowledged) for one in self.told)
        adds = acknowledged + sum(len(one.raised) for one in self.told)
        return {
            "per_second": median(self.rates),
            "spread_per_second": spread(self.rates),
            "adds": adds,
            "acknowledged": acknowledged / adds,
            "errors": dict(sum((one.errors for one in self.told), Counter())),
            **self.wrong,
        }


async def measure(rig: Rig, store: str) -> AsyncIterator[Cell]:
    """Yield a cell for each number of writers in one process and in as many; *n* is the number of writers."""
    async with AsyncExitStack() as opened:
        client: Any = DaprClient(address=rig.address)
        opened.push_async_callback(client.close)
        for place in (ONE_PROCESS, PROCESSES):
            for writers, adds in ADDS.items():
                async with AsyncExitStack() as working:
                    crew: Crew = Together(client, store, writers)
                    if place == PROCESSES:
                        crew = await working.enter_async_context(Processes(rig.address, store, writers))
                    rounds = await _alternate(crew, client, store, adds)
                yield _cell(store, place, writers, rounds)


async def _alternate(crew: Crew, client: Any, store: str, adds: int) -> dict[str, Rounds]:
    rounds = {kind: Rounds() for kind in KINDS}
    order = list(KINDS)
    for kind in order:  # what a process learns once is not what is measured
        await _round(crew, client, store, kind, 2, Rounds())
    for _ in BUDGET.rounds():
        order.reverse()
        for kind in order:
            await _round(crew, client, store, kind, adds, rounds[kind])
    return rounds


async def _round(crew: Crew, client: Any, store: str, kind: str, adds: int, rounds: Rounds) -> None:
    session_id = uuid4().hex
    # who creates a session is another question, and one on which DaprSessions collide with errors they do not know
    await make(kind, session_id, copy(client), store).add_items([said("-")])
    told = await crew.write(kind, session_id, adds)
    seconds = max(one.ended for one in told) - min(one.begun for one in told)
    rounds.rates.append(sum(len(one.acknowledged) for one in told) / seconds)
    rounds.told += told
    items: Sequence[Any] = await make(kind, session_id, copy(client), store).get_items()
    rounds.wrong.update(verdict(told, items))


def _cell(store: str, place: str, writers: int, rounds: dict[str, Rounds]) -> Cell:
    ours, theirs = rounds["eventlog"].rates, rounds["DaprSession"].rates
    # a round in which nothing at all was acknowledged has no ratio
    ratios = [one / other for one, other in zip(ours, theirs, strict=True) if other]
    subjects = {kind: found.metrics() for kind, found in rounds.items()}
    return cell("crowd", store, place, writers, rounds=len(ours), subjects=subjects, ratios={"eventlog": ratios})
