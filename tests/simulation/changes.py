"""What can be wrong with a change: with what is in the log of it, and with what its caller was told."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping

from eventlog_session.core.events import NO_VERSION, TAG, TAG_VERSION, TRIMMED_BEFORE, Event
from eventlog_session.errors import (
    BeingErased,
    Conflict,
    HistoryTrimmed,
    IdempotencyKeyReused,
    NoSuchPoint,
    OutcomeUnknown,
    TooManyTags,
)

from .editor import wrong_step
from .history import KINDS, Call
from .order import Order

_DECIDED = ("undo", "redo", "replace")
"""Kinds that are written on what they were decided on, or not at all."""


def wrong_change(order: Order, call: Call, room: int) -> str:
    """Return what is wrong with *call* if *order* is that of the log; "" for nothing. *room* is for how many tags there is."""
    place = order.places.get(call.mark)
    if call.error is not None and (refusal := _wrong_refusal(order, call, room)):
        return refusal
    if place is not None:
        return _wrong_event(order, call, place, room) if call.name in order.writers else _wrong_answer(order, call, place)
    if call.fate == "nothing to do" and not any(_nothing(order, call, version) for version in order.meanwhile(call)):
        return "there was something to do all the time"
    return "acknowledged, and not in the log" if call.fate == "acknowledged" else ""


def wrong_point(order: Order, call: Call) -> str:
    """Return what is wrong with being told that there is no such version."""
    if call.kind in ("undo", "redo"):
        return "" if isinstance(call.error, HistoryTrimmed) and any(_reaches_back(order, call)) else "it was not trimmed"
    if call.tag is not None and call.target is None:
        named = any(_is_trimmed_tag(order, call, version) for version in order.meanwhile(call))
        return "" if named else "its tag was for a version that can be read all the time"
    trimmed = isinstance(call.error, HistoryTrimmed)
    newest = bisect_left(order.began, call.ended or 0) - 1
    floor = order.log.floors[newest]
    if call.kind == "walk":
        return "" if trimmed and floor > order.log.floors[order.heard(call.began)] else "nothing was trimmed meanwhile"
    if call.target is None:
        return "it asked for no point"
    if trimmed:
        return "" if call.target < floor else "it was not trimmed"
    return "there was such a version" if call.target <= order.heard(call.began) else ""


def _reaches_back(order: Order, call: Call) -> Iterator[bool]:
    """Yield for each moment of an undo or redo whether it would have led to what was trimmed."""
    for version in order.meanwhile(call):
        stepped = order.editors[version].step(call.kind, call.number)
        yield order.log.floors[version] > (stepped[1] if stepped else 0)


def _is_trimmed_tag(order: Order, call: Call, version: int) -> bool:
    """Whether at *version* the tag that *call* reads at is not there, or for a version that can't be read."""
    tagged = order.log.tags[version].get(call.tag or "")
    return tagged < order.log.floors[version] if tagged is not None else not isinstance(call.error, HistoryTrimmed)


def _wrong_event(order: Order, call: Call, place: int, room: int) -> str:
    """Return what is wrong with *call*, whose event makes version *place*."""
    event = order.log.events[place - 1]
    if event.kind != KINDS[call.kind] or not _asked_for(order, call, place, event):
        return "another event than was asked for"
    if call.items and order.log.states[place][-len(call.items) :] != call.items:
        return "other items than were added"
    if misplaced := _misplaced(order, call, place, event):
        return misplaced
    if unfit := _unfit(order, call, place, event, room):
        return unfit
    if call.kind in ("undo", "redo"):
        wrong = wrong_step(call, place, order.editors[place - 1], order.log.states, event.base)
        return wrong or _wrong_answer(order, call, place)
    return _wrong_answer(order, call, place)


def _misplaced(order: Order, call: Call, place: int, event: Event) -> str:
    """Return why *event*, which *call* has made, can't be at *place*, or anywhere."""
    if place <= order.heard(call.began):
        return f"in the log at {place}, before what had ended when it began"
    if call.ended is not None and order.sent[event.id] >= call.ended:
        return "sent after its caller had heard that it is over"
    if call.fate in ("not written", "nothing to do"):
        return f"said to be {call.fate}, and in the log at {place}"
    if isinstance(call.error, OutcomeUnknown) and event.id not in call.error.event_ids:
        return "in the log, and its id is not in the error"
    if call.other and order.places.get(call.key or "", place) < place:
        return "written with the key of another"
    if call.expected not in (None, place - 1):
        return f"in the log at {place}, and expected to follow {call.expected}"
    return ""


