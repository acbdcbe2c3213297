"""Commands that only look: ``log``, ``show``, ``diff``, ``verify``, ``keys``."""

import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Any

import click
import orjson

from ..core.events import (
    FORKED_AT,
    FORKED_FROM,
    NAMES,
    NO_VERSION,
    REDONE,
    TAG,
    TAG_VERSION,
    TRIMMED_BEFORE,
    UNDONE,
    UNDONE_VERSIONS,
)
from ..errors import NoSuchPoint
from ..history import Change
from ..log import EventLog
from ..protocol.walk import Recorded
from .base import commands
from .places import NO, in_session, session
from .points import ABOUT, now, resolved
from .rendering import Row, Sheet, as_json, outputs, parts, preview, safe_json, table
from .saying import fail, note, progress, terminal

_KINDS = tuple(NAMES.values())
_PAGE = 200
"""Rows of a log that are fitted together on a terminal."""
_COLOURS = {
    "added": "green", "redone": "green", "adopted": "green", "popped": "red", "cleared": "red", "rewound": "yellow",
    "undone": "yellow", "replaced": "magenta", "trimmed": "magenta", "tagged": "cyan", "forked": "cyan",
    "user": "bold cyan", "assistant": "green", "call": "yellow", "output": "yellow",
}  # fmt: skip
"""Of kinds of events and of whoever speaks."""


# ---- log -----------------------------------------------------------------------------------------------------------


@commands.command("log", epilog=ABOUT)
@session
@click.option("-n", "--number", type=click.IntRange(1), help="At most so many.")
@click.option("--since", metavar="POINT", help="Only what happened after it.")
@click.option("--until", metavar="POINT", help="Only what happened up to it.")
@click.option("--reverse", is_flag=True, help="Oldest first.")
@click.option("--kind", type=click.Choice(_KINDS), metavar="KIND", help=f"Only those: {', '.join(_KINDS)}.")
@click.option("--utc", is_flag=True, help="Times in UTC, as in a pipe.")
@outputs
@click.pass_obj
def log_(given: str | None, /, store: str | None, session_id: str, output: str, *, utc: bool, **wanted: Any) -> None:
    """
    What happened, newest first.

    Columns: version, time, kind, change of the history (→ 3 is "back to version 3"), its length then, the agent run's trace
    id, a few words.
    """

    async def work(log: EventLog) -> None:
        events = _events(log, **wanted)
        if output == "json":
            as_json([_described(recorded) async for recorded in events], by_line=False)
        elif output == "jsonl":
            async for recorded in events:
                as_json([_described(recorded)], by_line=True)
        else:
            await _listed(events, local=terminal(sys.stdout) and not utc)

    in_session(store or given, session_id, work)


async def _listed(events: AsyncIterator[Recorded], *, local: bool) -> None:
    """Print *events* as they come; on a terminal some at once, so that they can be fitted."""
    header = ("VERSION", "TIME", "KIND", "CHANGE", "LENGTH", "RUN", "PREVIEW")
    sheet = Sheet(header, right=(0, 1, 3, 4), paint=lambda row: {1: "dim", 2: _COLOURS.get(str(row[2]), ""), 5: "dim"})
    page: list[Row] = []
    async for recorded in events:
        page.append(_row(recorded, local=local))
        if not terminal(sys.stdout) or len(page) == _PAGE:
            sheet.add(page)
            page = []
    sheet.add(page)


async def _events(
    log: EventLog, *, number: int | None, since: str | None, until: str | None, reverse: bool, kind: str | None
) -> AsyncIterator[Recorded]:
    first = None if since is None else (await resolved(log, since))[0]
    last = None if until is None else (await resolved(log, until))[0]
    found = 0
    async for recorded in log.walk(first, last, reverse=not reverse):
        if kind in (None, Change.of(recorded).kind):
            yield recorded
            found += 1
            if found == number:
                return
    if not found:
        known, _ = await log.located(None)
        left = "" if known.legacy is None else f" yet: {known.legacy.count} items of a DaprSession, see show; or migrate it"
        note(f"no events{left}" if kind is None and since is None and until is None else f"no such events{left}")


