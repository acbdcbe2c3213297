"""
The model that the log is checked against: a list of lists, one per version; and the log beside it, with no store at all.

Everything random comes from hypothesis and is the same on every run. ``EVENTLOG_FUZZ=20`` tries twenty times as many examples,
and others each time.
"""

import json
import os
from base64 import b85encode
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson
from hypothesis import settings
from hypothesis import strategies as st

from eventlog_session.core import blob
from eventlog_session.core import items as codec
from eventlog_session.core.advance import append, seal
from eventlog_session.core.draft import draft
from eventlog_session.core.events import ADDED, CLEARED, POPPED, REWOUND, Event
from eventlog_session.core.head import Head, Ref, node_refs
from eventlog_session.core.keys import Keys, digest, mint
from eventlog_session.core.plan import ALL, Far, collect, plan, version_at
from eventlog_session.core.run import Run
from eventlog_session.limits import Limits

FUZZ = int(os.environ.get("EVENTLOG_FUZZ", "1"))
LIMIT = 1 << 24
START = 1_700_000_000_000_000
TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "agentstraceid": "trace_" + "0f" * 16}


def examples(number: int) -> settings:
    """Return settings for a property: *number* examples, always the same ones unless ``EVENTLOG_FUZZ`` is set."""
    return settings(max_examples=number * FUZZ, derandomize=FUZZ == 1, deadline=None, database=None, print_blob=FUZZ > 1)


class Op(NamedTuple):
    """Something done to a session. What it means depends on the history that it finds, so that any sequence is valid."""

    kind: str
    sizes: tuple[int, ...] = ()
    """Characters of each item that is added."""
    pick: int = 0
    """How many to pop, or which version to go back to."""
    wait: int = 0
    """Microseconds that the clock moved since the last one; below zero it ran backwards."""
    joined: bool = False
    """Whether it goes into the same commit as the next one."""


def small_limits() -> st.SearchStrategy[Limits]:
    """Limits so small that short runs have everything: far events, parts, overflowing tails, an index of several levels."""
    deep = Limits(inline_bytes=100, value_bytes=60, tail_events=1, carried_bytes=1, index_segments=4, index_nodes=4)
    return st.just(deep) | st.builds(
        Limits,
        inline_bytes=st.sampled_from((16, 100)),
        value_bytes=st.sampled_from((60, 300)),
        tail_bytes=st.sampled_from((1, 400, 1200)),
        tail_events=st.integers(1, 6),
        carried_bytes=st.sampled_from((1, 250, 500, 1000)),
        recent_ids=st.integers(1, 12),
        index_segments=st.integers(4, 6),
        index_nodes=st.integers(4, 5),
    )


def operations(length: int, *, rewinds: bool = True) -> st.SearchStrategy[list[Op]]:
    """Sequences of adds, pops, clears and, if wanted, rewinds."""
    waits = st.integers(-3, 5) | st.just(0)
    sizes = st.lists(st.integers(0, 40) | st.integers(90, 700), min_size=1, max_size=4).map(tuple)
    picks = st.integers(0, 200)
    kinds = [
        st.builds(Op, st.just("add"), sizes, wait=waits, joined=st.booleans()),
        st.builds(Op, st.just("add"), st.just((8,)), wait=waits),
        st.builds(Op, st.just("pop"), pick=st.integers(0, 3), wait=waits, joined=st.booleans()),
        st.builds(Op, st.just("drop"), pick=picks, wait=waits),
        st.builds(Op, st.just("clear"), wait=waits),
    ]
    if rewinds:
        kinds.append(st.builds(Op, st.just("rewind"), pick=picks, wait=waits, joined=st.booleans()))
        kinds.append(st.builds(Op, st.just("undo"), pick=st.integers(1, 4), wait=waits))
    return st.lists(st.one_of(kinds), min_size=length, max_size=length)


class Born(NamedTuple):
    """Where an item comes from: the version that added it, and whether it lies under its event's own key."""

    version: int
    far: bool


class Read(NamedTuple):
    """What a reader got, and how."""

    items: list[Any]
    loaded: list[list[Ref | Far]]
    """What was read from the store, round by round."""


