"""A Redis Cluster: all keys of a session must lie in one slot, and different sessions spread over the nodes."""

from collections.abc import AsyncIterator

import pytest
from agents.items import TResponseInputItem
from rig import Rig
from rig.cluster import RedisCluster

from eventlog_session import EventLogSession
from eventlog_session.core.keys import Keys
from eventlog_session.stores.base import Committed, Put, Store
from eventlog_session.stores.dapr import DaprStore
from eventlog_session.stores.sidecar import SidecarClient
from eventlog_session.testing import StoreContract

pytestmark = pytest.mark.daprd

CLUSTERS = ("redis-cluster", "redis6-cluster")
"""Of Valkey 9 and of Redis 6.2, to which daprd speaks through its older client."""


@pytest.fixture(params=CLUSTERS)
def cluster(request: pytest.FixtureRequest, rig: Rig) -> str:
    """Each cluster's component in turn."""
    return rig.add(str(request.param))


@pytest.fixture
async def store(cluster: str, rig: Rig) -> AsyncIterator[Store]:
    """The store on it, closed afterwards."""
    opened = DaprStore(SidecarClient(rig.address), cluster)
    yield opened
    await opened.close()


class TestContract(StoreContract):
    """Three nodes do all that one does."""


async def test_a_session_runs_on_it(store: Store, session_id: str) -> None:
    """Appended, read, popped, rewound, and read by a second one: in sessions whose keys lie on all three nodes."""
    for number in range(12):
        session = EventLogSession(f"{session_id}-{number}", store=store)
        items: list[TResponseInputItem] = [{"role": "user", "content": f"{part} " * 200} for part in range(40)]
        for start in range(0, 40, 4):  # beyond one segment: seals and reads of several keys, too
            await session.add_items(items[start : start + 4])
        assert await session.pop_item() == items[-1]
        assert await EventLogSession(f"{session_id}-{number}", store=store).get_items() == items[:-1]
        await session.clear_session()
        assert await session.get_items() == []


async def test_a_commit_lies_on_one_node(cluster: str, rig: Rig, store: Store, session_id: str) -> None:
    """All keys of a session share one slot; sessions spread over all nodes, so this cluster is a real one."""
    server = rig.server(cluster)
    assert isinstance(server, RedisCluster)
    before = [int(node.ask("DBSIZE")[1:]) for node in server.nodes]
    sessions = [Keys(f"{session_id}-{number}") for number in range(24)]
    for keys in sessions:
        head, event = Put(keys.head, b"[1]"), Put(keys.event("a"), b"[2]")
        assert isinstance(await store.commit(head, None, [event]), Committed)
        assert await store.get_many([head.key, event.key]) == {head.key: b"[1]", event.key: b"[2]"}
    added = [int(node.ask("DBSIZE")[1:]) - count for node, count in zip(server.nodes, before, strict=True)]
    assert sum(added) == 2 * len(sessions)
    assert all(count > 0 and count % 2 == 0 for count in added)
