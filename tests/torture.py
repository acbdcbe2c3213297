"""Whatever can go wrong with a session, all of it with items and an id that must never be told."""

import asyncio
from collections.abc import Sequence
from itertools import count as numbers
from typing import Any, NoReturn

import orjson
from opentelemetry import trace
from staged import Faulty, Time, add, fill, turns

from eventlog_session import EventLog, EventLogError, EventLogSession, Limits, Retry, Unavailable
from eventlog_session.protocol.adoption import legacy_key
from eventlog_session.stores.base import Committed, NotCommitted, Put, Value
from eventlog_session.testing import CountingStore

SMALL = Limits(inline_bytes=200, value_bytes=400, tail_events=2, carried_bytes=1, index_segments=4, index_nodes=4)
"""Everything there can be within a few dozen events: segments, nodes, large events, parts."""
ITEM = "what-was-said"
PERSON = "ada@example.org"
_numbers = numbers()


class Named(Faulty):
    """`Faulty` under a name that no other test's store has; it also notes which span each call was made in."""

    system = "scripted"

    def __init__(self, *plan: str, **options: Any) -> None:
        super().__init__(*plan, **options)
        self.name = f"store-{next(_numbers)}"
        self.within: list[trace.SpanContext] = []
        self.undeletable = False

    async def get(self, key: str) -> Value | None:
        """Note the span."""
        self.within.append(trace.get_current_span().get_span_context())
        return await super().get(key)

    async def commit(self, head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:
        """Note the span."""
        self.within.append(trace.get_current_span().get_span_context())
        return await super().commit(head, etag, values)

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Delete, unless *undeletable*."""
        if self.undeletable:
            raise Unavailable("nothing can be deleted")
        await super().delete_many(keys)

    def spoil(self, key: str, data: bytes = b"[") -> None:
        """Have other bytes under *key*."""
        self._values[key] = data, -1, float("inf")


class Talkative(dict[str, Any]):
    """An item that is refused with a note that quotes it, as Python 3.14's own are."""

    def items(self) -> NoReturn:
        """Raise."""
        error = TypeError("odd")
        error.add_note(ITEM)
        raise error


async def torture(store: Named, time: Time) -> list[EventLogError]:
    """Do to sessions of `PERSON` whatever can be done, all items being `ITEM`; return the errors that were raised."""
    raised: list[EventLogError] = []

    async def attempt(call: Any) -> None:
        try:
            await call
        except EventLogError as error:
            raised.append(error)

    def opened(name: str) -> EventLog:
        return EventLog(store, name, limits=SMALL, retry=Retry(budget=1), runtime=time.runtime())

    log, other = opened(PERSON), opened(PERSON)
    for one in (ITEM, {ITEM: ITEM}, {"deep": [ITEM] * 50}, {"long": ITEM * 100}):
        await add(log, one)
        await add(other, one)  # races
    session = EventLogSession(PERSON, store=store)
    for wrong in (Talkative(n=float("nan")), {ITEM: {1, ITEM}}, {"n": float("nan"), ITEM: ITEM}, {(1, 2): ITEM}, object()):
        await attempt(session.add_items([wrong]))  # type: ignore[list-item]
    store.undeletable = True
    await fill(log, 9)
    await log.settle()
    store.undeletable = False
    await attempt(log.rewind(10_000))
    await attempt(log.clear(expected=1))
    store.plan.extend(["late"])
    store.meanwhile = store.fail
    await attempt(add(log, ITEM))
    await attempt(opened(PERSON).read())
    store.down = False
    await log.read()
    held = store._values[log.keys.head]
    await add(log, ITEM)
    store._values[log.keys.head] = held  # a failover
    await attempt(log.read())
    await log.read()
    await damage(store, log, attempt)
    left = f"{PERSON}, earlier"
    for value in (ITEM.encode(), b'{"%s":1}' % ITEM.encode(), b"\xff" + ITEM.encode()):
        store.spoil(legacy_key(left), value)
        await attempt(opened(left).read())
        await attempt(add(opened(left), ITEM))
    erasing = asyncio.create_task(log.erase(0))
    while not (await other.head()).erased:
        await turns(1)
    await attempt(add(other, ITEM))
    await attempt(erasing)
    return raised


async def damage(store: Named, log: EventLog, attempt: Any) -> None:
    """Read with each key of *log* damaged in turn: cut short, overwritten with an item, with one in its middle."""
    await log.settle()
    for key, held in list(store._values.items()):
        if not key.startswith(log.keys.head[:-1]):
            continue
        text = orjson.dumps([ITEM])
        for data in (held[0][:-9], text, held[0][:16] + text + held[0][16:], held[0].replace(b"1,", text + b",", 1)):
            store.spoil(key, data)
            cold = EventLog(CountingStore(store), log.session_id, limits=SMALL)
            await attempt(cold.read())
            await attempt(cold.pop())
            await attempt(cold.verify())
        store._values[key] = held
