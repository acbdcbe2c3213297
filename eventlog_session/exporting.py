"""
The log as CloudEvents: SDK objects for whatever binding or broker they go to next, and a file of lines that makes a log again.

A file has a CloudEvent in its JSON format on each line (JSON Lines): the same log gives the same bytes. Beside what is stored,
each event has ``sequence`` (12 digits, so that it sorts as a string) and ``recordedtime`` (when it was committed; ``time`` is
when it was asked for), ``subject`` and ``partitionkey`` (the session id), and in a file ``lastsequence`` (of the last line: a
file that was cut short is no whole log). The only importer of `cloudevents`, and lazily: it takes its time.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from urllib.parse import quote, unquote

import orjson

from .copying import Progress, restore
from .core.events import TYPES, Event, from_rfc3339, to_datetime, to_rfc3339
from .core.keys import Keys, is_source
from .errors import CorruptLog, InvalidExport
from .log import EventLog
from .points import Point
from .protocol.walk import Recorded

if TYPE_CHECKING:
    from cloudevents.core.v1.event import CloudEvent

    from .session import EventLogSession

_OURS = ("sequence", "recordedtime", "subject", "partitionkey", "lastsequence")
"""Attributes of an exported event that are none of the stored one."""
_DIGITS: Final = 12
"""Of a sequence, so that it sorts as a string."""


async def export(
    source: "EventLogSession | EventLog", since: Point | None = None, until: Point | None = None, *, reverse: bool = False
) -> "AsyncIterator[CloudEvent]":
    """
    Yield the events of a session after the point *since* up to the point *until* as CloudEvents 1.0 events.

    All that are kept without them, oldest first unless *reverse*. Raises NoSuchPoint.
    """
    from cloudevents.core.v1.event import CloudEvent  # noqa: PLC0415

    log = source if isinstance(source, EventLog) else await source._log()
    async for recorded in log.walk(since, until, reverse=reverse):
        attributes = attributes_of(log, recorded)
        attributes["time"] = to_datetime(recorded.event.time)
        yield CloudEvent(attributes, orjson.loads(recorded.event.data()))


async def lines(log: EventLog, until: Point | None = None) -> AsyncIterator[bytes]:
    """
    Yield the file of a session up to a point, line by line; a version that was trimmed is not in it, see `standing_alone`.

    Raises NoSuchPoint, HistoryTrimmed when what is not read yet is trimmed meanwhile, Conflict when the session is erased or
    expires meanwhile: what was yielded is no whole file then, and its lines say so.
    """
    known, last = await log.located(until)
    subject = _printable(log.session_id)
    async for one in log.standing_alone(known, last):
        yield _line(log.keys.source, subject, f"{last:0{_DIGITS}d}", one)


async def dump(source: "EventLogSession | EventLog", file: BinaryIO, until: Point | None = None) -> int:
    """
    Write the file of a session up to a point to *file*, and return the number of events in it.

    Raises as `lines` does; what is in *file* by then `load` refuses.
    """
    number = 0
    async for line in lines(source if isinstance(source, EventLog) else await source._log(), until):
        file.write(line)
        number += 1
    return number


async def load(
    target: "EventLogSession | EventLog", file: Iterable[bytes], *, progress: Progress | None = None, dry_run: bool = False
) -> int:  # fmt: skip
    """
    Make a session what the lines of *file* say, all or nothing, and return the version that it stands at.

    It need not have the id that was exported; where a session was erased before, the events get new ids. The lines must be as
    `lines` wrote them, to the letter. A ttl of the target's begins with the next write to it: until then what was loaded, which
    may be older than that, does not expire. A *dry_run* checks everything and writes nothing. Raises InvalidExport, naming the
    line or the event that is wrong, before anything is written; SessionExists, BeingErased or Conflict as `restore` does.
    """

    async def events() -> AsyncIterator[Recorded]:
        for found in recorded(file):
            yield found

    log = target if isinstance(target, EventLog) else await target._log()
    return await restore(log, events(), progress=progress, dry_run=dry_run)


def recorded(lines: Iterable[bytes]) -> Iterator[Recorded]:
    """
    Yield the events of a file.

    Raises InvalidExport, naming the line, for what is not as `lines` writes it; that the events make a log is for who makes it.
    """
    of: tuple[str, ...] = ()
    version = 0
    for number, line in enumerate(lines, 1):
        try:
            its, found = _recorded(line)
        except (ValueError, KeyError, TypeError, AttributeError, CorruptLog) as error:
            raise InvalidExport(f"line {number} is not as it was exported; export it anew") from error
        if of and its != of:
            raise InvalidExport(f"line {number} is of another export than the lines before it")
        of, version = its, found.version
        yield found
    if not of:
        raise InvalidExport("there is no event in it")
    if version != int(of[2]):
        raise InvalidExport(f"it was cut short: its last line is event {version}, not {int(of[2])}")


def session_of(line: bytes) -> str:
    """Return the id of the session that a file with this first line was made of. Raises InvalidExport."""
    try:
        attributes = orjson.loads(line)
        subject = attributes["subject"]
        for session_id in (subject, unquote(subject, errors="surrogatepass"), ""):
            if Keys(session_id).source == attributes["source"]:
                return str(session_id)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidExport("line 1 is no exported event; export it anew") from error
    raise InvalidExport("line 1 is of a session whose id it does not tell; say what the session is to be called")


def attributes_of(log: EventLog, recorded: Recorded) -> dict[str, Any]:
    """Return the attributes of an exported event, without its data."""
    return _told(log.keys.source, _printable(log.session_id), recorded)


def _told(source: str, subject: str, recorded: Recorded) -> dict[str, Any]:
    event = recorded.event
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": source,
        "type": TYPES[event.kind],
        "time": to_rfc3339(event.time),
        "datacontenttype": "application/json",
        "subject": subject,
        "partitionkey": subject,
        "sequence": f"{recorded.version:0{_DIGITS}d}",
        "recordedtime": to_rfc3339(recorded.committed),
        **event.extensions,
    }


def _line(source: str, subject: str, last: str, recorded: Recorded) -> bytes:
    attributes = {**_told(source, subject, recorded), "lastsequence": last}
    attributes["data"] = orjson.Fragment(recorded.event.data())
    return orjson.dumps(attributes) + b"\n"


def _recorded(line: bytes) -> tuple[tuple[str, str, str], Recorded]:
    """
    Return what `_line` made *line* of: which log's it is, and the event.

    Raises whatever comes first for anything else: made again, the line must be the same to the letter. So no attribute is
    passed over, and nothing can be written in two ways.
    """
    attributes = orjson.loads(line)
    its = [attributes[name] for name in ("source", "subject", "lastsequence", "sequence")]
    if {type(one) for one in its} != {str}:
        raise TypeError("it is of other types")
    source, subject, last, sequence = its
    if not is_source(source) or len(sequence) != _DIGITS or last != f"{int(last):0{_DIGITS}d}":
        raise ValueError("it is of no log")
    stored = {name: value for name, value in attributes.items() if name not in _OURS}
    found = Recorded(int(sequence), from_rfc3339(attributes["recordedtime"]), 0, Event.of_attributes(stored))
    if _line(source, subject, last, found) != line.removesuffix(b"\n") + b"\n":
        raise ValueError("it is written in another way")
    return (source, subject, last), found


def _printable(session_id: str) -> str:
    """Return the id as a CloudEvents String: no control characters, no lone surrogates, not empty."""
    if session_id.isprintable() and session_id:
        return session_id
    return quote(session_id.encode("utf-8", "surrogatepass")) or "%"
