"""
Immutable compressed values: segments, index nodes, parts.

At rest either the zstd frame itself, or ``["zstd","<base64>"]`` for stores that keep text only (MongoDB, SQL Server v1); a
part is a slice of a frame, after ``(part`` or as that text. A reader tells them apart by how they begin. Level 1: level 3
saves 4 % of the bytes and takes twice the time.
"""

import sys
from base64 import b64decode, b64encode

from ..errors import CorruptLog

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_MAGIC = b"\x28\xb5\x2f\xfd"
_TEXT = b'["zstd","'
_PART = b"\x28part"
"""Before a slice of a frame that is kept as bytes: a slice from the middle has no magic of its own."""


def compress(data: bytes) -> bytes:
    """Return *data* as one zstd frame."""
    return zstd.compress(data, level=1)


def decompress(frame: bytes, limit: int) -> bytes:
    """
    Return what *frame* holds.

    Raises CorruptLog when it is not a whole zstd frame or holds more than *limit* bytes.
    """
    decompressor = zstd.ZstdDecompressor()
    try:
        data: bytes = decompressor.decompress(frame, max_length=limit + 1)
    except zstd.ZstdError as error:
        raise CorruptLog("not a zstd frame") from error
    if len(data) > limit:
        raise CorruptLog(f"decompresses to more than {limit} bytes")
    if not decompressor.eof:
        raise CorruptLog("the zstd frame is cut short")
    return data


def to_text(frame: bytes) -> str:
    """Return *frame* as base 64."""
    return b64encode(frame).decode()


def from_text(text: str) -> bytes:
    """Return the frame that `to_text` gave *text* for."""
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise CorruptLog("not base64") from error


def to_value(frame: bytes, *, binary: bool) -> bytes:
    """Return *frame* as it is stored: itself where the store keeps bytes, JSON text elsewhere."""
    return frame if binary else _TEXT + b64encode(frame) + b'"]'


def to_parts(frame: bytes, size: int, *, binary: bool) -> list[bytes]:
    """Return *frame* cut into values of at most *size* bytes each."""
    step = size - 16 if binary else (size - 16) // 4 * 3
    slices = [frame[start : start + step] for start in range(0, len(frame), step)]
    return [_PART + part if binary else to_value(part, binary=False) for part in slices]


def from_part(value: bytes) -> bytes:
    """Return the slice of a frame that *value* holds."""
    return value[len(_PART) :] if value.startswith(_PART) else from_value(value)


def from_value(value: bytes) -> bytes:
    """Return the frame that *value* holds."""
    if value.startswith(_MAGIC):
        return value
    if value.startswith(_TEXT) and value.endswith(b'"]'):
        return from_text(value[len(_TEXT) : -2].decode("ascii", "replace"))
    raise CorruptLog("neither a zstd frame nor one as text")
