"""
Memory of the process that reads, and how long a process's first read takes.

A fresh process for each read, with the client connected: all of 5,000 items, the newest 10 of 5,000 and of a million. On one
store: it is the client's memory.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from statistics import median
from typing import cast

from aside import told
from cases import LIMIT
from figures import Cell, cell, spread, times
from growth import how_theirs_fails, name
from items import message
from rig import Rig
from seeding import seeded
from subjects import Dapr, EventLog

from eventlog_session import EventLogSession

KINDS: Mapping[str, type[Dapr] | type[EventLog]] = {"DaprSession": Dapr, "eventlog": EventLog}
MB = 1_000_000
Read = dict[str, float]  # what a process told: seconds, and bytes before and at the peak


STORE = "redis"
SIZE = 5_000
"""Items that are written item by item."""
EVENTS = 1_000_000
"""Of a log that is made quickly, for ours only."""
PROCESSES = 3


async def measure(rig: Rig, store: str) -> AsyncIterator[Cell]:
    """Yield a cell for each read. *memory_mb* is the peak's growth over what the process had before, *total_mb* the peak."""
    if store != STORE:
        return
    subjects = {kind: await subject.connected(rig.address, store) for kind, subject in KINDS.items()}
    for kind, subject in subjects.items():
        await subject.seed(f"memory-{kind}", [message(number) for number in range(SIZE)])
    million = name(EVENTS)
    await seeded(rig, [store], million, EVENTS)
    session = cast("EventLogSession", subjects["eventlog"].session(million, cached=False))
    view = await session.read(limit=0)  # it may have been added to
    await asyncio.gather(*(subject.close() for subject in subjects.values()))

    async def read(kind: str, session_id: str, limit: int | None, size: int) -> list[Read]:
        where = {"address": rig.address, "store": store, "session_id": session_id}
        return [await told("fresh", kind=kind, **where, limit=limit, size=size) for _ in range(PROCESSES)]

    for limit in (None, LIMIT):
        found = {kind: await read(kind, f"memory-{kind}", limit, SIZE) for kind in KINDS}
        yield _cell(store, limit, SIZE, found)
    found = {"eventlog": await read("eventlog", million, LIMIT, view.version)}
    longest = _cell(store, LIMIT, EVENTS, found)
    longest["subjects"]["DaprSession"] = {"failed": await how_theirs_fails(rig.address, store, EVENTS), "times": 1}
    yield longest


def _cell(store: str, limit: int | None, size: int, found: Mapping[str, Sequence[Read]]) -> Cell:
    subjects = {}
    grown = {kind: [one["peak"] - one["before"] for one in reads] for kind, reads in found.items()}
    for kind, reads in found.items():
        subjects[kind] = {
            "memory_mb": median(grown[kind]) / MB,
            "spread_memory_mb": [value / MB for value in spread(grown[kind])],
            "total_mb": median(one["peak"] for one in reads) / MB,
            "before_mb": median(one["before"] for one in reads) / MB,
            **times([one["seconds"] for one in reads]),
        }
    operation = "get all, fresh process" if limit is None else f"get {limit}, fresh process"
    medians = {kind: median(values) for kind, values in grown.items()}
    ratios = {"eventlog": [medians["DaprSession"] / medians["eventlog"]]} if len(found) > 1 else {}
    rounds = max(map(len, found.values()))
    return cell("memory", store, operation, size, rounds=rounds, subjects=subjects, ratios=ratios)
