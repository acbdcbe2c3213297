"""
Walking a whole log and checking everything that can be.

That each value named is there, that it is what was written, and that versions, lengths, summaries, times and the hash chain
follow from the events themselves.

A reader checks what it reads; this reads everything, so it finds damage before somebody needs what is damaged.
"""

from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..core.advance import link
from ..core.events import Event
from ..core.head import Head, Ref
from ..core.keys import Keys
from ..core.plan import Far
from ..core.run import Run
from ..errors import CorruptLog, UnsupportedFormat
from ..limits import Limits
from ..stores.base import Store
from .heads import Heads
from .reader import Gone, Reader, far_of


@dataclass(slots=True)
class Verification:
    """What `verify` found. *missing* and *altered* say which keys, and what is wrong with them."""

    version: int
    """Of the head that was walked."""
    events: int = 0
    items: int = 0
    segments: int = 0
    nodes: int = 0
    trimmed: int = 0
    """Events that were given up by trimming, so that nothing can be said of them."""
    missing: list[str] = field(default_factory=list)
    altered: dict[str, str] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        """Whether nothing is missing or altered."""
        return not self.missing and not self.altered


class Verifier:
    """Verifies one session's log."""

    def __init__(self, keys: Keys, store: Store, heads: Heads, reader: Reader, limits: Limits) -> None:
        self._keys = keys
        self._store = store
        self._heads = heads
        self._reader = reader
        self._limits = limits

    async def verify(self) -> Verification:
        """Return what is found of everything that the head names."""
        missed: set[str] = set()
        known = await self._heads.fresh()
        while True:
            found = await self._walk(known.head)
            if not found.missing:
                return found
            try:  # what is missing may have been merged, trimmed or erased meanwhile
                known = await self._heads.moved_on(known, Gone(found.missing[0]), missed)
            except CorruptLog:
                return found

    async def _walk(self, head: Head) -> Verification:
        found = Verification(head.version)
        faults: dict[str, Exception] = {}
        refs = await self._reader.tree(head.index, faults=faults)
        for name, fault in faults.items():
            self._note(found, self._keys.node(name), fault)
        found.nodes = sum(1 for ref in refs if ref.level and ref.name not in faults)
        walk = _Walk(head, found)
        segments = sorted((ref for ref in refs if not ref.level), key=lambda ref: ref.first)
        for page in self._limits.pages((ref, ref.size) for ref in segments):
            await self._segments(page, walk)
        for run in head.runs():
            await self._run(run, walk, self._keys.head)
        walk.end(self._keys.head)
        return found

    async def _segments(self, page: Sequence[Ref], walk: "_Walk") -> None:
        values = await self._reader.values([self._keys.segment(ref.name) for ref in page])
        for ref in page:
            key = self._keys.segment(ref.name)
            try:
                run = self._reader.decoded(ref, [values[key]])
            except KeyError:
                walk.found.missing.append(key)
            except CorruptLog as fault:
                self._note(walk.found, key, fault)
            else:
                walk.found.segments += 1
                if _described(run) != _described(ref):
                    walk.found.altered[key] = "it is not what the index says of it"
                await self._run(run, walk, key)

    async def _run(self, run: Run, walk: "_Walk", key: str) -> None:
        """Check a run's events against the chain, those read from their own keys too, and own keys not swept yet."""
        own = await self._own_values(run, walk)
        walk.begin(run, key)
        whole = {far.name: far for far in far_of(run)}
        for version, committed, event in run.events():
            far = whole.get(event.id)
            items = await self._items(far, walk.found) if far else event.items
            if items is None:
                walk.lost()
                continue
            value = replace(event, items=items).to_bytes(self._keys.source)
            stored = own.get(self._keys.event(event.id), value)
            if stored != value:
                walk.found.altered[self._keys.event(event.id)] = "it is not the event that the log holds"
            walk.event(version, committed, event, value, key)

    async def _own_values(self, run: Run, walk: "_Walk") -> Mapping[str, bytes]:
        """Return the values of the events' own keys, of those not deleted yet; a missing one is no loss, the log holds it."""
        parts = {place: odd["f"][1] for place, odd in run.odd.items() if "f" in odd}
        sized = (
            (self._keys.event(run.id_of(run.first + place)), size)
            for place, size in enumerate(run.sizes)
            if parts.get(place, run.first + place > walk.head.swept)  # a large event without parts is read by its digest
        )
        found: dict[str, bytes] = {}
        for page in self._limits.pages(sized):
            found.update(await self._store.get_many(page))
        return found

    async def _items(self, far: Far, found: Verification) -> bytes | None:
        try:
            return await self._reader.items_of(far)
        except Gone as gone:
            found.missing.append(gone.key)
        except CorruptLog as fault:
            self._note(found, self._keys.event(far.name), fault)
        return None

    def _note(self, found: Verification, key: str, fault: Exception) -> None:
        if isinstance(fault, UnsupportedFormat):
            raise fault
        if isinstance(fault, Gone):
            found.missing.append(fault.key)
        else:
            found.altered[key] = str(fault).removeprefix(f"{key} is damaged: ")


