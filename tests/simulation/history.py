"""
What was done and what came of it; and the check, with the log itself as the witness of the order.

The promise: an acknowledged change is in the log exactly once, at the version that its answer names and with what it said; one
that raised "not written" is not in it; one of unknown fate at most once. The order of the log agrees with real time: what
ended before another began stands before it. What was read at a version is what that version reads as for ever, and it was the
present at some moment of the call.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import orjson

from eventlog_session import EventLog
from eventlog_session.core.events import ADDED, ADOPTED, CLEARED, POPPED, REWOUND, Event
from eventlog_session.errors import (
    Conflict,
    CorruptLog,
    ForkDetected,
    InvalidItem,
    NoSuchPoint,
    OutcomeUnknown,
    StoreRefused,
    Unavailable,
)

KINDS = {"add": ADDED, "pop": POPPED, "clear": CLEARED, "rewind": REWOUND}
NOT_WRITTEN = (Conflict, Unavailable, StoreRefused, InvalidItem, NoSuchPoint)
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
    """The version to rewind to or to read; of a read None for the present."""
    need: int | None = None
    ttl: int | None = None
    ended: int | None = None
    """None: nobody ever heard."""
    version: int | None = None
    """What the answer says. None for "there was nothing to do"."""
    found: State = field(default_factory=list)
    """What was read or popped."""
    error: BaseException | None = None

    def __str__(self) -> str:
        what = {"add": f"{len(self.items)} items", "rewind": f"to {self.target}", "read": f"{self.need} at {self.target}"}
        came = "no answer" if self.ended is None else repr(self.error)[:160] if self.error else f"version {self.version}"
        if self.kind in ("pop", "read") and self.ended is not None and not self.error:
            came += f": {' '.join(_label(item) for item, _ in self.found)}"
        return f"{self.began:5} {self.ended or '':5} {self.name:8} {self.kind} {what.get(self.kind, '')} -> {came}"

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


@dataclass(slots=True)
class Log:
    """The log that is left, read by somebody who knew nothing."""

    names: list[str | None]
    """The call that made each version, by its name; None for version 0."""
    events: list[Event]
    states: list[State]

    @classmethod
    async def read(cls, log: EventLog) -> "Log":
        """Read everything twice: as events, folded here in the plainest way, and each version as the log reads it."""
        left = cls([None], [], [[]])
        last = 0
        async for version, committed, event in log.events():
            _require(version == len(left.states), f"version {version} after {len(left.states) - 1}")
            _require(committed >= last, f"version {version} was committed before the one before it")
            last = committed
            left.events.append(event)
            left.names.append(event.extensions.get("call"))
            before = left.states[-1 if event.base is None else event.base]
            _require(event.pops <= len(before), f"version {version} pops from an empty history")
            text = set(event.text)
            added = [(item, place in text) for place, item in enumerate(orjson.loads(event.items))]
            left.states.append(before[: len(before) - event.pops] + added)
        head = await log.head()
        _require((head.version, head.length) == (len(left.states) - 1, len(left.states[-1])), "the head and its events differ")
        for version, state in enumerate(left.states):
            view = await log.read(at=version)
            _require(paired(view.items, view.texts) == state, f"version {version} does not read as its events say")
        return left


def paired(items: Sequence[Any], texts: Sequence[int]) -> State:
    """Return a view's items as a state."""
    kept = set(texts)
    return [(item, place in kept) for place, item in enumerate(items)]


def check(
    calls: Sequence[Call], log: Log, sent: Mapping[str, int], *, left: State, forgot: bool, alive: AbstractSet[str]
) -> Counter[str]:
    """
    Return how the changes ended, or raise Violated.

    *sent* says when each event first was, by its id. *left* is what was there before the log, and is its first version.
    *forgot* says that the store lost what it had acknowledged: then a change may be missing if the process that knew of it
    was told since, or is not *alive* to be told.
    """
    return Counter(_Check(calls, log, sent, left=left, forgot=forgot, alive=alive).run())


