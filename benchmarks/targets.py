"""The targets that the project was set, and what a run says to each: met, not met, or not measured. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cells import Cell, base, failure, metric, ours, ratio, share, verdict, where
from scope import SIZES, STORES

MILLION = 1_000_000
LEAST = 0.95
"""Of DaprSession's speed: no cell anywhere may be below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was found of one target in one place."""

    target: str
    store: str
    operation: str = ""
    n: int = 0
    measured: float | None = None
    needed: float
    at_most: bool = False
    unit: str
    """"%" for a share of 1, "x" for a ratio, else what is measured in."""
    met: bool | None = None
    """None when it was not measured."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A bound on one figure of each cell that it speaks of: at least *needed*, or at most."""

    text: str
    part: str
    operations: tuple[str, ...]
    """How their names begin."""
    figure: Callable[[Cell], float | None]
    needed: float
    unit: str = "x"
    at_most: bool = False
    sizes: tuple[int, ...] = SIZES
    """Lengths of history, or numbers of writers; none for whichever were measured, from *least* on."""
    least: int = 0
    stores: tuple[str, ...] = STORES
    items: str = ""
    """Shape of the items; "" for any."""

    def rows(self, cells: Sequence[Cell]) -> Iterator[Row]:
        """Yield what *cells* say to it, and for each store and size that should have been measured and was not that."""
        for store in self.stores:
            here = [cell for cell in cells if self._speaks_of(cell) and cell["store"] == store and cell["n"] >= self.least]
            for size in self.sizes or sorted({cell["n"] for cell in here}) or (0,):
                found = [cell for cell in here if cell["n"] == size]
                row = Row(target=self.text, store=store, n=size, needed=self.needed, unit=self.unit, at_most=self.at_most)
                yield from (self._judged(cell, row) for cell in found)
                if not found:
                    yield replace(row, why="not measured")

    def _speaks_of(self, cell: Cell) -> bool:
        return (
            cell["part"] == self.part
            and cell["operation"].startswith(self.operations)
            and (not self.items or cell.get("items") == self.items)
        )

    def _judged(self, cell: Cell, row: Row) -> Row:
        row = replace(row, operation=cell["operation"] + (f" ({cell['state']})" if cell.get("state") else ""))
        if failed := failure(cell, ours(cell)):
            return replace(row, met=False, why=f"eventlog failed: {failed}")
        figure = self.figure(cell)
        if figure is not None:
            return replace(row, measured=figure, met=figure <= self.needed if self.at_most else figure >= self.needed)
        if failed := failure(cell, base(cell)):  # whoever does it is ahead of who can't
            return replace(row, met=True if ours(cell) else None, why=f"{base(cell)} failed: {failed}")
        return replace(row, why="not measured")


def _quotient(name: str, *, of_base: bool) -> Callable[[Cell], float | None]:
    """Return what divides the base's figure *name* by ours, or ours by the base's."""

    def figure(cell: Cell) -> float | None:
        mine, theirs = metric(cell, ours(cell), name), metric(cell, base(cell), name)
        if not mine or not theirs:
            return None
        return float(theirs / mine if of_base else mine / theirs)

    return figure


def _not_slower(cell: Cell) -> float | None:
    """Return the upper end of the ratio's interval: below 1 it is slower, and not by chance."""
    found = cell.get("ratios", {}).get(ours(cell))
    return None if found is None else float(found["high"])


def _in(name: str, unit: float = 1) -> Callable[[Cell], float | None]:
    def figure(cell: Cell) -> float | None:
        value = metric(cell, ours(cell), name)
        return None if value is None else float(value / unit)

    return figure


_85 = "at least 85 % of the ceiling"
TARGETS = (
    Target(text=f"add: {_85}", part="matrix", operations=("add",), figure=share, needed=0.85, unit="%"),
    Target(text=f"pop: {_85}", part="matrix", operations=("pop",), figure=share, needed=0.85, unit="%"),
    Target(text=f"limit=10: {_85}", part="matrix", operations=("get 10",), figure=share, needed=0.85, unit="%"),
    Target(
        text="get all, warm: at least 75 % of the ceiling",
        part="matrix", operations=("get all, warm",), figure=share, needed=0.75, unit="%",
    ),
    Target(
        text="get all, cold: never below 0.95x",
        part="matrix", operations=("get all, cold",), figure=ratio, needed=LEAST,
    ),
    Target(
        text="get all, cold: at least 1.4x at 1,000",
        part="matrix", operations=("get all, cold",), figure=ratio, needed=1.4, sizes=(1_000,),
    ),
    Target(
        text="get all, cold: at least 2.5x at 5,000",
        part="matrix", operations=("get all, cold",), figure=ratio, needed=2.5, sizes=(5_000,),
    ),
    Target(
        text=f"run with 3 tool turns, session time only: {_85}",
        part="runs", operations=("run, 3 tools, session time",), figure=share, needed=0.85, unit="%",
    ),
    Target(
        text="bytes written for 1,000 items of 2 kB: at least 60x fewer",
        part="rest", operations=("bytes written",), items="2 kB", figure=_quotient("written_bytes", of_base=True), needed=60,
        sizes=(1_000,),
    ),
    Target(
        text="bytes at rest: at most 0.6x for n >= 1,000",
        part="rest", operations=("bytes at rest",), figure=_quotient("rest_bytes", of_base=False), needed=0.6, at_most=True,
        sizes=(), least=1_000,
    ),
    Target(
        text="32 sessions on one conversation in one process: at least 20x the acknowledged adds/s",
        part="crowd", operations=("adds, writers in one process",), figure=ratio, needed=20, sizes=(32,),
    ),
    Target(
        text="8 and 32 processes on one conversation: at least 0.95x the acknowledged adds/s",
        part="crowd", operations=("adds, a process for each",), figure=ratio, needed=LEAST, sizes=(8, 32),
    ),
    Target(
        text="8 and 32 processes on one conversation: at least 100 % acknowledged",
        part="crowd", operations=("adds, a process for each",), sizes=(8, 32), figure=_in("acknowledged"), needed=1, unit="%",
    ),
    Target(
        text="1,000 sessions at once: at least 3x the runs/s",
        part="many", operations=("runs, 3 tools, 1,000", "session calls of runs, 3 tools, 1,000"), sizes=(),
        figure=ratio, needed=3,
    ),
    Target(
        text="head: at most 32 KiB at a million events",
        part="growth", operations=("",), figure=_in("head_bytes", 1024), needed=32, unit="KiB", at_most=True, sizes=(MILLION,),
    ),
    Target(
        text="limit=10: at most 50 MB of memory at a million events",
        part="memory", operations=("get 10",), figure=_in("memory_mb"), needed=50, unit="MB", at_most=True, sizes=(MILLION,),
        stores=("redis",),  # the client's memory, whatever the store
    ),
    Target(
        text="embedded: no slower than SQLiteSession for add and get (the ratio's interval reaches 1)",
        part="reference", operations=("add", "get"), figure=_not_slower, needed=1, stores=("embedded",), sizes=(),
    ),
)  # fmt: skip