class ModelLog:
    """A session's log and, beside it, what every version of it must read as."""

    def __init__(
        self, limits: Limits = Limits(), *, binary: bool = True, extensions: Mapping[str, str] | None = None
    ) -> None:  # fmt: skip
        self.limits = limits
        self.binary = binary
        self.extensions = dict(extensions or {})
        self.keys = Keys("a session")
        self.head = Head.absent("a session")
        self.heads = [self.head]
        """Every head there was."""
        self.values: dict[str, bytes] = {}
        """The store: everything written but the head."""
        self.versions: list[list[Any]] = [[]]
        self.births: list[list[Born]] = [[]]
        """Where each version's items come from."""
        self.times: list[int] = []
        """When each version was committed, from version 1 on."""
        self.bases: list[int | None] = []
        """What each version started from, from version 1 on."""
        self.stored: list[bytes] = []
        """Each event's own value, from version 1 on."""
        self.clock = START
        self.done: list[Op] = []

    def __repr__(self) -> str:
        return f"ModelLog({self.limits}, binary={self.binary}, extensions={self.extensions}).run({self.done})"

    @property
    def version(self) -> int:
        """The newest version."""
        return len(self.versions) - 1

    # ---- writing ---------------------------------------------------------------------------------------------------

    def run(self, ops: Sequence[Op]) -> "ModelLog":
        """Do all of *ops*, each in a commit of its own or with its neighbours."""
        for op in ops:
            self.do(op)
            if not op.joined:
                self.seal()
        self.seal()
        return self

    def do(self, op: Op) -> None:
        """Append *op*'s event to the head, unless there is nothing to do."""
        self.done.append(op)
        self.clock += op.wait
        if op.kind == "add":
            return self.add([_item(self.version, place, size) for place, size in enumerate(op.sizes)])
        if op.kind in ("pop", "drop"):
            length = len(self.versions[-1])
            pops = op.pick % length + 1 if length else 0
            return self._event(POPPED, None, pops, b"[]", ()) if pops else None
        if op.kind == "clear":
            return self._event(CLEARED, 0, 0, b"[]", ())
        back = op.pick if op.kind == "undo" else self.version - op.pick % (self.version + 1)
        return self._event(REWOUND, max(0, self.version - back), 0, b"[]", ())

    def add(self, items: list[Any]) -> None:
        """Append an event that adds *items*."""
        data, text = codec.encode(items)
        self._event(ADDED, None, 0, data, text, items)

    def seal(self) -> None:
        """End a commit, if anything was done: the tail is within its limits again, and what was sealed is in the store."""
        if self.heads[-1].version == self.head.version:
            return
        self.head, puts, _ = seal(self.head, self.keys, self.limits, binary=self.binary)
        assert not puts.keys() & self.values.keys()
        self.values.update(puts)
        self.heads.append(self.head)

    def _event(
        self, kind: str, base: int | None, pops: int, data: bytes, text: tuple[int, ...], items: Sequence[Any] = ()
    ) -> None:
        extensions = self.extensions if self.version % 2 else {}
        event_id = mint(self.version.to_bytes(10))
        made = draft(
            Event(event_id, kind, self.clock - 7, base, pops, len(items), data, text, extensions),
            self.keys,
            self.limits,
            binary=self.binary,
        )
        before = self.version if base is None else base
        self.head = append(self.head, made, self.clock, len(self.versions[before]))
        self.values.update(made.ahead)
        self.values[self.keys.event(event_id)] = made.value
        self.stored.append(made.value)
        self.bases.append(base)
        born = [Born(self.version + 1, made.far is not None)] * len(items)
        keep = len(self.versions[before]) - pops
        self.births.append(self.births[before][:keep] + born)
        self.versions.append(self.versions[before][:keep] + list(items))
        self.times.append(max([self.clock, *self.times[-1:]]))

    # ---- reading ---------------------------------------------------------------------------------------------------

    def read(self, version: int, need: int = ALL, head: Head | None = None, loaded: dict[str, Any] | None = None) -> Read:
        """Return the newest *need* items at *version* from *head* and the store, as a reader does that knows nothing yet."""
        head = head or self.head
        loaded = {} if loaded is None else loaded
        rounds: list[list[Ref | Far]] = []
        while (made := plan(head, loaded, version, need)).missing:
            assert not made.missing.keys() & loaded.keys(), "a plan asks for what it has"
            rounds.append(list(made.missing.values()))
            loaded.update((name, self.load(want)) for name, want in made.missing.items())
        items, texts = collect(made, loaded)
        for place in texts:
            items[place] = json.loads(items[place])
        return Read(items, rounds)

    def find(self, time: int) -> int:
        """Return the version at *time* as a reader finds it."""
        loaded: dict[str, Any] = {}
        while isinstance(found := version_at(self.head, loaded, time), Ref):
            loaded[found.name] = self.load(found)
        return found

    def load(self, want: Ref | Far) -> Any:
        """Return what the store holds for *want*, decoded."""
        if isinstance(want, Ref):
            value = self.values[self.keys.node(want.name) if want.level else self.keys.segment(want.name)]
            assert digest(value) == want.name
            assert len(value) == want.size
            data = blob.decompress(blob.from_value(value), LIMIT)
            return node_refs(data) if want.level else Run.of(data)
        if want.parts:
            values = [self.values[self.keys.part(want.name, number)] for number in range(want.parts)]
            assert sum(map(len, values)) == want.size
            frame = b"".join(map(blob.from_part, values))
            assert digest(frame) == want.digest
            return orjson.dumps(orjson.loads(blob.decompress(frame, LIMIT))["items"])
        value = self.values[self.keys.event(want.name)]
        assert len(value) == want.size
        return Event.of(value).items

    def runs(self) -> list[Run]:
        """Return all runs that the head names, oldest first."""
        found: list[Run] = []
        refs = list(self.head.index)
        while refs:
            ref = refs.pop(0)
            value = self.load(ref)
            if isinstance(value, Run):
                found.append(value)
            else:
                refs[:0] = value
        return [*found, *([self.head.carried.run] if self.head.carried else []), self.head.tail]


