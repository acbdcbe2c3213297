"""The SDK's session wrappers around ours: encryption and compaction, alone and together."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock, MagicMock

import orjson
import pytest
from agents import Agent, Runner, function_tool, set_tracing_disabled
from agents.extensions.memory.encrypt_session import EncryptedSession
from agents.items import TResponseInputItem
from agents.memory import OpenAIResponsesCompactionSession, SessionSettings, SQLiteSession
from agents.testing import ScriptedModel, assistant_message, function_call
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from model import examples

from eventlog_session import Conflict, EventLogSession, MemoryStore, SessionClosed, Store
from eventlog_session.stores.base import Committed, NotCommitted, Put
from eventlog_session.testing import CountingStore
from eventlog_session.timetravel import TimeTravel

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


def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What time it is for encryption, and nobody else, to be set."""
    now = [1_000]
    for module in ("cryptography.fernet", "agents.extensions.memory.encrypt_session"):
        monkeypatch.setattr(f"{module}.time", SimpleNamespace(time=lambda: now[0]))
    return now


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
    now = clock(monkeypatch)
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
    assert await kinds(ours) == ["added", "replaced"]
    await session.add_items(users(9))
    assert await EventLogSession(session_id, store=store).get_items() == [SUMMARY, *users(9)]
    assert await ours.at(before.version).get_items() == users(*range(5))
    await ours.undo(2)
    assert await ours.get_items() == users(*range(5))
    await ours.redo()
    assert await ours.get_items() == [SUMMARY]


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
    (replaced,) = [change async for change in ours.history() if change.kind == "replaced"]
    assert (replaced.popped, replaced.items, replaced.length) == (6, 1, 1)
    assert len(await ours.at(replaced.version - 1).get_items()) == 6


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


async def test_a_compaction_that_can_not_be_stored_changes_nothing(session_id: str) -> None:
    """The summary is refused before anything is written: there is nothing to take back."""
    ours = EventLogSession(session_id, store=MemoryStore())
    session = compacting(ours, openai_client([{"type": "compaction", "encrypted_content": float("nan")}]))
    await session.add_items(users(0, 1))
    with pytest.raises(ValueError, match="JSON"):
        await session.run_compaction({"force": True})
    assert await ours.get_items() == users(0, 1)
    assert await kinds(ours) == ["added"]


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


async def test_compaction_of_what_is_encrypted(store: Store, session_id: str) -> None:
    """The other order of the two. It can't replace what is encrypted at once, so it clears and adds: all of it in the log."""
    ours = EventLogSession(session_id, store=store)
    client = openai_client()
    session = compacting(encrypted(ours), client)
    await session.add_items(users(0, 1))
    await session.run_compaction({"force": True})
    assert client.responses.compact.await_args.kwargs["input"] == users(0, 1)
    assert await encrypted(EventLogSession(session_id, store=store)).get_items() == [SUMMARY]
    assert await EncryptedSession(session_id, ours.at(1), KEY).get_items() == users(0, 1)
    assert await kinds(ours) == ["added", "cleared", "added"]


# ---- compaction, and what else happens ---------------------------------------------------------------------------------


async def kinds(session: EventLogSession) -> list[str]:
    """What happened to it."""
    return [change.kind async for change in session.history()]


def elsewhere(session: EventLogSession) -> EventLogSession:
    """*session* as another process has it: with a log, a lane and caches of its own."""
    return EventLogSession(session.session_id, store=CountingStore(session._store))


def while_summing_up(*work: Callable[[], Awaitable[object]]) -> Any:
    """A client during whose calls *work* is done, one piece a call."""
    left = deque(work)

    async def compact(**_: Any) -> Any:
        if left:
            await left.popleft()()
        return SimpleNamespace(output=[SUMMARY], usage=None)

    client = openai_client()
    client.responses.compact = AsyncMock(side_effect=compact)
    return client


def by_run(session: Any, client: Any, **more: Any) -> OpenAIResponsesCompactionSession:
    """*session* compacted after each run."""
    return compacting(session, client, at=1, compaction_mode="input", **more)


