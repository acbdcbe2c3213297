"""A session's log as CloudEvents: what the stock SDK makes of it, over every binding."""

import json
import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, cast
from uuid import uuid4

import pytest
from agents import Agent, Runner, set_trace_processors, set_tracing_disabled, trace
from agents.items import TResponseInputItem
from agents.testing import ScriptedModel, assistant_message
from cloudevents.core.bindings import http, kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, use_span

from eventlog_session import EventLog, EventLogSession, MemoryStore, Store, export
from eventlog_session.core.keys import Keys

Item = TResponseInputItem

TYPE = "org.pypi.eventlog-session."
NAME = re.compile(r"[a-z0-9]{1,20}")
"""How CloudEvents has attributes named."""


def users(*numbers: int) -> list[Item]:
    """User messages that say a number each."""
    return [{"role": "user", "content": str(number)} for number in numbers]


async def exported(session: EventLogSession | EventLog) -> list[CloudEvent]:
    """All events of a session."""
    return [event async for event in export(session)]


def data(event: CloudEvent) -> dict[str, Any]:
    """An event's data."""
    return cast("dict[str, Any]", event.get_data())


async def scripted(session: EventLogSession) -> list[tuple[str, dict[str, Any]]]:
    """Do one of everything and return the types and data that must come of it."""
    large: list[Item] = [{"role": "user", "content": random.Random(1).randbytes(400_000).hex()}]
    middling: list[Item] = [{"role": "user", "content": "x" * 20_000}]
    odd = cast("list[Item]", [{"output": "\ud83d"}, {"output": "fine"}])
    await session.add_items(users(0, 1))
    await session.pop_item()
    await session.add_items(large)
    await session.add_items(middling)
    await session.add_items(odd)
    await session.clear_session()
    await session.add_items(users(2))
    return [
        ("items.added.v1", {"items": users(0, 1)}),
        ("item.popped.v1", {"pops": 1}),
        ("items.added.v1", {"items": large}),
        ("items.added.v1", {"items": middling}),
        ("items.added.v1", {"items": ['{"output":"\\ud83d"}', {"output": "fine"}], "text": [0]}),
        ("session.cleared.v1", {"base": 0}),
        ("items.added.v1", {"items": users(2)}),
    ]


