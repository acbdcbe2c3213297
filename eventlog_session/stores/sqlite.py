"""
The embedded store: one SQLite file, no sidecar, no server. The default for a first try and for one machine.

sqlite3 blocks, so a thread of its own works with the connection and a call is one hop to it. All but reading a single key
while that thread has nothing to do: from a page cache that takes a fifth of the hop and waits for nobody. WAL with full
synchronisation: an acknowledged commit survives a power cut. Etags are 64 random bits, so none ever comes back.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from time import monotonic, sleep, time
from typing import Self, TypeVar

from ..errors import StoreRefused, Unavailable
from .base import Committed, NotCommitted, Put, Traits, Value
from .worker import Stopped, Worker

_T = TypeVar("_T")
_TRAITS = Traits(atomic_create=True, keeps_bytes=True, trusted=True, transactional=True)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS eventlog_values (
    key TEXT NOT NULL PRIMARY KEY, etag TEXT NOT NULL, expires REAL, value BLOB NOT NULL
)
"""
"""With rowids: without them an append writes 1.5 to 2.3 more pages, since large values make poor index entries."""
_INDEX = "CREATE INDEX IF NOT EXISTS eventlog_expiries ON eventlog_values (expires) WHERE expires IS NOT NULL"
_CHECKPOINT = "PRAGMA wal_autocheckpoint = 256"
"""
In pages: the WAL is written from its beginning again when it has a megabyte, not four. Syncing what overwrites takes half of
what syncing a longer file does (85 us and 190), so the 50th commit is as fast as others' 300th; on average it costs nothing.
"""
_UPSERT = """
INSERT INTO eventlog_values (etag, expires, value, key) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET etag = excluded.etag, expires = excluded.expires, value = excluded.value
"""
_LIVE = "(expires IS NULL OR expires > ?)"
_CREATE = f"{_UPSERT} WHERE NOT {_LIVE}"
_REPLACE = f"UPDATE eventlog_values SET etag = ?, expires = ?, value = ? WHERE key = ? AND {_LIVE} AND etag = ?"  # noqa: S608 as below
_SELECT = f"SELECT value, etag FROM eventlog_values WHERE key = ? AND {_LIVE}"  # noqa: S608 a constant
_NOT_BEGUN = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN)
"""Codes of a transaction that never began."""
_PRIMARY = 0xFF
"""The part of an error code that tells its kind."""
_SLOW = 0.005
"""A read that took longer, in seconds, came from a disk that an event loop should not wait for."""
_WARY = 60.0
"""Seconds for which all reads then go to the thread again."""
_IN_A_ROW = 16
"""Reads without a hop before other tasks get their turn: a loop of nothing but reads must not keep it from them."""
_VARIABLES = 500
"""Keys in one statement; SQLite's own limit is 999 in old builds."""

_open: dict[Path, "SQLiteStore"] = {}
_open_lock = Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open.clear)  # the threads that serve those stores stayed with the parent


