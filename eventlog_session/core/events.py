"""
The facts: one immutable event for each change of a session, and its bytes at rest.

At rest an event is a CloudEvents 1.0 JSON batch of one (``application/cloudevents-batch+json``), so that anyone with the
Dapr state API can read it, and so that the value begins with ``[``, which every store keeps unchanged. Laws:

1. An event's bytes do not depend on the attempt that writes them: no sequence, no length, nothing of the head inside.
2. ``Event.of(event.to_bytes(source)) == event``, but for items that lie in parts, and the bytes come back to the letter:
   the hash chain runs over them.
3. The type strings are the storage format; renaming a Python name must not be able to change them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType, NoneType
from typing import Any, Final

import orjson

from ..errors import CorruptLog, UnsupportedFormat
from .algebra import Summary

SOURCE_PREFIX = "urn:eventlog-session:"
_TYPE_PREFIX = "org.pypi.eventlog-session."
"""The package's address on PyPI, reversed: the one name that this project controls."""

ADDED, POPPED, CLEARED, REWOUND, REPLACED, UNDONE, REDONE = "a", "p", "c", "r", "x", "u", "d"
ADOPTED, TRIMMED, TAGGED, FORKED = "m", "t", "g", "f"
"""
Kinds of events, as the one letter each takes in a run's columns.

REPLACED puts other items in the place of the last ones, or of all, as compaction does. UNDONE and REDONE go back to an older
version, see `undo`. ADOPTED took over a `DaprSession`'s history.
"""
REMARKS = frozenset({TRIMMED, TAGGED, FORKED})
"""Kinds that leave the history as it is: older versions were given up, one was given a name, the log began as another's."""

TYPES: Mapping[str, str] = MappingProxyType(
    {
        ADDED: _TYPE_PREFIX + "items.added.v1",
        POPPED: _TYPE_PREFIX + "item.popped.v1",
        CLEARED: _TYPE_PREFIX + "session.cleared.v1",
        REWOUND: _TYPE_PREFIX + "session.rewound.v1",
        ADOPTED: _TYPE_PREFIX + "history.adopted.v1",
        TRIMMED: _TYPE_PREFIX + "history.trimmed.v1",
        REPLACED: _TYPE_PREFIX + "history.replaced.v1",
        UNDONE: _TYPE_PREFIX + "change.undone.v1",
        REDONE: _TYPE_PREFIX + "change.redone.v1",
        TAGGED: _TYPE_PREFIX + "version.tagged.v1",
        FORKED: _TYPE_PREFIX + "session.forked.v1",
    }
)
NAMES: Mapping[str, str] = MappingProxyType({kind: type_.split(".")[-2] for kind, type_ in TYPES.items()})
"""What kinds are called for people: ``added``, ``popped`` and so on."""
IDEMPOTENCY_KEY = "idempotencykey"
"""The extension that holds a caller's own idempotency key."""
TRIMMED_BEFORE = "trimmedbefore"
"""The extension of a TRIMMED event that says which version is the oldest one kept."""
UNDONE_VERSIONS = "undoneversions"
"""The extension of an UNDONE event that lists the versions it takes back, newest first, with commas."""
REDO_ROW = "redorow"
"""The extension of a REDONE event that says what can be redone next: ``<UNDONE event's version>:<place in its list>``."""
TAG, TAG_VERSION = "tag", "tagversion"
"""
Extensions of a TAGGED event: a name, and the version that it is for from now on. Without that it is the version before the
event, with `NO_VERSION` none.
"""
NO_VERSION = "-"
FORKED_FROM, FORKED_AT = "forkedfrom", "forkedat"
"""Extensions of a FORKED event: the source of the log that this one began as a copy of, and the last version of that in it."""
_KINDS = {type_: kind for kind, type_ in TYPES.items()}
_NO_EXTENSIONS: Mapping[str, str] = MappingProxyType({})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = _EPOCH.replace(tzinfo=None)
_STANDARD = frozenset(
    {"specversion", "id", "source", "type", "time", "datacontenttype", "data"}
    | {"dataref", "dataparts", "datadigest", "datacount"}
)
"""Attributes that are not an event's *extensions*."""
_EXPORTED = frozenset({"sequence", "recordedtime", "subject", "partitionkey", "lastsequence"})
"""Attributes that an export adds."""
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_LONGEST_KEY: Final = 256


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the data of an event lies that is too large for one value."""

    number: int
    """How many parts."""
    digest: str
    """Digest of the one frame that the parts make up together."""


@dataclass(frozen=True, slots=True)
class Event:
    """
    One immutable fact about a session.

    *items* is the JSON array of the items it appends, as bytes; *text* the positions of those kept as text. *time* is when
    the call was made, in microseconds since 1970. *extensions* are CloudEvents extension attributes (trace ids).
    """

    id: str
    kind: str
    time: int
    base: int | None = None
    pops: int = 0
    count: int = 0
    items: bytes = b"[]"
    text: tuple[int, ...] = ()
    extensions: Mapping[str, str] = field(default_factory=lambda: _NO_EXTENSIONS)
    parts: Parts | None = None

    @property
    def summary(self) -> Summary:
        """What the event does to the history before it."""
        return Summary(self.base, self.pops, self.count)

    def data(self) -> bytes:
        """Return the event's ``data`` as JSON: an object, since the CloudEvents SDK mishandles arrays."""
        data: dict[str, Any] = {}
        if self.base is not None:
            data["base"] = self.base
        if self.pops:
            data["pops"] = self.pops
        if self.count:
            data["items"] = orjson.Fragment(self.items)
        if self.text:
            data["text"] = self.text
        return orjson.dumps(data)

    def to_bytes(self, source: str) -> bytes:
        """Return the event as it is stored under its own key."""
        attributes: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.id,
            "source": source,
            "type": TYPES[self.kind],
            "time": to_rfc3339(self.time),
            **self.extensions,
        }
        if self.parts is None:
            attributes["datacontenttype"] = "application/json"
            attributes["data"] = orjson.Fragment(self.data())
        else:
            attributes["dataref"] = f"{source}:p:{self.id}"
            attributes["dataparts"] = self.parts.number
            attributes["datadigest"] = self.parts.digest
            attributes["datacount"] = self.count
        return orjson.dumps([attributes])

    @classmethod
    def of(cls, value: bytes) -> "Event":
        """
        Return the event stored as *value*; the items of one whose data lies in parts are not in it.

        Raises CorruptLog when *value* is not such an event, UnsupportedFormat for a type of a newer release.
        """
        try:
            (attributes,) = orjson.loads(value)
        except (ValueError, TypeError) as error:
            raise CorruptLog("not a stored event") from error
        return cls.of_attributes(attributes)

    @classmethod
    def of_attributes(cls, attributes: Any) -> "Event":
        """Return the event with these *attributes*, ``data`` among them. Raises as `of` does."""
        try:
            kind = _KINDS.get(attributes["type"])
            if kind is None:
                raise UnsupportedFormat(f"event type {attributes['type']!r} is newer than this release; upgrade it")
            data = attributes.get("data", {})
            items: list[Any] = data.get("items", [])
            count, pops = attributes.get("datacount", len(items)), data.get("pops", 0)
            base, text = data.get("base"), data.get("text", [])
            if (type(items), type(text), type(count), type(pops)) != (list, list, int, int):
                raise TypeError("its data is of other types")
            if type(base) not in (int, NoneType):
                raise TypeError("its base is no version")
            return cls(
                id=attributes["id"],
                kind=kind,
                time=from_rfc3339(attributes["time"]),
                base=base,
                pops=pops,
                count=count,
                items=orjson.dumps(items),
                text=tuple(text),
                extensions={name: value for name, value in attributes.items() if name not in _STANDARD},
                parts=Parts(attributes["dataparts"], attributes["datadigest"]) if "dataref" in attributes else None,
            )
        except UnsupportedFormat:
            raise
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CorruptLog("not a stored event") from error


