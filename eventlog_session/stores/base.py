"""
The port: what the log asks of a store. Keys and bytes in, outcomes as values out; nothing of the format is known here.

A store keeps bytes under keys and can commit: put the head if its etag is still the one given, together with other values. It
need not be able to roll the others back when the head is refused (Redis is not): they are immutable and named by no head,
so they are harmless. `MemoryStore` is this port's specification in the fewest lines, and
`eventlog_session.testing.StoreContract` the suite that every store passes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Put(NamedTuple):
    """A value to write. *ttl* in seconds from now; None keeps it for good, whatever ttl it had."""

    key: str
    value: bytes
    ttl: int | None = None


class Value(NamedTuple):
    """A value as read, with the store's opaque token for exactly this state of the key."""

    data: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class Committed:
    """
    Everything of the commit is in the store.

    *etag* is the head's new one where the store tells it or it can be predicted; None means: read the head to learn it.
    """

    etag: str | None


@dataclass(frozen=True, slots=True)
class NotCommitted:
    """
    The head was refused, or nobody knows: only reading the head tells which.

    *sent* is False only when the request surely never reached the store. *cause* is the error, if there was one.
    """

    cause: BaseException | None = None
    sent: bool = True


@dataclass(frozen=True, slots=True)
class Traits:
    """How a store behaves where stores differ. The defaults are the safe ones."""

    atomic_create: bool = False
    """A commit may create the head, and then only if it is absent, also against a race."""
    keeps_bytes: bool = False
    """Values come back byte for byte, whatever they are; else only UTF-8 JSON that begins with ``[`` does."""
    trusted: bool = False
    """A reported commit is one. Else the head is read before a commit is acknowledged."""
    transactional: bool = False
    """A commit's values are not there before its head is, but where the head was refused. Else they may be left alone."""


class Store(Protocol):
    """
    A key to bytes mapping with conditional commit.

    Every call has a deadline of its own, and raises `Unavailable` when the store can't be reached and `StoreRefused` when it
    rejects the request as such; `commit` returns `NotCommitted` for all that may or may not have happened. A store may have a
    *system* and a *name*, for spans and metrics to say which it is.
    """

    @property
    def identity(self) -> object:
        """What two stores have in common, and only they, that hold the same data: a hashable value."""

    async def traits(self) -> Traits:
        """Return how this store behaves, always the same. Asked before every commit: one that must find out remembers."""

    async def get(self, key: str) -> Value | None:
        """Return the newest value of *key*, strongly consistent, or None when there is none."""

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return the values of *keys*, without those there are none for. Only for immutable values: it may be stale."""

    async def commit(self, head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:
        """
        Put *head* if its etag still is *etag*, together with *values*.

        None for *etag* means: only if there is no head; asked of stores with `Traits.atomic_create` only.
        """

    async def create(self, head: Put) -> None:
        """Put *head* if there is none, as well as the store can. Whether it did is for the caller to read."""

    async def put_many(self, values: Sequence[Put]) -> None:
        """Put immutable *values* ahead of the commit that will name them. Not atomic."""

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Delete *keys*, present or not. Not atomic."""

    async def ping(self) -> None:
        """Return when the store answers; raise when it does not."""

    async def close(self) -> None:
        """Release what the store owns. Closing again retries what failed, and is otherwise nothing."""
