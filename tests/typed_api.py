"""Never run: mypy checks that the API is typed as it is used, and fits wherever the SDK's hints ask for a session."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from io import BytesIO
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
    AgentRun,
    BeingErased,
    Change,
    Conflict,
    CorruptLog,
    Counters,
    DaprStore,
    Difference,
    Erasure,
    EventLog,
    EventLogError,
    EventLogSession,
    ForkDetected,
    HistoryTrimmed,
    IdempotencyKeyReused,
    InvalidExport,
    InvalidItem,
    Limits,
    MemoryStore,
    Moved,
    NoSuchPoint,
    OutcomeUnknown,
    PastSession,
    Point,
    ReadOnlySession,
    Retry,
    SessionClosed,
    SessionExists,
    SessionView,
    SQLiteStore,
    Store,
    StoreRefused,
    TooManyTags,
    Unavailable,
    UnsupportedFormat,
    Verification,
    View,
    counters,
    dump,
    export,
    load,
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
        EventLogSession("id", store=store, turns=3),
        EventLogSession.from_url("id", url="memory://", turns=3),
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
    assert_type(view.generation, str)
    assert_type(await ours.get_items(turns=3), list[TResponseInputItem])
    assert_type(await ours.read(turns=3), SessionView)
    await ours.add_items([], idempotency_key="key", expected_version=view)
    await ours.clear_session(expected_version=view.version)
    async for event in export(ours):
        assert_type(event, CloudEvent)
    assert_type(await ours.ping(), bool)
    assert_type(await ours.verify(), Verification)
    assert_type(await ours.erase(grace=60), Erasure)
    assert_type(ours.counters, Counters)
    assert_type(counters, Counters)
    await ours.trim(before=timedelta(days=30))
    await ours.close()
    async with ours as entered:
        assert_type(entered, EventLogSession)
    async with Sealed.from_url("id", url="memory://") as sealed:
        assert_type(sealed, Sealed)


async def looking_back(ours: EventLogSession) -> None:
    """Every kind of point, what happened, what differs."""
    points: list[Point] = [7, datetime.now(UTC), timedelta(minutes=10), "before the refund"]
    for point in points:
        past = ours.at(point)
        assert_type(past, PastSession)
        assert_type(past.session_id, str)
        assert_type(past.session_settings, SessionSettings | None)
        assert_type(await past.get_items(3), list[TResponseInputItem])
        assert_type(await past.get_items(turns=3), list[TResponseInputItem])
        assert_type(await past.read(turns=3), SessionView)
        assert_type(ours.history(point, point, reverse=True), AsyncIterator[Change])
        assert_type(ours.events(since=point, until=point, reverse=True), AsyncIterator[CloudEvent])
        assert_type(ours.runs(since=point, until=point), AsyncIterator[AgentRun])
        assert_type(await ours.diff(point), Difference)
        await ours.trim(point)
    ours.at(7), ours.at(datetime.now(UTC)), ours.at(timedelta(minutes=10)), ours.at("before the refund")
    ours.at(1.5)  # type: ignore[arg-type]
    ours.at(None)  # type: ignore[arg-type]
    async for change in ours.history():
        assert_type((change.version, change.items, change.popped, change.length), tuple[int, int, int, int])
        assert_type((change.kind, change.event_id), tuple[str, str])
        assert_type((change.base, change.time), tuple[int | None, datetime])
        assert_type((change.trace_id, change.traceparent), tuple[str | None, str | None])
    async for run in ours.runs():
        assert_type((run.before, run.first, run.last, run.changes, run.items), tuple[int, int, int, int, int])
        assert_type((run.began, run.ended, run.trace_id), tuple[datetime, datetime, str | None])
        ours.at(run.before)
    difference = await ours.diff(7, b=timedelta())
    assert_type((difference.a, difference.b, difference.common), tuple[int, int, int])
    assert_type(difference.removed, list[TResponseInputItem])
    assert_type(difference.added, list[TResponseInputItem])


async def going_back(ours: EventLogSession, sealed: Sealed, store: Store) -> None:
    """All that moves a session, names its versions, or makes another of it."""
    view = await ours.read()
    assert_type(await ours.rewind(7), int)
    assert_type(await ours.rewind(to=timedelta(minutes=10), expected_version=view), int)
    moved = await ours.undo()
    assert_type(moved, Moved | None)
    assert_type(await ours.redo(), Moved | None)
    assert_type(await ours.undo(2, expected_version=view), Moved | None)
    assert_type(await ours.redo(n=2, expected_version=view.version), Moved | None)
    if moved is not None:
        assert_type((moved.version, moved.to, moved.changes), tuple[int, int, tuple[int, ...]])
    assert_type(await ours.pop_items(2, expected_version=view), list[TResponseInputItem])
    assert_type(await ours.tag("here"), int)
    assert_type(await ours.tag("there", at="here"), int)
    assert_type(await ours.untag("there"), bool)
    assert_type(await ours.tags(), Mapping[str, int])
    assert_type(await ours.fork("other"), EventLogSession)
    assert_type(await sealed.fork("other", at=7, store=store), Sealed)


async def as_a_file(ours: EventLogSession, store: Store) -> None:
    """A session as CloudEvents, there and back."""
    log = EventLog.of(store, "id")
    with BytesIO() as file:
        assert_type(await dump(ours, file), int)
        assert_type(await dump(log, file, until="here"), int)
        assert_type(await load(ours, file), int)
        assert_type(await load(log, [b"a line"], dry_run=True), int)
    assert_type(export(log, 3, timedelta(), reverse=True), AsyncIterator[CloudEvent])


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
    _value_errors: tuple[type[ValueError], ...] = (
        InvalidItem, CorruptLog, UnsupportedFormat, IdempotencyKeyReused, InvalidExport,
    )  # fmt: skip
    _runtime_errors: tuple[type[RuntimeError], ...] = (ReadOnlySession, SessionClosed)
    _lookup_errors: tuple[type[LookupError], ...] = (NoSuchPoint, HistoryTrimmed)
    _connection_error: type[ConnectionError] = Unavailable
    assert_type(OutcomeUnknown("text", event_ids=("a",)).event_ids, tuple[str, ...])
    return (
        BeingErased, Conflict, CorruptLog, ForkDetected, HistoryTrimmed, IdempotencyKeyReused,
        InvalidExport, InvalidItem, NoSuchPoint, OutcomeUnknown, ReadOnlySession, SessionClosed, SessionExists,
        StoreRefused, TooManyTags, Unavailable, UnsupportedFormat,
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
