"""Agents that run for real, but for the model: what the runner does with a session, and what the model gets to see."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from agents import (
    Agent,
    RunConfig,
    Runner,
    RunState,
    Tool,
    function_tool,
    set_tracing_disabled,
)
from agents.extensions.memory.encrypt_session import EncryptedSession
from agents.items import TResponseInputItem
from agents.memory import OpenAIResponsesCompactionSession, Session, SessionSettings
from agents.testing import ModelCall, ModelStep, ScriptedModel, assistant_message, function_call

from eventlog_session import EventLogSession, MemoryStore, OutcomeUnknown, ReadOnlySession, Store
from eventlog_session.stores.base import Committed, NotCommitted, Put
from eventlog_session.testing.stores import CountingStore

WAIT = 60.0
Item = TResponseInputItem
Run = Callable[..., Any]

set_tracing_disabled(True)


@function_tool
def look_up(order: str) -> str:
    """Look an order up."""
    return f"order {order}: shipped"


@function_tool(needs_approval=True)
def refund(order: str) -> str:
    """Refund an order."""
    return f"refunded {order}"


def look(number: int) -> Any:
    """A call of `look_up`."""
    return function_call("look_up", {"order": f"{number}"}, call_id=f"call-{number}")


def agent(*steps: Any, tools: tuple[Tool, ...] = (look_up, refund), **more: Any) -> Agent[Any]:
    """An agent whose model says *steps* one after the other."""
    return Agent(name="desk", model=ScriptedModel(list(steps)), tools=list(tools), **more)


def say(text: str) -> list[Any]:
    """A model's turn that is just text."""
    return [assistant_message(text)]


def calls(of: Agent[Any]) -> tuple[ModelCall, ...]:
    """What an agent's model was asked."""
    return cast("ScriptedModel", of.model).calls


def kinds(items: list[Item]) -> list[str]:
    """What each item is: a role, or the type of what has none."""
    return [str(item.get("role") or item.get("type")) for item in cast("list[dict[str, Any]]", items)]


async def run(session: Session, of: Agent[Any], said: Any, **more: Any) -> Any:
    """Run to the end within bounds."""
    async with asyncio.timeout(WAIT):
        return await Runner.run(of, said, session=session, **more)


async def stream(session: Session, of: Agent[Any], said: Any, **more: Any) -> Any:
    """The same, streamed."""
    async with asyncio.timeout(WAIT):
        result = Runner.run_streamed(of, said, session=session, **more)
        async for _ in result.stream_events():
            pass
        return result


@pytest.fixture(params=[run, stream], ids=["run", "run_streamed"])
def runner(request: pytest.FixtureRequest) -> Run:
    """Both ways that an agent runs inside an event loop."""
    return cast("Run", request.param)


async def test_the_model_sees_the_turns_before(store: Store, session_id: str, runner: Run) -> None:
    """On the second turn its input is exactly what was stored after the first, and then what the user says now."""
    session = EventLogSession(session_id, store=store)
    desk = agent(say("hello Ann"), say("you are Ann"))
    await runner(session, desk, "I am Ann")
    stored = await session.get_items()
    assert kinds(stored) == ["user", "assistant"]
    result = await runner(EventLogSession(session_id, store=store), desk, "who am I?")
    assert result.final_output == "you are Ann"
    assert calls(desk)[1].input == [*stored, {"role": "user", "content": "who am I?"}]
    assert kinds(await session.get_items()) == ["user", "assistant"] * 2


async def test_tools_one_after_the_other(store: Store, session_id: str, runner: Run) -> None:
    """Each turn's call and output are one batch; at each turn the model sees all so far."""
    session = EventLogSession(session_id, store=store)
    desk = agent([look(1)], [look(2)], say("both shipped"), say("yes"))
    await runner(session, desk, "where are 1 and 2?")
    pair = ["function_call", "function_call_output"]
    assert kinds(await session.get_items()) == ["user", *pair, *pair, "assistant"]
    assert (await session.read()).version == 4
    assert kinds(await session.at(2).get_items()) == ["user", *pair]
    stored = await session.get_items()
    await runner(session, desk, "sure?")
    assert calls(desk)[-1].input == [*stored, {"role": "user", "content": "sure?"}]


