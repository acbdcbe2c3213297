"""
More real components behind the real sidecar: databases, older servers, encryption, no transactions, and a misconfiguration.

Each is started when its first test asks for it. What is odd about each is in its file under ``tests/rig`` or ``components``.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from rig import Rig
from staged import noise

from eventlog_session import Conflict, EventLogSession, HistoryTrimmed, Limits, Store
from eventlog_session.stores.dapr import DaprStore
from eventlog_session.stores.sidecar import SidecarClient
from eventlog_session.testing import CountingStore, StoreContract

pytestmark = [pytest.mark.daprd, pytest.mark.usefixtures("bounded")]

SOUND = (
    "redis6", "redis8", "redis-encrypted", "postgresql-v1", "postgresql-encrypted", "mysql", "etcd", "etcd-v1", "memory-plain",
)  # fmt: skip
"""Components that do what the contract asks."""
LYING = ("redis-writetimeout",)
"""Components that report commits as failed that landed: a session works on them all the same."""
SMALL = Limits(tail_bytes=2000, carried_bytes=1000, index_segments=4, index_nodes=4)


@pytest.fixture
async def store(request: pytest.FixtureRequest, rig: Rig) -> AsyncIterator[Store]:
    """The component's store, closed afterwards."""
    opened = DaprStore(SidecarClient(rig.address), rig.add(str(request.param)))
    yield opened
    await opened.close()


@pytest.mark.parametrize("store", SOUND, indirect=True)
class TestContract(StoreContract):
    """What the log asks of a store, they all do."""


def said(number: int, size: int = 400) -> Any:
    """Return an item unlike all others."""
    return {"role": "user", "content": f"{number} {noise(number, size)}"}


@pytest.mark.parametrize("store", [*SOUND, *LYING], indirect=True)
async def test_a_sessions_whole_life(store: Store, session_id: str) -> None:
    """Begun by four processes at once, grown through segments and nodes, popped, trimmed, verified, erased, begun anew."""
    sessions = [EventLogSession(session_id, store=CountingStore(store), limits=SMALL) for _ in range(4)]
    await asyncio.gather(*(session.add_items([said(number)]) for number, session in enumerate(sessions)))
    items: list[Any] = await sessions[0].get_items()
    assert sorted(item["content"] for item in items) == sorted(said(number)["content"] for number in range(4))
    for number in range(4, 60):
        await sessions[number % 2].add_items([said(number)], idempotency_key=f"{number}")
        await sessions[3].add_items([said(number)], idempotency_key=f"{number}")
    items += [said(number) for number in range(4, 60)]
    await sessions[2].add_items([said(60, 300_000), said(61, 5000)])
    items += [said(60, 300_000), said(61, 5000)]
    assert await sessions[1].get_items() == items
    assert await sessions[0].pop_item() == items.pop()
    with pytest.raises(Conflict):
        await sessions[3].clear_session(expected_version=3)
    cold = EventLogSession(session_id, store=CountingStore(store), limits=SMALL)
    assert await cold.get_items() == items
    assert await cold.get_items(limit=10) == items[-10:]
    version = (await cold.read()).version
    found = await cold.verify()
    assert found.sound, found
    assert (found.version, found.events) == (version, version)
    await cold.clear_session()
    await cold.trim(before=version + 1)
    with pytest.raises(HistoryTrimmed):
        await cold.at(version).get_items()
    assert (await cold.verify()).sound
    receipt = await cold.erase(grace=0)
    assert await store.get_many([key for key in receipt.keys if key.startswith("evl:")]) == {}
    await sessions[3].add_items([said(1)])
    assert await sessions[0].get_items() == [said(1)]


@pytest.mark.parametrize("store", ["memory-plain"], indirect=True)
async def test_without_transactions_a_commit_is_two_trips(store: Store, session_id: str) -> None:
    """What the head will name first, then the head: so that a head never names what is not there."""
    session = EventLogSession(session_id, store=store)
    await session.add_items([said(0)])
    await session.get_items()
    calls: list[str] = []
    real = store._call  # type: ignore[attr-defined]

    async def call(method: str, request: Any) -> Any:
        calls.append(method)
        return await real(method, request)

    store._call = call  # type: ignore[attr-defined]
    await session.add_items([said(1)])
    assert [method for method in calls if method != "GetState"] == ["SaveState", "SaveState"]
    assert await session.get_items() == [said(0), said(1)]


@pytest.mark.parametrize("store", ["postgresql-encrypted"], indirect=True)
async def test_an_encrypted_history_is_paged_by_what_it_takes_on_the_wire(store: Store, session_id: str) -> None:
    """Four bytes for each: a cold read of 2 MB asks for pages that fit, instead of finding out by failing."""
    session = EventLogSession(session_id, store=store)
    items = [said(number, 3000) for number in range(1200)]
    for start in range(0, 1200, 8):
        await session.add_items(items[start : start + 8])
    cold = DaprStore(SidecarClient(store._client.connection.address), store.name)  # type: ignore[attr-defined]
    failed = 0
    real = cold._call

    async def call(method: str, request: Any) -> Any:
        nonlocal failed
        try:
            return await real(method, request)
        except Exception:  # whatever it is, it is counted and goes on as it was
            failed += 1
            raise

    cold._call = call  # type: ignore[method-assign]
    assert await EventLogSession(session_id, store=cold).get_items() == items
    assert failed == 0
    await cold.close()
