"""Cutting a history at whole turns: no call without its output, no output without its call."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model import examples

from eventlog_session import EventLogSession, MemoryStore
from eventlog_session.turns import beginning


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


KINDS = [user(), said(), *map(call, range(3)), *map(output, range(3))]


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
        ([user(), ASKED, user(), ANSWERED, said()], 1, 0),
        ([output(7), user(), said()], 1, 1),
        ([user(), said(), user(), output(7), said()], 1, 2),
        ([said(), user(), said()], 5, 0),
    ],
)
def test_where_turns_begin(items: list[Any], turns: int, begin: int) -> None:
    """At what a user said, and further back where a call is answered later."""
    assert beginning(items, turns, whole=True) == begin


@examples(300)
@given(
    st.lists(st.sampled_from([user(), said(), *map(call, range(3)), *map(output, range(3))]), max_size=30), st.integers(1, 5)
)
def test_the_end_of_a_history_is_cut_like_the_whole(items: list[Any], turns: int) -> None:
    """However much of it is at hand, the answer is the same or that more is needed; and it leaves no output alone."""
    begin = beginning(items, turns, whole=True)
    assert begin is not None
    for start in range(len(items) + 1):
        found = beginning(items[start:], turns, whole=start == 0)
        assert found in (None, begin - start)
    calls = {item["call_id"] for item in items[:begin] if item.get("type") == "function_call"}
    later = {item["call_id"] for item in items[begin:] if item.get("type") == "function_call"}
    assert not (calls - later) & {item["call_id"] for item in items[begin:] if item.get("type") == "function_call_output"}


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
