"""An event made ready to be committed: its bytes, and the values that must be written before it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..errors import InvalidItem
from ..limits import Limits
from . import blob
from .events import IDEMPOTENCY_KEY, Event, Parts
from .keys import KEY_LENGTH, Keys, digest


@dataclass(frozen=True, slots=True)
class Draft:
    """An event whose bytes are fixed, whatever the attempt that writes them."""

    event: Event
    value: bytes
    """What is stored under the event's own key."""
    far: tuple[int, int, str] | None
    """(bytes, parts, digest) when its items are too large to be repeated in the head."""
    ahead: Mapping[str, bytes]
    """Parts of its data by key, to be written before the commit."""
    key: str = ""
    """Digest of the caller's idempotency key, "" without one; *content* that of the items it came with."""
    content: str = ""


def draft(event: Event, keys: Keys, limits: Limits, *, binary: bool) -> Draft:
    """
    Return *event* ready to be committed; *binary* says that the store keeps bytes.

    Raises InvalidItem when it is larger than one event may be.
    """
    size = len(event.items)
    if size > limits.event_bytes:
        raise InvalidItem(f"{size} bytes of items in one batch; at most {limits.event_bytes} fit. Nothing was written")
    key, content = _fingerprint(event)
    if size <= limits.value_bytes:
        value = event.to_bytes(keys.source)
        far = (len(value), 0, digest(value)) if size > limits.inline_bytes else None
        return Draft(event, value, far, {}, key, content)
    frame = blob.compress(event.data())
    parts = blob.to_parts(frame, limits.value_bytes, binary=binary)
    event = replace(event, parts=Parts(len(parts), digest(frame)))
    ahead = {keys.part(event.id, number): part for number, part in enumerate(parts)}
    stored = sum(map(len, parts))
    return Draft(event, event.to_bytes(keys.source), (stored, len(parts), digest(frame)), ahead, key, content)


def _fingerprint(event: Event) -> tuple[str, str]:
    """Return the digests that an event's idempotency key is remembered by, none without a key."""
    key = event.extensions.get(IDEMPOTENCY_KEY)
    if key is None:
        return "", ""
    content = b"%s%r" % (event.items, event.text)
    return digest(key.encode())[:KEY_LENGTH], digest(content)[:KEY_LENGTH]
