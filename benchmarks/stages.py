"""
What each stage of an operation takes by itself: the very functions, on the very values of a session at hand.

In CPU of the thread, which whatever else the machine does disturbs little.
"""

from collections.abc import Callable, Mapping
from statistics import median
from time import thread_time
from typing import Any

from replay import Call

from eventlog_session import EventLogSession, Limits
from eventlog_session.core import blob
from eventlog_session.core import items as codec
from eventlog_session.core.advance import append, seal
from eventlog_session.core.draft import draft
from eventlog_session.core.events import ADDED, Event
from eventlog_session.core.head import Head, node_refs
from eventlog_session.core.keys import Keys, digest, mint
from eventlog_session.core.plan import ALL, collect, plan
from eventlog_session.core.run import Run
from eventlog_session.stores.base import Put
from eventlog_session.stores.dapr import DaprStore

Stages = dict[str, float]
"""Seconds of each stage, by what it does."""
LIMITS = Limits()


def took(work: Callable[[], object], seconds: float = 0.15) -> float:
    """Return what one call of *work* takes: the median of batches, each long enough for the clock."""
    number, spent = 1, 0.0
    while spent < seconds / 10:
        begun = thread_time()
        for _ in range(number):
            work()
        spent = thread_time() - begun
        number *= 2
    batches = []
    for _ in range(9):
        begun = thread_time()
        for _ in range(number // 2):
            work()
        batches.append((thread_time() - begun) / (number // 2))
    return median(batches)


async def stages_of_add(session: EventLogSession, item: Any, call: Call) -> Stages:
    """Return the stages of adding *item* to *session*, which was recorded as *call*."""
    log = await session._log()
    keys, known = log.keys, log._heads._known
    assert known is not None
    head = known.head
    data, _ = codec.encode([item])
    event = Event(mint(b"0123456789"), ADDED, head.updated + 1, count=1, items=data)
    ready = draft(event, keys, LIMITS, binary=True)
    after = append(head, ready, head.updated + 1, head.length)
    puts = [Put(one.request.key, one.request.value) for one in call.request.operations]
    store = DaprStore.of(session._dapr_client, "redis")  # type: ignore[arg-type]
    telemetry = log._telemetry

    def told() -> None:
        with telemetry.operation("append"):
            telemetry.called(1)
            telemetry.committed(events=1, attempts=1, head_bytes=1)

    def built() -> object:
        request = type(call.request)(storeName="redis")
        store._fill_head(request.operations.add(operationType="upsert").request, puts[0], "7")
        for put in puts[1:]:
            store._fill(request.operations.add(operationType="upsert").request, put)
        return request.SerializeToString()

    def drafted() -> object:
        return draft(Event(mint(b"0123456789"), ADDED, 1, count=1, items=data), keys, LIMITS, binary=True)

    return {
        "items to JSON, and back to compare (orjson)": took(lambda: codec.encode([item])),
        "the event, as a CloudEvent": took(drafted),
        "the event appended to the head": took(lambda: append(head, ready, head.updated + 1, head.length)),
        "seal: whether the tail is due (weighed as JSON)": took(lambda: seal(after, keys, LIMITS, binary=True)),
        "the head to bytes (orjson, checksum)": took(lambda: after.to_bytes(binary=True)),
        "telemetry: counters, metrics and span without an SDK": took(told),
        "protobuf: built and serialised": took(built),
    }


async def sealing(session: EventLogSession, item: Any) -> tuple[float, float]:
    """Return what it takes to seal a tail that is due, and how many such adds it takes until one is."""
    log = await session._log()
    known = log._heads._known
    assert known is not None
    head, data = known.head, codec.encode([item])[0]
    adds = 0
    while not (len(head.tail) and head.tail.weight() > LIMITS.tail_bytes):
        head = append(
            head,
            draft(Event(mint(b"%10d" % adds), ADDED, 1, count=1, items=data), log.keys, LIMITS, binary=True),
            1,
            head.length,
        )
        adds += 1
    return took(lambda: seal(head, log.keys, LIMITS, binary=True)), float(len(head.tail))


def stages_of_get(keys: Keys, calls: list[Call]) -> Stages:
    """Return the stages of reading all of a session, which was recorded as *calls*."""
    data = calls[0].reply.data
    found: Mapping[str, bytes] = {one.key: one.data for call in calls[1:] for one in _items(call)}
    bulks = [(type(call.reply), call.reply.SerializeToString()) for call in calls]
    head = Head.of(data, limit=LIMITS.event_bytes)
    refs = {keys.segment(ref.name): ref for ref in head.index if not ref.level}
    nodes = [found[key] for ref in head.index if ref.level and (key := keys.node(ref.name)) in found]
    for value in nodes:
        refs.update({keys.segment(ref.name): ref for ref in node_refs(blob.decompress(value, LIMITS.event_bytes))})
    segments = {refs[key]: value for key, value in found.items() if key in refs}
    plain = {ref: blob.decompress(value, LIMITS.event_bytes) for ref, value in segments.items()}
    loaded: dict[str, Any] = {ref.name: Run.of(value) for ref, value in plain.items()}
    for ref in head.index:
        if ref.level:
            loaded[ref.name] = node_refs(blob.decompress(found[keys.node(ref.name)], LIMITS.event_bytes))
    made = plan(head, loaded, head.version, ALL)
    assert not made.missing
    whole = took(lambda: Head.of(data, limit=LIMITS.event_bytes))
    without = took(lambda: Head.of(data, limit=LIMITS.event_bytes, known=head.carried))
    return {
        "protobuf: replies parsed": took(lambda: [kind.FromString(reply) for kind, reply in bulks]),
        "the head parsed (orjson, checksum)": without,
        "the run that it carries (zstd, orjson)": whole - without,
        f"digests of {len(segments)} segments checked (BLAKE2b)": took(lambda: [digest(value) for value in segments.values()]),
        "segments decompressed (zstd)": took(
            lambda: [blob.decompress(value, LIMITS.event_bytes) for value in segments.values()]
        ),
        "columns of segments parsed (orjson)": took(lambda: [Run.of(value, whole=True) for value in plain.values()]),
        "planned": took(lambda: plan(head, loaded, head.version, ALL)),
        "items parsed (orjson)": took(lambda: collect(made, loaded)),
    }


def _items(call: Call) -> Any:
    return call.reply.items if call.method == "GetBulkState" else []
