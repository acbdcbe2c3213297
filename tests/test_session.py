"""`EventLogSession` as a caller sees it: what DaprSession promised, what it did not, and how both end."""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import grpc
import grpc.aio
import pytest
from agents.extensions.memory.dapr_session import DaprSession
from agents.items import TResponseInputItem
from agents.memory import Session, SessionSettings
from dapr.aio.clients import DaprClient
from dapr.conf import settings
from dapr.proto import api_service_v1, api_v1
from rig import Rig

from eventlog_session import (
    DAPR_CONSISTENCY_EVENTUAL,
    DAPR_CONSISTENCY_STRONG,
    CorruptLog,
    EventLogSession,
    InvalidItem,
    MemoryStore,
    NoSuchPoint,
    PastSession,
    ReadOnlySession,
    SessionClosed,
    Store,
)
from eventlog_session.core.keys import Keys
from eventlog_session.stores.dapr import DaprStore
from eventlog_session.stores.sidecar import SidecarClient

WAIT = 20.0
"""Seconds before a wait counts as hung."""

daprd = pytest.mark.daprd
Item = TResponseInputItem


def user(text: str) -> Item:
    """A user message."""
    return {"role": "user", "content": text}


def users(*numbers: int) -> list[Item]:
    """User messages that say a number each."""
    return [user(str(number)) for number in numbers]


def keyed(session: EventLogSession) -> Keys:
    """The keys of a session."""
    return Keys(session.session_id)


async def version(session: EventLogSession) -> int:
    """The version that a session stands at."""
    return (await session.read(0)).version


# ---- the protocol ------------------------------------------------------------------------------------------------------


def test_it_is_a_session() -> None:
    """It satisfies the SDK's runtime-checkable protocol, and so does its past."""
    session = EventLogSession("any", store=MemoryStore())
    assert isinstance(session, Session)
    assert isinstance(session.at(0), Session)


def test_it_has_nothing_that_changes_how_the_runner_treats_it() -> None:
    """No `run_compaction`, whose presence alone makes the runner call it, and no attribute made up on the fly."""
    session = EventLogSession("any", store=MemoryStore())
    assert not hasattr(session, "run_compaction")
    assert not hasattr(session, "anything_else")


LIMITS = [
    pytest.param(None, [0, 1, 2, 3, 4], id="all"),
    pytest.param(-(2**40), [], id="very negative"),
    pytest.param(-1, [], id="negative"),
    pytest.param(0, [], id="zero"),
    pytest.param(1, [4], id="one"),
    pytest.param(3, [2, 3, 4], id="some"),
    pytest.param(5, [0, 1, 2, 3, 4], id="exactly"),
    pytest.param(6, [0, 1, 2, 3, 4], id="more than there are"),
    pytest.param(2**31 - 1, [0, 1, 2, 3, 4], id="what the compaction wrapper passes"),
    pytest.param(2**70, [0, 1, 2, 3, 4], id="beyond any machine word"),
]


async def test_a_limit_is_the_newest_items_oldest_first(store: Store, session_id: str) -> None:
    """On every store, by keyword and by position: newest N in order, none for zero and less, all for None."""
    session = EventLogSession(session_id, store=store)
    await session.add_items(users(0, 1))
    await session.add_items(users(2))
    await session.add_items(users(3, 4))
    for limit, expected in (parameters.values for parameters in LIMITS):
        assert await session.get_items(limit=cast("int | None", limit)) == users(*cast("list[int]", expected))
        assert await session.get_items(cast("int | None", limit)) == users(*cast("list[int]", expected))
        assert (await session.read(cast("int | None", limit))).items == users(*cast("list[int]", expected))
    assert await session.get_items() == users(0, 1, 2, 3, 4)


@pytest.mark.parametrize(("limit", "expected"), LIMITS)
async def test_a_limit_of_the_settings_is_the_default(limit: int | None, expected: list[int]) -> None:
    """As an object and as a dict, it means what the same explicit limit does."""
    store = MemoryStore()
    await EventLogSession("s", store=store).add_items(users(0, 1, 2, 3, 4))
    for given in (SessionSettings(limit=limit), {"limit": limit}):
        session = EventLogSession("s", store=store, session_settings=given)
        assert session.session_settings == SessionSettings(limit=limit)
        assert await session.get_items() == users(*expected)


async def test_an_explicit_limit_goes_before_the_settings() -> None:
    """Also a larger one, and zero."""
    session = EventLogSession("s", store=MemoryStore(), session_settings=SessionSettings(limit=2))
    await session.add_items(users(0, 1, 2, 3))
    assert await session.get_items() == users(2, 3)
    assert await session.get_items(3) == users(1, 2, 3)
    assert await session.get_items(0) == []


async def test_settings_can_be_replaced() -> None:
    """The wrappers of the SDK assign to `session_settings`; without any, the limit is none."""
    session = EventLogSession("s", store=MemoryStore())
    assert session.session_settings == SessionSettings()
    await session.add_items(users(0, 1, 2))
    session.session_settings = SessionSettings(limit=1)
    assert await session.get_items() == users(2)
    session.session_settings = None
    assert await session.get_items() == users(0, 1, 2)


async def test_a_batch_is_one_event(store: Store, session_id: str) -> None:
    """Each `add_items` makes one version, whatever the number of items; `read` tells which."""
    session = EventLogSession(session_id, store=store)
    assert (await session.read()).version == 0
    await session.add_items(users(0, 1, 2))
    assert (await session.read()).version == 1
    await session.add_items(users(3))
    view = await session.read(2)
    assert (view.items, view.version) == (users(2, 3), 2)


async def test_adding_nothing_writes_nothing(store: Store, session_id: str) -> None:
    """No event, and where there was none no head."""
    session = EventLogSession(session_id, store=store)
    await session.add_items([])
    assert await store.get(keyed(session).head) is None
    await session.add_items(users(1))
    await session.add_items([])
    assert await version(session) == 1


async def test_pop_takes_the_newest_until_there_is_none(store: Store, session_id: str) -> None:
    """Across batches; None on an empty session, where it writes nothing."""
    session = EventLogSession(session_id, store=store)
    assert await session.pop_item() is None
    assert await store.get(keyed(session).head) is None
    await session.add_items(users(0, 1))
    await session.add_items(users(2))
    assert [await session.pop_item() for _ in range(4)] == [*users(2, 1, 0), None]
    assert await session.get_items() == []
    assert await version(session) == 5
    await session.add_items(users(3))
    assert await session.get_items() == users(3)


async def test_clear_empties_and_the_session_goes_on(store: Store, session_id: str) -> None:
    """Nothing of before comes back with what is added after; clearing an empty session writes nothing."""
    session = EventLogSession(session_id, store=store)
    await session.clear_session()
    assert await store.get(keyed(session).head) is None
    await session.add_items(users(0, 1))
    await session.clear_session()
    await session.clear_session()
    assert await version(session) == 2
    assert await session.get_items() == []
    assert await session.pop_item() is None
    await session.add_items(users(2))
    assert await session.get_items() == users(2)
    assert await EventLogSession(session_id, store=store).get_items() == users(2)


