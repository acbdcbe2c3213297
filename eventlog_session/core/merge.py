"""
Merging segments as a log grows, so that a full read asks for a dozen values and not for one each hundred items.

This is size-tiered compaction, as in a log-structured merge tree. Sealing makes segments of about 12 KiB, since the head
carries one until it is full; neighbours among them become one of 64 KiB, and neighbours of that size one of 256 KiB. So a byte
is mostly in three segments one after the other; in more where merging makes one smaller than half of what it may be. A commit
that seals merges, once at most, and only segments that its writer has in memory, since it wrote or read them: no append waits
for a read on this account. What was merged away goes to the trash of the head that names it no longer, and is deleted once
that head stands.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from itertools import groupby
from typing import Any

from ..limits import Limits
from . import blob
from .advance import Sealed, segment
from .head import Head, Ref
from .keys import Keys
from .run import Run

_RATIO = 16
"""Uncompressed bytes of a merged segment for each that is stored, at most: who reads one item of it decompresses all."""


def mergeable(index: Sequence[Ref], loaded: Mapping[str, Any], limits: Limits) -> Sequence[Ref]:
    """Return the consecutive segments, all of them *loaded*, that should become one; none while there are too few."""
    for full in limits.merge_bytes:
        for tier in _tiers(index, loaded, full):
            if sum(ref.size for ref in tier) >= full:
                return _fitting(tier, loaded, full)
    return ()


def _tiers(index: Sequence[Ref], loaded: Mapping[str, Any], full: int) -> Iterator[list[Ref]]:
    """Yield the longest rows of neighbouring segments at hand, each less than half of *full*: larger ones may be merged."""

    def small(ref: Ref) -> bool:
        run = loaded.get(ref.name) if not ref.level and ref.size < full // 2 else None
        return run is not None and len(run.items) < full * _RATIO // 2

    for are, group in groupby(index, small):
        if are:
            yield list(group)


def _fitting(tier: Sequence[Ref], loaded: Mapping[str, Any], full: int) -> Sequence[Ref]:
    """Return the oldest of *tier* that make up no more than *full* bytes."""
    size = raw = 0
    for place, ref in enumerate(tier):
        size += ref.size
        raw += len(loaded[ref.name].items)
        if size > full or raw > full * _RATIO:
            return tier[:place]
    return tier


def merged(sealed: Sealed, loaded: Mapping[str, Any], keys: Keys, limits: Limits, *, binary: bool) -> Sealed:
    """Return *sealed* with segments merged, if there are any to be."""
    refs = mergeable(sealed.head.index, loaded, limits)
    if not refs:
        return sealed
    one = merge(sealed.head, refs, loaded, keys, binary=binary)
    return Sealed(one.head, sealed.puts | one.puts, sealed.runs | one.runs)


def merge(head: Head, refs: Sequence[Ref], loaded: Mapping[str, Any], keys: Keys, *, binary: bool) -> Sealed:
    """Return *head* with one segment in the place of *refs*, which go to its trash."""
    run: Run = reduce(Run.concat, (loaded[ref.name] for ref in refs))
    ref, value = segment(run, blob.compress(run.to_bytes()), binary=binary)
    place = head.index.index(refs[0])
    index = (*head.index[:place], ref, *head.index[place + len(refs) :])
    return Sealed(head._replace(index=index, trash=tuple(refs)), {keys.segment(ref.name): value}, {ref.name: run})
