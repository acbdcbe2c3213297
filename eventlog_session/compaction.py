"""
Compaction without loss: what the Agents SDK's `OpenAIResponsesCompactionSession` asks of the session that it wraps.

It reads the newest items, has a model summarise them, and puts the summary in their place. Here that is one REPLACED event on
the version that was read, or none: what another process added meanwhile is never dropped, and the originals stay in the log,
where `at` finds them and `undo` brings them back. The SDK's hooks are private and may change; without them it falls back to
clearing and adding.
"""

from collections.abc import Callable
from itertools import dropwhile
from typing import TYPE_CHECKING, Any

from . import revising
from .errors import Conflict
from .log import EventLog, View
from .protocol.lane import Expected

if TYPE_CHECKING:
    from agents.items import TResponseInputItem
    from agents.memory.session import _CompactionSnapshot

    from .timetravel import TimeTravel


async def snapshot(
    session: "TimeTravel", log: EventLog, limit: int, prune_prefix: "Callable[[TResponseInputItem], bool] | None"
) -> "_CompactionSnapshot | None":
    """Return the newest *limit* items and a way to replace the end of them; None where the SDK wants none, or not like this."""
    try:
        from agents.memory.session import _CompactionSnapshot  # noqa: PLC0415 private, and may be gone
    except ImportError:
        return None
    view = await log.read(limit + 1)
    window = View(view.items[-limit:], view.version, view.texts, view.generation)
    skipped = len(view.items) - len(window.items)
    items = await session._decode(window.items, [place - skipped for place in view.texts if place >= skipped])
    if len(items) != len(window.items):  # one that this session can't read: positions would not be those of the log
        return None

    async def replace_suffix(start: int, output: "list[TResponseInputItem]") -> bool:
        if not 0 <= start < len(items):
            return False
        return await _replace(session, log, view, len(items) - start, output, prune_prefix)

    return _CompactionSnapshot(items, not skipped, replace_suffix)


async def _replace(
    session: "TimeTravel", log: EventLog, view: View, pops: int, output: "list[TResponseInputItem]",
    prune_prefix: "Callable[[TResponseInputItem], bool] | None",
) -> bool:  # fmt: skip
    """Replace the last *pops* items of *view*'s version by *output*; False when it is not the newest version any more."""
    told = session._told(None, Expected(view.version, view.generation))
    pruned: list[Any] | None = None
    if prune_prefix is not None:
        before = await log.read(None, view.version)
        kept = len(before.items) - pops
        prefix = await session._decode(before.items[:kept], [at for at in before.texts if at < kept])
        left = list(dropwhile(prune_prefix, prefix))
        pruned = None if len(left) == len(prefix) else left
    try:
        if pruned is None:
            data, text = await session._encode(output)
            await revising.replace(log, pops, data, len(output), text, told)
        else:
            data, text = await session._encode(pruned + output)
            await revising.replace(log, None, data, len(pruned + output), text, told)
    except Conflict:
        return False
    return True
