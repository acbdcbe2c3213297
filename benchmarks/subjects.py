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


class Subject:
    """An implementation on one state store component, with a metered connection of its own to the sidecar."""

    _make: Any
    _one_by_one: bool  # whether it shows in what is kept how a history was written

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
        """Return a session object: one that may know what others of this subject have read, or one that knows nothing."""
        # a copy of the client shares the connection, and nothing that is remembered for the client
        client = self._client if cached else copy(self._client)
        session: Session = self._make(session_id, state_store_name=self._component, dapr_client=client)
        return session

    async def seed(self, session_id: str, history: Sequence[Any]) -> None:
        """Write *history* as a long conversation would have left it."""
        session = self.session(session_id, cached=False)
        batches = [[item] for item in history] if self._one_by_one else [list(history)]
        # timed only for the meter's pause, in which ours deletes redundant keys
        await self.meter.timed("seed", asyncio.gather(*map(session.add_items, batches)))

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()


class Dapr(Subject):
    """The Agents SDK's own session. It keeps one array and caches nothing."""

    _make = DaprSession
    _one_by_one = False


class EventLog(Subject):
    """Ours. Adds that arrive together are committed in groups, so an event for each item is written quickly, too."""

    _make = EventLogSession
    _one_by_one = True
