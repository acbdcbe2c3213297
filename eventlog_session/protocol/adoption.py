"""
Taking over what a `DaprSession` left: the JSON array under ``<session id>:messages``, each item a JSON string.

Its items are the history of a session that has no event yet, and become the log's first event with the first commit. The
source is kept. An entry that `DaprSession` would not have written to the letter stays as the text it is.
"""

import json
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from ..core import items as codec
from ..core.events import ADOPTED, Event
from ..core.keys import mint
from ..errors import CorruptLog, InvalidItem
from ..runtime import Runtime

MARK = b'["eventlog-adopted",1]'
"""Kept under its own key without a ttl: a session that expired after it took over a history does not do so again."""


@dataclass(frozen=True, slots=True)
class Legacy:
    """A `DaprSession`'s items as an event holds them: a JSON array and which of them are kept as text."""

    items: bytes
    text: tuple[int, ...]
    count: int


def legacy_key(session_id: str) -> str:
    """Return the key that `DaprSession` keeps the items of *session_id* under; "" for an id that no key can hold."""
    try:
        session_id.encode()
    except UnicodeEncodeError:
        return ""
    # daprd refuses a key with ||, its own separator; PostgreSQL fails on a NUL as if it were down
    return "" if "||" in session_id or "\0" in session_id else f"{session_id}:messages"


def legacy_keys(session_id: str) -> tuple[str, ...]:
    """Return all keys that a `DaprSession` of *session_id* has: its items' and its metadata's."""
    key = legacy_key(session_id)
    return (key, f"{session_id}:metadata") if key else ()


def read_legacy(value: bytes | None, key: str, *, verbatim: bool) -> Legacy | None:
    """
    Return the items stored as *value*, or None when there are none.

    *verbatim* keeps each as the string it is, for a session that reads items with its own ``_deserialize_item``.
    Raises CorruptLog, naming *key*, when *value* is not a JSON array: nothing is built on damage.
    """
    if not value:
        return None
    try:
        entries = json.loads(value.decode())
    except (ValueError, RecursionError) as error:
        raise CorruptLog(f"{key}: the stored Dapr session messages are not valid JSON; restore or delete that key") from error
    if not isinstance(entries, list):
        raise CorruptLog(f"{key}: the stored Dapr session messages must be a JSON list; restore or delete that key")
    if not entries:
        return None
    parts: list[bytes] = []
    text: list[int] = []
    for position, entry in enumerate(entries):
        part, is_text = _entry(entry, verbatim)
        parts.append(part)
        if is_text:
            text.append(position)
    return Legacy(b"[" + b",".join(parts) + b"]", tuple(text), len(entries))


def adoption(legacy: Legacy, runtime: Runtime) -> Event:
    """Return the event that takes over *legacy*."""
    return _adopted(runtime.random_bytes(10), runtime.now(), legacy)


def before_adoption(legacy: Legacy, metadata: bytes | None, now: int) -> Event:
    """
    Return what *legacy* is shown as while nobody has taken it over: the same event each time, with an id made of its content.

    Its time is when the `DaprSession` was last changed, by the *metadata* that it keeps in whole seconds. It is *now*, and
    another each time, where that is missing or tells no time that has been.
    """
    name = blake2b(b"%s %s" % (orjson.dumps(legacy.text), legacy.items), digest_size=10, person=b"adopted")
    return _adopted(name.digest(), _updated(metadata, now) or now, legacy)


def _adopted(random: bytes, time: int, legacy: Legacy) -> Event:
    return Event(mint(random), ADOPTED, time, count=legacy.count, items=legacy.items, text=legacy.text)


def _updated(metadata: bytes | None, now: int) -> int | None:
    """Return when a `DaprSession` was last changed by its *metadata*, in microseconds since 1970, if that tells it."""
    try:
        updated = int(orjson.loads(metadata or b"")["updated_at"]) * 1_000_000
    except (ValueError, KeyError, TypeError):
        return None
    return updated if 0 < updated <= now else None


def _entry(entry: Any, verbatim: bool) -> tuple[bytes, bool]:
    """Return one entry's bytes and whether they are text."""
    if isinstance(entry, str):
        if not verbatim:
            try:
                item = json.loads(entry)
                if json.dumps(item, separators=(",", ":")) == entry:  # else a subclass wrote it, which may need the letter
                    data, text = codec.encode([item])
                    return data[1:-1], bool(text)
            except (ValueError, RecursionError):
                pass  # left as it is, for _deserialize_item to skip
        return orjson.dumps(entry.encode("utf-8", "replace").decode()), True
    try:
        data, text = codec.encode([entry])
    except InvalidItem:  # json.loads takes what JSON does not, NaN for one
        return orjson.dumps(json.dumps(entry)), True
    return data[1:-1], bool(text)
