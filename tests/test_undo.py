"""Undo and redo against a plain editor with its two stacks, through sealing, index nodes and remarks in between."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model import examples, small_limits
from staged import whole

from eventlog_session import Conflict, EventLog, HistoryTrimmed, Limits, MemoryStore, Store
from eventlog_session.protocol.lane import Expected
from eventlog_session.revising import Moved, Told, pop_newest, replace, step, tag
from eventlog_session.stores.base import Put
from eventlog_session.testing import CountingStore

TOLD = Told({})
SMALL = Limits(tail_events=3, carried_bytes=200, index_segments=4, index_nodes=4)


class Op(NamedTuple):
    """Something done to a session; what *pick* means depends on the history."""

    kind: str
    pick: int


class Editor:
    """A document with undo and redo, as everybody knows them."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.past: list[list[Any]] = []
        self.future: list[list[Any]] = []

    def change(self, items: list[Any]) -> None:
        """Do something new: what was undone is forgotten."""
        self.past.append(self.items)
        self.future.clear()
        self.items = items

    def undo(self, steps: int) -> bool:
        """Take back *steps* changes, or nothing if there are fewer."""
        return self._move(self.past, self.future, steps)

    def redo(self, steps: int) -> bool:
        """Take back *steps* undos, or nothing if there are fewer."""
        return self._move(self.future, self.past, steps)

    def _move(self, there: list[list[Any]], back: list[list[Any]], steps: int) -> bool:
        if len(there) < steps:
            return False
        for _ in range(steps):
            back.append(self.items)
            self.items = there.pop()
        return True


def operations() -> st.SearchStrategy[list[Op]]:
    """Sequences of changes, undos and redos, with remarks among them."""
    kinds = st.sampled_from(
        ("add", "add", "pop", "pops", "clear", "rewind", "replace", "undo", "undo", "undos", "redo", "redos", "tag")
    )
    return st.lists(st.builds(Op, kinds, st.integers(0, 99)), max_size=60)


async def edited(store: Store, ops: Sequence[Op], limits: Limits) -> None:  # noqa: C901 a case for each kind
    """Do *ops* to a log and to an editor, and compare after each."""
    log, editor = EventLog(store, "a session", limits=limits), Editor()
    versions = [editor.items]
    for number, (kind, pick) in enumerate(ops):
        before = list(editor.items)
        if kind == "add":
            await log.add(orjson.dumps([number]), 1)
            editor.change([*before, number])
        elif kind in ("pop", "pops") and before:
            many = 1 if kind == "pop" else pick % 4 + 1
            answer = await pop_newest(log, many, TOLD)
            editor.change(before[:-many])
            assert list(answer.items) == before[-many:]
        elif kind == "clear" and before:
            await log.clear()
            editor.change([])
        elif kind == "rewind":
            version = pick % len(versions)
            if (await log.rewind(version)).version is not None:
                editor.change(versions[version])
        elif kind == "replace" and before:
            keep = pick % len(before)
            on = Expected(await log.version())
            await replace(log, len(before) - keep, orjson.dumps([-number]), 1, (), TOLD._replace(expected=on))
            editor.change([*before[:keep], -number])
        elif kind in ("undo", "undos", "redo", "redos"):
            steps = 1 if len(kind) == 4 else pick % 3 + 1
            moved = await step(log, steps, TOLD, forward=kind.startswith("redo"))
            done = editor.redo(steps) if kind.startswith("redo") else editor.undo(steps)
            assert (moved is not None) == done
        elif kind == "tag":
            assert await tag(log, f"t{pick % 5}", None, TOLD) == len(versions) - 1
        found = await log.read()
        assert found.items == editor.items
        while len(versions) <= found.version:
            versions.append(list(editor.items))
    fresh = EventLog(store, "a session", limits=limits)
    for version, items in enumerate(versions):
        assert (await fresh.read(None, version)).items == items


@examples(300)
@given(operations(), small_limits())
def test_the_history_is_the_editors(ops: list[Op], limits: Limits) -> None:
    """After every step, and every version still reads as it did then."""
    asyncio.run(edited(MemoryStore(), ops, limits))


async def numbers(log: EventLog, number: int) -> None:
    """Add *number* events of an item each."""
    await asyncio.gather(*(log.add(orjson.dumps([one]), 1) for one in range(number)))