def _row(recorded: Recorded, *, local: bool) -> Row:
    change = Change.of(recorded)
    moved = f"→ {change.base}" if change.base is not None and not change.items else ""
    changed = " ".join(
        filter(None, (moved, f"-{change.popped}" * bool(change.popped), f"+{change.items}" * bool(change.items)))
    )
    trace = (change.trace_id or "").removeprefix("trace_")[:8]
    time = _clock(change.time) if local else change.time.isoformat(timespec="milliseconds")
    return recorded.version, time, change.kind, changed, recorded.length, trace, _said(recorded)


def _clock(time: datetime) -> str:
    """Return *time* as it is on the wall, with the date if that is not today's."""
    local = time.astimezone()
    return f"{local:%H:%M:%S}" if local.date() == now().date() else f"{local:%Y-%m-%d %H:%M:%S}"


def _said(recorded: Recorded) -> str:
    """Return a few words of what was added, or what else there is to say."""
    event, told = recorded.event, recorded.event.extensions
    if event.count:
        return preview(orjson.loads(event.items))
    if TAG in told:
        version = told.get(TAG_VERSION, str(recorded.version - 1))
        return f"{told[TAG]} taken away" if version == NO_VERSION else f"{told[TAG]} is version {version}"
    if TRIMMED_BEFORE in told:
        return f"versions before {told[TRIMMED_BEFORE]} given up"
    if FORKED_FROM in told:
        return f"version {told[FORKED_AT]} of {told[FORKED_FROM]}"
    if UNDONE_VERSIONS in told:
        return f"{'redid' if event.kind == REDONE else 'undid'} {told[UNDONE_VERSIONS].replace(',', ', ')}"
    return "undid the change before" if event.kind == UNDONE else ""


def _described(recorded: Recorded) -> dict[str, Any]:
    change = Change.of(recorded)
    return {
        "version": change.version, "time": change.time.isoformat(), "kind": change.kind, "items": change.items,
        "popped": change.popped, "base": change.base, "length": change.length, "trace_id": change.trace_id,
        "traceparent": change.traceparent, "event_id": change.event_id, "preview": _said(recorded),
    }  # fmt: skip


# ---- show ----------------------------------------------------------------------------------------------------------


@commands.command(epilog=ABOUT)
@session
@click.option("--at", metavar="POINT", help="As they were then.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the newest N.")
@click.option("--event", type=click.IntRange(1), metavar="VERSION", help="Instead the event that made it, as a CloudEvent.")
@outputs
@click.pass_obj
def show(
    given: str | None, store: str | None, session_id: str, at: str | None, limit: int | None, event: int | None, output: str
) -> None:  # fmt: skip
    """
    The items, now or as they were.

    Columns: where each came from (4.1 is the second item that version 4 added), who said it, which tool call it belongs to,
    what it says: as much as fits on a terminal, all of it in a pipe.
    """

    async def items(log: EventLog) -> list[tuple[str, Any]]:
        version = await _told_version(log, at)
        view = await log.read(limit, version)
        return list(zip(await log.origins(limit, version), view.items, strict=True))

    if event is not None:
        click.echo(in_session(store or given, session_id, lambda log: _event(log, event)))
        return
    found = in_session(store or given, session_id, items)
    if output != "table":
        as_json(({"from": origin, "item": item} for origin, item in found), by_line=output == "jsonl")
    elif found:
        rows = ((origin, *_shown(item)) for origin, item in found)
        table(("FROM", "WHO", "CALL", "WHAT"), rows, paint=lambda row: {0: "dim", 1: _COLOURS.get(str(row[1]), ""), 2: "dim"})
    else:
        note("no items")


def _shown(item: Any) -> tuple[str, str, str]:
    kind, text, call = parts(item)
    return kind, call, text


async def _event(log: EventLog, version: int) -> str:
    from ..exporting import attributes_of

    newest = await log.version(version)
    events = [recorded async for recorded in log.walk(newest - 1, newest)]
    if not events:
        raise NoSuchPoint("the session was erased meanwhile, or has expired")
    attributes = {**attributes_of(log, events[0]), "data": orjson.Fragment(events[0].event.data())}
    return safe_json(orjson.dumps(attributes, option=orjson.OPT_INDENT_2).decode())


