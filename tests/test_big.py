"""Large sessions, and whole outages, on a real daprd. What was counted is printed and recorded."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import shake_256
from pathlib import Path
from typing import Any

import orjson
import pytest
from rig import Rig

from eventlog_session import DaprStore, EventLog
from eventlog_session.stores.sidecar import SidecarClient
from eventlog_session.testing import CountingStore

pytestmark = pytest.mark.daprd

Record = Callable[[str, object], None]

WRITER = """
import asyncio, sys
from eventlog_session import EventLogSession

async def main(address, session_id, count):
    async with EventLogSession.from_address(session_id, state_store_name="redis", dapr_address=address) as session:
        for number in range(int(count)):
            await session.add_items([{"role": "user", "content": f"message {number}"}])
        await session.pop_item()

asyncio.run(main(*sys.argv[1:]))
"""

READER = """
import asyncio, json, sys
from eventlog_session import DaprStore, EventLog
from eventlog_session.stores.sidecar import SidecarClient
from eventlog_session.testing import CountingStore

async def main(address, session_id):
    store = CountingStore(DaprStore(SidecarClient(address), "redis"))
    view = await EventLog(store, session_id).read(10)
    told = {"trips": store.trips, "received": store.received, "items": view.items, "version": view.version}
    key = EventLog(store, session_id).keys.head
    told["head"] = len((await store.get(key)).data)
    print(json.dumps(told))
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
async def bounded() -> AsyncIterator[None]:
    """No test waits for ever: after five minutes everything that still runs is cancelled."""
    loop = asyncio.get_running_loop()
    end = loop.call_later(300, lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
    yield
    end.cancel()


async def run(script: str, *arguments: str) -> bytes:
    """Run *script* in a process of its own and return what it prints."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, *arguments, stdout=subprocess.PIPE, env=dict(os.environ)
    )
    try:
        async with asyncio.timeout(120):
            printed, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode == 0
    return printed


async def add(log: EventLog, *items: Any) -> None:
    """Append *items* as one event."""
    await log.add(orjson.dumps(items), len(items))


def _noise(seed: int, size: int) -> str:
    return shake_256(b"%d" % seed).hexdigest(size // 2)


async def test_a_session_outlives_everything(tmp_path: Path, session_id: str) -> None:
    """One process writes and ends; daprd and Redis are stopped, and once killed; another process goes on with all of it."""
    rig = Rig(tmp_path, ("redis",), durable_redis=True)
    await asyncio.to_thread(rig.start)
    try:
        await run(WRITER, rig.address, session_id, "300")
        store = DaprStore(SidecarClient(rig.address), "redis")
        expected: Sequence[Any] = [{"role": "user", "content": f"message {number}"} for number in range(299)]
        for end in ("stop", "kill"):
            for server in (rig.sidecar, rig.redis):
                await asyncio.to_thread(getattr(server, end))
            for server in (rig.redis, rig.sidecar):
                await asyncio.to_thread(server.start)
            log = EventLog(CountingStore(store), session_id)
            view = await _patiently(log)
            assert list(view) == list(expected)
            await add(log, end)
            expected = [*expected, end]
            await log.settle()
        await store.close()
    finally:
        await asyncio.to_thread(rig.stop)


async def _patiently(log: EventLog) -> list[Any]:
    """Read while the channel still finds out that daprd is back: a reader is not retried for, as writers are."""
    from eventlog_session import Unavailable

    async with asyncio.timeout(60):
        while True:
            try:
                return (await log.read()).items
            except Unavailable:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("name", ["redis", "postgresql"])
async def test_large_items_come_back_whole(name: str, rig: Rig, session_id: str, record_property: Record) -> None:
    """100 items of 500 kB, 50 MB in all: twelve times what one message to daprd holds."""
    items = [_noise(number, 500_000) for number in range(100)]
    store = CountingStore(DaprStore(SidecarClient(rig.address), name))
    log = EventLog(store, session_id)
    for item in items:
        await add(log, item)
    sent = store.sent
    await log.settle()
    counting = CountingStore(store)
    read = await EventLog(counting, session_id).read()
    assert read.items == items
    report = f"{name}: sent {sent:,} bytes, read by {counting}"
    record_property("large items", report)
    print(report)  # noqa: T201
    assert counting.trips <= 2 + counting.received // (3 << 20)
    await store.close()


async def test_a_session_of_twenty_thousand_events(rig: Rig, session_id: str, record_property: Record) -> None:
    """
    2,000 adds one after the other, then 18,000 in chunks that group commit makes quick: each its own event all the same.

    A new process then reads the newest ten within two trips, from a head of at most 32 KiB.
    """
    inner = DaprStore(SidecarClient(rig.address), "redis")
    store = CountingStore(inner)
    log = EventLog(store, session_id)
    for number in range(2000):
        await add(log, _item(number))
    report = [f"2,000 in sequence: {store}"]
    assert store.calls["commit"] == 2000
    assert store.sent <= 2000 * (40 << 10)
    store.reset()
    for start in range(2000, 20_000, 500):
        await asyncio.gather(*(add(log, _item(number)) for number in range(start, start + 500)))
    report.append(f"18,000 in chunks of 500: {store}")
    await log.settle()
    told = orjson.loads(await run(READER, rig.address, session_id))
    report.append(f"limit=10 in a new process: {told['trips']} trips, {told['received']:,} bytes; head {told['head']:,} bytes")
    counting = CountingStore(inner)
    items = (await EventLog(counting, session_id).read()).items
    report.append(f"all, cold: {counting}")
    for line in report:
        record_property("twenty thousand", line)
        print(line)  # noqa: T201
    assert (told["version"], told["items"]) == (20_000, [_item(number) for number in range(19_990, 20_000)])
    assert told["trips"] <= 2
    assert told["head"] <= 32 << 10
    assert items == [_item(number) for number in range(20_000)]
    assert counting.trips <= 4
    await store.close()


def _item(number: int) -> dict[str, str]:
    """Return an item of about 330 bytes, half of which compresses."""
    return {"role": "user", "content": f"{number} " + _noise(number, 100) + " and so it goes on" * 10}
