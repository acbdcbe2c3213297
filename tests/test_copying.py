"""Whole logs at once: forks, files of events, and what is refused."""

import asyncio
import io
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model import damaged, examples, misshapen, small_limits
from played import Act, Played, acts, limits
from staged import Faulty, Time, whole

from eventlog_session import (
    BeingErased,
    Conflict,
    EventLog,
    EventLogSession,
    HistoryTrimmed,
    IdempotencyKeyReused,
    InvalidExport,
    Limits,
    MemoryStore,
    NoSuchPoint,
    OutcomeUnknown,
    SessionExists,
    Store,
    Unavailable,
)
from eventlog_session.copying import fork, restore
from eventlog_session.core.events import ADOPTED, CLEARED, POPPED, REPLACED, REWOUND, TYPES, to_datetime
from eventlog_session.core.items import encode
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
        if not await log.version():
            with pytest.raises(NoSuchPoint, match="no session to fork"):
                await fork(log, new, upto, {})
            return
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
    "another id": (lambda rows: rows[3].update(id="short"), "event 4"),
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


MEANT: dict[str, tuple[int, Any, str]] = {
    "a type that does something else": (2, lambda row: row.update(type=TYPES[CLEARED]), "does not do"),
    "an adoption later on": (2, lambda row: row.update(type=TYPES[ADOPTED]), "does not do"),
    "a pop of nothing": (2, lambda row: row.update(type=TYPES[POPPED], data={}), "does not do"),
    "a rewind from no version": (2, lambda row: row.update(type=TYPES[REWOUND], data={}), "does not do"),
    "an undo that adds": (5, lambda row: row.update(data={"base": 1, "items": [1]}), "does not do"),
    "a tag that adds": (7, lambda row: row.update(data={"items": [1]}), "does not do"),
    "the id of another": (2, lambda row: row.update(id="aeaqcaibaeaqcaib"), "its id"),
    "an id of other letters": (2, lambda row: row.update(id="A" * 16), "its id"),
    "an id that is a list": (2, lambda row: row.update(id=["a"] * 16), "its id"),
    "no text there": (2, lambda row: row["data"].update(text=[1]), "no text"),
    "a text that is none": (2, lambda row: row["data"].update(text=[0]), "no text"),
    "a text before all": (2, lambda row: row.update(data={"items": ["x"], "text": [-1]}), "no text"),
    "a text by a truth": (2, lambda row: row.update(data={"items": ["x", "y"], "text": [True]}), "no text"),
    "texts out of order": (2, lambda row: row.update(data={"items": ["x", "y"], "text": [1, 0]}), "out of order"),
    "a text twice": (2, lambda row: row.update(data={"items": ["x", "y"], "text": [0, 0]}), "out of order"),
    "an idempotency key of nothing": (2, lambda row: _say(row, "idempotencykey", ""), "idempotency key"),
    "a key too long": (2, lambda row: _say(row, "idempotencykey", "k" * 257), "idempotency key"),
    "an attribute of another type": (2, lambda row: _say(row, "traceparent", 1), "attribute"),
    "an attribute of another name": (2, lambda row: _say(row, "Trace", "x"), "attribute"),
    "an attribute of CloudEvents": (2, lambda row: _say(row, "dataschema", ""), "attribute"),
    "an undo of nothing said": (5, lambda row: row.pop("undoneversions"), "not so"),
    "an undo of what is later": (5, lambda row: row.update(undoneversions="5"), "not before"),
    "an undo of nothing": (5, lambda row: row.update(undoneversions=""), "not before"),
    "an undo of version 0": (5, lambda row: row.update(undoneversions="4,0"), "not before"),
    "an undo by other digits": (5, lambda row: row.update(undoneversions="\u0664"), "not before"),
    "an undo by more digits": (5, lambda row: row.update(undoneversions="04,3"), "not before"),
    "an undo of thousands of digits": (5, lambda row: row.update(undoneversions="9" * 5000), "not before"),
    "a redo of no undo": (6, lambda row: row.update(redorow="4:0"), "not so"),
    "a redo of what is not in it": (6, lambda row: row.update(redorow="5:2"), "not so"),
    "a redo before all": (6, lambda row: row.update(redorow="5:-1"), "not so"),
    "a redo of nothing": (6, lambda row: row.update(redorow=""), "not so"),
    "a tag without a name": (7, lambda row: row.pop("tag"), "not so"),
    "a tag's name too long": (7, lambda row: row.update(tag="x" * 65), "not so"),
    "a tag's name of too many bytes": (7, lambda row: row.update(tag="é" * 33), "not so"),
    "a tag's name on two lines": (7, lambda row: row.update(tag="a\nb"), "not so"),
    "a tag of what is later": (7, lambda row: row.update(tagversion="7"), "not so"),
    "a tag of what is no version": (7, lambda row: row.update(tagversion="x"), "not so"),
    "a trim of what is there": (8, lambda row: row.update(trimmedbefore="2"), "not so"),
    "a trim of nothing said": (8, lambda row: row.pop("trimmedbefore"), "not so"),
    "a fork of nothing": (9, lambda row: row.update(forkedfrom="urn:eventlog-session:"), "not so"),
    "a fork at another version": (9, lambda row: row.update(forkedat="7"), "not so"),
    "a fork that says nothing": (9, lambda row: row.pop("forkedat"), "not so"),
}


