"""Stores that wrap another one and watch what is asked of it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from ..stores.base import Committed, NotCommitted, Put, Store, Traits, Value

_T = TypeVar("_T")

_TURNS: Final = 8
"""
Turns of the event loop that a call takes at least, as if there was a network even where there is none: calls made together
then overlap, and one left in the background does not end before its caller goes on.
"""


class CountingStore:
    """
    *inner*, with every call counted.

    It is a store of its own: logs, lanes and caches are not shared with users of *inner*, so a new one starts cold. `traits`
    is not counted, since a store is asked for them once.
    """

    calls: Counter[str]
    """Calls by method."""
    keys: int
    """Keys asked for, written or deleted."""
    sent: int
    """Bytes of keys and values in requests; framing is not counted. *received* is the same of replies."""
    received: int
    trips: int
    """
    Length of the longest chain of calls that each began after the one before had ended: round trips that somebody had to
    wait for one after the other. Calls that overlap count once; what has not ended yet does not count.
    """

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self._epoch = 0
        self.reset()

    def __repr__(self) -> str:
        calls = " ".join(f"{method}={number}" for method, number in sorted(self.calls.items())) or "no calls"
        return f"<CountingStore trips={self.trips} keys={self.keys} sent={self.sent} received={self.received} {calls}>"

    def reset(self) -> None:
        """Count from zero. What is under way is not counted when it ends."""
        self._epoch += 1
        self.calls = Counter()
        self.keys = self.sent = self.received = self.trips = 0

    @property
    def identity(self) -> object:
        """This wrapper and no other."""
        return ("counting", id(self))

    async def traits(self) -> Traits:
        """Return the inner store's."""
        return await self._inner.traits()

    async def get(self, key: str) -> Value | None:
        """Count and delegate, as all that follow."""
        return await self._counted("get", [key], self._inner.get(key), lambda value: len(value.data) if value else 0)

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:  # noqa: D102 see get
        return await self._counted("get_many", keys, self._inner.get_many(keys), _size_of_found)

    async def commit(self, head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:  # noqa: D102
        return await self._counted("commit", [head, *values], self._inner.commit(head, etag, values))

    async def create(self, head: Put) -> None:  # noqa: D102
        await self._counted("create", [head], self._inner.create(head))

    async def put_many(self, values: Sequence[Put]) -> None:  # noqa: D102
        await self._counted("put_many", values, self._inner.put_many(values))

    async def delete_many(self, keys: Sequence[str]) -> None:  # noqa: D102
        await self._counted("delete_many", keys, self._inner.delete_many(keys))

    async def ping(self) -> None:  # noqa: D102
        await self._counted("ping", [], self._inner.ping())

    async def close(self) -> None:
        """Close the inner store; not counted."""
        await self._inner.close()

    async def _counted(
        self,
        method: str,
        request: Sequence[str | Put],
        call: Awaitable[_T],
        size: Callable[[_T], int] = lambda _: 0,
    ) -> _T:
        epoch, chain = self._epoch, self.trips + 1
        self.calls[method] += 1
        self.keys += len(request)
        self.sent += sum(len(one) if isinstance(one, str) else len(one.key) + len(one.value) for one in request)
        try:
            answer = await call
            for _ in range(_TURNS):
                await asyncio.sleep(0)  # noqa: TID251 no time passes
        finally:
            if epoch == self._epoch:
                self.trips = max(self.trips, chain)
        if epoch == self._epoch:
            self.received += size(answer)
        return answer


def _size_of_found(found: Mapping[str, bytes]) -> int:
    return sum(len(key) + len(value) for key, value in found.items())
