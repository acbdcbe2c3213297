"""
Cutting a history at a turn: what a user said, and everything up to what the user says next. Pure.

A plain limit may leave a tool's output without its call, which models refuse. A cut between turns does not, but where a call is
answered turns later, as after an approval; then it moves back to the turn of the call.
"""

from collections.abc import Sequence
from typing import Any

from .history import is_user


def beginning(items: Sequence[Any], turns: int, *, whole: bool) -> int | None:
    """
    Return where the newest *turns* turns of *items* begin, which are a whole history, or the end of one.

    None when older items are needed to know.
    """
    starts = [place for place, item in enumerate(items) if is_user(item) and not (place and is_user(items[place - 1]))]
    begin = starts[-turns] if turns <= len(starts) else 0
    calls = {_asks(item): place for place, item in enumerate(items)}
    while begin:
        asked = [calls.get(_answers(item)) for item in items[begin:] if _answers(item)]
        if None in asked and not whole:
            return None
        first = min((place for place in asked if place is not None), default=begin)
        if first >= begin:
            return begin
        begin = max((start for start in starts if start <= first), default=0)
    return 0 if whole else None  # before the first item there may be another of the same turn


def _asks(item: Any) -> str | None:
    """Return what the output or the answer to *item* will refer to; None if there is none to come."""
    kind = _kind(item)
    if kind == "mcp_approval_request":
        return _string(item.get("id"))
    return _string(item.get("call_id")) if kind.endswith("_call") else None


def _answers(item: Any) -> str | None:
    """Return what *item* refers to; None if it answers nothing."""
    kind = _kind(item)
    if kind == "mcp_approval_response":
        return _string(item.get("approval_request_id"))
    return _string(item.get("call_id")) if kind.endswith("_output") else None


def _kind(item: Any) -> str:
    return str(item.get("type", "")) if isinstance(item, dict) else ""


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None  # an item may be any JSON
