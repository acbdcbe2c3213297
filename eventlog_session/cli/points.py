"""
Points as they are typed.

``7`` a version, ``head`` the newest, ``head~2`` two before it; ``2026-11-23T14:03Z``, ``14:03`` (today, local), ``10m`` (ago);
``tag:NAME``; ``run:9f3c`` just before the agent run whose trace id begins so, ``run:9f3c+`` just after it.
"""

import re
from datetime import datetime, time, timedelta

import click

from ..errors import NoSuchPoint
from ..history import runs_of
from ..log import EventLog
from ..points import Point

GRAMMAR = "7, head, head~2, 2026-11-23T14:03Z, 14:03, 10m (ago), tag:NAME, run:TRACE or run:TRACE+"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?")
_HEAD = re.compile(r"head(?:~(\d+))?")
_RUN = re.compile(r"run:(.+?)(\+?)")


async def resolved(log: EventLog, text: str, now: datetime) -> tuple[int, str]:
    """Return the version at a point, and what the point was understood as. Raises NoSuchPoint, or UsageError."""
    if run := _RUN.fullmatch(text):
        return await _of_run(log, run[1], after=bool(run[2]))
    if head := _HEAD.fullmatch(text):
        newest = await log.version()
        return await log.version(newest - int(head[1] or 0)), ""
    point, meaning = parsed(text, now)
    return await log.version(point), meaning


def parsed(text: str, now: datetime) -> tuple[Point, str]:
    """Return the point that *text* is, and how it reads in full; *now* is local. Raises UsageError."""
    if text.isdecimal():
        return int(text), ""
    if text.startswith("tag:") and len(text) > 4:
        return text[4:], ""
    try:
        if _AGO.fullmatch(text):
            parts = re.findall(r"([\d.]+)([smhdw])", text)
            moment = now - timedelta(**_summed(parts))
        elif _CLOCK.fullmatch(text):
            moment = datetime.combine(now.date(), time.fromisoformat(text if text[1:2] != ":" else f"0{text}"), now.tzinfo)
        else:
            moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise click.UsageError(f"{text!r} is no point; one is {GRAMMAR}") from None
    aware = moment if moment.tzinfo else moment.astimezone()
    return aware, aware.isoformat()


def _summed(parts: list[tuple[str, str]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for number, unit in parts:
        found[_UNITS[unit]] = found.get(_UNITS[unit], 0) + float(number)
    return found


async def _of_run(log: EventLog, start: str, *, after: bool) -> tuple[int, str]:
    """Return the version before or after the one run whose trace id begins with *start*, with or without ``trace_``."""
    found = {
        run.trace_id: run async for run in runs_of(log.walk())
        if run.trace_id and (run.trace_id.startswith(start) or run.trace_id.removeprefix("trace_").startswith(start))
    }  # fmt: skip
    if len(found) != 1:
        raise NoSuchPoint(f"{len(found) or 'no'} runs have a trace id that begins with {start!r}; see log")
    ((trace, run),) = found.items()
    return (run.last if after else run.before), f"just {'after' if after else 'before'} {trace}"
