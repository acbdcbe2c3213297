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
    InvalidExport,
    InvalidItem,
    NoSuchPoint,
    OutcomeUnknown,
    ReadOnlySession,
    SessionClosed,
    SessionExists,
    StoreRefused,
    TooManyTags,
    Unavailable,
    UnsupportedFormat,
)
from .exporting import dump, export, load
from .given import SessionView
from .history import AgentRun, Change
from .limits import Limits
from .log import EventLog, View
from .points import Point
from .protocol.erase import Erasure
from .protocol.verify import Verification
from .retry import Retry
from .revising import Moved
from .stores.base import Store
from .stores.memory import MemoryStore
from .stores.sqlite import SQLiteStore
from .telemetry import Counters, counters

if TYPE_CHECKING:
    from importlib.metadata import version

    from .past import PastSession
    from .session import DAPR_CONSISTENCY_EVENTUAL, DAPR_CONSISTENCY_STRONG, EventLogSession
    from .stores.dapr import DaprStore
    from .timetravel import Difference

    __version__ = version("eventlog-session")

_LAZY = {
    # these import agents (3 s) or dapr (0.5 s), which a command line or a reader of logs can do without
    "DAPR_CONSISTENCY_EVENTUAL": ".session",
    "DAPR_CONSISTENCY_STRONG": ".session",
    "EventLogSession": ".session",
    "PastSession": ".past",
    "DaprStore": ".stores.dapr",
    "Difference": ".timetravel",
}

__all__ = [
    "DAPR_CONSISTENCY_EVENTUAL",
    "DAPR_CONSISTENCY_STRONG",
    "AgentRun",
    "BeingErased",
    "Change",
    "Conflict",
    "CorruptLog",
    "Counters",
    "DaprStore",
    "Difference",
    "Erasure",
    "EventLog",
    "EventLogError",
    "EventLogSession",
    "ForkDetected",
    "HistoryTrimmed",
    "IdempotencyKeyReused",
    "InvalidExport",
    "InvalidItem",
    "Limits",
    "MemoryStore",
    "Moved",
    "NoSuchPoint",
    "OutcomeUnknown",
    "PastSession",
    "Point",
    "ReadOnlySession",
    "Retry",
    "SQLiteStore",
    "SessionClosed",
    "SessionExists",
    "SessionView",
    "Store",
    "StoreRefused",
    "TooManyTags",
    "Unavailable",
    "UnsupportedFormat",
    "Verification",
    "View",
    "counters",
    "dump",
    "export",
    "load",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("eventlog-session")
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
