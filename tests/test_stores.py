"""Every store passes the contract that is shipped, and does what only it has to."""

import asyncio
import gc
import os
import random
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from threading import Event, Thread, current_thread
from typing import Any
from uuid import uuid4

import grpc
import pytest
from dapr.proto import api_v1
from rig import Rig, free_port

from eventlog_session import EventLog, EventLogSession, Limits, SQLiteStore, StoreRefused, Unavailable
from eventlog_session.core.keys import Keys
from eventlog_session.protocol.adoption import legacy_key
from eventlog_session.protocol.reader import Reader
from eventlog_session.stores import sidecar, sqlite
from eventlog_session.stores.base import Committed, NotCommitted, Put, Store, Traits, Value
from eventlog_session.stores.dapr import DaprStore, Profile, _plain, profile_of
from eventlog_session.stores.memory import MemoryStore
from eventlog_session.stores.sidecar import SidecarClient
from eventlog_session.stores.worker import Worker
from eventlog_session.testing import CountingStore, StoreContract

pytestmark = pytest.mark.usefixtures("bounded")

GENESIS = b'["genesis"]'


@pytest.fixture
def keys() -> Keys:
    """Keys that no other test uses."""
    return Keys(uuid4().hex)


class TestEveryStore(StoreContract):
    """Memory, SQLite, and Dapr on Redis, PostgreSQL, SQLite and memory."""


class TestCountingStoreIsAStore(StoreContract):
    """A wrapper changes nothing."""

    @pytest.fixture
    async def store(self) -> Store:
        """Over memory."""
        return CountingStore(MemoryStore())


class TestUntrustedMemoryIsAStore(StoreContract):
    """The contract asks nothing of a store that it does not claim."""

    @pytest.fixture
    async def store(self) -> Store:
        """Without any trait."""
        from eventlog_session.stores.base import Traits

        return MemoryStore(traits=Traits())


# ---- counting ------------------------------------------------------------------------------------------------------


async def test_counting_calls_keys_and_bytes(keys: Keys) -> None:
    """By method, in both directions, and readable."""
    store = CountingStore(MemoryStore())
    key = keys.event("0" * 16)
    await store.put_many([Put(key, b"[1]"), Put(keys.head, b"[22]")])
    await store.get(key)
    await store.get_many([key, keys.adopted])
    assert store.calls == {"put_many": 1, "get": 1, "get_many": 1}
    assert store.keys == 5
    assert store.sent == len(key) * 3 + len(keys.head) + len(keys.adopted) + 7
    assert store.received == 3 + len(key) + 3
    assert repr(store) == (
        f"<CountingStore trips=3 keys=5 sent={store.sent} received={store.received} get=1 get_many=1 put_many=1>"
    )
    store.reset()
    assert repr(store) == "<CountingStore trips=0 keys=0 sent=0 received=0 no calls>"


async def test_counting_trips(keys: Keys) -> None:
    """Calls that overlap are one trip, calls that wait for each other are several, and what is under way is none yet."""
    store = CountingStore(MemoryStore())
    await asyncio.gather(*(store.get(keys.head) for _ in range(5)))
    assert (store.trips, store.calls["get"]) == (1, 5)

    async def twice() -> None:
        await store.get(keys.head)
        await store.get(keys.head)

    store.reset()
    await asyncio.gather(twice(), twice(), store.ping())
    assert store.trips == 2
    store.reset()
    behind = asyncio.create_task(store.get(keys.head))
    await asyncio.sleep(0)
    assert (store.trips, store.calls["get"]) == (0, 1)
    store.reset()
    await behind
    assert (store.trips, store.received) == (0, 0)


async def test_counting_stores_share_nothing(session_id: str) -> None:
    """Two wrappers of one store have two identities, so that logs on them have caches and lanes of their own."""
    inner = MemoryStore()
    one, other = CountingStore(inner), CountingStore(inner)
    assert len({inner.identity, one.identity, other.identity}) == 3
    assert EventLog.of(one, session_id) is EventLog.of(one, session_id)
    assert EventLog.of(one, session_id) is not EventLog.of(other, session_id)
    assert await one.traits() == await inner.traits()


# ---- SQLite --------------------------------------------------------------------------------------------------------


async def test_a_sqlite_file_is_opened_once_for_all(tmp_path: Path, keys: Keys) -> None:
    """Openers of a path share a store; it is open until the last one closes it, and opens again after that."""
    path = tmp_path / "sessions.db"
    one, other = SQLiteStore.open(path), SQLiteStore.open(path)
    assert one is other
    await one.create(Put(keys.head, GENESIS))
    await one.close()
    assert (await _read(other, keys.head)) == GENESIS
    await other.close()
    again = SQLiteStore.open(path)
    assert again is not one
    assert (await _read(again, keys.head)) == GENESIS
    await again.close()


