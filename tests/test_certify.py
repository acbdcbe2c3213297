"""What `certify` says of real components, and of stand-ins that misbehave as no component that can be run here does."""

import asyncio
import json
import os
import shutil
import time
from base64 import b85encode
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

import grpc
import pytest
from agents.items import TResponseInputItem
from click.testing import CliRunner
from dapr.proto import api_v1
from rig import KINDS, NotInstalled, Rig, debian

from eventlog_session import EventLogSession, Limits, StoreRefused, Unavailable, cli
from eventlog_session.certify import Certificate, NoEtags, certify
from eventlog_session.stores.component import Component, NoSidecar, NoSuchComponent
from eventlog_session.stores.dapr import DaprStore
from eventlog_session.stores.sidecar import SidecarClient

FAILOVER = "acknowledged commits survive a failover"
FIRST = "first commit safe from a rival"
LIMITS = "default limits fit"
STABLE = "past versions stable"

# ---- real components -----------------------------------------------------------------------------------------------

SQL: Mapping[str, Any] = {
    "rolls_back": True,
    "missing_passes": False,
    "restarts": False,
    "twice": False,
    "chain.counts": False,
    "create_committed.kind": "atomic",
    "bytes_committed": "same",
    "ttl.cleared": True,
    "ttl.visible": True,
    "ttl.default": 0,
}
REDIS: Mapping[str, Any] = {
    "rolls_back": False,
    "missing_passes": True,
    "restarts": True,
    "twice": False,
    "chain.counts": True,
    "create_committed.kind": "ignored",
    "create_never_issued.kind": "atomic",
    "create_saved.refuses_others": False,
    "bytes_committed": "same",
    "ttl.cleared": False,
    "ttl.visible": False,
    "ttl.default": None,
}
ETCD: Mapping[str, Any] = {
    "rolls_back": True,
    "missing_passes": False,
    "restarts": False,
    "chain.counts": False,
    "sizes.request": 1 << 20,
}


class Expected(NamedTuple):
    """What is known of a component."""

    seen: Mapping[str, Any]
    not_kept: Sequence[str] = ()
    """Guarantees that are not given, or not known to be, beside the one that can't be asked for."""
    ok: bool = True


EXPECTED = {
    "redis": Expected(REDIS),
    "redis6": Expected(REDIS),
    "redis8": Expected(REDIS),
    "redis-cluster": Expected(REDIS),
    "redis6-cluster": Expected(REDIS),
    "redis-encrypted": Expected({**REDIS, "bytes_committed": "decimals", "bytes_saved": "same"}),
    "redis-writetimeout": Expected({**REDIS, "twice": True, "chain.hidden": 16}),
    "redis-expiring": Expected({**REDIS, "ttl.cleared": True}, [STABLE], ok=False),
    "postgresql": Expected(SQL),
    "postgresql-v1": Expected(SQL),
    "postgresql-encrypted": Expected({**SQL, "bytes_committed": "decimals", "bytes_saved": "same"}),
    "sqlite": Expected(SQL),
    "memory": Expected(SQL),
    "mysql": Expected(SQL),
    "etcd": Expected({**ETCD, "ttl.visible": True, "ttl.default": 0}, [FIRST]),
    "etcd-v1": Expected({**ETCD, "ttl.visible": False, "ttl.default": None}, [FIRST]),
    "memory-plain": Expected(
        {"transactions": False, "rolls_back": None, "create_committed": None, "create_saved.kind": "atomic"}, [FIRST]
    ),
}
AT_ONCE = 4


@pytest.fixture(scope="module")
def certificates(rig: Rig, request: pytest.FixtureRequest) -> Mapping[str, Certificate | BaseException]:
    """Every component's certificate, or why there is none: of those that the chosen tests ask for, several at once."""
    callspecs = [getattr(item, "callspec", None) for item in request.session.items if item.fspath == request.path]
    names = {callspec.params["component_name"] for callspec in callspecs if callspec and "component_name" in callspec.params}
    turns = asyncio.Semaphore(AT_ONCE)
    added: dict[str, Certificate | BaseException] = {}
    for name in sorted(names):
        try:
            rig.add(name)
        except NotInstalled as error:
            added[name] = error

    async def one(name: str) -> None:
        async with turns:
            try:
                added[name] = await certify(rig.address, name)
            except Exception as error:  # noqa: BLE001 it is raised by that component's test
                added[name] = error

    async def every() -> None:
        await asyncio.gather(*(one(name) for name in sorted(names - added.keys())))

    asyncio.run(every())
    return added


