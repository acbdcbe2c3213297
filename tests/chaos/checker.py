"""
What the writers were told against what the log holds, item by item, version by version.

Every change has a version, and versions are one order, so linearizability needs no search: a change must come after all that
ended before it began, and a read must see exactly what the changes up to its version make.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf

import orjson

from eventlog_session.core.events import ADDED, CLEARED, POPPED, Event
from eventlog_session.log import EventLog

from .items import digest, name_of
from .record import ACKNOWLEDGED, BROKE, NOT_WRITTEN, RAISED, UNKNOWN, Operation

EVERY = 2_000
"""Versions that are read again, at most; of longer logs those that were read before and an even choice of the rest."""

COUNTS = ("operations", "acknowledged", "not_written", "unknown", "unknown_written", "reads", "versions", "read_again")
VIOLATIONS = ("lost", "doubled", "phantoms", "misread", "disordered", "broke")


@dataclass(slots=True)
class Verdict:
    """What was counted. Everything from *lost* on must be zero, or empty."""

    subject: str
    operations: int = 0
    acknowledged: int = 0
    not_written: int = 0
    unknown: int = 0
    unknown_written: int = 0
    """Unknown or killed under way, and in the log."""
    reads: int = 0
    versions: int = 0
    read_again: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    """Acknowledged, and not there."""
    doubled: int = 0
    """There more often than once."""
    phantoms: int = 0
    """Raised as not written, and there. A `DaprSession` raises without saying either."""
    misread: int = 0
    """Reads that saw anything but what the changes up to their version make."""
    disordered: int = 0
    """Saw or made a version that time forbids."""
    broke: int = 0
    """Errors that no fault explains."""
    findings: list[str] = field(default_factory=list)
    """The first of each, in words."""

    @property
    def sound(self) -> bool:
        """Whether everything promised was kept."""
        return not any(getattr(self, name) for name in VIOLATIONS)

    def find(self, fault: str, words: str, times: int = 1) -> None:
        """Count a violation."""
        if times:
            setattr(self, fault, getattr(self, fault) + times)
            if len(self.findings) < 20:
                self.findings.append(f"{fault}: {words}")

    def include(self, other: Verdict) -> None:
        """Add another session's counts."""
        for name in (*COUNTS, *VIOLATIONS):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.errors.update(other.errors)
        self.findings = (self.findings + other.findings)[:20]

    def tally(self, operations: Iterable[Operation]) -> None:
        """Count outcomes."""
        for one in operations:
            if one.kind == "read":
                self.reads += 1
            else:
                self.operations += 1
                self.acknowledged += one.outcome == ACKNOWLEDGED
                self.not_written += one.outcome in (NOT_WRITTEN, RAISED)
                self.unknown += one.outcome == UNKNOWN
            if one.error:
                self.errors[one.error.partition(":")[0] + (" of a read" if one.kind == "read" else "")] += 1
            if one.outcome == BROKE:
                self.find("broke", f"{one.kind} of {one.writer}: {one.error}")


class _Log:
    """A log as it stands at the end: who added what, what each pop took, what each version reads as."""

    def __init__(self, events: Sequence[Event], verdict: Verdict) -> None:
        self.histories: list[list[str]] = [[]]
        self.added: dict[str, int] = {}
        self.batches: list[list[str]] = [[]]
        self.popped: dict[str, int] = {}
        self.kinds = ["", *(event.kind for event in events)]
        self.ids = {event.id: version for version, event in enumerate(events, 1)}
        self.empty: list[int] = [0]
        verdict.find("doubled", "one event id at two versions", len(events) - len(self.ids))
        for version, event in enumerate(events, 1):
            names = [name_of(one) for one in orjson.loads(event.items)]
            verdict.find("misread", f"version {version} holds items that nobody wrote", names.count("(damaged)"))
            history = self.histories[-1]
            if event.kind == ADDED:
                history = [*history, *names]
                again = [name for name in names if name in self.added]
                verdict.find("doubled", f"{again} in versions {[self.added[n] for n in again]} and {version}", len(again))
                self.added.update(dict.fromkeys(names, version))
            elif event.kind == POPPED:
                if history:
                    self.popped[history[-1]] = version
                else:
                    verdict.find("misread", f"version {version} pops from nothing")
                history = history[:-1]
            else:
                assert event.kind == CLEARED, event.kind
                history = []
            self.batches.append(names)
            self.histories.append(history)
            if not history:
                self.empty.append(version)


