"""A session's other moments: points, history, runs, undo, tags, forks, as the Agents SDK's user has them."""

import ast
import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from textwrap import dedent
from typing import Any

import orjson
import pytest
from agents import Agent, RunConfig, Runner, set_trace_processors, set_tracing_disabled, trace
from agents.extensions.memory.encrypt_session import EncryptedSession
from agents.testing import ScriptedModel, assistant_message
from cryptography.fernet import Fernet
from staged import Time

from eventlog_session import (
    Conflict,
    EventLog,
    EventLogSession,
    HistoryTrimmed,
    Limits,
    MemoryStore,
    NoSuchPoint,
    Point,
    ReadOnlySession,
    SessionExists,
    Store,
    TooManyTags,
    revising,
)
from eventlog_session.core.events import TAG, TAG_VERSION, TAGGED
from eventlog_session.protocol.lane import Answer, Intent
from eventlog_session.stores.base import Put
from eventlog_session.testing import CountingStore
from eventlog_session.timetravel import Difference, TimeTravel

pytestmark = pytest.mark.usefixtures("bounded")

set_tracing_disabled(True)


def user(text: str) -> Any:
    """What a user says."""
    return {"role": "user", "content": text}


def said(text: str) -> Any:
    """What a model says."""
    return {"role": "assistant", "content": text}


@pytest.fixture
async def session(store: Store, session_id: str) -> EventLogSession:
    """A session with three turns."""
    made = EventLogSession(session_id, store=store)
    for number in range(3):
        await made.add_items([user(f"q{number}")])
        await made.add_items([said(f"a{number}")])
    return made


# ---- points ----------------------------------------------------------------------------------------------------------


async def test_every_kind_of_point(session: EventLogSession) -> None:
    """A version, a moment, how long ago, a tag; each reads as it did then and refuses to be changed."""
    moment = [change.time async for change in session.history()][1]
    await session.tag("two", at=2)
    points: tuple[Point, ...] = (2, moment, "two")
    for point in points:
        then = session.at(point)
        assert await then.get_items() == [user("q0"), said("a0")]
        assert (await then.read()).version == 2
        assert await then.get_items(limit=1) == [said("a0")]
        with pytest.raises(ReadOnlySession):
            await then.add_items([user("no")])
    assert (await session.at(timedelta()).read()).version == 7
    assert await session.at(timedelta(days=1)).get_items() == []


async def test_a_time_ago_is_ago_from_when_it_was_asked_for(session_id: str, time: Time) -> None:
    """The session as it was stands still, however long one goes on looking at it."""
    session = EventLogSession(session_id, store=MemoryStore())
    session._runtime = time.runtime()
    await session.add_items([user("a")])
    time.now += 600
    then, ever = session.at(timedelta(minutes=5)), session.at(timedelta.max)
    await session.add_items([user("b")])
    time.now += 600
    assert await then.get_items() == [user("a")]
    assert (await session.at(timedelta(minutes=5)).read()).version == 2
    assert (await ever.read()).version == 0


@pytest.mark.parametrize(
    "point", [True, 1.5, None, "", datetime(2026, 1, 1), timedelta(seconds=-1), b"x"]  # noqa: DTZ001 naive on purpose
)  # fmt: skip
async def test_what_is_no_point(point: Any, session_id: str) -> None:
    """It is refused before anything is asked of the store."""
    store = CountingStore(MemoryStore())
    session = EventLogSession(session_id, store=store)
    with pytest.raises(ValueError, match=r"point|time zone|ago"):
        session.at(point)
    if point is not None:
        with pytest.raises(ValueError, match=r"point|time zone|ago"):
            await session.rewind(point)
    assert store.trips == 0


async def test_a_point_that_is_not_there(session: EventLogSession) -> None:
    """Wherever one is asked for."""
    for point in (99, -1, "no such tag"):
        with pytest.raises(NoSuchPoint):
            await session.at(point).get_items()
        with pytest.raises(NoSuchPoint):
            await session.rewind(point)
        with pytest.raises(NoSuchPoint):
            await session.tag("t", at=point)
        with pytest.raises(NoSuchPoint):
            await session.fork("x", at=point)
        with pytest.raises(NoSuchPoint):
            [_ async for _ in session.history(until=point)]
    assert (await session.read()).version == 6


