"""
What an event must be to come after those before it, in a log that is made of events from elsewhere.

A commit makes events that fit by itself. A file may hold anything; what is let in here is read ever after without being checked
again, by readers, undo, tags and trimming. So whatever they rely on is asked for here, and nothing else.
"""

from array import array

import orjson

from ..errors import InvalidExport
from ..limits import Limits
from .algebra import UNIT
from .events import (
    ADDED,
    ADOPTED,
    CLEARED,
    FORKED,
    FORKED_AT,
    FORKED_FROM,
    IDEMPOTENCY_KEY,
    NO_VERSION,
    POPPED,
    REDO_ROW,
    REDONE,
    REPLACED,
    REWOUND,
    TAG,
    TAG_VERSION,
    TAGGED,
    TRIMMED,
    TRIMMED_BEFORE,
    UNDONE,
    UNDONE_VERSIONS,
    Event,
    is_extension,
    is_idempotency_key,
    is_tag_name,
)
from .head import Head
from .items import are_texts
from .keys import is_id, is_source


class Admission:
    """Lets events in, one after the other."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._first = 1
        self._lengths = array("q", [0])
        """After each version, from the one before the first on."""
        self._ids: set[str] = set()
        self._undone: dict[int, int] = {}
        """How many versions each event that is an undo, or was one, lists."""

    def begin(self, first: int) -> None:
        """Have version *first* be the oldest one."""
        self._first = first

    def admit(self, head: Head, version: int, committed: int, event: Event) -> int:
        """
        Let *event* in, which makes *version* of the log that *head* is of, and return the length of the history it starts from.

        Raises InvalidExport, saying what is wrong with it.
        """
        if version != head.version + 1:
            raise InvalidExport(f"it makes version {version}, after version {head.version}")
        if committed < head.updated:
            raise InvalidExport("it was recorded before the one before it")
        if not is_id(event.id) or event.id in self._ids:
            raise InvalidExport("its id is none, or that of another event")
        before = self._length_before(head, event)
        _check_shape(version, event)
        _check_text(event)
        self._check_extensions(version, event)
        self._check_meaning(head, event)
        self._ids.add(event.id)
        self._lengths.append(before - event.pops + event.count)
        return before

    def _length_before(self, head: Head, event: Event) -> int:
        base = head.version if event.base is None else event.base
        if base != 0 and not max(1, head.floor) <= base <= head.version:
            raise InvalidExport(f"it starts from version {base}, which is not there")
        length = self._lengths[base - self._first + 1] if base else 0
        if not 0 <= event.pops <= length:
            raise InvalidExport(f"it takes {event.pops} items away, and there are fewer")
        return length

    def _check_extensions(self, version: int, event: Event) -> None:
        if not all(is_extension(*extension) for extension in event.extensions.items()):
            raise InvalidExport("it has an attribute that no event has")
        key = event.extensions.get(IDEMPOTENCY_KEY)
        if key is not None and not is_idempotency_key(key):
            raise InvalidExport("its idempotency key is none")
        undone = event.extensions.get(UNDONE_VERSIONS)
        if undone is not None:  # of an undo, or of what was put in its place when it was trimmed
            versions = [_number(one) for one in undone.split(",")]
            if not all(0 < one < version for one in versions):
                raise InvalidExport("it undoes versions that are not before it")
            self._undone[version] = len(versions)

    def _check_meaning(self, head: Head, event: Event) -> None:
        """Check what is said in the extensions of the kinds that need them."""
        told = event.extensions
        fits = True
        if event.kind == UNDONE:
            fits = UNDONE_VERSIONS in told
        elif event.kind == REDONE and REDO_ROW in told:
            undo, _, place = told[REDO_ROW].partition(":")
            version = _number(undo)
            fits = 0 < version < self._first or 0 <= _number(place) < self._undone.get(version, 0)
        elif event.kind == TAGGED:
            fits = self._is_tag(head, told.get(TAG, ""), told.get(TAG_VERSION, "0"))
        elif event.kind == TRIMMED:
            fits = 0 < _number(told.get(TRIMMED_BEFORE, "")) <= self._first
        elif event.kind == FORKED:
            fits = is_source(told.get(FORKED_FROM, "")) and _number(told.get(FORKED_AT, "")) == head.version
        if not fits:
            raise InvalidExport("what it says of other versions is not so")

    def _is_tag(self, head: Head, name: str, version: str) -> bool:
        if version == NO_VERSION:
            return is_tag_name(name)
        if not is_tag_name(name, self._limits.tag_bytes):
            return False
        if name not in head.tags and len(head.tags) >= self._limits.tags:
            raise InvalidExport(f"it is one tag more than the {self._limits.tags} that a session can hold")
        return 0 <= _number(version) <= head.version


def _check_shape(version: int, event: Event) -> None:
    """Raise InvalidExport unless *event* does what its kind does."""
    kind, (base, pops, adds) = event.kind, event.summary
    if kind in (ADDED, ADOPTED):
        fits = base is None and not pops and (kind == ADDED or version == 1)
    elif kind == POPPED:
        fits = base is None and pops > 0 and not adds
    elif kind == REPLACED:
        fits = not base
    elif kind == CLEARED:
        fits = (base, pops, adds) == (0, 0, 0)
    elif kind in (REWOUND, UNDONE, REDONE):
        fits = base is not None and not pops and not adds
    else:
        fits = event.summary == UNIT
    if not fits:
        raise InvalidExport("it does not do what an event of its type does")


def _check_text(event: Event) -> None:
    """Raise InvalidExport unless the items that are kept as text are strings."""
    if not event.text:
        return
    if not are_texts(orjson.loads(event.items), event.text):
        raise InvalidExport("it has no text where it says so, or tells of them out of order")


def _number(text: str) -> int:
    """Return the number that *text* says just as it would be written; -1 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 and str(int(text)) == text else -1
