"""
A run: consecutive events as columns, with their items as one contiguous JSON array.

The head's tail, the segment carried in the head and every sealed segment are runs. Laid out by column since a full read then
parses items, not envelopes: 5,000 items decode in a third of the time that as many CloudEvents take.

::

    ["eventlog-segment", 1, "<length and checksum>", {columns}, [items]]

    v  version of the first event               l  length of the history before it
    h  hash chain before it                      i  ids, 16 characters each        k  kinds, a letter each
    t  commit time of the first, then offsets    w  commit time less the event's own time, each in microseconds
    n  items of each event                       z  bytes of each event's items in the array (0: they lie elsewhere)
    o  what only some events have, by place:     b base   p pops   l length after   s positions kept as text
       x CloudEvents extensions                  f [bytes, parts, digest] of an event that is read from its own key

The length of the columns (8 hexadecimal digits) lets a reader cut them from the items without parsing either; CRC-32 of both
notices damage that would still be JSON.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Any
from zlib import crc32

import orjson

from ..errors import CorruptLog, UnsupportedFormat
from .algebra import Summary, summarise
from .events import TYPES, Event, Parts
from .keys import ID_LENGTH

FORMAT = 1
"""The format number of everything at rest. A reader refuses any other."""

_ODD = dict[str, Any]
_ADDS = frozenset("xs")
"""What is in the odd columns of an event that just adds, and whose items are in the run."""


def frame(kind: str, meta: dict[str, Any], items: bytes) -> bytes:
    """Return *meta* and the inner bytes of a JSON array as one JSON array that `unframe` can cut without parsing."""
    body = orjson.dumps(meta)
    return b"%s%s,[%s]]" % (_opening(kind, body, items), body, items)


def _opening(kind: str, body: bytes, items: bytes) -> bytes:
    return b'["eventlog-%s",%d,"%08x%08x",' % (kind.encode(), FORMAT, len(body), crc32(items, crc32(body)))


def unframe(kind: str, value: bytes, *, whole: bool = False) -> tuple[Any, bytes]:
    """
    Return the *meta* and items that `frame` put together.

    *whole* says that the bytes are known to be those that were written: what they came in had a digest or checksum of its own.
    Raises CorruptLog, or UnsupportedFormat for another format.
    """
    opening = b'["eventlog-%s",' % kind.encode()
    try:
        if not value.startswith(opening):
            raise ValueError(f"it does not begin as a {kind}")
        comma = value.index(b",", len(opening))
        number = _number(value[len(opening) : comma], 10)
        if number != FORMAT:
            raise UnsupportedFormat(f"written in format {number}; this release reads {FORMAT}. Upgrade eventlog-session")
        start = comma + len(b',"0000000000000000",')
        end = start + _number(value[comma + 2 : comma + 10], 16)
        body, items = value[start:end], value[end + 2 : -2]
        if value[end : end + 2] != b",[" or value[-2:] != b"]]":
            raise ValueError("its parts do not fit together")
        if not whole and value[:start] != _opening(kind, body, items):
            raise ValueError("its bytes are not those that were written")
        return orjson.loads(body), items
    except UnsupportedFormat:
        raise
    except ValueError as error:
        raise CorruptLog(f"not a stored {kind} ({error})") from error


def _number(digits: bytes, base: int) -> int:
    """Return what *digits* say. Python's own error would quote them, and in damaged bytes they may be of an item."""
    try:
        if len(digits) <= 8:
            return int(digits, base)
    except ValueError:
        pass
    raise ValueError("no number where one was")


