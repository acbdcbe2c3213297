"""The same script over the SDK's `SQLiteSession`, a real `DaprSession` and ours: equal answers, step by step."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from agents.extensions.memory.dapr_session import DaprSession
from agents.items import TResponseInputItem
from agents.memory import Session, SQLiteSession
from dapr.aio.clients import DaprClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rig import Rig

from eventlog_session import EventLogSession, Store
from eventlog_session.testing.stores import CountingStore

WAIT = 120.0

Item = TResponseInputItem


@dataclass(frozen=True)
class Add:
    """Add a batch."""

    items: Sequence[dict[Any, Any]]


@dataclass(frozen=True)
class Get:
    """Read with a limit."""

    limit: int | None


@dataclass(frozen=True)
class Pop:
    """Take the newest."""


@dataclass(frozen=True)
class Clear:
    """Empty it."""


@dataclass(frozen=True)
class Reopen:
    """Go on with another object of the same session, whose default limit is this."""

    limit: int | None = None


Step = Add | Get | Pop | Clear | Reopen
Open = Callable[[int | None], Session]


async def perform(open_session: Open, script: Sequence[Step]) -> list[str]:
    """Run *script* and return what each step answered, as text that tells types and key order."""
    session = open_session(None)
    answers: list[Any] = []
    for step in script:
        match step:
            case Add(items):
                await session.add_items(cast("list[Item]", list(items)))
                answers.append("added")
            case Get(limit):
                answers.append(await session.get_items(limit))
            case Pop():
                answers.append(await session.pop_item())
            case Clear():
                await session.clear_session()
                answers.append("cleared")
            case Reopen(limit):
                session = open_session(limit)
                answers.append(await session.get_items())
    answers.append(await open_session(None).get_items())
    return [json.dumps(answer) for answer in answers]


def known_exceptions(script: Sequence[Step]) -> list[Step]:
    """
    The script for SQLiteSession, which differs in one way.

    A negative limit is everything to it, since SQLite takes ``LIMIT -1`` so; to DaprSession and to us it is nothing.
    """
    changed: list[Step] = []
    for step in script:
        if isinstance(step, Get | Reopen) and step.limit is not None and step.limit < 0:
            changed.append(type(step)(0))
        else:
            changed.append(step)
    return changed


# Not in any script, since we refuse on purpose what the others take: NaN and infinities (not JSON: every other reader of the
# store would fail on them) and integers beyond 64 bit (which most JSON readers round). Nor items that are no dicts: of those
# SQLiteSession and DaprSession have different ideas.


@asynccontextmanager
async def others(rig: Rig, directory: Path) -> AsyncIterator[dict[str, Open]]:
    """The SDK's two, each on a session of its own."""
    session_id = f"parity-{uuid4().hex}"
    async with AsyncExitStack() as closing:
        client = await closing.enter_async_context(DaprClient(address=rig.address))

        def lite(limit: int | None) -> Session:
            opened = SQLiteSession(session_id, directory / f"{session_id}.db", session_settings={"limit": limit})
            closing.callback(opened.close)
            return opened

        def dapr(limit: int | None) -> Session:
            return DaprSession(session_id, state_store_name="redis", dapr_client=client, session_settings={"limit": limit})

        yield {"SQLiteSession": lite, "DaprSession": dapr}


def ours(store: Store) -> dict[str, Open]:
    """Ours, with the caches of the objects before and without."""
    warm, cold = (f"parity-{uuid4().hex}" for _ in range(2))

    def opened_warm(limit: int | None) -> Session:
        return EventLogSession(warm, store=store, session_settings={"limit": limit})

    def opened_cold(limit: int | None) -> Session:
        return EventLogSession(cold, store=CountingStore(store), session_settings={"limit": limit})

    return {"ours": opened_warm, "ours, cold": opened_cold}


async def compare(rig: Rig, store: Store, directory: Path, script: Sequence[Step]) -> None:
    """Assert that all answer alike."""
    async with asyncio.timeout(WAIT), others(rig, directory) as opens:
        expected = await perform(opens["DaprSession"], script)
        assert await perform(opens["SQLiteSession"], known_exceptions(script)) == expected
        for name, opened in ours(store).items():
            for number, (got, wanted) in enumerate(zip(await perform(opened, script), expected, strict=True)):
                step = script[number] if number < len(script) else "the history in the end"
                assert got == wanted, f"{name} at step {number}: {step}"


def says(*texts: str) -> Add:
    """Add messages."""
    return Add([{"role": "user", "content": text} for text in texts])


SCRIPT: list[Step] = [
    Get(None), Pop(), Clear(), Get(3), Add([]), Get(None),
    says("a"), Get(None), says("b", "c"), Get(2), Get(1), Get(0), Get(-1), Get(2**31 - 1),
    Pop(), Get(None), Reopen(), says("d"), Reopen(2), Get(None), Get(3), says("e", "f"), Get(None),
    Reopen(-3), Get(5), Reopen(0), Pop(), Pop(), Get(9), Reopen(),
    Add([{"content": "é 🙂 \ud800", "n": [1, 2.5, None, True], "": {"1": {}}}]), Get(1),
    Add([{7: "integer key", "tuple": (1, 2), True: "boolean key", 2.5: 0, None: 1}]), Get(1), Pop(), Pop(),
    Clear(), Get(None), Pop(), says("after"), Get(None), Reopen(1), says("x", "y", "z"), Get(None), Pop(), Get(None),
    says("long " * 9_000), Get(1), says(*(f"{n}" for n in range(50))), Get(51), Pop(), Get(None), Clear(), Clear(),
]  # fmt: skip


async def test_a_script_of_everything(rig: Rig, store: Store, tmp_path: Path) -> None:
    """Adds, pops, clears, limits, reopened sessions, odd items: one answer each."""
    assert len(SCRIPT) > 40
    await compare(rig, store, tmp_path, SCRIPT)


TEXTS = st.text(st.characters(codec=None), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
ITEMS = st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4)
SIZES = st.none() | st.integers(-2, 12)
STEPS = st.one_of(
    st.builds(Add, st.lists(ITEMS, max_size=4)),
    st.builds(Add, st.lists(ITEMS, min_size=1, max_size=4)),
    st.builds(Get, SIZES),
    st.just(Pop()),
    st.just(Pop()),
    st.builds(Reopen, SIZES),
    st.sampled_from([Clear(), Pop(), Get(None)]),
)


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(script=st.lists(STEPS, min_size=20, max_size=40))
async def test_any_script(rig: Rig, store: Store, tmp_path: Path, script: list[Step]) -> None:
    """Whatever the operations and the JSON in the items: one answer each."""
    await compare(rig, store, tmp_path, script)


@pytest.mark.parametrize("limit", [-1, -7])
async def test_the_known_exception_is_still_one(tmp_path: Path, limit: int) -> None:
    """SQLiteSession returns all for a negative limit: when that changes, the exception above can go."""
    session = SQLiteSession("s", tmp_path / "s.db")
    await session.add_items([{"role": "user", "content": "a"}])
    assert len(await session.get_items(limit)) == 1
    session.close()
