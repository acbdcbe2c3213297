"""
What the README shows of results, taken from the files that the runs wrote: no figure is typed by hand.

``make readme``. Each part stands between two marks, ``<!-- name -->`` and ``<!-- /name -->``.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import plots
import tour
from cells import Cell, failure, length, ours, rows
from report import counted, interval, met
from scope import STORES
from targets import targets

RESULTS = Path(__file__).parent / "results"
README = RESULTS.parents[1] / "README.md"
RATIOS = """\
How many times as fast as `DaprSession`, by the length of the history: medians of the ratio, paired by round. Bold where its
95 % interval excludes 1, so that it is no chance; below 1 `DaprSession` is faster. *Cold* is a new session object that knows
nothing, *warm* the same object again.
"""


def splice(name: str, text: str, readme: Path | None = None) -> None:
    """Put *text* between the marks of *name*. Raises ValueError where they are not."""
    readme = readme or README
    before, begin, rest = readme.read_text().partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    if not begin or not end:
        raise ValueError(f"{readme.name} has no marks for {name}")
    readme.write_text(before + begin + text + end + after)


def certified() -> str:
    """Return the table of components: what each was run on, what is kept on it and what is not."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for path in sorted((RESULTS / "certify").glob("*.txt")):
        text = path.read_text()
        server = re.search(r"components-contrib [^,\n]*, (.*)", text)
        kind = re.search(rf"^{path.stem}  (state\.\S+ \S+)", text, re.MULTILINE)
        assert server is not None
        assert kind is not None
        lost = [line.removeprefix("not kept: ") for line in text.splitlines() if line.startswith("not kept: ")]
        lost = [line.removesuffix(" [from the docs]") for line in lost if line != "-"]
        verdict = "yes" if "\nverdict: a log can be kept here" in text else "**no**"
        found.setdefault((kind[1], verdict, "; ".join(lost) or "nothing known"), []).append(server[1])
    lines = [(f"`{kind}`", "; ".join(servers), verdict, lost) for (kind, verdict, lost), servers in sorted(found.items())]
    return rows([("component", "run on", "a log can be kept", "not kept there"), ("---",) * 4, *lines])


def chaos() -> str:
    """Return what the long run under real faults came to, all scenarios together."""
    report = json.loads((RESULTS / "chaos.json").read_text())
    sums: dict[str, Counter[str]] = {}
    faults: Counter[str] = Counter()
    for result in report["results"]:
        faults.update({name.partition(",")[0]: number for name, number in result["faults"].items()})
        for verdict in result["verdicts"]:
            numbers = {name: value for name, value in verdict.items() if isinstance(value, int)}
            sums.setdefault(verdict["subject"], Counter()).update(numbers)
    head = [
        "",
        "operations",
        "acknowledged",
        "said: not written",
        "said: unknown",
        "lost",
        "doubled",
        "raised, yet there",
        "misread",
    ]
    names = ["operations", "acknowledged", "not_written", "unknown", "lost", "doubled", "phantoms", "misread"]
    lines = [head, ["---", *["--:"] * len(names)]]
    for subject, counts in sums.items():
        unknown = f"{counts['unknown']:,} ({counts['unknown_written']:,} were)"
        lines.append([subject, *(unknown if name == "unknown" and counts[name] else f"{counts[name]:,}" for name in names)])
    crowd = [["32 processes x 50 adds, two sidecars", "acknowledged", "adds/s"], ["---", "--:", "--:"]]
    for one in report["crowds"]:
        verdict, rate = one["verdict"], one["verdict"]["acknowledged"] / one["seconds"]
        share = verdict["acknowledged"] / verdict["operations"]
        crowd.append([f"{verdict['subject']} on {one['store']}", f"{share:.1%}", f"{rate:.0f}"])
    told = ", ".join(f"{number:,} x {name}" for name, number in faults.most_common())
    where = f"{report['machine']['date']}, commit {report['machine']['commit']}, `{report['machine']['command']}`"
    return f"{rows(lines)}\nFaults injected: {told} ({where}).\n\n{rows(crowd)}"


def simulation() -> str:
    """Return what the long simulation counted."""
    return (RESULTS / "simulation.md").read_text().split("\n", 2)[2]


def quick() -> str:
    """Return what the newest quick run found."""
    return benchmark("quick", "make bench-quick")


def full() -> str:
    """Return what the newest full run found, the targets with it."""
    report = _report("full")
    return f"{benchmark('full', 'make bench')}\nThe targets, as that run met them or not:\n\n{met(targets(report['cells']))}"


def benchmark(name: str, command: str) -> str:
    """Return the ratios that the run *name* found, where it loses, its plots, and how to repeat it."""
    report = _report(name)
    cells = [cell for cell in report["cells"] if ours(cell)]
    parts = [counted(cells), RATIOS, *(_ratios(cells, store) for store in STORES)]
    parts += [f"![{title}](benchmarks/results/{file})\n" for file, title in plots.pictures(cells, name).items()]
    machine = report["machine"]
    parts.append(
        f"All figures, with medians, tails, trips, bytes and how each fails: [{name}.md](benchmarks/results/{name}.md). To "
        f"reproduce: `{command}` ({report['seconds'] / 60:.0f} min; this was {machine['date']}, commit "
        f"{machine['commit']}, "
        f"{machine['cores']} cores, {machine['system']}, daprd {machine['daprd']}).\n"
    )
    return "\n".join(part for part in parts if part)


def _ratios(cells: Sequence[Cell], store: str) -> str:
    """Return DaprSession's time by eventlog's on one store: a row for each operation, a column for each length of history."""
    here = sorted(
        (cell for cell in cells if (cell["part"], cell["store"]) == ("matrix", store)), key=lambda cell: int(cell["n"])
    )
    found = {(cell["operation"], length(cell)): _ratio(cell) for cell in here}
    if not found:
        return ""
    operations = list(dict.fromkeys(operation for operation, _ in found))
    lengths = list(dict.fromkeys(one for _, one in found))
    lines = [[f"{store}, n =", *lengths], ["---", *["--:"] * len(lengths)]]
    lines += [[operation, *(found.get((operation, one), "") for one in lengths)] for operation in operations]
    return rows(lines)


def _ratio(cell: Cell) -> str:
    failed = [name for name in cell["subjects"] if name in ("DaprSession", "eventlog") and failure(cell, name)]
    return f"{' and '.join(failed)} failed" if failed else interval(cell).partition(" [")[0]


def _report(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


PARTS: Mapping[str, Callable[[], str]] = {
    "certify": certified,
    "chaos": chaos,
    "simulation": simulation,
    "bench-quick": quick,
    "bench": full,
    "commands": tour.tour,
}


def main() -> None:
    """Renew every part that has marks in the README."""
    text = README.read_text()
    for name, part in PARTS.items():
        if f"<!-- {name} -->" in text:
            splice(name, part())


if __name__ == "__main__":
    main()