@pytest.fixture(params=sorted(EXPECTED))
def component_name(request: pytest.FixtureRequest) -> str:
    """Each component of the rig in turn."""
    return str(request.param)


@pytest.fixture
def certificate(component_name: str, certificates: Mapping[str, Certificate | BaseException]) -> Certificate:
    """Its certificate. Only what the system's packages have, and we may not install, is skipped."""
    found = certificates[component_name]
    if isinstance(found, NotInstalled):
        pytest.skip(str(found))
    if isinstance(found, BaseException):
        raise found
    return found


def test_every_component_of_the_rig_is_certified() -> None:
    """None is left out below."""
    assert EXPECTED.keys() == KINDS.keys()


@pytest.mark.daprd
def test_verdicts(component_name: str, certificate: Certificate) -> None:
    """Of each component: what was measured before is seen again, and what follows from it is said."""
    expected = EXPECTED[component_name]
    seen = {path: _at(certificate.seen, path) for path in expected.seen}
    assert seen == expected.seen
    doubtful = {guarantee.name: guarantee.kept for guarantee in certificate.guarantees if not guarantee.kept}
    assert list(doubtful) == [*expected.not_kept, FAILOVER]
    known = certificate.component.type.startswith(("state.redis", "state.in-memory", "state.sqlite"))
    assert doubtful[FAILOVER] is (False if known else None)
    assert certificate.ok is expected.ok, str(certificate)
    assert [difference for difference in certificate.differences if difference.unsafe] == []
    assert certificate.left == 0
    assert certificate.store == component_name
    assert json.loads(certificate.to_json())["ok"] is expected.ok


@pytest.mark.daprd
def test_what_is_the_same_everywhere(certificate: Certificate) -> None:
    """One writer wins, an old etag is refused, a ttl is honoured and renewed, arrays survive, a cut reply is an error."""
    seen = certificate.seen
    assert set(seen.swaps.stood) == {1}
    assert seen.chain.stale_refused
    assert seen.chain.distinct
    assert (seen.chain.torn, len(seen.chain.etags)) == (0, 17)
    assert {seen.arrays_saved, seen.arrays_committed} <= {"same", "decimals"}
    assert (seen.ttl.saved, seen.ttl.committed, seen.ttl.renewed, seen.ttl.stays) == (True,) * 4
    assert (seen.sizes.value, seen.sizes.operations, seen.sizes.key, seen.sizes.reply) == (True, True, True, "error")
    assert seen.bulk.right
    assert seen.deletes


@pytest.mark.daprd
async def test_a_session_is_kept_where_certify_says_so(component_name: str, certificate: Certificate, rig: Rig) -> None:
    """Two sessions that write at once lose and double nothing."""
    if not (certificate.ok and certificate.seen.transactions):
        return
    session_id = f"certified-{uuid4().hex}"
    stores = [DaprStore(SidecarClient(rig.address), component_name) for _ in range(2)]
    sessions = [EventLogSession(session_id, store=store) for store in stores]
    await sessions[0].add_items([{"role": "user", "content": "first"}])
    for number in range(4):
        await asyncio.gather(*(
            session.add_items([{"role": "user", "content": f"{who}-{number}"}]) for who, session in enumerate(sessions)
        ))  # fmt: skip
    contents = [str(item.get("content")) for item in await sessions[1].get_items()]
    assert sorted(contents) == sorted(["first", *(f"{who}-{number}" for who in range(2) for number in range(4))])
    for session, store in zip(sessions, stores, strict=True):
        await session.close()
        await store.close()