async def test_sessions_do_not_mix(store: Store, session_id: str) -> None:
    """Two ids, one of which begins with the other, have a history each."""
    one, two = EventLogSession(session_id, store=store), EventLogSession(f"{session_id}:messages", store=store)
    await one.add_items(users(1))
    await two.add_items(users(2))
    await one.clear_session()
    assert await one.get_items() == []
    assert await two.get_items() == users(2)


async def test_both_consistency_levels_work(rig: Rig, session_id: str) -> None:
    """They are DaprSession's, and sessions that differ in them share a history."""
    for number, consistency in enumerate((DAPR_CONSISTENCY_EVENTUAL, DAPR_CONSISTENCY_STRONG)):
        async with EventLogSession.from_address(
            session_id, state_store_name="redis", dapr_address=rig.address, consistency=consistency
        ) as session:
            await session.add_items(users(number))
            assert await session.get_items() == users(*range(number + 1))


async def test_concurrent_adds_keep_their_batches_whole(store: Store, session_id: str) -> None:
    """From one object and from several: every batch is there once, in one piece."""
    sessions = [EventLogSession(session_id, store=store) for _ in range(3)]
    batches = [users(*range(start, start + 3)) for start in range(0, 36, 3)]
    async with asyncio.timeout(WAIT):
        await asyncio.gather(*(sessions[place % 3].add_items(batch) for place, batch in enumerate(batches)))
    items = await sessions[0].get_items()
    found = [items[start : start + 3] for start in range(0, len(items), 3)]
    assert sorted(map(str, found)) == sorted(map(str, batches))


async def test_concurrent_pops_return_distinct_items(store: Store, session_id: str) -> None:
    """No item is given out twice, and none is lost."""
    session = EventLogSession(session_id, store=store)
    await session.add_items(users(*range(6)))
    async with asyncio.timeout(WAIT):
        popped = await asyncio.gather(*(EventLogSession(session_id, store=store).pop_item() for _ in range(8)))
    assert sorted(str(item) for item in popped if item is not None) == sorted(map(str, users(*range(6))))
    assert popped.count(None) == 2


# ---- items -------------------------------------------------------------------------------------------------------------


ODD_ITEMS: list[Any] = [
    {"role": "user", "content": "Zażółć 🙂 日本語 \u0000 \u2028 \x7f"},
    {"role": "user", "content": 'quotes " and \\ and {"json": [1, 2]} and \'; DROP TABLE x; --'},
    {"n": [0, -1, 2**63 - 1, -(2**63), 2**64 - 1, 0.1, 1e300, -0.0, 1e-9], "b": [True, False, None]},
    {"type": "function_call_output", "call_id": "c", "output": "\ud83d lone \udfff"},
    {"\ud800key": {"deep": ["\udc00"]}},
    {"": "", "nested": {"": [[], {}, [[]]]}},
    {"z": 1, "a": 2, "m": {"y": 1, "b": 2}},
    {"big": "x" * 300_000},
]


async def test_items_come_back_exactly(store: Store, session_id: str) -> None:
    """Types, key order, NUL, emoji and lone surrogates included: what the runner digests is what it wrote."""
    session = EventLogSession(session_id, store=store)
    for item in ODD_ITEMS:
        await session.add_items([cast("Item", item)])
    await session.add_items(cast("list[Item]", ODD_ITEMS))
    read = await EventLogSession(session_id, store=store).get_items()
    assert [json.dumps(item) for item in read] == [json.dumps(item) for item in ODD_ITEMS * 2]
    for item in reversed(ODD_ITEMS * 2):
        assert json.dumps(await session.pop_item()) == json.dumps(item)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"n": float("nan")}, id="nan"),
        pytest.param({"n": float("inf")}, id="infinity"),
        pytest.param({"n": 2**64}, id="beyond 64 bit"),
        pytest.param({"n": {1, 2}}, id="set"),
        pytest.param({"n": b"bytes"}, id="bytes"),
        pytest.param({"n": object()}, id="object"),
        pytest.param({"n": uuid4()}, id="uuid"),
        pytest.param({"n": datetime.now(UTC)}, id="datetime"),
        pytest.param({(1, 2): "n"}, id="tuple key"),
    ],
)
async def test_an_item_that_is_not_json_is_refused_before_anything_is_written(bad: object) -> None:
    """InvalidItem is a ValueError, says which item of the batch, and leaves the whole batch out."""
    store = MemoryStore()
    session = EventLogSession("s", store=store)
    with pytest.raises(InvalidItem, match=r"item 1 .*nothing was written"):
        await session.add_items([user("good"), cast("Item", bad), user("good")])
    assert store._values == {}
    assert issubclass(InvalidItem, ValueError)


async def test_a_refused_batch_does_not_take_others_with_it(session_id: str) -> None:
    """Adds of the same moment are committed, the bad one is not."""
    session = EventLogSession(session_id, store=MemoryStore())
    results = await asyncio.gather(
        session.add_items(users(1)),
        session.add_items([cast("Item", {"n": float("nan")})]),
        session.add_items(users(2)),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), InvalidItem, type(None)]
    assert await session.get_items() == users(1, 2)


async def test_what_is_handed_out_is_the_callers(store: Store, session_id: str) -> None:
    """Changing what `get_items`, `read` or `pop_item` returned changes nothing that anyone reads later."""
    session = EventLogSession(session_id, store=store)
    items: list[Any] = [{"role": "user", "content": [{"text": str(number), "type": "input_text"}]} for number in range(4)]
    await session.add_items(items)
    for _ in range(2):
        for got in (await session.get_items(), (await session.read()).items, await session.get_items(3)):
            for item in cast("list[Any]", got):
                item["content"][0]["text"] = "changed"
                item["more"] = 1
            got.clear()
    assert await session.get_items() == items
    popped = cast("Any", await session.pop_item())
    popped["content"].clear()
    assert await session.at(1).get_items() == items
    assert await session.pop_item() == items[2]


async def test_what_was_added_is_as_it_was_then(store: Store, session_id: str) -> None:
    """Changing a list or an item after `add_items` was called, even before it returned, changes nothing."""
    session = EventLogSession(session_id, store=store)
    item: Any = {"role": "user", "content": "as added"}
    batch: list[Item] = [item]
    adding = asyncio.create_task(session.add_items(batch))
    await asyncio.sleep(0)
    item["content"] = "changed"
    batch.append(user("more"))
    await adding
    item["content"] = "changed again"
    assert await session.get_items() == [user("as added")]


# ---- items as strings --------------------------------------------------------------------------------------------------


class Veiled(EventLogSession):
    """Keeps items as base 64, as one that encrypts would."""

    async def _serialize_item(self, item: Item) -> str:
        await asyncio.sleep(0)
        return base64.b64encode(json.dumps(item).encode()).decode()

    async def _deserialize_item(self, item: str) -> Item:
        await asyncio.sleep(0)
        try:
            return cast("Item", json.loads(base64.b64decode(item, validate=True)))
        except ValueError as error:
            raise TypeError("not one of ours") from error


