"""What a writer did and was told: one JSON line when an operation begins and one when it ends, so that a killed one counts."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from eventlog_session.errors import Conflict, EventLogError, OutcomeUnknown, StoreRefused, Unavailable

ACKNOWLEDGED, NOT_WRITTEN, UNKNOWN, BROKE, RAISED = "acknowledged", "not written", "unknown", "broke", "raised"
"""Outcomes. BROKE is an error that no fault of ours explains; RAISED is what a `DaprSession` says of everything."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One writer process."""

    writer: str
    kind: str
    """log, session or dapr."""
    address: str
    component: str
    session_id: str
    seed: int
    seconds: float = 0
    """How long it works; 0: until it has made *adds*."""
    adds: int = 0
    lanes: int = 1
    """Operations at once."""
    budget: float = 30.0
    deadline: float = 10.0
    rounds: int = 0
    """How many sessions to create together with the others, their ids numbered."""


@dataclass(slots=True)
class Told:
    """An answer: the version that a change made or a read saw, the name of a popped item, the names that were read."""

    version: int | None = None
    popped: str | None = None
    read: str | None = None


@dataclass(slots=True)
class Operation:
    """One call. Times are the machine's monotonic clock, the same for all processes."""

    writer: str
    number: int
    kind: str
    """add, pop, clear, read."""
    begin: float
    names: list[str] = field(default_factory=list)
    need: int | None = None
    at: int | None = None
    end: float | None = None
    """None: the writer was killed."""
    outcome: str = UNKNOWN
    error: str = ""
    event_ids: list[str] = field(default_factory=list)
    version: int | None = None
    popped: str | None = None
    read: str | None = None


class Recorder:
    """One writer's record."""

    def __init__(self, writer: str, file: Path) -> None:
        self._writer = writer
        self._lines = file.open("w", buffering=1)
        self._number = 0

    async def run(
        self,
        call: Callable[[], Awaitable[Told]],
        kind: str,
        names: Sequence[str] = (),
        *,
        need: int | None = None,
        at: int | None = None,
    ) -> Operation:
        """Make the call and return what came of it."""
        self._number += 1
        one = Operation(self._writer, self._number, kind, time.monotonic(), list(names), need, at)
        self._write(one)
        try:
            told = await call()
            one.outcome, one.version, one.popped, one.read = ACKNOWLEDGED, told.version, told.popped, told.read
        except OutcomeUnknown as error:
            one.outcome, one.error, one.event_ids = UNKNOWN, _named(error), list(error.event_ids)
        except (Conflict, Unavailable, StoreRefused) as error:
            one.outcome, one.error = NOT_WRITTEN, _named(error)
        except Exception as error:  # noqa: BLE001 whatever else there is, is looked at by the checker
            one.outcome, one.error = BROKE, f"{type(error).__name__}: {error}"
        one.end = time.monotonic()
        self._write(one)
        return one

    def _write(self, one: Operation) -> None:
        self._lines.write(json.dumps(asdict(one)) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


def read_records(file: Path) -> list[Operation]:
    """Return the operations of one writer; the last word on each counts, and a line cut short by `kill -9` does not."""
    found: dict[int, Operation] = {}
    for line in file.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            one: dict[str, Any] = json.loads(line)
            found[one["number"]] = Operation(**one)
    return list(found.values())


def _named(error: EventLogError) -> str:
    return type(error).__name__