@pytest.mark.parametrize(("number", "change", "why"), MEANT.values(), ids=MEANT)
async def test_an_event_that_means_nothing_is_refused(number: int, change: Any, why: str) -> None:
    """Event by event, with what is wrong with it, before anything is written."""
    log, new = EventLog(MemoryStore(), "s"), EventLog(MemoryStore(), "s")
    for item in range(4):
        await log.add(orjson.dumps([item]), 1)
    await step(log, 2, TOLD)
    await step(log, 1, TOLD, forward=True)
    await tag(log, "a", 1, TOLD)
    await log.trim(1)
    await fork(log, new, None, {})
    rows = [orjson.loads(line) for line in (await content(new)).splitlines()]
    rows[0]["id"] = "aeaqcaibaeaqcaib"
    await load(EventLog(MemoryStore(), "s"), map(orjson.dumps, rows))
    change(rows[number - 1])
    store = CountingStore(MemoryStore())
    with pytest.raises(InvalidExport, match=f"^event {number}: .*{why}"):
        await load(EventLog(store, "s"), map(orjson.dumps, rows))
    assert store.calls["put_many"] == store.calls["commit"] == 0


async def test_more_tags_than_there_is_room_for(session_id: str) -> None:
    """They would all be in the head."""
    log = EventLog(MemoryStore(), session_id)
    await log.add(b"[1]", 1)
    for number in range(4):
        await tag(log, f"t{number}", None, TOLD)
    file = (await content(log)).splitlines()
    await load(EventLog(MemoryStore(), session_id, limits=Limits(tags=4)), file)
    with pytest.raises(InvalidExport, match="event 5: it is one tag more than the 3"):
        await load(EventLog(MemoryStore(), session_id, limits=Limits(tags=3)), file)


WRITTEN: dict[str, Any] = {
    "spaces": lambda line: line.replace(b'":"', b'": "', 1),
    "a space at the end": lambda line: line + b" ",
    "a line's other end": lambda line: line + b"\r\n",
    "another order": lambda line: orjson.dumps(orjson.loads(line), option=orjson.OPT_SORT_KEYS),
    "an attribute twice": lambda line: line.replace(b'"data":', b'"data":{},"data":'),
    "data elsewhere": lambda line: line.replace(b'"data":', b'"dataref":"x","dataparts":1,"datadigest":"x","data":'),
    "a count of its own": lambda line: line.replace(b'"data":', b'"datacount":7,"data":'),
    "a number with a fraction": lambda line: line.replace(b"[3]", b"[3.00]"),
    "a number that is too large": lambda line: line.replace(b"[3]", b"[36893488147419103232]"),
    "a time of another zone": lambda line: line.replace(b'Z"', b'+00:00"', 1),
    "more in its data": lambda line: line.replace(b'"items"', b'"more":1,"items"'),
    "pops of 0": lambda line: line.replace(b'"items"', b'"pops":0,"items"'),
    "a sequence of more digits": lambda line: line.replace(b'"sequence":"', b'"sequence":"0'),
    "a sequence that is a number": lambda line: line.replace(b'"sequence":"000000000004"', b'"sequence":4'),
    "a last sequence that is a number": lambda line: line.replace(b'"lastsequence":"000000000007"', b'"lastsequence":7'),
    "a subject that is a number": lambda line: line.replace(b'"s"', b"7"),
}