class Picky(EventLogSession):
    """Refuses to read some items."""

    async def _deserialize_item(self, item: str) -> Item:
        if "refuse" in item:
            raise json.JSONDecodeError("refused", item, 0)
        return await super()._deserialize_item(item)


async def test_a_subclass_has_its_strings_kept(store: Store, session_id: str) -> None:
    """`_serialize_item` decides what is stored, `_deserialize_item` what comes back: in the store only the former is seen."""
    session = Veiled(session_id, store=store)
    await session.add_items([user("secret"), user("words")])
    await session.add_items([user("more")])
    assert await session.get_items() == [user("secret"), user("words"), user("more")]
    assert await session.get_items(2) == [user("words"), user("more")]
    assert await Veiled(session_id, store=store).get_items(1) == [user("more")]
    assert await session.at(1).get_items() == [user("secret"), user("words")]
    head = await store.get(keyed(session).head)
    assert head is not None
    assert b"secret" not in head.data
    assert base64.b64encode(b'{"role": "user", "content": "secret"}') in head.data
    assert await session.pop_item() == user("more")
    assert await session.pop_item() == user("words")


async def test_a_plain_session_skips_what_a_subclass_veiled(store: Store, session_id: str) -> None:
    """It is no JSON to it, as with DaprSession: skipped, not counted by a limit, dropped by a pop."""
    await EventLogSession(session_id, store=store).add_items(users(0, 1))
    await Veiled(session_id, store=store).add_items([user("secret")] * 3)
    plain = EventLogSession(session_id, store=store)
    assert await plain.get_items() == users(0, 1)
    assert await plain.get_items(1) == users(1)
    assert await plain.pop_item() == users(1)[0]
    assert await plain.get_items() == users(0)


async def test_a_refused_item_is_skipped_and_a_limit_counts_past_it(store: Store, session_id: str) -> None:
    """The newest N *valid* items, as DaprSession; a pop drops refused ones on its way."""
    session = Picky(session_id, store=store)
    for number in range(6):
        await session.add_items([user(str(number)), user(f"refuse {number}"), user(f"refuse {number}")])
    assert await session.get_items() == users(0, 1, 2, 3, 4, 5)
    assert await session.get_items(2) == users(4, 5)
    assert await session.get_items(6) == users(0, 1, 2, 3, 4, 5)
    assert await session.get_items(60) == users(0, 1, 2, 3, 4, 5)
    assert (await session.read(3)).items == users(3, 4, 5)
    assert await session.at(3).get_items(2) == users(1, 2)
    assert await session.pop_item() == user("5")
    assert (await EventLogSession(session_id, store=store).get_items(1)) == [user("refuse 4")]


async def test_pop_is_none_when_only_refused_items_are_left(store: Store, session_id: str) -> None:
    """They are dropped then, as DaprSession does with corrupt ones."""
    session = Picky(session_id, store=store)
    await session.add_items([user("refuse"), user("refuse")])
    assert await session.get_items(1) == []
    assert await session.pop_item() is None
    assert await EventLogSession(session_id, store=store).get_items() == []


async def test_an_error_of_a_hook_is_the_callers() -> None:
    """Anything but JSONDecodeError and TypeError passes through, and a failing `_serialize_item` writes nothing."""

    class Broken(EventLogSession):
        async def _serialize_item(self, item: Item) -> str:
            raise LookupError("no key")

        async def _deserialize_item(self, item: str) -> Item:
            raise LookupError("no key")

    store = MemoryStore()
    with pytest.raises(LookupError, match="no key"):
        await Broken("s", store=store).add_items(users(1))
    assert store._values == {}
    await EventLogSession("s", store=store).add_items(users(1))
    with pytest.raises(LookupError, match="no key"):
        await Broken("s", store=store).get_items()


@pytest.mark.parametrize("bad", [None, b"bytes", {"a": 1}, "\ud800"], ids=["None", "bytes", "dict", "surrogate"])
async def test_a_hook_must_return_a_proper_string(bad: object) -> None:
    """Else InvalidItem, and nothing is written."""

    class Wrong(EventLogSession):
        async def _serialize_item(self, item: Item) -> str:
            return cast("str", bad)

    store = MemoryStore()
    with pytest.raises(InvalidItem, match="_serialize_item"):
        await Wrong("s", store=store).add_items(users(1))
    assert store._values == {}


async def test_an_override_that_calls_super_sees_json() -> None:
    """The base hooks are DaprSession's: compact JSON with ASCII escapes out, JSON in."""
    seen: list[str] = []

    class Watching(EventLogSession):
        async def _serialize_item(self, item: Item) -> str:
            seen.append(await super()._serialize_item(item))
            return seen[-1]

        async def _deserialize_item(self, item: str) -> Item:
            seen.append(item)
            return await super()._deserialize_item(item)

    session = Watching("s", store=MemoryStore())
    await session.add_items([user("é")])
    assert await session.get_items() == [user("é")]
    assert seen == ['{"role":"user","content":"\\u00e9"}'] * 2


# ---- the past ----------------------------------------------------------------------------------------------------------


async def test_every_version_can_be_read_again(store: Store, session_id: str) -> None:
    """Whatever was popped or cleared since; with a limit, and with the version it stands at."""
    session = EventLogSession(session_id, store=store)
    await session.add_items(users(0, 1))
    await session.pop_item()
    await session.add_items(users(2, 3))
    await session.clear_session()
    await session.add_items(users(4))
    expected = [[], users(0, 1), users(0), users(0, 2, 3), [], users(4)]
    for at, items in enumerate(expected):
        past = session.at(at)
        assert await past.get_items() == items
        assert await past.get_items(1) == items[-1:]
        assert await past.get_items(limit=0) == []
        assert ((await past.read()).items, (await past.read()).version) == (items, at)
    with pytest.raises(NoSuchPoint, match="from 0 to 5"):
        await session.at(6).get_items()
    with pytest.raises(NoSuchPoint):
        await session.at(-1).get_items()


async def test_a_moment_is_the_last_version_by_then(store: Store, session_id: str) -> None:
    """In any time zone; before the first event that is version 0, after the last the newest."""
    session = EventLogSession(session_id, store=store)
    moments = [datetime.now(UTC) - timedelta(seconds=1)]
    for number in range(3):
        await session.add_items(users(number))
        await asyncio.sleep(0.002)
        moments.append(datetime.now(UTC).astimezone())
        await asyncio.sleep(0.002)
    for number, moment in enumerate(moments):
        assert await session.at(moment).get_items() == users(*range(number))
        assert (await session.at(moment).read()).version == number
    assert await session.at(datetime.max.replace(tzinfo=UTC)).get_items() == users(0, 1, 2)
    assert await session.at(datetime.min.replace(tzinfo=UTC)).get_items() == []