async def test_tools_in_parallel(store: Store, session_id: str, runner: Run) -> None:
    """Three calls and their three outputs are one batch, in the runner's order."""
    session = EventLogSession(session_id, store=store)
    desk = agent([look(1), look(2), look(3)], say("all shipped"))
    await runner(session, desk, "where are 1, 2 and 3?")
    items = cast("list[Any]", await session.get_items())
    assert kinds(items) == ["user", *["function_call"] * 3, *["function_call_output"] * 3, "assistant"]
    assert [item["call_id"] for item in items[1:4]] == [item["call_id"] for item in items[4:7]]
    assert (await session.read()).version == 3


async def test_a_handoff(store: Store, session_id: str, runner: Run) -> None:
    """What the second agent says is in the same history, and the next turn sees the handoff too."""
    session = EventLogSession(session_id, store=store)
    second = Agent(name="second", model=ScriptedModel([say("second here")]))
    first = agent([function_call("transfer_to_second", "{}", call_id="h")], say("first again"), handoffs=[second])
    result = await runner(session, first, "get me the second")
    assert result.last_agent is second
    stored = await session.get_items()
    assert kinds(stored) == ["user", "function_call", "function_call_output", "assistant"]
    await runner(session, first, "thanks")
    assert calls(first)[-1].input == [*stored, {"role": "user", "content": "thanks"}]


@pytest.mark.parametrize("approved", [True, False], ids=["approved", "rejected"])
@pytest.mark.parametrize("again", [False, True], ids=["same object", "new objects"])
async def test_an_approval_interrupts_and_resumes(
    store: Store, session_id: str, runner: Run, approved: bool, again: bool
) -> None:
    """Parked, perhaps as JSON and with a new session object in between, then decided: one history without a gap."""
    session = EventLogSession(session_id, store=store)
    desk = agent([function_call("refund", {"order": "7"}, call_id="r")], say("done"), say("indeed"))
    parked = await runner(session, desk, "refund 7")
    assert len(parked.interruptions) == 1
    assert kinds(await session.get_items()) == ["user", "function_call"]
    state: RunState[Any] = parked.to_state()
    if again:
        state = await RunState.from_json(desk, json.loads(json.dumps(state.to_json())))
        session = EventLogSession(session_id, store=store)
    (waiting,) = state.get_interruptions()
    if approved:
        state.approve(waiting)
    else:
        state.reject(waiting)
    result = await runner(session, desk, state)
    assert result.final_output == "done"
    items = cast("list[Any]", await session.get_items())
    assert kinds(items) == ["user", "function_call", "function_call_output", "assistant"]
    assert ("refunded 7" in str(items[2]["output"])) is approved
    await runner(session, desk, "really?")
    assert calls(desk)[-1].input == [*items, {"role": "user", "content": "really?"}]


async def test_a_partly_approved_run_goes_on(session_id: str, runner: Run) -> None:
    """Of two approvals one is given, the run parks again, then the other: every item is stored once."""
    session = EventLogSession(session_id, store=MemoryStore())
    asks = [function_call("refund", {"order": f"{number}"}, call_id=f"r{number}") for number in (1, 2)]
    desk = agent([*asks, look(3)], say("done"))
    state = (await runner(session, desk, "refund 1 and 2")).to_state()
    state.approve(state.get_interruptions()[0])
    state = (await runner(session, desk, state)).to_state()
    state.reject(state.get_interruptions()[0])
    await runner(session, desk, state)
    items = cast("list[Any]", await session.get_items())
    called = sorted(item["call_id"] for item in items if item.get("type") == "function_call")
    answered = sorted(item["call_id"] for item in items if item.get("type") == "function_call_output")
    assert called == answered == ["call-3", "r1", "r2"]


async def test_a_limit_of_the_run(store: Store, session_id: str, runner: Run) -> None:
    """`RunConfig(session_settings=...)` overrides the session's own limit for what the model sees, not for what is stored."""
    session = EventLogSession(session_id, store=store, session_settings=SessionSettings(limit=100))
    desk = agent(*(say(f"answer {number}") for number in range(4)))
    for number in range(3):
        await runner(session, desk, f"question {number}")
    stored = await session.get_items()
    config = RunConfig(session_settings=SessionSettings(limit=3))
    await runner(session, desk, "question 3", run_config=config)
    assert calls(desk)[-1].input == [*stored[-3:], {"role": "user", "content": "question 3"}]
    assert len(await session.get_items()) == 8


