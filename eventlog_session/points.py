"""What names a moment of a session: a version, a time, how long ago, or a tag."""

from datetime import datetime, timedelta

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


def checked_name(name: object, longest: int) -> str:
    """Return the tag's *name*. Raises ValueError unless it is printable and of at most *longest* characters."""
    if isinstance(name, str) and 0 < len(name) <= longest and name.isprintable():
        return name
    raise ValueError(f"a tag's name is a string of 1 to {longest} printable characters")
