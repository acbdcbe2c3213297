"""
A thousand sessions at once in one process: runs of an agent with three tool turns, all started together.

Twice. "runs" are whole `Runner.run`s of the Agents SDK with a scripted model, whose own CPU is most of it: the *floor* is the
same with a session that costs nothing. "session calls of runs" are only what such a run asks of its session, recorded from
one and repeated for every session, on new ones and on ones with a history.
"""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter, process_time
from typing import Any
from uuid import uuid4

from agent_runs import QUESTION, look_up, script
from agents import Agent, Runner, set_tracing_disabled
from agents.memory.session import SessionABC
from agents.testing import ScriptedModel
from cases import expect
from contest import describe
from dapr.aio.clients import DaprClient
from figures import Cell, cell, spread
from items import message
from rig import Rig
from scope import Budget
from subjects import KINDS, make, settle

TURNS = 3
SESSIONS, WARM_UP = 1_000, 20
RUNS, CALLS = (f"{what}, {TURNS} tools, {SESSIONS:,} at once" for what in ("runs", "session calls of runs"))
MORE_STORES, MORE_HISTORIES = ("redis",), (100,)
"""Histories and whole runs are for these stores only: they take long."""
CALLS_BUDGET, RUNS_BUDGET = Budget(seconds=12, least=2, most=6), Budget(seconds=30, least=2, most=2)


class Free(SessionABC):
    """A session in a list, which costs nothing and keeps what it was asked."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.asked: list[tuple[str, Any]] = []
        self._items: list[Any] = []

    async def get_items(self, limit: int | None = None) -> Any:
        """Return all items: a run asks for no fewer."""
        self.asked.append(("get_items", limit))
        return list(self._items)

    async def add_items(self, items: list[Any]) -> None:
        """Append."""
        self.asked.append(("add_items", deepcopy(items)))
        self._items += items

    async def pop_item(self) -> Any:
        """Raise: no run that goes well does this."""
        raise NotImplementedError

    async def clear_session(self) -> None:
        """Raise: no run does this."""
        raise NotImplementedError


async def run(session: Any) -> None:
    """Run an agent whose model asks for a tool three times and then answers."""
    await Runner.run(Agent(name="desk", model=ScriptedModel(script(TURNS)), tools=[look_up]), QUESTION, session=session)


async def repeat(session: Any, asked: Sequence[tuple[str, Any]]) -> None:
    """Ask *session* the same."""
    for method, argument in asked:
        await getattr(session, method)(argument)


@dataclass(slots=True)
class Rounds:
    """What one implementation did. *rates* are runs that did not fail, a second."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    good: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    example: str = ""

    def metrics(self) -> dict[str, Any]:
        """Return it as a cell has it; CPU is of a run."""
        found = {"per_second": median(self.rates), "spread_per_second": spread(self.rates), "cpu_ms": median(self.cpu) * 1e3}
        share = self.good / (self.good + self.failed.total())
        return {
            **found,
            "acknowledged": share,
            "errors": dict(self.failed),
            **({"example": self.example} if self.example else {}),
        }


class Crowd:
    """Two implementations that take turns on one store, each on a connection of its own."""

    def __init__(self, address: str, store: str, added: Sequence[Any]) -> None:
        self._store = store
        self._added = added  # what a run leaves in a session
        self._clients: dict[str, Any] = {kind: DaprClient(address=address) for kind in KINDS}

    async def alternate(self, kinds: Sequence[str], history: int, asked: Any, budget: Budget) -> dict[str, Rounds]:
        """Have *kinds* do whole runs, or what was *asked* of a session, in turn."""
        rounds, order = {kind: Rounds() for kind in kinds}, list(kinds)
        for kind in order:  # what a process learns once is not what is measured
            await self._round(kind, WARM_UP, history, asked, Rounds())
        for _ in budget.rounds():
            order.reverse()
            for kind in order:
                await self._round(kind, SESSIONS, history, asked, rounds[kind])
        return rounds

    async def _round(self, kind: str, count: int, history: int, asked: Any, rounds: Rounds) -> None:
        names = [uuid4().hex for _ in range(count)]
        items = [message(number) for number in range(history)]
        if items:
            some = asyncio.Semaphore(4)  # SQLite is locked for too long if all come at once
            await asyncio.gather(*(self._seed(some, kind, name, items) for name in names))
        sessions = [self._session(kind, name) for name in names]
        gc.collect()
        cpu, start = process_time(), perf_counter()
        done = await asyncio.gather(*(repeat(one, asked) if asked else run(one) for one in sessions), return_exceptions=True)
        seconds = perf_counter() - start
        await asyncio.gather(*map(settle, sessions))
        cpu = process_time() - cpu
        failed = [one for one in done if isinstance(one, Exception)]
        good = len(done) - len(failed)
        rounds.rates.append(good / seconds)
        rounds.cpu.append(cpu / len(done))
        rounds.good += good
        rounds.failed.update(type(one).__name__ for one in failed)
        rounds.example = rounds.example or (describe(failed[0]) if failed else "")
        for name, outcome in zip(names, done, strict=True):
            if kind in KINDS and outcome is None:
                expect([*items, *self._added], await self._session(kind, name, fresh=True).get_items())

    async def _seed(self, some: asyncio.Semaphore, kind: str, name: str, items: list[Any]) -> None:
        async with some:
            await self._session(kind, name, fresh=True).add_items(items)

    def _session(self, kind: str, name: str, *, fresh: bool = False) -> Any:
        if kind not in KINDS:
            return Free(name)
        client = self._clients[kind]
        return make(kind, name, copy(client) if fresh else client, self._store)

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(client.close() for client in self._clients.values()))


async def measure(rig: Rig, store: str) -> AsyncIterator[Cell]:
    """Yield a cell of whole runs (with the floor) and one of session calls for each history; *n* is its length."""
    set_tracing_disabled(True)
    await run(free := Free("recorded"))
    asked = free.asked.copy()
    crowd = Crowd(rig.address, store, await free.get_items())
    more = store in MORE_STORES
    for history in (0, *(MORE_HISTORIES if more else ())):
        rounds = await crowd.alternate(list(KINDS), history, asked, CALLS_BUDGET)
        yield _cell(store, CALLS, history, rounds)
    if more:
        rounds = await crowd.alternate([*KINDS, "floor"], 0, None, RUNS_BUDGET)
        yield _cell(store, RUNS, 0, rounds)
    await crowd.close()


def _cell(store: str, operation: str, history: int, rounds: dict[str, Rounds]) -> Cell:
    base = rounds["DaprSession"].rates
    ratios = {
        kind: [one / other for one, other in zip(found.rates, base, strict=True) if other]
        for kind, found in rounds.items() if kind != "DaprSession"
    }  # fmt: skip
    subjects = {kind: found.metrics() for kind, found in rounds.items()}
    return cell("many", store, operation, history, rounds=len(base), subjects=subjects, ratios=ratios)
