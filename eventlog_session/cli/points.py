"""Points as they are typed: see `GRAMMAR`."""

import re
from datetime import UTC, datetime, time, timedelta

import click

from ..errors import NoSuchPoint
from ..history import runs_of, untraced
from ..log import EventLog
from ..points import Point

GRAMMAR = """\b
A POINT is one of
  7, head, head~2                a version, the newest, two before it
  2026-11-23T14:03Z, 14:03       what stood then; without a zone local time, without a date today
  10m, 1h30m                     what stood so long ago: s, m, h, d, w
  tag:NAME                       the version of that name
  run:9f3c, run:9f3c+            just before, just after the agent run whose trace id begins so"""
ABOUT = "A POINT is 7, head~2, 14:03, 10m, tag:NAME, run:TRACE and the like: see eventlog-session --help."
_SHORT = "7, head, head~2, 2026-11-23T14:03Z, 14:03, 10m (ago), tag:NAME, run:TRACE or run:TRACE+"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+", re.ASCII)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?", re.ASCII)
_HEAD = re.compile(r"head(?:~(\d+))?", re.ASCII)
_RUN = re.compile(r"run:(.+?)(\+?)")


def now() -> datetime:
    """Return this moment, in local time."""
    return datetime.now(UTC).astimezone()


async def resolved(log: EventLog, text: str) -> tuple[int, str]:
    """Return the version at a point, and what the point was understood as. Raises NoSuchPoint, or UsageError."""
    if run := _RUN.fullmatch(text):
        return await _of_run(log, run[1], after=bool(run[2]))
    if head := _HEAD.fullmatch(text):
        newest = await log.version()
        return await log.version(newest - int(head[1] or 0)), ""
    point, meaning = parsed(text, now())
    try:
        return await log.version(point), meaning
    except NoSuchPoint as error:
        if isinstance(point, str):
            tags = ", ".join(sorted((await log.head()).tags)) or "none"
            raise NoSuchPoint(f"no tag {point!r}; its tags: {tags}") from error
        raise


def parsed(text: str, now: datetime) -> tuple[Point, str]:
    """Return the point that *text* is, and how it reads in full; *now* is local. Raises UsageError."""
    if text.startswith("tag:") and len(text) > 4:
        return text[4:], ""
    try:
        if text.isdecimal() and text.isascii():
            return int(text), ""
        if _AGO.fullmatch(text):
            parts = re.findall(r"([\d.]+)([smhdw])", text)
            moment = now - timedelta(**_summed(parts))
        elif _CLOCK.fullmatch(text):
            moment = datetime.combine(now.date(), time.fromisoformat(text if text[1:2] != ":" else f"0{text}")).astimezone()
        else:
            moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo else moment.astimezone()
    except (ValueError, OverflowError):
        raise click.UsageError(f"{text[:80]!r} is no point; one is {_SHORT}") from None
    return aware, aware.isoformat()


def _summed(parts: list[tuple[str, str]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for number, unit in parts:
        found[_UNITS[unit]] = found.get(_UNITS[unit], 0) + float(number)
    return found


async def _of_run(log: EventLog, start: str, *, after: bool) -> tuple[int, str]:
    """Return the version before or after the one run whose trace id begins with *start*, with or without ``trace_``."""
    found = {
        run.trace_id: run async for run in runs_of(log.walk(whole=untraced))
        if run.trace_id and (run.trace_id.startswith(start) or run.trace_id.removeprefix("trace_").startswith(start))
    }  # fmt: skip
    if len(found) != 1:
        raise NoSuchPoint(f"{len(found) or 'no'} runs have a trace id that begins with {start!r}; see log")
    ((trace, run),) = found.items()
    return (run.last if after else run.before), f"just {'after' if after else 'before'} {trace}"
