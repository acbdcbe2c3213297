"""
What goes on, for whoever watches: counters to read in the process, OpenTelemetry metrics and spans, and log messages.

A span is one operation as its caller sees it, with all its retries inside (OpenTelemetry's database conventions); the gRPC
instrumentation and daprd have spans of their own for each call. Metrics carry no session ids, spans the digest that is in the
store's keys. Neither items nor session ids are logged; the id is where the Agents SDK's own switch allows model data in logs.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry import metrics, trace

from .core.keys import Keys
from .errors import CorruptLog, EventLogError
from .runtime import Runtime
from .stores.base import Committed, NotCommitted, Put, Store, Traits, Value

log = logging.getLogger("eventlog_session")
log.addHandler(logging.NullHandler())

_tracer = trace.get_tracer("eventlog_session")
_meter = metrics.get_meter("eventlog_session")
_duration = _meter.create_histogram(
    "db.client.operation.duration", "s", "One operation of a session, retries included",
    explicit_bucket_boundaries_advisory=[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10],
)  # fmt: skip
_instruments = {
    "commits": _meter.create_counter("eventlog.commit.commits", "{commit}", "Transactions acknowledged"),
    "events": _meter.create_counter("eventlog.commit.events", "{event}", "Events in them"),
    "conflicts": _meter.create_counter("eventlog.commit.conflicts", "{commit}", "Races for a head that were lost"),
    "resolutions": _meter.create_counter("eventlog.commit.resolutions", "{commit}", "Failed commits that were found to stand"),
    "unknowns": _meter.create_counter("eventlog.commit.unknowns", "{commit}", "Commits given up in doubt"),
    "corruptions": _meter.create_counter("eventlog.corruptions", "{operation}", "Operations that met damage"),
    "round_trips": _meter.create_counter("eventlog.store.round_trips", "{call}", "Calls of the store"),
    "bytes_sent": _meter.create_counter("eventlog.store.sent", "By", "Keys and values in requests"),
    "bytes_received": _meter.create_counter("eventlog.store.received", "By", "Values in replies"),
    "cache_hits": _meter.create_counter("eventlog.cache.hits", "{value}", "Values found decoded in memory"),
    "cache_misses": _meter.create_counter("eventlog.cache.misses", "{value}", "Values read from the store"),
}


@dataclass(slots=True)
class Counters:
    """What has happened so far: `EventLogSession.counters` for a session in this process, `counters` for all of them."""

    commits: int = 0
    """Transactions acknowledged; *events* those they wrote."""
    events: int = 0
    conflicts: int = 0
    """Races for a head that were lost, each followed by another attempt or by `Conflict`."""
    resolutions: int = 0
    """Commits that the store reported as failed and that were found to stand."""
    unknowns: int = 0
    """Commits given up in doubt: `OutcomeUnknown` was raised."""
    corruptions: int = 0
    """Operations that met damage: `CorruptLog` was raised."""
    round_trips: int = 0
    """Calls of the store, in the background too."""
    bytes_sent: int = 0
    """Bytes of keys and values in requests; *bytes_received* of values in replies. Framing is not counted."""
    bytes_received: int = 0
    cache_hits: int = 0
    """Segments, nodes and large events found decoded in memory; *cache_misses* those read from the store."""
    cache_misses: int = 0


counters = Counters()
"""Of everything in this process."""


class Telemetry:
    """One log's counters, metrics and spans."""

    def __init__(self, store: Store, keys: Keys, session_id: str, runtime: Runtime) -> None:
        self.counters = Counters()
        self._monotonic = runtime.monotonic
        self._name = getattr(store, "name", type(store).__name__)
        self._attributes: dict[str, Any] = {
            "db.system.name": getattr(store, "system", "other"),
            "db.namespace": self._name,
        }
        self._key = keys.digest
        self._label = f"session {session_id!r}" if _ids_may_be_logged() else keys.head

    def count(self, what: str, number: int = 1) -> None:
        """Add *number* to the counter *what*."""
        setattr(self.counters, what, getattr(self.counters, what) + number)
        setattr(counters, what, getattr(counters, what) + number)
        _instruments[what].add(number, self._attributes)

    def warn(self, message: str) -> None:
        """Log what an operator should look into before it becomes an error."""
        log.warning("%s: %s", self._label, message)

    @contextmanager
    def operation(self, name: str) -> Iterator[dict[str, Any]]:
        """Have a span and a duration for an operation; what is put into the mapping becomes the span's attributes."""
        facts: dict[str, Any] = {}
        began = self._monotonic()
        error: BaseException | None = None
        with _tracer.start_as_current_span(
            f"{name} {self._name}", kind=trace.SpanKind.CLIENT, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield facts
            except BaseException as raised:
                error = raised
                if isinstance(raised, CorruptLog):
                    self.count("corruptions")
                    log.error("%s: %s found damage", self._label, name)  # noqa: TRY400 a traceback may hold items
                raise
            finally:
                described = {**self._attributes, "db.operation.name": name}
                if error is not None:
                    described["error.type"] = type(error).__name__
                _duration.record(self._monotonic() - began, described)
                if span.is_recording():
                    span.set_attributes({**described, "eventlog.session.key": self._key, **facts})
                    if isinstance(error, EventLogError):
                        span.set_status(trace.StatusCode.ERROR, type(error).__name__)


def _ids_may_be_logged() -> bool:
    """Whether the Agents SDK's switch says so. Unset means no, as for the SDK."""
    return os.environ.get("OPENAI_AGENTS_DONT_LOG_MODEL_DATA", "1").lower() in ("0", "false")


class Metered:
    """A store with its calls and bytes counted."""

    def __init__(self, inner: Store, telemetry: Telemetry) -> None:
        self._inner = inner
        self._telemetry = telemetry

    @property
    def identity(self) -> object:
        """The inner store's, as all that follows."""
        return self._inner.identity

    async def traits(self) -> Traits:  # noqa: D102
        return await self._inner.traits()

    async def get(self, key: str) -> Value | None:  # noqa: D102
        self._called(len(key))
        value = await self._inner.get(key)
        self._telemetry.count("bytes_received", len(value.data) if value else 0)
        return value

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:  # noqa: D102
        self._called(sum(map(len, keys)))
        found = await self._inner.get_many(keys)
        self._telemetry.count("bytes_received", sum(map(len, found.values())))
        return found

    async def commit(self, head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:  # noqa: D102
        self._called(_size([head, *values]))
        return await self._inner.commit(head, etag, values)

    async def create(self, head: Put) -> None:  # noqa: D102
        self._called(_size([head]))
        await self._inner.create(head)

    async def put_many(self, values: Sequence[Put]) -> None:  # noqa: D102
        self._called(_size(values))
        await self._inner.put_many(values)

    async def delete_many(self, keys: Sequence[str]) -> None:  # noqa: D102
        self._called(sum(map(len, keys)))
        await self._inner.delete_many(keys)

    async def ping(self) -> None:  # noqa: D102
        await self._inner.ping()

    async def close(self) -> None:  # noqa: D102
        await self._inner.close()

    def _called(self, sent: int) -> None:
        self._telemetry.count("round_trips")
        self._telemetry.count("bytes_sent", sent)


def _size(puts: Sequence[Put]) -> int:
    return sum(len(put.key) + len(put.value) for put in puts)
