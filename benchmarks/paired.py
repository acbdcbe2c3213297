"""Ratios of what two subjects did in the same rounds, and lines of progress."""

import sys
from collections.abc import Sequence
from statistics import median
from typing import Any

from figures import outside


def ratio(values: Sequence[float]) -> dict[str, float]:
    """Return the median of *values*, one of each round, with its 95 % interval: their whole range where rounds are few."""
    ordered = sorted(values)
    skip = outside(len(ordered))
    return {"ratio": median(ordered), "low": ordered[skip], "high": ordered[-1 - skip]}


def spread(values: Sequence[float]) -> list[float]:
    """Return the 95 % interval of the median of *values*."""
    found = ratio(values)
    return [found["low"], found["high"]]


def counted(base: float, other: float) -> dict[str, float]:
    """Return the ratio of *base* to *other* where both were counted and have no spread."""
    return ratio([base / other])


def say(words: Any) -> None:
    """Print a line of progress."""
    print(words, file=sys.stderr, flush=True)
