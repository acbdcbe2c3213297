"""The log as CloudEvents SDK objects, for whatever binding or broker they go to next. The only importer of `cloudevents`."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import orjson
from cloudevents.core.v1.event import CloudEvent

from .core.events import TYPES, to_rfc3339
from .log import EventLog
from .session import EventLogSession

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def export(source: EventLogSession | EventLog) -> AsyncIterator[CloudEvent]:
    """
    Yield every event of a session, oldest first, as a CloudEvents 1.0 event.

    Beside what is stored, each has ``sequence`` (12 digits, so that it sorts as a string), ``subject`` and
    ``partitionkey`` (the session id) and ``recordedtime`` (when it was committed; ``time`` is when it was asked for).
    """
    log = source if isinstance(source, EventLog) else await source._log()
    subject = _printable(log.session_id)
    async for version, committed, event in log.events():
        attributes: dict[str, Any] = {
            "specversion": "1.0",
            "id": event.id,
            "source": log.keys.source,
            "type": TYPES[event.kind],
            "time": _EPOCH + timedelta(microseconds=event.time),
            "datacontenttype": "application/json",
            "subject": subject,
            "partitionkey": subject,
            "sequence": f"{version:012d}",
            "recordedtime": to_rfc3339(committed),
            **event.extensions,
        }
        yield CloudEvent(attributes, orjson.loads(event.data()))


def _printable(session_id: str) -> str:
    """Return the id as a CloudEvents String: no control characters, no lone surrogates, not empty."""
    if session_id.isprintable() and session_id:
        return session_id
    return quote(session_id.encode("utf-8", "surrogatepass")) or "%"