class SQLiteStore:
    """A store in a SQLite file. Use `open`: within a process, all users of a file share one connection and its caches."""

    system = "sqlite"

    def __init__(self, path: Path, *, clock: Callable[[], float] = time, busy_timeout: float = 10.0) -> None:
        self._path = path
        self.name = path.name
        self._clock = clock
        self._busy_timeout = busy_timeout
        self._thread = Worker("eventlog-sqlite")
        self._database: sqlite3.Connection | None = None
        self._using = Lock()  # whoever works with the connection
        self._reads = 0
        self._wary_until = 0.0
        self._users = 1
        self._process = os.getpid()
        self._closed = False

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the store of the file at *path*, shared with whoever has it open; each opener closes it once."""
        path = path.absolute()
        with _open_lock:
            store = _open.get(path)
            if isinstance(store, cls):
                store._users += 1
                return store
            opened = cls(path)
            _open[path] = opened
            return opened

    @property
    def identity(self) -> object:
        return ("sqlite", id(self))  # not the path: a store that was closed is not the one opened after it

    async def traits(self) -> Traits:
        return _TRAITS

    async def get(self, key: str) -> Value | None:
        here, value = self._get_at_once(key)
        if not here:
            return await self._call(self._get, key)
        self._reads += 1
        if not self._reads % _IN_A_ROW:
            await asyncio.sleep(0)
        return value

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        return await self._call(self._get_many, keys)

    async def commit(self, head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:
        try:
            return await self._call(self._commit, head, etag, values)
        except Unavailable as error:
            code = getattr(error.__cause__, "sqlite_errorcode", 0) & _PRIMARY
            return NotCommitted(error, sent=code not in _NOT_BEGUN)

    async def create(self, head: Put) -> None:
        await self.commit(head, None, ())

    async def put_many(self, values: Sequence[Put]) -> None:
        await self._call(self._put_many, values)

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self._call(self._delete_many, keys)

    async def ping(self) -> None:
        await self._call(self._get, "ping")

    async def close(self) -> None:
        with _open_lock:
            self._users = max(0, self._users - 1)
            if self._users or self._closed:
                return
            if _open.get(self._path) is self:
                del _open[self._path]
        if os.getpid() == self._process:  # else there is no thread that could, and the connection is the parent's
            await self._thread.call(self._disconnect)
            self._thread.stop()
        self._closed = True

    # ---- in the event loop's thread --------------------------------------------------------------------------------

    def _get_at_once(self, key: str) -> tuple[bool, Value | None]:
        """Return whether *key* could be read here and now, and its value."""
        began = monotonic()
        if began < self._wary_until or os.getpid() != self._process or not self._using.acquire(blocking=False):
            return False, None
        try:
            return (True, self._get(key)) if self._database is not None else (False, None)
        except sqlite3.Error:  # the thread waits for what is locked, and tells what else it was
            return False, None
        finally:
            self._using.release()
            if (ended := monotonic()) - began > _SLOW:
                self._wary_until = ended + _WARY

    # ---- in the thread ---------------------------------------------------------------------------------------------

    async def _call(self, work: Callable[..., _T], *args: object) -> _T:
        if os.getpid() != self._process:
            raise StoreRefused(f"{self._path} was opened before this process was forked; open it again in here")
        try:
            return await self._thread.call(self._patiently, work, *args)
        except Stopped as error:
            raise StoreRefused(f"{self._path} was closed; open it again") from error
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # a statement that fits no table of ours
                raise StoreRefused(f"{self._path} is not a database of this library: {error}") from error
            raise Unavailable(f"SQLite can't use {self._path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StoreRefused(f"{self._path} is not a usable SQLite database: {error}") from error

    def _patiently(self, work: Callable[..., _T], *args: object) -> _T:
        """Return what *work* does, tried again while another process is in the way. SQLite's own wait would hold the lock."""
        give_up = monotonic() + self._busy_timeout
        pause = 0.001
        while True:
            try:
                with self._using:
                    return work(*args)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & _PRIMARY != sqlite3.SQLITE_BUSY or monotonic() + pause > give_up:
                    raise
            sleep(pause)
            pause = min(2 * pause, 0.025)

    def _connected(self) -> sqlite3.Connection:
        if self._database is None:
            database = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = FULL")
                database.execute(_CHECKPOINT)
                database.execute(_SCHEMA)
                database.execute(_INDEX)
            except sqlite3.Error:
                database.close()
                raise
            self._database = database
        return self._database

    def _disconnect(self) -> None:
        with self._using:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _get(self, key: str) -> Value | None:
        row = self._connected().execute(_SELECT, (key, self._clock())).fetchone()
        return Value(*row) if row else None

    def _get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for start in range(0, len(keys), _VARIABLES):
            some = keys[start : start + _VARIABLES]
            marks = ",".join("?" * len(some))
            query = f"SELECT key, value FROM eventlog_values WHERE key IN ({marks}) AND {_LIVE}"  # noqa: S608 question marks only
            found.update(self._connected().execute(query, (*some, self._clock())).fetchall())
        return found

    def _commit(self, head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:
        database = self._connected()
        made, now = _new_etag(), self._clock()
        row = (made, _expiry(head, now), head.value, head.key, now)
        database.execute("BEGIN IMMEDIATE")
        try:
            # the one statement decides, by the etag alone: reading the head for it would cost as much as writing it
            written = database.execute(_CREATE, row) if etag is None else database.execute(_REPLACE, (*row, etag))
            if not written.rowcount:
                database.execute("ROLLBACK")
                return NotCommitted()
            self._upsert(values, made, now, clear=head.ttl is not None)
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        return Committed(made)

    def _upsert(self, values: Sequence[Put], etag: str, now: float, *, clear: bool = False) -> None:
        """Put *values*, all with the same new *etag*; *clear* away what has expired, as whoever uses a ttl does."""
        database = self._connected()
        database.executemany(_UPSERT, [(etag, _expiry(put, now), put.value, put.key) for put in values])
        if clear or any(put.ttl is not None for put in values):
            database.execute("DELETE FROM eventlog_values WHERE expires < ?", (now,))

    def _put_many(self, values: Sequence[Put]) -> None:
        with self._connected() as database:
            database.execute("BEGIN IMMEDIATE")
            self._upsert(values, _new_etag(), self._clock())

    def _delete_many(self, keys: Sequence[str]) -> None:
        with self._connected() as database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("DELETE FROM eventlog_values WHERE key = ?", [(key,) for key in keys])


def _new_etag() -> str:
    return os.urandom(8).hex()


def _expiry(put: Put, now: float) -> float | None:
    return None if put.ttl is None else now + put.ttl
