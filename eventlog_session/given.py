"""What a session is given, checked before anything is asked of the store; and what `read` gives, which may be given back."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .core.events import is_idempotency_key
from .protocol.lane import Expected

if TYPE_CHECKING:
    from agents.items import TResponseInputItem

LONGEST_TTL: Final = 10 * 366 * 24 * 3600
"""Ten years, in seconds; three of those still fit what stores count in."""


@dataclass(frozen=True, slots=True)
class SessionView:
    """Items, oldest first, the version of the session that they stand at, and its *generation*: "" before the first write."""

    items: "list[TResponseInputItem]"
    version: int
    generation: str = ""


def check_settings(session_id: object, ttl: object, legacy: object, turns: object) -> None:
    """Raise TypeError or ValueError for what no session can be made of."""
    if not isinstance(session_id, str):
        raise TypeError(f"session_id must be a string, not {type(session_id).__name__}; use str(...)")
    if ttl is not None and (type(ttl) is not int or not 0 < ttl <= LONGEST_TTL):
        raise ValueError(f"ttl must be a positive whole number of seconds or None (ten years at most), not {ttl!r}")
    if legacy not in ("adopt", "ignore"):
        raise ValueError(f'legacy is "adopt" or "ignore", not {legacy!r}')
    check_turns(turns)


def check_turns(turns: object) -> None:
    """Raise ValueError for what is no number of turns, nor None."""
    if turns is not None and (type(turns) is not int or turns < 1):
        raise ValueError(f"turns is how many, at least 1, or None, not {turns!r}")


def check_number(n: object) -> None:
    """Raise ValueError for what is no number of changes or items."""
    if type(n) is not int or n < 1:
        raise ValueError(f"n is how many, at least 1, not {n!r}")


def check_key(key: object) -> None:
    """Raise ValueError for what is no idempotency key."""
    if not is_idempotency_key(key):
        raise ValueError("an idempotency key is a string of 1 to 256 printable characters")


def expected_on(version: int | SessionView | None) -> Expected | None:
    """Return what a write is to be on: a version, or what `read` returned. Raises ValueError for anything else."""
    if isinstance(version, SessionView):
        return Expected(version.version, version.generation)
    if version is not None and (type(version) is not int or version < 0):
        raise ValueError(f"an expected version is a version or what read() returned, not {version!r}")
    return None if version is None else Expected(version)