async def test_the_past_costs_three_trips_cold_at_most(session_id: str) -> None:
    """Of 20,000 events with one rewind in 20, at any point, however it is named."""
    store = MemoryStore()
    session = EventLogSession(session_id, store=store)
    for start in range(0, 20_000, 20):
        await asyncio.gather(*(session.add_items([user(f"q{start + number}")]) for number in range(19)))
        await session.rewind(start + 17)
    await session.tag("middle", at=10_000)
    times = {change.version: change.time async for change in session.history(since=9_900, until=10_000)}
    costs: dict[str, int] = {}
    points: tuple[Point, ...] = (1, 19, 500, 7_777, 10_000, 15_001, 19_990, 20_001, times[9_999], "middle")
    for number, point in enumerate(points):
        for limit in (None, 10):
            counted = CountingStore(store)
            cold = EventLogSession(session_id, store=counted, legacy="ignore")
            await cold.at(point).get_items(limit)
            costs[f"{number} {limit}"] = counted.trips
    assert max(costs.values()) <= 3, costs


# ---- what happened -----------------------------------------------------------------------------------------------------


async def test_history_says_what_happened(session: EventLogSession) -> None:
    """Forwards, backwards, from and to any point."""
    await session.pop_item()
    await session.clear_session()
    await session.rewind(2)
    await session.undo()
    await session.redo()
    await session.tag("here")
    found = [change async for change in session.history()]
    assert [change.version for change in found] == list(range(1, 13))
    assert [change.kind for change in found[5:]] == ["added", "popped", "cleared", "rewound", "undone", "redone", "tagged"]
    assert [(change.items, change.popped, change.length, change.base) for change in found[5:9]] == [
        (1, 0, 6, None), (0, 1, 5, None), (0, 0, 0, 0), (0, 0, 2, 2),
    ]  # fmt: skip
    assert all(change.time.tzinfo is UTC for change in found)
    assert [change async for change in session.history(reverse=True)] == found[::-1]
    assert [change.version async for change in session.history(since=3, until=5)] == [4, 5]
    assert [change.version async for change in session.history(3, 5, reverse=True)] == [5, 4]
    assert [change.version async for change in session.history(since="here")] == [12]
    assert [event.get_attributes()["sequence"] async for event in session.events(since=10)] == ["000000000011", "000000000012"]
    assert [change async for change in session.history(since=12)] == []


async def test_runs_by_user_turn(session: EventLogSession) -> None:
    """Where there are no traces; what is said of the log belongs to the run before it."""
    await session.tag("here")
    runs = [run async for run in session.runs()]
    assert [(run.first, run.last, run.items) for run in runs] == [(1, 2, 2), (3, 4, 2), (5, 7, 2)]
    assert (await session.at(runs[-1].before).read()).version == 4


@pytest.fixture
def tracing() -> Iterator[None]:
    """The Agents SDK's traces, switched on and going nowhere."""
    set_trace_processors([])
    set_tracing_disabled(False)
    yield
    set_tracing_disabled(True)


def trace_id(number: int) -> str:
    """As the SDK has them."""
    return f"trace_{number:032x}"


@pytest.mark.usefixtures("tracing")
async def test_runs_by_trace(session_id: str) -> None:
    """Each of the Agents SDK's runs is one, with its trace's id, and can be gone back to."""
    session = EventLogSession(session_id, store=MemoryStore())
    for number in range(2):
        agent = Agent(name="desk", model=ScriptedModel([[assistant_message(f"a{number}")]]))
        with trace("run", trace_id=trace_id(number)):
            await Runner.run(agent, f"q{number}", session=session)
    await session.add_items([user("by hand")])
    runs = [run async for run in session.runs()]
    assert [run.trace_id for run in runs] == [trace_id(0), trace_id(1), None]
    await session.rewind(runs[1].before)
    assert len(await session.get_items()) == 2


