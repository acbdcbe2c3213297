"""Whole logs at once: forks, files of events, and what is refused."""

import asyncio
import io
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model import examples, small_limits
from staged import Faulty, whole

from eventlog_session import (
    BeingErased,
    Conflict,
    EventLog,
    HistoryTrimmed,
    InvalidExport,
    Limits,
    MemoryStore,
    NoSuchPoint,
    SessionExists,
    Store,
    Unavailable,
)
from eventlog_session.copying import fork, restore
from eventlog_session.core.events import to_datetime
from eventlog_session.exporting import dump, lines, load, recorded, session_of
from eventlog_session.revising import Told, step, tag
from eventlog_session.stores.base import Put
from eventlog_session.testing import CountingStore

TOLD = Told({})
SMALL = Limits(inline_bytes=64, value_bytes=200, tail_events=3, carried_bytes=200, index_segments=4, index_nodes=4)


async def grown(log: EventLog, picks: list[int]) -> None:
    """Do many different things to a session."""
    for number, pick in enumerate(picks):
        newest = await log.version()
        kind = pick % 9
        if kind < 4:
            await log.add(orjson.dumps([f"{number} " + "x" * (pick % 5) ** 4]), 1)
        elif kind == 4:
            await log.pop()
        elif kind == 5:
            await log.rewind(pick % (newest + 1))
        elif kind == 6:
            await step(log, 1, TOLD)
        elif kind == 7:
            await step(log, 1, TOLD, forward=True)
        elif pick % 2:
            await log.clear()
        else:
            await tag(log, f"tag {pick % 3}", None, TOLD)


async def versions(log: EventLog, first: int = 0, last: int | None = None) -> list[list[Any]]:
    """Return what every version reads as."""
    return [
        (await log.read(None, version)).items for version in range(first, (await log.version() if last is None else last) + 1)
    ]


async def content(log: EventLog) -> bytes:
    """Return the log's file."""
    file = io.BytesIO()
    await dump(log, file)
    return file.getvalue()


@examples(120)
@given(st.lists(st.integers(0, 999), max_size=50), small_limits(), small_limits(), st.integers(0, 60))
def test_a_copy_reads_the_same_at_every_version(picks: list[int], limits: Limits, others: Limits, at: int) -> None:
    """A fork and an import, also under other limits; the file of an import is the file that it was made of."""

    async def run() -> None:
        store = MemoryStore()
        log = EventLog(store, "parent", limits=limits)
        await grown(log, picks)
        upto = min(at, await log.version())
        new = EventLog(store, "child", limits=others)
        assert await fork(log, new, upto, {}) == upto + 1
        assert await versions(new, 0, upto) == await versions(log, 0, upto)
        head = await new.head()
        assert head.forked == (log.keys.source, upto)
        assert (await new.verify()).sound
        file = await content(log)
        if file:
            copy = EventLog(MemoryStore(), "parent", limits=others)
            await load(copy, file.splitlines(keepends=True))
            assert await content(copy) == file
            assert await versions(copy) == await versions(log)
            assert (await copy.head()).tags == (await log.head()).tags
            assert (await copy.verify()).sound
            async for one in log.walk():
                moment = to_datetime(one.committed)
                assert await copy.version(moment) == await log.version(moment)

    asyncio.run(run())


async def test_neither_is_part_of_the_other(store: Store, session_id: str) -> None:
    """Whatever is done to one, erasing it included."""
    log = EventLog(store, session_id, limits=SMALL)
    new = EventLog(store, session_id + "-b", limits=SMALL)
    await grown(log, list(range(0, 300, 7)))
    await log.add(b'["last"]', 1)
    before = await versions(log)
    await fork(log, new, None, {})
    await grown(new, list(range(0, 200, 3)))
    await new.clear()
    assert await versions(log) == before
    others = await versions(new)
    await log.erase(0)
    assert await versions(EventLog(store, session_id + "-b", limits=SMALL)) == others
    assert (await new.verify()).sound


