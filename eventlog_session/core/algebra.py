"""
The algebra of histories.

Every event is ``(base, pops, adds)``: start from ``base``, drop ``pops`` items from the end, append ``adds`` items.
``base`` is None for "what came before" or an absolute version. The same three integers describe any run of consecutive
events, since such steps compose; a reader thus knows what a run contributes before it has read it.

Laws, checked by property in ``tests/test_algebra.py``:

1. ``then`` is associative, with ``Summary(None, 0, 0)`` as its unit.
2. A run's summary gives the history after the run from the history before it.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Summary(NamedTuple):
    """What one event, or a run of consecutive events, does to the history before it."""

    base: int | None
    """Absolute version to start from; None for the version before the run."""
    pops: int
    """Items dropped from the end of the base."""
    adds: int
    """Items the run leaves on top of what is left."""

    def then(self, later: "Summary") -> "Summary":
        """Return the summary of this run followed by *later*."""
        if later.base is not None:
            return later
        return Summary(
            self.base,
            self.pops + max(0, later.pops - self.adds),
            later.adds + max(0, self.adds - later.pops),
        )


UNIT = Summary(None, 0, 0)


def summarise(first: int, steps: Iterable[Summary]) -> Summary:
    """
    Return the summary of consecutive *steps*, the first of which makes version *first*.

    A base inside the run is resolved through the run's own prefix, so that a rewind within a sealed segment
    never sends a reader into it.
    """
    before = first - 1
    prefixes = [UNIT]
    for step in steps:
        if step.base is None:
            start = prefixes[-1]
        elif step.base >= before:
            start = prefixes[step.base - before]
        else:
            start = Summary(step.base, 0, 0)
        prefixes.append(start.then(Summary(None, step.pops, step.adds)))
    return prefixes[-1]
