"""The error tree and what importing the package costs."""

import subprocess
import sys

import pytest

import eventlog_session
from eventlog_session import errors

TREE = {
    "EventLogError": (Exception,),
    "InvalidItem": (errors.EventLogError, ValueError, TypeError),
    "Conflict": (errors.EventLogError,),
    "Unavailable": (errors.EventLogError, ConnectionError),
    "StoreRefused": (errors.EventLogError,),
    "OutcomeUnknown": (errors.EventLogError,),
    "CorruptLog": (errors.EventLogError, ValueError),
    "UnsupportedFormat": (errors.CorruptLog,),
    "ForkDetected": (errors.EventLogError,),
    "SessionExists": (errors.EventLogError,),
    "InvalidExport": (errors.EventLogError, ValueError),
    "TooManyTags": (errors.EventLogError,),
    "BeingErased": (errors.EventLogError,),
    "HistoryTrimmed": (errors.NoSuchPoint,),
    "IdempotencyKeyReused": (errors.EventLogError, ValueError),
    "NoSuchPoint": (errors.EventLogError, LookupError),
    "ReadOnlySession": (errors.EventLogError, RuntimeError),
    "SessionClosed": (errors.EventLogError, RuntimeError),
}


def test_the_tree_is_the_documented_one() -> None:
    """Every error is one of `EventLogError`, and of the builtin that code which does not know this library expects."""
    found = {name: value.__bases__ for name, value in vars(errors).items() if isinstance(value, type)}
    assert found == TREE


@pytest.mark.parametrize("name", TREE)
def test_errors_are_documented_and_public(name: str) -> None:
    """Each stands in the module's drawing and in the package's `__all__`, and says in its docstring what to do about it."""
    assert name in str(errors.__doc__)
    assert getattr(eventlog_session, name) is getattr(errors, name)
    assert name in eventlog_session.__all__
    assert str(getattr(errors, name).__doc__).strip()


def test_doubt_names_the_events() -> None:
    """`OutcomeUnknown` carries what is needed to find out: the ids that the log holds if the write landed."""
    assert errors.OutcomeUnknown("sent").event_ids == ()
    assert errors.OutcomeUnknown("sent", event_ids=("a", "b")).event_ids == ("a", "b")
    assert str(errors.OutcomeUnknown("sent", event_ids=("a",))) == "sent"


def test_every_public_name_resolves() -> None:
    """`__all__` is sorted as ruff sorts it, without repeats, and each name of it is there; others are AttributeErrors."""
    assert len(set(eventlog_session.__all__)) == len(eventlog_session.__all__)
    for name in eventlog_session.__all__:
        assert getattr(eventlog_session, name) is not None
    assert eventlog_session.__version__
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        eventlog_session.Nothing  # noqa: B018


def test_importing_the_package_is_cheap() -> None:
    """`import eventlog_session` brings in neither the Agents SDK (3 s) nor Dapr, gRPC or CloudEvents."""
    code = """
import sys, eventlog_session
heavy = {"agents", "openai", "dapr", "grpc", "google", "cloudevents", "aiohttp"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
