"""Which of the store's keys a session has: for backups, audits, and whoever looks into the store itself."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..core.head import Head, Ref
from ..core.keys import Keys
from ..core.run import Run
from ..core.tombstone import events_of
from ..stores.base import Store
from .adoption import legacy_keys
from .heads import Known
from .reader import Reader, far_of
from .sweep import inline_ids, within


class Held(NamedTuple):
    """A key in the store, without what Dapr puts before it."""

    key: str
    kind: str
    """``head``, ``event``, ``part``, ``segment``, ``node``, ``adopted`` (the mark that what a `DaprSession` left was taken
    over), ``DaprSession``."""
    size: int
    """Bytes of the value; of a part about as many."""


async def inventory(session_id: str, keys: Keys, store: Store, reader: Reader, known: Known) -> list[Held]:
    """
    Return the keys of everything that *known* names, and of what lies beside it. Raises Gone or CorruptLog.

    And of what nobody needs and nobody has deleted yet: own keys of events that are sealed, what was merged or trimmed away.
    """
    held = [] if known.absent else [Held(keys.head, "head", len(known.data))]
    found = _Found(keys, store, reader, known.head)
    for run in known.head.runs():
        held += await found.events(run)
    refs = await reader.tree(known.head.index)
    held += (Held(keys.node(ref.name), "node", ref.size) for ref in refs if ref.level)
    for ref in (ref for ref in refs if not ref.level):
        held.append(Held(keys.segment(ref.name), "segment", ref.size))
        for run in await reader.runs([ref]):
            held += await found.events(run)
    held += await found.trash({ref.name: ref for ref in refs})
    for key, kind in ((keys.adopted, "adopted"), *((key, "DaprSession") for key in legacy_keys(session_id))):
        value = await store.get(key)
        if value is not None:
            held.append(Held(key, kind, len(value.data)))
    return held


class _Found:
    """Finds the keys of a session's events, and of what it has given up."""

    def __init__(self, keys: Keys, store: Store, reader: Reader, head: Head) -> None:
        self._keys = keys
        self._store = store
        self._reader = reader
        self._head = head

    async def events(self, run: Run) -> list[Held]:
        """Return the keys of *run*'s large events, and those of others that are not deleted yet."""
        far = far_of(run)
        held = [Held(self._keys.event(one.name), "event", one.size) for one in far if not one.parts]
        for one in far:
            parts = (self._keys.part(one.name, number) for number in range(one.parts))
            held += (Held(key, "part", one.size // one.parts) for key in parts)
        needless = [one.name for one in far if one.parts] + inline_ids(run, self._head.swept)
        return held + await self._there([self._keys.event(name) for name in needless], "event")

    async def trash(self, live: Mapping[str, Ref]) -> list[Held]:
        """Return what is still there of what was merged or trimmed away: of the latter, the events too."""
        gone = [ref for ref in await self._reader.tree(self._head.trash, faults={}) if ref.name not in live]
        merged = within(gone, [ref for ref in live.values() if not ref.level])
        held: list[Held] = []
        for page in self._reader.pages((ref, ref.size) for ref in gone):
            held += await self._there([self._keys.node(ref.name) for ref in page if ref.level], "node")
            segments = [ref for ref in page if not ref.level]
            held += await self._there([self._keys.segment(ref.name) for ref in segments], "segment")
            for run in await self._reader.runs([ref for ref in segments if ref not in merged]):
                names = events_of(run)
                held += await self._there([self._keys.event(name) for name, _ in names], "event")
                parts = [self._keys.part(name, number) for name, count in names for number in range(count)]
                held += await self._there(parts, "part")
        return held

    async def _there(self, keys: Sequence[str], kind: str) -> list[Held]:
        """Return those of *keys* under which there is something."""
        found = await self._store.get_many(keys) if keys else {}
        return [Held(key, kind, len(found[key])) for key in keys if key in found]
