"""Damage in a real store is reported and never papered over, whichever value it hits: no shorter history, nothing on top."""

from collections.abc import AsyncIterator
from uuid import uuid4

import orjson
import pytest
from rig import Rig

from eventlog_session.errors import CorruptLog, ForkDetected
from eventlog_session.log import EventLog
from eventlog_session.stores.base import Put
from eventlog_session.stores.dapr import DaprStore
from eventlog_session.stores.sidecar import SidecarClient

pytestmark = pytest.mark.daprd

VALUES = ("head", "segment", "large event", "part")
"""What a log of some length is made of."""


@pytest.fixture(params=["redis", "postgresql"])
async def store(rig: Rig, request: pytest.FixtureRequest) -> AsyncIterator[DaprStore]:
    """A real store behind a real sidecar."""
    client = SidecarClient(rig.address)
    yield DaprStore(client, request.param)
    await client.close()


def items(*sizes: int) -> tuple[bytes, int]:
    """Return the arguments of an add of items of such sizes, that don't compress to less than half of it."""
    return orjson.dumps([{"content": "".join(uuid4().hex for _ in range(size // 32))} for size in sizes]), len(sizes)


async def written(store: DaprStore) -> tuple[EventLog, dict[str, str]]:
    """Return a log with values of all kinds, and the key of one of each kind."""
    log = EventLog(store, uuid4().hex)
    await log.add(*items(6_000))
    await log.add(*items(700_000))
    for _ in range(25):
        await log.add(*items(600, 600, 600))
    await log.settle()
    ids = [event.id async for _, _, event in log.events()]
    head = await log.head()
    keys = log.keys
    found = {"head": keys.head, "segment": keys.segment(head.index[0].name), "large event": keys.event(ids[0])}
    return log, {**found, "part": keys.part(ids[1], 0)}


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("damage", ["a byte", "cut short", "another value", "gone"])
async def test_damage_is_reported(store: DaprStore, kind: str, damage: str) -> None:
    """A value that was changed, cut short, replaced or deleted behind our back makes a fresh reader raise, naming the key."""
    log, keys = await written(store)
    key = keys[kind]
    value = await store.get(key)
    assert value is not None
    middle = len(value.data) // 2
    broken = {
        "a byte": value.data[:middle] + bytes([value.data[middle] ^ 1]) + value.data[middle + 1 :],
        "cut short": value.data[:middle],
        "another value": b"[1]",
    }
    if damage == "gone":
        await store.delete_many([key])
    else:
        await store.commit(Put(key, broken[damage]), value.etag, [])
    if (kind, damage) == ("head", "gone"):  # nobody can know, but who knew it
        with pytest.raises(ForkDetected):
            await log.read()
        return
    fresh = EventLog(DaprStore(store._client, store.name), log.session_id)  # another store object has no cache yet
    with pytest.raises(CorruptLog, match=key.replace("{", "[{]")):
        await fresh.read()
    if kind == "head":
        with pytest.raises(CorruptLog):
            await fresh.add(*items(600))
        now = await store.get(key)
        assert now is not None
        assert now.data == broken[damage]