async def check_log(log: EventLog, operations: Sequence[Operation], killed: set[str]) -> Verdict:
    """Return the verdict on one session, read afresh with all faults off."""
    verdict = Verdict("eventlog")
    verdict.tally(operations)
    events: list[Event] = []
    async for version, _, event in log.events():
        verdict.find("misread", f"version {version} follows {len(events)}", int(version != len(events) + 1))
        events.append(event)
    verdict.versions = len(events)
    found = _Log(events, verdict)
    _changes(found, operations, killed, verdict)
    _order(found, operations, verdict)
    await _again(found, operations, log, verdict)
    return verdict


def _changes(log: _Log, operations: Sequence[Operation], killed: set[str], verdict: Verdict) -> None:
    """Each change against what its caller was told; sets the version of those whose answer did not say it."""
    claimed: set[int] = set()
    told: set[int] = set()  # pops and clears named by an unknown outcome
    for one in operations:
        if one.kind == "add":
            _added(log, one, verdict)
        elif one.outcome == ACKNOWLEDGED and one.kind in ("pop", "clear"):
            if one.kind == "pop" and one.version is None and one.popped is not None:  # an `EventLogSession` tells the item only
                one.version = log.popped.get(one.popped)
                verdict.find("lost", f"{one.writer} popped {one.popped}, and no event did", int(one.version is None))
            if one.version is None:
                continue  # there was nothing to do
            _took(log, one, verdict)
            verdict.find("doubled", f"version {one.version} was acknowledged to two", int(one.version in claimed))
            claimed.add(one.version)
        elif one.outcome == UNKNOWN and one.kind in ("pop", "clear"):
            kind = POPPED if one.kind == "pop" else CLEARED
            versions = [v for v in map(log.ids.get, one.event_ids) if v is not None and log.kinds[v] == kind]
            verdict.unknown_written += bool(versions)
            told.update(versions)
    changes = {version for version, kind in enumerate(log.kinds) if kind in (POPPED, CLEARED)}
    cut_short = sum(1 for one in operations if one.end is None and one.writer in killed and one.kind in ("pop", "clear"))
    stray = sorted(changes - claimed - told)
    verdict.find("phantoms", f"pops or clears at {stray[:5]} that nobody was told of", max(0, len(stray) - cut_short))
    verdict.unknown_written += min(len(stray), cut_short)


def _added(log: _Log, one: Operation, verdict: Verdict) -> None:
    there = [name for name in one.names if name in log.added]
    version = log.added[there[0]] if there else None
    if one.outcome == ACKNOWLEDGED:
        missing = len(one.names) - len(there)
        verdict.find("lost", f"{one.writer} added {one.names}, of which {there} are there", missing)
    elif one.outcome in (NOT_WRITTEN, BROKE):
        verdict.find("phantoms", f"{one.writer} was told that {one.names} were not written ({one.error})", len(there))
    else:
        verdict.unknown_written += bool(there)
        if one.end is not None and bool(there) != any(event_id in log.ids for event_id in one.event_ids):
            verdict.find("phantoms", f"{one.writer} was told of events {one.event_ids} and they don't tell of {one.names}")
    if version is not None:
        if log.batches[version] != one.names:
            verdict.find("misread", f"{one.names} are not one event: {log.batches[version]} at {version}")
        if one.version is not None and one.version != version:
            verdict.find("misread", f"{one.names} were acknowledged at {one.version} and stand at {version}")
        one.version = version


def _took(log: _Log, one: Operation, verdict: Verdict) -> None:
    """An acknowledged pop or clear stands at its version, and a pop took what stood last before it."""
    version = one.version
    assert version is not None
    if version >= len(log.kinds) or log.kinds[version] != (POPPED if one.kind == "pop" else CLEARED):
        verdict.find("lost", f"the {one.kind} of {one.writer} is not at version {version}")
    elif one.kind == "pop" and log.histories[version - 1][-1:] != [one.popped]:
        verdict.find("misread", f"the pop at {version} gave {one.popped}, not {log.histories[version - 1][-1:]}")


