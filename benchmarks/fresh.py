"""
A process that reads one session once, and tells how much memory that took. A program of `aside`.

What it has in memory before is what any process has that imported the Agents SDK and is connected.
"""

import logging
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil
from aside import answer
from cases import expect
from dapr.aio.clients import DaprClient
from items import message
from subjects import make


def forget_peak() -> None:
    """Have `peak` begin anew from here."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Return the most bytes of this process that were in memory at once; not getrusage's, which counts the parent's as well."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


async def read(kind: str, address: str, store: str, session_id: str, limit: int | None, size: int) -> dict[str, Any]:
    """Read the newest *limit* items of a session that holds the first *size* items, and check them."""
    logging.getLogger("openai.agents").setLevel(logging.ERROR)
    client = DaprClient(address=address)
    session = make(kind, session_id, client, store)
    await client.get_state(store, "connected")
    before = psutil.Process().memory_info().rss
    forget_peak()
    begun = perf_counter()
    items = await session.get_items(limit=limit)
    seconds, most = perf_counter() - begun, peak()
    expect([message(number) for number in range(size - (limit or size), size)], items)
    await client.close()  # type: ignore[no-untyped-call]
    return {"seconds": seconds, "before": before, "peak": most}


if __name__ == "__main__":
    if sys.platform != "linux":
        raise SystemExit("how much memory a process has had is read from Linux's /proc")
    answer(read)
