"""What the log's own `add` takes: whatever it takes reads back, is sound, and makes an export that can be loaded."""

import io
import json
from typing import Any

import orjson
import pytest

from eventlog_session import EventLog, EventLogSession, InvalidItem, MemoryStore, dump, load
from eventlog_session.core import items as codec
from eventlog_session.core.events import TAG, UNDONE_VERSIONS

SIZES = pytest.mark.parametrize("size", [1, 6_000, 300_000], ids=["in the head", "under its own key", "in parts"])


async def there_and_back(log: EventLog, store: MemoryStore, session_id: str) -> list[Any]:
    """Return what is read by another process, and by one that loaded an export of it: the same, of a sound log."""
    other = EventLog(store, session_id)
    assert (await other.verify()).sound
    file = io.BytesIO()
    await dump(log, file)
    file.seek(0)
    copy = EventLogSession(session_id, store=MemoryStore())
    await load(copy, file)
    items = await EventLogSession(session_id, store=store).get_items()
    assert await copy.get_items() == items
    return items


@SIZES
async def test_json_of_any_make(session_id: str, size: int) -> None:
    """Spaces, escapes, an exponent, a key twice: it is stored as orjson would write it."""
    store = MemoryStore()
    log = EventLog(store, session_id)
    await log.add(json.dumps([{"a": "y" * size, "b": 1, "c": "é"}]).encode(), 1)
    await log.add(b'[ {"a": 1e3, "a":\t2, "b": "%s\\u00e9\\/"} ]' % (b"z" * size), 1)
    assert await there_and_back(log, store, session_id) == [
        {"a": "y" * size, "b": 1, "c": "é"},
        {"a": 2, "b": "z" * size + "é/"},
    ]


@SIZES
async def test_json_that_orjson_can_not_carry_is_kept_as_text(session_id: str, size: int) -> None:
    """Beside what is text already."""
    store = MemoryStore()
    log = EventLog(store, session_id)
    lone = "\ud800" + "x" * size
    await log.add(json.dumps([{"a": lone}, '{"b": 1}', {"c": 2}]).encode(), 3, (1,))
    assert await there_and_back(log, store, session_id) == [{"a": lone}, {"b": 1}, {"c": 2}]


async def test_a_key_means_the_same_items_however_they_were_written(session_id: str) -> None:
    """Repeated by a process that writes its JSON in another way."""
    log = EventLog(MemoryStore(), session_id)
    assert (await log.add(b'[{"a":1}]', 1, key="k")).version == 1
    assert (await log.add(b'[{"a": 1}]', 1, key="k")).version == 1


@pytest.mark.parametrize(
    ("items", "count", "text"),
    [
        (b'["a"', 1, ()), (b"\xff", 1, ()), (b'{"a":1}', 1, ()), (b'["a"]', 2, ()), (b'["a"]', 0, ()), (b"[NaN]", 1, ()),
        (b"[18446744073709551616]", 1, ()), (b'["a"]', 1, (1,)), (b'["a"]', 1, (-1,)), (b"[1]", 1, (0,)),
        (b'["a","b"]', 2, (1, 0)), (b'["a"]', 1, (0, 0)), (b'["\\ud800"]', 1, (0,)), (b"[" * 100_000, 1, ()),
    ],
)  # fmt: skip
async def test_what_is_not_as_it_says(items: bytes, count: int, text: tuple[int, ...], session_id: str) -> None:
    """No JSON, no array, not that many, no text where it says so: nothing is written."""
    log = EventLog(MemoryStore(), session_id)
    with pytest.raises(InvalidItem):
        await log.add(items, count, text)
    assert await log.version() == 0


@pytest.mark.parametrize(
    "extensions",
    [
        {"My_Ext": "1"}, {"": "1"}, {"n": 3}, {"a": "\ud800"}, {"datax": "1"}, {"id": "z" * 16}, {"time": "1"}, {"source": "x"},
        {"sequence": "x"}, {"recordedtime": "x"}, {"subject": "x"}, {"partitionkey": "x"}, {"lastsequence": "x"},
        {"idempotencykey": ""}, {UNDONE_VERSIONS: "1"},
    ],
)  # fmt: skip
async def test_attributes_that_no_event_has(extensions: Any, session_id: str) -> None:
    """They could be exported and not loaded, or would be taken for the log's own."""
    log = EventLog(MemoryStore(), session_id)
    for change in (log.add(b"[1]", 1, (), extensions), log.clear(extensions), log.rewind(0, extensions)):
        with pytest.raises(InvalidItem, match=r"attribute|idempotency key"):
            await change
    assert await log.version() == 0


@pytest.mark.parametrize("key", ["", "x" * 257, "a\nb"])
async def test_keys_that_are_none(key: str, session_id: str) -> None:
    """The log's own `add` asks for the same as a session's."""
    log = EventLog(MemoryStore(), session_id)
    with pytest.raises(InvalidItem, match="idempotency key"):
        await log.add(b"[1]", 1, key=key)
    with pytest.raises(ValueError, match="idempotency key"):
        await EventLogSession(session_id, store=MemoryStore()).add_items(
            [{"role": "user", "content": "a"}], idempotency_key=key
        )


async def test_attributes_of_ones_own(session_id: str) -> None:
    """Any name that CloudEvents allows, any string."""
    store = MemoryStore()
    log = EventLog(store, session_id)
    await log.add(b"[1]", 1, (), {"mine": "日本\n", "a1": "", TAG: "not of a tag"}, key="k" * 256)
    assert await there_and_back(log, store, session_id) == [1]


def test_what_a_session_encodes_needs_no_second_look() -> None:
    """It is orjson's own form already, so a session's `add_items` goes by what `add` checks."""
    written: list[list[Any]] = [[{"a": 1.0, "b": "é"}], [{1: 2}], [{"a": "\ud800"}], [2**63, 1e300, -0.0, None, "x", [], {}]]
    for items in written:
        data, text = codec.encode(items)
        assert orjson.dumps(orjson.loads(data)) == data
        assert codec.canonical(data, len(items), text) == (data, text)
