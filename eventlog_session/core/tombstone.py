"""
What an erased session leaves under its head's key: proof that it was erased, and nothing of what was said.

::

    ["eventlog-tombstone", 1, "<length and checksum>", {fields}, []]

    o generations that were erased here, newest last     u when, in microseconds since 1970
    x rows of the index      c origin of their times      i [id, parts] of the events that the head held itself

The last three are there until everything that they name is deleted, so that whoever calls again goes on with an erasure that
was interrupted. A tombstone stays: on stores where a missing key passes any etag, a writer that slept through the erasure
would otherwise bring the session back.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import CorruptLog
from .head import Head, Ref, loose_refs_of, loose_rows_of
from .run import Run, frame, unframe

GENERATIONS = 8
"""How many erased generations are remembered; whoever knew an older one is told of a fork, once."""
_OPENING = b'["eventlog-tombstone",'


class Remains(NamedTuple):
    """What is still to be deleted of an erased session."""

    refs: tuple[Ref, ...]
    events: tuple[tuple[str, int], ...]
    """Ids of the events that the head held, with the number of their parts."""

    @classmethod
    def of(cls, head: Head) -> "Remains":
        """Return everything that *head* names."""
        return cls((*head.trash, *head.index), tuple(one for run in head.runs() for one in events_of(run)))


def events_of(run: Run) -> list[tuple[str, int]]:
    """Return the id of each event in *run* and how many parts its data has."""
    parts = {place: odd["f"][1] for place, odd in run.odd.items() if "f" in odd}
    return [(run.id_of(run.first + place), parts.get(place, 0)) for place in range(len(run))]


@dataclass(frozen=True, slots=True)
class Tombstone:
    """An erased session: *remains* is what is still to be deleted, None once nothing is."""

    erased: tuple[str, ...]
    time: int
    remains: Remains | None = None

    def to_bytes(self) -> bytes:
        """Return the tombstone as it is stored."""
        fields: dict[str, Any] = {"o": self.erased, "u": self.time}
        if self.remains is not None:
            refs, events = self.remains
            origin = refs[0].began if refs else 0
            fields.update(x=loose_rows_of(refs, origin), c=origin, i=events)
        return frame("tombstone", fields, b"")

    @classmethod
    def of(cls, value: bytes) -> "Tombstone | None":
        """Return the tombstone stored as *value*, None when it is something else. Raises CorruptLog or UnsupportedFormat."""
        if not value.startswith(_OPENING):
            return None
        fields, _ = unframe("tombstone", value)
        try:
            remains = None
            if "x" in fields:
                refs = loose_refs_of(fields["x"], fields["c"])
                remains = Remains(refs, tuple((event_id, parts) for event_id, parts in fields["i"]))
            return cls(tuple(fields["o"]), fields["u"], remains)
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptLog("not the fields of a tombstone") from error
