"""From cells to Markdown. Pure, but for `write`: no figure is typed by hand, and none is left out because it is a bad one."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import plots
from cells import Cell, base, failure, length, metric, multiple, ours, ratio, rows, share, verdict, where
from scope import STORES
from targets import REASONS, Row, targets

RESULTS = Path(__file__).parent / "results"

NOTES = """\
Times are medians in ms, taken in turns through the same sidecar, with the same meter in place for all. **ratio** is the
median over rounds of DaprSession's time by eventlog's (of rates: eventlog's by DaprSession's), with its 95 % interval: above 1
eventlog is ahead. It is bold where the interval does not hold 1, win or loss. Of two figures with a stroke between them the
first is DaprSession's, the second eventlog's; a figure alone is eventlog's.

**floor** is the bare gRPC calls that the work can't do without, with one parse of the bare array where items are returned.
**ceiling** is DaprSession's time by the floor's: no implementation can be further ahead. **share** is how much of the ceiling
eventlog reaches, **x floor** its time as a multiple of the least possible. *Trips* are remote calls that waited for one
another; *kB* those of messages to and from the sidecar before the operation returned; *behind* is what eventlog sends and
receives afterwards; *CPU* that of the client process, what is done behind included.
"""
TITLES: Mapping[str, str] = {
    "items": "Other items",
    "runs": "Whole runs of an agent",
    "process": "Cold processes",
    "crowd": "Many writers on one conversation",
    "many": "Many conversations at once",
    "growth": "Up to a million events",
    "past": "Reading the past",
    "rest": "Bytes at rest and bytes written",
    "memory": "Memory of the process",
    "reference": "References, no sidecar",
}
"""Parts after the matrix, in the order in which they are shown."""


# ---- one value ---------------------------------------------------------------------------------------------------------


def interval(cell: Cell, other: str = "") -> str:
    """Return a ratio with its interval, bold where that excludes 1; "" without one."""
    found = cell.get("ratios", {}).get(other or ours(cell))
    if found is None:
        return ""
    bold = "" if verdict(cell, other) == "undecided" else "**"
    return f"{bold}{found['ratio']:.2f}{bold} [{found['low']:.2f}, {found['high']:.2f}]"


def _of(subject: str, name: str, shown: str = "{:,.2f}") -> Callable[[Cell], str]:
    """Return what shows a figure of *subject*, or that it failed."""

    def column(cell: Cell) -> str:
        value = metric(cell, subject, name)
        return shown.format(value) if value is not None else "failed" if failure(cell, subject) else ""

    return column


def _both(name: str, shown: str, unit: float = 1, other: str = "") -> Callable[[Cell], str]:
    """Return what shows the base's figure and ours, as "1 / 2"; with *other*, that figure after each: "1, 3 / 2, 4"."""

    def column(cell: Cell) -> str:
        values = []
        for subject in (base(cell), ours(cell)):
            here = [metric(cell, subject, one) for one in (name, other) if one]
            if any(value is not None for value in here):
                values.append(", ".join(shown.format((value or 0) / unit) for value in here))
            elif subject:
                values.append("failed" if failure(cell, subject) else "-")
        return "" if set(values) <= {"-", "failed"} else " / ".join(values)

    return column


def _behind(cell: Cell) -> str:
    sent, received = (metric(cell, ours(cell), name) for name in ("behind_out", "behind_in"))
    return f"{(sent or 0) / 1e3:,.1f}, {(received or 0) / 1e3:,.1f}" if sent or received else ""


def _errors(cell: Cell) -> str:
    told = []
    for subject in cell["subjects"]:
        errors = metric(cell, subject, "errors") or {}
        told += [f"{subject}: {count:,} x {name}" for name, count in errors.items()]
    return "; ".join(told)


def _number(value: float | None, shown: str) -> str:
    return "" if value is None else shown.format(value)


# ---- tables ------------------------------------------------------------------------------------------------------------

Columns = Sequence[tuple[str, Callable[[Cell], str]]]


