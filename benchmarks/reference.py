"""
Sessions that need no sidecar, for reference: the embedded event log among the Agents SDK's own. Store "embedded".

Three keep a SQLite file of their own; `RedisSession` speaks with the rig's Redis directly and is only shown beside.
*Cold* is a new session object on a connection that is open, or that is opened before the clock starts.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from agents import SQLiteSession
from agents.extensions.memory.redis_session import RedisSession
from agents.extensions.memory.sqlalchemy_session import SQLAlchemySession
from agents.memory.session import Session
from cases import END, READS, SPACED
from contest import contest, prepare
from figures import Cell
from items import PLAIN
from matrix import places
from meter import Meter
from redis.asyncio import Redis
from rig import Rig
from scope import Scope
from sqlalchemy.ext.asyncio import create_async_engine
from subjects import Subject

from eventlog_session import EventLogSession, SQLiteStore

BASE = "SQLiteSession"


class Local(Subject):
    """A subject without a wire to count on."""

    def __init__(self) -> None:
        self.meter = Meter()

    async def seed(self, session_id: str, history: Sequence[Any]) -> None:
        """Add all at once: what is kept does not tell."""
        if history:
            await self.session(session_id, cached=True).add_items(list(history))


class SQLite(Local):
    """The SDK's default session. Each object has connections of its own, opened by the first use of a thread."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._kept: dict[str, SQLiteSession] = {}

    def session(self, session_id: str, *, cached: bool) -> SQLiteSession:
        """Return a session object; the same for an id where it may know something."""
        if not cached:
            return SQLiteSession(session_id, self._path)
        if session_id not in self._kept:
            self._kept[session_id] = SQLiteSession(session_id, self._path)
        return self._kept[session_id]

    async def release(self, session: Session) -> None:
        """Close the object's connections."""
        assert isinstance(session, SQLiteSession)
        if self._kept.get(session.session_id) is session:
            del self._kept[session.session_id]
        session.close()

    async def close(self) -> None:
        """Close all connections."""
        for session in self._kept.values():
            session.close()


class Alchemy(Local):
    """The SDK's session on SQLAlchemy, with aiosqlite under it. Objects share the engine."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._engine = create_async_engine(f"sqlite+aiosqlite:///{path}")

    def session(self, session_id: str, *, cached: bool) -> SQLAlchemySession:
        """Return a session object on the engine, which knows nothing more when it is cached."""
        del cached
        return SQLAlchemySession(session_id, engine=self._engine, create_tables=True)

    async def open(self, session_id: str, *, cached: bool) -> Session:
        """Return a session object that has made sure of its tables, as SQLiteSession's constructor does."""
        session = self.session(session_id, cached=cached)
        await session._ensure_tables()
        return session

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.dispose()


class Embedded(Local):
    """Ours on a SQLite file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._store = SQLiteStore(path)
        self._own: dict[Session, SQLiteStore] = {}

    def session(self, session_id: str, *, cached: bool) -> EventLogSession:
        """Return a session object on the shared store, or on one of its own that has read nothing."""
        store = self._store if cached else SQLiteStore(self._path)
        session = EventLogSession(session_id, store=store)
        if not cached:
            self._own[session] = store
        return session

    async def open(self, session_id: str, *, cached: bool) -> Session:
        """Return a session object whose file is open, as SQLiteSession's constructor has it."""
        session = self.session(session_id, cached=cached)
        await session.ping()
        return session

    async def seed(self, session_id: str, history: Sequence[Any]) -> None:
        """Write an event for each item."""
        session = self.session(session_id, cached=True)
        await asyncio.gather(*(session.add_items([item]) for item in history))

    async def release(self, session: Session) -> None:
        """Close the object's own store."""
        if store := self._own.pop(session, None):
            await store.close()

    async def close(self) -> None:
        """Close the stores."""
        for store in [*self._own.values(), self._store]:
            await store.close()


class InRedis(Local):
    """The SDK's session on Redis, without Dapr. Objects share the client."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._client = Redis.from_url(f"redis://{address}")

    def session(self, session_id: str, *, cached: bool) -> RedisSession:
        """Return a session object on the client, which knows nothing more when it is cached."""
        del cached
        return RedisSession(session_id, redis_client=self._client)

    async def close(self) -> None:
        """Close the client."""
        await self._client.aclose()


async def measure(rig: Rig, scope: Scope) -> AsyncIterator[Cell]:
    """Yield the cells of part "reference"."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        subjects: dict[str, Local] = {
            BASE: SQLite(directory / "sqlite.db"),
            "SQLAlchemySession": Alchemy(directory / "alchemy.db"),
            "RedisSession": InRedis(rig.redis.address),
            "eventlog embedded": Embedded(directory / "eventlog.db"),
        }
        where = {"part": "reference", "store": "embedded"}
        for size, state in places(scope):
            place = await prepare(subjects, PLAIN, size, state)
            for cell in await contest(where, (READS, END, SPACED), place, scope.reference, base=BASE):
                yield cell
        for subject in subjects.values():
            await subject.close()
