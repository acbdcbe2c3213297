"""Which of the store's keys a session has: for backups, audits, and whoever looks into the store itself."""

from typing import NamedTuple

from ..core.keys import Keys
from ..core.plan import Far
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
        found = await store.get_many([key for key in own if key not in far])  # some may be deleted already
        held += (Held(key, "event", len(found[key])) for key in own if key in found)
        held += _far(run, keys)
    refs = await reader.tree(known.head.index)
    held += (Held(keys.node(ref.name), "node", ref.size) for ref in refs if ref.level)
    for ref in (ref for ref in refs if not ref.level):
        held.append(Held(keys.segment(ref.name), "segment", ref.size))
        for run in await reader.runs([ref]):
            held += _far(run, keys)
    for key, kind in ((keys.adopted, "adopted"), *((key, "DaprSession") for key in legacy_keys(session_id))):
        value = await store.get(key)
        if value is not None:
            held.append(Held(key, kind, len(value.data)))
    return held


def _far(run: Run, keys: Keys) -> list[Held]:
    """Return the keys of *run*'s large events."""
    return [one for far in far_of(run) for one in _keys_of(far, keys)]


def _keys_of(far: Far, keys: Keys) -> list[Held]:
    if not far.parts:
        return [Held(keys.event(far.name), "event", far.size)]
    size = far.size // far.parts
    return [Held(keys.part(far.name, number), "part", size) for number in range(far.parts)]