async def test_a_sqlite_store_closes_twice(tmp_path: Path) -> None:
    """As the port says: closing again is nothing, also for one that was never used."""
    for used in (False, True):
        store = SQLiteStore.open(tmp_path / "sessions.db")
        if used:
            await store.ping()
        await store.close()
        await store.close()


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("dapr", marks=pytest.mark.daprd)])
async def test_a_session_opens_again_while_a_closed_one_is_around(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, session_id: str
) -> None:
    """A closed session that somebody still refers to must not lend its closed store to the next one."""
    if kind == "dapr":
        rig: Rig = request.getfixturevalue("rig")
        url = f"dapr://{rig.address}/redis"
    else:
        url = f"sqlite:///{tmp_path}/sessions.db"
    closed = []
    async with asyncio.timeout(60):
        for number in range(3):
            session = EventLogSession.from_url(session_id, url=url)
            closed.append(session)
            assert len(await session.get_items()) == number
            await session.add_items([{"role": "user", "content": f"{number}"}])
            await session.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from eventlog_session.stores.base import Committed, Put
from eventlog_session.stores.sqlite import SQLiteStore

async def main(path, key, times):
    store = SQLiteStore.open(Path(path))
    print("ready", flush=True)
    sys.stdin.readline()
    done = 0
    while done < int(times):
        value = await store.get(key)
        put = Put(key, b"[%d]" % (int(value.data[1:-1]) + 1))
        done += isinstance(await store.commit(put, value.etag, ()), Committed)
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_two_processes_share_a_sqlite_file(tmp_path: Path, keys: Keys) -> None:
    """Each counts to a hundred in it by compare-and-swap, at the same time: nothing is lost."""
    path = tmp_path / "sessions.db"
    store = SQLiteStore.open(path)
    await store.create(Put(keys.head, b"[0]"))
    await store.close()
    command = [sys.executable, "-c", WRITER, str(path), keys.head, "100"]
    async with _children(command, command) as children:
        for child in children:
            assert child.stdout is not None
            assert await asyncio.wait_for(child.stdout.readline(), 60) == b"ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write(b"\n")
            await child.stdin.drain()
        for child in children:
            assert await asyncio.wait_for(child.wait(), 60) == 0
    store = SQLiteStore.open(path)
    assert (await _read(store, keys.head)) == b"[200]"
    await store.close()


async def test_processes_may_create_a_sqlite_file_together(tmp_path: Path, keys: Keys) -> None:
    """Switching a new file to WAL is a race of its own."""
    for attempt in range(10):
        path = tmp_path / f"{attempt}.db"
        stores = [SQLiteStore(path) for _ in range(4)]  # not by open: as if in processes of their own
        await asyncio.gather(*(store.create(Put(keys.head, GENESIS)) for store in stores))
        outcomes = await asyncio.gather(*(store.ping() for store in stores), return_exceptions=True)
        assert outcomes == [None] * 4
        for store in stores:
            assert await _read(store, keys.head) == GENESIS
            await store.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path, keys: Keys) -> None:
    """With its path; nothing in it is changed, and no connection is left open."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear Sir or Madam, " * 100)
    store = SQLiteStore.open(path)
    for call in (store.get(keys.head), store.commit(Put(keys.head, GENESIS), None, ()), store.put_many([]), store.ping()):
        with pytest.raises(StoreRefused, match=str(path)):
            await call
    await store.close()
    del store
    gc.collect()
    assert path.read_text().startswith("Dear Sir")


async def test_a_missing_directory_is_named(tmp_path: Path, keys: Keys) -> None:
    """Reading says that the path can't be used; a commit says that it was not sent."""
    path = tmp_path / "nowhere" / "sessions.db"
    store = SQLiteStore.open(path)
    with pytest.raises(Unavailable, match=str(path)):
        await store.get(keys.head)
    outcome = await store.commit(Put(keys.head, GENESIS), None, ())
    assert isinstance(outcome, NotCommitted)
    assert not outcome.sent
    assert str(path) in str(outcome.cause)
    path.parent.mkdir()
    await store.ping()  # repaired while it runs
    await store.close()