async def _told_version(log: EventLog, text: str | None) -> int | None:
    """Return the version at a point as typed, and tell what it was understood as. None for None: now."""
    if text is None:
        return None
    version, meaning = await resolved(log, text)
    newest = await log.version()
    later = newest - version
    hidden = f" ({later} later event{'s' * (later > 1)} not shown)" if later else ""
    note(" → ".join(filter(None, (f"at {text}", meaning, f"version {version} of {newest}"))) + hidden)
    return version


# ---- diff, verify, keys --------------------------------------------------------------------------------------------


@commands.command(epilog=ABOUT)
@session
@click.argument("a", metavar="A")
@click.argument("b", metavar="[B]", default="head")
@outputs
@click.pass_obj
def diff(given: str | None, store: str | None, session_id: str, a: str, b: str, output: str) -> None:
    """What lies between two points; B is now, unless given.

    Exits with 1 if they differ, like diff. Columns: - for what is only at A, + for what is only at B, and those of `show`.
    """

    async def side(log: EventLog, text: str) -> list[tuple[str, Any]]:
        version, _ = await resolved(log, text)
        view = await log.read(None, version)
        return list(zip(await log.origins(None, version), view.items, strict=True))

    async def compare(log: EventLog) -> tuple[list[str], list[tuple[str, str, Any]]]:
        before, after = await side(log, a), await side(log, b)
        pairs = enumerate(zip(before, after, strict=False))
        common = next((place for place, (one, other) in pairs if one[1] != other[1]), min(len(before), len(after)))
        lines = [("-", *one) for one in before[common:]] + [("+", *one) for one in after[common:]]
        return [origin for origin, _ in before[:common]], lines

    common, lines = in_session(store or given, session_id, compare)
    if output == "table":
        between = f" ({common[0]} … {common[-1]})" if common else ""
        note(f"{len(common)} items in common{between}" if lines else f"no difference: {len(common)} items{between}")
        rows = ((sign, origin, *_shown(item)) for sign, origin, item in lines)
        table([""] * 5, rows, paint=lambda row: {-1: "red" if row[0] == "-" else "green"})
    else:
        documents: Iterable[Mapping[str, Any]] = ({"side": sign, "from": at, "item": item} for sign, at, item in lines)
        as_json(documents, by_line=output == "jsonl")
    sys.exit(NO if lines else 0)


@commands.command()
@session
@click.pass_obj
def verify(given: str | None, store: str | None, session_id: str) -> None:
    """Read all of a session and check it.

    Bytes, hash chain, lengths. Exits with 1 when something is missing or altered, and names the keys.
    """

    async def work(log: EventLog) -> Any:
        with progress() as showing:
            showing(0, 0, f"checking {await log.version()} events")
            return await log.verify()

    found = in_session(store or given, session_id, work)
    counts = f"{found.events} events, {found.items} items added, {found.segments} segments, {found.nodes} nodes"
    trimmed = f", {found.trimmed} trimmed" if found.trimmed else ""
    click.echo(f"{'ok' if found.sound else 'DAMAGED'}  version {found.version}: {counts}{trimmed}")
    for key in found.missing:
        click.echo(f"missing  {key}")
    for key, what in found.altered.items():
        click.echo(f"altered  {key}: {what}")
    if not found.sound:
        wrong = len(found.missing) + len(found.altered)
        fail(f"{wrong} key{'s are' if wrong > 1 else ' is'} missing or altered; restore from a backup, and verify again", NO)


@commands.command()
@session
@outputs
@click.pass_obj
def keys(given: str | None, store: str | None, session_id: str, output: str) -> None:
    """The keys that the store keeps a session under.

    What a backup, a restore or an audit has to deal with. Dapr puts its prefix before them. Columns: key, kind, bytes.
    """
    held = in_session(store or given, session_id, lambda log: log.held())
    rows = [(one.key, one.kind, one.size) for one in held]
    if output != "table":
        as_json(({"key": key, "kind": kind, "bytes": size} for key, kind, size in rows), by_line=output == "jsonl")
        return
    table(("KEY", "KIND", "BYTES"), rows, right=(2,))
    note(f"{len(rows)} keys, {sum(one.size for one in held)} bytes")
