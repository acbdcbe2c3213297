"""
What goes on, for whoever watches: counters to read in the process, OpenTelemetry metrics and spans, and log messages.

A span is one operation as its caller sees it, with all its retries inside (OpenTelemetry's database conventions); the gRPC
instrumentation and daprd have spans of their own for each call. Metrics carry no session ids, spans the digest that is in the
store's keys. Neither items nor session ids are logged; the id is where the Agents SDK's own switch allows model data in logs.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Token
from dataclasses import astuple, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from threading import Lock
from typing import Any, Final

from opentelemetry import context, metrics, trace

from .core.keys import Keys
from .errors import CorruptLog, UnsupportedFormat
from .runtime import Runtime
from .stores.base import Committed, NotCommitted, Put, Store, Value

log = logging.getLogger("eventlog_session")
log.addHandler(logging.NullHandler())

try:
    _version = version("eventlog-session")
except PackageNotFoundError:  # copied into somebody's tree
    _version = ""


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
    """Keys and values in requests; *bytes_received* those in replies. Framing is not counted."""
    bytes_received: int = 0
    cache_hits: int = 0
    """Segments, nodes and large events found decoded in memory; *cache_misses* those read from the store."""
    cache_misses: int = 0

    def __add__(self, other: "Counters") -> "Counters":
        return Counters(*map(sum, zip(astuple(self), astuple(other), strict=True)))


counters = Counters()
"""Of everything in this process."""

_of_stores: dict[tuple[str, str], Counters] = {}
"""By *db.system.name* and *db.namespace*."""
_adding = Lock()
"""Sessions on the loops of several threads add to the same counters."""

_CLIENT = trace.SpanKind.CLIENT
_tracer = trace.get_tracer("eventlog_session", _version)
_meter = metrics.get_meter("eventlog_session", _version)
_duration = _meter.create_histogram(
    "db.client.operation.duration", "s", "One operation of a session, retries included",
    explicit_bucket_boundaries_advisory=[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10],
)  # fmt: skip
_attempts = _meter.create_histogram(
    "eventlog.commit.attempts", "{attempt}", "How often a commit was sent until it stood",
    explicit_bucket_boundaries_advisory=[1, 2, 3, 5, 8, 13, 21],
)  # fmt: skip
_lane_size = _meter.create_histogram(
    "eventlog.lane.size", "{event}", "Events that went together in a commit",
    explicit_bucket_boundaries_advisory=[1, 2, 4, 8, 16, 32],
)  # fmt: skip
_head_size = _meter.create_histogram(
    "eventlog.head.size", "By", "A head as it was committed",
    explicit_bucket_boundaries_advisory=[1 << exponent for exponent in range(9, 19)],
)  # fmt: skip
_COUNTED: Final = {
    "commits": ("eventlog.commit.commits", "{commit}", "Transactions acknowledged"),
    "events": ("eventlog.commit.events", "{event}", "Events in them"),
    "conflicts": ("eventlog.commit.conflicts", "{commit}", "Races for a head that were lost"),
    "resolutions": ("eventlog.commit.resolutions", "{commit}", "Failed commits that were found to stand"),
    "unknowns": ("eventlog.commit.unknowns", "{commit}", "Commits given up in doubt"),
    "corruptions": ("eventlog.corruptions", "{operation}", "Operations that met damage"),
    "round_trips": ("eventlog.store.round_trips", "{call}", "Calls of the store"),
    "bytes_sent": ("eventlog.store.sent", "By", "Keys and values in requests"),
    "bytes_received": ("eventlog.store.received", "By", "Keys and values in replies"),
    "cache_hits": ("eventlog.cache.hits", "{value}", "Values found decoded in memory"),
    "cache_misses": ("eventlog.cache.misses", "{value}", "Values read from the store"),
}


def _observed(counter: str, _: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
    """Yield what has been counted in each store, zero too: an alert needs a series that begins before it goes off."""
    for (system, name), counted in list(_of_stores.items()):
        yield metrics.Observation(getattr(counted, counter), {"db.system.name": system, "db.namespace": name})


for _counter, _described in _COUNTED.items():  # read when somebody collects: counting costs the same with no SDK and with one
    _meter.create_observable_counter(_described[0], [partial(_observed, _counter)], *_described[1:])


class Telemetry:
    """One log's counters, metrics and spans."""

    def __init__(self, store: Store, keys: Keys, session_id: str, runtime: Runtime) -> None:
        self.counters = Counters()
        self.key = keys.digest
        self.monotonic = runtime.monotonic
        self.name = getattr(store, "name", type(store).__name__)
        system = getattr(store, "system", "other")
        with _adding:
            self._counted = self.counters, _of_stores.setdefault((system, self.name), Counters()), counters
        self.attributes = {"db.system.name": system, "db.namespace": self.name}
        self._told = _ids_may_be_logged()
        self._label = f"session {session_id!r}" if self._told else keys.head
        self._operations: dict[str, tuple[str, dict[str, Any]]] = {}

    def count(self, what: str, number: int = 1) -> None:
        """Add *number* to the counter *what*."""
        with _adding:
            for counted in self._counted:
                setattr(counted, what, getattr(counted, what) + number)

    def committed(self, *, events: int, attempts: int, head_bytes: int) -> None:
        """Count a commit that stands."""
        with _adding:
            for counted in self._counted:
                counted.commits += 1
                counted.events += events
        _attempts.record(attempts, self.attributes)
        _lane_size.record(events, self.attributes)
        _head_size.record(head_bytes, self.attributes)

    def called(self, sent: int) -> None:
        """Count a call of the store with *sent* bytes."""
        with _adding:
            for counted in self._counted:
                counted.round_trips += 1
                counted.bytes_sent += sent

    def warn(self, message: str) -> None:
        """Log what an operator should look into before it becomes an error."""
        log.warning("%s: %s", self._label, message)

    def damaged(self, operation: str, what: str) -> None:
        """Count and log damage; *what* names the key, which is not told if it is a `DaprSession`'s: the id is in it."""
        self.count("corruptions")
        told = what if self.key in what or self._told else "what a DaprSession left can't be read"
        log.error("%s: %s found damage: %s", self._label, operation, told)

    @contextmanager
    def watch(self, operation: str) -> Iterator[None]:
        """Have damage counted and logged, where there is no span."""
        try:
            yield
        except CorruptLog as error:
            self.met(operation, error)
            raise

    def met(self, operation: str, error: BaseException | None) -> None:
        """Count and log *error* if it is damage."""
        if isinstance(error, CorruptLog) and not isinstance(error, UnsupportedFormat):  # with that, nothing is damaged
            self.damaged(operation, str(error))

    def operation(self, name: str) -> "Operation":
        """Have a span and a duration for an operation; what is put into the mapping becomes the span's attributes."""
        described = self._operations.get(name)
        if described is None:
            attributes = {**self.attributes, "db.operation.name": name}
            described = self._operations[name] = f"{name} {self.name}", attributes
        return Operation(self, name, *described)


