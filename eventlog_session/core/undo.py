"""
Undo and redo: which version to go back to, from the log alone.

After the operation log of Jujutsu (``jj undo``, `cli/src/commands/undo.rs`): undoing again goes further back, redoing takes the
last undo back while nothing but undo and redo followed, and any other change ends that. Both are events like all others, which
start from an older version; so both reach across processes and restarts, and nothing is ever lost by them.

Laws, checked in ``tests/test_undo.py`` against a plain editor with its two stacks: the history after any sequence of changes,
undos and redos is the editor's; remarks (`REMARKS`) in between change nothing of it; undoing *n* times is undoing *n* at once.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from .events import ADOPTED, REDO_ROW, REDONE, REMARKS, UNDONE, UNDONE_VERSIONS
from .head import Head, Ref
from .plan import Loaded, locate


class Move(NamedTuple):
    """Where an undo or redo goes."""

    base: int
    """The version whose history is there again."""
    versions: tuple[int, ...]
    """Those whose changes are undone or redone, in that order."""
    extensions: Mapping[str, str]
    """What the event has to remember of it."""


class _Step(NamedTuple):
    kind: str
    base: int | None
    extensions: Mapping[str, str]

    @property
    def undone(self) -> list[int]:
        return [int(version) for version in self.extensions[UNDONE_VERSIONS].split(",")]


class _Unread(Exception):
    def __init__(self, ref: Ref) -> None:
        super().__init__(ref.name)
        self.ref = ref


_Look = Callable[[int], _Step]
_Row = tuple[int, int] | None
"""The version of an UNDONE event and the place in its list of what can be redone next."""


def undo(head: Head, loaded: Loaded, steps: int) -> Move | Ref | None:
    """Return how to take back the last *steps* changes; None when there are fewer, a `Ref` for what must be read to know."""
    return _reading(_undo, head, loaded, steps)


def redo(head: Head, loaded: Loaded, steps: int) -> Move | Ref | None:
    """Return how to take back the last *steps* undos; None when there are fewer, a `Ref` for what must be read to know."""
    return _reading(_redo, head, loaded, steps)


def _reading(
    find: Callable[[_Look, int, int], Move | None], head: Head, loaded: Loaded, steps: int
) -> Move | Ref | None:  # fmt: skip
    def look(version: int) -> _Step:
        place = locate(head, loaded, version)
        if isinstance(place, Ref):
            if place.hole:
                raise head.trimmed(version)
            raise _Unread(place)
        at = version - place.first
        odd = place.odd.get(at, {})
        return _Step(place.kinds[at], odd.get("b"), odd.get("x", {}))

    try:
        return find(look, head.version, steps)
    except _Unread as unread:
        return unread.ref


def _undo(look: _Look, version: int, steps: int) -> Move | None:
    to = _change(look, version)
    undone: list[int] = []
    for _ in range(steps):
        if not to or look(to).kind == ADOPTED:  # what was taken over is where the log begins
            return None
        undone.append(to)
        to = _change(look, to - 1)
    return Move(to, tuple(undone), {UNDONE_VERSIONS: ",".join(map(str, undone))})


def _redo(look: _Look, version: int, steps: int) -> Move | None:
    row = _row(look, version)
    redone: list[int] = []
    for _ in range(steps):
        if row is None:
            return None
        undo, place = row
        redone.append(look(undo).undone[place])
        row = (undo, place - 1) if place else _row(look, undo - 1)
    return Move(redone[-1], tuple(redone), {REDO_ROW: f"{row[0]}:{row[1]}"} if row else {})


def _change(look: _Look, version: int) -> int:
    """Return the version of the last change that is part of the history at *version*; 0 when there is none."""
    while version:
        step = look(version)
        if step.kind in (UNDONE, REDONE):
            return step.base or 0  # they start from the version of a change, or from nothing
        if step.kind not in REMARKS:
            break
        version -= 1
    return version


def _row(look: _Look, version: int) -> _Row:
    """Return what can be redone at *version*."""
    while version:
        step = look(version)
        if step.kind == UNDONE:
            return version, len(step.undone) - 1
        if step.kind == REDONE:
            undo, _, place = step.extensions.get(REDO_ROW, "").partition(":")
            return (int(undo), int(place)) if undo else None
        if step.kind not in REMARKS:
            break
        version -= 1
    return None