@pytest.mark.daprd
@pytest.mark.parametrize("component_name", ["etcd"])
async def test_the_default_limits_are_enough_for_the_narrowest(component_name: str, certificate: Certificate, rig: Rig) -> None:
    """Adds that come together would make a commit that etcd refuses: they are kept, all of them, in several."""
    assert certificate.seen.sizes.request == Limits().commit_bytes
    store = DaprStore(SidecarClient(rig.address), component_name)
    session = EventLogSession(f"large-{uuid4().hex}", store=store)
    items: list[TResponseInputItem] = [
        {"role": "user", "content": b85encode(os.urandom(150 << 10)).decode()} for _ in range(20)
    ]
    await asyncio.gather(*(session.add_items([item]) for item in items))
    assert sorted(map(str, await session.get_items())) == sorted(map(str, items))
    await session.close()
    await store.close()


def _at(seen: Any, path: str) -> Any:
    for name in path.split("."):
        seen = getattr(seen, name)
    return seen


@pytest.mark.daprd
async def test_a_client_of_ours_stays_open(rig: Rig) -> None:
    """`certify` closes only what it opened; nothing it wrote is left, and it says how far it is."""
    client = SidecarClient(rig.address)
    told: list[tuple[int, int, str]] = []
    certificate = await certify(client, "memory", progress=lambda *now: told.append(now))
    assert certificate.left == 0
    assert [done for done, _, _ in told] == list(range(7))
    assert {total for _, total, _ in told} == {7}
    component = Component(client, "memory")
    assert (await component.describe()).type == "state.in-memory"
    await client.close()


@pytest.mark.daprd
async def test_no_such_store(rig: Rig) -> None:
    """Those that there are are named."""
    with pytest.raises(NoSuchComponent, match=r"no state store 'nowhere': it has .*memory.*"):
        await certify(rig.address, "nowhere")


async def test_no_sidecar() -> None:
    """It is an outage that names the address."""
    with pytest.raises(NoSidecar, match=r"no Dapr sidecar at 127.0.0.1:1$"):
        await certify("127.0.0.1:1", "store")


# ---- stand-ins -----------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """What is stored under a key."""

    data: bytes
    etag: str
    expires: float | None