@pytest.mark.parametrize("change", WRITTEN.values(), ids=WRITTEN)
async def test_a_line_that_is_written_in_another_way_is_refused(change: Any) -> None:
    """To the letter: what was changed by whatever program is not what was exported."""
    changed: list[bool] = []

    def change_line(rows: list[Any]) -> list[bytes]:
        text = [orjson.dumps(row) for row in rows]
        there = text[3]
        text[3] = change(there)
        changed.append(text[3] != there)
        return text

    store, caught = await broken(change_line)
    assert changed == [True]
    assert "line 4 is not as it was exported" in str(caught.value)
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


# ---- files that somebody made ------------------------------------------------------------------------------------------

TYPED = [*TYPES.values(), "org.pypi.eventlog-session.items.added.v2"]
TOLDS = {
    "undoneversions": ("", "0", "1", "1,", "2,1", "9999", "-1", "1.5", "x", "01", "\u0661", "9" * 5000, "4,3,2,1"),
    "redorow": ("", ":", "1:0", "1:9", "0:0", "9:0", "x:y", "2", "-1:-1", "3:-1", "1:0:0", "4:1"),
    "tag": ("", "x" * 65, "x" * 64, "a\nb", "a", "tag 0", "\u0000"),
    "tagversion": ("", "-", "0", "1", "-1", "9999", "01", "x", "1e3", " 1"),
    "trimmedbefore": ("", "0", "1", "2", "9999", "x"),
    "forkedfrom": ("", "x", "urn:eventlog-session:", "urn:eventlog-session:" + "a" * 26, "urn:eventlog-session:" + "A" * 26),
    "forkedat": ("", "0", "1", "5", "9999", "-1", "x"),
    "idempotencykey": ("", "k" * 257, "k" * 256, "a\nb", "key"),
    "traceparent": ("", "x", "\ud7ff" * 100),
}
"""What is said of other versions, and absurd things to say."""
STRANGE: tuple[Any, ...] = (
    None, True, False, 0, 1, 2, -1, 2**63, 2**64 - 1, 10**12 - 1, 1.5, "", "0", "x", [], {}, [0], [1, 0], [0, 0], [True], [-1],
    [9], ["x"], {"a": 1},
)  # fmt: skip


async def test_a_log_of_which_almost_everything_was_trimmed(session_id: str) -> None:
    """What is not there costs nothing, however much it was."""
    log = EventLog(MemoryStore(), session_id)
    for number in range(3):
        await log.add(orjson.dumps([number]), 1)
    rows = [orjson.loads(line) for line in (await content(log)).splitlines()]
    _shift(rows, 10**12 - 100, 0)
    copy = EventLog(MemoryStore(), session_id)
    await load(copy, map(orjson.dumps, rows))
    found = await copy.verify()
    assert (found.sound, found.events, found.trimmed) == (True, 3, 10**12 - 100)
    assert (await copy.read()).items == [0, 1, 2]
    with pytest.raises(HistoryTrimmed):
        await copy.read(None, 10**12 - 100)


async def test_what_is_nested_deep_and_what_is_no_unicode(session_id: str) -> None:
    """To the deepest that JSON is written with, and beyond, where it is kept as text; keys, too."""
    log, copy = EventLog(MemoryStore(), session_id), EventLog(MemoryStore(), session_id)
    for depth in (*range(245, 260), 900):
        item: Any = "\ud800" if depth % 2 else "x"
        for _ in range(depth):
            item = [item]
        data, text = encode([item, {"\udfff": 1}])
        await log.add(data, 2, text, key=f"日本 {depth}")
    assert {len(recorded.event.text) async for recorded in log.walk()} == {1, 2}
    file = await content(log)
    await load(copy, file.splitlines(keepends=True))
    assert await versions(copy) == await versions(log)
    assert await content(copy) == file
    with pytest.raises(IdempotencyKeyReused):
        await copy.add(b"[1]", 1, key="日本 900")


async def test_a_copys_commit_is_no_larger_than_any(session_id: str) -> None:
    """Some stores take 100 operations in a transaction: all but the head is written before."""
    log, store = EventLog(MemoryStore(), session_id), Faulty()
    for number in range(120):
        await log.add(orjson.dumps([number]), 1)
    copy = EventLog(store, session_id, limits=Limits(tail_bytes=1 << 20, tail_events=128))
    await fork(log, copy, None, {})
    ((_, _, values),) = store.commits
    assert not values
    assert len([one for one in await copy.held() if one.kind == "event"]) == 121
    assert (await copy.verify()).sound


