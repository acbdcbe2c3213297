"""What was done and what came of it, as whoever did it knows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eventlog_session.core.events import ADDED, CLEARED, POPPED, REDONE, REPLACED, REWOUND, TAGGED, TRIMMED, UNDONE
from eventlog_session.errors import (
    BeingErased,
    Conflict,
    CorruptLog,
    ForkDetected,
    IdempotencyKeyReused,
    InvalidItem,
    NoSuchPoint,
    OutcomeUnknown,
    SessionExists,
    StoreRefused,
    TooManyTags,
    Unavailable,
)
from eventlog_session.revising import Moved

KINDS = {
    "add": ADDED, "pop": POPPED, "pop newest": POPPED, "clear": CLEARED, "rewind": REWOUND, "trim": TRIMMED, "undo": UNDONE,
    "redo": REDONE, "replace": REPLACED, "tag": TAGGED, "untag": TAGGED,
}  # fmt: skip
"""
Changes, and what their events are. "pop" takes as many items as it says or none, "pop newest" what there is of them. The other
kinds of calls are read, walk, verify, resolve, erase and restore.
"""
NOT_WRITTEN = (
    Conflict, Unavailable, StoreRefused, InvalidItem, NoSuchPoint, IdempotencyKeyReused, BeingErased, SessionExists,
    TooManyTags,
)  # fmt: skip
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
    """The version to rewind to, to read, to tag or to trim before; None for the present."""
    number: int = 1
    """How many items are popped, or replaced (-1 for all), or changes undone or redone."""
    tag: str | None = None
    """The name that a version gets or loses, or is read by."""
    need: int | None = None
    ttl: int | None = None
    key: str | None = None
    """An idempotency key, or for a restored log its file: the name of the call that had it first."""
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
    """What was read, popped, or replaced; of a walk the calls that made the events, of a verification what is wrong."""
    moved: Moved | None = None
    """What an undo or a redo says that it did."""
    tagged: int | None = None
    """The version that a tag is said to be for."""
    done: bool = False
    """Whether it was acknowledged by an answer that does not say which version it made."""
    error: BaseException | None = None

    def __str__(self) -> str:
        what = {
            "add": f"{len(self.items)} items",
            "rewind": f"to {self.target}",
            "tag": f"{self.tag} at {self.target}",
            "untag": f"{self.tag}",
            "restore": f"{len(self.items)} items",
            "trim": f"before {self.target}",
            "read": f"{self.need} at {self.target if self.tag is None else self.tag}",
            "resolve": f"{self.doubt.event_ids if self.doubt else ''}",
        }.get(self.kind, "")
        if self.kind in ("pop", "pop newest", "undo", "redo", "replace"):
            what += f"{self.number}"
        if self.key is not None:
            what += f" as {self.key}" + ", but others" * self.other
        if self.expected is not None:
            what += f" on {self.expected}"
        came = "no answer" if self.ended is None else repr(self.error)[:160] if self.error else f"version {self.version}"
        if self.moved is not None:
            came += f", as {self.moved.to} without or with {self.moved.changes}"
        if self.kind in ("pop", "pop newest", "read", "verify", "replace") and self.ended is not None and not self.error:
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
            return "acknowledged" if self.version is not None or self.done else "nothing to do"
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
