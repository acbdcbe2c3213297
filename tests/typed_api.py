"""Never run: mypy checks that the API is typed as it is used, and fits wherever the SDK's hints ask for a session."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import assert_type

from agents import Agent, Runner
from agents.extensions.memory.encrypt_session import EncryptedSession
from agents.items import TResponseInputItem
from agents.memory import OpenAIResponsesCompactionSession, Session, SessionABC, SessionSettings
from cloudevents.core.v1.event import CloudEvent
from dapr.aio.clients import DaprClient

import eventlog_session
from eventlog_session import (
    DAPR_CONSISTENCY_EVENTUAL,
    DAPR_CONSISTENCY_STRONG,
    BeingErased,
    Conflict,
    CorruptLog,
    DaprStore,
    EventLog,
    EventLogError,
    EventLogSession,
    ForkDetected,
    HistoryTrimmed,
    IdempotencyKeyReused,
    InvalidItem,
    Limits,
    MemoryStore,
    NoSuchPoint,
    OutcomeUnknown,
    PastSession,
    Point,
    ReadOnlySession,
    Retry,
    SessionClosed,
    SessionView,
    SQLiteStore,
    Store,
    StoreRefused,
    Unavailable,
    UnsupportedFormat,
    View,
    export,
)


def made(client: DaprClient) -> list[EventLogSession]:
    """Every way to make one."""
    store: Store = MemoryStore()
    return [
        EventLogSession("id", state_store_name="statestore", dapr_client=client),
        EventLogSession(
            "id", state_store_name="statestore", dapr_client=client, ttl=60, consistency=DAPR_CONSISTENCY_EVENTUAL,
            session_settings={"limit": 3}, legacy="ignore", limits=Limits(deadline=5), retry=Retry(budget=5),
        ),
        EventLogSession("id", store=store, session_settings=SessionSettings(limit=3), legacy="adopt"),
        EventLogSession("id", store=DaprStore(client, "statestore", consistency=DAPR_CONSISTENCY_STRONG)),
        EventLogSession.from_address("id", state_store_name="statestore"),
        EventLogSession.from_address("id", state_store_name="statestore", dapr_address="localhost:50001", ttl=60),
        EventLogSession.from_url("id", url="sqlite:///file.db", session_settings=None, retry=Retry()),
    ]  # fmt: skip


class Sealed(EventLogSession):
    """A subclass with strings of its own."""

    async def _serialize_item(self, item: TResponseInputItem) -> str:
        return (await super()._serialize_item(item))[::-1]

    async def _deserialize_item(self, item: str) -> TResponseInputItem:
        return await super()._deserialize_item(item[::-1])


async def used_where_the_sdk_asks_for_a_session(ours: EventLogSession, agent: Agent[None]) -> None:
    """As `Session`, as `SessionABC`, by the runner and by both wrappers; the past too."""
    past = ours.at(3)
    sealed = Sealed.from_url("id", url="memory://")
    assert_type(past, PastSession)
    assert_type(sealed, Sealed)
    sessions: list[Session] = [ours, past, sealed]
    abstract: list[SessionABC] = [ours, past, sealed]
    for session in sessions:
        await Runner.run(agent, "Hello", session=session)
        Runner.run_streamed(agent, "Hello", session=session)
        Runner.run_sync(agent, "Hello", session=session)
        OpenAIResponsesCompactionSession("id", session)
    await Runner.run(agent, "Hello", session=ours)
    await Runner.run(agent, "Hello", session=past)
    for one in abstract:
        EncryptedSession(session_id="id", underlying_session=one, encryption_key="key")
    EncryptedSession(session_id="id", underlying_session=ours, encryption_key="key", ttl=60)
    compacted = OpenAIResponsesCompactionSession(session_id="id", underlying_session=ours, model="gpt-4.1")
    EncryptedSession("id", compacted, "key")
    agent.as_tool("ask", "Ask.", session=ours)


async def the_protocol(ours: EventLogSession) -> None:
    """The SDK's four methods and two attributes."""
    assert_type(ours.session_id, str)
    assert_type(ours.session_settings, SessionSettings | None)
    assert_type(await ours.get_items(), list[TResponseInputItem])
    assert_type(await ours.get_items(3), list[TResponseInputItem])
    assert_type(await ours.get_items(limit=None), list[TResponseInputItem])
    await ours.add_items([{"role": "user", "content": "Hello"}])
    assert_type(await ours.pop_item(), TResponseInputItem | None)
    await ours.clear_session()
    ours.session_settings = SessionSettings(limit=3)


async def beyond_the_protocol(ours: EventLogSession) -> None:
    """Reading with a version, the past, export, ping and close."""
    view = await ours.read(3)
    assert_type(view, SessionView)
    assert_type(view.items, list[TResponseInputItem])
    assert_type(view.version, int)
    points: list[Point] = [view.version, datetime.now(UTC)]
    for point in points:
        past = ours.at(point)
        assert_type(await past.get_items(3), list[TResponseInputItem])
        assert_type(await past.read(), SessionView)
    async for event in export(ours):
        assert_type(event, CloudEvent)
    assert_type(await ours.ping(), bool)
    await ours.close()
    async with ours as entered:
        assert_type(entered, EventLogSession)
    async with Sealed.from_url("id", url="memory://") as sealed:
        assert_type(sealed, Sealed)


async def without_the_sdk(store: Store) -> None:
    """The log itself."""
    log = EventLog.of(store, "id", limits=Limits(), retry=Retry())
    assert_type(log, EventLog)
    view = await log.read(3, at=datetime.now(UTC))
    assert_type(view, View)
    async for event in export(log):
        assert_type(event, CloudEvent)


def every_error() -> tuple[type[EventLogError], ...]:
    """Each is an EventLogError, and what Python's own hierarchy has it be."""
    _value_errors: tuple[type[ValueError], ...] = (InvalidItem, CorruptLog, UnsupportedFormat, IdempotencyKeyReused)
    _runtime_errors: tuple[type[RuntimeError], ...] = (ReadOnlySession, SessionClosed)
    _lookup_error: type[LookupError] = NoSuchPoint
    _connection_error: type[ConnectionError] = Unavailable
    assert_type(OutcomeUnknown("text", event_ids=("a",)).event_ids, tuple[str, ...])
    return (
        BeingErased, Conflict, CorruptLog, ForkDetected, HistoryTrimmed, IdempotencyKeyReused,
        InvalidItem, NoSuchPoint, OutcomeUnknown, ReadOnlySession, SessionClosed,
        StoreRefused, Unavailable, UnsupportedFormat,
    )  # fmt: skip


def every_store(client: DaprClient) -> list[Store]:
    """Each satisfies the port."""
    from pathlib import Path

    return [MemoryStore(), SQLiteStore(Path("file.db")), SQLiteStore.open(Path("file.db")), DaprStore.of(client, "statestore")]


def the_rest() -> str:
    """What else the package has by name."""
    hooks: list[Callable[[TResponseInputItem], Awaitable[str]]] = [Sealed("id", store=MemoryStore())._serialize_item]
    assert hooks
    return eventlog_session.__version__
