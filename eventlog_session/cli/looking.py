"""Commands that only look: ``log``, ``show``, ``diff``, ``verify``, ``keys``."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
import orjson

from ..core.events import IDEMPOTENCY_KEY
from ..history import Change
from ..log import EventLog
from ..protocol.walk import Recorded
from .base import NO, STORE, commands, fail, in_session, note, progress
from .points import GRAMMAR, resolved
from .rendering import as_json, clipped, parts, preview, table

_OUTPUTS = click.Choice(["table", "json", "jsonl"])


def session(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command its session and the option that says where that is."""
    named = click.argument("session_id", metavar="SESSION")(command)
    return click.option("--store", metavar="URL", envvar=STORE, help="sqlite:///FILE or dapr://HOST:PORT/STATESTORE.")(named)


def outputs(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say how it prints."""
    made = click.option(
        "-o", "--output", type=_OUTPUTS, default="table", help="table (tab-separated in a pipe), json or jsonl."
    )
    alias = click.option("--json", "output", flag_value="json", help="Same as -o json.")
    return made(alias(command))


def now() -> datetime:
    """Return this moment, in local time."""
    return datetime.now(UTC).astimezone()


# ---- log -----------------------------------------------------------------------------------------------------------


@commands.command("log")
@session
@click.option("-n", "--number", type=click.IntRange(1), help="At most so many.")
@click.option("--since", metavar="POINT", help="Only what happened after it.")
@click.option("--until", metavar="POINT", help="Only what happened up to it.")
@click.option("--reverse", is_flag=True, help="Oldest first.")
@click.option("--kind", help="Only this kind: added, popped, cleared, rewound, undone ...")
@click.option("--utc", is_flag=True, help="Times in UTC; so they are in a pipe and as JSON.")
@outputs
@click.pass_obj
def log_(given: str | None, /, store: str | None, session_id: str, output: str, **wanted: Any) -> None:
    """
    What happened to SESSION, newest first: version, time, kind, change, length, agent run, preview.

    A POINT is 7, head, head~2, 2026-11-23T14:03Z, 14:03, 10m (ago), tag:NAME or run:TRACE.
    """
    events = in_session(store or given, session_id, lambda log: _events(log, **wanted))
    if output != "table":
        as_json(map(_described, events), by_line=output == "jsonl")
        return
    local = sys.stdout.isatty() and not wanted["utc"]
    table(
        ("VERSION", "TIME", "KIND", "CHANGE", "LENGTH", "RUN", "PREVIEW"),
        [_row(recorded, local=local) for recorded in events],
        right=(0, 3, 4),
    )


async def _events(
    log: EventLog, *, number: int | None, since: str | None, until: str | None, reverse: bool, kind: str | None, utc: bool  # noqa: ARG001
) -> list[Recorded]:  # fmt: skip
    first = None if since is None else (await resolved(log, since, now()))[0]
    last = None if until is None else (await resolved(log, until, now()))[0]
    found: list[Recorded] = []
    async for recorded in log.walk(first, last, reverse=not reverse):
        if kind in (None, Change.of(recorded).kind):
            found.append(recorded)
            if len(found) == number:
                break
    if not found:
        known, _ = await log.located(None)
        note("no events" if known.legacy is None else f"no events yet: {known.legacy.count} items of a DaprSession")
    return found


def _row(recorded: Recorded, *, local: bool) -> tuple[object, ...]:
    change = Change.of(recorded)
    time = change.time.astimezone() if local else change.time
    moved = f"→ {change.base}" if change.base is not None and not change.items else ""
    changed = " ".join(
        filter(None, (moved, f"-{change.popped}" * bool(change.popped), f"+{change.items}" * bool(change.items)))
    )
    trace = (change.trace_id or "").removeprefix("trace_")[:8]
    shown = f"{time:%Y-%m-%d %H:%M:%S}" if local else time.isoformat(timespec="milliseconds")
    return recorded.version, shown, change.kind, changed, recorded.length, trace, _said(recorded)


def _said(recorded: Recorded) -> str:
    event = recorded.event
    if event.count:
        return preview(orjson.loads(event.items))
    told = {name: value for name, value in event.extensions.items() if name not in _TRACES}
    return ", ".join(f"{name} {value}" for name, value in told.items())


_TRACES = frozenset({"traceparent", "tracestate", "agentstraceid", "agentsspanid", IDEMPOTENCY_KEY})


def _described(recorded: Recorded) -> dict[str, Any]:
    change = Change.of(recorded)
    return {
        "version": change.version, "time": change.time.isoformat(), "kind": change.kind, "items": change.items,
        "popped": change.popped, "base": change.base, "length": change.length, "trace_id": change.trace_id,
        "traceparent": change.traceparent, "event_id": change.event_id, "preview": _said(recorded),
    }  # fmt: skip


# ---- show ----------------------------------------------------------------------------------------------------------


@commands.command()
@session
@click.option("--at", metavar="POINT", help=f"As it was then: {GRAMMAR}.")
@click.option("--limit", type=click.IntRange(1), help="Only the newest so many items.")
@click.option("--event", type=click.IntRange(1), metavar="VERSION", help="That one event, as a CloudEvent, instead.")
@outputs
@click.pass_obj
def show(
    given: str | None, store: str | None, session_id: str, at: str | None, limit: int | None, event: int | None, output: str
) -> None:  # fmt: skip
    """The items of SESSION, now or as they were, each with the version and place it came from."""

    async def items(log: EventLog) -> list[tuple[str, Any]]:
        version = await told_version(log, at)
        view = await log.read(limit, version)
        origins = await log.origins(limit, version)
        return list(zip(origins, view.items, strict=True))

    if event is not None:
        click.echo(in_session(store or given, session_id, lambda log: _event(log, event)))
        return
    found = in_session(store or given, session_id, items)
    if output != "table":
        as_json(({"from": origin, "item": item} for origin, item in found), by_line=output == "jsonl")
        return
    longest = 400 if sys.stdout.isatty() else 10**9
    table(("FROM", "WHO", "CALL", "WHAT"), [_shown(origin, item, longest) for origin, item in found])


def _shown(origin: str, item: Any, longest: int) -> tuple[str, str, str, str]:
    kind, text, call = parts(item)
    return origin, kind, call, clipped(text, longest)


async def _event(log: EventLog, version: int) -> str:
    from ..exporting import _attributes

    newest = await log.version(version)
    async for recorded in log.walk(newest - 1, newest):
        attributes = {**_attributes(log, recorded), "data": orjson.Fragment(recorded.event.data())}
        return orjson.dumps(attributes, option=orjson.OPT_INDENT_2).decode()
    raise AssertionError("a version that is there has an event")


async def told_version(log: EventLog, text: str | None) -> int | None:
    """Return the version at a point as typed, and tell what it was understood as. None for None: now."""
    if text is None:
        return None
    version, meaning = await resolved(log, text, now())
    newest = await log.version()
    later = f" ({newest - version} later events not shown)" if version < newest else ""
    note(" → ".join(filter(None, (f"at {text}", meaning, f"version {version} of {newest}"))) + later)
    return version


# ---- diff, verify, keys --------------------------------------------------------------------------------------------


@commands.command()
@session
@click.argument("a", metavar="A")
@click.argument("b", metavar="[B]", default="head")
@outputs
@click.pass_obj
def diff(given: str | None, store: str | None, session_id: str, a: str, b: str, output: str) -> None:
    """What lies between two points of SESSION; B is now. Exits with 1 if they differ, like diff."""

    async def compare(log: EventLog) -> tuple[int, list[tuple[str, str, Any]]]:
        sides = []
        for text in (a, b):
            version, _ = await resolved(log, text, now())
            view = await log.read(None, version)
            sides.append(list(zip(await log.origins(None, version), view.items, strict=True)))
        before, after = sides
        pairs = enumerate(zip(before, after, strict=False))
        common = next((place for place, (one, other) in pairs if one[1] != other[1]), min(len(before), len(after)))
        lines = [("-", *one) for one in before[common:]] + [("+", *one) for one in after[common:]]
        return common, lines

    common, lines = in_session(store or given, session_id, compare)
    if output != "table":
        rows = ({"side": side, "from": origin, "item": item} for side, origin, item in lines)
        as_json(rows, by_line=output == "jsonl")
    else:
        note(f"{common} items in common")
        for side, origin, item in lines:
            kind, text, _ = parts(item)
            click.secho(f"{side} {origin:<8} {kind:<10} {clipped(text, 400)}", fg="red" if side == "-" else "green")
    sys.exit(NO if lines else 0)


@commands.command()
@session
@click.pass_obj
def verify(given: str | None, store: str | None, session_id: str) -> None:
    """Read all of SESSION and check it: bytes, hash chain, lengths. Exits with 1 when something is missing or altered."""
    with progress():  # how much there is to be read is known only once it is
        found = in_session(store or given, session_id, lambda log: log.verify())
    counts = f"{found.events} events, {found.items} items added, {found.segments} segments, {found.nodes} nodes"
    trimmed = f", {found.trimmed} trimmed" if found.trimmed else ""
    click.echo(f"{'ok' if found.sound else 'DAMAGED'}  version {found.version}: {counts}{trimmed}")
    for key in found.missing:
        click.echo(f"missing  {key}")
    for key, what in found.altered.items():
        click.echo(f"altered  {key}: {what}")
    if not found.sound:
        fail(f"{len(found.missing) + len(found.altered)} keys are missing or altered; restore them from a backup", NO)


@commands.command()
@session
@outputs
@click.pass_obj
def keys(given: str | None, store: str | None, session_id: str, output: str) -> None:
    """The store's keys of SESSION: what a backup, a restore or an audit has to deal with. Dapr puts its prefix before them."""
    held = in_session(store or given, session_id, lambda log: log.held())
    rows = [(one.key, one.kind, one.size) for one in held]
    if output != "table":
        as_json(({"key": key, "kind": kind, "bytes": size} for key, kind, size in rows), by_line=output == "jsonl")
    else:
        table(("KEY", "KIND", "BYTES"), rows, right=(2,))