def _item(version: int, place: int, size: int) -> Any:
    """Return an item of about *size* bytes that does not compress away; one in seven is kept as text."""
    seed = b"%d.%d" % (version, place)
    noise = b85encode(b"".join(blake2b(seed + b"%d" % block).digest() for block in range(size // 80 + 1))).decode()[:size]
    return {"c": "\ud800" + noise} if (version + place) % 7 == 6 else [version, place, noise]


@st.composite
def logs(draw: st.DrawFn, *, rewinds: bool = True) -> ModelLog:
    """Logs that had random things done to them, under random small limits."""
    extensions = draw(st.sampled_from(({}, TRACE)))
    log = ModelLog(draw(small_limits()), binary=draw(st.booleans()), extensions=extensions)
    return log.run(draw(operations(draw(st.integers(0, 60)), rewinds=rewinds)))  # left to itself, a list is mostly short


@st.composite
def damaged(draw: st.DrawFn, value: bytes) -> bytes:
    """Return *value* cut short, with bytes changed, put in or left out, or none of it at all."""
    at = draw(st.integers(0, len(value) - 1))
    how = draw(st.sampled_from(("cut", "flip", "put in", "leave out", "repeat", "replace")))
    if how == "flip":
        return value[:at] + bytes([value[at] ^ 1 << draw(st.integers(0, 7))]) + value[at + 1 :]
    if how == "put in":
        return value[:at] + draw(st.binary(min_size=1, max_size=4)) + value[at:]
    if how == "replace":
        return draw(st.binary(max_size=40) | st.sampled_from((b"", b"null", b"[]", b"[[]]", b"{}", b"[{}]", b"[" * 10_000)))
    end = at + draw(st.integers(1, 20))
    return {"cut": value[:at], "leave out": value[:at] + value[end:], "repeat": value[:end] + value[at:]}[how]


@st.composite
def misshapen(draw: st.DrawFn, document: Any) -> Any:
    """Return a JSON *document* with one of its values, at any depth, replaced by another or left out."""
    if isinstance(document, dict | list) and document and draw(st.integers(0, 3)):
        places = list(document) if isinstance(document, dict) else list(range(len(document)))
        place = draw(st.sampled_from(places))
        copy = document.copy()
        if draw(st.integers(0, 5)):
            copy[place] = draw(misshapen(document[place]))
        else:
            del copy[place]
        return copy
    others: tuple[Any, ...] = (
        None,
        True,
        0,
        -1,
        7,
        2**60,
        1.5,
        "",
        "x",
        "0",
        [],
        [0],
        ["x", 1],
        {},
        {"0": 5},
        {"0": {"p": "x"}},
        {"a": [1]},
    )
    return draw(st.sampled_from(others))