async def test_an_input_callback_decides_what_the_model_sees(session_id: str, runner: Run) -> None:
    """It may drop or change history; only what is new is stored, and the log is not touched by it."""

    def callback(history: list[Item], new: list[Item]) -> list[Item]:
        for item in cast("list[Any]", history):
            item["content"] = "changed"
        return [*history[-1:], *new]

    session = EventLogSession(session_id, store=MemoryStore())
    desk = agent(say("one"), say("two"))
    await runner(session, desk, "first")
    stored = await session.get_items()
    await runner(session, desk, "second", run_config=RunConfig(session_input_callback=callback))
    seen = cast("list[Any]", calls(desk)[-1].input)
    assert [item["content"] for item in seen] == ["changed", "second"]
    items = await session.get_items()
    assert items[:2] == stored
    assert kinds(items) == ["user", "assistant", "user", "assistant"]


async def test_a_list_input_is_one_batch(session_id: str, runner: Run) -> None:
    """Two user items go in together."""
    session = EventLogSession(session_id, store=MemoryStore())
    await runner(session, agent(say("ok")), [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])
    assert kinds(await session.at(1).get_items()) == ["user", "user"]


async def test_two_runs_at_once_never_split_a_batch(store: Store, session_id: str) -> None:
    """Whatever the order: every call is followed at once by its output, and nothing is lost or twice."""
    sessions = [EventLogSession(session_id, store=store) for _ in range(2)]
    desks = [agent([look(10 * n + 1)], [look(10 * n + 2), look(10 * n + 3)], say(f"done {n}")) for n in range(4)]
    async with asyncio.timeout(WAIT):
        await asyncio.gather(*(run(sessions[n % 2], desk, f"go {n}") for n, desk in enumerate(desks)))
    view = await sessions[0].read()
    assert view.version == 16
    batches = []
    before: list[Item] = []
    for at in range(1, view.version + 1):
        after = await sessions[0].at(at).get_items()
        assert after[: len(before)] == before
        batches.append(kinds(after[len(before) :]))
        before = after
    pair = ["function_call", "function_call_output"]
    double = ["function_call"] * 2 + ["function_call_output"] * 2
    assert sorted(batches) == sorted([["user"], pair, double, ["assistant"]] * 4)