async def test_undoing_all_at_once_is_undoing_one_by_one(store: Store, session_id: str) -> None:
    """And redoing one by one brings all of it back."""
    log = EventLog(store, session_id, limits=SMALL)
    await numbers(log, 20)
    assert await step(log, 15, TOLD) == Moved(21, 5, tuple(range(20, 5, -1)))
    assert await whole(store, session_id) == [0, 1, 2, 3, 4]
    for one in range(5, 20):
        moved = await step(log, 1, TOLD, forward=True)
        assert moved is not None
        assert moved.changes == (one + 1,)
        assert (await log.read()).items == list(range(one + 1))
    assert await step(log, 1, TOLD, forward=True) is None
    assert await step(log, 21, TOLD) is None
    assert (await log.read()).items == list(range(20))


async def test_undo_of_a_clear_is_one_commit(plain: MemoryStore, session_id: str) -> None:
    """Whatever there was."""
    store = CountingStore(plain)
    log = EventLog(store, session_id)
    await numbers(log, 10_000)
    await log.clear()
    await log.settle()
    store.reset()
    assert (await step(log, 1, TOLD)) == Moved(10_002, 10_000, (10_001,))
    assert store.calls["commit"] == 1
    assert store.trips <= 2
    assert len((await log.read()).items) == 10_000


async def test_undo_undoes_nobody_elses_change(session_id: str) -> None:
    """Who decided on an older version is told, and nothing is written."""
    store = MemoryStore()
    log, other = EventLog(store, session_id), EventLog(store, session_id)
    await numbers(log, 2)
    with pytest.raises(Conflict):
        await step(log, 1, Told({}, None, Expected(1)))
    held = log.submit

    async def late(*told: Any, **effect: Any) -> Any:
        await other.add(b'["theirs"]', 1)
        return await held(*told, **effect)

    log.submit = late  # type: ignore[method-assign]
    with pytest.raises(Conflict):
        await step(log, 1, TOLD)
    assert (await other.read()).items == [0, 1, "theirs"]


async def test_what_a_dapr_session_left_is_not_undone(session_id: str) -> None:
    """It is where the log begins."""
    store = MemoryStore()
    await store.put_many([Put(f"{session_id}:messages", b'["{\\"a\\":1}"]')])
    log = EventLog(store, session_id)
    assert await step(log, 1, TOLD) is None
    await log.add(b"[2]", 1)
    assert await step(log, 2, TOLD) is None
    assert await step(log, 1, TOLD) is not None
    assert (await log.read()).items == [{"a": 1}]


async def test_what_was_trimmed_can_not_be_undone(session_id: str) -> None:
    """It says so, and changes nothing."""
    store = MemoryStore()
    log = EventLog(store, session_id, limits=SMALL)
    await numbers(log, 30)
    await log.clear()
    await log.trim(31)
    with pytest.raises(HistoryTrimmed):
        await step(log, 1, TOLD)
    assert (await log.read()).items == []


async def test_of_what_a_dapr_session_left_all_is_popped_where_there_is_less(session_id: str) -> None:
    """It is no event yet, and stands there all the same."""
    store = MemoryStore()
    await store.put_many([Put(f"{session_id}:messages", b'["{\\"a\\":1}","{\\"b\\":2}"]')])
    answer = await pop_newest(EventLog(store, session_id), 3, TOLD)
    assert list(answer.items) == [{"a": 1}, {"b": 2}]
    assert await whole(store, session_id) == []


async def test_what_a_dapr_session_left_is_the_version_expected(session_id: str) -> None:
    """What reads as version 1 is to be expected as such, and not as the head without events that there is."""
    store = MemoryStore()
    await store.put_many([Put(f"{session_id}:messages", b'["{\\"a\\":1}"]')])
    log = EventLog(store, session_id)
    view = await log.read()
    on = TOLD._replace(expected=Expected(view.version, view.generation))
    assert await step(log, 1, on) is None
    assert await step(log, 1, on, forward=True) is None
    for kind in (step, pop_newest):
        with pytest.raises(Conflict):
            await kind(log, 2, TOLD._replace(expected=Expected(0)))
    assert list((await pop_newest(log, 2, on)).items) == [{"a": 1}]