def _columns(cells: Sequence[Cell]) -> Columns:
    """Return every column that a table of *cells* may have; those in which nothing stands are left out later."""
    names = [name for name in dict.fromkeys(name for cell in cells for name in cell["subjects"]) if name != "again"]
    several = len({cell["store"] for cell in cells}) > 1
    shapes = len({cell.get("items") for cell in cells}) > 1
    others = [name for name in dict.fromkeys(name for cell in cells for name in cell["ratios"]) if name not in names]
    return [
        ("store", lambda cell: str(cell["store"]) if several else ""),
        ("operation", lambda cell: str(cell["operation"])),
        ("n", length),
        ("items", lambda cell: str(cell.get("items", "")) if shapes else ""),
        *((f"{name} ms", _of(name, "p50_ms")) for name in names),
        *((f"{name} /s", _of(name, "per_second", "{:,.1f}")) for name in names),
        ("ratio", interval),
        *((f"time of {name} by this one's", partial(interval, other=name)) for name in others if name != "again"),
        ("ceiling", lambda cell: _number(ratio(cell, "floor"), "{:.2f}")),
        ("share", lambda cell: _number(share(cell), "{:.0%}")),
        ("x floor", lambda cell: _number(multiple(cell), "{:.2f}")),
        ("acknowledged", _both("acknowledged", "{:.1%}")),
        ("trips", _both("trips", "{:.3g}")),
        ("kB out", _both("bytes_out", "{:,.1f}", 1e3)),
        ("kB in", _both("bytes_in", "{:,.1f}", 1e3)),
        ("behind: kB out, in", _behind),
        ("CPU ms", _both("cpu_ms", "{:.2f}")),
        ("head KiB", _both("head_bytes", "{:,.1f}", 1024)),
        ("memory MB", _both("memory_mb", "{:,.1f}")),
        ("at rest kB", _both("rest_bytes", "{:,.1f}", 1e3)),
        ("written kB", _both("written_bytes", "{:,.1f}", 1e3)),
        ("seconds", _both("seconds", "{:,.1f}")),
        ("errors", _errors),
    ]


def table(cells: Sequence[Cell], columns: Columns | None = None) -> str:
    """Return *cells* as a table of those columns in which anything stands."""
    made = [(title, [column(cell) for cell in cells]) for title, column in columns or _columns(cells)]
    made = [(title, values) for title, values in made if any(values)]
    texts = {"store", "operation", "items", "errors"}
    lines = [[title for title, _ in made], ["---" if title in texts else "--:" for title, _ in made]]
    return rows([*lines, *zip(*(values for _, values in made), strict=True)])


def _tails(cells: Sequence[Cell]) -> str:
    """Return how the times of each subject spread, "" where nothing is known of that."""
    cells = [cell for cell in cells if any("p95_ms" in found for found in cell["subjects"].values())]
    if not cells:
        return ""
    columns = [column for column in _columns(cells) if column[0] in ("store", "operation", "n", "items")]
    columns.append(("rounds", lambda cell: str(cell.get("rounds", ""))))
    names = dict.fromkeys(name for cell in cells for name in cell["subjects"] if name != "again")
    columns += [(f"{name}: p50 [spread] p95 p99", _spread(name)) for name in names]
    return f"How the times spread:\n\n{table(cells, columns)}"


def _spread(name: str) -> Callable[[Cell], str]:
    def column(cell: Cell) -> str:
        p50, p95, p99 = (metric(cell, name, which) for which in ("p50_ms", "p95_ms", "p99_ms"))
        if p50 is None:
            return "failed" if failure(cell, name) else ""
        low, high = metric(cell, name, "spread_ms") or (p50, p50)
        return f"{p50:.2f} [{low:.2f}, {high:.2f}] {_number(p95, '{:.2f}')} {_number(p99, '{:.2f}')}"

    return column


def _again(cells: Sequence[Cell]) -> str:
    """Return DaprSession against itself."""
    columns: Columns = [
        ("store", lambda cell: str(cell["store"])),
        ("operation", lambda cell: str(cell["operation"])),
        ("n", length),
        ("DaprSession ms", _of("DaprSession", "p50_ms")),
        ("again ms", _of("again", "p50_ms")),
        ("ratio", lambda cell: interval(cell, "again")),
    ]
    return table(cells, columns)


# ---- what it comes to --------------------------------------------------------------------------------------------------


def counted(cells: Sequence[Cell]) -> str:
    """Return in how many cells ours is faster, slower, neither; against whom; and where one of the two can't."""
    lines = []
    for rival in dict.fromkeys(base(cell) for cell in cells if ours(cell) and base(cell)):
        here = [cell for cell in cells if base(cell) == rival and ours(cell)]
        found = [verdict(cell) for cell in here if verdict(cell)]
        counts = ", ".join(f"{found.count(one)} {one}" for one in ("faster", "slower", "undecided"))
        line = f"Against {rival}, eventlog is, in {len(found)} cells: {counts}."
        for name, failed in (
            (rival, [c for c in here if failure(c, rival)]),
            ("eventlog", [c for c in here if failure(c, ours(c))]),
        ):
            line += f" In {len(failed)} more, {name} failed." if failed else ""
        lines.append(line)
    return "\n".join(lines) + "\n"


def losses(cells: Sequence[Cell]) -> str:
    """Return every cell in which ours is slower, worst first."""
    lost = sorted((cell for cell in cells if verdict(cell) == "slower"), key=lambda cell: ratio(cell) or 0)
    return "".join(f"- {where(cell)}: {interval(cell)}\n" for cell in lost) or "- none\n"