_CALL = (
    "An empty gRPC call through asyncio takes most of an operation's time already (`profile.md`: the bare calls beside the "
    "whole). What 85 % leaves for everything else is less than our own Python takes once a pause has emptied the caches."
)
_COLD = (
    "A new object's first read: log and head are made with empty caches, where DaprSession parses one array. Below some "
    "hundred items that costs more than the smaller reply saves; on a new session a second call looks for what a DaprSession "
    "left, since one call for both would make every cold read of a migrated session carry the old array along."
)
REASONS: Mapping[str, str] = {
    f"add: {_85}": _CALL,
    f"pop: {_85}": _CALL,
    f"limit=10: {_85}": f"{_CALL} Cold, see the next ones.",
    f"run with 3 tool turns, session time only: {_85}": _CALL,
    "get all, cold: never below 0.95x": _COLD,
    "get all, cold: at least 1.4x at 1,000": "Two round trips where DaprSession has one: the head, then what it names.",
    "get all, cold: at least 2.5x at 5,000": (
        "Parsing the items takes either the same; the bare calls and one orjson.loads beside it (the ceiling) leave little."
    ),
    "bytes at rest: at most 0.6x for n >= 1,000": (
        "PostgreSQL compresses DaprSession's one array itself, as well as we do our segments."
    ),
    "1,000 sessions at once: at least 3x the runs/s": (
        "Whole runs: the Agents SDK's own CPU bounds any session (the floor). Session calls: CPU of client and sidecar, which "
        "share two cores here. On SQLite most of DaprSession's runs fail early, and what fails takes less time."
    ),
    "embedded: no slower than SQLiteSession for add and get (the ratio's interval reaches 1)": (
        "Adds: both wait for one sync of the disk; deciding on a head and writing it beside the event is what is left."
    ),
}
"""What stands in the way of targets that are missed, as far as it was measured."""


def targets(cells: Sequence[Cell]) -> list[Row]:
    """Return what *cells* say to every target, target by target."""
    rows = [row for target in TARGETS for row in target.rows(cells)]
    return [*rows, *_flat(cells), *_nowhere_below(cells)]


def _flat(cells: Sequence[Cell]) -> Iterator[Row]:
    """Yield whether an add takes as long at a million events as at ten."""
    for store in STORES:
        here = [one for one in cells if (one["part"], one["store"]) == ("growth", store) and one["operation"].startswith("add")]
        times = {(one["operation"], one["n"]): metric(one, ours(one), "p50_ms") for one in here}
        row = Row(
            target="add: p50 at a million events at most 1.2x of that at ten",
            store=store, n=MILLION, needed=1.2, unit="x", at_most=True,
        )  # fmt: skip
        found = [name for name, size in times if size == MILLION and times[name, MILLION] and times.get((name, 10))]
        for name in found:
            growth = times[name, MILLION] / times[name, 10]
            yield replace(row, operation=name, measured=growth, met=growth <= row.needed)
        if not found:
            yield replace(row, why="not measured")


def _nowhere_below(cells: Sequence[Cell]) -> Iterator[Row]:
    """Yield each cell in which ours is below `LEAST`, or fails where the base does not; a row for each store without one."""
    for store in dict.fromkeys(cell["store"] for cell in cells):
        row = Row(target="no cell anywhere below 0.95x", store=store, needed=LEAST, unit="x")
        here = [cell for cell in cells if cell["store"] == store and ours(cell) and base(cell)]
        found = [replace(row, operation=where(cell), n=cell["n"], met=False, **_judged(cell)) for cell in here if _below(cell)]
        compared = [figure for cell in here if (figure := ratio(cell)) is not None]
        yield from found
        if not found:
            least = min(compared, default=None)
            yield replace(row, measured=least, met=True if compared else None, why=f"{len(compared)} cells")


def _judged(cell: Cell) -> dict[str, Any]:
    noise = "its interval holds 1" if verdict(cell) == "undecided" else ""
    return {"measured": ratio(cell), "why": failure(cell, ours(cell)) or noise}


def _below(cell: Cell) -> bool:
    """Whether ours is slower than it may be, or can't do what the base can."""
    figure = ratio(cell)
    return figure < LEAST if figure is not None else bool(failure(cell, ours(cell))) and not failure(cell, base(cell))
