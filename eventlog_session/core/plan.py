"""
Which items a history's end consists of, and what must be read to have them. Newest first, in one pass over the index.

A pop is a debt, a clear is the end, a rewind is a jump, and a sealed run is one step by its summary, so the newest 20 of a
million items touch the tail and perhaps one segment. Where a version lies strictly inside an unread value, the plan guesses
that what comes before it there only adds; a wrong guess costs one more round of reading, never a wrong answer, since planning
starts again from what has been read.

No pop is committed on an empty history, so a debt is always paid.
"""

import sys
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from .head import Head, Ref
from .run import Run

ALL = sys.maxsize
"""As many items as there are."""

Loaded = Mapping[str, Any]
"""What has been read: a Run for a segment's name, refs for a node's, the JSON array of a `Far`'s items for an event's id."""


class Far(NamedTuple):
    """An event whose items are read from its own key, or from parts if there are any."""

    name: str
    """The event's id."""
    size: int
    parts: int
    digest: str
    text: tuple[int, ...]

    @classmethod
    def of(cls, event_id: str, odd: Mapping[str, Any]) -> "Far":
        """Return the far event that a run's columns describe as *odd*."""
        size, parts, digest = odd["f"]
        return cls(event_id, size, parts, digest, tuple(odd.get("s", ())))


class Take(NamedTuple):
    """Items ``low`` up to ``high`` of a run's inline items or of a far event's."""

    source: Run | Far
    low: int
    high: int


@dataclass(slots=True)
class Plan:
    """What to take, newest first, and what to read before it can be taken. A plan that misses something is not final."""

    takes: list[Take] = field(default_factory=list)
    missing: dict[str, Ref | Far] = field(default_factory=dict)

    def take(self, source: Run | Far, low: int, high: int) -> None:
        """Add a take, joined with the one before where they touch."""
        if self.takes and self.takes[-1].source is source and self.takes[-1].low == high:
            self.takes[-1] = Take(source, low, self.takes[-1].high)
        else:
            self.takes.append(Take(source, low, high))


@dataclass(slots=True)
class Cursor:
    """Still wanted: the newest *need* items of *version*'s history, after dropping *skip* from its end."""

    version: int
    need: int
    skip: int = 0


def locate(head: Head, loaded: Loaded, version: int) -> Run | Ref:
    """Return the run that holds *version*'s event, or the reference to the unread value that does."""
    if version >= head.tail.first:
        return head.tail
    if head.carried is not None and version >= head.carried.run.first:
        return head.carried.run
    refs: Sequence[Ref] = head.index
    while True:
        ref = refs[bisect_right(refs, version, key=lambda ref: ref.first) - 1]
        value = loaded.get(ref.name)
        if value is None or isinstance(value, Run):
            return ref if value is None else value
        refs = value


def version_at(head: Head, loaded: Loaded, time: int) -> int | Ref:
    """
    Return the last version committed at *time* (microseconds since 1970) or before, 0 if there is none.

    Or the reference to the unread value that the answer lies in.
    """
    for run in reversed(head.runs()):
        if len(run) and run.committed(run.first) <= time:
            return run.first + bisect_right(run.offsets, time - run.time) - 1
    refs: Sequence[Ref] = head.index
    while True:
        place = bisect_right(refs, time, key=lambda ref: ref.began) - 1
        if place < 0:
            return 0
        ref = refs[place]
        if ref.ended <= time or ref.hole:
            return ref.last if ref.ended <= time else ref.first
        value = loaded.get(ref.name)
        if value is None:
            return ref
        if isinstance(value, Run):
            return value.first + bisect_right(value.offsets, time - value.time) - 1
        refs = value


def plan(head: Head, loaded: Loaded, version: int, need: int) -> Plan:
    """Return what the newest *need* items of the history at *version* consist of."""
    made = Plan()
    cursor = Cursor(version, need)
    while cursor.version > 0 and cursor.need > 0:
        place = locate(head, loaded, cursor.version)
        if isinstance(place, Ref):
            _over(place, cursor, made)
        elif place.plain:
            _across(place, cursor, made)
        else:
            step_back(place, cursor, made, loaded)
    return made


def _over(ref: Ref, cursor: Cursor, made: Plan) -> None:
    """Step over an unread value by its summary; exact when the cursor stands at its end, a guess inside it."""
    if cursor.version == ref.last:
        base, pops, adds = ref.summary
        if not ref.hole and (cursor.skip < adds or (base is not None and base >= ref.first)):
            made.missing[ref.name] = ref
    else:
        base, pops, adds = None, 0, ref.adds * (cursor.version - ref.first + 1) // ref.events
        if not ref.hole:  # a wrong guess may lead here, a history that can be read does not
            made.missing[ref.name] = ref
    consume(cursor, adds)
    cursor.skip += pops
    # a base inside the value itself is unknown until it is read: guess as above
    cursor.version = ref.first - 1 if base is None or base >= ref.first else base


def _across(run: Run, cursor: Cursor, made: Plan) -> None:
    """Cut what is wanted from a run in which every event just adds."""
    total = run.inline if cursor.version == run.last else run.cuts()[0][cursor.version - run.first + 1]
    low, high = consume(cursor, total)
    if low < high:
        made.take(run, low, high)
    cursor.version = run.first - 1


def step_back(run: Run, cursor: Cursor, made: Plan, loaded: Loaded) -> None:
    """Go back event by event until the run's beginning, or a jump out of it."""
    starts = run.cuts()[0]
    while cursor.need > 0 and run.first <= cursor.version <= run.last:
        place = cursor.version - run.first
        odd = run.odd.get(place, {})
        low, high = consume(cursor, run.counts[place])
        if low < high:
            if "f" in odd:
                event = Far.of(run.id_of(cursor.version), odd)
                made.take(event, low, high)
                if event.name not in loaded:
                    made.missing[event.name] = event
            else:
                made.take(run, starts[place] + low, starts[place] + high)
        cursor.skip += odd.get("p", 0)
        base = odd.get("b")
        cursor.version = cursor.version - 1 if base is None else base


def consume(cursor: Cursor, count: int) -> tuple[int, int]:
    """Let the cursor pass *count* items and return which of them it wants."""
    high = count - cursor.skip
    if high <= 0:
        cursor.skip -= count
        return 0, 0
    low = max(0, high - cursor.need)
    cursor.need -= high - low
    cursor.skip = 0
    return low, high


def collect(made: Plan, loaded: Loaded) -> tuple[list[Any], list[int]]:
    """Return the items of a final plan, oldest first and freshly parsed, and the positions of those kept as text."""
    items: list[Any] = []
    texts: list[int] = []
    for source, low, high in reversed(made.takes):
        if isinstance(source, Run):
            if source.odd:
                texts.extend(len(items) + at for at in source.texts(low, high))
            items += source.slice(low, high)
        else:
            texts.extend(len(items) + at - low for at in source.text if low <= at < high)
            items += orjson.loads(loaded[source.name])[low:high]
    return items, texts