@pytest.mark.parametrize("encrypt", [False, True])
async def test_a_compaction_after_a_run_never_drops_what_another_process_adds(
    store: Store, session_id: str, encrypt: bool
) -> None:
    """It is skipped, and made up for by the next one, which sums up both."""
    ours = EventLogSession(session_id, store=store)
    other = elsewhere(ours)
    asked = (encrypted(other) if encrypt else other).add_items
    client = while_summing_up(lambda: asked(users(99)))
    session = EncryptedSession(session_id, by_run(ours, client), KEY) if encrypt else by_run(ours, client)
    agent = desk([assistant_message("one")], [assistant_message("two")])
    async with asyncio.timeout(WAIT):
        await Runner.run(agent, "first", session=session)
        items = cast("list[Any]", await session.get_items())
        assert [item.get("role") for item in items] == ["user", "assistant", "user"]
        assert "replaced" not in await kinds(other)
        await Runner.run(agent, "second", session=session)
    assert len(client.responses.compact.await_args.kwargs["input"]) == 5
    assert await session.get_items() == [SUMMARY]
    assert await kinds(ours) == ["added", "added", "added", "added", "added", "replaced"]
    assert await elsewhere(ours).get_items() == await ours.get_items()


async def test_a_compaction_after_a_run_does_not_bring_back_what_another_process_took(store: Store, session_id: str) -> None:
    """Popped, cleared, undone or replaced meanwhile: it is skipped. An equal item put there instead is another one."""
    for number, name in enumerate(("pop_item", "clear_session", "undo", "swap")):
        ours = EventLogSession(f"{session_id}-{number}", store=store)
        other = elsewhere(ours)

        async def swap(other: EventLogSession = other) -> None:
            item = await other.pop_item()
            assert item is not None
            await other.add_items([item])

        client = while_summing_up(swap if name == "swap" else getattr(other, name))
        async with asyncio.timeout(WAIT):
            await Runner.run(desk([assistant_message("one")]), "first", session=by_run(ours, client))
        client.responses.compact.assert_awaited_once()
        assert len(await ours.get_items()) == {"pop_item": 1, "clear_session": 0, "undo": 1, "swap": 2}[name]
        assert "replaced" not in await kinds(ours)


async def test_a_remark_meanwhile_does_not_stop_a_compaction(store: Store, session_id: str) -> None:
    """A tag leaves the history as it is; so does what is undone and done again, and an item that came and went."""
    ours = EventLogSession(session_id, store=store)
    other = elsewhere(ours)

    async def remarks() -> None:
        await other.tag("here")
        await other.add_items(users(99))
        await other.pop_item()
        await other.undo(4)
        await other.redo(4)

    async with asyncio.timeout(WAIT):
        await Runner.run(desk([assistant_message("one")]), "first", session=by_run(ours, while_summing_up(remarks)))
    assert await ours.get_items() == [SUMMARY]
    assert (await kinds(ours))[-1] == "replaced"
    assert len(await ours.at("here").get_items()) == 2


async def test_a_trim_meanwhile_stops_a_compaction(session_id: str) -> None:
    """What was read can't be compared any more; nothing is replaced, by hand either."""
    ours = EventLogSession(session_id, store=MemoryStore())
    other = elsewhere(ours)

    async def trim() -> None:
        await other.tag("here")
        await other.trim(before=await other.tag("there"))

    async with asyncio.timeout(WAIT):
        await Runner.run(desk([assistant_message("one")]), "first", session=by_run(ours, while_summing_up(trim)))
    assert len(await ours.get_items()) == 2
    with pytest.raises(Conflict, match="compared"):
        await compacting(ours, while_summing_up(trim)).run_compaction({"force": True})
    assert len(await ours.get_items()) == 2


async def test_a_compaction_by_hand_keeps_what_another_process_adds(store: Store, session_id: str) -> None:
    """After the summary, which says nothing of it; also when it was there before the wrapper looked again."""
    ours = EventLogSession(session_id, store=store)
    other = elsewhere(ours)
    client = while_summing_up(lambda: other.add_items(users(98, 99)))
    session = compacting(ours, client)
    await session.add_items(users(0, 1))
    await session.run_compaction({"force": True})
    assert await ours.get_items() == [SUMMARY, *users(98, 99)]
    assert await kinds(ours) == ["added", "added", "replaced"]
    await other.add_items(users(100))
    await session.run_compaction({"force": True})
    assert client.responses.compact.await_args.kwargs["input"] == [SUMMARY, *users(98, 99, 100)]
    assert await ours.get_items() == [SUMMARY]


