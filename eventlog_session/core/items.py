"""
Items to JSON and back, exactly.

orjson is fast and silently changes some things: NaN becomes null, a UUID or a dataclass becomes something else, integers
beyond 64 bit load as floats, lone surrogates fail both ways. So `encode` reads back what it wrote and compares, all in C;
only where that fails are the items looked at one by one. Keys that are not strings become strings, as `json.dumps` makes
them. An item that orjson can't carry but JSON can (lone surrogates, very deep nesting) is kept as *text*: a JSON string that
holds the output of ``json.dumps``.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import orjson

from ..errors import InvalidItem

_INT64 = range(-(2**63), 2**64)


def encode(items: Sequence[Any]) -> tuple[bytes, tuple[int, ...]]:
    """
    Return *items* as the bytes of one JSON array, and the positions of those that are kept as text.

    Raises InvalidItem, naming the position, for whatever JSON can't carry.
    """
    try:
        data = orjson.dumps(items)
        if orjson.loads(data) == items:
            return data, ()
    except (TypeError, ValueError, RecursionError):
        pass  # looked at one by one below, where the item at fault can be named
    parts: list[bytes] = []
    text: list[int] = []
    for position, item in enumerate(items):
        part, is_text = _encode_one(item, position)
        parts.append(part)
        if is_text:
            text.append(position)
    return b"[" + b",".join(parts) + b"]", tuple(text)


def encode_texts(texts: Iterable[str]) -> tuple[bytes, tuple[int, ...]]:
    """Return strings that a session's own ``_serialize_item`` made, as `encode` does, all of them kept as text."""
    strings = list(texts)
    if not all(isinstance(text, str) for text in strings):
        raise InvalidItem("_serialize_item must return a string")
    try:
        return orjson.dumps(strings), tuple(range(len(strings)))
    except TypeError as error:
        raise InvalidItem("_serialize_item must return a string of valid Unicode") from error


def canonical(data: bytes, count: int, text: tuple[int, ...]) -> tuple[bytes, tuple[int, ...]]:
    """
    Return *count* items that somebody else wrote as a JSON array, those at the positions *text* as text, as `encode` does.

    What is stored is compared to the letter with what is made again of what was read. Raises InvalidItem for what is not as it
    says, and as `encode` does.
    """
    items: Any = None
    try:
        items = orjson.loads(data)
        own = orjson.dumps(items) == data
    except (TypeError, ValueError, RecursionError):
        own = False
    if not own:  # orjson may have read it, but an integer beyond 64 bit as a float
        try:
            items = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InvalidItem("the items are no JSON; nothing was written") from error
    if type(items) is not list or len(items) != count:
        raise InvalidItem(f"the items are no JSON array of {count}; nothing was written")
    if not are_texts(items, text):
        raise InvalidItem("there is no text where it says so, or they are out of order; nothing was written")
    if own:
        return data, text
    data, more = encode(items)
    if not set(text).isdisjoint(more):
        raise InvalidItem("a text is no valid Unicode; nothing was written")
    return data, tuple(sorted((*text, *more)))


def are_texts(items: Sequence[Any], text: Sequence[Any]) -> bool:
    """Whether *text* are positions of strings among *items*, in order."""
    if not all(type(place) is int and 0 <= place < len(items) and type(items[place]) is str for place in text):
        return False
    return list(text) == sorted(set(text))


def _encode_one(item: Any, position: int) -> tuple[bytes, bool]:
    """Return one item's bytes and whether they are text."""
    try:
        text = json.dumps(item, separators=(",", ":"), allow_nan=False)
        plain = json.loads(text, parse_int=_bounded)
    except (TypeError, ValueError, RecursionError) as error:
        _refuse(position, error)
    try:
        data = orjson.dumps([plain])  # as it will be stored: within an array, which counts for the depth
        if orjson.loads(data) == [plain]:
            return data[1:-1], False
    except (TypeError, ValueError, RecursionError):
        pass
    return orjson.dumps(text), True


def _bounded(digits: str) -> int:
    """Refuse integers that orjson would read back as floats."""
    number = int(digits)
    if number not in _INT64:
        raise ValueError("integer exceeds 64 bit")
    return number


def _refuse(position: int, cause: BaseException) -> NoReturn:
    cause.__notes__ = []  # Python 3.14 quotes the item's keys there
    raise InvalidItem(
        f"item {position} can't be stored as JSON ({cause}); nothing was written. "
        "Items are made of dicts with string keys, lists, strings, finite numbers within 64 bit, booleans and None"
    ) from cause


def same(one: Any, other: Any) -> bool:
    """Whether two items are the same JSON: to Python 1, 1.0 and true are equal, and NaN is not even itself."""
    pairs = [(one, other)]  # no recursion: items may be nested as deep as it goes
    while pairs:
        a, b = pairs.pop()
        if type(a) is not type(b):
            return False
        if isinstance(a, dict):
            if a.keys() != b.keys():
                return False
            pairs += [(a[key], b[key]) for key in a]
        elif isinstance(a, list):
            if len(a) != len(b):
                return False
            pairs += zip(a, b, strict=True)
        elif repr(a) != repr(b) if isinstance(a, float) else a != b:
            return False
    return True


def decode(data: bytes) -> list[Any]:
    """Return the items of a JSON array; those kept as text are still strings."""
    items: list[Any] = orjson.loads(data)
    return items
