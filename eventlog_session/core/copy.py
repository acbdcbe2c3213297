"""
A whole log at once, from its events: how a fork, an import and a migration come to be.

The events are appended to a head that nobody has seen, one after the other, exactly as commits would have appended them, with
their own times, commit times and ids; only where a session was erased they get other ids. So every version reads as it did, and
a copy is a log like any other. All values are written ahead under the new session's keys, and named by no head, so harmless;
the head comes last and makes it so: all or nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from ..limits import Limits
from .admission import Admission
from .advance import append, seal
from .draft import draft
from .events import Event
from .head import Head, Ref
from .keys import Keys, mint
from .merge import merged
from .run import Run


@dataclass(frozen=True, slots=True)
class Copy:
    """A log ready to be written."""

    head: Head
    """Without a generation, which is the commit's to give."""
    values: Mapping[str, bytes]
    """By key, what is written before the head; the newest events with it, since under their keys there may be something yet."""
    takes_over: bool = False
    """Whether it is made of what a `DaprSession` left under the same id, and may be where that is."""
    erased: tuple[str, ...] = ()
    """The generations that were erased under its id before: another erasure may have been of the same keys."""


def reborn(event: Event, erased: Sequence[str]) -> Event:
    """
    Return *event* as it is copied to where the generations *erased* were: under an id of its own.

    It may be one of theirs, and who erased them may yet delete its key once more.
    """
    if not erased:
        return event
    name = f"{event.id} {' '.join(erased)}".encode()
    return replace(event, id=mint(blake2b(name, digest_size=10, person=b"reborn").digest()))


class Copying:
    """A log in the making."""

    def __init__(self, session_id: str, keys: Keys, limits: Limits, *, binary: bool) -> None:
        self._keys = keys
        self._limits = limits
        self._binary = binary
        self._head = Head.absent(session_id)
        self._admission = Admission(limits)
        self._ahead: dict[str, bytes] = {}
        self._own: dict[str, bytes] = {}
        self._runs: dict[str, Run] = {}

    @property
    def version(self) -> int:
        """The newest so far."""
        return self._head.version

    def append(self, version: int, committed: int, event: Event) -> None:
        """
        Append *event*, which makes *version* and was committed at that time (microseconds since 1970).

        The first one may make a later version than 1, those before it being trimmed, if it starts from nothing. Raises
        InvalidExport when it can't come after those before it, InvalidItem when it is larger than one may be.
        """
        if version > 1 and not self.version:
            hole = Ref("", 0, 1, version - 1, 0, committed, committed, None, 0, 0, 0)
            self._head = self._head._replace(version=version - 1, floor=version, index=(hole,), tail=Run(version, 0))
            self._admission.begin(version)
        before = self._admission.admit(self._head, version, committed, event)
        # whether its data lies in parts is a matter of the limits here, not of those where it came from
        made = draft(replace(event, parts=None), self._keys, self._limits, binary=self._binary)
        head = append(self._head, made, committed, before, remember=self._limits.idempotent_events)
        self._ahead.update(made.ahead)
        (self._ahead if made.far else self._own)[self._keys.event(event.id)] = made.value
        self._head = self._sealed(head)

    def done(self, *, ttl: int | None = None, takes_over: bool = False, erased: tuple[str, ...] = ()) -> Copy:
        """Return the log, expiring *ttl* seconds after its last event; see `Copy` for the others."""
        head = self._head._replace(ttl=ttl, swept=self._head.tail.first - 1)
        return Copy(head, self._ahead | self._own, takes_over, erased)

    def _sealed(self, head: Head) -> Head:
        sealed = seal(head, self._keys, self._limits, binary=self._binary)
        if sealed.head.tail.first > head.tail.first:
            self._own.clear()
        if not sealed.puts:
            return sealed.head
        self._runs.update(sealed.runs)
        sealed = merged(sealed, self._runs, self._keys, self._limits, binary=self._binary)
        self._runs.update(sealed.runs)
        self._ahead.update(sealed.puts)
        for ref in sealed.head.trash:  # what was merged away is in nobody's store yet
            del self._ahead[self._keys.segment(ref.name)], self._runs[ref.name]
        return sealed.head._replace(trash=())
