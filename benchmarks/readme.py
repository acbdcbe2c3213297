"""
What the README shows of results, taken from the files that the runs wrote: no figure is typed by hand.

``make readme``. Each part stands between two marks, ``<!-- name -->`` and ``<!-- /name -->``.
"""

import re
from collections.abc import Callable, Mapping
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
    rows = ["| component | run on | a log can be kept | not kept there |", "|---|---|---|---|"]
    for path in sorted((RESULTS / "certify").glob("*.txt")):
        text = path.read_text()
        server = re.search(r"components-contrib [^,\n]*, (.*)", text)
        kind = re.search(rf"^{path.stem}  (state\.\S+ \S+)", text, re.MULTILINE)
        lost = [line.partition(": ")[2] for line in text.splitlines() if line.startswith("not kept: ")]
        verdict = "yes" if "\nverdict: a log can be kept here" in text else "**no**"
        assert server is not None
        assert kind is not None
        row = (f"`{kind[1]}`", server[1], verdict, "; ".join(lost) or "nothing")
        rows.append(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |")
    return "\n".join(rows) + "\n"


def chaos() -> str:
    """Return what the long run under real faults counted."""
    return _below_title(RESULTS / "chaos.md")


def simulation() -> str:
    """Return what the long simulation counted."""
    return _below_title(RESULTS / "simulation.md")


def _below_title(path: Path) -> str:
    return path.read_text().split("\n", 2)[2].replace("\n## ", "\n#### ")


PARTS: Mapping[str, Callable[[], str]] = {"certify": certified, "chaos": chaos, "simulation": simulation}


def main() -> None:
    """Renew every part that has marks in the README."""
    for name, part in PARTS.items():
        splice(name, part())


if __name__ == "__main__":
    main()
