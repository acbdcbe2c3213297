"""The SDK's session wrappers around ours: encryption and compaction, alone and together."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock, MagicMock

import pytest
from agents import Agent, Runner, function_tool, set_tracing_disabled
from agents.extensions.memory.encrypt_session import EncryptedSession
from agents.items import TResponseInputItem
from agents.memory import OpenAIResponsesCompactionSession, SessionSettings
from agents.testing import ScriptedModel, assistant_message, function_call
from cryptography.fernet import Fernet

from eventlog_session import EventLogSession, MemoryStore, Store

WAIT = 60.0
KEY = Fernet.generate_key().decode()
Item = TResponseInputItem

set_tracing_disabled(True)


def users(*numbers: int) -> list[Item]:
    """User messages that say a number each."""
    return [{"role": "user", "content": str(number)} for number in numbers]


def encrypted(session: EventLogSession, **more: Any) -> EncryptedSession:
    """*session* behind the SDK's encryption."""
    return EncryptedSession(session.session_id, session, KEY, **more)


@function_tool
def look_up(order: str) -> str:
    """Look an order up."""
    return f"order {order}: shipped"


def desk(*steps: Any) -> Agent[Any]:
    """An agent whose model says *steps*."""
    return Agent(name="desk", model=ScriptedModel(list(steps)), tools=[look_up])


def seen(of: Agent[Any]) -> list[Any]:
    """What its model saw last."""
    call = cast("ScriptedModel", of.model).last_call
    assert call is not None
    return cast("list[Any]", call.input)


# ---- encryption --------------------------------------------------------------------------------------------------------


async def test_encrypted_items_come_back_and_are_nowhere_to_be_read(store: Store, session_id: str) -> None:
    """Add, every kind of limit, pop and clear; what ours holds is envelopes only, at any version."""
    ours = EventLogSession(session_id, store=store)
    session = encrypted(ours)
    await session.add_items([{"role": "user", "content": "secret 🙂"}])
    await session.add_items(users(1, 2))
    assert await session.get_items() == [{"role": "user", "content": "secret 🙂"}, *users(1, 2)]
    assert await session.get_items(2) == users(1, 2)
    assert await session.get_items(1) == users(2)
    assert await session.get_items(0) == []
    assert await session.get_items(100) == await session.get_items()
    stored = cast("list[Any]", await ours.get_items())
    assert [item["__enc__"] for item in stored] == [1, 1, 1]
    assert "secret" not in json.dumps(stored)
    assert await encrypted(EventLogSession(session_id, store=store)).pop_item() == users(2)[0]
    await session.clear_session()
    assert await session.get_items() == []
    assert await session.pop_item() is None
    assert len(await ours.at(2).get_items()) == 3


async def test_the_encryption_takes_the_settings_of_ours(session_id: str) -> None:
    """The default limit passes through it, both ways."""
    ours = EventLogSession(session_id, store=MemoryStore(), session_settings={"limit": 2})
    session = encrypted(ours)
    await session.add_items(users(0, 1, 2, 3))
    assert await session.get_items() == users(2, 3)
    session.session_settings = SessionSettings(limit=1)
    assert await session.get_items() == users(3)
    assert ours.session_settings == SessionSettings(limit=1)