class StandIn:
    """
    A sidecar's stub with a store that does all as it should, but for one *fault*. Time passes when somebody waits.

    As a client it is its own stub, which is how `DaprStore` takes a `DaprClient` of the user's.
    """

    def __init__(self, fault: str = "", *, type: str = "state.postgresql", capabilities: Sequence[str] = ("ETAG",)) -> None:  # noqa: A002
        self.fault = fault
        self.type = type
        self.capabilities = capabilities
        self.rows: dict[str, Row] = {}
        self.now = 0.0
        self.issued = 0
        self.commits = 0

    @property
    def _stub(self) -> "StandIn":
        return self

    async def GetMetadata(self, request: Any, **_: float) -> Any:  # noqa: N802
        """Name one store; the name is no part of the fault."""
        if self.fault == "metadata denied":
            raise _error(grpc.StatusCode.PERMISSION_DENIED)
        if self.fault == "none":
            return api_v1.GetMetadataResponse(id="app")
        store = api_v1.RegisteredComponents(name="store", type=self.type, version="v1", capabilities=self.capabilities)
        resiliencies = [api_v1.MetadataResiliency(name="policy")] if self.fault == "resiliency" else []
        return api_v1.GetMetadataResponse(
            id="app", runtime_version="1", registered_components=[store], resiliencies=resiliencies
        )

    async def GetState(self, request: Any, **_: float) -> Any:  # noqa: N802
        """Return what has not expired."""
        row = self.row(request.key)
        if self.fault == "unreadable" or (self.fault == "reads no large value" and row and len(row.data) > 1 << 16):
            raise _error(grpc.StatusCode.INTERNAL)
        if self.fault == "goes away":
            raise _error(grpc.StatusCode.UNAVAILABLE)
        if row is None or self.fault == "keeps nothing" or (self.fault == "loses the head" and self.commits > 3):
            return api_v1.GetStateResponse()
        metadata = {}
        if row.expires is not None:
            metadata["ttlExpireTime"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(row.expires))
        return api_v1.GetStateResponse(data=row.data, etag=row.etag, metadata=metadata)

    async def GetBulkState(self, request: Any, **_: float) -> Any:  # noqa: N802
        """Return all, or what the fault leaves of it."""
        if self.fault == "no bulk":
            raise _error(grpc.StatusCode.UNKNOWN)
        rows = {key: self.row(key) for key in request.keys}
        found = {key: row.data if row else b"" for key, row in rows.items()}
        if self.fault == "bulk mixes":
            found = dict(zip(found, reversed(found.values()), strict=True))
        if sum(map(len, found.values())) > 4 << 20:
            if self.fault == "mixes long replies":
                found = dict(zip(found, reversed(found.values()), strict=True))
            elif self.fault != "cut":
                raise _error(grpc.StatusCode.RESOURCE_EXHAUSTED)
            else:
                found = dict.fromkeys(found, b"")
        return api_v1.GetBulkStateResponse(items=[api_v1.BulkStateItem(key=key, data=data) for key, data in found.items()])

    async def SaveState(self, request: Any, **_: float) -> None:  # noqa: N802
        """Write one after the other."""
        for state in request.states:
            self.check(state)
            self.write(state)

    async def ExecuteStateTransaction(self, request: Any, **_: float) -> None:  # noqa: N802
        """Write all or nothing."""
        states = [operation.request for operation in request.operations]
        await asyncio.sleep(0)
        if self.fault == "no transactions":
            raise _error(grpc.StatusCode.UNIMPLEMENTED)
        if self.fault == "never commits":
            raise _error(grpc.StatusCode.INTERNAL)
        self.commits += 1
        for state in states:
            self.check(state)
        if self.fault == "false success" and self.commits % 3 == 0:
            return
        for number, state in enumerate(states):
            if not (self.fault == "torn" and number):
                self.write(state)

    async def DeleteBulkState(self, request: Any, **_: float) -> None:  # noqa: N802
        """Delete what is there."""
        if self.fault == "can't delete":
            raise _error(grpc.StatusCode.INTERNAL)
        for state in request.states:
            if self.fault != "deletes nothing":
                self.rows.pop(state.key, None)

    def row(self, key: str) -> Row | None:
        """Return what stands under *key* now."""
        row = self.rows.get(key)
        return None if row is None or (row.expires is not None and row.expires <= self.now) else row

    def check(self, state: Any) -> None:
        """Refuse a write whose condition does not hold."""
        row, etag = self.row(state.key), state.etag.value
        if self.fault == "no condition" or (self.fault == "creates twice" and not etag):
            return
        if (etag and (row is None or row.etag != etag)) or (not etag and state.options.concurrency == 1 and row is not None):
            raise _error(grpc.StatusCode.INTERNAL)

    def write(self, state: Any) -> None:
        """Put a row, with the etag and the expiry that the fault leaves it."""
        self.issued += 1
        ttl, value, old = state.metadata.get("ttlInSeconds"), state.value, self.rows.get(state.key)
        expires = self.now + int(ttl) if ttl else None
        if self.fault == "ttl lost":
            expires = None
        if self.fault == "ttl not renewed" and old is not None and old.expires is not None:
            expires = old.expires
        if self.fault == "own ttl" and expires is None:
            expires = self.now + 600
        if self.fault == "forgets" and expires is None:
            expires = self.now + 2
        if self.fault == "text only":
            value = value.decode(errors="replace").encode()
        if self.fault == "JSON":
            value = json.dumps(json.loads(value)).encode() if value.startswith(b"[") and value.endswith(b"]") else value
        if self.fault == "small" and len(value) > 1 << 16:
            raise _error(grpc.StatusCode.INTERNAL)
        etag = self.issued % 5 if self.fault == "etags again" else self.issued
        self.rows[state.key] = Row(value, f"e{etag}", expires)


def _error(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "as the test wants it")


@pytest.fixture
def stand_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """One without a fault, on whose clock a certificate waits."""
    made = StandIn()

    async def pause(component: Component, seconds: float) -> None:
        made.now += seconds
        await asyncio.sleep(0)

    monkeypatch.setattr(Component, "pause", pause)
    return made