@pytest.mark.usefixtures("tracing")
async def test_runs_that_go_on_at_once(session_id: str) -> None:
    """Each is one, from its first to its last change, with those of the other in between; before it is where it began."""
    session = EventLogSession(session_id, store=MemoryStore())
    turn = asyncio.Condition()
    order = [0, 1, 0, 1, 1, 0]  # whose change is next

    async def saying(number: int) -> None:
        with trace("run", trace_id=trace_id(number)):
            for text in "abc":
                async with turn:
                    await turn.wait_for(lambda: order[0] == number)
                    await session.add_items([user(text) if text == "a" else said(text)])
                    order.pop(0)
                    order.append(-1)
                    turn.notify_all()

    await asyncio.gather(saying(0), saying(1))
    await session.tag("said of the one that ended last")
    runs = [run async for run in session.runs()]
    assert [(run.trace_id, run.first, run.last, run.changes, run.items) for run in runs] == [
        (trace_id(0), 1, 7, 4, 3), (trace_id(1), 2, 5, 3, 3),
    ]  # fmt: skip
    assert await session.at(runs[1].before).get_items() == [user("a")]
    assert runs[0].began <= runs[1].began <= runs[1].ended <= runs[0].ended


@pytest.mark.usefixtures("tracing")
async def test_runs_by_real_agents_at_once(session_id: str) -> None:
    """Streamed and not, on one session: two runs, and every item in one of them."""
    session = EventLogSession(session_id, store=CountingStore(MemoryStore()))

    async def ask(number: int, *, streamed: bool) -> None:
        agent = Agent(name="desk", model=ScriptedModel([[assistant_message(f"a{number}")]]))
        config = RunConfig(trace_id=trace_id(number))
        if streamed:
            async for _ in Runner.run_streamed(agent, f"q{number}", session=session, run_config=config).stream_events():
                pass
        else:
            await Runner.run(agent, f"q{number}", session=session, run_config=config)

    await asyncio.gather(ask(0, streamed=False), ask(1, streamed=True))
    runs = [run async for run in session.runs()]
    assert sorted((run.trace_id, run.items, run.changes) for run in runs) == [(trace_id(0), 2, 2), (trace_id(1), 2, 2)]


@pytest.mark.usefixtures("tracing")
async def test_runs_in_one_trace_and_in_nested_ones(session_id: str) -> None:
    """A workflow of several runs under one trace is one; a trace inside of it is its own, by its nearest trace."""
    session = EventLogSession(session_id, store=MemoryStore())

    async def ask(text: str) -> None:
        await Runner.run(Agent(name="desk", model=ScriptedModel([[assistant_message("a")]])), text, session=session)

    with trace("workflow", trace_id=trace_id(0)):
        await ask("first")
        with trace("inner", trace_id=trace_id(1)):
            await ask("second")
        await ask("third")
    await ask("fourth")
    runs = [run async for run in session.runs()]
    assert [(run.trace_id, run.first, run.last, run.items) for run in runs[:2]] == [
        (trace_id(0), 1, 6, 4), (trace_id(1), 3, 4, 2),
    ]  # fmt: skip
    assert runs[2].trace_id not in (None, trace_id(0), trace_id(1))
    assert [(run.first, run.items) for run in runs[2:]] == [(7, 2)]


@pytest.mark.usefixtures("tracing")
async def test_runs_some_of_which_have_no_trace(session_id: str) -> None:
    """Tracing disabled for a run: by the user's turns. What is done by hand is no part of a traced run, a tag is."""
    session = EventLogSession(session_id, store=MemoryStore())
    config = RunConfig(tracing_disabled=True)

    async def ask(config: RunConfig) -> None:
        agent = Agent(name="desk", model=ScriptedModel([[assistant_message("a")]]))
        await Runner.run(agent, "q", session=session, run_config=config)

    await ask(config)
    await ask(config)
    await ask(RunConfig(trace_id=trace_id(5)))
    await session.tag("fine so far")
    await session.pop_item()
    await ask(config)
    found = [(run.trace_id, run.first, run.last, run.items) async for run in session.runs()]
    assert found == [
        (None, 1, 2, 2), (None, 3, 4, 2), (trace_id(5), 5, 7, 2), (None, 8, 8, 0), (None, 9, 10, 2),
    ]  # fmt: skip
    assert [change.trace_id async for change in session.history(since=4, until=6)] == [trace_id(5)] * 2
    assert [(run.first, run.last) async for run in session.runs(since=5, until=8)] == [(6, 7), (8, 8)]


