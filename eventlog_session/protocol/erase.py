"""
Erasing a session: everything of it is deleted, and deleted again once no write can be under way any more.

In an order that can be taken up again wherever it stops: first a tombstone takes the head's place, by the same commit protocol
as everything else, so that no writer goes on and no reader sees half of it; it names what is left to delete. Then that is
deleted, and after a grace once more, since on a store that does not roll back (Redis) a commit that was refused may still have
put its event. At last a tombstone without names stays.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf

from ..core.keys import Keys
from ..core.tombstone import Remains, Tombstone
from ..errors import BeingErased, Unavailable
from ..runtime import Runtime
from .adoption import legacy_keys
from .heads import Heads
from .lane import Answer, Intent
from .reader import Reader
from .sweep import Sweeper


@dataclass(frozen=True, slots=True)
class Erasure:
    """What `erase` did. Everything in here names the store's keys, nothing what was kept under them."""

    keys: tuple[str, ...]
    """Deleted, whether or not they were there; none when there was no such session. The tombstone's is not among them."""
    tombstone: str
    """The key that stays."""


class Eraser:
    """Erases one session."""

    def __init__(
        self, keys: Keys, heads: Heads, reader: Reader, sweeper: Sweeper, runtime: Runtime,
        submit: Callable[[Intent], Awaitable[Answer]], *, session_id: str,
    ) -> None:  # fmt: skip
        self._keys = keys
        self._heads = heads
        self._reader = reader
        self._sweeper = sweeper
        self._runtime = runtime
        self._submit = submit
        self._legacy = legacy_keys(session_id)

    async def erase(self, grace: float) -> Erasure:
        """Erase, or go on with an erasure that was interrupted; return when the second pass is done, *grace* seconds later."""
        if not 0 <= grace < inf:
            raise ValueError(f"the grace is a number of seconds, not {grace!r}; nothing was erased")
        await self._submit(Intent(None, alone=True))
        tombstone = (await self._heads.fresh()).tombstone
        if tombstone is None or tombstone.remains is None:
            return Erasure(await self._erase_legacy(grace), self._keys.head)
        try:
            return await self._empty(tombstone, tombstone.remains, grace)
        except Unavailable as error:
            raise BeingErased("the session reads as erased, and the store failed before all was; call erase() again") from error

    async def _empty(self, tombstone: Tombstone, remains: Remains, grace: float) -> Erasure:
        """Delete what *tombstone* names, twice, and then its names."""
        keys = list(dict.fromkeys([*self._sweeper.keys_of(remains.events), *self._legacy]))
        await self._sweeper.delete(keys)
        refs = {ref.name: ref for ref in await self._reader.tree(remains.refs, faults={})}
        keys += await self._sweeper.free(list(refs.values()))
        await self._runtime.sleep(grace)
        await self._sweeper.delete(keys)
        await self._submit(Intent(None, alone=True, erased=tombstone.erased))
        return Erasure(tuple(keys), self._keys.head)

    async def _erase_legacy(self, grace: float) -> tuple[str, ...]:
        """Delete what a `DaprSession` left where there is no session: it may have written since the last erasure."""
        keys = tuple(await self._reader.values(self._legacy))
        if keys:
            await self._sweeper.delete(keys)
            await self._runtime.sleep(grace)
            await self._sweeper.delete(keys)
        return keys