def _order(log: _Log, operations: Sequence[Operation], verdict: Verdict) -> None:
    """Each change and read against what ended before it began, and against what had begun before it ended."""
    began = dict.fromkeys(range(len(log.kinds)), -inf)  # the calls that made the versions: nobody can have seen them earlier
    for one in operations:
        if one.kind != "read" and one.version is not None:
            began[one.version] = one.begin
    alike = _alike(log.histories)
    ended: list[tuple[float, int]] = []
    certain = 0  # a version that stood before this call began
    for one in sorted(operations, key=lambda one: one.begin):
        while ended and ended[0][0] < one.begin:
            certain = max(certain, heappop(ended)[1])
        candidates = _candidates(one, log, alike)
        if candidates is None:
            continue
        changed = one.kind != "read" and one.version is not None
        acknowledged = one.outcome == ACKNOWLEDGED and one.end is not None
        end = one.end if acknowledged and one.end is not None else inf
        later = candidates[bisect_left(candidates, certain + changed) :]
        if not any(began.get(version, -inf) <= end for version in later):
            fault = "disordered" if candidates else "misread"
            verdict.find(
                fault, f"the {one.kind} {one.number} of {one.writer}: {candidates[-3:]}, begun after {certain} was seen"
            )
        if acknowledged and one.version is not None:
            heappush(ended, (end, one.version))


def _alike(histories: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    """Return the versions that read the same, by what a record says of them."""
    found: dict[str, list[int]] = defaultdict(list)
    for version, history in enumerate(histories):
        for need in (None, 10):
            found[f"{need} {digest(history[-need:] if need else history)}"].append(version)
    return found


def _candidates(one: Operation, log: _Log, alike: dict[str, list[int]]) -> list[int] | None:
    """Return the versions that a call can have made or seen, in order; None if it says nothing of the present."""
    if one.at is not None:
        return None
    if one.version is not None:
        return [one.version]
    if one.outcome != ACKNOWLEDGED or one.kind == "add" or one.popped is not None:  # the latter two: lost, and counted as that
        return None
    return alike.get(f"{one.need} {one.read}", []) if one.kind == "read" else log.empty


async def _again(log: _Log, operations: Sequence[Operation], fresh: EventLog, verdict: Verdict) -> None:
    """What was read at a version reads the same now, and every version reads as its events make it."""
    wanted = set()
    for one in operations:
        if one.kind == "read" and one.outcome == ACKNOWLEDGED and one.version is not None:
            wanted.add(one.version)
            if one.version >= len(log.histories):
                verdict.find("misread", f"{one.writer} read version {one.version}, which is not there any more")
                continue
            history = log.histories[one.version]
            if one.read != digest(history if one.need is None else history[-one.need :]):
                verdict.find("misread", f"{one.writer} read version {one.version} otherwise (need {one.need}, at {one.at})")
    last = len(log.histories) - 1
    step = max(1, (last + 1) // EVERY)
    for version in sorted({version for version in wanted if version <= last} | set(range(0, last + 1, step)) | {last}):
        view = await fresh.read(at=version)
        verdict.read_again += 1
        if [name_of(one) for one in view.items] != log.histories[version]:
            verdict.find("misread", f"version {version} now reads otherwise than its events make it")


def check_dapr(final: Sequence[object], operations: Sequence[Operation]) -> Verdict:
    """Return the same counts for a `DaprSession`, which has no log: from its final items and what was popped."""
    verdict = Verdict("DaprSession")
    for one in operations:
        one.outcome = RAISED if one.outcome in (BROKE, NOT_WRITTEN) or one.end is None else one.outcome
    verdict.tally(operations)
    there = Counter(name_of(one) for one in final)
    there.update(one.popped for one in operations if one.kind == "pop" and one.popped is not None)
    raised_pops = sum(1 for one in operations if one.kind == "pop" and one.outcome == RAISED)
    added = {name: one.outcome for one in operations if one.kind == "add" for name in one.names}
    missing = [name for name, outcome in added.items() if outcome == ACKNOWLEDGED and name not in there]
    verdict.find("lost", f"{missing[:5]}", max(0, len(missing) - raised_pops))  # each of those may have taken one
    verdict.find("doubled", f"{[n for n, c in there.items() if c > 1][:5]}", sum(count - 1 for count in there.values()))
    phantoms = [name for name, outcome in added.items() if outcome == RAISED and name in there]
    verdict.find("phantoms", f"raised, and there: {phantoms[:5]}", len(phantoms))
    return verdict