class Run:
    """Consecutive events. Never changed once made: `append` and `concat` return new runs."""

    __slots__ = (
        "_cuts",
        "_lengths",
        "_plain",
        "chain",
        "counts",
        "first",
        "ids",
        "items",
        "kinds",
        "length_before",
        "odd",
        "offsets",
        "sizes",
        "time",
        "waits",
    )  # fmt: skip

    def __init__(
        self, first: int, length_before: int, ids: str = "", kinds: str = "", time: int = 0, offsets: list[int] | None = None,
        waits: list[int] | None = None, counts: list[int] | None = None, sizes: list[int] | None = None,
        odd: dict[int, _ODD] | None = None, items: bytes = b"", *, chain: str = "",
    ) -> None:  # fmt: skip
        self.first = first
        self.length_before = length_before
        self.chain = chain
        self.ids = ids
        self.kinds = kinds
        self.time = time
        self.offsets = offsets or []
        self.waits = waits or []
        self.counts = counts or []
        self.sizes = sizes or []
        self.odd = odd or {}
        self.items = items
        self._cuts: tuple[list[int], list[int]] | None = None
        self._plain: bool | None = None
        self._lengths: list[int] | None = None

    def __len__(self) -> int:
        return len(self.counts)

    def __repr__(self) -> str:
        return f"<Run {self.first}..{self.last}, {len(self.items)} bytes of items>"

    @property
    def last(self) -> int:
        """Version that the last event makes; one less than *first* when there is none."""
        return self.first + len(self.counts) - 1

    # ---- what a reader asks ----------------------------------------------------------------------------------------

    @property
    def plain(self) -> bool:
        """Whether every event just adds items, all of them in here: then a reader cuts instead of folding."""
        if self._plain is None:
            self._plain = all(map(_ADDS.issuperset, self.odd.values()))
        return self._plain

    @property
    def inline(self) -> int:
        """How many items are in here."""
        return self.cuts()[0][-1] if self.odd else sum(self.counts)

    def cuts(self) -> tuple[list[int], list[int]]:
        """Return, for each event and for the end, how many items and how many bytes of the array stand before it."""
        if self._cuts is None:
            inline = [count if size else 0 for count, size in zip(self.counts, self.sizes, strict=True)]
            steps = [size + 1 if size else 0 for size in self.sizes]
            self._cuts = list(accumulate(inline, initial=0)), list(accumulate(steps, initial=0))
        return self._cuts

    def slice(self, low: int, high: int) -> list[Any]:
        """Return the inline items from position *low* up to *high*, freshly parsed; those kept as text as strings."""
        if low == 0 and high == self.inline:
            return orjson.loads(b"[%s]" % self.items)  # type: ignore[no-any-return]
        items, starts = self.cuts()
        begin = bisect_right(items, low) - 1
        end = bisect_right(items, high - 1)
        found: list[Any] = orjson.loads(b"[%s]" % self.items[starts[begin] : starts[end] - 1])
        return found[low - items[begin] : high - items[begin]]

    def origin(self, position: int) -> tuple[int, int]:
        """Return the version that added the inline item at *position*, and the item's place among what that added."""
        items, _ = self.cuts()
        place = bisect_right(items, position) - 1
        return self.first + place, position - items[place]

    def texts(self, low: int, high: int) -> list[int]:
        """Return which of ``slice(low, high)`` are kept as text."""
        items, _ = self.cuts()
        places = [items[place] + at for place, odd in self.odd.items() if "f" not in odd for at in odd.get("s", ())]
        return [at - low for at in places if low <= at < high]

    def lengths(self) -> list[int]:
        """Return the length of the history after each event."""
        if self._lengths is None and self.plain:
            self._lengths = list(accumulate(self.counts, initial=self.length_before))[1:]
        elif self._lengths is None:
            length = self.length_before
            lengths: list[int] = []
            for place, count in enumerate(self.counts):
                odd = self.odd.get(place, {})
                length = odd.get("l", length + count - odd.get("p", 0))
                lengths.append(length)
            self._lengths = lengths
        return self._lengths

    def length_at(self, version: int) -> int:
        """Return the length of the history at *version*, from just before the run to its end."""
        place = version - self.first
        return self.length_before if place < 0 else self.lengths()[place]

    def weight(self) -> int:
        """Return the bytes that the run takes in the head, uncompressed."""
        return len(self.items) + len(orjson.dumps(self.columns()))

    def summary(self) -> Summary:
        """Return what the run does to the history before it."""
        if self.plain:
            return Summary(None, 0, sum(self.counts))
        return summarise(self.first, map(self.step, range(len(self))))

    def based(self) -> list[tuple[int, int]]:
        """Return the versions of events in here that start from an absolute version, each with that."""
        return [(self.first + place, odd["b"]) for place, odd in self.odd.items() if "b" in odd]

    def oldest_base(self) -> int | None:
        """Return the oldest version before the run that an event in here starts from; version 0 needs nothing kept."""
        return min((base for _, base in self.based() if 0 < base < self.first), default=None)

    def step(self, place: int) -> Summary:
        """Return what the event at *place* does."""
        odd = self.odd.get(place, {})
        return Summary(odd.get("b"), odd.get("p", 0), self.counts[place])

    def id_of(self, version: int) -> str:
        """Return the id of the event that makes *version*."""
        start = (version - self.first) * ID_LENGTH
        return self.ids[start : start + ID_LENGTH]

    def committed(self, version: int) -> int:
        """Return when the event that makes *version* was committed, in microseconds since 1970."""
        return self.time + self.offsets[version - self.first]

    def events(self) -> Iterator[tuple[int, int, Event]]:
        """
        Yield each event's version and commit time, and the event itself.

        The items of an event that lies under its own key are not in it: its *count* says how many, its *items* are empty.
        """
        _, starts = self.cuts()
        for place, kind in enumerate(self.kinds):
            odd = self.odd.get(place, {})
            version = self.first + place
            committed = self.time + self.offsets[place]
            far = odd.get("f")
            yield (
                version,
                committed,
                Event(
                    id=self.id_of(version),
                    kind=kind,
                    time=committed - self.waits[place],
                    base=odd.get("b"),
                    pops=odd.get("p", 0),
                    count=self.counts[place],
                    items=b"[%s]" % self.items[starts[place] : max(starts[place], starts[place + 1] - 1)],
                    text=tuple(odd.get("s", ())),
                    extensions=odd.get("x", {}),
                    parts=Parts(far[1], far[2]) if far and far[1] else None,
                ),
            )

    # ---- growing ---------------------------------------------------------------------------------------------------

    def append(self, event: Event, committed: int, length: int, far: tuple[int, int, str] | None) -> "Run":
        """
        Return the run with *event* at its end, committed at that time and leaving a history of *length* items.

        *far* is (bytes, parts, digest) for an event whose items are read from its own key instead.
        """
        inner = b"" if far or not event.count else event.items[1:-1]
        odd: _ODD = {}
        if event.base is not None:
            odd["b"], odd["l"] = event.base, length
        if event.pops:
            odd["p"] = event.pops
        if event.text:
            odd["s"] = list(event.text)
        if event.extensions:
            odd["x"] = dict(event.extensions)
        if far:
            odd["f"] = list(far)
        time = self.time if self.counts else committed
        return Run(
            self.first,
            self.length_before,
            self.ids + event.id,
            self.kinds + event.kind,
            time,
            [*self.offsets, committed - time],
            [*self.waits, committed - event.time],
            [*self.counts, event.count],
            [*self.sizes, len(inner)],
            {**self.odd, len(self.counts): odd} if odd else self.odd,
            b",".join(filter(None, (self.items, inner))),
            chain=self.chain,
        )

    def concat(self, later: "Run") -> "Run":
        """Return this run followed by *later*, which begins where this one ends."""
        shift = later.time - self.time
        return Run(
            self.first,
            self.length_before,
            self.ids + later.ids,
            self.kinds + later.kinds,
            self.time,
            self.offsets + [shift + offset for offset in later.offsets],
            self.waits + later.waits,
            self.counts + later.counts,
            self.sizes + later.sizes,
            self.odd | {place + len(self): odd for place, odd in later.odd.items()},
            b",".join(filter(None, (self.items, later.items))),
            chain=self.chain,
        )

    # ---- bytes -----------------------------------------------------------------------------------------------------

    def columns(self) -> dict[str, Any]:
        """Return everything but the items, as it is stored."""
        columns = {
            "v": self.first, "l": self.length_before, "h": self.chain, "i": self.ids, "k": self.kinds,
            "t": [self.time, self.offsets], "w": self.waits, "n": self.counts, "z": self.sizes,
        }  # fmt: skip
        if self.odd:
            columns["o"] = {str(place): odd for place, odd in self.odd.items()}
        return columns

    def to_bytes(self) -> bytes:
        """Return the run as a segment stores it, before compression."""
        return frame("segment", self.columns(), self.items)

    @classmethod
    def of_columns(cls, columns: Any, items: bytes) -> "Run":
        """Return the run that `columns` gave, checked. Raises CorruptLog or UnsupportedFormat."""
        try:
            time, offsets = columns["t"]
            run = cls(
                columns["v"], columns["l"], columns["i"], columns["k"], time, offsets, columns["w"], columns["n"], columns["z"],
                {int(place): odd for place, odd in columns.get("o", {}).items()}, items, chain=columns["h"],
            )  # fmt: skip
            events = len(run.counts)
            listed = (len(run.kinds), len(offsets), len(run.waits), len(run.sizes), len(run.ids) // ID_LENGTH)
            based = all(0 <= odd.get("b", 0) < run.first + place for place, odd in run.odd.items())
            fits = sum(run.sizes) + max(0, sum(map(bool, run.sizes)) - 1) == len(items)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptLog("not the columns of a run") from error
        if not based:
            raise CorruptLog("an event starts from a version that is not before its own")
        if listed != (events,) * 5 or not fits:
            raise CorruptLog("the columns of a run do not fit together")
        if not TYPES.keys() >= set(run.kinds):
            raise UnsupportedFormat("it holds a kind of event that is newer than this release. Upgrade eventlog-session")
        return run

    @classmethod
    def of(cls, value: bytes, *, whole: bool = False) -> "Run":
        """Return the run that `to_bytes` gave *value* for; *whole* as in `unframe`. Raises CorruptLog or UnsupportedFormat."""
        return cls.of_columns(*unframe("segment", value, whole=whole))