class Operation:
    """One operation of a session under way. A class, since a generator costs as much as the rest of this."""

    __slots__ = ("_attributes", "_began", "_facts", "_name", "_span", "_telemetry", "_title", "_token")

    def __init__(self, telemetry: Telemetry, name: str, title: str, attributes: Mapping[str, Any]) -> None:
        self._telemetry = telemetry
        self._name = name
        self._title = title
        self._attributes = attributes
        self._facts: dict[str, Any] = {}
        self._token: Token[context.Context] | None = None

    def __enter__(self) -> dict[str, Any]:
        self._began = self._telemetry.monotonic()
        self._span = _tracer.start_span(self._title, kind=_CLIENT)
        if self._span is not trace.INVALID_SPAN:  # as it is without an SDK
            self._token = context.attach(trace.set_span_in_context(self._span))
        return self._facts

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        attributes = self._attributes
        if error is not None:
            self._telemetry.met(self._name, error)
            attributes = {**attributes, "error.type": type(error).__name__}
        _duration.record(self._telemetry.monotonic() - self._began, attributes)
        if self._token is not None:
            context.detach(self._token)
            if self._span.is_recording():
                self._span.set_attributes({**attributes, "eventlog.session.key": self._telemetry.key, **self._facts})
                if isinstance(error, Exception):  # who cancels has not failed
                    self._span.set_status(trace.StatusCode.ERROR, type(error).__name__)
                self._span.end()


def _ids_may_be_logged() -> bool:
    """Whether the Agents SDK's switch says so. Unset means no, as for the SDK."""
    return os.environ.get("OPENAI_AGENTS_DONT_LOG_MODEL_DATA", "1").lower() in ("0", "false")


class Metered:
    """A store with its calls and bytes counted."""

    def __init__(self, inner: Store, telemetry: Telemetry) -> None:
        self._inner = inner
        self._telemetry = telemetry
        self._called = telemetry.called
        self.traits = inner.traits  # asked for before every commit, and no call of the store

    @property
    def identity(self) -> object:
        """The inner store's, as all that follows."""
        return self._inner.identity

    async def get(self, key: str) -> Value | None:  # noqa: D102
        self._called(len(key))
        value = await self._inner.get(key)
        if value is not None:
            self._telemetry.count("bytes_received", len(value.data))
        return value

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:  # noqa: D102
        self._called(sum(map(len, keys)))
        found = await self._inner.get_many(keys)
        self._telemetry.count("bytes_received", sum(len(key) + len(value) for key, value in found.items()))
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


def _size(puts: Sequence[Put]) -> int:
    size = 0
    for key, value, _ in puts:  # a third of what sum() takes, for the two or three that there are
        size += len(key) + len(value)
    return size
