"""
Deleting what nobody reads any more: the own keys of events whose segment stands.

Done in the background, outside commits and at best effort. The head remembers only up to which version it is done, so that
whoever seals next goes on where another process stopped.
"""

import asyncio
import logging

from .core.head import Head
from .core.keys import Keys
from .errors import EventLogError
from .limits import Limits
from .reader import Gone, Reader
from .stores.base import Store

_log = logging.getLogger("eventlog_session")


class Sweeper:
    """Deletes one session's redundant event keys."""

    def __init__(self, keys: Keys, store: Store, reader: Reader, limits: Limits) -> None:
        self._keys = keys
        self._store = store
        self._reader = reader
        self._limits = limits
        self._upto = ("", 0)
        self._task: asyncio.Task[None] | None = None

    def upto(self, head: Head) -> int:
        """Return the version up to which this process knows the own keys of *head*'s inline events to be deleted."""
        generation, version = self._upto
        return version if generation == head.generation else 0

    def start(self, head: Head) -> None:
        """Delete what *head*, just committed, makes redundant, unless a deletion is under way: the next one catches up."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._sweep(head), name="eventlog: delete redundant keys")

    async def settle(self) -> None:
        """Wait for the deletion under way, if there is one."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _sweep(self, head: Head) -> None:
        version = max(head.swept, self.upto(head))
        sealed = head.index[-1].last if head.index else 0
        try:
            while version < sealed:
                run = await self._reader.run_of(head, version + 1)
                keys = [
                    self._keys.event(run.id_of(run.first + place))
                    for place in range(len(run)) if "f" not in run.odd.get(place, ())
                ]  # fmt: skip
                for start in range(0, len(keys), self._limits.bulk_keys):
                    await self._store.delete_many(keys[start : start + self._limits.bulk_keys])
                version = run.last
                self._upto = head.generation, version
        except (EventLogError, Gone) as error:
            _log.debug("redundant keys are left for the next sweep: %s", type(error).__name__)
