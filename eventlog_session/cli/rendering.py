"""What is shown: items as one line each, made harmless; tables on a terminal, tab-separated lines in a pipe."""

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import click

_LONGEST = 120
_INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp", "Co", "Cs"})
"""Unicode categories that a terminal obeys or hides: control, format (bidi), separators, private, surrogates."""


def visible(text: str) -> str:
    """Return *text* on one line, with everything in it that a terminal would obey or hide made visible."""
    flat = " ".join(text.split())
    return "".join(f"<U+{ord(one):04X}>" if unicodedata.category(one) in _INVISIBLE else one for one in flat)


def clipped(text: str, longest: int = _LONGEST) -> str:
    """Return *text* as `visible` does, cut to *longest* characters."""
    shown = visible(text[: 4 * longest])
    return shown if len(shown) <= longest and len(text) <= 4 * longest else shown[: longest - 1] + "…"


def parts(item: Any) -> tuple[str, str, str]:
    """Return what *item* is (user, assistant, call, output ...), what it says, and which call it belongs to."""
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


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> None:
    """Print *rows*: aligned and under a *header* on a terminal, else tab-separated and complete."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(visible(str(cell)) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="dim")
    for place, title in enumerate(header):
        last = place == len(header) - 1
        shown.add_column(
            title, justify="right" if place in right else "left", no_wrap=True, overflow="ellipsis", ratio=1 if last else None
        )
    for row in rows:
        shown.add_row(*(Text(visible(str(cell))) for cell in row))  # a str would be read as markup
    Console().print(shown)


def as_json(rows: Iterable[Any], *, by_line: bool) -> None:
    """Print *rows* as one JSON array, or each on a line of its own."""
    if by_line:
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
    else:
        click.echo(json.dumps(list(rows), ensure_ascii=False, indent=2))