async def test_the_past_can_not_be_changed() -> None:
    """All three writes raise ReadOnlySession, a RuntimeError that says what to do; nothing changes."""
    session = EventLogSession("s", store=MemoryStore())
    await session.add_items(users(1))
    past = session.at(1)
    assert isinstance(past, PastSession)
    for attempt in (past.add_items(users(2)), past.add_items([]), past.pop_item(), past.clear_session()):
        with pytest.raises(ReadOnlySession, match=r"session that at\(\) was called on"):
            await attempt
    assert issubclass(ReadOnlySession, RuntimeError)
    assert await session.get_items() == users(1)


async def test_the_past_has_the_sessions_settings_and_reading() -> None:
    """The default limit and a subclass's own strings hold there too, and its id."""
    store = MemoryStore()
    session = Veiled("s", store=store, session_settings={"limit": 1})
    await session.add_items(users(0, 1))
    await session.clear_session()
    past = session.at(1)
    assert past.session_id == "s"
    assert past.session_settings == SessionSettings(limit=1)
    assert await past.get_items() == users(1)
    assert await past.get_items(5) == users(0, 1)


@pytest.mark.parametrize(
    "point",
    [
        datetime(2026, 1, 1),  # noqa: DTZ001 that is what is refused
        True,
        False,
        1.0,
        "",
        None,
        timedelta(seconds=-1),
        datetime(2026, 1, 1, tzinfo=UTC).date(),
        datetime(2026, 1, 1, tzinfo=UTC).timetz(),
    ],
    ids=repr,
)
def test_what_is_no_point_is_refused_at_once(point: object) -> None:
    """A naive datetime, a bool, a date, a time, an empty name, what is yet to come: ValueError that says what a point is."""
    session = EventLogSession("s", store=MemoryStore())
    with pytest.raises(ValueError, match="a version, a datetime with a time zone"):
        session.at(cast("Any", point))


async def test_the_past_of_a_closed_session_is_closed() -> None:
    """It reads through its session."""
    session = EventLogSession.from_url("s", url="memory://")
    await session.add_items(users(1))
    past = session.at(1)
    await session.close()
    with pytest.raises(SessionClosed):
        await past.get_items()


# ---- making one --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{}, {"state_store_name": "statestore"}, {"dapr_client": object()}], ids=repr)
def test_without_a_store_it_says_what_it_needs(given: dict[str, Any]) -> None:
    """TypeError, as Python raises for DaprSession's missing arguments, naming both ways."""
    with pytest.raises(TypeError, match="state_store_name and dapr_client, or a store"):
        EventLogSession("s", **given)


def test_a_client_of_another_kind_is_refused() -> None:
    """The blocking client, say, would fail at the first call only."""
    with pytest.raises(TypeError, match=r"dapr_client must be a dapr\.aio\.clients\.DaprClient"):
        EventLogSession("s", state_store_name="statestore", dapr_client=cast("Any", object()))


@pytest.mark.parametrize("ttl", [0, -1, 1.5, True, "60"], ids=repr)
def test_a_ttl_is_a_positive_whole_number_of_seconds(ttl: object) -> None:
    """Anything else would mean something else to each store."""
    with pytest.raises(ValueError, match="ttl must be a positive whole number of seconds or None"):
        EventLogSession("s", store=MemoryStore(), ttl=cast("Any", ttl))


def test_an_unknown_setting_is_refused() -> None:
    """As the SDK's backends do."""
    with pytest.raises(Exception, match="limits"):
        EventLogSession("s", store=MemoryStore(), session_settings={"limits": 3})


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis://localhost",
        "sqlite://",
        "sqlite:///",
        "sqlite://file.db",
        "sqlite+aiosqlite:///file.db",
        "/just/a/path.db",
        "memory://name",
        "dapr://localhost:50001",
        "dapr://localhost:50001/",
        "dapr:///",
        "dapr://localhost:50001/a/b",
    ],
)
def test_a_url_that_names_no_store_is_refused_with_the_forms_that_do(url: str) -> None:
    """ValueError at once, listing what is understood."""
    with pytest.raises(ValueError, match=r"sqlite:///FILE, memory:// or dapr://HOST:PORT/STATESTORE"):
        EventLogSession.from_url("s", url=url)


@pytest.mark.parametrize(
    "url", ["sqlite:///file.db?timeout=10", "sqlite:///file.db#part", "memory://?a=b", "dapr://localhost:50001/store?ttl=60"]
)
def test_a_url_with_options_that_do_nothing_is_refused(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes ``?ttl=60`` believes in it: silence would be wrong."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="names no store"):
        EventLogSession.from_url("s", url=url)


def test_sqlite_in_memory_is_not_a_file_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLAlchemy's ``sqlite:///:memory:`` is refused in favour of ``memory://``, rather than kept on disk."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="memory://"):
        EventLogSession.from_url("s", url="sqlite:///:memory:")


async def test_sqlite_urls_name_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative with three slashes, absolute with four, percent-encoded where needed; two URLs of one file are one store."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a dir").mkdir()
    names = {
        "sqlite:///plain.db": "plain.db",
        f"sqlite:///{tmp_path}/absolute.db": "absolute.db",
        "sqlite:///a%20dir/with%23and%3F%25.db": "a dir/with#and?%.db",
        "sqlite:///a dir/spaced out.db": "a dir/spaced out.db",
    }
    for number, (url, name) in enumerate(names.items()):
        async with EventLogSession.from_url("s", url=url) as session:
            await session.add_items(users(number))
            assert (tmp_path / name).is_file()
    async with (
        EventLogSession.from_url("s", url="sqlite:///plain.db") as relative,
        EventLogSession.from_url("s", url=f"sqlite:///{tmp_path}/plain.db", session_settings={"limit": 1}) as absolute,
    ):
        await relative.add_items(users(7))
        assert await absolute.get_items() == users(7)
        assert await absolute.get_items(5) == users(0, 7)


async def test_memory_is_fresh_each_time() -> None:
    """Two ``memory://`` sessions of one id share nothing."""
    async with (
        EventLogSession.from_url("s", url="memory://") as one,
        EventLogSession.from_url("s", url="memory:///") as two,
    ):
        await one.add_items(users(1))
        assert await two.get_items() == []
        assert await one.get_items() == users(1)


async def test_from_url_hands_arguments_on(tmp_path: Path) -> None:
    """What the constructor takes and checks."""
    with pytest.raises(ValueError, match="ttl"):
        EventLogSession.from_url("s", url="memory://", ttl=0)
    session = Veiled.from_url("s", url=f"sqlite:///{tmp_path}/s.db", ttl=60, session_settings=SessionSettings(limit=1))
    assert type(session) is Veiled
    async with session as entered:
        assert entered is session
        await session.add_items(users(1, 2))
        assert await session.get_items() == users(2)