def is_extension(name: str, value: object) -> bool:
    """Whether an event can have this extension: CloudEvents allows its name, which means nothing else here, and it is text."""
    if not name or not _NAME.issuperset(name) or name.startswith("data") or name in _STANDARD or name in _EXPORTED:
        return False
    return type(value) is str and (value.isascii() or is_unicode(value))


def is_unicode(text: str) -> bool:
    """Whether *text* has no lone surrogates, which can't be stored."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_idempotency_key(key: object) -> bool:
    """Whether *key* can be one: CloudEvents wants an attribute printable, and a head keeps only digests."""
    return isinstance(key, str) and 0 < len(key) <= _LONGEST_KEY and key.isprintable()


def is_tag_name(name: object, longest: int | None = None) -> bool:
    """Whether a tag can have this name, of at most *longest* bytes in UTF-8."""
    if not isinstance(name, str) or not name or not name.isprintable():
        return False
    return longest is None or len(name.encode()) <= longest


def to_rfc3339(time: int) -> str:
    """Return *time* (microseconds since 1970) as CloudEvents wants it, always with six digits and ``Z``."""
    naive = _NAIVE_EPOCH + timedelta(microseconds=time)  # formats in a third of the time of an aware one's strftime
    return naive.isoformat(timespec="microseconds") + "Z"


def from_rfc3339(text: str) -> int:
    """Return what `to_rfc3339` gave *text* for."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)


def to_datetime(time: int) -> datetime:
    """Return *time*, in microseconds since 1970, as a moment in UTC."""
    return _EPOCH + timedelta(microseconds=time)


def from_datetime(moment: datetime) -> int:
    """Return an aware *moment* in microseconds since 1970. Raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("a point in time needs a time zone: datetime(..., tzinfo=UTC) or moment.astimezone()")
    return (moment - _EPOCH) // timedelta(microseconds=1)
