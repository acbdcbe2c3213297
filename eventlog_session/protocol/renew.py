"""
Keeping what a head names alive for longer than the head: the part of ttl that stores don't do.

A session's ttl slides with every write, a store's is for each key. So values are written with three times the ttl and written
again, the same bytes under the same keys, once they are older than one: in the background after a commit, all in one pass.
Only when that did not happen (a session in short-lived processes, say) and the head would outlive them does a commit do it
first, past two ttls. Nothing is kept of a pass that was cut short: it begins anew, which costs less than remembering it.

The head says when the first value it names expires. A pass is believed only for the head it was made on or one that went on
from it under the same ttl, so that no other writer's values, sealed meanwhile under another ttl, are taken for renewed.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from ..core.head import Head
from ..errors import EventLogError
from ..runtime import Runtime
from ..stores.base import Put, Store
from .reader import Gone, Reader

_log = logging.getLogger("eventlog_session")
_TIMES = 3


def values_ttl(ttl: int | None) -> int | None:
    """Return the ttl of values under a head of that ttl."""
    return None if ttl is None else ttl * _TIMES


def values_expire(now: int, ttl: int | None) -> int | None:
    """Return when values written *now* expire, in seconds since 1970; None for never."""
    return None if ttl is None else now + ttl * _TIMES


@dataclass(frozen=True, slots=True)
class _Pass:
    """What was renewed: all that *head* named, up to *expire*, under *ttl*."""

    head: Head
    ttl: int
    expire: int

    def holds(self, head: Head) -> bool:
        """Whether it also says when the first value that *head* names expires."""
        before = self.head
        same = (head.generation, head.values_expire, head.ttl) == (before.generation, before.values_expire, self.ttl)
        return same and head.ttl_since <= before.version


class Renewer:
    """Renews one session's values."""

    def __init__(self, store: Store, reader: Reader, runtime: Runtime) -> None:
        self._store = store
        self._reader = reader
        self._runtime = runtime
        self._done: _Pass | None = None
        self._task: asyncio.Task[None] | None = None

    async def reach(self, head: Head, ttl: int | None) -> int | None:
        """
        Return when the first value that *head* names expires: later than a head with *ttl* written now, or never.

        Values that would not last are renewed first. Raises Gone for one that is missing.
        """
        expire = self._expire(head)
        if ttl is None or expire is None or self._runtime.clock() + ttl <= expire:
            return expire
        return await self._renew(head, ttl)

    def start(self, head: Head, *, changed: bool) -> None:
        """
        Renew in the background what *head*, just committed, names, if it is older than a ttl.

        With a *changed* ttl in any case: a writer that still had the shorter one may have written over them since. And while
        nobody knows when they expire: what was written before the session had a ttl would outlive it for good.
        """
        if head.ttl is None or (self._task is not None and not self._task.done()):
            return
        expire = self._expire(head)
        if changed or expire is None or self._runtime.clock() + 2 * head.ttl > expire:
            self._task = asyncio.create_task(self._renew_quietly(head, head.ttl), name="eventlog: renew values")

    async def settle(self) -> None:
        """Wait for the renewal under way, if there is one."""
        if self._task is not None:
            await asyncio.wait({self._task})

    def _expire(self, head: Head) -> int | None:
        """Return when the first value that *head* names expires, as far as this process knows; None for never."""
        return self._done.expire if self._done is not None and self._done.holds(head) else head.values_expire

    async def _renew_quietly(self, head: Head, ttl: int) -> None:
        try:
            await self._renew(head, ttl)
        except (EventLogError, Gone) as error:
            _log.debug("values are left for the next renewal: %s", type(error).__name__)

    async def _renew(self, head: Head, ttl: int) -> int:
        """Write everything that *head* names again with three times *ttl*; return when the first of it expires."""
        began = int(self._runtime.clock())

        async def put(values: Mapping[str, bytes]) -> None:
            await self._store.put_many([Put(key, value, values_ttl(ttl)) for key, value in values.items()])

        await self._reader.each_page(head, put)
        self._done = _Pass(head, ttl, began + ttl * _TIMES)
        return self._done.expire