@st.composite
def attacked(draw: st.DrawFn, rows: list[Any]) -> list[Any]:
    """Return the lines of a file, parsed, with one to three things done to them that somebody may think of."""
    rows = [{**row, "data": {**row["data"]}} for row in rows]
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        place = draw(st.integers(0, len(rows) - 1))
        row, other = rows[place], rows[draw(st.integers(0, len(rows) - 1))]
        how = draw(st.sampled_from(ATTACKS))
        if how == "told":
            name = draw(st.sampled_from(sorted(TOLDS)))
            saying = [one for one in rows if name in one] or rows
            absurd = st.sampled_from(TOLDS[name])
            _say(draw(st.sampled_from(saying)), name, draw(absurd | absurd | st.sampled_from(STRANGE)))
        elif how == "untold":
            row.pop(draw(st.sampled_from(sorted(TOLDS))), None)
        elif how == "type":
            row["type"] = draw(st.sampled_from(TYPED))
        elif how == "data":
            name = draw(st.sampled_from(("base", "pops", "items", "text")))
            data = {**row["data"], name: draw(st.sampled_from(STRANGE) | st.integers(0, len(rows)))}
            row["data"] = {one: data[one] for one in ("base", "pops", "items", "text") if one in data}
        elif how == "id":
            row["id"] = draw(st.sampled_from((other["id"], "A" * 16, "a" * 16, "", list("a" * 16), "a" * 15)))
        elif how == "any":
            rows[place] = draw(misshapen(row)) if draw(st.booleans()) else {**row, draw(st.sampled_from(NAMED)): "x"}
            break
        elif how == "move":
            name = draw(
                st.sampled_from(("sequence", "time", "recordedtime", "subject", "source", "lastsequence", "data", "type"))
            )
            row[name] = other[name]
        elif how == "shift":  # as if all before had been trimmed
            _shift(rows, draw(st.sampled_from((1, 7, 10**6, 10**12 - 100, 10**12, -1))), draw(st.integers(0, 3)))
        else:
            row["data"]["items"] = [*draw(st.lists(st.sampled_from(STRANGE), max_size=3)), "{", "nan"]
            row["data"]["text"] = draw(st.lists(st.integers(-1, 5), max_size=4))
    return rows


ATTACKS = ("told", "told", "told", "untold", "type", "data", "data", "id", "any", "move", "shift", "shift", "shift", "items")
NAMED = ("dataref", "datacount", "data_base64", "dataschema", "Upper", "a-b", "", "comexampleother", "dataparts")


def _say(row: dict[str, Any], name: str, value: Any) -> None:
    """Have *name* where an export has such: where it was, or before the last two."""
    tail: dict[str, Any] = {} if name in row else {one: row.pop(one) for one in ("lastsequence", "data") if one in row}
    row[name] = value
    row.update(tail)


def _shift(rows: list[Any], by: int, cut: int) -> None:
    """Leave *cut* lines out and have the rest be *by* versions later, the first of them beginning with nothing before it."""
    del rows[: min(cut, len(rows) - 1)]
    rows[0]["data"] = {"base": 0, **{name: rows[0]["data"][name] for name in ("items", "text") if name in rows[0]["data"]}}
    rows[0]["type"] = TYPES[REPLACED]
    for row in rows:
        if row["data"].get("base"):
            row["data"]["base"] += by
        row["sequence"] = f"{int(row['sequence']) + by:012d}"
        row["lastsequence"] = f"{int(row['lastsequence']) + by:012d}"


