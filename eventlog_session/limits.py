"""Every size that can be tuned, with its reason beside it. In bytes; times in seconds."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what is written and held. The defaults fit every Dapr state store at once."""

    deadline: float = 10.0
    """One remote call. daprd sets none itself, so a call without one can hang for ever."""
    commit_events: int = 32
    """Events of one commit; with the head, a segment and index nodes it stays below Cosmos DB's 100 operations."""
    request_bytes: int = 3 << 20
    """One request or reply of a bulk read or write: daprd's limit is 4 MiB both ways, keys and framing included."""
    commit_bytes: int = 1 << 20
    """One commit. etcd takes 1.5 MiB unless told otherwise, Cosmos DB 2 MB; what is larger would fail again and again."""
    head_reserve: int = 384 << 10
    """Kept free of those for the head, a segment, a merged one and index nodes."""
    bulk_keys: int = 200
    """Keys of one bulk read or write."""
    inline_bytes: int = 4 << 10
    """An event's items up to this size are repeated in the head; larger ones are read from the event's own key."""
    tail_bytes: int = 8 << 10
    """The head's raw tail is sealed when its items and columns pass this: the tail is rewritten by every append."""
    tail_events: int = 128
    """The same in events: pops and tiny adds would otherwise make long columns of little content."""
    carried_bytes: int = 12 << 10
    """
    Compressed bytes of the segment that rides along in the head: with the tail about 110 items of 330 B in one round trip.

    Not more, so that the head stays below 32 KiB at a million events and 1,000 appends of 2 kB write a sixtieth of what a
    `DaprSession` does; appends hardly feel it (a transaction with a head of 1, 12 and 26 kB took 0.69, 0.67 and 0.72 ms on
    Redis, 1.59, 1.54 and 1.62 on PostgreSQL).
    """
    merge_bytes: tuple[int, ...] = (64 << 10, 256 << 10)
    """Stored bytes that small segments next to each other are merged up to, smallest first; none to leave them as they are."""
    value_bytes: int = 256 << 10
    """One value: DynamoDB takes 400 KB. Larger events are split into parts of this size."""
    event_bytes: int = 64 << 20
    """One event, and one decompressed value: the bound on what a read may be made to allocate."""
    recent_ids: int = 32
    """Ids of the newest events that the head repeats, so that a doubtful commit is mostly resolved without a second read."""
    idempotent_events: int = 128
    """Events for which the head remembers an idempotency key: at most 30 bytes each, and none without keys."""
    tags: int = 64
    """Tags of a session: they are all in the head, which stays below 32 KiB, so that with their names they take 5 KiB of it."""
    tag_bytes: int = 64
    """A tag's name in UTF-8: 64 characters of ASCII, 21 of Chinese. In characters, 64 names could take 16 KiB of the head."""
    index_segments: int = 64
    """References to segments in the head; at that number the older half rolls up into an index node."""
    index_nodes: int = 32
    """The same for each level of nodes."""
    stray: int = 60
    """
    Seconds for which a write may still be under way that nobody waits for: a deadline, and what a sidecar's own retries add.

    For so long a head stays in the store after its session expired, since on Redis a missing key passes any etag; and after
    so long an erasure deletes everything once more.
    """
    cache_bytes: int = 64 << 20
    """Decompressed immutable values kept for each store."""
    ttl_margin: float = 1 / 8
    """Share of the ttl before a head's expiry in which it is read again rather than written through."""

    def __post_init__(self) -> None:
        """Raise ValueError for limits that the format can't be kept within."""
        if min(self.index_segments, self.index_nodes) < 4:
            raise ValueError("index_segments and index_nodes must be at least 4, else the index is a chain and not a tree")
        if self.recent_ids < 1:
            raise ValueError("recent_ids must be at least 1: by the newest id a process knows the head that it saw last")
        if self.value_bytes < 32:
            raise ValueError("value_bytes must be at least 32")

    def pages(self, sized: Iterable[tuple[_T, int]]) -> Iterator[list[_T]]:
        """Yield keys, or what stands for one, given with their values' sizes, in pages that one bulk request can carry."""
        page: list[_T] = []
        total = 0
        for key, size in sized:
            if page and (total + size > self.request_bytes or len(page) == self.bulk_keys):
                yield page
                page, total = [], 0
            page.append(key)
            total += size + 256  # key, etag and framing
        if page:
            yield page
