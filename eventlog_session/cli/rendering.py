"""What is shown: items as one line each, made harmless; tables on a terminal, tab-separated lines in a pipe; JSON."""

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from .saying import harmless, obeyed, terminal

_LONGEST = 120
_JOINERS = "\u200c\u200d"
"""What emoji and some scripts are made with; they hide nothing else."""
_NARROWEST = 20
"""Columns of the last cell at least, however narrow the terminal."""
Row = Sequence[object]
Paint = Callable[[Row], Mapping[int, str]]
"""Returns the colours of a row's cells by their place; under -1 that of all."""


def outputs(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say how it prints."""
    alias = click.option("--json", "output", flag_value="json", help="Same as -o json.")
    how = "A table, in a pipe tab-separated; one JSON array; one JSON document a line."
    made = click.option("-o", "--output", type=click.Choice(["table", "json", "jsonl"]), default="table", help=how)
    return made(alias(command))


def visible(text: str) -> str:
    """Return *text* on one line, with everything in it that a terminal would obey or hide made visible."""
    return harmless(" ".join(text.split()), _JOINERS)


def clipped(text: str, longest: int = _LONGEST) -> str:
    """Return *text* as `visible` does, cut to *longest* characters."""
    shown = visible(text[: 4 * longest])
    return shown if len(shown) <= longest and len(text) <= 4 * longest else shown[: longest - 1] + "…"


def parts(item: Any) -> tuple[str, str, str]:
    """Return what *item* is (user, assistant, call, output ...), what it says, and which call it belongs to."""
    try:
        return _parts(item)
    except RecursionError:
        return "item", "(nested too deeply to be shown)", ""


def _parts(item: Any) -> tuple[str, str, str]:
    if isinstance(item, str):  # kept as text
        try:
            item = json.loads(item)
        except ValueError:
            return "text", item, ""
    if not isinstance(item, dict):
        return "item", json.dumps(item), ""
    kind = str(item.get("type", "message"))
    call = str(item.get("call_id", ""))
    if "__enc__" in item:
        return "encrypted", "(encrypted)", ""
    if kind == "message" or "role" in item:
        return str(item.get("role", "message")), _content(item.get("content")), ""
    if kind == "reasoning":
        return "reasoning", _content(item.get("summary")) or "(reasoning)", ""
    if kind.endswith("_output"):
        return "output", _content(item.get("output")), call
    if kind.endswith("_call") and "name" in item:
        return "call", f"{item['name']}({_content(item.get('arguments'))})", call
    return kind, json.dumps({name: value for name, value in item.items() if name != "type"}, ensure_ascii=False), call


def preview(items: Sequence[Any]) -> str:
    """Return a few words of *items*, the first and, if there are more, the last."""
    shown = [parts(item) for item in (*items[:1], *items[1:][-1:])]
    said = [text if kind in ("call", "output") else f"{kind}: {text}" for kind, text, _ in shown]
    return clipped(" → ".join(clipped(one, 60) for one in said), 100)


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(_content(part) for part in content)
    if isinstance(content, dict):
        if "text" in content:
            return _content(content["text"])
        return f"({content.get('type', 'object')})"
    return "" if content is None else str(content)


class Sheet:
    """Rows that are printed as they come: fitted and under a *header* on a terminal, else tab-separated and complete."""

    def __init__(
        self, header: Sequence[str], *, right: Sequence[int] = (), exact: Sequence[int] = (), paint: Paint | None = None
    ) -> None:  # fmt: skip
        self._header = header
        self._right = right
        self._exact = exact
        """Places of what is copied from here, ids: not even their spaces are put together."""
        self._paint = paint
        self._widths: list[int] = []
        self._titles = any(header)

    def add(self, rows: Iterable[Row]) -> None:
        """Print *rows*."""
        cells = [
            [harmless(str(cell)) if place in self._exact else visible(str(cell)) for place, cell in enumerate(row)]
            for row in rows
        ]
        if not terminal(sys.stdout):
            for row in cells:
                click.echo("\t".join(row))
        elif cells:
            self._fitted(cells)

    def _fitted(self, rows: Sequence[Sequence[str]]) -> None:
        from rich.cells import cell_len
        from rich.console import Console
        from rich.text import Text

        before, self._widths = self._widths, [
            max([*self._widths[place : place + 1], *(cell_len(row[place]) for row in rows)]) for place in range(len(rows[0]))
        ]  # fmt: skip
        # a column of nothing is left out
        widths = [width and max(width, len(title)) for width, title in zip(self._widths, self._header, strict=True)]
        width = shutil.get_terminal_size().columns
        console = Console(width=max(width, sum(widths) + 2 * len(widths)), soft_wrap=True, force_terminal=True)
        last = max(_NARROWEST, width - sum(one + 2 for one in widths[:-1] if one))

        def line(row: Sequence[str], colours: Mapping[int, str]) -> Text:
            made = Text(style=colours.get(-1, ""))
            for place, cell in enumerate(row[:-1]):
                if widths[place]:
                    pad = " " * (widths[place] - cell_len(cell))
                    made.append(pad + cell if place in self._right else cell + pad, colours.get(place, "")).append("  ")
            flush = " " * (widths[-1] - cell_len(row[-1])) if len(row) - 1 in self._right else ""
            ending = Text(flush + row[-1], style=colours.get(len(row) - 1, ""))
            ending.truncate(last, overflow="ellipsis")
            made.append_text(ending)
            made.rstrip()
            return made

        if self._titles and [bool(one) for one in before] != [bool(one) for one in self._widths]:
            console.print(line(self._header, {-1: "dim"}))
        for row in rows:
            console.print(line(row, self._paint(row) if self._paint else {}))


def table(header: Sequence[str], rows: Iterable[Row], *, right: Sequence[int] = (), paint: Paint | None = None) -> None:
    """Print *rows* as a `Sheet` of their own."""
    Sheet(header, right=right, paint=paint).add(rows)


def as_json(rows: Iterable[Any], *, by_line: bool) -> None:
    """Print *rows* as one JSON array, or each on a line of its own."""
    if by_line:
        for row in rows:
            click.echo(safe_json(json.dumps(row, ensure_ascii=False)))
    else:
        click.echo(safe_json(json.dumps(list(rows), ensure_ascii=False, indent=2)))


def safe_json(text: str) -> str:
    """Return the same JSON with escapes in the place of whatever a terminal would obey or hide."""
    if text.isprintable():
        return text
    return "".join(json.dumps(one)[1:-1] if one != "\n" and obeyed(one) else one for one in text)