async def test_what_a_compaction_has_read_is_forgotten_when_it_has_replaced_it(session_id: str) -> None:
    """One that reads in its own way afterwards, in the same task, replaces all: nothing is kept beside its sum."""
    ours = EventLogSession(session_id, store=MemoryStore())
    await ours.add_items(users(0, 1))
    await compacting(ours, openai_client()).run_compaction({"force": True})
    await ours.add_items(users(2))
    own = EncryptedSession(session_id, compacting(ours, openai_client()), KEY)
    await own.run_compaction({"force": True})
    assert await own.get_items() == [SUMMARY]
    assert len(await ours.get_items()) == 1


async def test_a_compaction_by_hand_of_what_another_process_took_back(session_id: str) -> None:
    """It raises, and nothing is written."""
    ours = EventLogSession(session_id, store=MemoryStore())
    other = elsewhere(ours)
    session = compacting(ours, while_summing_up(other.pop_item))
    await session.add_items(users(0, 1))
    with pytest.raises(Conflict):
        await session.run_compaction({"force": True})
    assert await ours.get_items() == users(0)
    await session.run_compaction({"force": True})
    assert await ours.get_items() == [SUMMARY]


async def test_a_session_that_was_erased_and_begun_again_meanwhile(session_id: str) -> None:
    """Nothing of the one that was summed up gets into the one that came after it, however alike their versions are."""
    ours = EventLogSession(session_id, store=MemoryStore())
    other = elsewhere(ours)

    async def begin_again() -> None:
        await other.erase(grace=0)
        await other.add_items(users(7))
        await other.add_items(users(8))
        await other.tag("alike")

    async with asyncio.timeout(WAIT):
        await Runner.run(desk([assistant_message("one")]), "first", session=by_run(ours, while_summing_up(begin_again)))
        assert await ours.get_items() == users(7, 8)
        with pytest.raises(Conflict, match="gone"):
            await compacting(ours, while_summing_up(begin_again)).run_compaction({"force": True})
    assert await ours.get_items() == users(7, 8)


async def test_a_compaction_by_hand_of_nothing(session_id: str) -> None:
    """What comes to an empty session meanwhile is newer than its summary; another session's is none of its business."""
    store = MemoryStore()
    ours, second = (EventLogSession(f"{session_id}-{number}", store=store) for number in range(2))
    other = elsewhere(ours)
    await compacting(ours, while_summing_up(lambda: other.add_items(users(1)))).run_compaction({"force": True})
    assert await ours.get_items() == [SUMMARY, *users(1)]
    session = EncryptedSession(second.session_id, compacting(second, openai_client()), KEY)
    await session.add_items(users(2))
    await session.run_compaction({"force": True})
    assert await session.get_items() == [SUMMARY]
    assert await kinds(second) == ["added", "replaced"]


async def test_the_version_with_expired_items_is_gone(session_id: str) -> None:
    """Erased or trimmed while it was summed up: there is nothing to prune, and nothing is replaced."""
    for number, name in enumerate(("erase", "trim")):
        ours = EventLogSession(f"{session_id}-{number}", store=MemoryStore())
        other = elsewhere(ours)

        async def gone(other: EventLogSession = other, name: str = name) -> None:
            await (other.erase(grace=0) if name == "erase" else other.trim(before=await other.tag("a") + 1))

        session = EncryptedSession(ours.session_id, by_run(ours, while_summing_up(gone)), KEY)
        async with asyncio.timeout(WAIT):
            await Runner.run(desk([assistant_message("one")]), "first", session=session)
        assert len(await session.get_items()) == (0 if name == "erase" else 2)
        assert "replaced" not in await kinds(ours)


