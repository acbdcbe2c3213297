"""What names a moment of a session: a version, a time, how long ago, or a tag."""

from datetime import UTC, datetime, timedelta

from .core.events import is_tag_name, to_datetime

Point = int | datetime | timedelta | str
"""
A version; or a moment with a time zone, or a time that has passed since one: then the last version committed by that moment;
or the name of a tag.
"""


def checked(point: Point) -> Point:
    """Return *point*. Raises ValueError for what can't be one."""
    moment = isinstance(point, datetime) and point.tzinfo is not None
    ago = isinstance(point, timedelta) and point >= timedelta()
    if type(point) is int or moment or ago or (isinstance(point, str) and point):
        return point
    raise ValueError(
        "a point is a version, a datetime with a time zone (datetime(..., tzinfo=UTC) or moment.astimezone()), a timedelta ago "
        f"or a tag's name, not {point!r}"
    )


def checked_name(name: str, longest: int | None = None) -> str:
    """
    Return the tag's *name*. Raises ValueError unless it is printable and of at most *longest* bytes in UTF-8.

    Without *longest* it may be one that was given under other limits: to be taken away.
    """
    if is_tag_name(name, longest):
        return name
    raise ValueError(f"a tag's name is a printable string{'' if longest is None else f' of 1 to {longest} bytes in UTF-8'}")


def as_it_is_now(point: Point, now: int) -> Point:
    """Return *point*, which goes on meaning the same: a time ago as the moment that it is *now* (microseconds since 1970)."""
    if not isinstance(point, timedelta):
        return point
    try:
        return to_datetime(now - point // timedelta(microseconds=1))
    except OverflowError:  # before there were years
        return datetime.min.replace(tzinfo=UTC)
