"""
Long logs, quickly: made in memory by the library itself, then copied key by key into the stores.

A million single adds through a sidecar take most of an hour, and in groups of 32 some minutes for each store; in memory they
take two for all of them. The items are those of `items.message`, an event each, committed in groups of 32. What is copied is
what such a session would have left: segments, index nodes and the head, the events' own keys deleted behind it. A program of
`aside`, which keeps the memory of this away from what is measured.
"""

import asyncio
import sys
from collections.abc import Sequence
from random import Random
from time import perf_counter
from typing import Any

from aside import answer, told
from items import message
from rig import Rig

from eventlog_session.core.items import encode
from eventlog_session.core.keys import Keys
from eventlog_session.limits import Limits
from eventlog_session.log import EventLog
from eventlog_session.stores.base import Put
from eventlog_session.stores.dapr import DaprStore
from eventlog_session.stores.memory import MemoryStore
from eventlog_session.stores.sidecar import SidecarClient

BATCH = 320
"""Adds at once, which the lane groups into commits of 32."""
EVERY = 20
"""One event in so many is a pop or a rewind, where there are any."""
BACK = 40
"""Versions that a rewind goes back at most."""
ADD, POP = 0, -1
_done: set[tuple[str, str]] = set()


async def seeded(rig: Rig, stores: Sequence[str], session_id: str, events: int, *, undone: bool = False) -> None:
    """Have a log of so many events in every one of *stores* that *rig* serves, if it was not put there before."""
    address = rig.address
    there = [store for store in stores if store in rig._served]
    missing = [store for store in there if (f"{address} {store}", session_id) not in _done]
    if missing:
        seconds = await told("seeding", address=address, stores=missing, session_id=session_id, events=events, undone=undone)
        what = ", ".join(f"{what} in {took:.0f} s" for what, took in seconds.items())
        print(f"a log of {events:,} events: {what}", file=sys.stderr, flush=True)
        _done.update((f"{address} {store}", session_id) for store in missing)


def steps(events: int, *, undone: bool) -> list[int]:
    """Return what each event does: `ADD` the next item, `POP`, or a version to rewind to."""
    chance = Random(events)
    found = []
    for version in range(1, events + 1):
        if undone and version % EVERY == 0:
            found.append(POP if chance.random() < 0.5 else max(1, version - 1 - chance.randint(1, BACK)))
        else:
            found.append(ADD)
    return found


def histories(doings: Sequence[int]) -> list[Any]:
    """Return the history before the first event, and after each: as (number of the last item, history before it), or None."""
    found: list[Any] = [None]
    number = 0
    for doing in doings:
        if doing == ADD:
            found.append((number, found[-1]))
            number += 1
        else:
            found.append(found[-1][1] if doing == POP else found[doing])
    return found


def items_of(history: Any) -> list[Any]:
    """Return the items of one of `histories`, oldest first."""
    numbers = []
    while history is not None:
        number, history = history
        numbers.append(number)
    return [message(number) for number in reversed(numbers)]


async def build(session_id: str, doings: Sequence[int]) -> MemoryStore:
    """Return a store with the log."""
    log = EventLog(store := MemoryStore(), session_id)
    batch: list[bytes] = []

    async def flush() -> None:
        await asyncio.gather(*(log.add(items, 1) for items in batch))
        batch.clear()
        message.cache_clear()  # a million of them would be a gigabyte

    number = 0
    for doing in doings:
        if doing == ADD:
            batch.append(encode([message(number)])[0])
            number += 1
        if doing != ADD or len(batch) == BATCH:
            await flush()
        if doing != ADD:
            await (log.pop() if doing == POP else log.rewind(doing))
    await flush()
    await log.settle()
    return store


async def copy(memory: MemoryStore, session_id: str, address: str, component: str) -> None:
    """Put every key of *memory* into a component that has none of them, the head last."""
    client = SidecarClient(address)
    store = DaprStore(client, component)
    if (await memory.traits()).keeps_bytes != (await store.traits()).keeps_bytes:
        raise RuntimeError(f"{component} would have been given other bytes")
    head = Keys(session_id).head
    values = {key: (await memory.get_many([key]))[key] for key in memory._values}
    few = Limits(bulk_keys=8)  # daprd saves a request's keys all at once, for which SQLite would be locked too long
    for page in few.pages((key, len(value)) for key, value in values.items() if key != head):
        await store.put_many([Put(key, values[key]) for key in page])
    await store.put_many([Put(head, values[head])])
    await client.close()


async def main(address: str, stores: Sequence[str], session_id: str, events: int, undone: bool) -> dict[str, float]:
    """Make the log and copy it; return how many seconds it took, by what was done."""
    begun = perf_counter()
    memory = await build(session_id, steps(events, undone=undone))
    seconds = {"made": perf_counter() - begun}
    for store in stores:
        begun = perf_counter()
        await copy(memory, session_id, address, store)
        seconds[f"copied to {store}"] = perf_counter() - begun
    return seconds


if __name__ == "__main__":
    answer(main)
