"""
What is measured. A case takes a session and the history it holds, and knows no implementation.

It hands each operation to *timed*, which awaits it with a clock around the await and nothing else, and checks the answer: a
benchmark of wrong results is worthless.
"""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pydoc_data.topics import topics
from typing import Any

from agents.memory.session import Session

Timed = Callable[[str, Awaitable[Any]], Awaitable[Any]]  # awaits the named operation and returns its answer
LIMIT = 10
ITEM_BYTES = 330
_PROSE = re.sub(r"[^ !#-\[\]-~]+", " ", " ".join(topics.values()))  # English that JSON needs no escapes for


@dataclass(frozen=True, slots=True)
class Case:
    """Operations that are measured one after the other on one session object."""

    run: Callable[[Session, Sequence[Any], Timed], Awaitable[None]]
    operations: tuple[str, ...]
    cached: bool
    """Whether the object knows the session from the round before; else it is new and knows nothing. At n=0 all is new."""


async def reads(session: Session, history: Sequence[Any], timed: Timed) -> None:
    """Read all of a session that was never read, and again, and then its end."""
    expect(history, await timed("get all, cold", session.get_items()))
    expect(history, await timed("get all, warm", session.get_items()))
    expect(history[-LIMIT:], await timed(f"get {LIMIT}, warm", session.get_items(limit=LIMIT)))


async def end(session: Session, history: Sequence[Any], timed: Timed) -> None:
    """Read the end of a session that was never read."""
    expect(history[-LIMIT:], await timed(f"get {LIMIT}, cold", session.get_items(limit=LIMIT)))


async def writes(session: Session, history: Sequence[Any], timed: Timed) -> None:
    """Append one item, as after a model call, and take it back: the history's length stays what it is."""
    item = message(len(history))
    await timed("add 1", session.add_items([item]))
    expect(item, await timed("pop", session.pop_item()))


CASES = (
    Case(reads, ("get all, cold", "get all, warm", f"get {LIMIT}, warm"), cached=False),
    Case(end, (f"get {LIMIT}, cold",), cached=False),
    Case(writes, ("add 1", "pop"), cached=True),  # last, so that the others read a log of adds only
)


def expect(right: Any, answer: Any) -> None:
    """Raise ValueError unless *answer* is *right*."""
    if answer != right:
        raise ValueError(f"a wrong answer: {str(answer)[:200]}... where {str(right)[:200]}... was due")


@cache
def message(number: int) -> Any:
    """Return the item at *number* of every history: a user's message or the model's, 330 bytes as compact JSON."""
    room = ITEM_BYTES - len(json.dumps(_item(number, ""), separators=(",", ":")))
    start = number * ITEM_BYTES % (len(_PROSE) - ITEM_BYTES)
    return _item(number, _PROSE[start : start + room])


def _item(number: int, text: str) -> Any:
    if number % 2 == 0:
        return {"content": text, "role": "user"}
    content = [{"annotations": [], "text": text, "type": "output_text", "logprobs": []}]
    name = blake2b(b"%d" % number, digest_size=24).hexdigest()
    return {"id": f"msg_{name}", "content": content, "role": "assistant", "status": "completed", "type": "message"}