async def test_two_compactions_by_hand_at_once_each_keep_what_the_other_did_not_read(session_id: str) -> None:
    """What each has read is known by the task that it is in: the first finds its items gone, the second keeps what came."""
    ours = EventLogSession(session_id, store=MemoryStore())
    await ours.add_items(users(0, 1))
    second = compacting(ours, while_summing_up(lambda: ours.add_items(users(2))))

    async def other() -> None:
        await asyncio.create_task(second.run_compaction({"force": True}))

    first = compacting(ours, while_summing_up(other))
    with pytest.raises(Conflict, match="not in the history"):
        await first.run_compaction({"force": True})
    assert await ours.get_items() == [SUMMARY, *users(2)]


async def test_a_write_between_looking_and_replacing(session_id: str) -> None:
    """The last moment: it is on the version that was looked at or not at all, and looked at again."""
    store = Meanwhile()
    ours = EventLogSession(session_id, store=store)
    other = elsewhere(ours)
    session = compacting(ours, openai_client())
    await session.add_items(users(0, 1))
    store.before_commit = lambda: other.add_items(users(99))
    await session.run_compaction({"force": True})
    assert await ours.get_items() == [SUMMARY, *users(99)]

    snapshot = await ours._get_compaction_snapshot(10)
    assert snapshot is not None
    store.before_commit = lambda: other.add_items(users(100))
    assert not await snapshot.replace_suffix(0, [SUMMARY])
    assert await ours.get_items() == [SUMMARY, *users(99, 100)]

    snapshot = await ours._get_compaction_snapshot(10)
    assert snapshot is not None
    store.before_commit = lambda: other.tag("here")
    assert await snapshot.replace_suffix(1, [])
    assert await ours.get_items() == [SUMMARY]


