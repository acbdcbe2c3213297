"""
The method: implementations take turns, operation by operation, in an order that alternates from round to round.

So whatever else the machine does meets all of them alike, and a round's times can be compared with each other.
"""

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from agents.memory.session import Session
from cases import Case, WrongAnswer, expect
from figures import Cell, Taken, timed
from items import Shape
from scope import Budget
from subjects import Subject


@dataclass(slots=True)
class Place:
    """Subjects that each hold the same history. A *state* is "new" (a new session for each round), "emptied" or ""."""

    subjects: Mapping[str, Subject]
    shape: Shape
    history: Sequence[Any]
    state: str = ""
    session_id: str = field(default_factory=lambda: uuid4().hex)
    failed: dict[str, str] = field(default_factory=dict)
    """How a subject failed that has to be left alone since."""

    def id_of(self, name: str) -> str:
        """Return the id under which a subject has the history; a new one each time where it is to be new."""
        return uuid4().hex if self.state == "new" else f"{self.session_id}-{name}"


def describe(error: Exception, when: str = "") -> str:
    """Return an error's type and the beginning of what it says."""
    told = getattr(error, "details", None)
    code = getattr(error, "code", None)
    text = f"{getattr(code() if callable(code) else code, 'name', '')} {told() if callable(told) else error}".strip()
    return f"{type(error).__name__}: {when}{text[:120]}"


async def prepare(subjects: Mapping[str, Subject], shape: Shape, size: int, state: str = "") -> Place:
    """Give every subject a history of *size* items. One that can't hold it has failed."""
    place = Place(subjects, shape, shape.history(size), state)
    for name, subject in subjects.items() if state != "new" else ():
        try:
            if state == "emptied":
                await subject.empty(place.id_of(name), shape.history(10))
            else:
                await subject.seed(place.id_of(name), place.history)
        except Exception as error:  # noqa: BLE001 how it fails is a result
            place.failed[name] = describe(error, "while the history is written: ")
    gc.collect()
    gc.freeze()  # modules and the history: a collection while measuring meets sessions only
    return place


async def alternate(case: Case, place: Place, budget: Budget) -> dict[str, Taken]:
    """Measure one case; return what was taken, by operation."""
    found = {operation: Taken() for operation in case.operations}
    for name, text in place.failed.items():
        for operation in case.operations:
            found[operation].failed[name] = [text]
    known: dict[str, Session] = {}
    if case.known and place.state != "new":
        for name in place.subjects.keys() - place.failed.keys():
            known[name] = await place.subjects[name].open(place.id_of(name), cached=True)
            expect(place.history, await known[name].get_items())
    order = list(place.subjects)
    for number in budget.rounds(before=1):
        order.reverse()
        for name in order:
            if name not in place.failed:
                await _turn(case, place, name, number, known.get(name), found)
    for name in place.subjects.keys() - place.failed.keys():
        await _check(place, name)
    return found


async def _turn(case: Case, place: Place, name: str, number: int, known: Session | None, found: Mapping[str, Taken]) -> None:
    """Let one subject do a case once. The first round warms up and counts only if it fails."""
    subject = place.subjects[name]
    session = known or await subject.open(place.id_of(name), cached=case.known)
    subject.meter.taken.clear()
    try:
        if case.known and case.asks and known is None:
            expect(place.history, await session.get_items())
        gc.collect()
        await case.run(session, place.history, place.shape.make, subject.meter)
        if place.state == "new":
            expect(place.history, await session.get_items())
    except WrongAnswer:
        raise
    except Exception as error:  # noqa: BLE001 how it fails is a result
        place.failed[name] = describe(error)
        found[subject.meter.operation].failed.setdefault(name, []).append(place.failed[name])
    for operation, sample in subject.meter.taken if number else ():
        found[operation].samples.setdefault(name, {})[number] = sample
    if known is None:
        await subject.release(session)


async def _check(place: Place, name: str) -> None:
    """Raise WrongAnswer unless a subject still has the history."""
    subject = place.subjects[name]
    session = await subject.open(place.id_of(name), cached=False)
    expect(place.history, await session.get_items())
    await subject.release(session)


async def contest(
    where: Mapping[str, Any], cases: Sequence[Case], place: Place, budget: Budget, *, base: str = "DaprSession"
) -> list[Cell]:
    """Measure *cases* one after the other at one place; *where* names part and store of the cells."""
    where = {**where, "n": len(place.history), "items": place.shape.name, "state": place.state}
    wired = any(subject.meter.wired for subject in place.subjects.values())
    cells = []
    for case in cases:
        for operation, taken in (await alternate(case, place, budget)).items():
            cells.append(timed(where, operation, taken, base=base, wired=wired))
    return cells
