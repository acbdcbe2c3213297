"""
What the store was told, kept by nobody else: which events were sent, and which of them each head that it took has made.

The log is its own witness for what can still be read of it. Of what was trimmed or erased this is the only one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import orjson

from eventlog_session import Limits
from eventlog_session.core.advance import link
from eventlog_session.core.copy import Copying, reborn
from eventlog_session.core.draft import draft
from eventlog_session.core.events import Event
from eventlog_session.core.head import _cut
from eventlog_session.core.keys import ID_LENGTH, Keys
from eventlog_session.protocol.walk import Recorded
from eventlog_session.stores.base import Put


@dataclass(slots=True)
class Epoch:
    """The time from one tombstone to the next, in ticks; what happened before it can't be seen in it."""

    since: int = 0
    erased: int | None = 0
    """When what was there before was deleted for good; None while it is not."""
    generation: str = ""
    """Of the session that there was last; *chain* is its head's."""
    chain: str = ""


@dataclass(slots=True)
class Ledger:
    """What was sent and what stood."""

    keys: Keys
    sent: dict[str, int] = field(default_factory=dict)
    """When each event first was, by its id."""
    epochs: list[Epoch] = field(default_factory=lambda: [Epoch()])
    landed: dict[str, int] = field(default_factory=dict)
    """When each key was written for the last time."""
    _events: dict[str, bytes] = field(default_factory=dict)
    _asked: dict[str | None, dict[str, Any]] = field(default_factory=dict)
    _commits: dict[bytes, tuple[list[str], list[str]]] = field(default_factory=dict)
    """The ids and keys that go with each head."""
    _lines: dict[str, list[str]] = field(default_factory=lambda: {"": []})
    """The ids of the events that make each hash chain, oldest first: after a failover there are several."""
    files: dict[str, tuple[Sequence[Recorded], Limits, bool]] = field(default_factory=dict)
    """Whole logs that are restored, under which limits and whether as bytes; by the name of the call that was the first to."""
    _copied: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)
    """Which of them, where what was erased, are among the following."""
    _copies: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)
    """The ids of the events of each log that was to be restored, and the keys of all that is written of it, by its chain."""
    _whole: dict[str, Event] = field(default_factory=dict)
    """Their events by id."""
    _last: dict[str, int] = field(default_factory=dict)
    """When each segment, node and part was sent for the last time; and what else is written ahead of a commit."""
    _named: dict[str, set[str]] = field(default_factory=dict)
    """The keys that commits have written, by generation."""

    def asked(self, name: str | None, **data: Any) -> None:
        """Note fields of the event that *name*, None for what was left, is about to write: a large one does not hold them."""
        self._asked[name] = data

    def copied(self, fields: Mapping[str, Any]) -> tuple[list[str], list[str]] | None:
        """Return the ids and keys that go with a head with *fields* if it is that of a whole log."""
        erased = tuple(fields.get("o", ()))
        for name, copying in self.files.items():
            if (name, erased) not in self._copied:
                self._copied.add((name, erased))
                self._copy(*copying, erased)
        return self._copies.get(fields["h"])

    def _copy(self, file: Sequence[Recorded], limits: Limits, binary: bool, erased: tuple[str, ...]) -> None:
        made = Copying("", self.keys, limits, binary=binary)
        chain, ids = "", []
        for version, committed, _, exported in file:
            event = reborn(exported, erased)
            made.append(version, committed, event)
            ready = draft(event, self.keys, limits, binary=binary)
            self._events[event.id], self._whole[event.id] = ready.value, ready.event
            chain = link(chain, ready.value)
            ids.append(event.id)
        copy = made.done()
        self._copies[chain] = ids, list(copy.values)

    def ahead(self, values: Sequence[Put], tick: int) -> None:
        """Note what is written ahead of a commit."""
        self._last.update((put.key, tick) for put in values)

    def sending(self, head: Put, values: Sequence[Put], tick: int) -> None:
        """Note a commit on its way."""
        events = {put.key[-ID_LENGTH:]: put.value for put in values if ":e:" in put.key}
        for event_id, value in events.items():
            self.sent.setdefault(event_id, tick)
            self._events.setdefault(event_id, value)
        self._last.update((put.key, tick) for put in values if put.key[-ID_LENGTH:] not in events)
        self._commits[head.value] = list(events), [put.key for put in values if put.key != self.keys.adopted]
        if self.files:
            kind, _, _, fields = orjson.loads(_cut(head.value)[0])[:4]
            copied = self.copied(fields) if kind == "eventlog-head" else None
            if copied is not None:
                for event_id in copied[0]:
                    self.sent.setdefault(event_id, tick)
                self._commits[head.value] = copied

    def stands(self, value: bytes, tick: int) -> None:
        """Note what was just written under the head's key."""
        kind, _, _, fields = orjson.loads(_cut(value)[0])[:4]
        epoch = self.epochs[-1]
        if kind == "eventlog-tombstone" and "x" in fields:
            self.epochs.append(Epoch(tick, None))
        elif epoch.erased is None:  # done, or forgotten by the store
            epoch.erased = tick
        if kind == "eventlog-head" and fields["v"]:
            ids, keys = self._commits[value]
            epoch.generation, epoch.chain = fields["g"], fields["h"]
            self._lines[epoch.chain] = [*self._before(epoch.chain, fields["v"] - len(ids), ids), *ids]
            named = self._named.setdefault(epoch.generation, set())
            named.update(keys, (self.keys.node(row[0]) for row in fields["x"] if row[1]))

    def events(self, chain: str) -> list[Event]:
        """Return the events that make *chain*."""
        return [self._event(event_id) for event_id in self._lines[chain]]

    def left_over(self, there: Mapping[str, object], *, interrupted: bool) -> set[str]:
        """
        Return which keys of sessions that were erased are still *there*.

        Not what was sent after that again, by who had slept through it: that is deleted at best effort. Nor, after one that was
        *interrupted*, what landed after its tombstone: who takes it up does not know what only a deleted segment named.
        """
        named: set[str] = set()
        for epoch, following in zip(self.epochs, self.epochs[1:], strict=False):
            if following.erased is not None:
                keys = self._named.get(epoch.generation, set())
                named.update(key for key in keys if self._last.get(key, 0) <= following.erased)
                for event in self.events(epoch.chain):
                    parts = [self.keys.part(event.id, number) for number in range(event.parts.number if event.parts else 0)]
                    named.update(key for key in parts if self._last.get(key, 0) <= following.erased)
        named -= {key for key in named if interrupted and self.landed.get(key, 0) > self.epochs[1].since}
        return (named - self._named.get(self.epochs[-1].generation, set())) & there.keys()

    def _before(self, chain: str, version: int, ids: Sequence[str]) -> list[str]:
        """Return the *version* events after which *ids* make *chain*."""
        for begun, line in self._lines.items():
            if len(line) == version and reduce(link, (self._events[event_id] for event_id in ids), begun) == chain:
                return line
        raise LookupError("a head that follows from none")

    def _event(self, event_id: str) -> Event:
        if event_id in self._whole:
            return self._whole[event_id]
        event = Event.of(self._events[event_id])
        if event.parts is None:
            return event
        return replace(event, **self._asked[event.extensions.get("call")])