async def test_a_stand_in_without_a_fault_passes(stand_in: StandIn) -> None:
    """So that what is seen below comes from the fault alone; everything it wrote is gone afterwards."""
    certificate = await certify(stand_in, "store")  # type: ignore[arg-type]
    assert certificate.ok, str(certificate)
    assert {guarantee.kept for guarantee in certificate.guarantees} == {True, None}
    assert (certificate.differences, certificate.notes, stand_in.rows) == ((), (), {})


FAULTS = {
    "false success": "exactly once",
    "etags again": "exactly once",
    "no condition": "exactly once",
    "creates twice": "exactly once",
    "torn": "atomic batch",
    "JSON": STABLE,
    "own ttl": STABLE,
    "forgets": STABLE,
    "never commits": "exactly once",
    "bulk mixes": "damage reported",
    "no bulk": "damage reported",
    "mixes long replies": "damage reported",
    "ttl lost": "ttl whole",
    "ttl not renewed": "ttl whole",
    "deletes nothing": "erased is gone",
}
"""Each fault with the guarantee that it breaks."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_breaks_its_guarantee(fault: str, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guarantee is named as not kept, by the command too, whose exit status is then 1."""
    stand_in.fault = fault
    monkeypatch.setattr(cli.asking, "_component", lambda url: (stand_in, "store"))
    result = CliRunner().invoke(cli.commands, ["certify", "--store", "dapr:///store", "--json"], catch_exceptions=False)
    certificate = json.loads(result.stdout)
    assert result.exit_code == 1
    assert certificate["ok"] is False
    broken = [one["name"] for one in certificate["guarantees"] if one["law"] and one["kept"] is False]
    assert FAULTS[fault] in broken


async def test_a_false_success_is_harmless_where_it_is_expected(stand_in: StandIn) -> None:
    """A type whose success is read back keeps "exactly once"; the table says that there were false ones."""
    stand_in.fault, stand_in.type = "false success", "state.mongodb"
    certificate = await certify(stand_in, "store")  # type: ignore[arg-type]
    assert "exactly once" in [guarantee.name for guarantee in certificate.guarantees if guarantee.kept]
    row = next(row for row in certificate.findings if row.probe == "success means committed")
    assert row.seen == "no"
    assert row.follows.endswith("the head is read before a commit is acknowledged")


@pytest.mark.parametrize(
    ("fault", "trait"),
    [("false success", "trusted"), ("creates twice", "atomic_create"), ("text only", "keeps_bytes")],
)
async def test_an_unsafe_assumption_is_a_no(fault: str, trait: str, stand_in: StandIn) -> None:
    """What `stores.dapr` assumes of the type and the component does not do is named, and no log can be kept."""
    stand_in.fault = fault
    certificate = await certify(stand_in, "store")  # type: ignore[arg-type]
    assert [one.trait for one in certificate.differences if one.unsafe] == [trait]
    assert not certificate.ok
    assert "UNSAFE: " in str(certificate)


async def test_etags_that_are_predicted_must_count(stand_in: StandIn) -> None:
    """Of a type whose next etag is predicted, ones that don't grow by one are an unsafe difference."""
    stand_in.type = "state.redis"
    certificate = await certify(stand_in, "store")  # type: ignore[arg-type]
    assert "counts" in [one.trait for one in certificate.differences if one.unsafe]


async def test_a_stranger_that_does_better_is_only_a_note(stand_in: StandIn) -> None:
    """A type without a profile is treated with caution; where that was not needed, the report says so and passes."""
    stand_in.type = "state.stranger"
    certificate = await certify(stand_in, "store")  # type: ignore[arg-type]
    assert certificate.ok
    assert not certificate.known
    assert [one.trait for one in certificate.differences] == ["atomic_create", "keeps_bytes", "trusted"]
    assert "the type is not known" in str(certificate)


