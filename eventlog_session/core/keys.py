"""
Key names.

::

    evl:{<digest>}:h           the head, the only key that changes
    evl:{<digest>}:e:<id>      an event, as a CloudEvent
    evl:{<digest>}:p:<id>:<i>  part i of a large event's data
    evl:{<digest>}:s:<digest>  a segment          evl:{<digest>}:n:<digest>  an index node
    evl:{<digest>}:a           "a DaprSession's history was adopted", kept when the session expires

Only ``[a-z0-9{}:-]``, since some stores compare keys without case; at most 61 bytes, since Oracle takes 100 with the app
id. A session id is any string, so a key holds its digest (128 bits of BLAKE2b); the head holds the id itself and every
reader checks it. The braces are a Redis Cluster hash tag: all keys of a session live in one slot, which a transaction needs.
"""

from hashlib import blake2b

from .events import SOURCE_PREFIX

ID_LENGTH = 16
KEY_LENGTH = 13
"""Characters of an idempotency key's digest in the head: 65 bits, for 128 keys of one session at a time."""
_DIGEST_LENGTH = 26
_OPENING = "evl:{"
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


def digest(data: bytes) -> str:
    """Return 128 bits of BLAKE2b as 26 characters of lowercase base 32."""
    return _base32(blake2b(data, digest_size=16).digest())


def mint(random_bytes: bytes) -> str:
    """Return 10 random bytes as an event id of 16 characters: 80 bits, unique within a session for all practical purposes."""
    return _base32(random_bytes)


def _base32(data: bytes) -> str:
    """Return *data* in lowercase base 32 without padding (RFC 4648). `b32encode` looks it up in a table that is in no cache."""
    length = -(-len(data) * 8 // 5)
    bits = int.from_bytes(data) << length * 5 - len(data) * 8
    return "".join([_ALPHABET[bits >> shift & 31] for shift in range(length * 5 - 5, -1, -5)])


def is_id(text: str) -> bool:
    """Whether *text* is an event id as `mint` makes them."""
    return type(text) is str and len(text) == ID_LENGTH and set(_ALPHABET).issuperset(text)


def is_source(text: str) -> bool:
    """Whether *text* is the source of a session's events, see `Keys`."""
    name = text.removeprefix(SOURCE_PREFIX)
    return len(text) - len(name) == len(SOURCE_PREFIX) and len(name) == _DIGEST_LENGTH and set(_ALPHABET).issuperset(name)


def partition(key: str) -> str:
    """Return the part of *key* that all keys of its session share and no other session's have; "" for a key not ours."""
    return key[len(_OPENING) : key.index("}")] if key.startswith(_OPENING) else ""


class Keys:
    """The keys of one session."""

    __slots__ = ("_prefix", "adopted", "digest", "head", "source")

    def __init__(self, session_id: str) -> None:
        # surrogatepass: a lone surrogate is a legal character of a Python string, so of an id
        self.digest = digest(session_id.encode("utf-8", "surrogatepass"))
        self._prefix = f"{_OPENING}{self.digest}}}:"
        self.head = self._prefix + "h"
        self.adopted = self._prefix + "a"
        self.source = SOURCE_PREFIX + self.digest

    def event(self, event_id: str) -> str:
        """Return the key of an event."""
        return f"{self._prefix}e:{event_id}"

    def part(self, event_id: str, number: int) -> str:
        """Return the key of one part of a large event's data."""
        return f"{self._prefix}p:{event_id}:{number}"

    def segment(self, name: str) -> str:
        """Return the key of the segment *name*."""
        return f"{self._prefix}s:{name}"

    def node(self, name: str) -> str:
        """Return the key of the index node *name*."""
        return f"{self._prefix}n:{name}"
