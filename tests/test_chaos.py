"""Real faults on a real daprd with real Redis and PostgreSQL: the short form of `make chaos`."""

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from uuid import uuid4

import orjson
import pytest
import pytest_asyncio
from chaos.faults import Chance, Kind, Once, calm
from chaos.items import item, name_of
from chaos.scenarios import SCENARIOS, Scenario, run_scenario
from chaos.stage import Stage
from chaos.trials import HELD, SLEPT, create_together, crowd, expire
from rig import COMPONENTS

from eventlog_session.errors import ForkDetected, OutcomeUnknown, Unavailable
from eventlog_session.log import EventLog
from eventlog_session.retry import Retry
from eventlog_session.stores.base import NotCommitted, Put
from eventlog_session.stores.dapr import DaprStore
from eventlog_session.stores.sidecar import SidecarClient

pytestmark = [pytest.mark.daprd, pytest.mark.asyncio(loop_scope="module")]

SEED = 1
SECONDS = 2.0
"""Of load for each scenario."""
STORES = ("redis", "postgresql")
WIRES = {"client": b"upsert", "redis": b"exec", "postgresql": b"commit"}
"""Where a proxy stands, and what a request that commits holds there."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A rig of its own: its servers are killed."""
    async with Stage(tmp_path_factory.mktemp("chaos") / "rig") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def client(stage: Stage) -> AsyncIterator[SidecarClient]:
    """A client behind the first sidecar's proxy."""
    opened = SidecarClient(stage.address(0))
    yield opened
    for proxy in (*stage.doors, *stage.wires.values()):
        proxy.decide = calm
    await opened.close()


def one(name: str) -> tuple[bytes, int]:
    """Return the arguments of an add of one item."""
    return orjson.dumps([item(name)]), 1


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("kind", [Kind.BEFORE, Kind.AFTER, Kind.WITHIN])
async def test_a_cut_is_where_it_says(stage: Stage, client: SidecarClient, wire: str, kind: Kind) -> None:
    """A commit cut before its request is not in the store, one whose reply was lost is: the faults are what they are called."""
    proxy = stage.doors[0] if wire == "client" else stage.wires[wire]
    store = DaprStore(client, "postgresql-plain" if wire == "postgresql" else "redis-plain")
    await store.traits()
    key = f"cut:{uuid4().hex}"
    proxy.injected.clear()
    proxy.decide = Once(kind, WIRES[wire])
    outcome = await store.commit(Put(key, b"[1]"), None, [Put(f"{key}:e", b"[2]")])  # one alone is no transaction
    assert proxy.injected == {kind.value: 1}
    direct = SidecarClient(stage.rig.address)
    written = await DaprStore(direct, store.name).get(key) is not None
    await direct.close()
    assert isinstance(outcome, NotCommitted)
    assert written == (kind is not Kind.BEFORE)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("kind", [Kind.BEFORE, Kind.AFTER, Kind.WITHIN, Kind.DELAY])
async def test_one_cut_commit_is_acknowledged_once(stage: Stage, client: SidecarClient, wire: str, kind: Kind) -> None:
    """Whatever befalls the one request that commits, the add is acknowledged and its event is in the log exactly once."""
    proxy = stage.doors[0] if wire == "client" else stage.wires[wire]
    log = EventLog(DaprStore(client, "postgresql-plain" if wire == "postgresql" else "redis-plain"), uuid4().hex)
    await log.add(*one("e0"))
    await log.settle()
    proxy.injected.clear()
    proxy.decide = Once(kind, WIRES[wire])
    assert (await log.add(*one("e1"))).version == 2
    assert proxy.injected == {kind.value: 1}
    await log.settle()
    fresh = EventLog(DaprStore(client, "postgresql" if wire == "postgresql" else "redis"), log.session_id)
    assert [name_of(read) for read in (await fresh.read()).items] == ["e0", "e1"]


@pytest.mark.parametrize(("component", "times"), [("redis-plain", 1), ("redis-twice", 2), ("redis-retried", 4)])
async def test_operations_run_as_often_as_they_should(stage: Stage, client: SidecarClient, component: str, times: int) -> None:
    """With `writeTimeout` Redis is asked everything twice, and a retry policy repeats a conflict: both faults are real."""
    store = DaprStore(client, component)
    key = f"often:{uuid4().hex}"
    await store.commit(Put(key, b"[1]"), None, [])
    asked: list[int] = []

    def count(request: bytes | None) -> None:
        asked.append((request or b"").count(b"\r\nEVAL\r\n"))

    stage.wires["redis"].decide = count
    assert isinstance(await store.commit(Put(key, b"[2]"), "999", []), NotCommitted)
    assert sum(asked) == times


async def test_a_policy_loses_nothing_of_many(stage: Stage, client: SidecarClient) -> None:
    """What is reported as put is there, what is reported as deleted is not, and no bulk request under a policy ends daprd."""
    store = DaprStore(client, "postgresql-retried")
    wire = stage.wires["postgresql"]
    said = Counter[str]()
    for number in range(12):
        puts = [Put(f"many:{uuid4().hex}:{n}", b"[%d]" % number) for n in range(24)]
        for kind in ("put", "deleted"):
            wire.decide = Chance(random.Random(SEED + number), {Kind.BEFORE: 0.12})
            try:
                await (store.put_many(puts) if kind == "put" else store.delete_many([put.key for put in puts]))
            except Unavailable:
                continue
            finally:
                wire.decide = calm
                stage.check()
            said[kind] += 1
            found = await _there(stage, [put.key for put in puts])
            assert len(found) == (len(puts) if kind == "put" else 0), (kind, number)
    assert min(said["put"], said["deleted"]) > 0, said


