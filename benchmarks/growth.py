"""
Does it matter how long a log is? Adds, and reads of the newest 10 items, on logs of 10 to a million events, in turn.

The ratio *n=10* is the time on the shortest log by the time on this one, paired by round. A short log would grow while it is
added to, so it is replaced every few rounds.
"""

import gc
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from cases import LIMIT, expect
from contest import describe
from figures import Cell, cell, metrics
from items import message
from meter import Sample
from rig import Rig
from scope import STORES, Budget
from seeding import seeded
from subjects import Dapr, EventLog

from eventlog_session.core.keys import Keys

ADD, GET = "add, spaced", f"get {LIMIT}, cold"


SIZES = (10, 100_000, 1_000_000)
"""The first is what the others are compared with."""
RENEW = 10
"""Rounds after which the shortest log is replaced."""
BUDGET = Budget(seconds=8, least=40, most=150)


def name(events: int) -> str:
    """Return the id of the session that has a log of so many events."""
    return f"growth-{events}"


@dataclass(slots=True)
class Log:
    """One length of log and what was measured on it."""

    size: int
    session_id: str = ""
    session: Any = None
    added: int = 0
    taken: dict[str, list[Sample]] = field(default_factory=lambda: {ADD: [], GET: []})


async def measure(rig: Rig, store: str) -> AsyncIterator[Cell]:
    """Yield a cell for each operation and length, with the head's stored bytes at each."""
    for size in SIZES[1:]:
        await seeded(rig, STORES, name(size), size)
    subject = await EventLog.connected(rig.address, store)
    logs = [Log(size) for size in SIZES]
    for log in logs[1:]:
        await _open(subject, log, name(log.size))
    heads = {log.size: await _head_bytes(log.session) for log in logs[1:]}
    gc.collect()
    gc.freeze()  # the modules: a collection while measuring meets sessions only
    for number in BUDGET.rounds():
        if number % RENEW == 0:
            await _renew(subject, logs[0])
            heads.setdefault(logs[0].size, await _head_bytes(logs[0].session))
        for log in logs if number % 2 else logs[::-1]:
            await _round(subject, log)
    failed = await how_theirs_fails(rig.address, store, SIZES[-1])
    await subject.close()
    for operation in (ADD, GET):
        for log in logs:
            yield _cell(store, operation, log, logs[0], heads, failed)


async def _open(subject: EventLog, log: Log, session_id: str) -> None:
    """Have a session object that knows the session, as one that goes on with a conversation does."""
    log.session_id, log.added = session_id, 0
    log.session = subject.session(session_id, cached=True)
    expect([message(number) for number in range(log.size - LIMIT, log.size)], await log.session.get_items(limit=LIMIT))


async def _renew(subject: EventLog, log: Log) -> None:
    session_id = uuid4().hex
    await subject.seed(session_id, [message(number) for number in range(log.size)])
    await _open(subject, log, session_id)


async def _round(subject: EventLog, log: Log) -> None:
    number = log.size + log.added
    log.added += 1
    subject.meter.taken.clear()
    gc.collect()
    await subject.meter.timed(ADD, log.session.add_items([message(number)]))
    answer = await subject.meter.timed(GET, subject.session(log.session_id, cached=False).get_items(limit=LIMIT))
    expect([message(number) for number in range(number + 1 - LIMIT, number + 1)], answer)
    for operation, sample in subject.meter.taken:
        log.taken[operation].append(sample)


async def _head_bytes(session: Any) -> int:
    value = await session._store.get(Keys(session.session_id).head)
    return len(value.data)


async def how_theirs_fails(address: str, store: str, most: int) -> str:
    """Return how a `DaprSession` fails on its way to so many items, and at which."""
    subject = await Dapr.connected(address, store)
    session, batch, number = subject.session(uuid4().hex, cached=True), 2_000, 0
    try:
        for number in range(0, most, batch):
            await session.add_items([message(one) for one in range(number, number + batch)])
    except Exception as error:  # noqa: BLE001 how it fails is a result
        return f"at {number:,} items {describe(error)}"
    finally:
        await subject.close()
    raise RuntimeError(f"DaprSession can hold {most:,} items by now: measure it")


def _cell(store: str, operation: str, log: Log, shortest: Log, heads: Mapping[int, int], failed: str) -> Cell:
    samples = log.taken[operation]
    ratios = [one.seconds / other.seconds for one, other in zip(shortest.taken[operation], samples, strict=True)]
    subjects: dict[str, Any] = {"eventlog": {**metrics(samples, wired=True), "head_bytes": heads[log.size]}}
    if log is not shortest:  # on short ones it is measured elsewhere
        subjects["DaprSession"] = {"failed": failed, "times": 1}
    others = {} if log is shortest else {f"n={shortest.size}": ratios}
    return cell("growth", store, operation, log.size, rounds=len(samples), subjects=subjects, ratios=others)
