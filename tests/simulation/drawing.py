"""What is drawn from a seed: the world, and what its processes call."""

from collections.abc import Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import Any, Final

import orjson

from eventlog_session import Limits, Retry
from eventlog_session.core.events import ADDED, Event
from eventlog_session.core.keys import mint
from eventlog_session.errors import OutcomeUnknown
from eventlog_session.protocol.walk import Recorded
from eventlog_session.testing import Fault

from .history import Call, State
from .process import Process, encoded
from .world import World

_LYING: Final = frozenset({"mongodb", "etcd", "plain"})
"""Profiles that are not believed when they report success."""
_FAULTS: Final[Sequence[Fault]] = tuple(fault for fault in Fault if fault not in (Fault.STALE_HEAD, Fault.FALSE_SUCCESS))
_KINDS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "add": 9, "repeat": 2, "pop": 3, "pop newest": 1, "clear": 1, "rewind": 2, "trim": 1, "undo": 3, "redo": 2,
        "replace": 2, "tag": 1, "untag": 0.4, "read": 3, "past": 2, "tagged": 0.6, "walk": 1, "verify": 0.5, "resolve": 0.5,
    }
)  # fmt: skip
KEPT: Final = 100
"""Versions within which a call is repeated: the log remembers a few more of them."""


def draw_world(random: Random, profile: str, *, traced: bool) -> World:
    """Draw everything that stays as it is."""
    world = World(
        random, profile, _limits(random), _retry(random), _chances(random, profile),
        slow=random.choice((0, 0, 0.01, 0.05)),
        legacy=random.random() < 0.1,
        ttl=random.choice((2, 10, 100)) if random.random() < 0.15 else None,
        trims=random.random() < 0.3,
        copies=random.random() < 0.3,
        traced=traced,
    )  # fmt: skip
    world.erases = world.ttl is None and random.random() < (0.3 if world.copies else 0.06)
    return world


