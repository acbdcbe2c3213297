"""
What is measured. A case takes a session and the history it holds, and knows no implementation.

It hands each operation to the meter, which awaits it with a clock around the await and nothing else, and checks the answer: a
benchmark of wrong results is worthless. It leaves the history as it was.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agents.memory.session import Session
from meter import Meter

LIMIT = 10
BURST = 5
"""Adds that follow one another without a pause."""


Make = Callable[[int], Any]  # the item at a number


@dataclass(frozen=True, slots=True)
class Case:
    """Operations that are measured one after the other on one session object."""

    run: Callable[[Session, Sequence[Any], Make, Meter], Awaitable[None]]
    operations: tuple[str, ...]
    known: bool
    """Whether the object knows the session, as it does in the midst of a run; else it is new and knows nothing."""
    asks: bool = True
    """Whether an object that is to know a new session is asked for its items first, as Runner does before it adds any."""


class WrongAnswer(Exception):
    """An implementation answered wrongly: there is nothing to be measured."""


def expect(right: Any, answer: Any) -> None:
    """Raise WrongAnswer unless *answer* is *right*."""
    if answer != right:
        raise WrongAnswer(f"{str(answer)[:200]}... where {str(right)[:200]}... was due")


async def reads(session: Session, history: Sequence[Any], _: Make, meter: Meter) -> None:
    """Read all of a session that was never read, and again, and then its end."""
    expect(history, await meter.timed("get all, cold", session.get_items()))
    expect(history, await meter.timed("get all, warm", session.get_items()))
    expect(history[-LIMIT:], await meter.timed(f"get {LIMIT}, warm", session.get_items(limit=LIMIT)))


async def end(session: Session, history: Sequence[Any], _: Make, meter: Meter) -> None:
    """Read the end of a session that was never read."""
    expect(history[-LIMIT:], await meter.timed(f"get {LIMIT}, cold", session.get_items(limit=LIMIT)))


async def spaced(session: Session, history: Sequence[Any], make: Make, meter: Meter) -> None:
    """Append one item, as after a model call, and take it back."""
    item = make(len(history))
    await meter.timed("add, spaced", session.add_items([item]))
    expect(item, await meter.timed("pop", session.pop_item()))


async def burst(session: Session, history: Sequence[Any], make: Make, meter: Meter) -> None:
    """Append items with nothing between them, each awaited before the next."""
    items = [make(len(history) + number) for number in range(BURST)]

    async def adds() -> None:
        for item in items:
            await session.add_items([item])

    await meter.timed("add, back to back", adds(), times=BURST)
    for item in reversed(items):
        expect(item, await session.pop_item())


async def cold(session: Session, history: Sequence[Any], make: Make, meter: Meter) -> None:
    """Append one item to a session of which nothing is known."""
    item = make(len(history))
    await meter.timed("add, cold", session.add_items([item]))
    expect(item, await session.pop_item())


READS = Case(reads, ("get all, cold", "get all, warm", f"get {LIMIT}, warm"), known=False)
END = Case(end, (f"get {LIMIT}, cold",), known=False)
SPACED = Case(spaced, ("add, spaced", "pop"), known=True)
BACK_TO_BACK = Case(burst, ("add, back to back",), known=True)
COLD = Case(cold, ("add, cold",), known=False)
CASES = (READS, END, SPACED, BACK_TO_BACK, COLD)
"""Reads first, so that they read a log of adds only."""
