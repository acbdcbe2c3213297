"""The parts beyond the matrix, as `run` calls them: over every store of its scope, in the order in which they run."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import crowds
import growth
import many
import memory
import past
import rest
from figures import Cell
from rig import Rig
from scope import Scope

Measure = Callable[[Rig, str, str], Awaitable[list[Cell]]]
Part = Callable[[Rig, Scope], AsyncIterator[Cell]]


def over(measure: Measure) -> Part:
    """Return *measure*, which takes the rig, the sidecar's address and a store, as a part."""

    async def cells(rig: Rig, scope: Scope) -> AsyncIterator[Cell]:
        # it warns of each collision over its metadata, which is no failure: hundreds of lines in a crowd
        logging.getLogger("openai.agents").setLevel(logging.ERROR)
        for store in scope.stores:
            for cell in await measure(rig, rig.address, store):
                yield cell

    return cells


PARTS: Mapping[str, Part] = {
    "crowd": over(crowds.measure),
    "many": over(many.measure),
    "rest": over(rest.measure),
    "past": over(past.measure),
    "growth": over(growth.measure),
    "memory": over(memory.measure),  # after growth, whose log of a million events it reads
}


async def quick(rig: Rig, scope: Scope) -> AsyncIterator[Cell]:
    """Yield the cells of 8 writers in one process: some seconds for each store."""
    for store in scope.stores:
        for cell in await crowds.measure(rig, rig.address, store, crowds.QUICK):
            yield cell
