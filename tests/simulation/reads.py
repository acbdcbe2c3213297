"""What can be wrong with calls that change nothing, or everything at once."""

from eventlog_session.errors import BeingErased, NoSuchPoint, SessionExists

from .changes import wrong_point, wrong_wait
from .history import Call, State
from .order import Order


def wrong_read(order: Order, call: Call) -> str:
    """Return what is wrong with a read or a walk; "" for nothing, as everywhere here."""
    if isinstance(call.error, NoSuchPoint):
        return wrong_point(order, call)
    if call.error is not None or call.ended is None or call.version is None:
        return ""
    if call.version >= len(order.log.states) or call.found != _reads(order, call, call.version):
        return "read otherwise than this version reads now"
    heard = order.heard(call.began)
    if call.tag is not None:
        named = any(order.log.tags[version].get(call.tag) == call.version for version in order.meanwhile(call))
        return "" if named else "its tag never was for the version that was read"
    if call.target is not None:
        if call.version != call.target:
            return "read another version than was asked for"
        return "read what had been trimmed" if call.target < order.log.floors[heard] else ""
    if call.kind == "walk":
        first = call.version - len(call.found) + 1
        possible = {max(1, floor) for floor in order.log.floors[heard : max(heard, call.version) + 1]}
        if call.version and first not in possible:
            return f"began at {first}"
        if not order.must_hold(call):  # who walks through what is erased comes to an end
            return ""
    return f"read the past: version {heard} had been heard of before" if call.version < heard else ""


def _reads(order: Order, call: Call, version: int) -> State:
    """Return what *call* has to find at *version*."""
    if call.kind == "walk":
        first = version - len(call.found) + 1
        return [(name, False) for name in order.log.names[first : version + 1]]
    state = order.log.states[version]
    return state if call.need is None else state[-call.need :] if call.need else []


def wrong_resolution(order: Order, call: Call) -> str:
    """Return what is wrong with what is said to have become of a doubt."""
    if call.error is not None or call.ended is None or call.doubt is None:
        return ""
    ids = list(call.doubt.event_ids)
    stand = [event.id for event in order.log.events]
    if call.version is None:
        return "said not to be written, and in the log" if set(ids) & set(stand) else ""
    first = call.version - len(ids)
    return "" if first >= 0 and stand[first : call.version] == ids else "said to be written, and not there"


def wrong_verdict(order: Order, call: Call) -> str:
    """Return what is wrong with a verification."""
    return "" if call.error is not None or not call.found or order.forgot else "nothing was ever amiss"


def wrong_erasure(order: Order, call: Call) -> str:
    """Return what is wrong with an erasure."""
    if call.error is not None or call.ended is None:
        return ""
    done = order.log.epoch.erased
    if done is None or done > call.ended:
        return "the erasure was not done"
    return "there was something to erase" if done < call.began and order.heard(call.began) else ""


def wrong_restoration(order: Order, call: Call) -> str:
    """Return what is wrong with having restored a whole log, or with not having done so."""
    version = order.places.get(call.mark)
    if isinstance(call.error, SessionExists) and not any(order.meanwhile(call)):
        return "there was no session"
    if isinstance(call.error, BeingErased) and (waited := wrong_wait(order, call)):
        return waited
    if version is None:
        return "acknowledged, and not in the log" if call.fate == "acknowledged" else ""
    if order.log.states[version] != call.items:
        return "restored something else"
    makers = [one for one in order.makers if one.mark == call.mark]
    if not makers:
        return "said to be not written, and in the log"
    if call.fate != "acknowledged":
        return ""
    if call.version != version:
        return f"restored as version {call.version}, and it is {version}"
    if order.sent[order.log.events[version - 1].id] >= (call.ended or 0):
        return "acknowledged before it was sent"
    sure = [one for one in makers if one.fate == "acknowledged" and order.must_hold(one)]
    if len(sure) > 1 and call in sure and not order.forgot:
        return "another has restored it, too"
    return "there was a session already" if order.heard(call.began) else ""
