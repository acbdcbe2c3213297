"""
Writers of one session, in one process or in a process each, and what each of them was told.

Processes are forked from one that has everything imported and no connection (multiprocessing's forkserver): importing the
Agents SDK takes seconds of CPU, and 32 processes would take minutes for it.
"""

import asyncio
import logging
import multiprocessing
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from time import monotonic
from typing import Any, Protocol, Self

from agents.memory.session import Session
from dapr.aio.clients import DaprClient
from items import message
from subjects import make, settle

PATIENCE = 120.0
"""Seconds after which a writer that does not answer is a fault of the benchmark."""


@dataclass(slots=True)
class Told:
    """What a writer was told, by the names of its items. Times are those of the machine's monotonic clock."""

    begun: float = 0.0
    ended: float = 0.0
    acknowledged: list[str] = field(default_factory=list)
    raised: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


class Crew(Protocol):
    """Writers that are connected and wait."""

    async def write(self, kind: str, session_id: str, adds: int) -> list[Told]:
        """Have each add so many items to one session, all at once, through a session object of its own."""


def said(name: str) -> Any:
    """Return the item of this name: of 330 bytes, whatever the name."""
    text = message(0)["content"]
    return {"content": f"{name} {text}"[: len(text)], "role": "user"}


async def add(session: Session, writer: int, adds: int) -> Told:
    """Add items one after the other; what fails is not tried again."""
    told = Told(begun=monotonic())
    for number in range(adds):
        name = f"{writer}-{number}"
        try:
            await session.add_items([said(name)])
        except Exception as error:  # noqa: BLE001 how it fails is a result
            told.raised.append(name)
            told.errors[type(error).__name__] += 1
        else:
            told.acknowledged.append(name)
    told.ended = monotonic()
    return told


class Together:
    """Writers in this process: as many session objects, one connection."""

    def __init__(self, client: Any, store: str, writers: int) -> None:
        self._client = client
        self._store = store
        self._writers = writers

    async def write(self, kind: str, session_id: str, adds: int) -> list[Told]:
        """Gather the writers."""
        sessions = [make(kind, session_id, self._client, self._store) for _ in range(self._writers)]
        told = await asyncio.gather(*(add(session, writer, adds) for writer, session in enumerate(sessions)))
        await settle(sessions[0])  # they share what is done in the background
        return told


class Processes:
    """Writers in a process each, with a connection each, which begin at a barrier. They live until the context ends."""

    def __init__(self, address: str, store: str, writers: int) -> None:
        context = multiprocessing.get_context("forkserver")
        # each process imports the main program again, which is quick if all that this imports is there
        context.set_forkserver_preload(["writers", Path(getattr(sys.modules["__main__"], "__file__", None) or "writers").stem])
        self._barrier = context.Barrier(writers)  # kept, since its semaphores go with it
        pipes = [context.Pipe() for _ in range(writers)]
        self._connections = [ours for ours, _ in pipes]
        self._processes = [
            context.Process(target=serve, args=(theirs, self._barrier, address, store), daemon=True) for _, theirs in pipes
        ]

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._start)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await asyncio.to_thread(self._end)

    async def write(self, kind: str, session_id: str, adds: int) -> list[Told]:
        """Give every process its order."""
        for writer, connection in enumerate(self._connections):
            connection.send((kind, session_id, writer, adds))
        return await asyncio.to_thread(self._answers)

    def _start(self) -> None:
        for process in self._processes:
            process.start()
        self._answers()  # that they are connected

    def _answers(self) -> list[Any]:
        return [_received(connection) for connection in self._connections]

    def _end(self) -> None:
        for connection, process in zip(self._connections, self._processes, strict=True):
            if process.is_alive():
                connection.send(None)
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.kill()


def _received(connection: Any) -> Any:
    if not connection.poll(PATIENCE):
        raise RuntimeError(f"a writer has not answered for {PATIENCE:g} s")
    return connection.recv()


def serve(connection: "Connection[Any, Any]", barrier: Barrier, address: str, store: str) -> None:
    """Be one writer process until the order is None."""
    logging.getLogger("openai.agents").setLevel(logging.ERROR)
    asyncio.run(_serve(connection, barrier, address, store))


async def _serve(connection: "Connection[Any, Any]", barrier: Barrier, address: str, store: str) -> None:
    client = DaprClient(address=address)
    await client.get_state(store, "connected")
    connection.send("connected")
    while (order := await asyncio.to_thread(connection.recv)) is not None:
        kind, session_id, writer, adds = order
        session = make(kind, session_id, client, store)
        await asyncio.to_thread(barrier.wait, PATIENCE)
        told = await add(session, writer, adds)
        await settle(session)
        connection.send(told)
    await client.close()  # type: ignore[no-untyped-call]


def verdict(told: Sequence[Told], items: Sequence[Any]) -> dict[str, int]:
    """Return what is wrong with *items*, read afresh, by what the writers were told. All of it should be zero."""
    there = Counter(item["content"].partition(" ")[0] for item in items)
    written = {name for one in told for name in (*one.acknowledged, *one.raised)}
    return {
        "lost": sum(name not in there for one in told for name in one.acknowledged),
        "doubled": sum(count - 1 for count in there.values()),
        "raised_yet_there": sum(name in there for one in told for name in one.raised),
        "altered": sum(item != said(item["content"].partition(" ")[0]) for item in items) + len(there.keys() - written - {"-"}),
    }