async def test_every_event_is_there_in_order(store: Store, session_id: str) -> None:
    """With its data, large ones too, and with attributes that consumers route, sort and partition by."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    session = EventLogSession(session_id, store=store)
    expected = await scripted(session)
    events = await exported(EventLogSession(session_id, store=store))
    assert [(event.get_type(), data(event)) for event in events] == [(TYPE + kind, held) for kind, held in expected]
    assert [event.get_extension("sequence") for event in events] == [f"{number:012d}" for number in range(1, 8)]
    assert {event.get_subject() for event in events} == {session_id}
    assert {event.get_extension("partitionkey") for event in events} == {session_id}
    assert {event.get_source() for event in events} == {Keys(session_id).source}
    assert len({event.get_id() for event in events}) == 7
    times = [event.get_time() for event in events]
    recorded = [datetime.fromisoformat(event.get_extension("recordedtime")) for event in events]
    for asked, committed in zip(times, recorded, strict=True):
        assert asked is not None
        assert before <= asked <= committed <= datetime.now(UTC) + timedelta(seconds=1)
    assert recorded == sorted(recorded)
    for event in events:
        assert all(NAME.fullmatch(name) for name in event.get_attributes())


async def test_a_log_exports_like_its_session(session_id: str) -> None:
    """For those who read logs without the Agents SDK."""
    store = MemoryStore()
    session = EventLogSession(session_id, store=store)
    await scripted(session)
    ours = [event.get_attributes() for event in await exported(session)]
    assert [event.get_attributes() for event in await exported(EventLog.of(store, session_id))] == ours


async def test_a_session_without_events_exports_nothing(store: Store, session_id: str) -> None:
    """And is not made by it."""
    assert await exported(EventLogSession(session_id, store=store)) == []
    assert await store.get(Keys(session_id).head) is None


async def test_a_long_log_exports_whole(session_id: str) -> None:
    """Across segments and index nodes, each event once."""
    session = EventLogSession(session_id, store=MemoryStore())
    for number in range(600):
        await session.add_items([{"role": "user", "content": f"{number} " + "x" * 200}])
    events = await exported(session)
    assert [event.get_extension("sequence") for event in events] == [f"{number:012d}" for number in range(1, 601)]
    assert [data(event)["items"][0]["content"].split()[0] for event in events] == [str(number) for number in range(600)]
    assert all(one.get_extension("sequence") < two.get_extension("sequence") for one, two in pairwise(events))


def same(one: Any, two: Any) -> None:
    """Assert that two events are the same, whatever way one of them took."""
    assert one.get_attributes() == two.get_attributes()
    assert one.get_data() == two.get_data()


IDS = [
    "plain",
    "",
    " ",
    "nul\0",
    "new\r\nline",
    "🙂 日本語",
    "lone \ud800",
    "a||b",
    'quote " % \\',
    "\u202e\u2028",
    "x" * 10_000,
]


@pytest.mark.parametrize("form", IDS, ids=lambda form: ascii(form)[:20])
async def test_the_stock_sdk_reads_it_over_every_binding(form: str) -> None:
    """Structured and binary HTTP and Kafka, by the mode they name and by detection, for any id: the same event comes out."""
    session = EventLogSession(form, store=MemoryStore())
    await scripted(session)
    for event in await exported(session):
        subject = event.get_subject()
        assert subject
        assert subject.isprintable()
        subject.encode()
        structured, binary = http.to_structured_event(event), http.to_binary_event(event)
        assert structured.headers["content-type"] == "application/cloudevents+json"
        assert json.loads(structured.body)["datacontenttype"] == "application/json"
        for name, value in binary.headers.items():
            (name + value).encode("latin-1")
            assert "\r" not in value
            assert "\n" not in value
        same(http.from_structured_event(structured), event)
        same(http.from_binary_event(binary), event)
        same(http.from_http_event(structured), event)
        same(http.from_http_event(binary), event)
        for message in (kafka.to_structured_event(event), kafka.to_binary_event(event)):
            assert message.key == subject
            same(kafka.from_kafka_event(message), event)


async def test_ids_of_different_sessions_give_different_sources() -> None:
    """Also where what is printable of them is alike."""
    store = MemoryStore()
    sources = set()
    for session_id in ("nul\0", "nul%00", "", "%"):
        session = EventLogSession(session_id, store=store)
        await session.add_items(users(1))
        sources.add((await exported(session))[0].get_source())
    assert len(sources) == 4


async def test_what_lies_in_the_store_is_a_batch_of_one(store: Store, session_id: str) -> None:
    """Under each event's own key: JSON that the stock SDK reads, with the attributes that the export has."""
    session = EventLogSession(session_id, store=store)
    await scripted(session)
    added = {"subject", "partitionkey", "sequence", "recordedtime"}
    for event in await exported(session):
        value = await store.get(Keys(session_id).event(event.get_id()))
        assert value is not None
        batch = json.loads(value.data)
        assert isinstance(batch, list)
        assert len(batch) == 1
        stored = JSONFormat().read(None, json.dumps(batch[0]))
        attributes = {name: held for name, held in event.get_attributes().items() if name not in added}
        if "dataref" in batch[0]:  # the claim check pattern: its data lies in parts
            assert stored.get_data() is None
            assert stored.get_extension("dataref") == f"{event.get_source()}:p:{event.get_id()}"
            assert stored.get_extension("datacount") == len(data(event)["items"])
            attributes.pop("datacontenttype")
            attributes |= {name: batch[0][name] for name in ("dataref", "dataparts", "datadigest", "datacount")}
        else:
            assert stored.get_data() == data(event)
        assert stored.get_attributes() == attributes


# ---- whose work it was -------------------------------------------------------------------------------------------------