class Drawing:
    """Draws what the processes of *world* call."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = world.random

    def draw(self, process: Process) -> Call:
        """Draw something to do."""
        random = self.random
        kind = random.choices(tuple(_KINDS), tuple(_KINDS.values()))[0]
        if process.undid and random.random() < 0.4:
            kind = "redo"
        what: dict[str, Any] = {"ttl": random.choice((None, self.world.ttl, self.world.ttl))}
        if kind == "repeat" and self.world.keyed:
            return self.repeat(process, random.choice(self.world.keyed[-6:]), other=random.random() < 0.1)
        if kind == "resolve" and self.world.doubts:
            return self.resolve(process, random.choice(self.world.doubts))
        if self.world.copies and random.random() < (0.02 if process.calls else 0.6):
            return self.restore(process)
        if kind == "trim" and not self.world.trims:
            kind = "pop"
        if kind in ("add", "repeat", "resolve"):
            return self._add(process, what)
        what.update(self._chosen(kind, process))
        if kind in ("read", "past", "tagged"):
            kind, what["need"] = "read", random.choice((None, None, 0, 1, 3, 10))
        return process.next_call(kind, **what)

    def _chosen(self, kind: str, process: Process) -> dict[str, Any]:
        """Draw what a call of *kind* is to do, to what and on what."""
        random = self.random
        what: dict[str, Any] = {}
        if kind in ("pop", "clear", "pop newest", "undo", "redo", "untag") and random.random() < 0.15:
            what["expected"] = process.version
        if kind in ("pop", "pop newest", "undo", "redo"):
            what["number"] = random.choice((1, 1, 1, 2, 3, 5))
        if kind in ("rewind", "past", "trim") or (kind == "tag" and random.random() < 0.5):
            what["target"] = random.randint(0, process.version + (random.random() < 0.05))
        if kind in ("tag", "untag", "tagged"):
            what["tag"] = f"t{random.randint(1, 4)}"
        if kind == "replace":
            what["number"] = random.choice((-1, 0, 1, 1, 2, 5))
            what["items"] = self._items(process) if random.random() < 0.7 else []
        return what

    def restore(self, process: Process) -> Call:
        """Return the wish to have a whole log where there is none: a new one, or the same that somebody else has."""
        world, random = self.world, self.random
        if world.ledger.files and random.random() < 0.5:
            name = random.choice(list(world.ledger.files))
            items = [(orjson.loads(one.event.items)[0], bool(one.event.text)) for one in world.ledger.files[name][0]]
            return process.next_call("restore", key=name, items=items)
        call = process.next_call("restore", items=[self._item(process, place) for place in range(random.randint(1, 12))])
        file, now = [], process.log.runtime.now()
        for version, item in enumerate(call.items, 1):
            data, text = encoded([item])
            made_by = {"call": call.name}
            event = Event(mint(random.randbytes(10)), ADDED, now, count=1, items=data, text=text, extensions=made_by)
            file.append(Recorded(version, now, version, event))
        world.ledger.files[call.name] = file, world.limits, world.store.keeps_bytes
        return call

    def repeat(self, process: Process, first: Call, *, other: bool = False) -> Call:
        """Return *first* once more, by whomever; with *other* items if that was acknowledged."""
        other = other and first.fate == "acknowledged"
        items = self._items(process) if other else first.items
        return process.next_call("add", items=items, key=first.key, other=other, ttl=first.ttl)

    def resolve(self, process: Process, doubtful: Call) -> Call:
        """Return the question what became of *doubtful*."""
        assert isinstance(doubtful.error, OutcomeUnknown)
        return process.next_call("resolve", doubt=doubtful.error)

    def _add(self, process: Process, what: dict[str, Any]) -> Call:
        random = self.random
        what["items"] = self._items(process)
        drawn = random.random()
        if drawn < 0.15:
            what["expected"] = process.version
        call = process.next_call("add", **what)
        if drawn > 0.7:
            call.key = call.name
            self.world.keyed.append(call)
        return call

    def _items(self, process: Process) -> State:
        random = self.random
        if random.random() < 0.01:
            return [("x" * self.world.limits.event_bytes, False)]
        return [self._item(process, place) for place in range(random.choice((1, 1, 1, 2, 4)))]

    def _item(self, process: Process, place: int) -> tuple[Any, bool]:
        random = self.random
        size = random.choice((0, 4, 10, 20, 60, random.randint(90, 700)))
        name = f"{process.name}-{process.calls + 1}.{place}"
        noise = random.randbytes(size).hex()
        return (f"{name} {noise}", True) if random.random() < 0.1 else ({"name": name, "noise": noise}, False)


def _limits(random: Random) -> Limits:
    """Draw limits so small that a few events have everything: parts, segments, nodes, sweeping, groups that don't fit."""
    return Limits(
        deadline=0.3,
        commit_events=random.choice((1, 2, 4, 32)),
        bulk_keys=random.choice((2, 5, 200)),
        inline_bytes=random.choice((16, 100, 1000)),
        tail_bytes=random.choice((1, 400, 1200, 4000)),
        tail_events=random.choice((1, 2, 3, 6, 128)),
        carried_bytes=random.choice((1, 250, 500, 1000, 4000)),
        value_bytes=random.choice((60, 300, 10_000)),
        event_bytes=100_000,
        recent_ids=random.choice((1, 1, 4, 12, 128)),
        index_segments=random.randint(4, 6),
        index_nodes=random.randint(4, 5),
        cache_bytes=random.choice((1, 5_000, 1 << 20)),
        tags=random.choice((2, 3, 64)),
        merge_bytes=random.choice(((), (1500,), (1000, 4000), (700, 2000, 9000))),
    )


def _retry(random: Random) -> Retry:
    return Retry(budget=random.choice((0.1, 0.5, 2.0)), cap=0.064)


def _chances(random: Random, profile: str) -> Mapping[Fault, float]:
    """Draw which faults there are, and how often."""
    level = random.choice((0.0, 0.02, 0.1, 0.25))
    chances = {fault: level * random.random() for fault in _FAULTS if random.random() < 0.5}
    if profile in _LYING and random.random() < 0.5:
        chances[Fault.FALSE_SUCCESS] = level * random.random()
    return chances