class Meanwhile(MemoryStore):
    """Memory in which something else can happen right before a commit."""

    before_commit: Callable[[], Awaitable[object]] | None = None

    async def commit(self, head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:  # noqa: D102
        before, self.before_commit = self.before_commit, None
        if before is not None:
            await before()
        return await super().commit(head, etag, values)


async def test_a_cancelled_compaction_is_done_or_not_when_it_says_so(session_id: str) -> None:
    """What comes after a cancelled run finds the summary, whole, and is added to it."""
    store = Meanwhile()
    ours = EventLogSession(session_id, store=store)
    started, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        started.set()
        await go_on.wait()

    async def before_replacing() -> None:
        store.before_commit = hold

    session = by_run(ours, while_summing_up(before_replacing))
    async with asyncio.timeout(WAIT):
        run = asyncio.create_task(Runner.run(desk([assistant_message("one")]), "first", session=session))
        await started.wait()
        run.cancel()
        more = asyncio.create_task(session.add_items(users(9)))
        await asyncio.sleep(0)
        run.cancel()
        go_on.set()
        ended = await asyncio.gather(run, more, return_exceptions=True)
    assert isinstance(ended[0], asyncio.CancelledError)
    assert ended[1] is None
    assert await elsewhere(ours).get_items() == [SUMMARY, *users(9)]
    assert await kinds(ours) == ["added", "added", "replaced", "added"]


async def test_a_snapshot_of_a_closed_session(session_id: str) -> None:
    """It replaces nothing."""
    session = EventLogSession.from_url(session_id, url="memory://")
    await session.add_items(users(0))
    snapshot = await session._get_compaction_snapshot(10)
    assert snapshot is not None
    await session.close()
    with pytest.raises(SessionClosed):
        await snapshot.replace_suffix(0, [SUMMARY])


@pytest.mark.parametrize("by_hand", [False, True])
async def test_compaction_of_what_a_dapr_session_left(store: Store, session_id: str, by_hand: bool) -> None:
    """It is adopted and replaced in one commit."""
    left = [json.dumps(item, separators=(",", ":")) for item in users(0, 1, 2)]
    await store.put_many([Put(f"{session_id}:messages", orjson.dumps(left))])
    ours = EventLogSession(session_id, store=store)
    if by_hand:
        await compacting(ours, openai_client()).run_compaction({"force": True})
        assert await ours.get_items() == [SUMMARY]
    else:
        snapshot = await ours._get_compaction_snapshot(2)
        assert snapshot is not None
        assert (snapshot.items, snapshot.complete) == (users(1, 2), False)
        assert await snapshot.replace_suffix(1, [SUMMARY])
        assert await ours.get_items() == [*users(0, 1), SUMMARY]
    assert await kinds(ours) == ["adopted", "replaced"]
    await ours.undo()
    assert await ours.get_items() == users(0, 1, 2)


# ---- compaction: the hooks themselves ----------------------------------------------------------------------------------

ITEMS: list[Any] = [
    *users(0, 1), {"role": "user", "content": "\ud800"}, {"role": "user", "content": "old"}, {"role": "user", "content": 2**53},
]  # fmt: skip


def is_old(item: Any) -> bool:
    """Whether it has expired."""
    return item["content"] in ("old", "\ud800")


@examples(150)
@given(
    st.lists(st.lists(st.sampled_from(ITEMS), min_size=1, max_size=4), max_size=5),
    st.integers(1, 12),
    st.integers(0, 12),
    st.lists(st.sampled_from(ITEMS), max_size=3),
    st.booleans(),
)
async def test_a_snapshot_is_like_sqlite_sessions(
    batches: list[list[Item]], limit: int, start: int, output: list[Item], prune: bool
) -> None:
    """The SDK's own store, asked the same: items, completeness, success, and the history afterwards."""
    ours = EventLogSession("ours", store=MemoryStore())
    theirs = SQLiteSession("theirs")
    for batch in batches:
        await ours.add_items(batch)
        await theirs.add_items(batch)
    if not batches:  # of nothing theirs makes no snapshot, but an IndexError of a limit of none
        limit = max(limit, 1)
    mine = await ours._get_compaction_snapshot(limit, prune_prefix=is_old if prune else None)
    reference = await theirs._get_compaction_snapshot(limit, prune_prefix=is_old if prune else None)
    assert mine is not None
    assert reference is not None
    assert (mine.items, mine.complete) == (reference.items, reference.complete)
    assert await mine.replace_suffix(start, output) == await reference.replace_suffix(start, output)
    assert await ours.get_items() == await theirs.get_items()
    assert (await ours.read()).version <= len(batches) + 1
    theirs.close()


async def test_expired_items_are_pruned_with_a_compaction(
    store: Store, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those at the beginning of the history, and no others; in the log they stay."""
    now = clock(monkeypatch)
    ours = EventLogSession(session_id, store=store, session_settings={"limit": 1})
    session = EncryptedSession(session_id, by_run(ours, openai_client()), KEY, ttl=10)
    await session.add_items(users(*range(5)))
    now[0] = 1_020
    await session.add_items(users(5))
    await session.add_items(users(6))
    kept = (await ours.get_items(2))[:1]  # as it is stored
    now[0] = 1_021
    async with asyncio.timeout(WAIT):
        await Runner.run(desk([assistant_message("one")]), "first", session=session)
    assert await session.get_items(100) == [*users(5), SUMMARY]
    assert (await ours.get_items(100))[:1] == kept
    assert len(await ours.get_items(100)) == 2
    assert (await kinds(ours)).count("replaced") == 1
    now[0] = 1_000
    before = (await ours.read()).version - 1
    assert (await EncryptedSession(session_id, ours.at(before), KEY).get_items(100))[:7] == users(*range(7))
    await ours.undo()
    assert len(await session.get_items(100)) == 9


async def test_the_whole_history_expired(session_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All before what is summed up is pruned, by the one event."""
    now = clock(monkeypatch)
    ours = EventLogSession(session_id, store=MemoryStore())
    session = EncryptedSession(session_id, by_run(ours, openai_client()), KEY, ttl=10)
    await session.add_items(users(*range(40)))
    now[0] = 1_020
    async with asyncio.timeout(WAIT):
        await Runner.run(desk([assistant_message("one")]), "first", session=session)
    assert await session.get_items() == [SUMMARY]
    assert len(await ours.get_items()) == 1
    assert await kinds(ours) == ["added", "added", "added", "replaced"]


class Marked(EventLogSession):
    """A subclass that does more than ours to what it is given."""

    async def add_items(self, items: list[Item], **more: Any) -> None:
        """Add them with a mark."""
        await super().add_items([cast("Item", {**item, "marked": True}) for item in items], **more)


class Reversed(EventLogSession):
    """A subclass with strings of its own, some of which it can't read."""

    async def _serialize_item(self, item: Item) -> str:
        return json.dumps(item)[::-1]

    async def _deserialize_item(self, item: str) -> Item:
        return cast("Item", json.loads(item[::-1]))


async def test_a_subclass_with_a_way_of_its_own_is_not_passed_by(session_id: str) -> None:
    """What replaces goes through its methods, after a run and by hand: clear and add, as without our hooks."""
    ours = Marked(session_id, store=MemoryStore())
    assert await ours._get_compaction_snapshot(10) is None
    assert ours._read_compaction_items is None
    assert not await ours._atomic_replace_items([SUMMARY])
    async with asyncio.timeout(WAIT):
        await Runner.run(desk([assistant_message("one")]), "first", session=by_run(ours, openai_client()))
    assert await kinds(ours) == ["added", "added"]  # the SDK does not know its items again
    await compacting(ours, openai_client()).run_compaction({"force": True})
    assert await kinds(ours) == ["added", "added", "cleared", "added"]
    assert await ours.get_items() == [{**SUMMARY, "marked": True}]


async def test_a_subclass_with_strings_of_its_own(session_id: str) -> None:
    """The summary is kept as it has it; an item that it can't read has no place in a snapshot."""
    store = MemoryStore()
    ours = Reversed(session_id, store=store)
    async with asyncio.timeout(WAIT):
        await Runner.run(desk([assistant_message("one")]), "first", session=by_run(ours, openai_client()))
    assert await ours.get_items() == [SUMMARY]
    assert await EventLogSession(session_id, store=store).get_items() == []
    await EventLogSession(session_id, store=store).add_items(users(0))
    await ours.add_items(users(1, 2))
    assert await ours._get_compaction_snapshot(3) is None
    snapshot = await ours._get_compaction_snapshot(2)
    assert snapshot is not None
    assert (snapshot.items, snapshot.complete) == (users(1, 2), False)
    assert await snapshot.replace_suffix(0, [SUMMARY])
    assert await ours.get_items() == [SUMMARY, SUMMARY]


async def test_without_the_sdks_snapshots(session_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its private hooks may go: then the whole history is replaced, if it was all that the model saw."""
    monkeypatch.delattr("agents.memory.session._CompactionSnapshot")
    ours = EventLogSession(session_id, store=MemoryStore())
    other = elsewhere(ours)
    assert await ours._get_compaction_snapshot(10) is None
    session = by_run(ours, while_summing_up(lambda: other.add_items(users(99))))
    async with asyncio.timeout(WAIT):
        await Runner.run(desk([assistant_message("one")]), "first", session=session)
    assert await ours.get_items() == [SUMMARY, *users(99)]
    assert await kinds(ours) == ["added", "added", "added", "replaced"]


async def test_without_any_hook_it_clears_and_adds(session_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every session without them: two commits, and all of it in the log."""
    for hook in ("_get_compaction_snapshot", "_read_compaction_items", "_atomic_replace_items"):
        monkeypatch.delattr(TimeTravel, hook)
    ours = EventLogSession(session_id, store=MemoryStore())
    async with asyncio.timeout(WAIT):
        await Runner.run(desk([assistant_message("one")]), "first", session=by_run(ours, openai_client()))
    assert await kinds(ours) == ["added", "added", "cleared", "added"]
    assert len(await ours.at(2).get_items()) == 2
    await ours.undo(2)
    assert len(await ours.get_items()) == 2


async def test_only_the_end_is_summed_up_where_turns_are_all_that_a_model_sees(session_id: str) -> None:
    """What the model did not see stays, before the summary."""
    ours = EventLogSession(session_id, store=MemoryStore(), turns=1)
    agent = desk(*([assistant_message(text)] for text in ("one", "two", "three")))
    client = openai_client()
    async with asyncio.timeout(WAIT):
        for number in range(2):
            await Runner.run(agent, f"question {number}", session=ours)
        await Runner.run(agent, "question 2", session=by_run(ours, client))
    texts = [item.get("content") for item in client.responses.compact.await_args.kwargs["input"]]
    assert texts[::2] == ["question 1", "question 2"]
    items = cast("list[Any]", await ours.get_items(100))
    assert [item.get("type") or item["content"] for item in items] == ["question 0", "message", "compaction"]
