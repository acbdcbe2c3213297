"""What whoever watches is told: counters, metrics, spans and log records, each to the exact number, and never what was said."""

import ast
import asyncio
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from staged import Time, add, fill, turns, warm
from torture import ITEM, PERSON, SMALL, Named, torture

import eventlog_session
from eventlog_session import (
    Conflict,
    Counters,
    EventLog,
    EventLogSession,
    ForkDetected,
    MemoryStore,
    OutcomeUnknown,
    Retry,
    Unavailable,
    UnsupportedFormat,
    telemetry,
)
from eventlog_session.errors import CorruptLog, EventLogError, InvalidItem, NoSuchPoint
from eventlog_session.stores.base import Value
from eventlog_session.testing import CountingStore


class Watch:
    """What OpenTelemetry's SDK was given."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracing = TracerProvider()
        self.tracing.add_span_processor(SimpleSpanProcessor(self._spans))
        self.metering = MeterProvider([self._reader])

    def spans(self) -> list[ReadableSpan]:
        """Return the spans that have ended since this was last asked."""
        found = list(self._spans.get_finished_spans())
        self._spans.clear()
        return found

    def metrics(self, store: Named) -> dict[str, list[Any]]:
        """Return the data points of *store* by the metric's name."""
        data = self._reader.get_metrics_data()
        found: dict[str, list[Any]] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                assert scope.scope.name == "eventlog_session"
                assert scope.scope.version == eventlog_session.__version__
                for metric in scope.metrics:
                    points = [one for one in metric.data.data_points if (one.attributes or {})["db.namespace"] == store.name]
                    if points:
                        found[metric.name] = points
        return found

    def everything(self) -> str:
        """Return all of it as text."""
        data = self._reader.get_metrics_data()
        return "\n".join([*(span.to_json() for span in self._spans.get_finished_spans()), data.to_json() if data else ""])


@pytest.fixture(scope="module")
def installed() -> Iterator[Watch]:
    """OpenTelemetry's SDK, installed after the package was imported, as applications do."""
    watch = Watch()
    trace.set_tracer_provider(watch.tracing)
    metrics.set_meter_provider(watch.metering)
    yield watch
    watch.tracing.shutdown()
    watch.metering.shutdown()


@pytest.fixture
def watch(installed: Watch) -> Watch:
    """The SDK, with no span yet."""
    installed.spans()
    return installed


async def named(store: Named, session_id: str = "a session", **options: Any) -> EventLog:
    """Return a log of its own on *store*, as another process would have, that knows its head."""
    log = EventLog(store, session_id, **options)
    await log.read()
    return log


# ---- spans -------------------------------------------------------------------------------------------------------------


async def test_each_operation_is_one_span(watch: Watch) -> None:
    """Of kind CLIENT, named for the operation and the store, with what the database conventions ask for and our own facts."""
    store = Named()
    log = EventLog(store, "a session")
    await add(log, "x", "y")
    await log.pop()
    await log.read(1)
    await log.rewind(1)
    await log.clear()
    await log.head()
    await log.trim(2)
    await log.verify()
    await log.resolve(OutcomeUnknown("", event_ids=("a" * 16,), base=1, generation=(await log.head()).generation))
    await log.erase(grace=0)
    spans = watch.spans()
    names = ["append", "pop", "read", "rewind", "clear", "head", "trim", "verify", "head", "resolve", "erase"]
    assert [span.name for span in spans] == [f"{name} {store.name}" for name in names]
    facts = {}
    for name, span in zip(names, spans, strict=True):
        assert span.kind is trace.SpanKind.CLIENT
        assert span.status.status_code is trace.StatusCode.UNSET
        assert not span.events
        facts[name] = found = dict(span.attributes or {})
        assert found.pop("db.system.name") == "scripted"
        assert found.pop("db.namespace") == store.name
        assert found.pop("db.operation.name") == name
        assert found.pop("eventlog.session.key") == log.keys.digest
    assert facts == {
        "append": {"eventlog.items": 2, "eventlog.attempts": 1, "eventlog.version": 1},
        "pop": {"eventlog.items": 0, "eventlog.attempts": 1, "eventlog.version": 2},
        "read": {"eventlog.items": 1, "eventlog.version": 2},
        "rewind": {"eventlog.items": 0, "eventlog.attempts": 1, "eventlog.version": 3},
        "clear": {"eventlog.items": 0, "eventlog.attempts": 1, "eventlog.version": 4},
        "head": {},
        "trim": {"eventlog.items": 0, "eventlog.attempts": 1, "eventlog.version": 5},
        "verify": {"eventlog.version": 5, "eventlog.sound": True},
        "resolve": {},
        "erase": {},
    }