async def test_a_sqlite_file_forgets_what_has_expired(tmp_path: Path, keys: Keys) -> None:
    """Not only to who asks: nobody else would ever delete it."""
    now = 1000.0
    store = SQLiteStore(tmp_path / "expiring.db", clock=lambda: now)
    await store.put_many([Put(keys.event("a"), b"[]", 10), Put(keys.event("b"), b"[]")])
    now += 11
    await store.put_many([Put(keys.event("c"), b"[]", 10)])
    await store.close()
    with closing(sqlite3.connect(tmp_path / "expiring.db")) as database:
        left = database.execute("SELECT key FROM eventlog_values ORDER BY key").fetchall()
    assert left == [(keys.event("b"),), (keys.event("c"),)]


async def test_a_table_of_somebody_elses_is_refused(tmp_path: Path, keys: Keys) -> None:
    """Calling again later would not help."""
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as database:
        database.execute("CREATE TABLE eventlog_values (key TEXT, expires REAL)")
    store = SQLiteStore(tmp_path / "theirs.db")
    with pytest.raises(StoreRefused, match="not a database of this library"):
        await store.get(keys.head)
    await store.close()


async def test_a_store_does_not_cross_a_fork(tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread stays with the parent: the child is told, instead of waiting for ever, and has nothing to close."""
    store = SQLiteStore(tmp_path / "forked.db")
    for _ in range(2):  # the second time without the thread
        assert await store.get(keys.head) is None
    pid = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: pid + 1)
    with pytest.raises(StoreRefused, match="before this process was forked"):
        await store.get(keys.head)
    async with asyncio.timeout(10):
        await store.close()
    monkeypatch.undo()
    await store._thread.call(store._disconnect)


async def begun(path: Path, keys: Keys, *, busy_timeout: float) -> tuple[SQLiteStore, Value]:
    """Return a store in a new file, and the head that was created in it."""
    store = SQLiteStore(path, busy_timeout=busy_timeout)
    await store.create(Put(keys.head, GENESIS))
    value = await store.get(keys.head)
    assert value is not None
    return store, value


async def test_a_locked_sqlite_file_takes_nothing(tmp_path: Path, keys: Keys) -> None:
    """While another process holds the write lock, a commit says that it was not sent, and reads go on."""
    path = tmp_path / "sessions.db"
    store, value = await begun(path, keys, busy_timeout=0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    outcome = await store.commit(Put(keys.head, b"[1]"), value.etag, ())
    assert isinstance(outcome, NotCommitted)
    assert not outcome.sent
    assert await _read(store, keys.head) == GENESIS
    other.execute("ROLLBACK")
    other.close()
    assert isinstance(await store.commit(Put(keys.head, b"[1]"), value.etag, ()), Committed)
    await store.close()


async def test_a_commit_waits_for_another_process(tmp_path: Path, keys: Keys) -> None:
    """As long as it may, and no longer than it must."""
    path = tmp_path / "sessions.db"
    store, value = await begun(path, keys, busy_timeout=30)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        commit = asyncio.create_task(store.commit(Put(keys.head, b"[1]"), value.etag, ()))
        await asyncio.sleep(0.1)
        assert not commit.done()
        assert await _read(store, keys.head) == GENESIS
        other.execute("ROLLBACK")
        async with asyncio.timeout(5):
            assert isinstance(await commit, Committed)
    await store.close()


async def test_a_file_of_the_first_layout_goes_on(tmp_path: Path, keys: Keys) -> None:
    """Its table has no rowids; what is in it is read and can be written over, by its etag and no other."""
    path = tmp_path / "first.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as first:
        columns = "key TEXT PRIMARY KEY, value BLOB NOT NULL, etag TEXT NOT NULL, expires REAL"
        first.execute(f"CREATE TABLE eventlog_values ({columns}) WITHOUT ROWID")
        first.execute("INSERT INTO eventlog_values VALUES (?, ?, 'e', NULL)", (keys.head, GENESIS))
    store = SQLiteStore(path)
    assert await store.get(keys.head) == (GENESIS, "e")
    for stale in (None, "f"):
        assert isinstance(await store.commit(Put(keys.head, b"[1]"), stale, ()), NotCommitted)
    assert isinstance(await store.commit(Put(keys.head, b"[1]"), "e", [Put(keys.event("a"), b"[2]")]), Committed)
    assert (await _read(store, keys.head), await _read(store, keys.event("a"))) == (b"[1]", b"[2]")
    await store.close()


class Watched(SQLiteStore):
    """Remembers in which threads it read."""

    def __init__(self, path: Path, **kwargs: Any) -> None:
        super().__init__(path, **kwargs)
        self.threads: list[Thread] = []

    def _get(self, key: str) -> Value | None:
        self.threads.append(current_thread())
        return super()._get(key)


async def test_reading_a_sqlite_file_takes_no_hop_while_it_is_idle(tmp_path: Path, keys: Keys) -> None:
    """But for the first, which opens it; while a commit is under way it waits in the thread, never in the event loop."""
    store = Watched(tmp_path / "sessions.db", busy_timeout=30)
    for _ in range(3):
        assert await store.get(keys.head) is None
    here = current_thread()
    assert [thread is here for thread in store.threads] == [False, True, True]
    assert store._using.acquire(blocking=False)  # as the thread does for as long as it is at work
    read = asyncio.create_task(store.get(keys.head))
    await asyncio.sleep(0.05)
    assert not read.done()
    store._using.release()
    assert await read is None
    assert store.threads[-1] is not here
    await store.close()


async def test_a_slow_disk_is_left_to_the_thread(tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """After one read that took long, the event loop makes no more of them for a while."""
    store = Watched(tmp_path / "sessions.db")
    await store.ping()
    monkeypatch.setattr(sqlite, "_SLOW", 0.0)
    for _ in range(3):
        await store.get(keys.head)
    here = current_thread()
    assert [thread is here for thread in store.threads[1:]] == [True, False, False]
    await store.close()


async def test_reading_on_and_on_leaves_others_their_turns(tmp_path: Path, keys: Keys) -> None:
    """A loop of nothing but reads that need no hop would else be all there is."""
    store = SQLiteStore(tmp_path / "sessions.db")
    await store.ping()
    async with _ticking() as ticks:
        for _ in range(200):
            await store.get(keys.head)
    assert ticks[0] >= 10
    await store.close()


def test_threads_with_loops_of_their_own_share_a_sqlite_store(tmp_path: Path, keys: Keys) -> None:
    """Each counts to fifty in it by compare-and-swap: nothing is lost, and what was read never runs backwards."""
    store = SQLiteStore.open(tmp_path / "sessions.db")

    async def count() -> None:
        done = seen = 0
        while done < 50:
            value = await store.get(keys.head)
            assert value is not None
            number = int(value.data[1:-1])
            assert number >= seen
            seen = number
            outcome = await store.commit(Put(keys.head, b"[%d]" % (number + 1)), value.etag, ())
            done += isinstance(outcome, Committed)

    asyncio.run(store.create(Put(keys.head, b"[0]")))
    with ThreadPoolExecutor(4) as pool:
        for counted in [pool.submit(asyncio.run, count()) for _ in range(4)]:
            counted.result(timeout=60)
    assert asyncio.run(_read(store, keys.head)) == b"[200]"
    asyncio.run(store.close())


# ---- the thread of a store that blocks -----------------------------------------------------------------------------


async def test_a_worker_does_what_it_is_called_for(tmp_path: Path) -> None:
    """In one thread that is not ours; errors come back as they are."""
    worker = Worker("test")
    threads = [await worker.call(current_thread) for _ in range(2)]
    assert threads[0] is threads[1] is not current_thread()
    with pytest.raises(ZeroDivisionError):
        await worker.call(lambda: 1 / 0)
    worker.stop()
    worker.stop()
    await asyncio.to_thread(threads[0].join, 10)
    assert not threads[0].is_alive()
    with pytest.raises(RuntimeError, match="test was stopped"):
        await worker.call(int)


async def test_a_worker_leaves_out_what_was_cancelled() -> None:
    """What had its turn is finished, and its answer goes nowhere."""
    worker, gate = Worker("test"), Event()
    done: list[int] = []

    def work(number: int) -> None:
        gate.wait(10)
        done.append(number)

    calls = [asyncio.create_task(worker.call(work, number)) for number in range(3)]
    await asyncio.sleep(0.05)
    for call in calls[:2]:
        call.cancel()
    await asyncio.sleep(0)
    gate.set()
    await calls[2]
    assert done == [0, 2]
    worker.stop()


async def test_a_forgotten_worker_ends_its_thread() -> None:
    """One thread each would else be left of stores that nobody closed."""
    worker = Worker("test")
    thread = await worker.call(current_thread)
    del worker
    gc.collect()
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()


def test_a_worker_outlives_a_loop() -> None:
    """Whose answer came too late to be given."""
    worker, gate = Worker("test"), Event()

    async def leave() -> None:
        asyncio.create_task(worker.call(gate.wait, 10))  # noqa: RUF006 it is cancelled with the loop
        await asyncio.sleep(0.05)

    asyncio.run(leave())
    gate.set()
    assert asyncio.run(worker.call(int)) == 0
    worker.stop()


# ---- Dapr, without a sidecar ---------------------------------------------------------------------------------------


@pytest.fixture
def nobody() -> str:
    """An address where nothing listens."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def silence() -> Iterator[socket.socket]:
    """A listener that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


async def test_an_unreachable_sidecar_is_named(nobody: str, keys: Keys) -> None:
    """By every call, within seconds; and meanwhile the event loop goes on."""
    store = DaprStore(SidecarClient(nobody), "statestore")
    for call in (
        store.get(keys.head),
        store.get_many([keys.head]),
        store.put_many([Put(keys.head, GENESIS)]),
        store.delete_many([keys.head]),
        store.commit(Put(keys.head, GENESIS), "1", ()),
        store.traits(),
    ):
        async with asyncio.timeout(15), _ticking() as ticks:
            with pytest.raises(Unavailable, match=nobody):
                await call
        assert ticks[0] > 1
    async with asyncio.timeout(15):
        await store.create(Put(keys.head, GENESIS))  # whether it did is for the caller to read
        with pytest.raises(Exception, match=r"."):
            await store.ping()
    await store.close()


async def test_a_silent_sidecar_is_given_up(silence: socket.socket, keys: Keys) -> None:
    """Every call has a deadline, a ping too."""
    address = f"127.0.0.1:{silence.getsockname()[1]}"
    store = DaprStore(SidecarClient(address), "statestore", deadline=0.3)
    async with asyncio.timeout(15), _ticking() as ticks:
        with pytest.raises(Unavailable, match=address):
            await store.get(keys.head)
    assert ticks[0] > 1
    ping = asyncio.create_task(store.ping())
    try:
        await asyncio.wait({ping}, timeout=10)
        assert ping.done(), "a ping has no deadline"
        assert ping.exception()
    finally:
        ping.cancel()
        await asyncio.wait({ping}, timeout=10)
        await store.close()


async def test_from_address_returns_at_once(silence: socket.socket, nobody: str, session_id: str) -> None:
    """It opens no connection, so there is nothing it could wait for; the first use does, and names the address."""
    address = f"127.0.0.1:{silence.getsockname()[1]}"
    session = EventLogSession.from_address(session_id, state_store_name="statestore", dapr_address=address)
    with pytest.raises(BlockingIOError):
        silence.accept()
    await session.close()
    session = EventLogSession.from_address(session_id, state_store_name="statestore", dapr_address=nobody)
    async with asyncio.timeout(30):
        for call in (session.get_items(), session.add_items([{"role": "user", "content": "hello"}]), session.pop_item()):
            with pytest.raises(Unavailable, match=nobody):
                await call
        assert not await session.ping()
        await session.close()


async def test_an_unreachable_sidecar_leaves_no_error_behind(nobody: str, session_id: str) -> None:
    """Both reads of an unknown session fail; the one that nobody waits for any more must not end up in the log."""
    unheard: list[Mapping[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    store = DaprStore(SidecarClient(nobody), "statestore")
    async with asyncio.timeout(30):
        with pytest.raises(Unavailable):
            await EventLog(store, session_id).read()
        await store.close()
    for _ in range(5):
        await asyncio.sleep(0)
        gc.collect()
    assert unheard == []


async def test_sessions_of_one_address_share_a_connection(nobody: str) -> None:
    """The last one to close it does; a session that comes later has one of its own, and leaves no channel open either."""
    one = EventLogSession.from_address("a", state_store_name="statestore", dapr_address=nobody)
    store = one._store
    assert isinstance(store, DaprStore)
    async with asyncio.timeout(30):
        with pytest.raises(Unavailable):
            await one.get_items()
        await one.close()
        other = EventLogSession.from_address("b", state_store_name="statestore", dapr_address=nobody)
        with pytest.raises(Unavailable):
            await other.get_items()
        await other.close()
    assert nobody not in sidecar._connections
    assert isinstance(store._client, SidecarClient)
    assert store._client.connection._channels == {}


@pytest.mark.parametrize(
    ("stored", "plain"),
    [
        (b"[123 34 97 34 58 49 125]", b'{"a":1}'),
        (b"[91 93]", b"[]"),
        (b"[]", b"[]"),
        (b"[1,2,3]", b"[1,2,3]"),
        (b"[300 1]", b"[300 1]"),
        (b"[5]", b"[5]"),
        (b"[300]", b"[300]"),
        (b'["eventlog-head",1]', b'["eventlog-head",1]'),
        (b"[12 34", b"[12 34"),
        (b"", b""),
        (b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd"),
    ],
)
def test_values_of_an_encrypted_store_are_decoded(stored: bytes, plain: bytes) -> None:
    """What Dapr prints as Go does, and nothing that is JSON by itself."""
    assert _plain(stored) == plain


# ---- Dapr's odd replies, by a stand-in for its stub ----------------------------------------------------------------


class Stub:
    """
    Dapr's generated stub over a dict.

    *empty* keys come back empty from a bulk read, once, and the reply is in no order; a reply above *limit* values is too
    large for a message; any other call but a read is answered by *failure*.
    """

    def __init__(self, values: dict[str, bytes], *, empty: Sequence[str] = (), limit: int = 1000, failure: Any = None) -> None:
        self.values = values
        self.empty = empty
        self.limit = limit
        self.failure = failure
        self.asked: list[list[str]] = []

    @property
    def _stub(self) -> "Stub":
        return self

    async def GetMetadata(self, request: Any, timeout: float) -> Any:  # noqa: ASYNC109, D102, N802 Dapr's
        return api_v1.GetMetadataResponse()

    async def GetState(self, request: Any, timeout: float) -> Any:  # noqa: ASYNC109, D102, N802
        self.asked.append([request.key])
        if len(self.values.get(request.key, b"")) > 4 << 20:
            raise _error(grpc.StatusCode.RESOURCE_EXHAUSTED, "grpc: received message larger than max")
        return api_v1.GetStateResponse(data=self.values.get(request.key, b""), etag="1")

    async def GetBulkState(self, request: Any, timeout: float) -> Any:  # noqa: ASYNC109, D102, N802
        keys = sorted(set(request.keys), reverse=True)
        self.asked.append(keys)
        if len(keys) > self.limit:
            raise _error(grpc.StatusCode.RESOURCE_EXHAUSTED, "grpc: received message larger than max")
        items = [(key, b"" if key in self.empty else self.values.get(key, b"")) for key in keys]
        return api_v1.GetBulkStateResponse(items=[api_v1.BulkStateItem(key=key, data=data) for key, data in items])

    async def ExecuteStateTransaction(self, request: Any, timeout: float) -> Any:  # noqa: ASYNC109, D102, N802
        raise self.failure

    async def SaveState(self, request: Any, timeout: float) -> Any:  # noqa: ASYNC109, D102, N802
        raise self.failure


def _error(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)


def _on(stub: Any) -> DaprStore:
    return DaprStore(stub, "statestore")


async def test_an_empty_bulk_item_is_read_again() -> None:
    """PostgreSQL, cut off while it answers, returns empty items and no error: each is read singly before it is missing."""
    values = {f"k{number}": b'["%d"]' % number for number in range(20)}
    stub = Stub(values, empty=[f"k{number}" for number in range(5, 20)])
    assert await Reader(_on(stub), Keys("a session"), Limits()).values([*values, "missing"]) == values
    assert len(stub.asked) == 1 + 15 + 1


async def test_too_large_a_reply_is_asked_for_in_halves() -> None:
    """Until each fits; one value that alone is too large is an error."""
    values = {f"k{number}": b'["%d"]' % number for number in range(20)}
    stub = Stub(values, limit=6)
    assert await _on(stub).get_many(list(values)) == values
    assert [len(keys) for keys in stub.asked] == [20, 10, 5, 5, 10, 5, 5]
    with pytest.raises(StoreRefused, match="more than one message"):
        await _on(Stub(values, limit=0)).get_many(["k1"])


async def test_a_legacy_history_too_large_to_read_is_no_empty_one(session_id: str) -> None:
    """A `DaprSession`'s array above daprd's message limit can't be taken over; it must not be passed over either."""
    stub = Stub({legacy_key(session_id): b"[" + b" " * (5 << 20) + b"]"})
    with pytest.raises(StoreRefused):
        await EventLog(_on(stub), session_id).read()


@pytest.mark.parametrize(
    ("code", "refused"),
    [
        (grpc.StatusCode.INTERNAL, False),
        (grpc.StatusCode.ABORTED, False),
        (grpc.StatusCode.UNAVAILABLE, False),
        (grpc.StatusCode.DEADLINE_EXCEEDED, False),
        (grpc.StatusCode.CANCELLED, False),
        (grpc.StatusCode.UNKNOWN, False),
        (grpc.StatusCode.INVALID_ARGUMENT, True),
        (grpc.StatusCode.PERMISSION_DENIED, True),
        (grpc.StatusCode.UNIMPLEMENTED, True),
    ],
)
async def test_what_an_error_of_a_commit_means(code: grpc.StatusCode, refused: bool, keys: Keys) -> None:
    """It may have landed, unless daprd turned the request down as such; and create leaves it to the reader."""
    store = _on(Stub({}, failure=_error(code, "etag mismatch")))
    if refused:
        with pytest.raises(StoreRefused, match="statestore"):
            await store.commit(Put(keys.head, GENESIS), "1", ())
        with pytest.raises(StoreRefused, match="statestore"):
            await store.create(Put(keys.head, GENESIS))
        return
    outcome = await store.commit(Put(keys.head, GENESIS), "1", ())
    assert isinstance(outcome, NotCommitted)
    assert outcome.sent
    assert isinstance(outcome.cause, grpc.aio.AioRpcError)
    await store.create(Put(keys.head, GENESIS))


class Plain(Stub):
    """The stub of a component without transactions, which tells what is asked of it. *failing* saves fail, counted from 0."""

    def __init__(self, *failing: int, capabilities: Sequence[str] = ("ETAG",)) -> None:
        super().__init__({})
        self.failing = failing
        self.capabilities = capabilities
        self.saved: list[list[str]] = []

    async def GetMetadata(self, request: Any, timeout: float) -> Any:  # noqa: ASYNC109, D102, N802
        one = api_v1.RegisteredComponents(name="statestore", type="state.plain", version="v1", capabilities=self.capabilities)
        return api_v1.GetMetadataResponse(registered_components=[one])

    async def SaveState(self, request: Any, timeout: float) -> Any:  # noqa: ASYNC109, D102, N802
        self.saved.append([one.key for one in request.states])
        if len(self.saved) - 1 in self.failing:
            raise _error(grpc.StatusCode.INTERNAL, "not now")


async def test_without_transactions_the_head_is_saved_last(keys: Keys) -> None:
    """So that it never names what is not there; what fails before it was sent has surely not been committed."""
    values = [Put(keys.event("a"), b"[]"), Put(keys.segment("b"), b"[]")]
    names = [put.key for put in values]
    for failing, sent, saved in (((), None, [names, [keys.head]]), ((0,), False, [names]), ((1,), True, [names, [keys.head]])):
        stub = Plain(*failing)
        outcome = await _on(stub).commit(Put(keys.head, GENESIS), "1", values)
        assert stub.saved == saved
        assert isinstance(outcome, Committed) if sent is None else isinstance(outcome, NotCommitted) and outcome.sent is sent
    assert not (await _on(Plain()).traits()).transactional
    assert (await _on(Plain(capabilities=["ETAG", "TRANSACTIONAL"])).traits()).transactional


class Policed(Plain):
    """The stub of a sidecar that has these resiliency policies loaded; it tells what it is asked to write and to delete."""

    def __init__(self, *policies: str, failing: Sequence[int] = ()) -> None:
        super().__init__(*failing)
        self.policies = policies

    async def GetMetadata(self, request: Any, timeout: float) -> Any:  # noqa: ASYNC109, D102, N802
        metadata = await super().GetMetadata(request, timeout)
        metadata.resiliencies.extend(api_v1.MetadataResiliency(name=name) for name in self.policies)
        return metadata

    async def DeleteBulkState(self, request: Any, timeout: float) -> Any:  # noqa: ASYNC109, D102, N802
        await self.SaveState(request, timeout)


async def test_under_a_policy_each_key_is_written_by_itself(keys: Keys) -> None:
    """Since daprd repeats the wrong ones of many, or panics; without a policy they go in one request."""
    names = [keys.event(name) for name in "abc"]
    puts = [Put(name, b"[]") for name in names]
    for stub, expected in ((Policed(), [names]), (Policed("policy"), [[name] for name in names])):
        await _on(stub).put_many(puts)
        assert sorted(stub.saved) == expected
        stub.saved.clear()
        await _on(stub).delete_many(names)
        assert sorted(stub.saved) == expected
    stub = Policed("policy", failing=[1])
    with pytest.raises(Unavailable, match="not now"):
        await _on(stub).put_many(puts)
    assert sorted(stub.saved) == [[name] for name in names]


async def test_a_store_without_etags_is_refused(keys: Keys) -> None:
    """Before anything is written: two writers would overwrite each other there."""
    stub = Plain(capabilities=["TRANSACTIONAL"])
    with pytest.raises(StoreRefused, match="has no etags"):
        await _on(stub).commit(Put(keys.head, GENESIS), "1", ())
    assert stub.saved == []


async def test_what_is_known_of_a_component_can_be_overridden(keys: Keys) -> None:
    """By whoever ran `certify` on it; a profile may be for one version of a component."""
    trusted = Profile(Traits(atomic_create=True, keeps_bytes=True, trusted=True))
    store = DaprStore(Plain(), "statestore", profile=trusted)  # type: ignore[arg-type]
    assert (await store.traits()).trusted
    assert not (await _on(Plain()).traits()).trusted
    assert profile_of("state.sqlserver", "v2") != profile_of("state.sqlserver", "v1")
    assert profile_of("state.unheard-of", "v1") is None


# ---- Dapr, with a real sidecar -------------------------------------------------------------------------------------


@pytest.mark.daprd
async def test_an_unknown_state_store_is_named(rig: Rig, keys: Keys) -> None:
    """By every call that asks for it."""
    store = DaprStore(SidecarClient(rig.address), "nosuchstore")
    for call in (
        store.get(keys.head),
        store.get_many([keys.head]),
        store.put_many([Put(keys.head, GENESIS)]),
        store.delete_many([keys.head]),
        store.create(Put(keys.head, GENESIS)),
        store.commit(Put(keys.head, GENESIS), None, ()),
    ):
        with pytest.raises(StoreRefused, match="nosuchstore"):
            await call
    with pytest.raises(StoreRefused, match="nosuchstore"):
        await EventLog(store, keys.digest).read()
    await store.close()


@pytest.mark.daprd
async def test_what_is_known_of_each_component(rig: Rig, component: str) -> None:
    """All four of the rig earn every trait."""
    store = DaprStore(SidecarClient(rig.address), component)
    traits = await store.traits()
    assert (traits.atomic_create, traits.keeps_bytes, traits.trusted) == (True, True, True)
    await store.close()


@pytest.mark.daprd
async def test_more_than_a_message_holds_is_read_in_pages(rig: Rig, component: str, keys: Keys) -> None:
    """Twenty values of 256 KiB, 5 MiB at once: daprd refuses the reply, whatever the component."""
    noise = random.Random(7)
    puts = [Put(keys.event(f"{number:016}"), noise.randbytes(256 << 10)) for number in range(20)]
    store = DaprStore(SidecarClient(rig.address), component)
    async with asyncio.timeout(60):
        for start in range(0, 20, 10):
            await store.put_many(puts[start : start + 10])
        found = await store.get_many([put.key for put in puts])
    assert found == {put.key: put.value for put in puts}
    with pytest.raises(StoreRefused, match="more than one message"):
        await store.put_many(puts)
    await store.close()


@pytest.mark.daprd
async def test_two_sidecars_serve_one_store(rig: Rig, keys: Keys) -> None:
    """What one commits the other reads, and a stale etag is refused by either."""
    second = await asyncio.to_thread(rig.second_sidecar)
    one, other = (DaprStore(SidecarClient(address), "redis") for address in (rig.address, second.address))
    assert one.identity != other.identity
    async with asyncio.timeout(60):
        assert isinstance(await one.commit(Put(keys.head, GENESIS), None, ()), Committed)
        value = await other.get(keys.head)
        assert value is not None
        assert isinstance(await other.commit(Put(keys.head, b'["1"]'), value.etag, ()), Committed)
        assert isinstance(await one.commit(Put(keys.head, b'["2"]'), value.etag, ()), NotCommitted)
        assert await _read(one, keys.head) == b'["1"]'
    await one.close()
    await other.close()
    await asyncio.to_thread(second.close)


@pytest.mark.daprd
def test_a_store_serves_one_loop_after_another(rig: Rig, keys: Keys) -> None:
    """A client belongs to no loop: it connects again on each."""
    store = DaprStore(SidecarClient(rig.address), "redis")

    async def bounded_read() -> bytes | None:
        async with asyncio.timeout(30):
            return await _read(store, keys.head)

    async def bounded_create() -> None:
        async with asyncio.timeout(30):
            await store.create(Put(keys.head, GENESIS))

    asyncio.run(bounded_create())
    assert asyncio.run(bounded_read()) == GENESIS
    asyncio.run(store.close())


# ---- helpers -------------------------------------------------------------------------------------------------------


async def _read(store: Store, key: str) -> bytes | None:
    value = await store.get(key)
    return value.data if value else None


@asynccontextmanager
async def _ticking() -> AsyncIterator[list[int]]:
    """Count the turns that another task gets meanwhile."""
    ticks = [0]

    async def tick() -> None:
        while True:
            await asyncio.sleep(0)
            ticks[0] += 1

    task = asyncio.create_task(tick())
    try:
        yield ticks
    finally:
        task.cancel()


@asynccontextmanager
async def _children(*commands: Sequence[str]) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """Run *commands* with pipes for input and output, and end whatever is left of them."""
    children = [
        await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ))
        for command in commands
    ]
    try:
        yield children
    finally:
        for child in children:
            if child.returncode is None:
                child.kill()
            await child.wait()
