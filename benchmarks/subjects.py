"""What is compared: how to make each implementation's session, and how to give it a history quickly."""

import asyncio
from collections.abc import Sequence
from copy import copy
from typing import Any, Self

from agents.extensions.memory.dapr_session import DaprSession
from agents.memory.session import Session
from dapr.aio.clients import DaprClient
from meter import Meter

from eventlog_session import EventLogSession

KINDS: dict[str, Any] = {"DaprSession": DaprSession, "eventlog": EventLogSession}


def make(kind: str, session_id: str, client: Any, store: str) -> Any:
    """Return a session object."""
    return KINDS[kind](session_id, state_store_name=store, dapr_client=client)


async def settle(session: Any) -> None:
    """Wait for what a session does in the background, so that it does not meet the next one's time."""
    if isinstance(session, EventLogSession):
        await (await session._log()).settle()


class Subject:
    """An implementation on one store."""

    meter: Meter

    def session(self, session_id: str, *, cached: bool) -> Session:
        """Return a session object: one that may know what others of this subject have read, or one that knows nothing."""
        raise NotImplementedError

    async def open(self, session_id: str, *, cached: bool) -> Session:
        """Return a session object of which all that does not depend on the session is done: connecting, creating tables."""
        return self.session(session_id, cached=cached)

    async def release(self, session: Session) -> None:
        """Close what a session object that knew nothing has of its own."""

    async def seed(self, session_id: str, history: Sequence[Any]) -> None:
        """Write *history* as a long conversation would have left it."""
        raise NotImplementedError

    async def empty(self, session_id: str, items: Sequence[Any]) -> None:
        """Leave a session that has had *items* and is cleared."""
        await self.seed(session_id, items)
        await self.session(session_id, cached=False).clear_session()

    async def close(self) -> None:
        """Close the connection."""


class SidecarSubject(Subject):
    """An implementation on one state store component, with a metered connection of its own to the sidecar."""

    _make: Any

    def __init__(self, client: Any, component: str) -> None:
        self.meter = client._stub = Meter(client._stub)
        self._client = client
        self._component = component

    @classmethod
    async def connected(cls, address: str, component: str) -> Self:
        """Return the subject with its connection open, and knowing what a process learns once."""
        subject = cls(DaprClient(address=address), component)
        session = subject.session("warm-up", cached=True)
        await session.add_items([{"role": "user", "content": "warm-up"}])
        await session.clear_session()
        return subject

    def session(self, session_id: str, *, cached: bool) -> Session:
        """Return a session object on the open connection."""
        # a copy of the client shares the connection, and nothing that is remembered for the client
        client = self._client if cached else copy(self._client)
        session: Session = self._make(session_id, state_store_name=self._component, dapr_client=client)
        return session

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()


class Dapr(SidecarSubject):
    """The Agents SDK's own session. It keeps one array and caches nothing."""

    _make = DaprSession

    async def seed(self, session_id: str, history: Sequence[Any]) -> None:
        """Add in batches, so that one too many shows how far it gets: what is kept does not tell them from single adds."""
        session = self.session(session_id, cached=False)
        for start in range(0, len(history), 5_000):
            await session.add_items(list(history[start : start + 5_000]))


class EventLog(SidecarSubject):
    """Ours."""

    _make = EventLogSession

    async def seed(self, session_id: str, history: Sequence[Any]) -> None:
        """Write an event for each item: adds that arrive together are committed in groups, which makes it quick."""
        session = self.session(session_id, cached=False)
        # timed only for the meter's pause, in which redundant keys are deleted
        await self.meter.timed("seed", asyncio.gather(*(session.add_items([item]) for item in history)))
        self.meter.taken.clear()