class _Walk:
    """From one event to the next: what must follow from what came before."""

    def __init__(self, head: Head, found: Verification) -> None:
        self.head = head
        self.found = found
        self._version = 0
        self._time = 0
        self._chain: str | None = ""
        """None where it can't be known: after what is missing or was trimmed."""
        self._stretches = [0]
        """The versions before those without a gap between them, of which there may be many that were trimmed."""
        self._lengths = [array("q", [0])]
        """After each version of each stretch, from the one before it on."""

    def begin(self, run: Run, key: str) -> None:
        """Go on with *run*."""
        gap = run.first - self._version - 1
        if gap:
            self._chain = None
            self.found.trimmed += gap if run.first <= self.head.floor else 0
            self._stretches.append(run.first - 1)
            self._lengths.append(array("q", [run.length_before]))
        if self._chain is not None and self._chain != run.chain:
            self.found.altered[key] = f"version {run.first} does not follow by the hash chain from the one before it"
        self._chain = run.chain
        if self._lengths[-1][-1] != run.length_before:
            self.found.altered[key] = f"the length before version {run.first} is not the one after the event before it"
        self._lengths[-1].extend(run.lengths())
        self._version = run.last

    def event(self, version: int, committed: int, event: Event, value: bytes, key: str) -> None:
        """Go on with one event, stored as *value*."""
        self.found.events += 1
        self.found.items += event.count
        before = self._length_at(version - 1 if event.base is None else event.base)
        if before is not None and before - event.pops + event.count != self._length_at(version):
            self.found.altered[key] = f"the length at version {version} is not what its events leave"
        if committed < self._time:
            self.found.altered[key] = f"version {version} was committed before the one before it"
        self._time = committed
        if self._chain is not None:
            self._chain = link(self._chain, value)

    def _length_at(self, version: int) -> int | None:
        """Return the length of the history at *version*; None where it can't be known."""
        place = bisect_right(self._stretches, version) - 1
        lengths, at = self._lengths[place], version - self._stretches[place]
        return lengths[at] if at < len(lengths) else None

    def lost(self) -> None:
        """Go on after an event whose bytes can't be known."""
        self._chain = None

    def end(self, key: str) -> None:
        """Compare with what the head says."""
        if self._chain is not None and self._chain != self.head.chain:
            self.found.altered[key] = "its hash chain is not that of its events"


def _described(one: Run | Ref) -> tuple[object, ...]:
    """Return what a reference says of a segment, by itself and by the segment."""
    if isinstance(one, Ref):
        return (one.first, one.events, one.began, one.ended, one.summary, one.length, one.oldest_base)
    times = one.committed(one.first), one.committed(one.last)
    return (one.first, len(one), *times, one.summary(), one.lengths()[-1], one.oldest_base())
