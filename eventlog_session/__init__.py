"""Event-sourced sessions for the OpenAI Agents SDK on Dapr state stores."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import (
    BeingErased,
    Conflict,
    CorruptLog,
    EventLogError,
    ForkDetected,
    HistoryTrimmed,
    IdempotencyKeyReused,
    InvalidItem,
    NoSuchPoint,
    OutcomeUnknown,
    ReadOnlySession,
    SessionClosed,
    StoreRefused,
    Unavailable,
    UnsupportedFormat,
)
from .limits import Limits
from .log import EventLog, View
from .points import Point
from .protocol.erase import Erasure
from .protocol.verify import Verification
from .retry import Retry
from .stores.base import Store
from .stores.memory import MemoryStore
from .stores.sqlite import SQLiteStore
from .telemetry import Counters, counters

if TYPE_CHECKING:
    from importlib.metadata import version

    from .exporting import export
    from .past import PastSession
    from .session import DAPR_CONSISTENCY_EVENTUAL, DAPR_CONSISTENCY_STRONG, EventLogSession, SessionView
    from .stores.dapr import DaprStore

    __version__ = version("eventlog-session")

_LAZY = {
    # these import agents (3 s), dapr (0.5 s) or cloudevents, which a command line or a reader of logs can do without
    "DAPR_CONSISTENCY_EVENTUAL": ".session",
    "DAPR_CONSISTENCY_STRONG": ".session",
    "EventLogSession": ".session",
    "SessionView": ".session",
    "PastSession": ".past",
    "DaprStore": ".stores.dapr",
    "export": ".exporting",
}

__all__ = [
    "DAPR_CONSISTENCY_EVENTUAL",
    "DAPR_CONSISTENCY_STRONG",
    "BeingErased",
    "Conflict",
    "CorruptLog",
    "Counters",
    "DaprStore",
    "Erasure",
    "EventLog",
    "EventLogError",
    "EventLogSession",
    "ForkDetected",
    "HistoryTrimmed",
    "IdempotencyKeyReused",
    "InvalidItem",
    "Limits",
    "MemoryStore",
    "NoSuchPoint",
    "OutcomeUnknown",
    "PastSession",
    "Point",
    "ReadOnlySession",
    "Retry",
    "SQLiteStore",
    "SessionClosed",
    "SessionView",
    "Store",
    "StoreRefused",
    "Unavailable",
    "UnsupportedFormat",
    "Verification",
    "View",
    "counters",
    "export",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("eventlog-session")
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
