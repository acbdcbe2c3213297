"""
How a head moves on: one event appended, the tail sealed, the index rolled up. All pure; the caller writes what comes back.

Sealing has two steps, since a tail is rewritten by every append and a segment is read by every cold reader: the raw tail is
kept small (8 KiB) and is merged, compressed, into the run that the head carries; only when that is full (12 KiB compressed)
does it become a segment under its own key. So a segment holds three to five tails, and until then, for about 110 items of
330 B, a cold read needs no second trip. Whatever is sealed was committed before, so losing the race with it is harmless.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from hashlib import blake2b
from typing import NamedTuple

from ..limits import Limits
from . import blob
from .algebra import Summary
from .draft import Draft
from .events import FORKED, FORKED_AT, FORKED_FROM, NO_VERSION, TAG, TAG_VERSION, TAGGED, Event
from .head import Carried, Head, Keyed, Ref, carry, node_bytes
from .keys import ID_LENGTH, Keys, digest
from .run import Run


def link(chain: str, value: bytes) -> str:
    """Return the hash chain after the event stored as *value*."""
    return blake2b(chain.encode() + value, digest_size=16).hexdigest()


def append(head: Head, draft: Draft, now: int, base_length: int, *, ttl: int | None = None, remember: int = 0) -> Head:
    """
    Return *head* with the draft's event as its newest version.

    *now* is the clock in microseconds since 1970; the commit time never runs backwards. *base_length* is the length of the
    history that the event starts from, *ttl* the session's from now on, None for the one that it has. Idempotency keys are
    remembered for *remember* events.
    """
    event = draft.event
    committed = max(now, head.updated)
    length = base_length - event.pops + event.count
    keyed = head.keyed
    if draft.key:
        kept = (one for one in keyed if one.version + remember > head.version + 1)
        keyed = (*kept, Keyed(head.version + 1, draft.key, draft.content))
    return head._replace(
        version=head.version + 1,
        length=length,
        ttl=head.ttl if ttl is None else ttl,
        ttl_since=head.ttl_since if ttl in (None, head.ttl) else head.version + 1,
        created=head.created or committed,
        updated=committed,
        chain=link(head.chain, draft.value),
        keyed=keyed,
        tags=_tagged(head, event) if event.kind == TAGGED else head.tags,
        forked=_forked(event) if event.kind == FORKED else head.forked,
        tail=head.tail.append(event, committed, length, draft.far),
    )


def _tagged(head: Head, event: Event) -> Mapping[str, int]:
    """Return *head*'s tags after a TAGGED event."""
    name, version = event.extensions[TAG], event.extensions.get(TAG_VERSION, str(head.version))
    others = {other: tagged for other, tagged in head.tags.items() if other != name}
    return others if version == NO_VERSION else {**others, name: int(version)}


def _forked(event: Event) -> tuple[str, int]:
    return event.extensions[FORKED_FROM], int(event.extensions[FORKED_AT])


class Sealed(NamedTuple):
    """A head with its tail within the limits again, and what has to be written with it."""

    head: Head
    puts: dict[str, bytes]
    """Segments and index nodes by key."""
    runs: dict[str, Run]
    """The new segments' runs by name."""


def seal(head: Head, keys: Keys, limits: Limits, *, binary: bool) -> Sealed:
    """Return *head* with its tail within the limits; *binary* says that the store keeps bytes, values are text otherwise."""
    tail = head.tail
    if not len(tail) or (tail.weight() <= limits.tail_bytes and len(tail) <= limits.tail_events):
        return Sealed(head, {}, {})
    carried = carry(head.carried.run.concat(tail) if head.carried else tail)
    full: list[Carried] = []
    if head.carried and len(carried.frame) > limits.carried_bytes:
        full.append(head.carried)
        carried = carry(tail)
    if len(carried.frame) > limits.carried_bytes:  # a tail that alone is too much to carry
        full.append(carried)
    kept = None if carried in full else carried
    segments = [(*segment(one.run, one.frame, binary=binary), one.run) for one in full]
    index, nodes = _roll_up((*head.index, *(ref for ref, _, _ in segments)), limits, binary)
    moved = head._replace(
        index=index,
        carried=kept,
        tail=Run(head.version + 1, head.length, chain=head.chain),
        recent=_recent(head.recent, full, kept, limits.recent_ids),
    )
    puts = {keys.segment(ref.name): value for ref, value, _ in segments}
    puts.update((keys.node(name), value) for name, value in nodes)
    return Sealed(moved, puts, {ref.name: run for ref, _, run in segments})


def _recent(recent: str, full: Iterable[Carried], kept: Carried | None, ids: int) -> str:
    """Return the ids that the head repeats beside those it carries, so that it always knows the newest *ids* events."""
    room = max(0, ids - (len(kept.run) if kept else 0)) * ID_LENGTH
    return (recent + "".join(one.run.ids for one in full))[-room:] if room else ""


def segment(run: Run, frame: bytes, *, binary: bool) -> tuple[Ref, bytes]:
    """Return the reference to *run*, compressed to *frame*, as a segment, and its stored bytes."""
    value = blob.to_value(frame, binary=binary)
    base, pops, adds = run.summary()
    began, ended, length = run.committed(run.first), run.committed(run.last), run.lengths()[-1]
    oldest = run.oldest_base()
    return Ref(digest(value), 0, run.first, len(run), len(value), began, ended, base, pops, adds, length, oldest), value


def _roll_up(index: tuple[Ref, ...], limits: Limits, binary: bool) -> tuple[tuple[Ref, ...], list[tuple[str, bytes]]]:
    """Return the index with no level above its bound, and the new nodes' names and bytes."""
    nodes: list[tuple[str, bytes]] = []
    level = 0
    while True:
        same = [ref for ref in index if ref.level == level]
        if not same:
            return index, nodes
        bound = limits.index_nodes if level else limits.index_segments
        if len(same) >= bound:
            rolled = tuple(same[: bound // 2])  # the oldest of the level; all older references are of higher levels
            made, value = node(rolled, binary=binary)
            nodes.append((made.name, value))
            older = tuple(ref for ref in index if ref.first < made.first)
            index = (*older, made, *(ref for ref in index if ref.first > made.last))
        level += 1


def node(refs: tuple[Ref, ...], *, binary: bool) -> tuple[Ref, bytes]:
    """Return the reference to an index node naming *refs*, and its stored bytes."""
    value = blob.to_value(blob.compress(node_bytes(refs)), binary=binary)
    return span(refs, digest(value), refs[0].level + 1, len(value)), value


def span(refs: Sequence[Ref], name: str, level: int, size: int) -> Ref:
    """Return the one reference that stands for consecutive *refs*."""
    first, last = refs[0], refs[-1]
    # a base inside the span stays absolute: no prefix of a segment is at hand here
    base, pops, adds = reduce(Summary.then, (ref.summary for ref in refs))
    oldest = min((ref.oldest_base for ref in refs if ref.oldest_base and ref.oldest_base < first.first), default=None)
    events = last.last - first.first + 1
    return Ref(name, level, first.first, events, size, first.began, last.ended, base, pops, adds, last.length, oldest)