async def test_diff(session: EventLogSession) -> None:
    """What is common, what went, what came."""
    await session.pop_items(2)
    await session.add_items([user("other")])
    found = await session.diff(6)
    assert (found.a, found.b, found.common) == (6, 8, 4)
    assert (found.removed, found.added) == ([user("q2"), said("a2")], [user("other")])
    same = await session.diff(6, 6)
    assert (same.common, same.removed, same.added) == (6, [], [])


@pytest.mark.parametrize(("one", "other"), [(1, True), (0, False), (1, 1.0), (0.0, -0.0), ([1], [True])])
async def test_diff_tells_json_apart(one: Any, other: Any, session_id: str) -> None:
    """What Python takes for equal is not always the same JSON; the order of an object's keys is nothing to JSON."""
    session: Any = EventLogSession(session_id, store=MemoryStore())
    items: list[Any] = [{"b": 1, "a": one}, {"b": 1, "a": other}, {"a": one, "b": 1}]
    for item in items:
        await session.add_items([item])
        await session.rewind(0)
    assert repr(await session.diff(1, 3)) == repr(Difference(1, 3, 0, items[:1], items[1:2]))
    assert (await session.diff(1, 5)).common == 1


@pytest.mark.parametrize("default", [{"turns": 1}, {"session_settings": {"limit": 1}}])
async def test_diff_is_of_whole_histories(session_id: str, default: Any) -> None:
    """Whatever an agent is given of one."""
    session = EventLogSession(session_id, store=MemoryStore(), **default)
    for text in "abc":
        await session.add_items([user(text)])
        await session.add_items([said(text)])
    found = await session.diff(2)
    assert (found.common, found.removed, len(found.added)) == (2, [], 4)


# ---- going back --------------------------------------------------------------------------------------------------------


async def test_rewind_and_undo_of_it(session: EventLogSession) -> None:
    """One event each; what was left behind stays in the log."""
    assert await session.rewind(to=2) == 7
    assert await session.get_items() == [user("q0"), said("a0")]
    assert await session.rewind(to=7) == 7
    moved = await session.undo()
    assert moved is not None
    assert (moved.to, moved.changes) == (6, (7,))
    assert len(await session.get_items()) == 6
    with pytest.raises(Conflict):
        await session.rewind(1, expected_version=3)
    with pytest.raises(Conflict):
        await session.undo(expected_version=3)


async def test_undo_of_everything(session: EventLogSession) -> None:
    """There is nothing before the beginning, and all of it comes back."""
    assert await session.undo(7) is None
    assert await session.undo(6) is not None
    assert await session.get_items() == []
    assert await session.undo() is None
    assert await session.redo(7) is None
    assert await session.redo(6) is not None
    assert len(await session.get_items()) == 6
    for wrong in (0, -1, True, "1"):
        with pytest.raises(ValueError, match="at least 1"):
            await session.undo(wrong)  # type: ignore[arg-type]


async def test_pop_items_is_one_commit(session: EventLogSession) -> None:
    """However many; all where there are fewer."""
    assert await session.pop_items(3) == [said("a1"), user("q2"), said("a2")]
    assert (await session.read()).version == 7
    assert await session.pop_items(99) == [user("q0"), said("a0"), user("q1")]
    assert await session.pop_items(1) == []
    assert (await session.read()).version == 8
    with pytest.raises(ValueError, match="at least 1"):
        await session.pop_items(0)


# ---- tags ----------------------------------------------------------------------------------------------------------------


async def test_tags_are_moved_listed_and_taken_away(session: EventLogSession) -> None:
    """Undo passes them over."""
    assert await session.tag("now") == 6
    assert await session.tag("then", at=2) == 2
    assert await session.tags() == {"now": 6, "then": 2}
    assert await session.tag("now", at=3) == 3
    assert await session.untag("then")
    assert not await session.untag("then")
    assert await session.tags() == {"now": 3}
    await session.undo()
    assert (await session.get_items())[-1] == user("q2")
    for wrong in ("", "x" * 65, "é" * 33, "new\nline", 3):
        with pytest.raises(ValueError, match="name"):
            await session.tag(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="name"):
        await session.untag(3)  # type: ignore[arg-type]


