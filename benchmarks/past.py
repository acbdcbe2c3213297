"""
Reading the past: the newest 10 items and all of them, as they were at a version or at a moment.

The log is long, and one event in twenty is a pop or a rewind. Every read is by an object that knows nothing; *now* is the same
read of the present. The points lie anywhere in the log, and for whole histories in its last tenth, where they are about as
long as the present's.
"""

import gc
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from cases import LIMIT, expect
from contest import describe
from figures import Cell, cell, metrics
from meter import Sample
from rig import Rig
from scope import STORES, Budget
from seeding import histories, items_of, seeded, steps
from subjects import Dapr, EventLog

from eventlog_session.log import EventLog as Log

EVENTS = 20_000
NEWEST, WHOLE = Budget(seconds=4, least=10, most=60), Budget(seconds=6, least=6, most=20)


@dataclass(slots=True)
class Reading:
    """One kind of read, over the rounds."""

    what: str
    when: str
    limit: int | None
    samples: list[Sample] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The operation."""
        return f"{self.what} {self.when}, cold"


async def measure(rig: Rig, store: str) -> AsyncIterator[Cell]:
    """Yield a cell for each kind of read; ratios are of the time that the same read of the present takes."""
    session_id = f"past-{EVENTS}"
    await seeded(rig, STORES, session_id, EVENTS, undone=True)
    right = histories(steps(EVENTS, undone=True))
    subject = await EventLog.connected(rig.address, store)
    moments = await _moments(subject, session_id, right)
    theirs = await _theirs(rig.address, store)
    for limit, budget in ((LIMIT, NEWEST), (None, WHOLE)):
        what = "get all" if limit is None else f"get {limit}"
        readings = [Reading(what, when, limit) for when in ("now", "at a version", "at a moment")]
        await _alternate(subject, session_id, right, moments, readings, budget)
        for one in readings:
            yield _cell(store, one, readings[0], theirs)
    await subject.close()


async def _moments(subject: EventLog, session_id: str, right: Sequence[Any]) -> dict[int, datetime]:
    """Return when versions were committed, of some; all of them have another time than the next."""
    log: Log = await subject.session(session_id, cached=False)._log()  # type: ignore[attr-defined]
    times = {version: committed async for version, committed, _ in log.events()}
    expect(len(right) - 1, len(times))
    last = {committed: version for version, committed in times.items()}
    return {
        version: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=committed) for committed, version in last.items()
    }


async def _alternate(
    subject: EventLog,
    session_id: str,
    right: Sequence[Any],
    moments: dict[int, datetime],
    readings: Sequence[Reading],
    budget: Budget,
) -> None:
    """Read now, at a version and at its moment in turn, and check every answer."""
    chance, now = Random(len(right)), len(right) - 1
    versions = [version for version in sorted(moments) if readings[0].limit or version > 0.9 * now]
    gc.collect()
    gc.freeze()  # modules and the right answers: a collection while measuring meets sessions only
    order = list(readings)
    for number in budget.rounds(before=1):
        version = chance.choice(versions)
        order.reverse()
        for one in order:
            session: Any = subject.session(session_id, cached=False)
            point = {"now": None, "at a version": version, "at a moment": moments[version]}[one.when]
            reader = session if point is None else session.at(point)
            subject.meter.taken.clear()
            gc.collect()
            answer = await subject.meter.timed(one.name, reader.get_items(limit=one.limit))
            expect(items_of(right[now if point is None else version])[-(one.limit or 0) :], answer)
            if number:
                one.samples.append(subject.meter.taken[0][1])


async def _theirs(address: str, store: str) -> str:
    """Return how the past of a `DaprSession` can't be read."""
    subject = await Dapr.connected(address, store)
    session: Any = subject.session("warm-up", cached=False)
    try:
        await session.at(1).get_items()
    except AttributeError as error:
        return describe(error)
    finally:
        await subject.close()
    raise RuntimeError("DaprSession can read the past by now: measure it")


def _cell(store: str, one: Reading, now: Reading, theirs: str) -> Cell:
    ratios = [base.seconds / sample.seconds for base, sample in zip(now.samples, one.samples, strict=True)]
    subjects: dict[str, Any] = {"eventlog": metrics(one.samples, wired=True)}
    if one is not now:
        subjects["DaprSession"] = {"failed": theirs, "times": 1}
    rounds = len(one.samples)
    return cell("past", store, one.name, EVENTS, rounds=rounds, subjects=subjects, ratios={} if one is now else {"now": ratios})
