"""What a `DaprSession` left reads as the SDK's own `DaprSession` reads it."""

import asyncio
import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

import orjson
import pytest
from agents.extensions.memory.dapr_session import DaprSession
from hypothesis import example, given
from hypothesis import strategies as st
from model import examples

from eventlog_session.errors import CorruptLog
from eventlog_session.protocol.adoption import Legacy, legacy_key, read_legacy

KEY = "user:messages"
ITEM = {"role": "user", "content": "hé \ud800"}

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8)
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
written = documents.map(lambda item: json.dumps(item, separators=(",", ":")))
corrupt = st.text(st.characters(), max_size=12) | st.sampled_from(("", "{", "[1,", '{"a":', "\ud800", "nul", "NaN", "1 2"))
as_dicts = st.dictionaries(st.text(max_size=4), st.text(max_size=4) | st.integers(-9, 9), max_size=3)


class Dapr:
    """A client that has *value* under whatever key."""

    def __init__(self, value: bytes) -> None:
        self.value = value

    async def get_state(self, **_: Any) -> Any:
        """Return the value as Dapr's client does."""
        return SimpleNamespace(data=self.value, etag="1")

    async def save_state(self, **_: Any) -> NoReturn:
        """Refuse: reading is all that is compared."""
        raise AssertionError


def theirs(value: bytes, session: type[DaprSession] = DaprSession) -> list[Any]:
    """Return the items that the SDK's own session reads from *value*."""
    client: Any = Dapr(value)
    return list(asyncio.run(session("user", state_store_name="store", dapr_client=client).get_items()))


def ours(legacy: Legacy | None) -> list[Any]:
    """Return the items that a session reads from what it takes over, skipping text that is not JSON as `DaprSession` does."""
    if legacy is None:
        return []
    stored = orjson.loads(legacy.items)
    assert len(stored) == legacy.count
    items: list[Any] = []
    for place, item in enumerate(stored):
        try:
            items.append(json.loads(item) if place in legacy.text else item)
        except json.JSONDecodeError:
            continue
    return items


@examples(200)
@given(st.lists(written | corrupt | as_dicts | st.none() | st.integers(-9, 9), max_size=6))
@example([json.dumps(ITEM), ITEM, "{", "NaN", str(2**70), '"just a string"', "null", None])
def test_items_are_those_that_dapr_session_reads(entries: list[Any]) -> None:
    """JSON strings, entries that are no strings, and those that are not JSON, which are kept and skipped."""
    value = json.dumps(entries, separators=(",", ":")).encode()
    legacy = read_legacy(value, KEY, verbatim=False)
    assert json.dumps(ours(legacy)) == json.dumps(theirs(value))
    assert (legacy is None) == (not entries)


@pytest.mark.parametrize("entry", ['{"a":NaN}', '{"n":123456789012345678901234567890}', "Infinity"])
def test_entries_that_are_no_strings_may_be_any_json(entry: str) -> None:
    """An entry that was stored as JSON itself may hold what `json` reads and orjson does not."""
    value = f"[{entry}]".encode()
    assert json.dumps(ours(read_legacy(value, KEY, verbatim=False))) == json.dumps(theirs(value))


@examples(100)
@given(st.lists(written | st.text(max_size=12), max_size=6))
def test_verbatim_keeps_the_strings(entries: list[str]) -> None:
    """For a session that reads items with its own `_deserialize_item`, such as one that decrypts, each is the string it was."""
    value = json.dumps(entries).encode()
    legacy = read_legacy(value, KEY, verbatim=True)
    if legacy is None:
        assert entries == []
    else:
        assert orjson.loads(legacy.items) == entries
        assert legacy.text == tuple(range(len(entries)))
        assert legacy.count == len(entries)


class Shouting(DaprSession):
    """A session that keeps its items in a way of its own."""

    async def _deserialize_item(self, item: str) -> Any:
        return {"role": "user", "content": item.upper()}


def test_verbatim_strings_are_what_an_own_deserializer_is_given() -> None:
    """A subclass reads the same from the log as from where it comes from."""
    value = json.dumps(["abc", "{", '{"a":1}']).encode()
    legacy = read_legacy(value, KEY, verbatim=True)
    assert legacy is not None
    assert [{"role": "user", "content": text.upper()} for text in orjson.loads(legacy.items)] == theirs(value, Shouting)


@pytest.mark.parametrize("value", [None, b"", b"[]", b" [ ] "])
def test_nothing_is_nothing(value: bytes | None) -> None:
    """No value, an empty one and an empty list are no history."""
    assert read_legacy(value, KEY, verbatim=False) is None


@pytest.mark.parametrize("value", [b"{}", b"null", b'"x"', b"7", b"[1", b"nonsense", b'["\xff"]', b"\0"])
@pytest.mark.parametrize("verbatim", [False, True], ids=["parsed", "verbatim"])
def test_damage_is_never_empty(value: bytes, *, verbatim: bool) -> None:
    """What is no JSON list raises CorruptLog naming the key; `DaprSession` refuses to write on it, and reads it as empty."""
    with pytest.raises(CorruptLog, match=f"^{KEY}: .*restore or delete that key$"):
        read_legacy(value, KEY, verbatim=verbatim)


def test_keys_are_those_of_dapr_session() -> None:
    """The key is where `DaprSession` keeps its items; an id that daprd or a store can't have in a key has none."""
    ids: Sequence[str] = ("user", "", "a:b", "é", "{x}")
    for session_id in ids:
        client: Any = Dapr(b"")
        assert legacy_key(session_id) == DaprSession(session_id, state_store_name="s", dapr_client=client)._messages_key
    assert [legacy_key(session_id) for session_id in ("\ud800", "a||b", "\0")] == ["", "", ""]


def test_what_a_subclass_wrote_is_kept_to_the_letter() -> None:
    """Strings that `DaprSession` itself would have written otherwise may be signed, say: they stay what they are."""
    own = json.dumps({"a": 1}, indent=1)
    legacy = read_legacy(json.dumps([own, json.dumps({"a": 1}, separators=(",", ":"))]).encode(), KEY, verbatim=False)
    assert legacy is not None
    assert (json.loads(legacy.items), legacy.text) == ([own, {"a": 1}], (0,))
