"""
What undo and redo are to do: an editor with its two stacks, led along the order of the log.

It knows nothing of how the log finds that out: no event says here what it undoes, but the call that made it how many.
"""

from collections.abc import Sequence
from typing import NamedTuple

from eventlog_session.core.events import ADOPTED, REDONE, REMARKS, UNDONE
from eventlog_session.revising import Moved

from .history import Call, State
from .left import Log


class Editor(NamedTuple):
    """The two stacks as they are at one version. Changes are known by the versions that they made."""

    past: tuple[int, ...] = ()
    """What can be undone, the newest last."""
    future: tuple[int, ...] = ()
    """What can be redone, the next last."""
    bottom: int = 0
    """The version whose history is there when all is undone."""

    def change(self, version: int) -> "Editor":
        """Return the editor after something new."""
        return Editor((*self.past, version), (), self.bottom)

    def step(self, kind: str, number: int) -> "tuple[Editor, int, tuple[int, ...]] | None":
        """
        Return the editor after *number* steps of undo or redo, None when there are not so many.

        With it the version whose history there is then, and the changes in the order in which they are undone or redone.
        """
        past, future, changes = [*self.past], [*self.future], []
        there, back = (past, future) if kind == "undo" else (future, past)
        for _ in range(number):
            if not there:
                return None
            changes.append(there.pop())
            back.append(changes[-1])
        return Editor(tuple(past), tuple(future), self.bottom), past[-1] if past else self.bottom, tuple(changes)


def editors(log: Log, made: Sequence[Call | None]) -> list[Editor]:
    """Return the editor at each version of *log*, the calls in *made* having made them."""
    found = [Editor()]
    for version, event in enumerate(log.events, 1):
        editor, call = found[-1], made[version]
        if event.kind == ADOPTED:
            editor = Editor(bottom=version)
        elif event.kind in (UNDONE, REDONE):
            stepped = editor.step("undo" if event.kind == UNDONE else "redo", call.number if call else 1)
            editor = stepped[0] if stepped else editor
        elif event.kind not in REMARKS:
            editor = editor.change(version)
        found.append(editor)
    return found


def wrong_step(call: Call, place: int, before: Editor, states: Sequence[State], base: int | None) -> str:
    """Return what is wrong with an undo or redo that made version *place* from *base*, when it was *before*; "" for nothing."""
    stepped = before.step(call.kind, call.number)
    if stepped is None:
        return f"there was nothing to {call.kind}"
    _, to, changes = stepped
    last = changes[-1]
    if states[place] != states[last - 1 if call.kind == "undo" else last] or base != to:
        return f"it was to {call.kind} what {changes} did, and did something else"
    if call.fate == "acknowledged" and call.moved != Moved(place, to, changes):
        return f"it did {Moved(place, to, changes)}, and said that it did {call.moved}"
    return ""