async def test_a_limit_looks_past_expired_envelopes(session_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrapper asks for ever larger windows, and pops its way through what has expired."""
    now = [1_000]
    monkeypatch.setattr("cryptography.fernet.time.time", lambda: now[0])
    ours = EventLogSession(session_id, store=MemoryStore())
    session = encrypted(ours, ttl=10)
    await session.add_items(users(0, 1))
    now[0] = 1_005
    await session.add_items(users(2))
    now[0] = 1_000
    await session.add_items(users(*range(10, 50)))
    now[0] = 1_012
    assert await session.get_items(1) == users(2)
    assert await session.get_items() == users(2)
    assert await session.pop_item() == users(2)[0]
    assert len(await ours.get_items()) == 2


async def test_a_pop_with_the_wrong_key_can_be_undone(session_id: str) -> None:
    """It drains the session, which is the SDK's way with all stores but its own; in the log nothing is lost."""
    ours = EventLogSession(session_id, store=MemoryStore())
    session = encrypted(ours)
    await session.add_items(users(0, 1))
    wrong = EncryptedSession(session_id, ours, Fernet.generate_key().decode())
    assert await wrong.get_items() == []
    assert await wrong.pop_item() is None
    assert await session.get_items() == []
    await ours.add_items(await ours.at(1).get_items())
    assert await session.get_items() == users(0, 1)


async def test_the_past_can_be_read_decrypted(session_id: str) -> None:
    """A past state is a session too, so the wrapper takes it; and it hands our own methods through."""
    ours = EventLogSession(session_id, store=MemoryStore())
    session = encrypted(ours)
    await session.add_items(users(0))
    await session.clear_session()
    assert await EncryptedSession(session_id, ours.at(1), KEY).get_items() == users(0)
    assert await EncryptedSession(session_id, session.at(1), KEY).get_items(5) == users(0)
    assert await session.ping()


async def test_an_agent_runs_through_encryption(store: Store, session_id: str) -> None:
    """Tools and a second turn: the model sees plain text, the store none."""
    ours = EventLogSession(session_id, store=store)
    agent = desk(
        [function_call("look_up", {"order": "7"}, call_id="c")], [assistant_message("shipped")], [assistant_message("yes")]
    )
    async with asyncio.timeout(WAIT):
        await Runner.run(agent, "my secret order?", session=encrypted(ours))
        stored = await encrypted(EventLogSession(session_id, store=store)).get_items()
        await Runner.run(agent, "sure?", session=encrypted(ours))
    assert len(stored) == 4
    assert seen(agent) == [*stored, {"role": "user", "content": "sure?"}]
    assert "order" not in json.dumps(await ours.get_items())
    assert (await ours.read()).version == 5


# ---- compaction --------------------------------------------------------------------------------------------------------


SUMMARY: Any = {"id": "cmp_1", "type": "compaction", "encrypted_content": "all of that, in short"}


def openai_client(output: list[Any] | None = None) -> Any:
    """An OpenAI client whose only ability is to compact, as in the SDK's own tests."""
    client = MagicMock()
    client.responses.compact = AsyncMock(
        return_value=SimpleNamespace(output=[SUMMARY] if output is None else output, usage=None)
    )
    return client


def compacting(session: Any, client: Any, at: int = 3, **more: Any) -> OpenAIResponsesCompactionSession:
    """*session* compacted as soon as there are *at* items to be compacted."""
    return OpenAIResponsesCompactionSession(
        session.session_id,
        session,
        client=client,
        should_trigger_compaction=lambda context: len(context["compaction_candidate_items"]) >= at,
        **more,
    )


async def test_the_compaction_wrapper_passes_everything_through(store: Store, session_id: str) -> None:
    """Add, limits, pop and clear, below its threshold."""
    session = compacting(EventLogSession(session_id, store=store), openai_client())
    await session.add_items(users(0, 1, 2))
    assert await session.get_items() == users(0, 1, 2)
    assert await session.get_items(2) == users(1, 2)
    assert await session.pop_item() == users(2)[0]
    await session.clear_session()
    assert await session.get_items() == []


async def test_a_forced_compaction_replaces_the_history(store: Store, session_id: str) -> None:
    """What the model sees is the summary; the log still has what was summed up, and the session goes on."""
    ours = EventLogSession(session_id, store=store)
    client = openai_client()
    session = compacting(ours, client)
    await session.add_items(users(*range(5)))
    before = await ours.read()
    await session.run_compaction({"force": True})
    assert client.responses.compact.await_args.kwargs["input"] == users(*range(5))
    assert await ours.get_items() == [SUMMARY]
    await session.add_items(users(9))
    assert await EventLogSession(session_id, store=store).get_items() == [SUMMARY, *users(9)]
    assert await ours.at(before.version).get_items() == users(*range(5))


async def test_a_compaction_to_nothing(session_id: str) -> None:
    """An empty summary empties the history."""
    ours = EventLogSession(session_id, store=MemoryStore())
    session = compacting(ours, openai_client([]))
    await session.add_items(users(0, 1))
    await session.run_compaction({"force": True})
    assert await ours.get_items() == []


async def test_compaction_fires_in_a_run(store: Store, session_id: str) -> None:
    """When there is enough, after the turn; the next turn's model sees the summary and what came after."""
    ours = EventLogSession(session_id, store=store)
    client = openai_client()
    session = compacting(ours, client, compaction_mode="input")
    agent = desk(
        [assistant_message("one")],
        [function_call("look_up", {"order": "7"}, call_id="c")],
        [assistant_message("shipped")],
        [assistant_message("as I said")],
    )
    async with asyncio.timeout(WAIT):
        await Runner.run(agent, "hello", session=session)
        client.responses.compact.assert_not_awaited()
        await Runner.run(agent, "order 7?", session=session)
        client.responses.compact.assert_awaited_once()
        assert len(client.responses.compact.await_args.kwargs["input"]) == 6
        assert await ours.get_items() == [SUMMARY]
        await Runner.run(agent, "sure?", session=session)
    assert seen(agent) == [SUMMARY, {"role": "user", "content": "sure?"}]
    items = cast("list[Any]", await ours.get_items())
    assert [item.get("type") or item.get("role") for item in items] == ["compaction", "user", "message"]
    histories = [await ours.at(version).get_items() for version in range((await ours.read()).version)]
    assert 6 in map(len, histories)


async def test_a_failed_compaction_leaves_the_history(session_id: str) -> None:
    """When OpenAI refuses, nothing is replaced."""
    ours = EventLogSession(session_id, store=MemoryStore())
    client = openai_client()
    client.responses.compact = AsyncMock(side_effect=RuntimeError("no"))
    session = compacting(ours, client)
    await session.add_items(users(0, 1))
    with pytest.raises(RuntimeError, match="no"):
        await session.run_compaction({"force": True})
    assert await ours.get_items() == users(0, 1)


async def test_a_compaction_that_can_not_be_stored_is_taken_back(session_id: str) -> None:
    """When the summary is refused after the clear, the wrapper restores; the items are there."""
    ours = EventLogSession(session_id, store=MemoryStore())
    session = compacting(ours, openai_client([{"type": "compaction", "encrypted_content": float("nan")}]))
    await session.add_items(users(0, 1))
    with pytest.raises(ValueError, match="JSON"):
        await session.run_compaction({"force": True})
    assert await ours.get_items() == users(0, 1)


async def test_compaction_beneath_encryption(store: Store, session_id: str) -> None:
    """The SDK's order of the two: OpenAI is sent plain items, ours holds envelopes only, summary included."""
    ours = EventLogSession(session_id, store=store)
    client = openai_client()
    session = EncryptedSession(session_id, compacting(ours, client, compaction_mode="input"), KEY)
    agent = desk(
        [assistant_message("one")], [assistant_message("two")], [assistant_message("three")], [assistant_message("four")]
    )
    async with asyncio.timeout(WAIT):
        for number in range(3):
            await Runner.run(agent, f"question {number}", session=session)
        client.responses.compact.assert_awaited_once()
        assert client.responses.compact.await_args.kwargs["input"][0] == {"role": "user", "content": "question 0"}
        assert await session.get_items() == [SUMMARY]
        await Runner.run(agent, "question 3", session=session)
    assert seen(agent) == [SUMMARY, {"role": "user", "content": "question 3"}]
    stored = cast("list[Any]", await ours.get_items())
    assert [item.get("__enc__") for item in stored] == [1, 1, 1]


async def test_a_compaction_does_not_lose_what_another_process_adds(session_id: str) -> None:
    """An item that another session object adds while OpenAI compacts is in the log, and in the history or a version of it."""
    store = MemoryStore()
    ours = EventLogSession(session_id, store=store)
    other = EventLogSession(session_id, store=store)
    client = openai_client()

    async def slow(**_: Any) -> Any:
        await other.add_items(users(99))
        return SimpleNamespace(output=[SUMMARY], usage=None)

    client.responses.compact = AsyncMock(side_effect=slow)
    session = compacting(ours, client)
    await session.add_items(users(0, 1))
    await session.run_compaction({"force": True})
    assert await ours.at(2).get_items() == users(0, 1, 99)
