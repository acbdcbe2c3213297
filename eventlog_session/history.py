"""What happened to a session: its changes one by one, and put together by agent run."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

import orjson

from .core.events import REMARKS, TYPES, to_datetime
from .protocol.walk import Recorded

_TRACE = "agentstraceid"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a session, without its items."""

    version: int
    """That it made."""
    time: datetime
    """When it was committed."""
    kind: str
    """``added``, ``popped``, ``cleared``, ``rewound``, ``replaced``, ``undone``, ``redone``; ``adopted`` is what a
    `DaprSession` left; ``trimmed``, ``tagged`` and ``forked`` leave the history as it is."""
    items: int
    """How many items it added; *popped* how many it took from the end before that."""
    popped: int
    length: int
    """Items of the history after it."""
    base: int | None
    """The older version that it started from; None for the one before it."""
    event_id: str
    trace_id: str | None
    """Of the Agents SDK's trace that it was part of."""
    traceparent: str | None
    """Of the OpenTelemetry span that was current."""

    @classmethod
    def of(cls, recorded: Recorded) -> Self:
        """Return what *recorded* did."""
        event = recorded.event
        extensions = event.extensions
        return cls(
            recorded.version, to_datetime(recorded.committed), TYPES[event.kind].split(".")[-2], event.count, event.pops,
            recorded.length, event.base, event.id, extensions.get(_TRACE), extensions.get("traceparent"),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class AgentRun:
    """Changes that belong together: those of one trace of the Agents SDK, or without traces from one user item to the next."""

    first: int
    """Versions of the first and the last change; the session as it was *before* the run is a point, too."""
    last: int
    began: datetime
    ended: datetime
    items: int
    """How many it added."""
    trace_id: str | None

    @property
    def before(self) -> int:
        """The version that the run found."""
        return self.first - 1


async def runs_of(events: AsyncIterator[Recorded]) -> AsyncIterator[AgentRun]:
    """Yield the runs that *events*, oldest first, make up."""
    run: AgentRun | None = None
    async for recorded in events:
        change = Change.of(recorded)
        if run is not None and _goes_on(run, change, recorded):
            run = replace(run, last=change.version, ended=change.time, items=run.items + change.items)
            continue
        if run is not None:
            yield run
        run = AgentRun(change.version, change.version, change.time, change.time, change.items, change.trace_id)
    if run is not None:
        yield run


def _goes_on(run: AgentRun, change: Change, recorded: Recorded) -> bool:
    """Whether *change* is part of the *run* before it."""
    if recorded.event.kind in REMARKS:
        return True
    if change.trace_id is not None or run.trace_id is not None:
        return change.trace_id == run.trace_id
    return not (change.items and is_user(orjson.loads(recorded.event.items)[0]))


def is_user(item: object) -> bool:
    """Whether *item* is what a user said, with which a turn begins."""
    return isinstance(item, dict) and item.get("role") == "user" and item.get("type", "message") == "message"