async def test_what_is_cut_short_is_read_again(stand_in: StandIn) -> None:
    """A bulk read that returns empty items breaks nothing: the log reads those singly."""
    stand_in.fault = "cut"
    certificate = await certify(stand_in, "store")  # type: ignore[arg-type]
    assert certificate.ok
    assert certificate.seen.sizes.reply == "short"
    assert "empty items are read again singly" in str(certificate)


async def test_small_values_are_a_matter_of_limits(stand_in: StandIn) -> None:
    """No law is broken, and the report says which limit to set."""
    stand_in.fault = "small"
    certificate = await certify(stand_in, "store")  # type: ignore[arg-type]
    assert certificate.ok
    assert [one.name for one in certificate.guarantees if one.kept is False] == [LIMITS]
    assert "Limits(value_bytes=" in str(certificate)


@pytest.mark.parametrize("fault", ["small", "reads no large value"])
async def test_what_is_no_large_value(fault: str, stand_in: StandIn) -> None:
    """A value that is refused, and one that is taken and can't be read back, are both none that fits."""
    stand_in.fault = fault
    sizes = (await certify(stand_in, "store")).seen.sizes  # type: ignore[arg-type]
    assert (sizes.value, sizes.large_value, sizes.operations, sizes.request) == (False, False, True, 0)


async def test_a_store_without_transactions(stand_in: StandIn) -> None:
    """It is asked for one before it is believed to have none; then a commit is the values first, and the head last."""
    stand_in.fault = "no transactions"
    certificate = await certify(stand_in, "store")  # type: ignore[arg-type]
    assert (certificate.seen.transactions, certificate.seen.rolls_back, certificate.seen.create_committed) == (
        False,
        None,
        None,
    )
    assert "atomic batch" in [guarantee.name for guarantee in certificate.guarantees if guarantee.kept]
    assert "two trips" in str(certificate)


async def test_policies_are_pointed_at(stand_in: StandIn) -> None:
    """A resiliency resource may be for this component or not: the report asks to look."""
    stand_in.fault = "resiliency"
    certificate = await certify(stand_in, "store")  # type: ignore[arg-type]
    assert certificate.ok
    assert "note: resiliency is loaded (policy)" in str(certificate)


async def test_what_can_not_be_deleted_is_counted(stand_in: StandIn) -> None:
    """Keys left behind are said."""
    stand_in.fault = "can't delete"
    certificate = await certify(stand_in, "store")  # type: ignore[arg-type]
    assert certificate.left >= len(stand_in.rows) > 0
    assert f"note: {certificate.left} keys of this run could not be deleted" in str(certificate)


async def test_no_etags(stand_in: StandIn) -> None:
    """A store without them is turned down before anything is written."""
    stand_in.capabilities = ["TTL"]
    with pytest.raises(NoEtags, match="has no etags: two writers would overwrite each other unseen"):
        await certify(stand_in, "store")  # type: ignore[arg-type]
    assert stand_in.issued == 0


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        ("metadata denied", StoreRefused, "keeps its metadata to itself"),
        ("none", NoSuchComponent, "it has none at all"),
        ("unreadable", Unavailable, "store can't be read: INTERNAL"),
        ("keeps nothing", Unavailable, "took a value and has nothing under its key"),
        ("loses the head", Unavailable, "lost a key while it was being written"),
        ("goes away", Unavailable, "went away"),
    ],
)
async def test_what_stops_a_certificate(fault: str, error: type[Exception], text: str, stand_in: StandIn) -> None:
    """It ends with an error of this library; what it had written is deleted."""
    stand_in.fault = fault
    with pytest.raises(error, match=text):
        await certify(stand_in, "store")  # type: ignore[arg-type]
    assert stand_in.rows == {}


# ---- the rig -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("apt", "user"), [("/usr/bin/apt-get", 1000), (None, 0)])
def test_what_we_may_not_install_is_named(apt: str | None, user: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not root, or not Debian: the error names the program and the package, and is the one kind that skips a test."""
    monkeypatch.setattr(shutil, "which", lambda name, path: apt if name == "apt-get" else None)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with pytest.raises(NotInstalled, match=r"mariadbd is not installed: it is in Debian's package mariadb-server"):
        debian.program("mariadbd", "mariadb-server")