async def test_an_event_carries_the_current_span(store: Store, session_id: str) -> None:
    """OpenTelemetry's, as CloudEvents' distributed tracing extension has it; each event that of its own call."""
    session = EventLogSession(session_id, store=store)
    tracer = TracerProvider().get_tracer("test")
    expected = []
    for change in (session.add_items(users(1, 2)), session.pop_item(), session.clear_session()):
        with tracer.start_as_current_span("call") as span:
            await change
        context = span.get_span_context()
        expected.append(f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}")
    await session.add_items(users(3))
    events = await exported(EventLogSession(session_id, store=store))
    assert [event.get_attributes().get("traceparent") for event in events] == [*expected, None]
    assert "tracestate" not in events[0].get_attributes()


async def test_tracestate_and_flags_are_handed_on(session_id: str) -> None:
    """As W3C Trace Context writes them, for a span that came in from elsewhere."""
    session = EventLogSession(session_id, store=MemoryStore())
    state = TraceState([("vendor", "value"), ("other", "a/b")])
    with use_span(NonRecordingSpan(SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(0), trace_state=state))):
        await session.add_items(users(1))
    (event,) = await exported(session)
    assert event.get_extension("traceparent") == f"00-{0xABC:032x}-{0xDEF:016x}-00"
    assert event.get_extension("tracestate") == "vendor=value,other=a/b"
    same(http.from_binary_event(http.to_binary_event(event)), event)


@pytest.fixture
def tracing() -> Iterator[None]:
    """The Agents SDK's tracing on, going nowhere."""
    set_trace_processors([])
    set_tracing_disabled(False)
    yield
    set_tracing_disabled(True)


@pytest.mark.usefixtures("tracing")
async def test_an_event_of_a_run_carries_the_agents_trace() -> None:
    """Its trace, and the span in which the runner called; one trace for a whole workflow."""
    session = EventLogSession(f"s-{uuid4().hex}", store=MemoryStore())
    agent = Agent(name="desk", model=ScriptedModel([[assistant_message("hi")], [assistant_message("bye")]]))
    with trace("workflow") as workflow:
        await Runner.run(agent, "hello", session=session)
        await Runner.run(agent, "bye", session=session)
    await session.add_items(users(1))
    *ran, own = await exported(session)
    assert [event.get_extension("agentstraceid") for event in ran] == [workflow.trace_id] * 4
    assert all(event.get_extension("agentsspanid").startswith("span_") for event in ran)
    assert not {"agentstraceid", "agentsspanid", "traceparent"} & own.get_attributes().keys()


async def test_switched_off_tracing_leaves_no_attributes() -> None:
    """No made-up ids where there is no trace."""
    set_tracing_disabled(True)
    session = EventLogSession("s", store=MemoryStore())
    with trace("workflow"):
        await Runner.run(Agent(name="desk", model=ScriptedModel([[assistant_message("hi")]])), "hello", session=session)
    for event in await exported(session):
        assert not {"agentstraceid", "agentsspanid", "traceparent"} & event.get_attributes().keys()


async def test_trace_attributes_are_kept_for_good(session_id: str) -> None:
    """Also when the event has been sealed into a segment."""
    session = EventLogSession(session_id, store=MemoryStore())
    tracer = TracerProvider().get_tracer("test")
    for number in range(300):
        with tracer.start_as_current_span("call"):
            await session.add_items([{"role": "user", "content": f"{number} " + "x" * 200}])
    events = await exported(session)
    assert len({event.get_extension("traceparent") for event in events}) == 300


async def test_an_adopted_history_is_an_event_of_its_own() -> None:
    """What DaprSession left is told from what was added."""
    store = MemoryStore()
    from eventlog_session.stores.base import Put

    await store.put_many(
        [Put("old:messages", json.dumps([json.dumps(item, separators=(",", ":")) for item in users(0, 1)]).encode())]
    )
    session = EventLogSession("old", store=store)
    await session.add_items(users(2))
    first, second = await exported(session)
    assert (first.get_type(), data(first)) == (TYPE + "history.adopted.v1", {"items": users(0, 1)})
    assert (second.get_type(), data(second)) == (TYPE + "items.added.v1", {"items": users(2)})
