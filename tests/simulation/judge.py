"""
The check of what was done, with the log itself as the witness of the order.

The promise: an acknowledged change is in the log exactly once, at the version that its answer names and with what it said; one
that raised "not written" is not in it; one of unknown fate at most once; those with the same idempotency key are one. The order
of the log agrees with real time: what ended before another began stands before it. What was read at a version is what that
version reads as for ever, or until it is trimmed, and it was the present at some moment of the call.

A session that was erased ends a log and begins another. Each is judged by itself; a call that went on while one took the
place of the other may belong to either.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from eventlog_session.core.events import ADOPTED, TRIMMED, TRIMMED_BEFORE
from eventlog_session.errors import (
    BeingErased,
    Conflict,
    CorruptLog,
    ForkDetected,
    HistoryTrimmed,
    IdempotencyKeyReused,
    NoSuchPoint,
    OutcomeUnknown,
)

from .history import KINDS, Call, State, Violated, require
from .left import Log


def check(
    calls: Sequence[Call], logs: Sequence[Log], sent: Mapping[str, int], *, left: State, forgot: bool, alive: AbstractSet[str]
) -> Counter[str]:
    """
    Return how the changes ended, or raise Violated.

    *logs* are those that were erased and the one that is there. *sent* says when each event first was, by its id. *left* is
    what was there before the first log, and is its first version. *forgot* says that the store lost what it had acknowledged:
    then a change may be missing if the process that knew of it was told since, or is not *alive* to be told.
    """
    told: dict[str, int] = {}
    for call in calls:
        if call.ended is not None and isinstance(call.error, ForkDetected | CorruptLog):
            require(forgot, f"{call.name}: {call.error!r}, and the store never forgot")
            told[call.process] = max(told.get(call.process, 0), call.ended)
    checks = [_Check(calls, log, sent, left=[] if number else left, forgot=forgot) for number, log in enumerate(logs)]
    counts: Counter[str] = Counter()
    for call in calls:
        wrong = _wrong(call, checks)
        if wrong:
            # as it was in a store that had forgotten, or told after it
            excused = call.fate == "nothing to do" or call.error is not None or call.process not in alive
            # what was left has no head that could be missed, if a head that took it over was forgotten
            excused = excused or (call.kind == "read" and call.version == 1 and bool(left))
            if not forgot or not (excused or told.get(call.process, 0) > call.began):
                raise Violated(f"{wrong}\n{call}")
            counts["lost and told"] += 1
        counts.update(_outcomes(call, any(call.name in one.writers for one in checks)))
    return counts


def _wrong(call: Call, checks: "Sequence[_Check]") -> str:
    """Return what is wrong with *call* in every log that it may belong to; "" for nothing."""
    # written and erased is as good as not written
    possible = [one for one in checks[-1:] if call.name in one.writers] or [one for one in checks if one.may_hold(call)]
    complaints = [one.wrong(call) for one in possible]
    return "" if "" in complaints else "; ".join(dict.fromkeys(complaints))


def _outcomes(call: Call, written: bool) -> Iterator[str]:
    if call.kind in ("read", "walk"):
        yield "reads"
    elif call.kind in KINDS:
        yield call.fate
        if call.fate in ("unknown", "cancelled", "never heard of"):
            yield f"{call.fate}: {'written' if written else 'absent'}"
        if call.key is not None and call.fate == "acknowledged":
            yield "key: written" if written else "key: repeated"
        if isinstance(call.error, IdempotencyKeyReused):
            yield "key: reused"
        if call.expected is not None and call.fate in ("acknowledged", "not written"):
            yield f"expected: {call.fate}"
        if call.kind == "trim" and call.fate == "acknowledged":
            yield "trimmed"
    elif call.error is None and call.ended is not None:
        yield call.kind if call.kind != "resolve" else f"resolve: {'absent' if call.version is None else 'written'}"
    else:
        yield f"{call.kind}: no answer"


class _Check:
    """Of one log."""

    def __init__(self, calls: Sequence[Call], log: Log, sent: Mapping[str, int], *, left: State, forgot: bool) -> None:
        self.log = log
        self.sent = sent
        self.forgot = forgot
        by_name = {call.name: call for call in calls}
        if forgot and log.events[:1] and log.events[0].kind != ADOPTED:
            left = []  # the store forgot the head in the middle of a takeover; what was left is still where it was
        self.oldest = 1 if left else 0
        """The version that there was before anybody did anything."""
        taken_over = bool(left and log.events and log.events[0].kind == ADOPTED)
        as_it_was = not left or not log.events or (taken_over and log.states[1] == left)
        require(as_it_was or forgot, "what was left was not taken over as it was")
        self.began = [0]
        """For each version, when the last call began without which it can't be."""
        self.writers = {name: version for version, name in enumerate(log.names) if name is not None}
        """What each call has made."""
        for name in log.names[1:]:
            require(name in by_name or (taken_over and len(self.began) == 1), f"{name} was never called")
            self.began.append(max(self.began[-1], by_name[name].began if name else 0))
        self.places = {by_name[name].mark: version for name, version in self.writers.items()}
        """What each call and those with the same key have made."""
        require(len(self.places) + taken_over == len(log.events), "an event is in the log twice, or nobody wrote it")
        self.misused = {call.key for call in calls if call.other and call.name in self.writers}
        if left and not log.events:
            log.states.append(left)
            log.floors.append(0)
            self.began.append(0)
        self._listen(calls)

    def _listen(self, calls: Sequence[Call]) -> None:
        heard: list[tuple[int, int]] = []
        for call in calls:
            past = call.kind == "read" and call.target is not None
            if call.ended is not None and call.error is None and call.version is not None and not past and self.must_hold(call):
                heard.append((call.ended, call.version))
        heard.sort()
        self.ends = [ended for ended, _ in heard]
        self.newest = [0]
        """The newest version that anybody has heard of, after each of *ends*."""
        for _, version in heard:
            self.newest.append(max(self.newest[-1], version))

    def may_hold(self, call: Call) -> bool:
        """Whether this was the log at some moment of *call*."""
        began_before = self.log.until is None or call.began < self.log.until
        return began_before and (call.ended is None or call.ended > self.log.epoch.since)

    def must_hold(self, call: Call) -> bool:
        """Whether this was the log at every moment of *call*."""
        ended_before = self.log.until is None or (call.ended is not None and call.ended < self.log.until)
        return ended_before and call.began > self.log.epoch.since

    def wrong(self, call: Call) -> str:
        """Return what is wrong with *call*; "" for nothing."""
        if call.kind in ("read", "walk"):
            return self._wrong_read(call)
        if call.kind not in KINDS:
            return {"resolve": self._wrong_resolution, "verify": self._wrong_verdict, "erase": self._wrong_erasure}[call.kind](
                call
            )
        place = self.places.get(call.mark)
        if call.error is not None and (refusal := self._wrong_refusal(call)):
            return refusal
        if place is not None:
            return self._wrong_event(call, place) if call.name in self.writers else self._wrong_answer(call, place)
        if call.fate == "nothing to do" and not self._idle(call):
            return "there was something to do all the time"
        return "acknowledged, and not in the log" if call.fate == "acknowledged" else ""

    def _wrong_event(self, call: Call, place: int) -> str:
        """Return what is wrong with *call*, whose event makes version *place*."""
        event = self.log.events[place - 1]
        base = 0 if call.kind == "clear" else call.target if call.kind == "rewind" else None
        before = int(event.extensions[TRIMMED_BEFORE]) if event.kind == TRIMMED else call.target
        if event.kind != KINDS[call.kind] or event.base != base or before != call.target:
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
        if call.other and self.places.get(call.key or "", place) < place:
            return "written with the key of another"
        if call.expected not in (None, place - 1):
            return f"in the log at {place}, and expected to follow {call.expected}"
        if call.kind == "rewind" and 0 < (call.target or 0) < self.log.floors[place - 1]:
            return "went back to what had been trimmed"
        return self._wrong_answer(call, place)

    def _wrong_answer(self, call: Call, place: int) -> str:
        """Return what is wrong with what *call* was told of the event at *place*, be it its own or that of its key."""
        if call.fate != "acknowledged":
            return ""
        if place != call.version:
            return f"acknowledged as {call.version}, and in the log at {place}"
        if self.sent[self.log.events[place - 1].id] >= (call.ended or 0):
            return "acknowledged before it was sent"
        if call.kind == "pop" and call.found != self.log.states[place - 1][-1:]:
            return "popped something else than stood last"
        return ""

    def _wrong_refusal(self, call: Call) -> str:
        """Return what is wrong with the error of a change."""
        if isinstance(call.error, NoSuchPoint):
            return self._wrong_point(call)
        if isinstance(call.error, IdempotencyKeyReused) and not call.other and call.key not in self.misused:
            return "refused, and the key never came with other items"
        if isinstance(call.error, BeingErased):
            done = self.log.epoch.erased
            return "" if done is None or call.began < done else "nobody was erasing it"
        if isinstance(call.error, Conflict) and call.expected and self._only(call.expected, call):
            return "the session stood at what was expected all the time"
        return ""

    def _wrong_point(self, call: Call) -> str:
        """Return what is wrong with being told that there is no such version."""
        trimmed = isinstance(call.error, HistoryTrimmed)
        newest = bisect_left(self.began, call.ended or 0) - 1
        floor = self.log.floors[newest]
        if call.kind == "walk":
            return "" if trimmed and floor > self.log.floors[self._heard(call.began)] else "nothing was trimmed meanwhile"
        if call.target is None:
            return "it asked for no point"
        if trimmed:
            return "" if call.target < floor else "it was not trimmed"
        return "there was such a version" if call.target <= self._heard(call.began) else ""

    def _wrong_read(self, call: Call) -> str:
        if isinstance(call.error, NoSuchPoint):
            return self._wrong_point(call)
        if call.error is not None or call.ended is None or call.version is None:
            return ""
        if call.version >= len(self.log.states) or call.found != self._reads(call, call.version):
            return "read otherwise than this version reads now"
        heard = self._heard(call.began)
        if call.target is not None:
            if call.version != call.target:
                return "read another version than was asked for"
            return "read what had been trimmed" if call.target < self.log.floors[heard] else ""
        if call.kind == "walk":
            first = call.version - len(call.found) + 1
            possible = {max(1, floor) for floor in self.log.floors[heard : max(heard, call.version) + 1]}
            if call.version and first not in possible:
                return f"began at {first}"
            # what was left is no event until it is taken over; who walks through what is erased comes to an end
            if heard == self.oldest or not self.must_hold(call):
                return ""
        return f"read the past: version {heard} had been heard of before" if call.version < heard else ""

    def _wrong_resolution(self, call: Call) -> str:
        if call.error is not None or call.ended is None or call.doubt is None:
            return ""
        ids = list(call.doubt.event_ids)
        stand = [event.id for event in self.log.events]
        if call.version is None:
            return "said not to be written, and in the log" if set(ids) & set(stand) else ""
        first = call.version - len(ids)
        return "" if first >= 0 and stand[first : call.version] == ids else "said to be written, and not there"

    def _wrong_verdict(self, call: Call) -> str:
        return "" if call.error is not None or not call.found or self.forgot else "nothing was ever amiss"

    def _wrong_erasure(self, call: Call) -> str:
        if call.error is not None or call.ended is None:
            return ""
        done = self.log.epoch.erased
        if done is None or done > call.ended:
            return "the erasure was not done"
        return "there was something to erase" if done < call.began and self._heard(call.began) else ""

    def _reads(self, call: Call, version: int) -> State:
        """Return what *call* has to find at *version*."""
        if call.kind == "walk":
            first = version - len(call.found) + 1
            return [(name, False) for name in self.log.names[first : version + 1]]
        state = self.log.states[version]
        return state if call.need is None else state[-call.need :] if call.need else []

    def _heard(self, when: int) -> int:
        """Return the newest version that had been heard of by *when*, 0 if the store may have forgotten it since."""
        return 0 if self.forgot else self.newest[bisect_left(self.ends, when)]

    def _only(self, version: int, call: Call) -> bool:
        """Whether *version* was the newest at every moment of *call*."""
        following = self.began[version + 1 : version + 2]
        return self._heard(call.began) == version and (not following or following[0] > (call.ended or 0))

    def _idle(self, call: Call) -> bool:
        """Whether at some moment of *call* there was nothing to do for it."""
        version = max(self._heard(call.began), self.oldest)
        while version < len(self.log.states) and self.began[version] < (call.ended or 0):
            if call.expected in (None, version) and self._nothing(call, version):
                return True
            version += 1
        return False

    def _nothing(self, call: Call, version: int) -> bool:
        """Whether *version* is as *call* would have it."""
        if call.kind == "trim":
            return self.log.floors[version] >= (call.target or 0)
        if call.kind == "rewind" and call.target in (0, version):
            return call.target == version or not self.log.states[version]
        return call.kind != "rewind" and not self.log.states[version]
