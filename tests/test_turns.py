"""Cutting a history at whole turns: no call without its output, no output without its call."""

from datetime import timedelta
from typing import Any, cast

import pytest
from agents import Agent, HostedMCPTool, RunConfig, Runner, function_tool, set_tracing_disabled
from agents.extensions.memory.encrypt_session import EncryptedSession
from agents.items import TResponseInputItem
from agents.memory import SessionSettings
from agents.testing import ScriptedModel, assistant_message, function_call
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from model import examples
from openai.types.responses import ResponseReasoningItem
from openai.types.responses.response_output_item import McpApprovalRequest

from eventlog_session import EventLogSession, MemoryStore, Store
from eventlog_session.turns import beginning

pytestmark = pytest.mark.usefixtures("bounded")

set_tracing_disabled(True)


def user(text: str = "q") -> Any:
    """What a user says."""
    return {"role": "user", "content": text}


def said(text: str = "a") -> Any:
    """What a model says."""
    return {"type": "message", "role": "assistant", "content": text}


def call(number: int) -> Any:
    """A tool's call; *output* is what came of it."""
    return {"type": "function_call", "name": "look_up", "arguments": "{}", "call_id": f"c{number}"}


def output(number: int) -> Any:
    """See *call*."""
    return {"type": "function_call_output", "output": "found", "call_id": f"c{number}"}


ASKED = {"type": "mcp_approval_request", "id": "m1", "name": "delete", "arguments": "{}"}
ANSWERED = {"type": "mcp_approval_response", "approval_request_id": "m1", "approve": True}

PROGRAM = {"type": "program", "id": "p", "call_id": "p1", "code": "look_up()"}
CALLED = {**call(1), "caller": {"type": "program", "caller_id": "p1"}}
RAN = {"type": "program_output", "call_id": "p1", "output": "found"}
SEARCH: Any = {"type": "tool_search_call", "call_id": None, "arguments": {}}
FOUND: Any = {"type": "tool_search_output", "call_id": None, "tools": []}
SEALED = {"__enc__": 1, "v": 1, "kid": "hkdf-v1", "payload": "x"}
REASONING = {"type": "reasoning", "id": "r", "summary": []}

KINDS = [user(), said(), REASONING, *map(call, range(3)), *map(output, range(3))]


@pytest.mark.parametrize(
    ("items", "turns", "begin"),
    [
        ([], 1, 0),
        ([said()], 1, 0),
        ([user(), said(), user(), said()], 1, 2),
        ([user(), said(), user(), said()], 2, 0),
        ([user(), said(), user(), said()], 9, 0),
        ([user("a"), user("b"), said(), user("c"), user("d"), said()], 1, 3),
        ([user(), call(1), output(1), said(), user(), call(2), output(2)], 1, 4),
        ([user(), call(1), user(), output(1), said()], 1, 0),
        ([user(), user(), call(1), said(), user(), output(1), user(), said()], 2, 0),
        ([user(), said(), user(), call(1), user(), call(2), output(1), user(), output(2)], 1, 2),
        ([user(), call(1), output(1), user(), call(1), output(1)], 1, 3),
        ([user(), call(1), output(1), user(), call(1), user(), output(1), call(1), output(1)], 1, 3),
        ([user(), ASKED, user(), ANSWERED, said()], 1, 0),
        ([user(), PROGRAM, user(), CALLED, output(1), said()], 1, 0),
        ([user(), PROGRAM, user(), RAN, said()], 1, 0),
        ([user(), SEARCH, user(), FOUND], 1, 2),
        ([SEALED] * 5, 1, 0),
        ([output(7), user(), said()], 1, 1),
        ([user(), said(), user(), output(7), said()], 1, 2),
        ([said(), user(), said()], 5, 0),
    ],
)
def test_where_turns_begin(items: list[Any], turns: int, begin: int) -> None:
    """At what a user said, and further back where a call is answered later."""
    assert beginning(items, turns, whole=True) == begin


@examples(300)
@given(st.lists(st.sampled_from(KINDS), max_size=30), st.integers(1, 5))
def test_the_end_of_a_history_is_cut_like_the_whole(items: list[Any], turns: int) -> None:
    """However much of it is at hand, the answer is the same or that more is needed; and it leaves no output alone."""
    begin = beginning(items, turns, whole=True)
    assert begin is not None
    for start in range(len(items) + 1):
        found = beginning(items[start:], turns, whole=start == 0)
        assert found in (None, begin - start)
    assert begin == 0 or items[begin]["role"] == "user"
    called: dict[str, int] = {}
    for place, item in enumerate(items):
        if item.get("type") == "function_call":
            called[item["call_id"]] = place
        elif place >= begin and item.get("type") == "function_call_output":
            assert called.get(item["call_id"], begin) >= begin