async def test_retries_are_inside_and_no_error(watch: Watch, time: Time) -> None:
    """A commit that was lost, raced and dropped before it stood is one span without an error: its attempts tell."""
    store = Named()
    other = await named(store)
    log = await named(store, runtime=time.runtime())
    await add(other, "first")
    watch.spans()
    store.plan.extend(["dropped", "dropped", "lost"])  # each time decided on the head that is there by then
    await add(log, "x")
    (span,) = watch.spans()
    assert (span.attributes or {})["eventlog.attempts"] == 3
    assert log.counters.conflicts == 1
    assert (span.attributes or {})["eventlog.version"] == 2
    assert span.status.status_code is trace.StatusCode.UNSET
    assert "error.type" not in (span.attributes or {})


async def fails(kind: type[BaseException], store: Named, time: Time) -> None:
    """Have an operation on *store* fail with an error of that *kind*."""
    log = EventLog(store, "a session", retry=Retry(budget=1), runtime=time.runtime(), limits=SMALL)
    await add(log, "x")
    await log.settle()
    if kind is InvalidItem:
        await log.add(b'["%s"]' % (b"x" * SMALL.event_bytes), 1)
    elif kind is NoSuchPoint:
        await log.rewind(7)
    elif kind is Conflict:
        await log.clear(expected=7)
    elif kind is OutcomeUnknown:
        store.plan.append("late")
        store.meanwhile = store.fail
        await log.clear()
    elif kind is Unavailable:
        await store.fail()
        await log.read()
    elif kind is CorruptLog:
        store.spoil(log.keys.head)
        await log.read()
    elif kind is ForkDetected:
        await store.delete_many([log.keys.head])
        await log.read()
    elif kind is UnsupportedFormat:
        store.spoil(log.keys.head, b'["eventlog-head",9,"0000000000000000",{},[]]')
        await log.read()


FAILURES = (InvalidItem, NoSuchPoint, Conflict, OutcomeUnknown, Unavailable, CorruptLog, ForkDetected, UnsupportedFormat)


@pytest.mark.parametrize("kind", FAILURES)
async def test_a_failure_is_named_and_not_quoted(watch: Watch, time: Time, kind: type[EventLogError]) -> None:
    """A span that failed, and its duration, say the error's class; no span has the error's text or a traceback."""
    store = Named()
    with pytest.raises(kind):
        await fails(kind, store, time)
    *_, span = watch.spans()
    assert (span.attributes or {})["error.type"] == kind.__name__
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, kind.__name__)
    assert not span.events
    points = watch.metrics(store)["db.client.operation.duration"]
    assert [point.count for point in points if point.attributes.get("error.type") == kind.__name__] == [1]
    assert sum(point.count for point in points) == 2