async def test_undo_reaches_into_what_was_forked(session_id: str) -> None:
    """The fork is no change: undoing goes on in the parent's history, in the fork alone."""
    store = MemoryStore()
    log, new = EventLog(store, session_id), EventLog(store, session_id + "-b")
    for item in (b"[1]", b"[2]"):
        await log.add(item, 1)
    await fork(log, new, None, {})
    await step(new, 1, TOLD)
    assert (await new.read()).items == [1]
    assert (await log.read()).items == [1, 2]


async def test_a_fork_costs_what_reading_and_writing_it_does(session_id: str) -> None:
    """Not a commit for each event."""
    counted = CountingStore(MemoryStore())
    log, new = EventLog(MemoryStore(), session_id), EventLog(counted, session_id)
    await asyncio.gather(*(log.add(orjson.dumps([[number, "x" * 300]]), 1) for number in range(5_000)))
    await fork(log, new, None, {})
    assert counted.calls["commit"] == 1
    assert counted.trips <= 6
    assert len((await new.read()).items) == 5_000


async def test_a_fork_keeps_the_ttl(session_id: str) -> None:
    """From now on, and lives as long as any session of that ttl."""
    store = MemoryStore()
    log, new = EventLog(store, session_id), EventLog(store, session_id + "-b")
    await log.add(b"[1]", 1, ttl=500)
    await fork(log, new, None, {})
    head = await new.head()
    assert head.ttl == 500
    assert head.values_expire is not None


async def test_a_trimmed_log_is_copied_from_its_floor_on(session_id: str) -> None:
    """Every version that can be read reads the same; an older one says that it was trimmed, there as here."""
    store = MemoryStore()
    log, new = EventLog(store, session_id, limits=SMALL), EventLog(store, session_id + "-b", limits=SMALL)
    for number in range(40):
        await log.add(orjson.dumps([[number, "x" * (number % 3 * 90)]]), 1)
    await log.rewind(5)
    await log.trim(25)
    await log.rewind(30)
    await fork(log, new, None, {})
    newest = await log.version()
    assert await versions(new, 25, newest) == await versions(log, 25, newest)
    with pytest.raises(HistoryTrimmed):
        await new.read(None, 24)
    assert (await new.verify()).sound
    copy = EventLog(MemoryStore(), session_id, limits=SMALL)
    file = await content(log)
    await load(copy, file.splitlines(keepends=True))
    assert await versions(copy, 25) == await versions(log, 25)
    assert await content(copy) == file


async def test_there_must_be_nothing_where_it_goes(session_id: str) -> None:
    """No session, and no history of a DaprSession; nothing is written, not even ahead."""
    store = CountingStore(MemoryStore())
    log, new = EventLog(store, session_id), EventLog(store, session_id + "-b")
    await log.add(b"[1]", 1)
    await new.add(b"[2]", 1)
    store.reset()
    with pytest.raises(SessionExists):
        await fork(log, new, None, {})
    await store.put_many([Put("c:messages", b'["{}"]')])
    with pytest.raises(SessionExists):
        await fork(log, EventLog(store, "c"), None, {})
    assert store.calls["put_many"] == 1
    assert store.calls["commit"] == 0
    assert await whole(store, session_id + "-b") == [2]
    with pytest.raises(NoSuchPoint):
        await fork(log, EventLog(store, "d"), 7, {})


async def test_of_two_at_once_one_is_refused(session_id: str) -> None:
    """Also when the other came between the look and the head."""
    store = Faulty()
    log, new = EventLog(store, session_id), EventLog(store, session_id + "-b")
    await log.add(b"[1]", 1)
    other = EventLog(store, session_id + "-b")
    taken = new.submit_copy

    async def late(copy: Any) -> Any:
        await other.add(b"[2]", 1)
        return await taken(copy)

    new.submit_copy = late  # type: ignore[method-assign]
    with pytest.raises(SessionExists):
        await fork(log, new, None, {})
    assert await whole(store, session_id + "-b") == [2]


async def _file(session_id: str) -> list[bytes]:
    """Return the file of a log that has parts, large events and segments."""
    log = EventLog(MemoryStore(), session_id, limits=SMALL)
    for number in range(12):
        await log.add(orjson.dumps([f"{number} " + "x" * (number % 3 * 150)]), 1)
    return (await content(log)).splitlines(keepends=True)


