"""What happened to a session: its changes one by one, and put together by agent run."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

import orjson

from .core.events import NAMES, REMARKS, Event, to_datetime
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
            recorded.version, to_datetime(recorded.committed), NAMES[event.kind], event.count, event.pops,
            recorded.length, event.base, event.id, extensions.get(_TRACE), extensions.get("traceparent"),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class AgentRun:
    """
    Changes that belong together: those of one trace of the Agents SDK; without traces from one user item to the next.

    Runs that went on at the same time overlap: between the first and the last change of one are some of another.
    """

    first: int
    """Versions of the first and the last change; the session as it was *before* the run is a point, too."""
    last: int
    began: datetime
    ended: datetime
    changes: int
    """How many it made, and how many *items* it added."""
    items: int
    trace_id: str | None

    @property
    def before(self) -> int:
        """The version that the run found. Of the oldest run of a trimmed log it can't be read: that raises HistoryTrimmed."""
        return self.first - 1


def untraced(event: Event) -> bool:
    """Whether it takes the items of *event* to say which run it is part of."""
    return _TRACE not in event.extensions and event.kind not in REMARKS


async def runs_of(events: AsyncIterator[Recorded]) -> AsyncIterator[AgentRun]:
    """
    Yield the runs that *events*, oldest first, make up, by their first change: after all events, as any run may go on.

    Of the events only `untraced` ones need their items.
    """
    runs: list[AgentRun] = []
    traced: dict[str, int] = {}
    latest: int | None = None
    async for recorded in events:
        change = Change.of(recorded)
        if change.trace_id is not None:
            latest = traced.get(change.trace_id)
        elif latest is not None and not _goes_on(runs[latest], change, recorded):
            latest = None
        if latest is None:
            latest = len(runs)
            runs.append(AgentRun(change.version, change.version, change.time, change.time, 1, change.items, change.trace_id))
            if change.trace_id is not None:
                traced[change.trace_id] = latest
        else:
            run = runs[latest]
            runs[latest] = replace(
                run, last=change.version, ended=change.time, changes=run.changes + 1, items=run.items + change.items
            )  # fmt: skip
    for run in runs:
        yield run


def _goes_on(run: AgentRun, change: Change, recorded: Recorded) -> bool:
    """Whether a *change* without a trace is part of the *run* that the change before it is part of."""
    if recorded.event.kind in REMARKS:
        return True
    return run.trace_id is None and not (change.items and is_user(orjson.loads(recorded.event.items)[0]))


def is_user(item: object) -> bool:
    """Whether *item* is what a user said, with which a turn begins."""
    return isinstance(item, dict) and item.get("role") == "user" and item.get("type", "message") == "message"
