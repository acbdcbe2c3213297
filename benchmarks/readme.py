"""
What the README shows of results, taken from the files that the runs wrote: no figure is typed by hand.

``make readme``. Each part stands between two marks, ``<!-- name -->`` and ``<!-- /name -->``.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
README = RESULTS.parents[1] / "README.md"


def splice(name: str, text: str, readme: Path = README) -> None:
    """Put *text* between the marks of *name*. Raises ValueError where they are not."""
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
    rows = [(f"`{kind}`", "; ".join(servers), verdict, lost) for (kind, verdict, lost), servers in sorted(found.items())]
    return _rows([("component", "run on", "a log can be kept", "not kept there"), ("---",) * 4, *rows])


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
    rows = [head, ["---", *["--:"] * len(names)]]
    for subject, counts in sums.items():
        unknown = f"{counts['unknown']:,} ({counts['unknown_written']:,} were)"
        rows.append([subject, *(unknown if name == "unknown" and counts[name] else f"{counts[name]:,}" for name in names)])
    crowd = [["32 processes x 50 adds, two sidecars", "acknowledged", "adds/s"], ["---", "--:", "--:"]]
    for one in report["crowds"]:
        verdict, rate = one["verdict"], one["verdict"]["acknowledged"] / one["seconds"]
        share = verdict["acknowledged"] / verdict["operations"]
        crowd.append([f"{verdict['subject']} on {one['store']}", f"{share:.1%}", f"{rate:.0f}"])
    told = ", ".join(f"{number:,} x {name}" for name, number in faults.most_common())
    where = f"{report['machine']['date']}, commit {report['machine']['commit']}, `{report['machine']['command']}`"
    return f"{_rows(rows)}\nFaults injected: {told} ({where}).\n\n{_rows(crowd)}"


def simulation() -> str:
    """Return what the long simulation counted."""
    return (RESULTS / "simulation.md").read_text().split("\n", 2)[2]


def _rows(rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


PARTS: Mapping[str, Callable[[], str]] = {"certify": certified, "chaos": chaos, "simulation": simulation}


def main() -> None:
    """Renew every part that has marks in the README."""
    for name, part in PARTS.items():
        splice(name, part())


if __name__ == "__main__":
    main()