async def test_what_was_erased_and_is_imported_again_has_keys_of_its_own(session_id: str) -> None:
    """So an eraser that is late deletes nothing of it: there may be two, and one of them done."""
    store, file = MemoryStore(), await _file(session_id)
    log = EventLog(store, session_id, limits=SMALL)
    await load(log, file)
    before = await versions(log)
    gone = await log.erase(0)
    await load(log, file)
    await store.delete_many(gone.keys)
    assert await versions(EventLog(store, session_id, limits=SMALL)) == before
    assert (await log.verify()).sound
    again = await log.erase(0)
    assert not set(gone.keys) & {key for key in again.keys if not key.startswith(session_id)}


async def test_an_erasure_between_the_values_of_a_copy_and_its_head_is_told(session_id: str) -> None:
    """It may have been of the same events, and have deleted what is written already."""
    store, file = MemoryStore(), await _file(session_id)
    log, other = EventLog(store, session_id, limits=SMALL), EventLog(store, session_id, limits=SMALL)
    taken = log.submit_copy

    async def late(copy: Any) -> Any:
        await load(other, file)
        await other.erase(0)
        return await taken(copy)

    log.submit_copy = late  # type: ignore[method-assign]
    with pytest.raises(Conflict):
        await load(log, file)
    assert await whole(store, session_id) == []
    log.submit_copy = taken  # type: ignore[method-assign]
    await load(log, file)
    assert len(await whole(store, session_id)) == 12


async def test_nothing_is_copied_to_what_is_being_erased(session_id: str) -> None:
    """Not even written ahead."""
    store = CountingStore(MemoryStore())
    log = EventLog(store, session_id)
    await log.add(b"[1]", 1)
    erasing = asyncio.create_task(log.erase(3600))
    async with asyncio.timeout(10):
        while not (await EventLog(store, session_id).located(None))[0].tombstone:  # noqa: ASYNC110 nobody sets an event
            await asyncio.sleep(0)
    store.reset()
    with pytest.raises(BeingErased):
        await load(EventLog(store, session_id, limits=SMALL), await _file(session_id))
    assert store.calls["put_many"] == 0
    erasing.cancel()


@pytest.mark.parametrize("word", ["lost", "dropped", "lie"])
async def test_a_copys_head_is_settled_like_any_commit(word: str, session_id: str) -> None:
    """A reply that was lost is resolved by reading who stands there."""
    store = Faulty(word)
    log, new = EventLog(MemoryStore(), session_id), EventLog(store, session_id)
    await log.add(b"[1]", 1)
    if word == "lie":
        store.plan.clear()
    await fork(log, new, None, {})
    assert await whole(store, session_id) == [1]


async def test_what_was_erased_can_be_copied_to(session_id: str) -> None:
    """The id can be used again, as for any session."""
    store = MemoryStore()
    log = EventLog(store, session_id)
    await log.add(b"[1]", 1)
    file = await content(log)
    await log.erase(0)
    await load(log, file.splitlines(keepends=True))
    assert (await log.read()).items == [1]
    assert (await log.head()).erased
    again = [orjson.loads(line) for line in (await content(log)).splitlines()]
    before = [orjson.loads(line) for line in file.splitlines()]
    assert [one.pop("id") for one in again] != [one.pop("id") for one in before]
    assert again == before


# ---- files that are refused ----------------------------------------------------------------------------------------


async def broken(change: Any) -> tuple[CountingStore, pytest.ExceptionInfo[InvalidExport]]:
    """Return the store and the error of an import of a file that *change* was done to."""
    log = EventLog(MemoryStore(), "s")
    for number in range(5):
        await log.add(orjson.dumps([number]), 1)
    await log.pop()
    await log.rewind(3)
    rows = [orjson.loads(line) for line in (await content(log)).splitlines()]
    changed = change(rows)
    text = changed if isinstance(changed, list) else rows
    store = CountingStore(MemoryStore())
    with pytest.raises(InvalidExport) as caught:
        await load(EventLog(store, "s"), [row if isinstance(row, bytes) else orjson.dumps(row) for row in text])
    return store, caught


