"""
Whole runs of an agent on histories of every size: what its user waits for, and what of that is the session's.

The model is scripted. It takes `PAUSE` seconds for an answer, in which an implementation may finish what it does behind an
operation, as it may during any real model's; the model's own time is taken off. *Session time* is what is spent inside the
session's methods.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter, process_time
from typing import Any

from agents import Agent, RunConfig, Runner, function_tool
from agents.memory.session import Session, SessionABC
from agents.testing import ScriptedModel, assistant_message, function_call
from cases import Case, Make, expect
from contest import contest, prepare
from figures import Cell
from items import PLAIN
from matrix import connected, places
from meter import PAUSE, Meter
from rig import Rig
from scope import Scope

QUESTION, ANSWER = "Where are my orders?", "All of them are shipped."


@function_tool
def look_up(order: str) -> str:
    """Look an order up."""
    return f"order {order}: shipped"


def script(tools: int) -> list[Any]:
    """Return what a model says that calls a tool so many times, one call after the other, and then answers."""
    calls = [[function_call("look_up", {"order": f"{number}"}, call_id=f"call-{number}")] for number in range(tools)]
    return [*calls, [assistant_message(ANSWER)]]


class Clock:
    """Adds up the time that is spent inside, and the CPU's."""

    def __init__(self) -> None:
        self.seconds = self.cpu = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Add the time of the block."""
        cpu, begun = process_time(), perf_counter()
        try:
            yield
        finally:
            self.seconds += perf_counter() - begun
            self.cpu += process_time() - cpu


class Model(ScriptedModel):
    """A model of few words that takes a moment for them."""

    def __init__(self, tools: int) -> None:
        super().__init__(script(tools))
        self.clock = Clock()
        self.first: Any = None

    async def get_response(self, system_instructions: str | None, input: Any, *rest: Any, **more: Any) -> Any:  # noqa: A002
        """Return the next answer."""
        with self.clock.running():
            self.first = self.first or list(input)
            await asyncio.sleep(PAUSE)
            # the script does not depend on what is asked, of which it would keep two copies
            return await super().get_response(system_instructions, [], *rest, **more)


class Watched(SessionABC):
    """A session whose time is taken, and nothing else changed. The meter runs only inside: what ends outside is behind."""

    def __init__(self, session: Session, meter: Meter) -> None:
        self.session_id = session.session_id
        self.session_settings = session.session_settings
        self.clock = Clock()
        self.added: list[Any] = []
        self._session = session
        self._meter = meter

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """Return the newest items."""
        items: list[Any] = await self._watch(self._session.get_items(limit))
        return items

    async def add_items(self, items: list[Any]) -> None:
        """Append items."""
        await self._watch(self._session.add_items(items))
        self.added += items

    async def pop_item(self) -> Any:
        """Take the newest item back."""
        return await self._watch(self._session.pop_item())

    async def clear_session(self) -> None:
        """Take all items back."""
        await self._watch(self._session.clear_session())

    async def _watch(self, work: Awaitable[Any]) -> Any:
        self._meter.running = True
        try:
            with self.clock.running():
                return await work
        finally:
            self._meter.running = False


def turns(tools: int) -> Case:
    """Return the case of a run in which the model calls a tool so many times, one after the other."""
    operation = "run, 1 tool" if tools == 1 else f"run, {tools} tools"

    async def run(session: Session, history: Sequence[Any], _: Make, meter: Meter) -> None:
        model, watched = Model(tools), Watched(session, meter)
        agent = Agent(name="desk", model=model, tools=[look_up])
        config = RunConfig(tracing_disabled=True)
        work = Runner.run(agent, QUESTION, session=watched, run_config=config, max_turns=tools + 2)
        result = await meter.timed(operation, work)
        whole = meter.taken.pop()[1]
        own = whole._replace(seconds=whole.seconds - model.clock.seconds, cpu=whole.cpu - model.clock.cpu)
        inside = whole._replace(seconds=watched.clock.seconds, cpu=watched.clock.cpu)
        meter.taken += [(operation, own), (f"{operation}, session time", inside)]
        expect(ANSWER, result.final_output)
        expect([*history, {"content": QUESTION, "role": "user"}], model.first)
        expect(2 + 2 * tools, len(watched.added))
        expect([*history, *watched.added], await session.get_items())
        for item in reversed(watched.added):
            expect(item, await session.pop_item())

    return Case(run, (operation, f"{operation}, session time"), known=True, asks=False)


async def measure(rig: Rig, scope: Scope) -> AsyncIterator[Cell]:
    """Yield the cells of part "runs"."""
    cases = [turns(tools) for tools in scope.tools]
    for store in scope.stores:
        async with connected(rig.address, store) as subjects:
            chosen = {name: one for name, one in subjects.items() if name != "again"}
            for size, state in (place for place in places(scope) if place[0] <= scope.run_most):
                place = await prepare(chosen, PLAIN, size, state)
                for cell in await contest({"part": "runs", "store": store}, cases, place, scope.runs):
                    yield cell