async def usable(log: EventLog, file: bytes, limits: Limits) -> None:
    """Do everything to a log that came from a file, and take no error for an answer but that a version was trimmed."""
    assert (await log.verify()).sound
    assert await content(log) == file
    floor, newest = (await log.head()).floor, await log.version()
    kept = range(max(floor, newest - 40), newest + 1)
    session = EventLogSession(log.session_id, store=log.store, limits=limits)
    for version in kept:
        everything = (await log.read(None, version)).items
        assert (await log.read(2, version)).items == everything[-2:]
        assert len(await log.origins(None, version)) == len(everything)
        await session.at(version).get_items(3)
        await session.at(version).get_items(turns=1)
    async for one in log.walk(reverse=True):
        assert await log.version(to_datetime(one.committed)) >= one.version
    assert len([one async for one in session.history()]) == len([one async for one in session.events()])
    assert [run async for run in session.runs()]
    assert {one.kind for one in await log.held()} >= {"head"}
    child = EventLog(log.store, "child", limits=limits)
    await fork(log, child, None, {})
    assert (await child.verify()).sound
    for name, version in (await log.head()).tags.items():
        assert 0 <= version <= newest
        await tag(log, name, None, TOLD)
    for forward in (False, True, False, False, True, True):
        for steps in (1, 2, 1):
            with suppress(HistoryTrimmed):
                await step(log, steps, TOLD, forward=forward)
    for version in kept:
        await log.rewind(version)
    with suppress(HistoryTrimmed):
        while await step(log, 3, TOLD) is not None:
            pass
    await log.add(b"[1]", 1, key="a key")
    await log.pop()
    await log.trim((floor + newest) // 2)
    await log.clear()
    await log.settle()
    assert (await EventLog(log.store, log.session_id, limits=limits).verify()).sound


def test_whatever_is_taken_can_be_used() -> None:
    """A file is refused before anything is written, or what it makes is a log like any other."""
    seen = Counter[str]()

    async def run(done: list[Act], limits: Limits, others: Limits, data: st.DataObject) -> None:
        played = await Played(MemoryStore(), "parent", limits, Time(), seen=seen).play(done)
        if data.draw(st.booleans()):
            played = await played.forked(MemoryStore(), "parent", limits, 998)
        file = await content(played.log)
        rows = data.draw(attacked([orjson.loads(line) for line in file.splitlines()]))
        try:
            text = [orjson.dumps(row) + b"\n" for row in rows]
        except TypeError:  # more than orjson writes
            return
        for line in range(len(text)):
            if not data.draw(st.integers(0, 400)):
                text[line] = data.draw(damaged(text[line]))
        store = CountingStore(MemoryStore())
        log = EventLog(store, "parent", limits=others)
        try:
            await load(log, text)
        except InvalidExport as error:
            assert store.calls["put_many"] == store.calls["commit"] == 0
            seen["refused"] += 1
            reason = str(error.args[0])
            seen[reason.partition(": ")[2].partition(";")[0][:24] or "line"] += 1
            return
        seen["taken"] += 1
        seen["taken though it was changed"] += b"".join(text) != file
        seen["taken from a floor on"] += int(rows[0]["sequence"]) > 1
        if (await log.head()).version:
            await usable(log, b"".join(line.removesuffix(b"\n") + b"\n" for line in text), others)

    @examples(900)
    @given(acts(10), limits(), limits(), st.data())
    def check(done: list[Act], limits: Limits, others: Limits, data: st.DataObject) -> None:
        asyncio.run(run([Act("add"), *done], limits, others, data))

    check()
    assert min(seen["refused"], seen["taken though it was changed"], seen["taken from a floor on"]) > 20


@pytest.mark.parametrize("landed", [True, False])
async def test_doubt_about_a_copy_is_resolved(session_id: str, *, landed: bool) -> None:
    """By the generation of the head that stands there; while there is none, it may land yet."""
    log, store, time = EventLog(MemoryStore(), session_id), Faulty("lost" if landed else "late"), Time()
    await log.add(b"[1]", 1)
    copy = EventLog(store, session_id, runtime=time.runtime(), adopt=False)
    await copy.version()
    store.meanwhile = store.fail
    with pytest.raises(OutcomeUnknown, match="head of a copy") as caught:
        await fork(log, copy, None, {})
    store.down = False
    if landed:
        assert await copy.resolve(caught.value) == 2
        return
    with pytest.raises(OutcomeUnknown):
        await copy.resolve(caught.value)
    await EventLog(store, session_id).add(b"[2]", 1)
    assert await copy.resolve(caught.value) is None


async def test_a_fork_with_a_ttl_is_written_once(session_id: str) -> None:
    """Its values have the ttl from the start: there is nothing to renew."""
    log, store = EventLog(MemoryStore(), session_id, limits=SMALL), CountingStore(MemoryStore())
    for number in range(30):
        await log.add(orjson.dumps([number]), 1, ttl=600)
    copy = EventLog(store, session_id, limits=SMALL)
    await fork(log, copy, None, {})
    await copy.settle()
    assert store.calls["put_many"] == 1