@daprd
async def test_dapr_urls_name_a_component_behind_a_sidecar(
    rig: Rig, component: str, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With host and port, and without those of the environment as Dapr's SDKs read it."""
    async with EventLogSession.from_url(session_id, url=f"dapr://{rig.address}/{component}") as session:
        await session.add_items(users(1))
        assert await session.ping()
    host, port = rig.address.split(":")
    monkeypatch.setitem(vars(settings), "DAPR_GRPC_ENDPOINT", None)
    monkeypatch.setitem(vars(settings), "DAPR_RUNTIME_HOST", host)
    monkeypatch.setitem(vars(settings), "DAPR_GRPC_PORT", int(port))
    async with EventLogSession.from_url(session_id, url=f"dapr:///{component}") as session:
        assert await session.get_items() == users(1)
    monkeypatch.setitem(vars(settings), "DAPR_GRPC_ENDPOINT", rig.address)
    monkeypatch.setitem(vars(settings), "DAPR_GRPC_PORT", 1)
    async with EventLogSession.from_url(session_id, url=f"dapr:///{component}") as session:
        assert await session.get_items() == users(1)


async def test_ping_tells_whether_the_store_answers(store: Store, session_id: str) -> None:
    """True on a running one; it neither raises nor hangs."""
    async with asyncio.timeout(WAIT):
        assert await EventLogSession(session_id, store=store).ping()


async def test_ping_is_false_where_nobody_answers(tmp_path: Path) -> None:
    """No sidecar, no directory for the file: False, not an exception."""
    async with asyncio.timeout(WAIT):
        async with EventLogSession.from_address("s", state_store_name="x", dapr_address="127.0.0.1:1") as session:
            assert not await session.ping()
        async with EventLogSession.from_url("s", url=f"sqlite:///{tmp_path}/no/such/dir/s.db") as session:
            assert not await session.ping()


# ---- the end -----------------------------------------------------------------------------------------------------------


Opener = Callable[[], EventLogSession]


@pytest.fixture(params=["memory", "sqlite", "dapr"])
def owned(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """How to make a session that owns what it opened; the sidecar of the third need not run for what is tested with it."""
    urls = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/s.db", "dapr": "dapr://127.0.0.1:1/statestore"}
    return lambda: EventLogSession.from_url("s", url=urls[str(request.param)])


def of_address() -> EventLogSession:
    """A session made like DaprSession's, of a sidecar that need not run."""
    return EventLogSession.from_address("s", state_store_name="statestore", dapr_address="127.0.0.1:1")


async def refuses(session: EventLogSession) -> None:
    """Assert that every operation of *session* says that it is closed."""
    past = session.at(0)
    for attempt in (
        session.get_items(), session.get_items(0), session.add_items(users(1)), session.add_items([]), session.pop_item(),
        session.clear_session(), session.read(), session.ping(), past.get_items(), past.read(),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match=f"{type(session).__name__} is closed"):
            await attempt


async def test_a_closed_session_refuses_everything(owned: Opener) -> None:
    """RuntimeError as DaprSession, also for an empty add and for ping; closing again is nothing."""
    session = owned()
    await session.close()
    await refuses(session)
    await session.close()
    await asyncio.gather(session.close(), session.close())
    await refuses(session)
    assert issubclass(SessionClosed, RuntimeError)


async def test_leaving_the_context_closes(owned: Opener) -> None:
    """Also when it is left with an error."""
    with pytest.raises(KeyError):
        async with owned() as session:
            raise KeyError
    await refuses(session)


async def test_a_session_of_an_address_closes_its_client() -> None:
    """As DaprSession.from_address."""
    session = of_address()
    assert session._owns_client
    await asyncio.gather(session.close(), session.close(), session.close())
    assert session._client_released
    await refuses(session)


async def test_an_injected_store_stays_open(store: Store, session_id: str) -> None:
    """Closing a session that owns nothing is nothing: it and others go on."""
    async with EventLogSession(session_id, store=store) as session:
        await session.add_items(users(1))
    await session.close()
    await session.add_items(users(2))
    assert await session.ping()
    assert await EventLogSession(session_id, store=store).get_items() == users(1, 2)


@daprd
async def test_an_injected_client_stays_open(rig: Rig, component: str, session_id: str) -> None:
    """DaprSession's constructor, with the SDK's own client."""
    async with DaprClient(address=rig.address) as client:
        async with EventLogSession(session_id, state_store_name=component, dapr_client=client) as session:
            await session.add_items(users(1))
        assert await session.get_items() == users(1)
        other = EventLogSession(session_id, state_store_name=component, dapr_client=client)
        await other.add_items(users(2))
        assert await session.get_items() == users(1, 2)
        assert (await client.get_state(component, "nothing")).data == b""


class Failing:
    """A close that fails, or waits to be cancelled, before it works."""

    def __init__(self, close: Callable[[], Any], error: type[BaseException] | None) -> None:
        self.calls = 0
        self.entered = asyncio.Event()
        self._close = close
        self._error = error

    async def __call__(self) -> None:
        """Stand in for the real close."""
        self.calls += 1
        if self.calls == 1:
            self.entered.set()
            if self._error is not None:
                raise self._error("the first close fails")
            await asyncio.Event().wait()
        await self._close()


def fail_once(session: EventLogSession, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] | None) -> Failing:
    """Make the first release of what *session* owns fail."""
    target = session._dapr_client or session._store
    failing = Failing(target.close, error)
    monkeypatch.setattr(target, "close", failing)
    return failing


async def test_a_failed_close_is_final_and_can_be_retried(owned: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session is closed from the first attempt; the second releases, a third does nothing."""
    for session in (owned(), of_address()):
        failing = fail_once(session, monkeypatch, OSError)
        with pytest.raises(OSError, match="the first close fails"):
            await session.close()
        await refuses(session)
        await session.close()
        await session.close()
        assert failing.calls == 2
        await refuses(session)


async def test_a_cancelled_close_is_final_and_can_be_retried(owned: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same when it was cancelled half-way."""
    for session in (owned(), of_address()):
        failing = fail_once(session, monkeypatch, None)
        closing = asyncio.create_task(session.close())
        await asyncio.wait_for(failing.entered.wait(), WAIT)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await refuses(session)
        await session.close()
        assert failing.calls == 2


async def test_what_waits_behind_a_close_finds_it_closed(owned: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls made while a close is under way raise when it is through; none slips by."""
    session = owned()
    failing = fail_once(session, monkeypatch, None)
    closing = asyncio.create_task(session.close())
    await asyncio.wait_for(failing.entered.wait(), WAIT)
    waiting = [
        asyncio.create_task(call) for call in (session.get_items(), session.pop_item(), session.clear_session(), session.ping())
    ]
    await asyncio.sleep(0)
    closing.cancel()
    with suppress(asyncio.CancelledError):
        await closing
    async with asyncio.timeout(WAIT):
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [SessionClosed] * 4
    await session.close()


@pytest.fixture(params=["sqlite", *(pytest.param(f"dapr-{name}", marks=daprd) for name in ("redis", "postgresql"))])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that outlives the sessions of it, by URL."""
    kind = str(request.param)
    if kind == "sqlite":
        return f"sqlite:///{tmp_path}/s.db"
    running: Rig = request.getfixturevalue("rig")
    return f"dapr://{running.address}/{kind.removeprefix('dapr-')}"


async def reread(url: str, session_id: str) -> list[Item]:
    """What another session of the store reads."""
    async with EventLogSession.from_url(session_id, url=url) as session:
        return await session.get_items()


@pytest.mark.parametrize("size", [1, 600_000], ids=["small", "large"])
async def test_close_waits_for_what_is_under_way(url: str, size: int, session_id: str) -> None:
    """An add that was accepted is committed, or says that it was not; either is what another session then reads."""
    session = EventLogSession.from_url(session_id, url=url)
    items = [user(f"{number}" + "x" * size) for number in range(4)]
    adding = [asyncio.create_task(session.add_items([item])) for item in items]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    async with asyncio.timeout(WAIT):
        await session.close()
        results = await asyncio.gather(*adding, return_exceptions=True)
    assert {type(result) for result in results} <= {type(None), SessionClosed}
    acknowledged = [item for item, result in zip(items, results, strict=True) if result is None]
    found = await reread(url, session_id)  # calls made at once have no order among them
    assert sorted(map(str, found)) == sorted(map(str, acknowledged))
    await refuses(session)


async def test_a_read_under_way_ends_properly_when_the_session_is_closed(url: str, session_id: str) -> None:
    """It returns what it was asked for or says that the session is closed: no error of the store's machinery."""
    items = [user(f"{number} " + "x" * 5_000) for number in range(60)]
    async with EventLogSession.from_url(session_id, url=url) as session:
        for item in items:
            await session.add_items([item])
    for steps in (1, 2, 3, 5, 8, 13, 21, 34):
        session = EventLogSession.from_url(session_id, url=url)
        reading = [asyncio.create_task(session.get_items()) for _ in range(3)]
        for _ in range(steps):
            await asyncio.sleep(0)
        async with asyncio.timeout(WAIT):
            await session.close()
            for result in await asyncio.gather(*reading, return_exceptions=True):
                assert isinstance(result, SessionClosed) or result == items, repr(result)[:200]


async def test_one_session_closes_and_another_goes_on(url: str, session_id: str) -> None:
    """Sessions of one address or file share a connection, and the last one to close closes it."""
    one, two = (EventLogSession.from_url(session_id, url=url) for _ in range(2))
    other = EventLogSession.from_url(f"{session_id}-other", url=url)
    await asyncio.gather(one.add_items(users(1)), two.add_items(users(1)), other.add_items(users(2)))
    await one.close()
    await one.close()
    assert await two.get_items() == users(1, 1)
    await two.add_items(users(3))
    await two.close()
    assert await other.get_items() == users(2)
    await other.close()
    third = EventLogSession.from_url(session_id, url=url)
    assert await third.get_items() == users(1, 1, 3)
    await third.close()


async def test_opening_again_after_a_close_is_a_fresh_start(url: str, session_id: str) -> None:
    """While the closed session is still held: the new one has a connection of its own, works, and leaves none open."""
    held = []
    for number in range(3):
        session = EventLogSession.from_url(session_id, url=url)
        await session.add_items(users(number))
        assert await session.get_items() == users(*range(number + 1))
        _, log = session._opened or (None, None)
        assert log is not None
        assert log.store.identity == session._store.identity
        await session.close()
        held.append(session)


async def test_no_task_is_left_after_a_close(url: str, session_id: str) -> None:
    """What runs in the background (reading the head, deleting redundant keys) is settled."""
    before = asyncio.all_tasks()
    async with EventLogSession.from_url(session_id, url=url, ttl=3600) as session:
        for number in range(30):
            await session.add_items([user(f"{number} " + "x" * 2_000)])
    left = {task.get_name() for task in asyncio.all_tasks() - before if "eventlog" in task.get_name()}
    assert left == set()


# ---- any id ------------------------------------------------------------------------------------------------------------


HOSTILE_IDS = [
    pytest.param("", id="empty"),
    pytest.param(" ", id="space"),
    pytest.param("nul\0{}", id="nul"),
    pytest.param("a||b||{}", id="dapr separator"),
    pytest.param("{}:messages", id="daprsession key"),
    pytest.param("evl:{{x}}:h{}", id="our key"),
    pytest.param("🙂日本語\u202e{}", id="emoji"),
    pytest.param("lone \ud800 and \udfff{}", id="surrogates"),
    pytest.param("../..//%2f?#&{}", id="path"),
    pytest.param("' OR 1=1; --{}", id="sql"),
    pytest.param("x" * 10_000 + "{}", id="long"),
    pytest.param("line\r\nline\x1b[31m{}", id="control"),
]


@pytest.mark.parametrize("form", HOSTILE_IDS)
async def test_any_string_is_an_id(store: Store, form: str) -> None:
    """On every store: add, read from another object, pop, clear, read the past."""
    session_id = form.format(uuid4().hex) if "{" in form else form
    session = EventLogSession(session_id, store=store)
    await session.clear_session()  # the two ids that are the same each time
    await session.add_items(users(1, 2))
    again = EventLogSession(session_id, store=store)
    view = await again.read()
    assert view.items == users(1, 2)
    assert await again.pop_item() == users(2)[0]
    await session.clear_session()
    assert await again.get_items() == []
    assert await again.at(view.version).get_items() == users(1, 2)


async def test_similar_ids_are_different_sessions(store: Store) -> None:
    """Case, normal form, surrogate pair or the character it stands for, trailing space and NUL: no two are one."""
    prefix = uuid4().hex
    ids = ["a", "A", "é", "e\u0301", "a ", "a\0", "\ud83d\ude42", "🙂", "a:messages", "\uff41"]
    for number, one in enumerate(ids):
        await EventLogSession(prefix + one, store=store).add_items(users(number))
    for number, one in enumerate(ids):
        assert await EventLogSession(prefix + one, store=store).get_items() == users(number)


# ---- event loops -------------------------------------------------------------------------------------------------------


def test_one_session_on_several_loops_one_after_the_other(url: str, session_id: str) -> None:
    """``asyncio.run`` several times with the same object, then closed on yet another loop: no hang, no warning."""
    session = EventLogSession.from_url(session_id, url=url)

    async def use(number: int) -> list[Item]:
        async with asyncio.timeout(WAIT):
            await asyncio.gather(session.add_items(users(number)), session.get_items())
            return await session.get_items()

    for number in range(3):
        assert asyncio.run(use(number)) == users(*range(number + 1))
    asyncio.run(session.close())
    asyncio.run(refuses(session))
    assert asyncio.run(reread(url, session_id)) == users(0, 1, 2)


def test_a_contended_close_on_one_loop_and_again_on_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waited for a lock on the first loop does not tie the session to it."""
    session = EventLogSession.from_url("s", url=f"sqlite:///{tmp_path}/s.db")
    close = session._store.close
    calls = 0

    async def twice() -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        if calls <= 2:
            raise OSError("not yet")
        await close()

    monkeypatch.setattr(session._store, "close", twice)

    async def both() -> list[Any]:
        return list(await asyncio.gather(session.close(), session.close(), return_exceptions=True))

    assert [type(result) for result in asyncio.run(both())] == [OSError, OSError]
    assert asyncio.run(both()) == [None, None]


async def test_one_session_in_several_threads_at_once(url: str, session_id: str) -> None:
    """A loop for each thread, one session object for each, one store: all batches are there."""

    async def work(number: int) -> None:
        async with EventLogSession.from_url(session_id, url=url) as session:
            for place in range(5):
                await session.add_items(users(number, place))

    async with asyncio.timeout(60):
        await asyncio.gather(*(asyncio.to_thread(asyncio.run, work(number)) for number in range(4)))
    items = await reread(url, session_id)
    batches = [items[start : start + 2] for start in range(0, len(items), 2)]
    assert sorted(map(str, batches)) == sorted(str(users(number, place)) for number in range(4) for place in range(5))


SYNC = """
import sys
from agents import Agent, Runner, set_tracing_disabled
from agents.testing import ScriptedModel, assistant_message
from eventlog_session import EventLogSession

set_tracing_disabled(True)
session = EventLogSession.from_url(sys.argv[1], url=sys.argv[2], **eval(sys.argv[3]))
model = ScriptedModel([[assistant_message(f"answer {number} " + "x" * 3000)] for number in range(8)])
agent = Agent(name="agent", model=model)
for number in range(8):
    Runner.run_sync(agent, f"question {number}", session=session)
print(len(model.last_call.input))
"""


@pytest.mark.parametrize("arguments", ["{}", "{'ttl': 3600}"], ids=["plain", "ttl"])
def test_run_sync_leaves_no_noise_at_exit(url: str, session_id: str, arguments: str) -> None:
    """A script that never closes its session ends with nothing on stderr: no "Task was destroyed but it is pending"."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore::ResourceWarning", "-c", SYNC, session_id, url, arguments],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert (done.stdout, done.returncode) == ("15\n", 0)
    assert len(asyncio.run(reread(url, session_id))) == 16


# ---- the sidecar -------------------------------------------------------------------------------------------------------


class Recording(api_service_v1.DaprServicer):
    """A sidecar with a store that takes everything, and that notes who asked with which metadata."""

    def __init__(self) -> None:
        self.tokens: list[tuple[str, object]] = []
        self.consistencies: list[int] = []
        self.values: dict[str, bytes] = {}
        self.commits = 0
        self.answering = asyncio.Event()
        self.answering.set()
        self.asked = asyncio.Semaphore(0)

    async def _note(self, method: str, context: Any) -> None:
        self.tokens.append((method, dict(context.invocation_metadata()).get("dapr-api-token")))
        self.asked.release()
        await self.answering.wait()

    async def GetState(self, request: Any, context: Any) -> Any:  # noqa: N802 the service's
        """Return what there is."""
        await self._note("GetState", context)
        return api_v1.GetStateResponse(data=self.values.get(request.key, b""), etag=str(self.commits))

    async def GetMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802 the service's
        """Have one Redis."""
        await self._note("GetMetadata", context)
        return api_v1.GetMetadataResponse(
            registered_components=[api_v1.RegisteredComponents(name="statestore", type="state.redis")]
        )

    async def ExecuteStateTransaction(self, request: Any, context: Any) -> Any:  # noqa: N802 the service's
        """Take it."""
        await self._note("ExecuteStateTransaction", context)
        self.commits += 1
        for operation in request.operations:
            self.values[operation.request.key] = operation.request.value
        self.consistencies.append(request.operations[0].request.options.consistency)
        return import_module("google.protobuf.empty_pb2").Empty()


@pytest.fixture
async def recording() -> AsyncIterator[tuple[Recording, str]]:
    """A recording sidecar and its address."""
    servicer = Recording()
    server = grpc.aio.server()
    api_service_v1.add_DaprServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield servicer, f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.mark.parametrize("token", ["s3cret", None])
async def test_the_api_token_goes_with_every_call(
    recording: tuple[Recording, str], token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``DAPR_API_TOKEN`` is sent as Dapr's SDK sends it, on reads, commits and pings; without one, none is."""
    monkeypatch.setitem(vars(settings), "DAPR_API_TOKEN", token)
    sidecar, address = recording
    async with EventLogSession.from_address("s", state_store_name="statestore", dapr_address=address) as session:
        await session.add_items(users(1))
        assert await session.ping()
    assert {method for method, _ in sidecar.tokens} == {"GetState", "GetMetadata", "ExecuteStateTransaction"}
    assert {value for _, value in sidecar.tokens} == {token}


async def test_each_session_writes_with_its_own_consistency(recording: tuple[Recording, str]) -> None:
    """What one asked for is not what another on the same client gets."""
    sidecar, address = recording
    client = SidecarClient(address)
    for consistency in (DAPR_CONSISTENCY_EVENTUAL, DAPR_CONSISTENCY_STRONG, DAPR_CONSISTENCY_EVENTUAL):
        session = EventLogSession("s", state_store_name="statestore", dapr_client=client, consistency=consistency)
        await session.add_items(users(1))
    await client.close()
    assert sidecar.consistencies == [1, 2, 1]


async def test_ping_does_not_wait_for_ever(recording: tuple[Recording, str]) -> None:
    """A sidecar that takes the call and never answers is one that does not answer: False when the deadline is over."""
    sidecar, address = recording
    sidecar.answering.clear()
    async with asyncio.timeout(WAIT / 2):
        store = DaprStore(SidecarClient(address), "statestore", deadline=0.2)
        assert not await EventLogSession("s", store=store).ping()
        await store.close()
    sidecar.answering.set()


async def test_what_a_close_cuts_off_is_not_a_cancellation(recording: tuple[Recording, str]) -> None:
    """A call whose answer will not come is ended or waited for: CancelledError is for those who were cancelled."""
    sidecar, address = recording
    session = EventLogSession.from_address("s", state_store_name="statestore", dapr_address=address)
    sidecar.answering.clear()
    calls = [asyncio.create_task(call) for call in (session.get_items(), session.ping())]
    for _ in calls:
        await asyncio.wait_for(sidecar.asked.acquire(), WAIT)
    closing = asyncio.create_task(session.close())
    await asyncio.sleep(0.05)
    sidecar.answering.set()
    async with asyncio.timeout(WAIT):
        await closing
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert not any(isinstance(result, asyncio.CancelledError) for result in results), results


async def test_opening_neither_connects_nor_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_address` needs no HTTP port and no sidecar yet, unlike DaprSession's; calling needs one and says which."""
    monkeypatch.setitem(vars(settings), "DAPR_HTTP_PORT", 1)
    async with of_address() as session, asyncio.timeout(WAIT):
        with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1"):
            await session.get_items()
        with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1"):
            await session.add_items(users(1))


# ---- what DaprSession left ---------------------------------------------------------------------------------------------


class VeiledDaprSession(DaprSession):
    """The SDK's, with strings of its own."""

    _serialize_item = Veiled._serialize_item
    _deserialize_item = Veiled._deserialize_item


Pair = tuple[DaprSession, EventLogSession]


@pytest.fixture
async def swapped(rig: Rig, component: str, session_id: str) -> AsyncIterator[Pair]:
    """The same two lines with one import swapped: a real DaprSession, and ours of the same arguments."""
    old = DaprSession.from_address(session_id, state_store_name=component, dapr_address=rig.address)
    new = EventLogSession.from_address(session_id, state_store_name=component, dapr_address=rig.address)
    yield old, new
    await old.close()
    await new.close()


async def put(session: DaprSession, value: str) -> None:
    """Write what is under DaprSession's key."""
    await session._dapr_client.save_state(session._state_store_name, session._messages_key, value)


async def raw(session: DaprSession) -> bytes:
    """Read what is under DaprSession's key."""
    found: bytes = (await session._dapr_client.get_state(session._state_store_name, session._messages_key)).data
    return found


async def test_a_daprsessions_history_is_there_and_goes_on(swapped: Pair) -> None:
    """After swapping the import: read with any limit, then added to; the source stays as it was."""
    old, new = swapped
    await old.add_items(users(0, 1))
    await old.add_items([user("é 🙂 \ud800")])
    before = await raw(old)
    history = await old.get_items()
    assert await new.get_items() == history
    for limit in (-1, 0, 1, 2, 3, 4, 2**31 - 1):
        assert await new.get_items(limit) == await old.get_items(limit)
    assert (await new.read()).version == 1
    await new.add_items(users(3))
    assert (await new.read()).version == 2
    assert await new.get_items() == [*history, *users(3)]
    assert await new.get_items(2) == [history[-1], *users(3)]
    assert await new.at(1).get_items() == history
    assert await raw(old) == before


async def test_a_daprsessions_history_can_be_popped(swapped: Pair) -> None:
    """Item by item, until there is none."""
    old, new = swapped
    await old.add_items(users(0, 1, 2))
    assert [await new.pop_item() for _ in range(4)] == [*users(2, 1, 0), None]
    assert await new.get_items() == []
    await new.add_items(users(9))
    assert await new.get_items() == users(9)


async def test_a_daprsessions_history_can_be_cleared(swapped: Pair) -> None:
    """It does not come back, and is still in the log."""
    old, new = swapped
    await old.add_items(users(0, 1))
    await new.clear_session()
    assert await new.get_items() == []
    assert await new.at(1).get_items() == users(0, 1)
    await new.add_items(users(2))
    assert await new.get_items() == users(2)


async def test_a_daprsessions_history_can_be_left_alone(rig: Rig, component: str, session_id: str) -> None:
    """With ``legacy="ignore"`` a session starts empty."""
    async with DaprSession.from_address(session_id, state_store_name=component, dapr_address=rig.address) as old:
        await old.add_items(users(1))
    async with EventLogSession.from_url(session_id, url=f"dapr://{rig.address}/{component}", legacy="ignore") as new:
        assert await new.get_items() == []
        await new.add_items(users(2))
        assert await new.get_items() == users(2)


async def test_a_daprsessions_own_strings_are_read_by_the_same_overrides(rig: Rig, component: str, session_id: str) -> None:
    """A subclass that encrypts keeps working with its base swapped."""
    arguments: dict[str, Any] = {"state_store_name": component, "dapr_address": rig.address}
    async with VeiledDaprSession.from_address(session_id, **arguments) as old:
        await old.add_items([user("secret"), user("words")])
    async with Veiled.from_address(session_id, **arguments) as new:
        assert await new.get_items() == [user("secret"), user("words")]
        assert await new.get_items(1) == [user("words")]
        await new.add_items([user("more")])
        assert await new.pop_item() == user("more")
        assert await new.pop_item() == user("words")
        assert await new.get_items() == [user("secret")]


@pytest.mark.parametrize("value", ["{not json", '{"a": 1}', '"text"', "7"])
async def test_a_damaged_daprsession_is_not_built_upon(swapped: Pair, value: str) -> None:
    """CorruptLog, a ValueError as DaprSession's, names the key; nothing is written, and the value stays for repair."""
    old, new = swapped
    await put(old, value)
    before = await raw(old)
    for attempt in (new.add_items(users(1)), new.get_items(), new.pop_item(), new.clear_session()):
        with pytest.raises(CorruptLog, match=f"{old._messages_key}: the stored Dapr session messages"):
            await attempt
    assert issubclass(CorruptLog, ValueError)
    assert await raw(old) == before
    assert await new._store.get(keyed(new).head) is None
    await old.clear_session()
    await new.add_items(users(1))
    assert await new.get_items() == users(1)


async def test_odd_entries_of_a_daprsession_are_read_as_it_reads_them(swapped: Pair) -> None:
    """Entries that are objects are items; those that are no JSON are skipped, and limits count past them."""
    old, new = swapped
    entries = [json.dumps(user("0")), user("1"), "{broken", json.dumps(user("2")), "{broken", "also broken"]
    await put(old, json.dumps(entries))
    assert await old.get_items() == users(0, 1, 2)
    assert await new.get_items() == users(0, 1, 2)
    for limit in (1, 2, 3, 4, 10):
        assert await old.get_items(limit) == users(0, 1, 2)[-limit:]
        assert await new.get_items(limit) == users(0, 1, 2)[-limit:], limit
    assert await new.pop_item() == user("2")
    assert await new.get_items() == users(0, 1)
    await new.add_items(users(3))
    assert await new.get_items(2) == users(1, 3)


async def test_a_daprsession_without_items_is_nothing(swapped: Pair) -> None:
    """Its empty list and its metadata are no history."""
    old, new = swapped
    await old.add_items(users(1))
    await old.pop_item()
    assert await new.get_items() == []
    assert await new.pop_item() is None
    await new.add_items(users(2))
    assert (await new.read()).version == 1


async def test_two_sessions_take_over_one_history_once(swapped: Pair, rig: Rig, component: str) -> None:
    """Racing, with connections of their own: both add, the old items are there once."""
    old, new = swapped
    await old.add_items(users(0, 1))
    async with DaprClient(address=rig.address) as client, asyncio.timeout(WAIT):
        other = EventLogSession(new.session_id, state_store_name=component, dapr_client=client)
        assert await other.get_items() == await new.get_items() == users(0, 1)
        await asyncio.gather(new.add_items(users(2)), other.add_items(users(3)))
        items = await new.get_items()
        assert items[:2] == users(0, 1)
        assert sorted(map(str, items[2:])) == sorted(map(str, users(2, 3)))
        assert await other.get_items() == items


def test_the_shared_connection_is_let_go(session_id: str) -> None:
    """When the last session of an address closes, the registry of connections forgets it."""
    from eventlog_session.stores import sidecar

    one, two = SidecarClient("127.0.0.1:9"), SidecarClient("127.0.0.1:9")
    assert one.connection is two.connection
    asyncio.run(one.close())
    assert "127.0.0.1:9" in sidecar._connections
    asyncio.run(two.close())
    assert "127.0.0.1:9" not in sidecar._connections
