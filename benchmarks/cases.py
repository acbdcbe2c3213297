"""
What is measured. A case takes a session and the history it holds, and knows no implementation.

It hands each operation to *timed*, which awaits it with a clock around the await and nothing else, and checks the answer: a
benchmark of wrong results is worthless. It leaves the history as it was.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agents.memory.session import Session

LIMIT = 10
BURST = 5
"""Adds that follow one another without a pause."""


class Timed(Protocol):
    """Awaits the named operation, or work that is it *times* over, and returns its answer."""

    def __call__(self, operation: str, work: Awaitable[Any], times: int = 1) -> Awaitable[Any]: ...


Make = Callable[[int], Any]  # the item at a number


@dataclass(frozen=True, slots=True)
class Case:
    """Operations that are measured one after the other on one session object."""

    run: Callable[[Session, Sequence[Any], Make, Timed], Awaitable[None]]
    operations: tuple[str, ...]
    known: bool
    """Whether the object knows the session, as it does in the midst of a run; else it is new and knows nothing."""


class WrongAnswer(Exception):
    """An implementation answered wrongly: there is nothing to be measured."""


def expect(right: Any, answer: Any) -> None:
    """Raise WrongAnswer unless *answer* is *right*."""
    if answer != right:
        raise WrongAnswer(f"{str(answer)[:200]}... where {str(right)[:200]}... was due")


async def reads(session: Session, history: Sequence[Any], _: Make, timed: Timed) -> None:
    """Read all of a session that was never read, and again, and then its end."""
    expect(history, await timed("get all, cold", session.get_items()))
    expect(history, await timed("get all, warm", session.get_items()))
    expect(history[-LIMIT:], await timed(f"get {LIMIT}, warm", session.get_items(limit=LIMIT)))


async def end(session: Session, history: Sequence[Any], _: Make, timed: Timed) -> None:
    """Read the end of a session that was never read."""
    expect(history[-LIMIT:], await timed(f"get {LIMIT}, cold", session.get_items(limit=LIMIT)))


async def spaced(session: Session, history: Sequence[Any], make: Make, timed: Timed) -> None:
    """Append one item, as after a model call, and take it back."""
    item = make(len(history))
    await timed("add, spaced", session.add_items([item]))
    expect(item, await timed("pop", session.pop_item()))


async def burst(session: Session, history: Sequence[Any], make: Make, timed: Timed) -> None:
    """Append items with nothing between them, each awaited before the next."""
    items = [make(len(history) + number) for number in range(BURST)]

    async def adds() -> None:
        for item in items:
            await session.add_items([item])

    await timed("add, back to back", adds(), times=BURST)
    for item in reversed(items):
        expect(item, await session.pop_item())


async def cold(session: Session, history: Sequence[Any], make: Make, timed: Timed) -> None:
    """Append one item to a session of which nothing is known."""
    item = make(len(history))
    await timed("add, cold", session.add_items([item]))
    expect(item, await session.pop_item())


READS = Case(reads, ("get all, cold", "get all, warm", f"get {LIMIT}, warm"), known=False)
END = Case(end, (f"get {LIMIT}, cold",), known=False)
SPACED = Case(spaced, ("add, spaced", "pop"), known=True)
BACK_TO_BACK = Case(burst, ("add, back to back",), known=True)
COLD = Case(cold, ("add, cold",), known=False)
CASES = (READS, END, SPACED, BACK_TO_BACK, COLD)
"""Reads first, so that they read a log of adds only."""
