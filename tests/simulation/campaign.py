"""Many schedules at once, and what they came to."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context

from .schedule import PROFILES, Result, run

CHUNK = 25
FAULTS_A_LINE = 4


@dataclass(slots=True)
class Summary:
    """Sums over schedules, by profile, and those that went wrong."""

    schedules: Counter[str] = field(default_factory=Counter)
    counts: dict[str, Counter[str]] = field(default_factory=lambda: {profile: Counter() for profile in PROFILES})
    faults: Counter[str] = field(default_factory=Counter)
    wrong: list[Result] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Count *result* in."""
        self.schedules[result.profile] += 1
        self.counts[result.profile].update(result.counts)
        self.faults.update(result.faults)
        if result.wrong:
            self.wrong.append(result)

    def __str__(self) -> str:
        rows = self._table(_COLUMNS)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        faults = [f"{number} x {fault}" for fault, number in self.faults.most_common()]
        lines = [", ".join(faults[start : start + FAULTS_A_LINE]) for start in range(0, len(faults), FAULTS_A_LINE)]
        return "\n".join([*table, "faults:", *(f"  {line}" for line in lines), self._verdict])

    def markdown(self) -> str:
        """Return the sums as the README shows them."""
        head, *rows = self._table([column for column in _COLUMNS if column[0] in _SHOWN])
        lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
        faults = ", ".join(f"{number:,} x {fault}" for fault, number in self.faults.most_common())
        return "".join(f"| {' | '.join(line)} |\n" for line in lines) + f"\nFaults injected: {faults}. **{self._verdict}.**"

    def _table(self, columns: Sequence[tuple[str, Sequence[str]]]) -> list[Sequence[str]]:
        rows: list[Sequence[str]] = [("profile", *(name for name, _ in columns))]
        total: Counter[str] = Counter()
        for profile in PROFILES:
            if self.schedules[profile]:
                counts = self.counts[profile] + Counter({"schedules": self.schedules[profile]})
                rows.append((profile, *(_cell(counts, parts) for _, parts in columns)))
                total.update(counts)
        return [*rows, ("all", *(_cell(total, parts) for _, parts in columns))]

    @property
    def _verdict(self) -> str:
        return f"violations: {len(self.wrong)}" if self.wrong else "lost 0, duplicated 0, misread 0"


_COLUMNS: Sequence[tuple[str, Sequence[str]]] = (
    ("schedules", ("schedules",)),
    ("reads", ("reads",)),
    ("changes", ("acknowledged", "nothing to do", "not written", "unknown", "cancelled", "never heard of")),
    ("acknowledged", ("acknowledged",)),
    ("nothing to do", ("nothing to do",)),
    ("not written", ("not written",)),
    ("unknown", ("unknown",)),
    ("= written", ("unknown: written",)),
    ("+ absent", ("unknown: absent",)),
    ("cancelled", ("cancelled",)),
    ("= written", ("cancelled: written",)),
    ("+ absent", ("cancelled: absent",)),
    ("crashed", ("never heard of",)),
    ("= written", ("never heard of: written",)),
    ("+ absent", ("never heard of: absent",)),
    ("keys: written", ("key: written",)),
    ("repeated", ("key: repeated",)),
    ("reused", ("key: reused",)),
    ("expected: done", ("expected: acknowledged",)),
    ("refused", ("expected: not written",)),
    ("resolved: written", ("resolve: written",)),
    ("absent", ("resolve: absent",)),
    ("undone", ("undo: done",)),
    ("redone", ("redo: done",)),
    ("replaced", ("replace: done",)),
    ("too late", ("undo: lost", "redo: lost", "replace: lost")),
    ("tagged", ("tag: done", "untag: done")),
    ("restored", ("restore",)),
    ("exists", ("restore: exists",)),
    ("trimmed", ("trim: done",)),
    ("verified", ("verify",)),
    ("erased", ("erase",)),
    ("forgotten, told", ("lost and told",)),
    ("not judged: damaged", ("damage reported",)),
    ("expired", ("expired",)),
)
"""
Headings and what they add up. What was forgotten by the store, and its process told, is counted as what it was as well. Not
judged are schedules that a failover left without values that a head names, which is said, and those whose session expired.
"""
_SHOWN = (
    "schedules",
    "reads",
    "changes",
    "acknowledged",
    "not written",
    "unknown",
    "cancelled",
    "crashed",
    "repeated",
    "undone",
    "replaced",
    "too late",
    "restored",
    "trimmed",
    "erased",
    "forgotten, told",
)
"""Headings that the README has room for."""


def campaign(profiles: Sequence[str], seeds: Iterable[int]) -> Summary:
    """Run every profile with every seed, on all cores."""
    summary = Summary()
    jobs = _chunks((profile, seed) for seed in seeds for profile in profiles)
    # spawn, not fork: whoever calls this has threads and event loops of its own
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        for results in pool.imap_unordered(_run_all, jobs):
            for result in results:
                summary.add(result)
    return summary


def report(result: Result) -> str:
    """Return all that is needed to see what went wrong, and to see it again."""
    again = f"PYTHONPATH=tests python -m simulation --profile {result.profile} --seed {result.seed}"
    return "\n".join([f"{result.profile}, seed {result.seed}: {result.wrong}", *result.trace, f"again: {again}"])


def _run_all(jobs: Sequence[tuple[str, int]]) -> list[Result]:
    return [run(profile, seed) for profile, seed in jobs]


def _chunks(jobs: Iterable[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    jobs = iter(jobs)
    while chunk := list(islice(jobs, CHUNK)):
        yield chunk


def _cell(counts: Counter[str], parts: Sequence[str]) -> str:
    return f"{sum(counts[part] for part in parts):,}"