class _Check:
    def __init__(
        self, calls: Sequence[Call], log: Log, sent: Mapping[str, int], *, left: State, forgot: bool, alive: AbstractSet[str]
    ) -> None:
        self.calls = calls
        self.log = log
        self.sent = sent
        self.forgot = forgot
        self.alive = alive
        self.places = {name: version for version, name in enumerate(log.names) if name is not None}
        if forgot and log.events[:1] and log.events[0].kind != ADOPTED:
            left = []  # the store forgot the head in the middle of a takeover; what was left is still where it was
        self.oldest = 1 if left else 0
        """The version that there was before anybody did anything."""
        taken_over = bool(left and log.events and log.events[0].kind == ADOPTED)
        as_it_was = not left or not log.events or (taken_over and log.states[1] == left)
        _require(as_it_was or forgot, "what was left was not taken over as it was")
        _require(len(self.places) + taken_over == len(log.events), "an event is in the log twice, or nobody wrote it")
        began = {call.name: call.began for call in calls}
        self.began = [0]
        """For each version, when the last call began without which it can't be."""
        for name in log.names[1:]:
            _require(name in began or (taken_over and len(self.began) == 1), f"{name} was never called")
            self.began.append(max(self.began[-1], began.get(name or "", 0)))
        if left and not log.events:
            log.states.append(left)
            self.began.append(0)
        self.told: dict[str, int] = {}
        """When each process last heard that the store forgot."""
        heard: list[tuple[int, int]] = []
        for call in calls:
            if call.ended is not None and isinstance(call.error, ForkDetected | CorruptLog):
                _require(forgot, f"{call.name}: {call.error!r}, and the store never forgot")
                self.told[call.process] = max(self.told.get(call.process, 0), call.ended)
            past = call.kind == "read" and call.target is not None
            if call.ended is not None and call.error is None and call.version is not None and not past:
                heard.append((call.ended, call.version))
        heard.sort()
        self.ends = [ended for ended, _ in heard]
        self.newest = [0]
        """The newest version that anybody has heard of, after each of *ends*."""
        for _, version in heard:
            self.newest.append(max(self.newest[-1], version))

    def run(self) -> Iterator[str]:
        for call in self.calls:
            wrong = self._wrong(call)
            if wrong and not self._excused(call):
                raise Violated(f"{wrong}\n{call}")
            if wrong:
                yield "lost and told"
            if call.kind in ("read", "walk"):
                yield "reads"
            else:
                yield call.fate
                if call.fate in ("unknown", "cancelled", "never heard of"):
                    yield f"{call.fate}: {'written' if call.name in self.places else 'absent'}"

    def _excused(self, call: Call) -> bool:
        """Whether *call* need not agree with the log: the store forgot, and its process was told after it."""
        told = self.told.get(call.process, 0) > call.began
        nothing = call.fate == "nothing to do"  # as it was, in a store that had forgotten
        return self.forgot and (told or nothing or call.error is not None or call.process not in self.alive)

    def _wrong(self, call: Call) -> str:
        """Return what is wrong with *call*; "" for nothing."""
        place = self.places.get(call.name)
        if call.kind in ("read", "walk"):
            return self._wrong_read(call)
        if isinstance(call.error, NoSuchPoint) and (call.target or 0) <= self._heard(call.began):
            return "there was such a version"
        if place is not None:
            return self._wrong_event(call, place)
        if call.fate == "nothing to do" and not self._idle(call):
            return "there was something to do all the time"
        return "acknowledged, and not in the log" if call.fate == "acknowledged" else ""

    def _wrong_event(self, call: Call, place: int) -> str:
        """Return what is wrong with *call*, whose event makes version *place*."""
        event = self.log.events[place - 1]
        if event.kind != KINDS[call.kind] or event.base != (0 if call.kind == "clear" else call.target):
            return "another event than was asked for"
        if call.kind == "add" and self.log.states[place][-len(call.items) :] != call.items:
            return "other items than were added"
        if place <= self._heard(call.began):
            return f"in the log at {place}, before what had ended when it began"
        if call.ended is not None and self.sent[event.id] >= call.ended:
            return "sent after its caller had heard that it is over"
        if call.fate in ("not written", "nothing to do"):
            return f"said to be {call.fate}, and in the log at {place}"
        if isinstance(call.error, OutcomeUnknown) and event.id not in call.error.event_ids:
            return "in the log, and its id is not in the error"
        if call.fate == "acknowledged" and place != call.version:
            return f"acknowledged as {call.version}, and in the log at {place}"
        if call.fate == "acknowledged" and call.kind == "pop" and call.found != self.log.states[place - 1][-1:]:
            return "popped something else than stood last"
        return ""

    def _wrong_read(self, call: Call) -> str:
        if isinstance(call.error, NoSuchPoint):
            return "there was such a version" if (call.target or 0) <= self._heard(call.began) else ""
        if call.error is not None or call.ended is None or call.version is None:
            return ""
        if call.version >= len(self.log.states) or call.found != self._reads(call, call.version):
            return "read otherwise than this version reads now"
        if call.target is not None:
            return "" if call.version == call.target else "read another version than was asked for"
        heard = self._heard(call.began)
        if call.kind == "walk" and heard == self.oldest:  # what was left is no event until it is taken over
            return ""
        return f"read the past: version {heard} had been heard of before" if call.version < heard else ""

    def _reads(self, call: Call, version: int) -> State:
        """Return what *call* has to find at *version*."""
        if call.kind == "walk":
            return [(name, False) for name in self.log.names[1 : version + 1]]
        state = self.log.states[version]
        return state if call.need is None else state[-call.need :] if call.need else []

    def _heard(self, when: int) -> int:
        """Return the newest version that had been heard of by *when*, 0 if the store may have forgotten it since."""
        return 0 if self.forgot else self.newest[bisect_left(self.ends, when)]

    def _idle(self, call: Call) -> bool:
        """Whether at some moment of *call* there was nothing to do for it."""
        version = max(self._heard(call.began), self.oldest)
        while version < len(self.log.states) and self.began[version] < (call.ended or 0):
            if not self.log.states[version] and (call.kind != "rewind" or call.target == 0):
                return True
            if call.kind == "rewind" and call.target == version:
                return True
            version += 1
        return False


def _label(item: Any) -> str:
    return str(item["name"] if isinstance(item, dict) else str(item).partition(" ")[0])


def _require(fact: object, otherwise: str) -> None:
    if not fact:
        raise Violated(otherwise)