async def test_all_tags_together_take_little_of_the_head(session_id: str) -> None:
    """Whatever they are written in: a name is bound in bytes."""
    store = MemoryStore()
    session = EventLogSession(session_id, store=store)
    await session.add_items([user("q")])
    head = (await session._log()).keys.head
    for number in range(64):
        await session.tag(f"{'😀' * 15}{number:04d}")
        await (await session._log()).settle()
    tags = len(orjson.dumps(await session.tags()))
    assert tags <= 5 << 10
    found = await store.get(head)
    assert found is not None
    assert tags < len(found.data) < 32 << 10


async def test_a_tag_from_under_other_limits_can_be_taken_away(session_id: str) -> None:
    """And makes room for one that fits."""
    store = MemoryStore()
    session = EventLogSession(session_id, store=store)
    await session.add_items([user("q")])
    await session.tag("before the refund")
    small = EventLogSession(session_id, store=store, limits=Limits(tag_bytes=8, tags=1))
    with pytest.raises(ValueError, match="8 bytes"):
        await small.tag("before the refund")
    assert await small.untag("before the refund")
    await small.tag("before")
    assert await session.tags() == {"before": 3}


async def test_tags_have_their_number(session_id: str) -> None:
    """One too many is refused, moving one is not."""
    session = EventLogSession(session_id, store=MemoryStore(), limits=Limits(tags=2))
    await session.add_items([user("q")])
    await session.tag("a")
    await session.tag("b")
    with pytest.raises(TooManyTags):
        await session.tag("c")
    await session.tag("b", at=1)
    await session.untag("a")
    await session.tag("c")


async def test_a_tag_is_for_a_version_that_can_be_read_when_it_is_written(session_id: str) -> None:
    """What was trimmed, or is another session's, since it was looked for is not named."""
    store = MemoryStore()
    log, other = EventLog(store, session_id), EventLog(store, session_id)
    for item in (b"[1]", b"[2]", b"[3]"):
        await log.add(item, 1)
    held = log.submit

    def after(work: Callable[[], Awaitable[object]]) -> None:
        async def late(*told: Any, **effect: Any) -> Answer:
            await work()
            return await held(*told, **effect)

        log.submit = late  # type: ignore[method-assign]

    with pytest.raises(NoSuchPoint, match="no version 4 yet"):
        await log.submit(None, None, TAGGED, {TAG: "t", TAG_VERSION: "4"})
    after(lambda: other.trim(3))
    with pytest.raises(HistoryTrimmed):
        await revising.tag(log, "t", 2, revising.Told({}))
    after(lambda: other.erase(0))
    with pytest.raises(Conflict, match="another has begun"):
        await revising.tag(log, "t", 3, revising.Told({}))
    assert not (await other.head()).version


async def of_two(session_id: str) -> tuple[EventLogSession, EventLog]:
    """A session with three items, and another process's log of it."""
    store = MemoryStore()
    session = EventLogSession(session_id, store=store)
    for number in range(3):
        await session.add_items([user(f"old {number}")])
    return session, EventLog(store, session_id)


@pytest.mark.parametrize(
    "change",
    [
        lambda session: session.rewind(2),
        lambda session: session.rewind(2, expected_version=3),
        lambda session: session.tag("t", at=2),
        lambda session: session.trim(2),
    ],
    ids=["rewind", "rewind of a version", "tag", "trim"],
)
async def test_a_point_of_a_session_that_is_gone(
    change: Callable[[EventLogSession], Awaitable[object]], session_id: str
) -> None:  # fmt: skip
    """Erased and begun anew since the point was looked for: it is none of the new session's, and nothing of that is changed."""
    session, other = await of_two(session_id)
    log = await session._log()
    held = log._lane.submit

    async def late(intent: Intent) -> Answer:
        log._lane.submit = held  # type: ignore[method-assign]
        await other.erase(0)
        for number in range(3):
            await other.add(orjson.dumps([user(f"new {number}")]), 1)
        return await held(intent)

    log._lane.submit = late  # type: ignore[method-assign]
    with pytest.raises(Conflict, match="another has begun"):
        await change(session)
    assert await session.get_items() == [user(f"new {number}") for number in range(3)]
    assert [recorded.event.kind async for recorded in other.walk()] == ["a"] * 3
    assert (await other.head()).floor <= 1


