"""Items go in and come back exactly, or are refused: whatever Python holds that JSON can carry."""

import json
import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model import examples

from eventlog_session.core import items as codec
from eventlog_session.core.events import ADDED, Event
from eventlog_session.errors import InvalidItem

strings = st.text(st.characters(), max_size=8) | st.sampled_from(
    ("", "\0", "\x7f\x80", "\ud800", "\udfff\ud800x", "😀", "\\u0041")
)
numbers = (
    st.integers(-(2**63), 2**64 - 1)
    | st.sampled_from((2**53 + 1, 2**63, 2**64 - 1, -(2**63), -0.0, 5e-324, 1e22, 1.7976931348623157e308, 0.1 + 0.2))
    | st.floats(allow_nan=False, allow_infinity=False)
)
keys = strings | st.integers(-5, 5) | st.booleans() | st.none() | st.just(1.5)
documents = st.recursive(
    st.none() | st.booleans() | numbers | strings,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(strings, inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=12,
)


def read_back(data: bytes, text: tuple[int, ...]) -> list[Any]:
    """Return the items as a session reads them."""
    return [json.loads(item) if place in text else item for place, item in enumerate(codec.decode(data))]


def nested(depth: int) -> Any:
    """Return *depth* lists within each other."""
    item: Any = "inside"
    for _ in range(depth):
        item = [item]
    return item


# ---- what JSON can carry comes back ------------------------------------------------------------------------------------


@examples(400)
@given(st.lists(documents, max_size=4))
def test_items_come_back_exactly(items: list[Any]) -> None:
    """
    What comes back is what `json` makes of it, types, signs of zero and lone surrogates included.

    So tuples are lists and keys are strings, as with `DaprSession`; an event of them comes back to the letter too.
    """
    data, text = codec.encode(items)
    assert json.dumps(read_back(data, text)) == json.dumps(json.loads(json.dumps(items)))
    assert list(text) == sorted(set(text))
    assert set(text) <= set(range(len(items)))
    event = Event("e" * 16, ADDED, 0, count=len(items), items=data, text=text)
    assert Event.of(event.to_bytes("urn:x")) == event


@pytest.mark.parametrize("depth", [1, 100, 252, 253, 255, 256, 400])
def test_deep_nesting_comes_back(depth: int) -> None:
    """Items nested deeper than orjson goes are kept as text, and their events can be read."""
    items = [nested(depth)]
    data, text = codec.encode(items)
    assert read_back(data, text) == items
    event = Event("e" * 16, ADDED, 0, count=1, items=data, text=text)
    assert Event.of(event.to_bytes("urn:x")) == event


def test_the_depth_at_the_edge_comes_back() -> None:
    """Nested 254 deep, an item alone is within orjson's limit and the array that holds it is not."""
    test_deep_nesting_comes_back(254)


def test_only_what_needs_it_is_kept_as_text() -> None:
    """Lone surrogates are the reason for text; tuples and odd keys become plain JSON, readable in the store."""
    data, text = codec.encode([{"a": 1}, {"a": "\ud800"}, {1: (None,), None: 2, False: 3, 1.5: 4}])
    assert text == (1,)
    assert data == b'[{"a":1},"{\\"a\\":\\"\\\\ud800\\"}",{"1":[null],"null":2,"false":3,"1.5":4}]'


def test_items_are_not_looked_at_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain JSON takes no Python code per item; one item that is not plain makes all of its batch be looked at."""
    looked_at: list[int] = []
    one = codec._encode_one

    def looking(item: Any, place: int) -> tuple[bytes, bool]:
        looked_at.append(place)
        return one(item, place)

    monkeypatch.setattr(codec, "_encode_one", looking)
    plain = [{"role": "user", "content": [{"text": "é" * 50, "n": 1.5, "big": 2**63, "no": None}]}] * 500
    assert codec.encode(plain)[1] == ()
    assert looked_at == []
    assert codec.encode([*plain[:2], {"t": ()}])[1] == ()
    assert looked_at == [0, 1, 2]


def test_what_is_encoded_is_a_copy() -> None:
    """Whoever changes an item after adding it, or after reading it, changes nothing in the log."""
    items: list[Any] = [{"a": [1]}]
    data, _ = codec.encode(items)
    items[0]["a"].append(2)
    codec.decode(data)[0]["a"].append(3)
    assert codec.decode(data) == [{"a": [1]}]


class Pair(NamedTuple):
    """A tuple that orjson refuses to take for one."""

    x: int


@pytest.mark.parametrize("item", [OrderedDict(a=1), Pair(1), True, None, "", 0, [], {}])
def test_kinds_of_json_that_are_no_plain_dict(item: Any) -> None:
    """Subclasses of dict and tuple are what they hold; an item may be any JSON value."""
    data, text = codec.encode([item])
    assert (read_back(data, text), text) == ([json.loads(json.dumps(item))], ())


def test_no_items() -> None:
    """An empty batch is an empty array."""
    assert codec.encode([]) == (b"[]", ())


# ---- what it can't carry is refused ------------------------------------------------------------------------------------


class Colour(Enum):
    """An enumeration, which orjson would store as its value."""

    RED = "red"


@dataclass
class Message:
    """A dataclass, which orjson would store as a dict."""

    role: str = "user"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(value, id=f"{type(value).__name__}-{place}")
        for place, value in enumerate(
            (
                math.nan, math.inf, -math.inf, 2**64, -(2**63) - 1, 10**5000, {1, 2}, frozenset(), Message(), Message,
                datetime(2026, 1, 1, tzinfo=UTC), UUID(int=7), Colour.RED, b"bytes", bytearray(b"x"), Decimal("1.5"), object(),
                1j, range(3), iter(()), {(1, 2): 3}, {b"k": 1}, {"k": {math.nan: 1}},
            )
        )
    ],
)  # fmt: skip
def test_what_json_cannot_carry_is_refused(value: Any) -> None:
    """Nothing is stored as something else: InvalidItem names the position and says that nothing was written."""
    for item in (value, {"a": [{"b": value}]}, (value, "\ud800")):
        with pytest.raises(InvalidItem, match=r"^item 2 can't be stored as JSON .*; nothing was written") as raised:
            codec.encode([{"fine": 1}, "\ud800", item, {"also": "fine"}])
        assert "fine" not in str(raised.value)
        assert isinstance(raised.value, ValueError)


def test_a_circle_is_refused() -> None:
    """An item that holds itself, or is nested beyond what Python can walk, is refused like any other."""
    circle: list[Any] = []
    circle.append(circle)
    for item in (circle, nested(50_000)):
        with pytest.raises(InvalidItem, match=r"^item 0 "):
            codec.encode([item])


# ---- strings that a session made itself --------------------------------------------------------------------------------


@examples(100)
@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=5))
def test_own_strings_come_back(strings: list[str]) -> None:
    """What a session's own `_serialize_item` returned is text, whatever is in it."""
    data, text = codec.encode_texts(iter(strings))
    assert codec.decode(data) == strings
    assert text == tuple(range(len(strings)))


@pytest.mark.parametrize("string", ["\ud800", b"bytes", object()])
def test_own_strings_of_invalid_unicode_are_refused(string: Any) -> None:
    """A lone surrogate in such a string can't be stored, nor what is no string at all."""
    with pytest.raises(InvalidItem, match="_serialize_item must return a string"):
        codec.encode_texts(["fine", string])


@pytest.mark.parametrize("value", [{"role": "user"}, 1, None])
def test_own_strings_that_are_no_strings_are_refused(value: Any) -> None:
    """A `_serialize_item` that forgot to make a string of a dict is told so, rather than its items being skipped later."""
    with pytest.raises(InvalidItem, match="_serialize_item must return a string"):
        codec.encode_texts([value])