def failures(cells: Sequence[Cell]) -> str:
    """Return how each subject failed where it did, in words."""
    places: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        for subject, metrics in cell["subjects"].items():
            if "failed" in metrics:
                place = f"{where(cell)} ({metrics.get('times', 1)} times)"
                places.setdefault((subject, metrics["failed"]), []).append(place)
    lines = []
    for (subject, text), found in places.items():
        lines += [f"- {subject}: {text}\n", *(f"  - {one}\n" for one in found)]
    return "".join(lines) or "- none\n"


def met(found: Sequence[Row]) -> str:
    """Return a table of the targets by store: met or not, with the worst that was measured."""
    stores = [store for store in (*STORES, "embedded") if any(row.store == store for row in found)]
    lines = [["target", *stores], ["---"] * (1 + len(stores))]
    for target in dict.fromkeys(row.target for row in found):
        here = [row for row in found if row.target == target]
        lines.append([target, *(_said([row for row in here if row.store == store]) for store in stores)])
    return rows(lines)


def _said(found: Sequence[Row]) -> str:
    """Return what one store says to one target."""
    judged = [row for row in found if row.met is not None]
    if not judged:
        return "not measured" if found else ""
    missed = sum(row.met is False for row in judged)
    figures = [row.measured for row in judged if row.measured is not None]
    worst = (max if found[0].at_most else min)(figures, default=None)
    verdict_ = f"**missed** in {missed} of {len(judged)}" if missed else "met"
    told = [verdict_, f"worst {_measured(worst, found[0].unit)}" if figures else judged[0].why]
    unknown = len(found) - len(judged)
    return ", ".join([*filter(None, told), *([f"{unknown} not measured"] if unknown else [])])


def misses(found: Sequence[Row]) -> str:
    """Return every place where a target is missed."""
    lines = []
    for target, store in dict.fromkeys((row.target, row.store) for row in found if row.met is False):
        places = [_missed(row) for row in found if (row.target, row.store, row.met) == (target, store, False)]
        lines.append(f"- {target}; {store}: {'; '.join(places)}\n")
    return "".join(lines) or "- none\n"


def reasons(found: Sequence[Row]) -> str:
    """Return what stands in the way of each target that is missed somewhere."""
    missed = dict.fromkeys(row.target for row in found if row.met is False and row.target in REASONS)
    lines = "".join(f"- **{target}**: {REASONS[target]}\n" for target in missed)
    return f"What stands in the way, as far as it was measured:\n\n{lines}" if lines else ""


def _missed(row: Row) -> str:
    place = row.operation if "n=" in row.operation else f"{row.operation}, n={row.n:,}"
    told = " ".join(filter(None, [_measured(row.measured, row.unit), row.why and f"({row.why})"]))
    return f"{place}: {told}"


def _measured(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:.0%}" if unit == "%" else f"{value:.2f}x" if unit == "x" else f"{value:,.1f} {unit}"


# ---- the whole ---------------------------------------------------------------------------------------------------------


def markdown(report: Mapping[str, Any], name: str) -> str:
    """Return all that *report* says. *name* is that of its files: its plots lie beside it."""
    cells: Sequence[Cell] = report["cells"]
    parts = ["# EventLogSession against DaprSession, through the same daprd\n", counted(cells), NOTES]
    parts += ["## The targets\n", met(found := targets(cells)), reasons(found), "Missed at:\n", misses(found)]
    parts += ["## Where the other one wins\n", losses(cells)]
    parts += ["## How they fail\n", failures(cells)]
    parts += _pictures(cells, name)
    parts += _matrix([cell for cell in cells if cell["part"] == "matrix"])
    for part, title in TITLES.items():
        if here := [cell for cell in cells if cell["part"] == part]:
            parts += [f"## {title}\n", table(here), _tails(here)]
    if here := [cell for cell in cells if "again" in cell["subjects"]]:
        parts += ["## DaprSession against itself, which shows the noise\n", _again(here)]
    facts = [f"- {fact}: {value}" for fact, value in report["machine"].items()]
    facts.append(f"- seconds in all: {report.get('seconds', 0):,.0f}\n")
    return "\n".join([*parts, "## Where and when\n", *facts])


def _matrix(cells: Sequence[Cell]) -> Iterator[str]:
    for store in dict.fromkeys(cell["store"] for cell in cells):
        here = [cell for cell in cells if cell["store"] == store]
        yield f"## {store}\n"
        yield f"Items of {', '.join(dict.fromkeys(str(cell['items']) for cell in here))}. {counted(here)}"
        yield table(here)
        yield _tails(here)


def _pictures(cells: Sequence[Cell], name: str) -> list[str]:
    found = [f"![{title}]({file})" for file, title in plots.pictures(cells, name).items()]
    return ["\n\n".join(found) + "\n"] if found else []


def write(report: Mapping[str, Any], name: str, folder: Path = RESULTS) -> str:
    """Write the results' JSON, Markdown and plots under *name*, and return the Markdown."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
    (folder / f"{name}.md").write_text(text := markdown(report, name))
    plots.draw(report["cells"], name, folder)
    return text
