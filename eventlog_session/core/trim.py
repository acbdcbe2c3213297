"""
Giving up old versions: which segments the versions kept still need, and the index without the others.

A segment is kept when a version from the floor on is made of it: the floor's own history, and whatever an event after the
floor goes back to. Found like a reader finds it, by the summaries, so a segment of which everything was popped or cleared is
stepped over here as there. What goes is whole segments; a reference to none (a hole) takes the place of each run of them, so
that versions, lengths and summaries before and after still fit. No history that can be read passes through a hole.
"""

from collections.abc import Iterator, MutableSet, Sequence
from typing import NamedTuple

from .advance import node, span
from .head import Head, Ref
from .plan import ALL, Cursor, Loaded, Plan, consume, locate, step_back
from .run import Run


class Trimmed(NamedTuple):
    """An index without what its versions don't need, and its new nodes by name."""

    refs: tuple[Ref, ...]
    nodes: dict[str, bytes]


def needed(head: Head, loaded: Loaded, floor: int) -> set[int] | dict[str, Ref]:
    """
    Return the first versions of the segments that any version from *floor* on needs.

    Or what must be read before that is known.
    """
    kept: set[int] = set()
    missing: dict[str, Ref] = {}
    for version in {floor, *_bases(head, loaded, floor, missing)}:
        missing.update(_reach(head, loaded, version, kept))
    return missing or kept


def _bases(head: Head, loaded: Loaded, floor: int, missing: dict[str, Ref]) -> Iterator[int]:
    """Yield the versions before *floor* that an event after it starts from; add to *missing* what must be read to know."""
    places: list[Ref | Run] = [*head.index, *head.runs()]
    while places:
        place = places.pop()
        if isinstance(place, Run):
            # a merged segment may begin long before the floor: where its older events start from is nobody's business any more
            yield from (base for version, base in place.based() if version >= floor and 0 < base < floor)
        elif place.first <= floor < place.last or (place.first > floor and (place.oldest_base or floor) < floor):
            value = loaded.get(place.name)
            if value is None:
                missing[place.name] = place
            elif isinstance(value, Run):
                places.append(value)
            else:
                places.extend(value)


def _reach(head: Head, loaded: Loaded, version: int, kept: MutableSet[int]) -> dict[str, Ref]:
    """Add to *kept* the segments that *version*'s history is made of; return what must be read before they are known."""
    cursor = Cursor(version, ALL)
    jumped = True  # a jump may land anywhere, and holes are joined: only who comes from the next version may step over one
    while cursor.version > 0:
        place = locate(head, loaded, cursor.version)
        if isinstance(place, Run):
            kept.add(place.first)
            step_back(place, cursor, Plan(), loaded)
            jumped = cursor.version != place.first - 1
            continue
        base, pops, adds = place.summary
        inside = cursor.version != place.last or (base is not None and base >= place.first)
        if not place.hole and (place.level or inside):
            return {place.name: place}
        if jumped or cursor.skip < adds:
            kept.add(place.first)
        consume(cursor, adds)
        cursor.skip += pops
        # as a reader does; a base inside a hole can't be followed, and nothing that can be read leads there
        jumped = base is not None and base < place.first
        cursor.version = base if base is not None and jumped else place.first - 1
    return {}


def without(refs: Sequence[Ref], loaded: Loaded, kept: set[int], floor: int, *, binary: bool) -> Trimmed:
    """Return *refs* with a hole for each segment that ends before *floor* and is not *kept*; all their nodes are *loaded*."""
    nodes: dict[str, bytes] = {}
    index: list[Ref] = []
    for ref in refs:
        left = ref
        if ref.first < floor and not ref.hole:
            if ref.level:
                below = without(loaded[ref.name], loaded, kept, floor, binary=binary)
                nodes.update(below.nodes)
                if all(child.hole for child in below.refs):
                    left = ref._replace(name="", size=0)
                elif below.refs != tuple(loaded[ref.name]):
                    left, value = node(below.refs, binary=binary)
                    nodes[left.name] = value
            elif ref.last < floor and ref.first not in kept:
                left = ref._replace(name="", size=0)
        if left.hole and index and index[-1].hole and index[-1].level == left.level:
            index[-1] = span((index[-1], left), "", left.level, 0)
        else:
            index.append(left)
    return Trimmed(tuple(index), nodes)
