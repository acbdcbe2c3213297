"""The log that is left, read by somebody who knew nothing; and what was before it, as the ledger has it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from eventlog_session import EventLog
from eventlog_session.core.events import NO_VERSION, TAG, TAG_VERSION, TAGGED, TRIMMED, TRIMMED_BEFORE, Event
from eventlog_session.errors import HistoryTrimmed

from .history import State, Violated, paired, require
from .ledger import Epoch, Ledger


@dataclass(slots=True)
class Log:
    """Everything that one session ever was, from its beginning to its end."""

    names: list[str | None]
    """The call that made each version, by its name; None for version 0."""
    events: list[Event]
    states: list[State]
    floors: list[int] = field(default_factory=list)
    """The oldest version that can be read, as of each version."""
    tags: list[Mapping[str, int]] = field(default_factory=list)
    """Which version each name was for, as of each version."""
    epoch: Epoch = field(default_factory=Epoch)
    until: int | None = None
    """When it was erased; None for the one that is there at the end."""

    def __post_init__(self) -> None:
        self.floors, self.tags = [0], [{}]
        for before, event in enumerate(self.events):
            floor = int(event.extensions[TRIMMED_BEFORE]) if event.kind == TRIMMED else 0
            self.floors.append(max(self.floors[-1], floor))
            self.tags.append(_tagged(self.tags[-1], before, event.extensions) if event.kind == TAGGED else self.tags[-1])

    @classmethod
    def of(cls, events: Sequence[Event], epoch: Epoch | None = None, until: int | None = None) -> "Log":
        """Return the log of *events*, folded in the plainest way."""
        states: list[State] = [[]]
        for version, event in enumerate(events, 1):
            before = states[-1 if event.base is None else event.base]
            require(event.pops <= len(before), f"version {version} pops from an empty history")
            states.append(before[: len(before) - event.pops] + paired(orjson.loads(event.items), event.text))
        names = [None, *(event.extensions.get("call") for event in events)]
        return cls(names, list(events), states, epoch=epoch or Epoch(), until=until)

    @classmethod
    async def read(cls, log: EventLog, ledger: Ledger) -> "Log":
        """
        Read everything twice: as events, and each version as the log reads it. Both begin where it was trimmed.

        What came before that is taken from *ledger*, which must agree with all that comes after.
        """
        head = await log.head()
        events = ledger.events(head.chain)
        ids = [event.id for event in events]
        del events[max(0, head.floor - 1) :]
        last = 0
        async for version, committed, event in log.events():
            require(version == len(events) + 1, f"version {version} after {len(events)}")
            require(committed >= last, f"version {version} was committed before the one before it")
            last = committed
            events.append(event)
        require([event.id for event in events] == ids, "the events are not those that were written")
        left = cls.of(events, ledger.epochs[-1])
        require((head.version, head.length) == (len(left.states) - 1, len(left.states[-1])), "the head and its events differ")
        require(head.floor == left.floors[-1], "it begins somewhere else than where it was trimmed")
        require(head.tags == left.tags[-1], f"its tags are {head.tags}, and should be {left.tags[-1]}")
        for version, state in enumerate(left.states):
            try:
                view = await log.read(at=version)
            except HistoryTrimmed:
                require(version < head.floor, f"version {version} is missing, and was not trimmed")
                continue
            require(version >= head.floor, f"version {version} was trimmed, and is read")
            require(paired(view.items, view.texts) == state, f"version {version} does not read as its events say")
        return left


def _tagged(tags: Mapping[str, int], newest: int, extensions: Mapping[str, str]) -> Mapping[str, int]:
    """Return *tags* after an event on version *newest* that gives or takes one."""
    after = {**tags, extensions[TAG]: newest}
    told = extensions.get(TAG_VERSION)
    if told == NO_VERSION:
        del after[extensions[TAG]]
    elif told is not None:
        after[extensions[TAG]] = int(told)
    return after


def erased(ledger: Ledger) -> list[Log]:
    """Return the logs that were erased, oldest first."""
    found = []
    for epoch, following in zip(ledger.epochs, ledger.epochs[1:], strict=False):
        found.append(Log.of(ledger.events(epoch.chain), epoch, following.since))
    return found


async def look_for_damage(log: EventLog) -> None:
    """Raise Violated for anything that is not as it was written."""
    found = await log.verify()
    if not found.sound:
        raise Violated(f"at the end there is missing: {found.missing}, altered: {found.altered}")
