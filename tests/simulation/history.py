"""What was done and what came of it, as whoever did it knows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eventlog_session.core.events import ADDED, CLEARED, POPPED, REWOUND, TRIMMED
from eventlog_session.errors import (
    BeingErased,
    Conflict,
    CorruptLog,
    ForkDetected,
    IdempotencyKeyReused,
    InvalidItem,
    NoSuchPoint,
    OutcomeUnknown,
    StoreRefused,
    Unavailable,
)

KINDS = {"add": ADDED, "pop": POPPED, "clear": CLEARED, "rewind": REWOUND, "trim": TRIMMED}
"""Changes, and what their events are. The other kinds of calls are read, walk, verify, resolve and erase."""
NOT_WRITTEN = (Conflict, Unavailable, StoreRefused, InvalidItem, NoSuchPoint, IdempotencyKeyReused, BeingErased)
UNKNOWN = (OutcomeUnknown, ForkDetected, CorruptLog)

State = list[tuple[Any, bool]]
"""A history: each item, and whether it is kept as text."""


@dataclass(slots=True, eq=False)
class Call:
    """One call of a process, and what came of it. *began* and *ended* count everything that begins or ends in a schedule."""

    process: str
    kind: str
    name: str
    began: int
    items: State = field(default_factory=list)
    target: int | None = None
    """The version to rewind to, to read or to trim before; of a read None for the present."""
    need: int | None = None
    ttl: int | None = None
    key: str | None = None
    """An idempotency key: the name of the call that had it first."""
    other: bool = False
    """Whether its items are others than those that its key came with first."""
    expected: int | None = None
    doubt: OutcomeUnknown | None = None
    """What is to be resolved."""
    ended: int | None = None
    """None: nobody ever heard."""
    version: int | None = None
    """What the answer says. None for "there was nothing to do", and for a doubt resolved as "not written"."""
    found: State = field(default_factory=list)
    """What was read or popped; of a walk the calls that made the events, of a verification what is wrong."""
    error: BaseException | None = None

    def __str__(self) -> str:
        what = {
            "add": f"{len(self.items)} items",
            "rewind": f"to {self.target}",
            "trim": f"before {self.target}",
            "read": f"{self.need} at {self.target}",
            "resolve": f"{self.doubt.event_ids if self.doubt else ''}",
        }.get(self.kind, "")
        if self.key is not None:
            what += f" as {self.key}" + ", but others" * self.other
        if self.expected is not None:
            what += f" on {self.expected}"
        came = "no answer" if self.ended is None else repr(self.error)[:160] if self.error else f"version {self.version}"
        if self.kind in ("pop", "read", "verify") and self.ended is not None and not self.error:
            came += f": {' '.join(_label(item) for item, _ in self.found)}"
        return f"{self.began:5} {self.ended or '':5} {self.name:8} {self.kind} {what} -> {came}"

    @property
    def mark(self) -> str:
        """What its event is known by: all calls with the same key and items are to have one event."""
        return self.name if self.key is None or self.other else self.key

    @property
    def fate(self) -> str:
        """What the caller of a change knows of it."""
        if self.ended is None:
            return "never heard of"
        if self.error is None:
            return "acknowledged" if self.version is not None else "nothing to do"
        if isinstance(self.error, NOT_WRITTEN):
            return "not written"
        return "unknown" if isinstance(self.error, UNKNOWN) else "cancelled"


class Violated(AssertionError):
    """The log and the history contradict each other."""


def require(fact: object, otherwise: str) -> None:
    """Raise Violated unless *fact*."""
    if not fact:
        raise Violated(otherwise)


def paired(items: Sequence[Any], texts: Sequence[int]) -> State:
    """Return a view's items as a state."""
    kept = set(texts)
    return [(item, place in kept) for place, item in enumerate(items)]


def _label(item: Any) -> str:
    return str(item["name"] if isinstance(item, dict) else str(item).partition(" ")[0])
