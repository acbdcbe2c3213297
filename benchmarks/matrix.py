"""The core: every operation on histories of every size, and on items of every shape, through one sidecar."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from cases import CASES, READS, SPACED
from contest import contest, prepare
from figures import Cell
from floors import Floor
from items import PLAIN, SHAPES
from rig import Rig
from scope import Scope
from subjects import Dapr, EventLog, SidecarSubject

KINDS: Mapping[str, type[SidecarSubject]] = {"DaprSession": Dapr, "eventlog": EventLog, "floor": Floor, "again": Dapr}


@asynccontextmanager
async def connected(address: str, store: str) -> AsyncIterator[dict[str, SidecarSubject]]:
    """Give the subjects, connected to the sidecar at *address*."""
    subjects = {name: await kind.connected(address, store) for name, kind in KINDS.items()}
    try:
        yield subjects
    finally:
        for subject in subjects.values():
            await subject.close()


async def measure(rig: Rig, scope: Scope) -> AsyncIterator[Cell]:
    """Yield the cells of part "matrix"."""
    for store in scope.stores:
        async with connected(rig.address, store) as subjects:
            for size, state in places(scope):
                chosen = {name: one for name, one in subjects.items() if name != "again" or size in scope.control}
                place = await prepare(chosen, PLAIN, size, state)
                for cell in await contest({"part": "matrix", "store": store}, CASES, place, scope.matrix):
                    yield cell


def places(scope: Scope) -> list[tuple[int, str]]:
    """Return sizes, each with the state of a history of none."""
    found = [(size, "new" if size == 0 else "") for size in scope.sizes]
    if 0 in scope.sizes and scope.emptied:
        found.insert(1, (0, "emptied"))
    return found


async def measure_items(rig: Rig, scope: Scope) -> AsyncIterator[Cell]:
    """Yield the cells of part "items": 100 items of each shape, or as many as 2 MB hold, which leaves room in 4 MiB."""
    for store in (store for store in scope.item_stores if store in scope.stores):
        async with connected(rig.address, store) as subjects:
            chosen = {name: one for name, one in subjects.items() if name != "again"}
            for shape in SHAPES:
                place = await prepare(chosen, shape, 30 if shape.name == "64 kB" else 100)
                for cell in await contest({"part": "items", "store": store}, (READS, SPACED), place, scope.items):
                    yield cell