async def test_who_cancels_has_not_failed(watch: Watch) -> None:
    """A cancelled call's span says so and has no error status; it ends."""
    log = EventLog(Named(), "a session")
    call = asyncio.create_task(add(log, "x"))
    await turns(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    (span,) = watch.spans()
    assert (span.attributes or {})["error.type"] == "CancelledError"
    assert span.status.status_code is trace.StatusCode.UNSET


async def test_a_stores_bug_is_an_error_too(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that no store may raise is named in the span as any other."""

    async def get(self: Named, key: str) -> Value | None:
        raise ZeroDivisionError

    monkeypatch.setattr(Named, "get", get)
    with pytest.raises(ZeroDivisionError):
        await EventLog(Named(), "a session").read()
    (span,) = watch.spans()
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, "ZeroDivisionError")


async def test_an_event_belongs_to_its_callers_work(watch: Watch) -> None:
    """
    The operation's span is a child of the caller's; the event carries the caller's span, not the operation's.

    Whoever reads the event asks whose work it was. The operation is found below that, where it was sampled at all.
    """
    store = Named()
    session = EventLogSession("a session", store=store)
    tracer = watch.tracing.get_tracer("an application")
    async with session:
        with tracer.start_as_current_span("a turn") as turn:
            await session.add_items([{"role": "user", "content": "x"}])
            assert trace.get_current_span() is turn
        operation, caller = watch.spans()
        assert (operation.name, caller.name) == (f"append {store.name}", "a turn")
        assert operation.parent is not None
        assert operation.parent.span_id == turn.get_span_context().span_id
        assert operation.context.trace_id == turn.get_span_context().trace_id
        await session.add_items([{"role": "user", "content": "y"}])
    inside, outside = [event.extensions async for _, _, event in EventLog(store, "a session").events()]
    context = turn.get_span_context()
    assert inside["traceparent"] == f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    assert "traceparent" not in outside  # nobody's work but its own


async def test_calls_of_the_store_are_inside_the_operation(watch: Watch) -> None:
    """Whatever instruments the store's client has the operation's span as its parent."""
    store = Named()
    log = EventLog(store, "a session")
    await add(log, "x")
    (span,) = watch.spans()
    assert store.within
    assert {context.span_id for context in store.within} == {span.context.span_id}


async def test_an_operation_that_is_not_sampled_is_still_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what instruments the store's client would decide anew, and begin traces in the middle."""
    provider = TracerProvider(sampler=ALWAYS_OFF)
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer("eventlog_session"))
    store = Named()
    await add(EventLog(store, "a session"), "x")
    assert store.within
    assert all(context.is_valid and not context.trace_flags.sampled for context in store.within)
    assert len({context.trace_id for context in store.within}) == 1
    assert not trace.get_current_span().get_span_context().is_valid


# ---- metrics and counters ----------------------------------------------------------------------------------------------


def totals(points: dict[str, list[Any]]) -> dict[str, int]:
    """Return the counters among *points*, by name."""
    return {name: sum(one.value for one in some) for name, some in points.items() if isinstance(some[0], NumberDataPoint)}


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("plain", {"commits": 1, "events": 1}),
        ("together", {"commits": 1, "events": 3}),
        ("lost", {"commits": 1, "events": 1, "resolutions": 1}),
        ("dropped", {"commits": 1, "events": 1}),
        ("raced", {"commits": 1, "events": 1, "conflicts": 1}),
        ("unknown", {"unknowns": 1}),
        ("idle", {}),
        ("refused", {}),
        ("damage", {"corruptions": 1}),
        ("newer", {}),
        ("unsound", {"corruptions": 1}),
        ("listing damage", {"corruptions": 1}),
    ],
)
async def test_what_happened_is_counted(watch: Watch, time: Time, script: str, expected: dict[str, int]) -> None:
    """Each kind of thing once where it happened once: in the log's counters, the process's, and the store's metrics."""
    store = Named()
    log = EventLog(store, "a session", retry=Retry(budget=1), runtime=time.runtime())
    await add(log, "x")
    other = await named(store)
    await log.settle()
    before, everything, metered = (
        log.counters + Counters(),
        eventlog_session.counters + Counters(),
        totals(watch.metrics(store)),
    )
    await _play(script, log, other, store)
    what = ("commits", "events", "conflicts", "resolutions", "unknowns", "corruptions")
    assert {name: n for name in what if (n := getattr(log.counters, name) - getattr(before, name))} == expected
    others = {"commits": 1, "events": 1} if script == "raced" else {}
    both = {name: n + others.get(name, 0) for name, n in {**others, **expected}.items()} if others else expected
    assert {name: n for name in what if (n := getattr(eventlog_session.counters, name) - getattr(everything, name))} == both
    now = totals(watch.metrics(store))
    assert {name: n for name in what if (n := now[metric(name)] - metered[metric(name)])} == both


