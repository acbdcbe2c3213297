"""Which of the store's keys a session has: for backups, audits, and whoever looks into the store itself."""

from collections.abc import Sequence
from typing import NamedTuple

from ..core.keys import Keys
from ..core.run import Run
from ..stores.base import Store
from .adoption import legacy_keys
from .heads import Known
from .reader import Reader, far_of


class Held(NamedTuple):
    """A key in the store, without what Dapr puts before it."""

    key: str
    kind: str
    """``head``, ``event``, ``part``, ``segment``, ``node``, ``adopted`` (the mark that what a `DaprSession` left was taken
    over), ``DaprSession``."""
    size: int
    """Bytes of the value; of a part about as many."""


async def inventory(session_id: str, keys: Keys, store: Store, reader: Reader, known: Known) -> list[Held]:
    """Return the keys of everything that *known* names, and of what lies beside it. Raises Gone or CorruptLog."""
    held = [] if known.absent else [Held(keys.head, "head", len(known.data))]
    for run in known.head.runs():
        own = [keys.event(run.id_of(version)) for version in range(max(run.first, known.head.swept + 1), run.last + 1)]
        far = {keys.event(one.name) for one in far_of(run)}
        held += await _found([key for key in own if key not in far], store)  # some may be deleted already
        held += await _far(run, keys, store)
    refs = await reader.tree(known.head.index)
    held += (Held(keys.node(ref.name), "node", ref.size) for ref in refs if ref.level)
    for ref in (ref for ref in refs if not ref.level):
        held.append(Held(keys.segment(ref.name), "segment", ref.size))
        for run in await reader.runs([ref]):
            held += await _far(run, keys, store)
    for key, kind in ((keys.adopted, "adopted"), *((key, "DaprSession") for key in legacy_keys(session_id))):
        value = await store.get(key)
        if value is not None:
            held.append(Held(key, kind, len(value.data)))
    return held


async def _far(run: Run, keys: Keys, store: Store) -> list[Held]:
    """Return the keys of *run*'s large events."""
    far = far_of(run)
    held = [Held(keys.event(one.name), "event", one.size) for one in far if not one.parts]
    for one in far:
        held += (Held(keys.part(one.name, number), "part", one.size // one.parts) for number in range(one.parts))
    return held + await _found([keys.event(one.name) for one in far if one.parts], store)  # which no reader needs


async def _found(keys: Sequence[str], store: Store) -> list[Held]:
    """Return those of the events' *keys* under which there is something."""
    found = await store.get_many(keys) if keys else {}
    return [Held(key, "event", len(found[key])) for key in keys if key in found]