async def test_others_write_on_between_a_point_and_what_is_written(session_id: str) -> None:
    """Any version of the same session will do: what another process adds is in nobody's way."""
    session, other = await of_two(session_id)
    log = await session._log()
    held = log._lane.submit

    async def late(intent: Intent) -> Answer:
        await other.add(b"[1]", 1)
        return await held(intent)

    log._lane.submit = late  # type: ignore[method-assign]
    assert await session.rewind(2) == 5
    assert await session.tag("t", at=2) == 2
    await session.trim(2)
    assert [change.kind async for change in session.history()][-5:] == ["rewound", "added", "tagged", "added", "trimmed"]


async def test_a_point_of_what_a_dapr_session_left(session_id: str) -> None:
    """It is taken over with the change."""
    store = MemoryStore()
    await store.put_many([Put(f"{session_id}:messages", b'["{}"]')])
    session: Any = EventLogSession(session_id, store=store)
    assert await session.tag("left", at=1) == 1
    assert await session.rewind(0) == 3
    assert await session.at("left").get_items() == [{}]


# ---- forks ---------------------------------------------------------------------------------------------------------------


async def test_fork(session: EventLogSession, session_id: str) -> None:
    """A session like this one, with its settings, that goes its own way."""
    fork = await session.fork(session_id + "-b", at=4)
    assert fork.session_id == session_id + "-b"
    assert await fork.get_items() == await session.at(4).get_items()
    await fork.add_items([user("elsewhere")])
    await session.add_items([user("here")])
    assert (await fork.get_items())[-1] == user("elsewhere")
    assert (await session.get_items())[-1] == user("here")
    again = EventLogSession(session_id + "-b", store=session._store)
    assert await again.get_items() == await fork.get_items()
    with pytest.raises(SessionExists):
        await session.fork(session_id + "-b")


async def test_fork_to_another_store(session: EventLogSession, session_id: str) -> None:
    """Of the same id, even."""
    fork = await session.fork(session_id, store=MemoryStore())
    assert await fork.get_items() == await session.get_items()


async def test_an_encrypted_fork_can_not_be_read(session_id: str) -> None:
    """The SDK makes the key of the session id: read the fork with the parent's id, or copy the items through it."""
    session = EventLogSession(session_id, store=MemoryStore())
    key = Fernet.generate_key().decode()
    await EncryptedSession(session_id, session, key).add_items([user("secret")])
    fork = await session.fork("other")
    assert await EncryptedSession("other", fork, key).get_items() == []
    assert await EncryptedSession(session_id, fork, key).get_items() == [user("secret")]


# ---- as it is documented -----------------------------------------------------------------------------------------------

METHODS = {
    name: method for of in (TimeTravel, EventLogSession) for name, method in vars(of).items()
    if not name.startswith("_") and callable(method) and "::" in (method.__doc__ or "")
}  # fmt: skip


def test_all_of_time_travel_has_an_example() -> None:
    """Each public method; `get_items` has one for turns."""
    public = {name for name, method in vars(TimeTravel).items() if callable(method) and not name.startswith("_")}
    assert public | {"get_items"} <= METHODS.keys()


@pytest.mark.parametrize("name", METHODS)
async def test_the_example_of_a_method_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With what it takes for granted: a session with some versions, one of them tagged."""
    session = EventLogSession("user-123", store=MemoryStore())
    for number in range(4):
        await session.add_items([user(f"q{number}")])
        await session.add_items([said(f"a{number}")])
    await session.tag("before the refund", at=4)
    example = dedent(str(METHODS[name].__doc__).partition("::\n")[2])
    assert f".{name}(" in example
    work = eval(
        compile(example, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), {"session": session, "timedelta": timedelta}
    )
    await work
    assert bool(capsys.readouterr().out) is ("print(" in example)
    assert (await session.verify()).sound