def metric(counter: str) -> str:
    """Return the name of a counter's metric."""
    return telemetry._COUNTED[counter][0]


async def _play(script: str, log: EventLog, other: EventLog, store: Named) -> None:
    if script == "together":  # the first is on its way when the others come
        await asyncio.gather(add(log, "x"), add(log, "y"), add(log, "z"))
    elif script == "raced":
        await add(other, "first")
        await add(log, "second")
    elif script == "unknown":
        store.plan.append("late")
        store.meanwhile = store.fail
        with pytest.raises(OutcomeUnknown):
            await add(log, "x")
    elif script == "idle":
        await log.rewind(1)
    elif script == "refused":
        with pytest.raises(Conflict):
            await log.clear(expected=9)
    elif script == "damage":
        store.spoil(log.keys.head)
        with pytest.raises(CorruptLog):
            await log.read()
    elif script == "newer":
        store.spoil(log.keys.head, b'["eventlog-head",9,"0000000000000000",{},[]]')
        with pytest.raises(UnsupportedFormat):
            await log.read()
    elif script == "unsound":
        key = log.keys.event((await log.head()).tail.ids)
        store.spoil(key)
        found = await log.verify()
        assert [*found.altered] == [key]
    elif script == "listing damage":
        store.spoil(log.keys.head)
        with pytest.raises(CorruptLog):
            [event async for event in log.events()]
    else:
        store.plan.extend([] if script == "plain" else [script])
        await add(log, "x")


async def test_a_commit_is_measured(watch: Watch, time: Time) -> None:
    """Its attempts, the events that went in it, and the head that it wrote."""
    store = Named()
    log = EventLog(store, "a session", runtime=time.runtime())
    await add(log, "x")
    store.plan.append("dropped")
    await asyncio.gather(add(log, "y"), add(log, "z"))
    sizes = [len(head.value) for head, _, _ in store.commits]
    found = {name: points[0] for name, points in watch.metrics(store).items()}
    attempts, lane, head = (found[f"eventlog.{name}"] for name in ("commit.attempts", "lane.size", "head.size"))
    assert (attempts.count, attempts.sum, attempts.min, attempts.max) == (2, 3, 1, 2)
    assert (lane.count, lane.sum, lane.min, lane.max) == (2, 3, 1, 2)
    assert sizes[1] == sizes[2]  # the same bytes again
    assert (head.count, head.sum) == (2, sizes[0] + sizes[1])
    assert attempts.explicit_bounds == (1, 2, 3, 5, 8, 13, 21)
    assert lane.explicit_bounds == (1, 2, 4, 8, 16, 32)


