"""
Compaction without loss: what the Agents SDK's `OpenAIResponsesCompactionSession` asks of the session that it wraps.

It reads items, has a model sum them up, and puts the summary in their place. Here that is one REPLACED event or none, and the
originals stay in the log, where `at` finds them and `undo` brings them back. What another process adds meanwhile is not
replaced: after a run (`snapshot`) the compaction is skipped then, and one asked for by hand (`replace_all`) keeps what is newer
than what it summed up; by hand and around it `EncryptedSession`, which does not say what it read, that is not known. Remarks,
such as tags, are in nobody's way. The SDK's hooks are private and may change; without them it clears and adds.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from . import revising
from .core import items as codec
from .errors import Conflict, NoSuchPoint
from .log import EventLog
from .protocol.heads import Known
from .protocol.lane import Expected

if TYPE_CHECKING:
    from agents.items import TResponseInputItem
    from agents.memory.session import _CompactionSnapshot

    from .given import SessionView
    from .timetravel import TimeTravel

    Expired = Callable[[TResponseInputItem], bool]

_summed_up: ContextVar[list[tuple[object, str, Expected]]] = ContextVar("summed_up")
"""
What the compaction that the current task is in has read: store, session and version, until it has replaced it.

A list, since the SDK replaces in a task of its own, which can't tell this one otherwise.
"""


async def snapshot(session: "TimeTravel", limit: int, expired: "Expired | None") -> "_CompactionSnapshot | None":
    """
    Return the newest *limit* items and a way to replace the end of them; None where the SDK's hook is another by now.

    Replacing also drops the items from the beginning of the history on that are *expired*, up to the first that is not.
    """
    try:
        from agents.memory.session import _CompactionSnapshot  # noqa: PLC0415 private, and may be gone
    except ImportError:
        return None
    log = await session._log()
    with session._gate.inside():
        view = await log.read(limit + 1)
        skipped = max(0, len(view.items) - limit)
        items = await session._decode(view.items[skipped:], [place - skipped for place in view.texts if place >= skipped])
    if len(items) != len(view.items) - skipped:  # one that this session can't read: positions would not be those of the log
        return None
    seen = Expected(view.version, view.generation)

    async def replace_suffix(start: int, output: "list[TResponseInputItem]") -> bool:
        if not 0 <= start < len(items):
            return False
        log = await session._log()
        with session._gate.inside():
            return await _replace_newest(session, log, seen, len(items) - start, output, expired)

    return _CompactionSnapshot(items, not skipped, replace_suffix)


def was_read(log: EventLog, view: "SessionView") -> None:
    """Have *view* be what the compaction that the current task is in sums up."""
    _summed_up.set([(log.store.identity, log.session_id, Expected(view.version, view.generation))])


async def replace_all(session: "TimeTravel", log: EventLog, output: "list[TResponseInputItem]") -> None:
    """
    Put *output* in the place of the whole history, but for what was added since it `was_read`.

    Raises Conflict when what was read is not the beginning of the history any more. If it was not read here, as when the
    compaction is inside of encryption, it is the whole history that goes, as with the SDK's own stores.
    """
    summed_up = _summed_up.get([])
    store, session_id, read = summed_up.pop() if summed_up else (None, "", None)  # what is read is for one replacement
    if (store, session_id) != (log.store.identity, log.session_id):
        read = None
    new = await _encoded(session, output)
    while True:
        on = await log.on_head(_standing)
        newer = await _newer(log, read, on) if read is not None else _Items([], [])
        try:
            return await _put(session, log, None, new + newer, on)
        except Conflict:
            if read is None or await log.on_head(_standing) == on:
                raise


async def _replace_newest(
    session: "TimeTravel", log: EventLog, seen: Expected, number: int, output: "list[TResponseInputItem]",
    expired: "Expired | None",
) -> bool:  # fmt: skip
    """Replace the newest *number* items that were *seen*; False when they are not the newest any more."""
    new = await _encoded(session, output)
    on = seen
    while True:
        try:
            pruned = await _pruned(session, log, on, number, expired) if expired is not None else None
            if pruned is None:
                await _put(session, log, number, new, on)
            else:
                await _put(session, log, None, pruned + new, on)
        except (Conflict, NoSuchPoint):  # or the version to be pruned was trimmed, or erased
            newest = await log.on_head(_standing)
            if newest == on or newest.generation != seen.generation:
                return False
            if not await _same_newest(log, seen, newest, number):
                return False
            on = newest
        else:
            return True


async def _same_newest(log: EventLog, then: Expected, now: Expected, number: int) -> bool:
    """Whether two versions end with the same *number* items: the same ones, not just equal ones."""
    try:
        return await log.origins(number, then.version) == await log.origins(number, now.version)
    except NoSuchPoint:  # trimmed meanwhile
        return False


async def _newer(log: EventLog, then: Expected, now: Expected) -> "_Items":
    """Return the items that *now* has after those that *then* has. Raises Conflict when it does not have those."""
    if then == now:
        return _Items([], [])
    if then.version and then.generation != now.generation:
        raise Conflict("the session that was summed up is gone; nothing was written")
    try:
        before, after = await log.origins(None, then.version), await log.origins(None, now.version)
        view = await log.read(max(0, len(after) - len(before)), now.version)
    except NoSuchPoint as trimmed:
        raise Conflict("what was summed up can't be compared with the history any more; nothing was written") from trimmed
    if after[: len(before)] != before:
        raise Conflict("what was summed up is not in the history any more; nothing was written")
    return _Items(view.items, view.texts)


async def _pruned(session: "TimeTravel", log: EventLog, on: Expected, number: int, expired: "Expired") -> "_Items | None":
    """Return the history of *on* without its newest *number* items and those *expired* before; None if there are none."""
    view = await log.read(None, on.version)
    history = _Items(view.items, view.texts)
    end = len(view.items) - number
    begin = 0
    while begin < end:
        one = history.part(begin, begin + 1)
        read = await session._decode(list(one.raw), one.texts)
        if not read or not expired(read[0]):
            break
        begin += 1
    return history.part(begin, end) if begin else None


async def _encoded(session: "TimeTravel", items: "list[TResponseInputItem]") -> "_Items":
    data, texts = await session._encode(items)
    return _Items(codec.decode(data), texts)


async def _put(session: "TimeTravel", log: EventLog, number: int | None, new: "_Items", on: Expected) -> None:
    await revising.replace(log, number, orjson.dumps(new.raw), len(new.raw), tuple(new.texts), session._told(None, on))


async def _standing(known: Known) -> Expected:
    """Return what is to be written on when *known* is what there is."""
    return Expected(known.standing.version, known.standing.generation)


@dataclass(frozen=True, slots=True)
class _Items:
    """Items as they are stored, and the positions of those kept as text."""

    raw: Sequence[Any]
    texts: Sequence[int]

    def part(self, begin: int, end: int) -> "_Items":
        return _Items(self.raw[begin:end], [place - begin for place in self.texts if begin <= place < end])

    def __add__(self, other: "_Items") -> "_Items":
        return _Items([*self.raw, *other.raw], [*self.texts, *(place + len(self.raw) for place in other.texts)])