async def test_an_agent_as_a_tool_may_share_the_session(session_id: str) -> None:
    """Its turn lands between the outer one's batches, in order."""
    session = EventLogSession(session_id, store=MemoryStore())
    inner = Agent(name="inner", model=ScriptedModel([say("inner says")]))
    outer = agent(
        [function_call("ask_inner", {"input": "hi"}, call_id="i")],
        say("outer says"),
        tools=(inner.as_tool("ask_inner", "Ask.", session=session),),
    )
    await run(session, outer, "go")
    items = cast("list[Any]", await session.get_items())
    assert kinds(items) == ["user", "user", "assistant", "function_call", "function_call_output", "assistant"]


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A default loop for `Runner.run_sync`, which leaves the one that it makes itself open for good."""
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield made
    asyncio.set_event_loop(None)
    made.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite", pytest.param("dapr", marks=pytest.mark.daprd)])
def test_run_sync_several_times(
    kind: str, session_id: str, tmp_path: Path, request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop
) -> None:
    """One session object serves one blocking run after the other, then a loop of its own, and is closed on yet another."""
    url = f"sqlite:///{tmp_path}/s.db" if kind == "sqlite" else "memory://"
    if kind == "dapr":
        url = f"dapr://{request.getfixturevalue('rig').address}/redis"
    session = EventLogSession.from_url(session_id, url=url)
    desk = agent(say("one"), [look(1)], say("two"), say("three"))
    Runner.run_sync(desk, "question 0", session=session)
    Runner.run_sync(desk, "question 1", session=session)
    asyncio.run(run(session, desk, "question 2"))
    assert len(cast("list[Any]", calls(desk)[-1].input)) == 7
    assert len(asyncio.run(session.get_items())) == 8
    asyncio.run(session.close())


async def test_a_lone_surrogate_of_a_tool(store: Store, session_id: str, runner: Run) -> None:
    """Half an emoji, as cut text has it, is stored, read and shown to the model as it is."""

    @function_tool
    def cut() -> str:
        """Cut text in the wrong place."""
        return "half an emoji: \ud83d"

    session = EventLogSession(session_id, store=store)
    desk = agent([function_call("cut", "{}", call_id="c")], say("odd"), say("odd still"), tools=(cut,))
    await runner(session, desk, "cut")
    items = cast("list[Any]", await session.get_items())
    assert items[2]["output"] == "half an emoji: \ud83d"
    await runner(session, desk, "again?")
    assert cast("list[Any]", calls(desk)[-1].input)[:-1] == items


async def test_an_output_of_the_size_of_an_image(store: Store, session_id: str, runner: Run) -> None:
    """2 MB that do not compress, three times, beyond any one message or value: stored, read back, shown to the model."""
    import random

    @function_tool
    def photograph(number: int) -> str:
        """Take a picture."""
        return random.Random(number).randbytes(1_000_000).hex()

    session = EventLogSession(session_id, store=store)
    shots = [[function_call("photograph", {"number": number}, call_id=f"p{number}")] for number in range(3)]
    desk = agent(*shots, say("nice"), say("very"), tools=(photograph,))
    await runner(session, desk, "three pictures")
    items = cast("list[Any]", await EventLogSession(session_id, store=CountingStore(store)).get_items())
    outputs = [item["output"] for item in items if item.get("type") == "function_call_output"]
    assert [len(output) for output in outputs] == [2_000_000] * 3
    assert outputs == [random.Random(number).randbytes(1_000_000).hex() for number in range(3)]
    await runner(session, desk, "nice?")
    assert cast("list[Any]", calls(desk)[-1].input)[:-1] == items


async def test_a_model_that_fails_leaves_the_question(session_id: str, runner: Run) -> None:
    """What was stored before stays, as with every backend; the session goes on."""
    session = EventLogSession(session_id, store=MemoryStore())
    desk = agent(ModelStep.raise_error(RuntimeError("model down")), say("back"))
    with pytest.raises(RuntimeError, match="model down"):
        await runner(session, desk, "hello?")
    assert kinds(await session.get_items()) == ["user"]
    await runner(session, desk, "hello again?")
    assert kinds(await session.get_items()) == ["user", "user", "assistant"]


class Lossy(MemoryStore):
    """Loses the reply of one commit, which it did or did not apply, and then every answer until `mended`."""

    lose: bool | None = None
    mended = True

    async def get(self, key: str) -> Any:  # noqa: D102 the store's
        if not self.mended:
            from eventlog_session import Unavailable

            raise Unavailable("down")
        return await super().get(key)

    async def commit(self, head: Put, etag: str | None, values: Any) -> Committed | NotCommitted:  # noqa: D102
        if self.lose is None:
            return await super().commit(head, etag, values)
        if self.lose:
            await super().commit(head, etag, values)
        self.lose, self.mended = None, False
        return NotCommitted()


@pytest.mark.parametrize("applied", [True, False])
async def test_a_resume_after_a_lost_reply(session_id: str, applied: bool) -> None:
    """An append whose fate could not be told makes the run fail; running it again neither loses nor doubles it."""
    from eventlog_session import Retry

    store = Lossy()
    session = EventLogSession(session_id, store=store, retry=Retry(budget=0.05))
    ran = []

    @function_tool(needs_approval=True)
    def pay() -> str:
        """Pay."""
        ran.append(1)
        return "paid"

    desk = agent([function_call("pay", "{}", call_id="p")], say("done"), tools=(pay,))
    state = (await run(session, desk, "pay")).to_state()
    state.approve(state.get_interruptions()[0])
    store.lose = applied
    with pytest.raises(OutcomeUnknown):
        await run(session, desk, state)
    store.mended = True
    await run(session, desk, state)
    assert kinds(await session.get_items()) == ["user", "function_call", "function_call_output", "assistant"]
    assert ran == [1]


async def test_what_a_run_costs(store: Store, backend: str, session_id: str, runner: Run) -> None:
    """A run of three tool turns is one read and five commits, one after the other, once the session exists."""
    counted = CountingStore(store)
    session = EventLogSession(session_id, store=counted)
    desk = agent(say("hi"), [look(1)], [look(2)], [look(3)], say("all shipped"))
    await runner(session, desk, "hello")
    counted.reset()
    await runner(session, desk, "where are they?")
    assert counted.calls["commit"] == 5
    assert counted.calls["create"] == counted.calls["put_many"] == counted.calls["get_many"] == 0
    if backend in ("memory", "sqlite", "dapr-redis"):
        assert counted.trips == 6
        assert counted.calls["get"] == 1
    else:  # these do not tell the new etag: it is read behind the model's next call, for which this model leaves no time
        assert counted.trips <= 6 + 5
        assert counted.calls["get"] <= 1 + 5


async def test_what_a_first_run_costs(session_id: str, runner: Run) -> None:
    """The first turn of a new session looks for a head and for what a DaprSession left, once each; then two commits."""
    counted = CountingStore(MemoryStore())
    session = EventLogSession(session_id, store=counted)
    await runner(session, agent(say("hi")), "hello")
    assert counted.calls["commit"] == 2
    assert counted.trips <= 4


async def test_a_limited_run_does_not_read_a_long_history(session_id: str, runner: Run) -> None:
    """With a limit of 20 a run on a thousand items receives a fraction of the bytes of a run without one."""
    store = MemoryStore()
    session = EventLogSession(session_id, store=store)
    for number in range(100):
        await session.add_items(
            [cast("Item", {"role": "user", "content": f"{number}-{part} " + "x" * 300}) for part in range(10)]
        )
    received = []
    for limit in (20, None):
        counted = CountingStore(store)
        config = RunConfig(session_settings=SessionSettings(limit=limit))
        desk = agent(say("ok"))
        await runner(EventLogSession(session_id, store=counted), desk, "and?", run_config=config)
        received.append(counted.received)
        assert len(cast("list[Any]", calls(desk)[0].input)) >= 21
    assert received[0] < 40_000


async def test_a_run_on_the_past_is_refused_before_the_model_is_asked(store: Store, session_id: str, runner: Run) -> None:
    """It says what to do instead, and doing that works; whatever wraps the past is refused, too."""
    session = EventLogSession(session_id, store=store)
    desk = agent(say("one"), say("two"), say("what if"))
    for text in ("first", "second"):
        await runner(session, desk, text)
    past = session.at(2)
    for wrapped in (past, OpenAIResponsesCompactionSession(session_id, past), EncryptedSession(session_id, past, "key")):
        with pytest.raises(ReadOnlySession, match="fork"):
            await runner(wrapped, desk, "what if?")
    assert len(calls(desk)) == 2
    assert (await session.read()).version == 4
    fork = await session.fork(f"{session_id}-b", at=2)
    await runner(fork, desk, "what if?")
    assert calls(desk)[-1].input == [*await past.get_items(), {"role": "user", "content": "what if?"}]
    assert len(await fork.get_items()) == len(await session.get_items()) == 4


async def test_the_run_that_went_wrong_is_asked_again(session_id: str, runner: Run) -> None:
    """Back before it, with another question: the model sees nothing of it, the log has it."""
    session = EventLogSession(session_id, store=MemoryStore())
    desk = agent(say("hello"), [look(1)], say("nonsense"), say("fine"))
    await runner(session, desk, "hello")
    await runner(session, desk, "bad question")
    *_, wrong = [one async for one in session.runs()]
    await session.rewind(to=wrong.before)
    await runner(session, desk, "good question")
    assert "bad question" not in str(calls(desk)[-1].input)
    assert kinds(await session.get_items()) == ["user", "assistant"] * 2
    assert "nonsense" in str(await session.at(wrong.last).get_items())


async def test_the_last_question_is_edited(session_id: str, runner: Run) -> None:
    """Its run undone, all of it: the number of its changes says how many."""
    session = EventLogSession(session_id, store=MemoryStore())
    desk = agent(say("hello"), [look(1)], say("order 1"), [look(2)], say("order 2"))
    await runner(session, desk, "hello")
    await runner(session, desk, "where is 1?")
    *_, last = [one async for one in session.runs()]
    await session.undo(last.changes)
    assert kinds(await session.get_items()) == ["user", "assistant"]
    await runner(session, desk, "where is 2, I meant?")
    assert "where is 1" not in str(calls(desk)[-1].input)
    assert (await session.diff(last.last)).common == 2
