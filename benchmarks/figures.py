"""From samples to a cell of the results: medians and quantiles, and ratios that are paired by round."""

import math
from bisect import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from items import PLAIN
from meter import Sample

Cell = dict[str, Any]  # one operation at one size on one store, for every subject
Rounds = Mapping[int, Sample]  # by the round's number


@dataclass(slots=True)
class Taken:
    """What one operation took, by subject."""

    samples: dict[str, dict[int, Sample]] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)  # as "type: message", one for each time


def outside(count: int) -> int:
    """Return how many of *count* sorted values lie on either side of the 95 % interval of their median (order statistics)."""
    below = [sum(math.comb(count, k) for k in range(below + 1)) / 2**count for below in range(count)]
    return max(0, bisect(below, 0.025) - 1)  # fewer than six values have no such interval: all of them is what there is


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of *ordered* values that is not below *share* of them."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def ratio(values: Sequence[float]) -> dict[str, float]:
    """Return the median of *values*, one of each round, with its 95 % interval: their whole range where rounds are few."""
    ordered = sorted(values)
    skip = outside(len(ordered))
    return {"ratio": median(ordered), "low": ordered[skip], "high": ordered[-1 - skip]}


def spread(values: Sequence[float]) -> list[float]:
    """Return the 95 % interval of the median of *values*."""
    found = ratio(values)
    return [found["low"], found["high"]]


def times(seconds: Sequence[float]) -> dict[str, Any]:
    """Return the quantiles of *seconds* in ms, and the 95 % interval of the median."""
    ordered = sorted(value * 1e3 for value in seconds)
    tails = {"p95_ms": quantile(ordered, 0.95), "p99_ms": quantile(ordered, 0.99)}
    return {"p50_ms": median(ordered), **tails, "spread_ms": spread(ordered)}


def metrics(samples: Sequence[Sample], *, wired: bool) -> dict[str, Any]:
    """Return what *samples* come to; without a wire there is nothing to count on it."""
    columns = dict(zip(Sample._fields, zip(*samples, strict=True), strict=True))
    found = {**times(columns.pop("seconds")), "cpu_ms": median(columns.pop("cpu")) * 1e3}
    return {**found, **{name: fmean(values) for name, values in columns.items()}} if wired else found


def paired(base: Rounds, other: Rounds) -> list[float]:
    """Return the ratios of *base*'s time to *other*'s, of the rounds that both have."""
    return [base[number].seconds / other[number].seconds for number in base.keys() & other.keys()]


def cell(
    part: str, store: str, operation: str, n: int, *,
    rounds: int, subjects: Mapping[str, Any], ratios: Mapping[str, Sequence[float]], items: str = PLAIN.name, state: str = "",
) -> Cell:  # fmt: skip
    """Return a cell. *ratios* are those of each round; where there are none they are left out."""
    return {
        "part": part, "store": store, "operation": operation, "n": n, "items": items, **({"state": state} if state else {}),
        "rounds": rounds, "subjects": subjects, "ratios": {name: ratio(values) for name, values in ratios.items() if values},
    }  # fmt: skip


def timed(where: Mapping[str, Any], operation: str, taken: Taken, *, base: str = "DaprSession", wired: bool = True) -> Cell:
    """Return the cell of what was timed; *where* names part, store, n, items and state. Ratios are of *base*'s time."""
    subjects: dict[str, Any] = {}
    for name in dict.fromkeys([*taken.samples, *taken.failed]):
        failed, samples = taken.failed.get(name, []), taken.samples.get(name, {})
        if not samples:
            subjects[name] = {"failed": failed[0], "times": len(failed)}
            continue
        subjects[name] = metrics(list(samples.values()), wired=wired)
        if failed:
            subjects[name]["errors"] = dict(Counter(text.partition(":")[0] for text in failed))
    ratios = {name: paired(taken.samples.get(base, {}), samples) for name, samples in taken.samples.items() if name != base}
    rounds = max((len(samples) for samples in taken.samples.values()), default=0)
    return cell(operation=operation, **where, rounds=rounds, subjects=subjects, ratios=ratios)
