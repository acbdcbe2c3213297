"""What a cell of the results says: one operation at one size on one store, for every subject that was measured on it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Cell = Mapping[str, Any]
OURS = ("eventlog", "eventlog embedded")
BASES = ("DaprSession", "SQLiteSession")
"""What ours is measured against: through the sidecar, and without one."""


def ours(cell: Cell) -> str:
    """Return the name of our subject in *cell*, "" where it was not measured."""
    return next((name for name in OURS if name in cell["subjects"]), "")


def base(cell: Cell) -> str:
    """Return the name of the subject that ours is measured against, "" where there is none."""
    return next((name for name in BASES if name in cell["subjects"]), "")


def metric(cell: Cell, subject: str, name: str) -> Any:
    """Return what was measured of *subject*, None if it was not."""
    return cell["subjects"].get(subject, {}).get(name)


def failure(cell: Cell, subject: str) -> str:
    """Return how *subject* failed, "" if it did not."""
    return str(metric(cell, subject, "failed") or "")


def ratio(cell: Cell, other: str = "") -> float | None:
    """Return how many times as fast as the base *other* is (ours by default), None if that was not measured."""
    found = cell.get("ratios", {}).get(other or ours(cell))
    return None if found is None else float(found["ratio"])


def verdict(cell: Cell, other: str = "") -> str:
    """Return "faster" or "slower" where the interval of the ratio excludes 1, "undecided" where not, "" without a ratio."""
    found = cell.get("ratios", {}).get(other or ours(cell))
    if found is None:
        return ""
    return "faster" if found["low"] > 1 else "slower" if found["high"] < 1 else "undecided"


def multiple(cell: Cell) -> float | None:
    """Return our time as a multiple of the floor's."""
    mine, least = metric(cell, ours(cell), "p50_ms"), metric(cell, "floor", "p50_ms")
    return mine / least if mine and least else None


def share(cell: Cell) -> float | None:
    """
    Return which share of the ceiling was reached: of how many times as fast the floor is, how many times ours is.

    Where DaprSession fails there are no ratios to it, and the floor's time by ours says the same.
    """
    reached, ceiling = ratio(cell), ratio(cell, "floor")
    if reached is not None and ceiling is not None:
        return reached / ceiling
    times = multiple(cell)
    return 1 / times if times else None


def length(cell: Cell) -> str:
    """Return a cell's n, with the state that the history is in where it has one."""
    return f"{cell['n']:,}" + (f" ({cell['state']})" if cell.get("state") else "")


def rows(lines: Iterable[Sequence[str]]) -> str:
    """Return *lines* as those of a table in Markdown."""
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def where(cell: Cell) -> str:
    """Return which cell it is, in words."""
    items = f", items of {cell['items']}" if cell["part"] == "items" else ""
    return f"{cell['part']}, {cell['store']}: {cell['operation']}, n={length(cell)}{items}"