async def test_a_duration_has_the_buckets_of_the_conventions(watch: Watch, time: Time) -> None:
    """One point for each operation and error, in seconds, with the boundaries that databases' durations have."""
    store = Named("dropped")
    log = EventLog(store, "a session", runtime=time.runtime())
    await add(log, "x")
    await log.read()
    points = {one.attributes["db.operation.name"]: one for one in watch.metrics(store)["db.client.operation.duration"]}
    assert {name: one.count for name, one in points.items()} == {"append": 1, "read": 1}
    assert points["append"].sum == pytest.approx(sum(time.slept), abs=1e-6)
    assert points["append"].explicit_bounds == (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
    assert dict(points["read"].attributes) == {
        "db.system.name": "scripted", "db.namespace": store.name, "db.operation.name": "read",
    }  # fmt: skip


async def test_calls_and_bytes_are_those_that_the_store_was_asked_for(plain: MemoryStore) -> None:
    """As `CountingStore` counts them around the store, in the background too, for all that a log does."""
    store = CountingStore(plain)
    log = EventLog(store, "a session", limits=SMALL)
    await fill(log, 30, size=60)
    await add(log, {"text": "x" * 300})
    await add(log, {"text": "y" * 3000})
    await log.pop()
    await log.rewind(20)
    await log.read()
    await log.trim(15)
    await log.verify()
    [_ async for _ in log.events()]
    await log.settle()
    await log.erase(grace=0)
    await log.settle()
    assert (log.counters.round_trips, log.counters.bytes_sent, log.counters.bytes_received) == (
        store.calls.total(),
        store.sent,
        store.received,
    )
    assert min(store.calls[one] for one in ("get", "get_many", "commit", "put_many", "delete_many")) > 0


async def test_an_append_is_one_commit(plain: MemoryStore) -> None:
    """The counters of a warm append and of a read, to the byte."""
    store = CountingStore(plain)
    log = EventLog(store, "a session")
    await add(log, "x")
    await warm(log, store)
    before = log.counters + Counters()
    await add(log, "y")
    now = log.counters
    assert (store.calls["commit"], now.commits - before.commits) == (1, 1)
    assert now.round_trips - before.round_trips == store.calls.total()  # one, or two with the read in the background
    assert now.bytes_sent - before.bytes_sent == store.sent
    await log.settle()
    before = log.counters + Counters()
    await log.read()
    held = plain._values[log.keys.head][0]
    assert log.counters.round_trips - before.round_trips == 1
    assert log.counters.bytes_received - before.bytes_received == len(held)


async def test_what_is_found_in_memory_is_counted(watch: Watch) -> None:
    """Segments, nodes and large events: each a miss when it is read from the store, each a hit in the next read."""
    store = Named()
    writer = EventLog(store, "a session", limits=SMALL)
    await fill(writer, 40)
    for _ in range(40):
        await add(writer, "x")
    await add(writer, {"text": "x" * 300})
    await add(writer, {"text": "y" * 3000})
    await writer.settle()
    log = EventLog(CountingStore(store), "a session", limits=SMALL)
    view = await log.read()
    refs = await log.reader.tree((await log.head()).index)
    assert {ref.level for ref in refs} >= {0, 1}
    large = 2
    asked = log.counters.cache_misses
    # a walk through everything reads the nodes once more, past the cache
    nodes = sum(1 for ref in refs if ref.level)
    assert (asked - nodes, log.counters.cache_hits) == (len(refs) + large, 0)
    assert (await log.read()).items == view.items
    assert (log.counters.cache_misses, log.counters.cache_hits) == (asked, len(refs) + large)
    await log.read(1)
    assert log.counters.cache_hits - len(refs) - large == 2  # the newest item, and the segment that names it


def test_nothing_was_done_before_the_first_use() -> None:
    """A session that was only made has counters, all zero."""
    assert EventLogSession("a session", store=MemoryStore()).counters == Counters()


def test_a_sessions_counters_go_on_over_event_loops() -> None:
    """Each `asyncio.run` opens the log anew; what was done is still told, and so by a session that did nothing since."""
    session = EventLogSession("a session", store=MemoryStore())

    async def use() -> None:
        await session.add_items([{"role": "user", "content": "x"}])

    for rounds in (1, 2, 3):
        asyncio.run(use())
        assert (session.counters.commits, session.counters.events) == (rounds, rounds)


async def test_sessions_add_up(watch: Watch) -> None:
    """The process's counters are the sum of its logs', whatever became of them; a store's metrics that of its sessions."""
    before = eventlog_session.counters + Counters()
    stores = Named(), Named()
    done = Counters()
    for store in stores:
        for name in ("one", "two"):
            log = EventLog(store, name)
            await fill(log, 3)
            await log.settle()
            done += log.counters
            del log
    assert before + done == eventlog_session.counters
    assert done.events == 12
    for store in stores:
        found = totals(watch.metrics(store))
        assert found["eventlog.commit.events"] == 6
        assert found["eventlog.corruptions"] == 0  # told before it happens


def test_threads_add_up() -> None:
    """Nothing that sessions count on the loops of several threads at once is lost."""
    before = eventlog_session.counters + Counters()
    logs: list[EventLog] = []

    async def work() -> None:
        log = EventLog(MemoryStore(), "a session")
        logs.append(log)
        for _ in range(300):
            await log.read()
        await log.settle()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [Thread(target=lambda: asyncio.run(work())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    done = Counters()
    for log in logs:
        done += log.counters
    assert done.round_trips >= 4 * 300
    assert before + done == eventlog_session.counters


def test_every_counter_has_its_metric() -> None:
    """And each metric its counter."""
    assert [*telemetry._COUNTED] == [*Counters.__slots__]


def test_only_the_api_is_needed() -> None:
    """No module imports OpenTelemetry's SDK, an exporter or its semantic conventions."""
    found: set[str] = set()
    for path in Path(eventlog_session.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [f"{node.module}.{one.name}" for one in node.names] if isinstance(node, ast.ImportFrom) else []
            found |= {name for name in names if name.startswith("opentelemetry")}
    assert found == {f"opentelemetry.{name}" for name in ("context", "metrics", "trace")}


# ---- log records -------------------------------------------------------------------------------------------------------


def test_the_logger_is_silent_by_itself() -> None:
    """It has a handler that does nothing, so that Python's last resort does not print for whoever configured nothing."""
    logger = logging.getLogger("eventlog_session")
    assert any(isinstance(handler, logging.NullHandler) for handler in logger.handlers)
    assert logger.level == logging.NOTSET


async def test_half_the_budget_is_warned_of_once(time: Time, caplog: pytest.LogCaptureFixture) -> None:
    """A commit that goes on for longer than half its budget is worth a look; one that ends before is not."""
    store = Named()
    log = EventLog(store, "a session", retry=Retry(budget=1), runtime=time.runtime())
    await add(log, "x")
    began = time.now
    moments: list[float] = []
    caplog.handler.addFilter(lambda _: moments.append(time.now) is None)  # type: ignore[func-returns-value]
    store.plan.extend(["dropped"] * 5)
    await add(log, "quick")
    assert sum(time.slept) < 0.5
    assert not caplog.records
    began = time.now
    store.plan.extend(["dropped"] * 1000)
    with pytest.raises(OutcomeUnknown):
        await add(log, "slow")
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("eventlog_session", "WARNING")
    assert record.getMessage().startswith(f"{log.keys.head}: half of 1 s is gone after ")
    assert 0.5 <= moments[0] - began < 0.5 + 0.128
    assert len(store.commits) - 7 > 2 * 3  # it went on


async def test_damage_is_an_error_that_names_the_key(time: Time, caplog: pytest.LogCaptureFixture) -> None:
    """The operation that met it and the key, once; without a traceback, which could quote what is kept there."""
    store = Named()
    log = EventLog(store, "a session", limits=SMALL)
    await fill(log, 6)
    await log.settle()
    key = log.keys.segment((await log.head()).index[0].name)
    store.spoil(key)
    with pytest.raises(CorruptLog):
        await EventLog(CountingStore(store), "a session", limits=SMALL).read()
    (record,) = caplog.records
    assert (record.name, record.levelname, record.exc_info) == ("eventlog_session", "ERROR", None)
    assert record.getMessage().startswith(f"{log.keys.head}: read found damage: {key} is damaged")


@pytest.mark.parametrize("switch", [None, "1", "true", "0", "false"])
async def test_no_record_says_who_or_what(
    watch: Watch, time: Time, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, switch: str | None
) -> None:
    """
    At DEBUG, of any logger, through everything that can go wrong: no item, and no session id.

    But for the id where the Agents SDK's switch allows model data in logs. Spans and metrics hold neither in any case.
    """
    monkeypatch.delenv("OPENAI_AGENTS_DONT_LOG_MODEL_DATA", raising=False)
    if switch is not None:
        monkeypatch.setenv("OPENAI_AGENTS_DONT_LOG_MODEL_DATA", switch)
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    store = Named()
    assert {type(error).__name__ for error in await torture(store, time)} == {
        "InvalidItem", "Conflict", "OutcomeUnknown", "Unavailable", "ForkDetected", "BeingErased", "CorruptLog", "NoSuchPoint",
    }  # fmt: skip
    ours = [record for record in caplog.records if record.name == "eventlog_session"]
    assert {record.levelname for record in ours} == {"DEBUG", "WARNING", "ERROR"}
    text = "\n".join(map(logging.Formatter().format, caplog.records))
    assert ITEM not in text
    assert (PERSON in text) == (switch in ("0", "false"))
    told = watch.everything()
    assert store.name in told
    assert ITEM not in told
    assert PERSON not in told
