"""
The check of what was done, with the log itself as the witness of the order.

The promise: an acknowledged change is in the log exactly once, at the version that its answer names and with what it said; one
that raised "not written" is not in it; one of unknown fate at most once; those with the same idempotency key are one. The order
of the log agrees with real time: what ended before another began stands before it. What was read at a version is what that
version reads as for ever, or until it is trimmed, and it was the present at some moment of the call. An undo undid what was
last when it was written, and a redo redid what was undone last: an editor with two stacks, led along the order, says what that
is.

A session that was erased ends a log and begins another. Each is judged by itself; a call that went on while one took the
place of the other may belong to either.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from eventlog_session.errors import Conflict, CorruptLog, ForkDetected, IdempotencyKeyReused, SessionExists

from .changes import wrong_change
from .history import KINDS, Call, State, Violated, require
from .left import Log
from .order import Order
from .reads import wrong_erasure, wrong_read, wrong_resolution, wrong_restoration, wrong_verdict

_JUDGES = {
    "read": wrong_read, "walk": wrong_read, "resolve": wrong_resolution, "verify": wrong_verdict, "erase": wrong_erasure,
    "restore": wrong_restoration,
}  # fmt: skip
"""Of what is no change to what is there."""


def check(
    calls: Sequence[Call], logs: Sequence[Log], sent: Mapping[str, int], *, left: State, forgot: bool, alive: AbstractSet[str],
    room: int = 64,
) -> Counter[str]:  # fmt: skip
    """
    Return how the changes ended, or raise Violated.

    *logs* are those that were erased and the one that is there. *sent* says when each event first was, by its id. *left* is
    what was there before the first log, and is its first version. *forgot* says that the store lost what it had acknowledged:
    then a change may be missing if the process that knew of it was told since, or is not *alive* to be told. A session has
    *room* for so many tags.
    """
    told: dict[str, int] = {}
    for call in calls:
        if call.ended is not None and isinstance(call.error, ForkDetected | CorruptLog):
            require(forgot, f"{call.name}: {call.error!r}, and the store never forgot")
            told[call.process] = max(told.get(call.process, 0), call.ended)
    orders = [Order(calls, log, sent, left=[] if number else left, forgot=forgot) for number, log in enumerate(logs)]
    counts: Counter[str] = Counter()
    for call in calls:
        wrong = _wrong(call, orders, room)
        if wrong:
            # as it was in a store that had forgotten, or told after it
            excused = call.fate == "nothing to do" or call.error is not None or call.process not in alive
            # what was left has no head that could be missed, if a head that took it over was forgotten
            excused = excused or (call.kind == "read" and call.version == 1 and bool(left))
            if not forgot or not (excused or told.get(call.process, 0) > call.began):
                raise Violated(f"{wrong}\n{call}")
            counts["lost and told"] += 1
        counts.update(_outcomes(call, any(call.name in one.writers for one in orders)))
    return counts


def _wrong(call: Call, orders: Sequence[Order], room: int) -> str:
    """Return what is wrong with *call* in every log that it may belong to; "" for nothing."""
    # written and erased is as good as not written
    possible = [one for one in orders[-1:] if call.kind in KINDS and call.name in one.writers]
    complaints = [
        _JUDGES[call.kind](one, call) if call.kind in _JUDGES else wrong_change(one, call, room)
        for one in possible or [one for one in orders if one.may_hold(call)]
    ]
    return "" if "" in complaints else "; ".join(dict.fromkeys(complaints))


def _outcomes(call: Call, written: bool) -> Iterator[str]:
    if call.kind in ("read", "walk"):
        yield "reads"
    elif call.kind in KINDS:
        yield call.fate
        yield from _details(call, written)
    elif isinstance(call.error, SessionExists):
        yield "restore: exists"
    elif call.error is None and call.ended is not None:
        yield call.kind if call.kind != "resolve" else f"resolve: {'absent' if call.version is None else 'written'}"
    else:
        yield f"{call.kind}: no answer"


def _details(call: Call, written: bool) -> Iterator[str]:
    if call.fate in ("unknown", "cancelled", "never heard of"):
        yield f"{call.fate}: {'written' if written else 'absent'}"
    if call.key is not None and call.fate == "acknowledged":
        yield "key: written" if written else "key: repeated"
    if isinstance(call.error, IdempotencyKeyReused):
        yield "key: reused"
    if call.expected is not None and call.fate in ("acknowledged", "not written"):
        yield f"expected: {call.fate}"
    if call.fate == "acknowledged":
        yield f"{call.kind}: done"
    if isinstance(call.error, Conflict):
        yield f"{call.kind}: lost"
