"""Changes that decide on what they have read, and so are never written onto anything else: undo, redo, replace, pop of many."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from .core.events import NO_VERSION, REDONE, REPLACED, TAG, TAG_VERSION, TAGGED, UNDONE
from .core.head import Head
from .core.undo import Move, redo, undo
from .errors import Conflict
from .log import EventLog
from .points import Point
from .protocol.heads import Known
from .protocol.lane import Answer, Expected


class Told(NamedTuple):
    """What goes with every change: whose work it is, for how long the session lives on, on what it is to be written."""

    extensions: Mapping[str, str]
    ttl: int | None = None
    expected: Expected | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """What an undo or a redo did."""

    version: int
    """That it made."""
    to: int
    """The older version whose history this is again."""
    changes: tuple[int, ...]
    """The versions whose changes were undone, newest first; or redone, oldest first."""


async def step(
    log: EventLog, steps: int, told: Told, *, forward: bool = False, dry_run: bool = False
) -> Moved | None:  # fmt: skip
    """
    Undo the last *steps* changes, or redo as many undos; None, and nothing written, when there are fewer.

    A *dry_run* writes nothing and returns what would be done, with the version that there is.

    Raises Conflict when somebody else was first: what would be undone then is not what was last when this was asked for.
    """
    kind, find = (REDONE, redo) if forward else (UNDONE, undo)

    async def decided(known: Known) -> tuple[Head, Move | None]:
        if told.expected is not None:
            told.expected.check(known.standing)
        return known.standing, await log.reader.found(lambda loaded: find(known.head, loaded, steps))

    head, move = await log.on_head(decided)
    if move is None:
        return None
    if dry_run:
        return Moved(head.version, move.base, move.versions)
    on = Expected(head.version, head.generation)
    answer = await log.submit(told.ttl, on, kind, {**told.extensions, **move.extensions}, base=move.base)
    assert answer.version is not None
    return Moved(answer.version, move.base, move.versions)


async def replace(
    log: EventLog, pops: int | None, items: bytes, count: int, text: tuple[int, ...], told: Told
) -> Answer:  # fmt: skip
    """Put *count* items in the place of the newest *pops*, None for all; *told* must say on which version."""
    assert told.expected is not None
    if pops == 0 and not count:
        return Answer(None)
    effect: dict[str, Any] = {"base": 0} if pops is None else {"pops": pops}
    return await log.submit(
        told.ttl, told.expected, REPLACED, told.extensions, items=items, count=count, text=text, **effect
    )  # fmt: skip


async def pop_newest(log: EventLog, number: int, told: Told) -> Answer:
    """Remove the newest *number* items, or all where there are fewer, in one commit."""
    number = min(number, 1 << 31)
    while True:
        answer = await log.pop(told.extensions, told.ttl, number=number, expected=told.expected)
        if answer.version is not None:
            return answer
        head = (await log.located(None))[0].standing
        if told.expected is not None:
            told.expected.check(head)
        if not head.length:
            return Answer(None)
        if head.length < number:
            try:
                return await log.pop(
                    told.extensions, told.ttl, number=head.length, expected=Expected(head.version, head.generation)
                )
            except Conflict:
                if told.expected is not None:
                    raise


async def rewind(log: EventLog, to: Point, told: Told) -> Answer:
    """Make the history what it was at a point, by `EventLog.rewind`; Conflict where that point's session is gone."""
    known, version = await log.located(to)
    return await log.rewind(version, told.extensions, told.ttl, expected=_within(told.expected, known.head))


async def tag(log: EventLog, name: str, at: Point | None, told: Told) -> int:
    """
    Have *name* mean a version from now on, and return it; without a point the one that the session stands at.

    Raises Conflict where the point's session is gone.
    """
    named = {**told.extensions, TAG: name}
    if at is None:
        answer = await log.submit(told.ttl, told.expected, TAGGED, named)
        assert answer.version is not None
        return answer.version - 1
    known, version = await log.located(at)
    await log.submit(told.ttl, _within(told.expected, known.head), TAGGED, {**named, TAG_VERSION: str(version)})
    return version


def _within(expected: Expected | None, head: Head) -> Expected:
    """Return *expected*, of the generation of the *head* that a point was found in unless it says of which."""
    if expected is None:
        return Expected(None, head.generation)
    return expected if expected.generation is not None else expected._replace(generation=head.generation)


async def untag(log: EventLog, name: str, told: Told) -> bool:
    """Take *name* away; False when there is no such tag."""
    answer = await log.submit(told.ttl, told.expected, TAGGED, {**told.extensions, TAG: name, TAG_VERSION: NO_VERSION})
    return answer.version is not None