async def test_a_session_gives_an_agent_whole_turns(session_id: str) -> None:
    """Asked for, or as the session's own default; a limit that is said goes before it."""
    store = MemoryStore()
    session = EventLogSession(session_id, store=store, turns=1)
    for number in range(30):
        await session.add_items([user(str(number)), call(number), output(number), said()])
    assert (await session.get_items())[0] == user("29")
    assert len(await session.get_items()) == 4
    assert len(await session.get_items(2)) == 2
    assert (await session.get_items(turns=20))[0] == user("10")
    assert len(await session.get_items(turns=99)) == 120
    assert (await session.at(2).get_items(turns=1))[0] == user("1")
    assert (await session.read(turns=1)).version == 30
    for wrong in (0, -1, True, "2"):
        with pytest.raises(ValueError, match="turns"):
            await session.get_items(turns=wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="turns"):
            EventLogSession(session_id, store=store, turns=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not both"):
        await session.get_items(1, turns=1)


@pytest.mark.parametrize("strange", [[], {}, 7, None, ["a"]])
def test_items_may_be_any_json(strange: Any) -> None:
    """A call whose id is no string is answered by nothing."""
    items = [
        {"role": "user", "content": "a"},
        {"type": "function_call", "call_id": strange},
        {"type": "mcp_approval_request", "id": strange},
        {"role": "user", "content": "b"},
        {"type": "function_call_output", "call_id": strange},
        {"type": "mcp_approval_response", "approval_request_id": strange},
    ]
    assert beginning(items, 1, whole=True) == 3


# ---- in runs -----------------------------------------------------------------------------------------------------------


@function_tool
def look_up(order: str) -> str:
    """Look an order up."""
    return f"order {order}: shipped"


@function_tool(needs_approval=True)
def refund(order: str) -> str:
    """Refund an order."""
    return f"refunded {order}"


DELETES = HostedMCPTool(
    tool_config={"type": "mcp", "server_label": "crm", "server_url": "https://crm.example/mcp", "require_approval": "always"}
)


def desk(*steps: Any, **more: Any) -> Agent[Any]:
    """An agent whose model says *steps*."""
    return Agent(name="desk", model=ScriptedModel(list(steps)), tools=[look_up, refund, DELETES], **more)


def seen(of: Agent[Any]) -> list[Any]:
    """What its model saw last: never an output without its call, or an answer without what it answers."""
    last = cast("ScriptedModel", of.model).last_call
    assert last is not None
    items = cast("list[Any]", last.input)
    asked: set[str] = set()
    for item in items:
        kind = item.get("type", "message")
        asked |= {item.get("call_id" if kind == "function_call" else "id", "")}
        assert kind != "function_call_output" or item["call_id"] in asked
        assert kind != "mcp_approval_response" or item["approval_request_id"] in asked
    return items


def kinds(items: list[Any]) -> list[str]:
    """What each item is: a role, or the type of what has none."""
    return [str(item.get("role") or item.get("type")) for item in items]


def look(number: int) -> Any:
    """A call of `look_up`."""
    return function_call("look_up", {"order": f"{number}"}, call_id=f"call-{number}")


async def test_runs_with_tools(store: Store, session_id: str) -> None:
    """One after the other and in parallel, with a reasoning item before each: a model sees the newest turn, and all of it."""
    thoughts = [ResponseReasoningItem(id=f"rs_{number}", summary=[], type="reasoning") for number in range(4)]
    session = EventLogSession(session_id, store=store, turns=1)
    agent = desk(
        [thoughts[0], look(1)], [thoughts[1], look(2)], [thoughts[2], assistant_message("both")],
        [thoughts[3], look(3), look(4)], [assistant_message("these too")],
        [assistant_message("yes")],
    )  # fmt: skip
    await Runner.run(agent, "where are 1 and 2?", session=session)
    await Runner.run(agent, "and 3 and 4?", session=session)
    pair = ["reasoning", "function_call", "function_call_output"]
    first = ["user", *pair, *pair, "reasoning", "assistant"]
    second = ["user", "reasoning", *["function_call"] * 2, *["function_call_output"] * 2, "assistant"]
    assert kinds(seen(agent)) == [*first, *second[:-1]]  # the turn before, and this one so far
    assert kinds(await session.get_items()) == second
    assert kinds(await session.get_items(turns=2)) == [*first, *second]
    await Runner.run(agent, "sure?", session=session)
    assert kinds(seen(agent)) == [*second, "user"]


async def test_runs_with_a_handoff(session_id: str) -> None:
    """It is part of the turn that it happened in, like what the next agent says."""
    session = EventLogSession(session_id, store=MemoryStore(), turns=1)
    second = desk([assistant_message("second here")])
    second.name = "second"
    first = desk(
        [assistant_message("hello")], [function_call("transfer_to_second", "{}", call_id="h")], [assistant_message("again")],
        handoffs=[second],
    )  # fmt: skip
    for text in ("hello", "get me the second", "thanks"):
        await Runner.run(first, text, session=session)
    assert kinds(seen(second)) == ["user", "assistant", "user", "function_call", "function_call_output"]
    assert kinds(seen(first)) == ["user", "function_call", "function_call_output", "assistant", "user"]


@pytest.mark.parametrize("approve", [True, False])
async def test_an_approval_that_is_answered_turns_later(store: Store, session_id: str, approve: bool) -> None:
    """The output comes with its call, and with the turn that the call is in; without it the newest turn is the newest turn."""
    session = EventLogSession(session_id, store=store, turns=1)
    agent = desk(
        [assistant_message("hello")], [look(1), function_call("refund", {"order": "7"}, call_id="r")],
        [assistant_message("sure")], [assistant_message("done")], [assistant_message("indeed")], [assistant_message("bye")],
    )  # fmt: skip
    await Runner.run(agent, "hello", session=session)
    parked = await Runner.run(agent, "refund 7, and where is 1?", session=session)
    await Runner.run(agent, "are you there?", session=session)
    assert "hello" not in str(seen(agent))
    state = parked.to_state()
    (waiting,) = state.get_interruptions()
    if approve:
        state.approve(waiting)
    else:
        state.reject(waiting)
    await Runner.run(agent, state, session=session)
    items = await session.get_items()
    assert kinds(items)[:3] == ["user", "function_call", "function_call"]
    await Runner.run(agent, "really?", session=session)
    assert seen(agent) == [*items, user("really?")]
    assert "hello" not in str(items)
    await Runner.run(agent, "bye", session=session)
    assert kinds(seen(agent)) == ["user", "assistant", "user"]


async def test_a_hosted_tools_approval_that_is_answered_turns_later(session_id: str) -> None:
    """By the id of the request."""
    session = EventLogSession(session_id, store=MemoryStore(), turns=1)
    request = McpApprovalRequest(id="mcpr_1", type="mcp_approval_request", arguments="{}", name="delete", server_label="crm")
    agent = desk([assistant_message("hello")], [request], [assistant_message("sure")], [assistant_message("deleted")],
                 [assistant_message("indeed")])  # fmt: skip
    await Runner.run(agent, "hello", session=session)
    parked = await Runner.run(agent, "delete 7", session=session)
    await Runner.run(agent, "are you there?", session=session)
    state = parked.to_state()
    state.approve(state.get_interruptions()[0])
    await Runner.run(agent, state, session=session)
    items = await session.get_items()
    assert kinds(items)[:2] == ["user", "mcp_approval_request"]
    assert "mcp_approval_response" in kinds(items)
    await Runner.run(agent, "really?", session=session)
    assert seen(agent) == [*items, user("really?")]


async def test_a_limit_goes_before_turns(session_id: str) -> None:
    """One that a run has, or that is set later; both from the beginning contradict each other."""
    store = MemoryStore()
    session = EventLogSession(session_id, store=store, turns=1)
    agent = desk(*([assistant_message(str(number))] for number in range(4)))
    for number in range(3):
        await Runner.run(agent, str(number), session=session)
    await Runner.run(agent, "3", session=session, run_config=RunConfig(session_settings=SessionSettings(limit=3)))
    assert kinds(seen(agent)) == ["assistant", "user", "assistant", "user"]
    past = session.at(timedelta())
    session.session_settings = SessionSettings(limit=5)
    assert len(await session.get_items()) == 5
    assert len(await session.get_items(turns=1)) == 2
    assert len(await past.get_items()) == 2  # as the session was when it was taken from it
    past.session_settings = SessionSettings(limit=4)
    assert len(await past.get_items()) == 4
    with pytest.raises(ValueError, match="not both"):
        EventLogSession(session_id, store=store, turns=1, session_settings={"limit": 3})


async def test_turns_of_the_past(session_id: str) -> None:
    """As they were: a call that was not answered then is not looked for."""
    session = EventLogSession(session_id, store=MemoryStore(), turns=1)
    await session.add_items([user("a"), call(1)])
    await session.add_items([user("b"), said()])
    await session.add_items([output(1)])
    assert await session.get_items() == [user("a"), call(1), user("b"), said(), output(1)]
    assert await session.at(2).get_items() == [user("b"), said()]
    assert await session.at(2).get_items(turns=2) == [user("a"), call(1), user("b"), said()]
    assert (await session.at(1).read(turns=5)).items == [user("a"), call(1)]


async def test_turns_of_what_is_encrypted(session_id: str) -> None:
    """They can't be told, so all is returned; a limit works as ever."""
    ours = EventLogSession(session_id, store=MemoryStore(), turns=1)
    session = EncryptedSession(session_id, ours, Fernet.generate_key().decode())
    everything = [user(str(number)) for number in range(500)]
    await session.add_items(cast("list[TResponseInputItem]", everything))
    assert await session.get_items() == everything
    assert len(await ours.get_items(turns=2)) == 500
    assert await session.get_items(2) == everything[-2:]