BROKEN: dict[str, tuple[Any, str]] = {
    "nothing": (lambda _: [], "no event"),
    "the end missing": (lambda rows: rows[:-1], "cut short"),
    "a line missing": (lambda rows: rows[:2] + rows[3:], "3"),
    "a line twice": (lambda rows: rows[:2] + rows[1:], "3"),
    "out of order": (lambda rows: [rows[1], rows[0], *rows[2:]], "1"),
    "a line cut": (lambda rows: [*rows[:3], b'{"cut', *rows[4:]], "line 4"),
    "no object": (lambda rows: [*rows[:3], b"[]", *rows[4:]], "line 4"),
    "another type": (lambda rows: rows[3].update(type="org.example.else"), "line 4"),
    "another id": (lambda rows: rows[3].update(id="short"), "line 4"),
    "another source": (lambda rows: rows[3].update(source="urn:else"), "line 4"),
    "another subject": (lambda rows: rows[3].update(subject="another"), "line 4"),
    "no time": (lambda rows: rows[3].update(recordedtime="yesterday"), "line 4"),
    "an earlier time": (lambda rows: rows[3].update(recordedtime="2001-01-01T00:00:00.000000Z"), "4"),
    "too many pops": (lambda rows: rows[5]["data"].update(pops=9), "6"),
    "a later base": (lambda rows: rows[6]["data"].update(base=7), "7"),
    "a base before all": (lambda rows: rows[6]["data"].update(base=-1), "7"),
    "no items": (lambda rows: rows[3]["data"].update(items={}), "line 4"),
    "no sequence": (lambda rows: rows[3].pop("sequence") and None, "line 4"),
    "no number": (lambda rows: rows[3].update(sequence="x"), "line 4"),
}


@pytest.mark.parametrize(("change", "where"), BROKEN.values(), ids=BROKEN)
async def test_a_file_that_is_no_log_is_refused(change: Any, where: str) -> None:
    """With the line named, and before anything is written."""
    store, caught = await broken(change)
    assert where in str(caught.value)
    assert store.calls["put_many"] == store.calls["commit"] == 0


@pytest.mark.parametrize("session_id", ["plain", "a%20b", "a b", "tenant-a:user 1", "", "new\nline", "\ud800", "日本"])
async def test_a_file_tells_whose_it_is(session_id: str) -> None:
    """Whatever the id: it is checked against the source."""
    log = EventLog(MemoryStore(), session_id)
    await log.add(b"[1]", 1)
    (line,) = [line async for line in lines(log)]
    assert session_of(line) == session_id


async def test_a_file_up_to_a_point(session_id: str) -> None:
    """A whole log by itself."""
    log = EventLog(MemoryStore(), session_id)
    for number in range(5):
        await log.add(orjson.dumps([number]), 1)
    found = list(recorded([line async for line in lines(log, 3)]))
    assert [one.version for one in found] == [1, 2, 3]
    with pytest.raises(NoSuchPoint):
        [line async for line in lines(log, 9)]
    assert await log.version(timedelta()) == 5


async def test_a_store_that_fails_meanwhile_leaves_no_session(session_id: str) -> None:
    """What was written ahead is named by nothing, and the same again goes through."""

    class Failing(MemoryStore):
        down = True

        async def put_many(self, values: Any) -> None:
            if self.down:
                raise Unavailable("down")
            await super().put_many(values)

    log, store = EventLog(MemoryStore(), session_id, limits=SMALL), Failing()
    await asyncio.gather(*(log.add(orjson.dumps([number]), 1) for number in range(50)))
    new = EventLog(store, session_id, limits=SMALL)
    with pytest.raises(Unavailable):
        await fork(log, new, None, {})
    assert await new.version() == 0
    store.down = False
    await fork(log, new, None, {})
    assert len((await new.read()).items) == 50


async def test_restore_takes_events_that_follow_only(session_id: str) -> None:
    """Whoever makes events of their own is told what is wrong with them."""
    log = EventLog(MemoryStore(), session_id)
    await log.add(b"[1]", 1)
    rows = [one async for one in log.walk()]

    async def twice() -> Any:
        for one in [*rows, *rows]:
            yield one

    with pytest.raises(InvalidExport, match="event 2"):
        await restore(EventLog(MemoryStore(), session_id), twice())