async def _there(stage: Stage, keys: list[str]) -> Mapping[str, bytes]:
    """Read past the faults."""
    direct = SidecarClient(stage.rig.address)
    try:
        return await DaprStore(direct, "postgresql").get_many(keys)
    finally:
        await direct.close()


@pytest.mark.parametrize("store", STORES)
async def test_the_encrypted_component_encrypts(client: SidecarClient, store: str) -> None:
    """What is written through it can't be read past it, and reads the same through it."""
    key = f"secret:{uuid4().hex}"
    await DaprStore(client, f"{store}-encrypted").commit(Put(key, b"[1]"), None, [])
    inside = await DaprStore(client, f"{store}-encrypted").get(key)
    outside = await DaprStore(client, f"{store}-plain").get(key)
    assert inside is not None
    assert outside is not None
    assert inside.data == b"[1]"
    assert b"[1]" not in outside.data


async def test_unknown_is_said_where_nobody_can_tell(stage: Stage, client: SidecarClient) -> None:
    """A commit whose reply was lost, and that nobody can ask for within the budget, raises with the ids that do tell later."""
    log = EventLog(DaprStore(client, "redis-plain"), uuid4().hex, retry=Retry(budget=0.3))
    await log.add(*one("e0"))
    await log.settle()
    stage.doors[0].outage = (1.0, 1.0)
    stage.doors[0].decide = Once(Kind.OUTAGE, WIRES["client"])
    with pytest.raises(OutcomeUnknown) as raised:
        await log.add(*one("e1"))
    direct = SidecarClient(stage.rig.address)
    events = [event.id async for _, _, event in EventLog(DaprStore(direct, "redis"), log.session_id).events()]
    await direct.close()
    assert list(raised.value.event_ids) == events[1:]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.title)
async def test_what_was_acknowledged_is_there_once(stage: Stage, tmp_path: Path, scenario: Scenario) -> None:
    """Under real faults nothing is lost, doubled, written after all, misread or out of order; unknown is said to be unknown."""
    result = await run_scenario(stage, scenario, tmp_path, SECONDS, SEED)
    verdict = result.verdicts[0]
    assert verdict.sound, verdict.findings
    assert verdict.acknowledged > 0
    assert verdict.read_again == verdict.versions + 1
    assert result.faults.total() > 0


@pytest.mark.parametrize("component", COMPONENTS)
async def test_two_create_one_session(stage: Stage, tmp_path: Path, component: str) -> None:
    """Two processes that create a session at the same moment both get their first item in, each once."""
    rounds = 10
    verdict, _ = await create_together(stage, component, tmp_path, rounds)
    assert verdict.sound, verdict.findings
    assert verdict.acknowledged == verdict.versions == 2 * rounds


@pytest.mark.parametrize("store", STORES)
async def test_a_crowd_is_served(stage: Stage, tmp_path: Path, store: str) -> None:
    """Of many processes that add to one session through two sidecars, every one has every add acknowledged, once."""
    ours, _ = await crowd(stage, store, tmp_path, writers=10, adds=10)
    assert ours.verdict.sound, ours.verdict.findings
    assert ours.verdict.acknowledged == ours.verdict.versions == 100


@pytest.mark.parametrize("store", STORES)
async def test_sleeping_through_the_ttl(stage: Stage, store: str) -> None:
    """A writer that slept until its session had expired neither revives it nor overwrites its successor."""
    for found in await expire(stage, store, SLEPT):
        assert found.sound, found


@pytest.mark.parametrize("store", STORES)
async def test_a_commit_held_until_the_session_expired(stage: Stage, store: str) -> None:
    """Nor does a commit that was under way all the while, also where the successor has come to the same etag."""
    for found in await expire(stage, store, HELD):
        assert found.sound, found


async def test_a_store_that_forgot_is_found_out(stage: Stage, client: SidecarClient) -> None:
    """When Redis comes back from an older copy, who knew better is told once, and what is left reads as it always did."""
    store = DaprStore(client, "redis")
    log = EventLog(store, uuid4().hex)
    for number in range(3):
        await log.add(*one(f"e{number}"))
    await log.settle()
    redis, data = stage.rig.redis, stage.rig.redis.directory / "appendonlydir"
    copy = data.with_name("copy")
    await asyncio.to_thread(redis.stop)
    shutil.copytree(data, copy)
    await asyncio.to_thread(redis.start)
    for number in range(3, 6):
        await log.add(*one(f"e{number}"))
    await log.settle()
    await asyncio.to_thread(redis.kill)
    shutil.rmtree(data)
    copy.rename(data)
    await asyncio.to_thread(redis.start)
    with pytest.raises(ForkDetected):
        await log.read()
    view = await log.read()
    assert (view.version, [name_of(read) for read in view.items]) == (3, ["e0", "e1", "e2"])
    assert (await log.add(*one("e6"))).version == 4
    await log.settle()
