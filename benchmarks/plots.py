"""Plots of the results, as SVG that is the same for the same results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cells import Cell, metric
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from scope import STORES

OPERATIONS = ("add, spaced", "get all, cold", "get all, warm", "get 10, cold")
COLOURS: Mapping[str, str] = {"DaprSession": "#c44e52", "eventlog": "#2a6fbb", "floor": "#8c8c8c"}
_STYLE: Any = {
    "svg.hashsalt": "eventlog-session",
    "svg.fonttype": "none",  # text stays text: small files
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def pictures(cells: Sequence[Cell], name: str) -> dict[str, str]:
    """Return the plots that there are of *cells*: files, and what they show."""
    found = {f"{name}-{store}.svg": f"Time by length of history on {store}" for store in STORES if _timed(cells, store)}
    if _crowds(cells):
        found[f"{name}-crowd.svg"] = "Acknowledged adds per second, many writers on one conversation"
    if _written(cells):
        found[f"{name}-written.svg"] = "Bytes written for a whole conversation"
    return found


def draw(cells: Sequence[Cell], name: str, folder: Path) -> None:
    """Draw all there is to be drawn."""
    with rc_context(_STYLE):
        for store in STORES:
            if timed := _timed(cells, store):
                _save(_times(timed, store), folder / f"{name}-{store}.svg")
        if crowds := _crowds(cells):
            figure = _bars(crowds, "per_second", "acknowledged adds/s")
            _save(figure, folder / f"{name}-crowd.svg")
        if written := _written(cells):
            _save(_bars(written, "written_bytes", "bytes written"), folder / f"{name}-written.svg")


def _timed(cells: Sequence[Cell], store: str) -> list[Cell]:
    return [c for c in cells if c["part"] == "matrix" and c["store"] == store and c["operation"] in OPERATIONS]


def _crowds(cells: Sequence[Cell]) -> list[Cell]:
    return [c for c in cells if c["part"] == "crowd" and _has(c, "per_second")]


def _written(cells: Sequence[Cell]) -> list[Cell]:
    return [c for c in cells if c["part"] == "rest" and _has(c, "written_bytes")]


def _has(cell: Cell, name: str) -> bool:
    return any(metric(cell, subject, name) is not None for subject in COLOURS)


def _times(cells: Sequence[Cell], store: str) -> Figure:
    """Return a plot for each operation: medians by n, with the interval of each as a band."""
    figure = Figure(figsize=(8, 5.6), layout="constrained")
    for operation, axes in zip(OPERATIONS, figure.subplots(2, 2).flat, strict=True):
        here = sorted(
            (c for c in cells if c["operation"] == operation and c.get("state") != "emptied"), key=lambda c: int(c["n"])
        )
        for subject, colour in COLOURS.items():
            _line(axes, here, subject, colour)
        axes.set_title(operation)
        axes.set_xscale("symlog", linthresh=10)  # 0 has its place left of 10
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        sizes = sorted({int(c["n"]) for c in here})
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.set_ylabel("ms")
    figure.axes[2].set_xlabel("items in the history")
    figure.axes[0].legend(frameon=False)
    figure.suptitle(f"{store}: medians, with their 95 % intervals")
    return figure


def _line(axes: Axes, cells: Sequence[Cell], subject: str, colour: str) -> None:
    known = [c for c in cells if metric(c, subject, "p50_ms")]
    if not known:
        return
    sizes = [c["n"] for c in known]
    axes.plot(sizes, [metric(c, subject, "p50_ms") for c in known], color=colour, marker="o", markersize=3, label=subject)
    banded = [c for c in known if metric(c, subject, "spread_ms")]
    low, high = ([metric(c, subject, "spread_ms")[end] for c in banded] for end in (0, 1))
    axes.fill_between([c["n"] for c in banded], low, high, color=colour, alpha=0.2, linewidth=0)


def _bars(cells: Sequence[Cell], name: str, label: str) -> Figure:
    """Return a bar for each subject in each cell."""
    figure = Figure(figsize=(8, 0.8 + 0.45 * len(cells)), layout="constrained")
    axes = figure.subplots()
    subjects = [s for s in COLOURS if any(metric(c, s, name) is not None for c in cells)]
    height = 0.8 / len(subjects)
    for number, subject in enumerate(subjects):
        known = [
            (place + number * height, metric(c, subject, name)) for place, c in enumerate(cells) if metric(c, subject, name)
        ]
        bars = axes.barh([p for p, _ in known], [v for _, v in known], height, color=COLOURS[subject], label=subject)
        axes.bar_label(bars, fmt="{:,.0f}", padding=2, fontsize=7)
    axes.set_yticks([place + height * (len(subjects) - 1) / 2 for place in range(len(cells))])
    axes.set_yticklabels([_named(c) for c in cells])
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel(label)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(subjects))
    return figure


def _named(cell: Cell) -> str:
    more = f", {cell['n']:,} x {cell['items']}" if cell["part"] == "rest" else f", {cell['n']}"
    return f"{cell['store']}: {cell['operation']}{more}"


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