def _unfit(order: Order, call: Call, place: int, event: Event, room: int) -> str:
    """Return why the log that there was before *place* should not have taken *event*."""
    to = (call.target or 0) if call.kind == "tag" else (event.base or 0)
    if 0 < to < order.log.floors[place - 1]:
        return "went back to what had been trimmed, or gave it a name"
    if call.kind == "tag" and to > place - 1:
        return "tagged what was not there yet"
    if call.kind == "untag" and call.tag not in order.log.tags[place - 1]:
        return "took away a tag that was not there"
    return f"more than {room} tags" if len(order.log.tags[place]) > room else ""


def _asked_for(order: Order, call: Call, place: int, event: Event) -> bool:
    """Whether *event* does what *call* says, of its kind. What undo and redo do is the editor's business."""
    before = order.log.states[place - 1]
    pops = {"pop": call.number, "pop newest": min(call.number, len(before)), "replace": max(0, call.number)}
    base = {"clear": 0, "rewind": call.target, "replace": 0 if call.number < 0 else None}
    told: Mapping[str, Mapping[str, str | None]] = {
        "trim": {TRIMMED_BEFORE: str(call.target)},
        "tag": {TAG: call.tag, TAG_VERSION: None if call.target is None else str(call.target)},
        "untag": {TAG: call.tag, TAG_VERSION: NO_VERSION},
    }
    if call.kind not in ("undo", "redo") and (event.base != base.get(call.kind) or event.pops != pops.get(call.kind, 0)):
        return False
    return all(event.extensions.get(name) == value for name, value in told.get(call.kind, {}).items())


def _wrong_answer(order: Order, call: Call, place: int) -> str:
    """Return what is wrong with what *call* was told of the event at *place*, be it its own or that of its key."""
    if call.fate != "acknowledged":
        return ""
    if call.version is not None and place != call.version:
        return f"acknowledged as {call.version}, and in the log at {place}"
    if order.sent[order.log.events[place - 1].id] >= (call.ended or 0):
        return "acknowledged before it was sent"
    before = order.log.states[place - 1]
    if call.kind in ("pop", "pop newest") and call.found != before[-call.number :]:
        return "popped something else than stood last"
    if call.kind == "replace" and call.found != (before if call.number < 0 else before[len(before) - call.number :]):
        return "replaced something else than it had read"
    if call.kind == "tag" and call.tagged != (place - 1 if call.target is None else call.target):
        return f"said to tag {call.tagged}"
    return ""


def _wrong_refusal(order: Order, call: Call, room: int) -> str:
    """Return what is wrong with the error of a change."""
    if isinstance(call.error, NoSuchPoint):
        return wrong_point(order, call)
    if isinstance(call.error, IdempotencyKeyReused) and not call.other and call.key not in order.misused:
        return "refused, and the key never came with other items"
    if isinstance(call.error, BeingErased):
        return wrong_wait(order, call)
    if isinstance(call.error, TooManyTags):
        tags = (order.log.tags[version] for version in order.meanwhile(call))
        return "" if any(len(there) >= room and call.tag not in there for there in tags) else "there was room for its tag"
    if isinstance(call.error, Conflict):
        if call.expected and order.only(call.expected, call):
            return "the session stood at what was expected all the time"
        stood = order.heard(call.began)
        if call.kind in _DECIDED and call.expected is None and stood and order.must_hold(call) and order.only(stood, call):
            return "nobody else was first"
    return ""


def wrong_wait(order: Order, call: Call) -> str:
    """Return what is wrong with being told that the session is being erased."""
    done = order.log.epoch.erased
    return "" if done is None or call.began < done else "nobody was erasing it"


def _nothing(order: Order, call: Call, version: int) -> bool:
    """Whether *version* is as *call* would have it, or is all that it must not be written on."""
    state = order.log.states[version]
    if call.expected not in (None, version):
        return False
    if call.kind in ("undo", "redo"):
        return order.editors[version].step(call.kind, call.number) is None
    if call.kind == "trim":
        return order.log.floors[version] >= (call.target or 0)
    if call.kind == "untag":
        return call.tag not in order.log.tags[version]
    if call.kind == "rewind":
        return call.target == version or (call.target == 0 and not state)
    if call.kind == "replace":
        return not call.items and (call.number == 0 or not state)
    return len(state) < (call.number if call.kind == "pop" else 1)
