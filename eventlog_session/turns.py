"""
Cutting a history at a turn: what a user said, and everything up to what the user says next. Pure.

A plain limit may leave a tool's output without its call, or a reasoning item's follower without it, which models refuse. A cut
between turns does not, but where a call is answered turns later, as after an approval; then it moves back to the turn of the
call. What is encrypted shows no user, and so has no turns but one.
"""

from collections.abc import Sequence
from typing import Any, Final

from .history import is_user

_OLDER: Final = -1


def beginning(items: Sequence[Any], turns: int, *, whole: bool) -> int | None:
    """
    Return where the newest *turns* turns of *items* begin, which are a whole history, or the end of one.

    None when older items are needed to know.
    """
    starts = [place for place, item in enumerate(items) if is_user(item) and not (place and is_user(items[place - 1]))]
    begin = starts[-turns] if turns <= len(starts) else 0
    needs = _needs(items)
    while begin:
        needed = needs[begin:]
        if _OLDER in needed and not whole:
            return None
        first = min(place for place in (begin, *needed) if place != _OLDER)
        if first == begin:
            return begin
        begin = max((start for start in starts if start <= first), default=0)
    return 0 if whole else None  # before the first item there may be another of the same turn


def _needs(items: Sequence[Any]) -> list[int]:
    """Return for each item the place of the oldest one that it refers to, or its own; `_OLDER` for what is not among them."""
    calls: dict[str, int] = {}
    needs: list[int] = []
    for place, item in enumerate(items):
        needs.append(min((calls.get(call, _OLDER) for call in _answers(item)), default=place))
        if (call := _asks(item)) is not None:
            calls[call] = place
    return needs


def _asks(item: Any) -> str | None:
    """Return what the output of *item*, the answer to it, or a call that it makes refers to; None if nothing will."""
    kind = _kind(item)
    if kind == "mcp_approval_request":
        return _text(item.get("id"))
    return _text(item.get("call_id")) if kind.endswith("_call") or kind == "program" else None


def _answers(item: Any) -> list[str]:
    """Return what *item* refers to: what it is the output of, the answer to, or called by."""
    if not isinstance(item, dict):
        return []
    caller = item.get("caller")
    found = (
        item.get("call_id") if _kind(item).endswith("_output") else None,
        item.get("approval_request_id"),
        caller.get("caller_id") if isinstance(caller, dict) else None,
    )
    return [text for text in map(_text, found) if text is not None]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _kind(item: Any) -> str:
    return str(item.get("type", "")) if isinstance(item, dict) else ""
