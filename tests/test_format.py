"""
Format 1, to the byte, and what becomes of damaged bytes.

``tests/golden/format1.json`` holds what the first release wrote. It is never written again: a release that can't read it, or
that writes other bytes without another format number, is wrong. (Before the first release, ``python tests/test_format.py``
makes it anew.)
"""

import contextlib
import json
import tracemalloc
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model import LIMIT, TRACE, ModelLog, Op, damaged, examples, misshapen

from eventlog_session.core import blob
from eventlog_session.core.advance import append
from eventlog_session.core.draft import Draft, draft
from eventlog_session.core.events import (
    ADDED,
    ADOPTED,
    CLEARED,
    FORKED,
    POPPED,
    REDONE,
    REPLACED,
    REWOUND,
    TAGGED,
    TRIMMED,
    UNDONE,
    Event,
)  # fmt: skip
from eventlog_session.core.head import Carried, Head, Keyed, Ref, carry, node_bytes, node_refs
from eventlog_session.core.keys import Keys, digest, mint
from eventlog_session.core.plan import ALL, Far, collect, plan
from eventlog_session.core.run import Run, frame, unframe
from eventlog_session.core.tombstone import Remains, Tombstone
from eventlog_session.errors import CorruptLog, InvalidItem, UnsupportedFormat
from eventlog_session.limits import Limits
from eventlog_session.protocol.reader import Reader
from eventlog_session.stores.memory import MemoryStore

GOLDEN = Path(__file__).parent / "golden" / "format1.json"
SESSION = "golden é"
KEYS = Keys(SESSION)
BEGAN = 1_767_225_600_000_000  # 2026-01-01
LIMITS = Limits(inline_bytes=100, value_bytes=200)
KINDS = ("head", "binary head", "segment", "node", "tombstone")
LARGE = [blake2b(b"%d" % number).hexdigest() for number in range(4)]


# ---- the same values from fixed inputs ---------------------------------------------------------------------------------


def _event(number: int, kind: str, **effect: Any) -> Event:
    return Event(mint(number.to_bytes(10)), kind, BEGAN + number * 1_000_001, **effect)


EVENTS = {
    "adopted": _event(1, ADOPTED, count=2, items=b'[{"role":"user","content":"hi"},"not json"]', text=(1,)),
    "added": _event(2, ADDED, count=1, items='[{"role":"assistant","content":"hé"}]'.encode(), extensions=TRACE),
    "popped": _event(3, POPPED, pops=2, extensions={"tracestate": "a=b"}),
    "large": _event(4, ADDED, count=2, items=orjson.dumps([*LARGE[:1], "x"])),
    "larger": _event(5, ADDED, count=4, items=orjson.dumps(LARGE), text=()),
    "cleared": _event(6, CLEARED, base=0),
    "rewound": _event(7, REWOUND, base=105),
    "text": _event(8, ADDED, count=2, items=b'[1.5,"{\\"a\\":\\"\\\\ud800\\"}"]', text=(1,)),
    "trimmed": _event(9, TRIMMED, extensions={"trimmedbefore": "40"}),
    "replaced": _event(10, REPLACED, pops=1, count=1, items=b'["summary"]'),
    "undone": _event(11, UNDONE, base=108, extensions={"undoneversions": "110,108"}),
    "redone": _event(12, REDONE, base=108, extensions={"redorow": "111:0"}),
    "tagged": _event(13, TAGGED, extensions={"tag": "before é", "tagversion": "99"}),
    "tagged now": _event(14, TAGGED, extensions={"tag": "now"}),
    "untagged": _event(15, TAGGED, extensions={"tag": "old", "tagversion": "-"}),
    "forked": _event(16, FORKED, extensions={"forkedfrom": "urn:eventlog-session:parent", "forkedat": "7"}),
}
BASES = {"cleared": 0, "rewound": 57, "undone": 59, "redone": 59}
"""The lengths that events with an absolute base start from."""

REFS = (
    Ref("nodenodenodenodenodenodeno", 1, 1, 64, 2048, BEGAN - 9000, BEGAN - 5000, None, 0, 60, 60),
    Ref("segmentsegmentsegmentsegme", 0, 65, 36, 9999, BEGAN - 4000, BEGAN - 4000, 7, 3, 46, 50, 7),
)


@dataclass
class Made:
    """Everything that is at rest, from fixed inputs and by today's code."""

    head: Head
    events: dict[str, Draft]


def make() -> Made:
    """Return a head that has everything a head can have: index with a node, carried run, tail, ttl; and its events."""
    drafts = {name: draft(event, KEYS, LIMITS, binary=True) for name, event in EVENTS.items()}
    head = Head(
        session_id=SESSION, generation="generationgenera", created=BEGAN - 9000, updated=BEGAN - 4000, version=100, length=50,
        chain="c" * 32, ttl=3600, ttl_since=17, values_expire=BEGAN // 1_000_000 + 3 * 3600, recent="recentrecentrece" * 2,
        index=REFS, swept=64, floor=40, trash=(REFS[0]._replace(name="trashtrashtrashtrashtrasht"),),
        tags={"old": 41}, keyed=(Keyed(90, "k" * 13, "c" * 13), Keyed(99, "l" * 13, "d" * 13)), erased=("generationbefore",),
        tail=Run(101, 50, chain="c" * 32),
    )  # fmt: skip
    for number, (name, one) in enumerate(drafts.items(), 1):
        if name == "larger":
            head = head._replace(carried=carry(head.tail), tail=Run(head.version + 1, head.length, chain=head.chain))
        head = append(head, one, BEGAN + number * 1_000_003, BASES.get(name, head.length))
    return Made(head, drafts)


def write_golden() -> None:
    """Write the golden bytes as today's code makes them."""
    made = make()
    assert made.head.carried is not None
    frames = {"segment": made.head.carried.run.to_bytes(), "node": node_bytes(REFS), "part": EVENTS["larger"].data()}
    document = {
        "events": {name: one.value.decode() for name, one in made.events.items()},
        "head": made.head.to_bytes().decode(),
        "binary head": b64encode(made.head.to_bytes(binary=True)).decode(),
        "absent": Head.absent("").to_bytes().decode(),
        "tombstone": {"erasing": _tombstone(made.head).to_bytes().decode(), "erased": _tombstone(None).to_bytes().decode()},
        "segment": {"frame": frames["segment"].decode(), **_stored(frames["segment"])},
        "node": {"frame": frames["node"].decode(), **_stored(frames["node"])},
        "parts": {
            "data": frames["part"].decode(),
            "binary": [b64encode(part).decode() for part in made.events["larger"].ahead.values()],
            "text": [part.decode() for part in draft(EVENTS["larger"], KEYS, LIMITS, binary=False).ahead.values()],
        },
    }
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(document, indent=1) + "\n")


def _tombstone(head: Head | None) -> Tombstone:
    """Return what is put in the place of *head*, and without one what stays."""
    return Tombstone(("generationbefore", "generationgenera"), BEGAN, Remains.of(head) if head else None)


def _stored(data: bytes) -> dict[str, str]:
    packed = blob.compress(data)
    return {
        "binary": b64encode(blob.to_value(packed, binary=True)).decode(),
        "text": blob.to_value(packed, binary=False).decode(),
    }


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    """What the first release wrote."""
    document: dict[str, Any] = json.loads(GOLDEN.read_text())
    return document


# ---- golden bytes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVENTS)
def test_golden_events(name: str, golden: dict[str, Any]) -> None:
    """Each kind of event is written as these bytes and read from them; the items of one in parts lie in its parts."""
    value = golden["events"][name].encode()
    one = make().events[name]
    if one.event.parts is None:
        assert one.value == value
        assert Event.of(value) == one.event == EVENTS[name]
    else:  # the digest of the parts depends on the release of zstd
        read = Event.of(value)
        assert (read.count, read.items, read.id, read.time) == (4, b"[]", one.event.id, one.event.time)
        assert replace(one.event, parts=read.parts).to_bytes(KEYS.source) == value


def stored_head(golden: dict[str, Any], *, binary: bool) -> bytes:
    """Return the golden head in one of its two forms."""
    return b64decode(golden["binary head"]) if binary else golden["head"].encode()


@pytest.mark.parametrize("binary", [False, True])
def test_golden_head_is_read(golden: dict[str, Any], *, binary: bool) -> None:
    """A head of the first release has all it had: index, carried run, tail, ttl."""
    head = Head.of(stored_head(golden, binary=binary), limit=LIMIT)
    made = make().head
    assert (head.session_id, head.generation, head.ttl, head.swept) == (SESSION, "generationgenera", 3600, 64)
    assert (head.version, head.length, head.index, head.chain) == (116, 59, REFS, made.chain)
    assert head.tags == {"before é": 99, "now": 113}
    assert head.forked == ("urn:eventlog-session:parent", 7)
    assert (head.created, head.updated, head.values_expire) == (BEGAN - 9000, BEGAN + 16_000_048, BEGAN // 1_000_000 + 10_800)
    assert (head.floor, head.trash, head.ttl_since, head.erased) == (40, made.trash, 17, ("generationbefore",))
    assert head.remembered("l" * 13) == (99, "l" * 13, "d" * 13)
    assert head.tail.chain == made.tail.chain
    assert head.recent == "recentrecentrece" * 2
    assert head.extra == {}
    assert head.carried is not None
    assert made.carried is not None
    assert [*head.carried.run.events(), *head.tail.events()] == [*made.carried.run.events(), *made.tail.events()]
    assert collect(plan(head, {}, head.version, 2), {}) == ([1.5, '{"a":"\\ud800"}'], [1])
    assert plan(head, {}, head.version, 4).missing.keys() == {EVENTS["larger"].id}
    assert plan(head, {}, head.version, ALL).missing.keys() >= {REFS[1].name}


@pytest.mark.parametrize("binary", [False, True])
def test_golden_head_is_written(golden: dict[str, Any], *, binary: bool) -> None:
    """Today's code writes exactly the head of the first release, but for what zstd makes of the carried run."""
    value = stored_head(golden, binary=binary)
    old = Head.of(value, limit=LIMIT).carried
    made = make().head
    assert old is not None
    assert made.carried is not None
    assert made.carried.run.to_bytes() == blob.decompress(old.frame, LIMIT)
    carried = Carried(made.carried.run, old.frame)
    assert made._replace(carried=carried).to_bytes(binary=binary) == value
    assert Head.of(value, limit=LIMIT).to_bytes(binary=binary) == value


def test_golden_absent_head(golden: dict[str, Any]) -> None:
    """The first head of every session, created where a transaction can't, is constant but for the session id."""
    assert Head.absent("").to_bytes() == golden["absent"].encode()
    head = Head.of(golden["absent"].encode(), limit=LIMIT)
    assert (head.session_id, head.version, head.length, head.generation) == ("", 0, 0, "")


def test_golden_tombstone(golden: dict[str, Any]) -> None:
    """What takes the place of an erased head: first with the names of what is left to delete, then without."""
    for name, head in (("erasing", make().head), ("erased", None)):
        value = golden["tombstone"][name].encode()
        assert Tombstone.of(value) == _tombstone(head)
        assert _tombstone(head).to_bytes() == value
        assert SESSION not in value.decode()
    remains = _tombstone(make().head).remains
    assert remains is not None
    assert {ref.name for ref in remains.refs} == {"trashtrashtrashtrashtrasht", *(ref.name for ref in REFS)}
    assert [parts for _, parts in remains.events if parts]
    assert Tombstone.of(golden["head"].encode()) is None


@pytest.mark.parametrize("form", ["binary", "text"])
def test_golden_segment(form: str, golden: dict[str, Any]) -> None:
    """A segment, as bytes and as text, is read; before compression it is written as these bytes."""
    carried = make().head.carried
    assert carried is not None
    data = blob.decompress(blob.from_value(_value(golden["segment"], form)), LIMIT)
    assert data == golden["segment"]["frame"].encode() == carried.run.to_bytes()
    assert list(Run.of(data).events()) == list(carried.run.events())
    assert Run.of(data).to_bytes() == data


@pytest.mark.parametrize("form", ["binary", "text"])
def test_golden_node(form: str, golden: dict[str, Any]) -> None:
    """The same for an index node."""
    data = blob.decompress(blob.from_value(_value(golden["node"], form)), LIMIT)
    assert data == golden["node"]["frame"].encode() == node_bytes(REFS)
    assert node_refs(data) == REFS


@pytest.mark.parametrize("form", ["binary", "text"])
def test_golden_parts(form: str, golden: dict[str, Any]) -> None:
    """The data of a large event is put together from its parts."""
    parts = [b64decode(part) if form == "binary" else part.encode() for part in golden["parts"][form]]
    assert len(parts) > 1
    data = blob.decompress(b"".join(map(blob.from_part, parts)), LIMIT)
    assert data == golden["parts"]["data"].encode() == EVENTS["larger"].data()
    assert json.loads(data)["items"] == LARGE


def _value(stored: dict[str, str], form: str) -> bytes:
    return b64decode(stored[form]) if form == "binary" else stored[form].encode()


# ---- other formats, and fields to come ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["head", "segment", "node"])
@pytest.mark.parametrize("rest", [None, b',{"another":"layout"}]'], ids=["the same", "another"])
def test_another_format_is_refused(kind: str, rest: bytes | None, golden: dict[str, Any]) -> None:
    """Format 2 raises UnsupportedFormat, whatever its layout: it says which formats there are, and what to do."""
    value = (golden["head"] if kind == "head" else golden[kind]["frame"]).encode()
    assert value.startswith(b'["eventlog-%s",1,' % kind.encode())
    start = len(kind) + len('["eventlog-",')
    changed = value[:start] + b"2" + (value[start + 1 :] if rest is None else rest)
    with pytest.raises(UnsupportedFormat, match=r"format 2; this release reads 1\. Upgrade eventlog-session"):
        _read(kind, changed)


def test_unknown_kinds_of_events_are_refused() -> None:
    """A run with an event of a newer kind is not damage: UnsupportedFormat."""
    columns, items = unframe("segment", make().head.tail.to_bytes())
    columns["k"] = "q" + columns["k"][1:]
    with pytest.raises(UnsupportedFormat, match="newer than this release"):
        Run.of(frame("segment", columns, items))


def test_unknown_fields_are_handed_on() -> None:
    """A later release of this format may add fields to the head; one that does not know them keeps them."""
    head = make().head._replace(extra={"future": {"a": [1]}})
    again = Head.of(head.to_bytes(), limit=LIMIT)
    assert again.extra == {"future": {"a": [1]}}
    assert again.to_bytes() == head.to_bytes()


@examples(100)
@given(st.text(st.characters()) | st.sampled_from(("", "\ud800", "\0", '"', "𐀀\udfff")))
def test_any_session_id_comes_back(session_id: str) -> None:
    """The head holds the id itself, whatever string it is."""
    value = Head.absent(session_id).to_bytes()
    assert Head.of(value, limit=LIMIT).session_id == session_id
    assert json.loads(value)[0] == "eventlog-head"


def test_everything_at_rest_begins_as_a_json_array() -> None:
    """Values are JSON that begins with a bracket, or in their binary form neither empty nor anything like it."""
    texts = draft(EVENTS["larger"], KEYS, LIMITS, binary=False)
    for value in (make().head.to_bytes(), texts.value, *texts.ahead.values(), blob.to_value(b"x", binary=False)):
        assert isinstance(json.loads(value), list)


# ---- damage ------------------------------------------------------------------------------------------------------------


def flips(value: bytes) -> Iterator[bytes]:
    """Yield *value* with one bit of each byte changed."""
    for place, byte in enumerate(value):
        yield value[:place] + bytes([byte ^ 1 << place * 3 % 8]) + value[place + 1 :]


@pytest.mark.parametrize("binary", [False, True])
def test_every_truncation_of_a_head_is_noticed(*, binary: bool) -> None:
    """A head that was cut short, or has lost its beginning, never reads as one."""
    value = make().head.to_bytes(binary=binary)
    for place in range(1, len(value)):
        for part in (value[:place], value[place:]):
            with pytest.raises(CorruptLog):
                Head.of(part, limit=LIMIT)


def test_every_truncation_of_a_segment_is_noticed() -> None:
    """The same for segments and nodes, both compressed and not."""
    for data, read in ((make().head.tail.to_bytes(), Run.of), (node_bytes(REFS), node_refs)):
        packed = blob.compress(data)
        for end in range(len(data)):
            with pytest.raises(CorruptLog):
                read(data[:end])
        for end in range(len(packed)):
            with pytest.raises(CorruptLog):
                blob.decompress(packed[:end], LIMIT)


def test_every_flip_is_noticed() -> None:
    """No changed bit reads as another head, segment or node: neither as other items, nor as more or fewer of them."""
    for kind in KINDS:
        value = _data(kind)
        for bit in range(8 * len(value)):
            changed = bytearray(value)
            changed[bit // 8] ^= 1 << bit % 8
            with pytest.raises(CorruptLog):
                _read(kind, bytes(changed))


@examples(200)
@given(st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind), damaged(_data(kind)))))
def test_damaged_bytes_are_noticed(case: tuple[str, bytes]) -> None:
    """Bytes changed, put in, left out or repeated: they are what was written or CorruptLog, and no other error is raised."""
    kind, value = case
    if value != _data(kind):
        with pytest.raises(CorruptLog):
            _read(kind, value)


@pytest.mark.parametrize("base", [101, 102, 10**9, -1])
def test_a_base_that_is_not_before_its_event_is_noticed(base: int) -> None:
    """An event that starts from itself or from what comes later would never be done with."""
    run = Run(101, 50).append(_event(1, REWOUND, base=base), BEGAN, 50, None)
    with pytest.raises(CorruptLog):
        Run.of(run.to_bytes())


def everything() -> Iterator[tuple[Ref | Far, list[bytes]]]:
    """Yield what a head may name, with the values that are stored of it."""
    log = ModelLog(Limits(inline_bytes=100, value_bytes=200, tail_events=2, carried_bytes=1, index_segments=4))
    log.run([Op("add", (40,)), Op("add", (150,)), Op("add", (400, 300)), Op("pop"), Op("undo", pick=2), *[Op("add", (9,))] * 8])
    keys = log.keys
    for want in (want for version in range(log.version + 1) for together in log.read(version).loaded for want in together):
        if isinstance(want, Ref):
            yield want, [log.values[keys.node(want.name) if want.level else keys.segment(want.name)]]
        elif want.parts:
            yield want, [log.values[keys.part(want.name, number)] for number in range(want.parts)]
        else:
            yield want, [log.values[keys.event(want.name)]]


@pytest.mark.parametrize(
    "kind",
    ["segment", "node", "parts", "event"],
)  # fmt: skip
def test_every_change_of_what_a_head_names_is_noticed(kind: str) -> None:
    """What a head names, it names by digest: no changed bit and no other value is ever read in its place."""
    reader = Reader(MemoryStore(), Keys("a session"), Limits())
    seen = 0
    for want, values in everything():
        found = ("node" if want.level else "segment") if isinstance(want, Ref) else "parts" if want.parts else "event"
        if found != kind:
            continue
        seen += 1
        right = reader._decode(want, values)
        assert right is not None
        for place, value in enumerate(values):
            for bad in (*flips(value), value[:-1], value + b" ", b"[]"):
                with pytest.raises((CorruptLog, orjson.JSONDecodeError)):
                    reader._decode(want, [*values[:place], bad, *values[place + 1 :]])
    assert seen


@examples(300)
@given(st.data())
def test_other_fields_raise_nothing_but_corrupt_log(data: st.DataObject) -> None:
    """Fields and columns that are JSON, checksum and all, but not what they should be, read as something or as CorruptLog."""
    kind = data.draw(st.sampled_from(sorted({*KINDS} - {"binary head"})))
    meta, items = unframe(kind, _data(kind))
    with contextlib.suppress(CorruptLog):
        _read(kind, frame(kind, data.draw(misshapen(meta)), items))


def _tombstone_of(value: bytes) -> Tombstone:
    """A reader takes what is no tombstone for a head, which it then is not either."""
    found = Tombstone.of(value)
    if found is None:
        Head.of(value, limit=LIMIT)
        raise AssertionError("read as a head")
    return found


def _data(kind: str) -> bytes:
    return {
        "head": make().head.to_bytes(),
        "binary head": make().head.to_bytes(binary=True),
        "segment": make().head.tail.to_bytes(),
        "node": node_bytes(REFS),
        "tombstone": _tombstone(make().head).to_bytes(),
    }[kind]


def _read(kind: str, value: bytes) -> None:
    read: Any = {
        "head": lambda data: Head.of(data, limit=LIMIT),
        "binary head": lambda data: Head.of(data, limit=LIMIT),
        "segment": Run.of,
        "node": node_refs,
        "tombstone": _tombstone_of,
    }[kind]
    read(value)


@pytest.mark.parametrize("points", [[-1], [1_114_112]])
def test_a_damaged_id_is_corrupt(points: list[int]) -> None:
    """An id with lone surrogates is stored as code points; damage in them too is CorruptLog and not just any ValueError."""
    fields, items = unframe("head", Head.absent("\ud800").to_bytes())
    with pytest.raises(CorruptLog):
        Head.of(frame("head", {**fields, "s": points}, items), limit=LIMIT)


@pytest.mark.parametrize("column", ["k", "t", "w", "n", "z", "i", "v", "l"])
def test_a_run_without_a_column_is_corrupt(column: str) -> None:
    """No column has a default; lists of other lengths than the others' don't fit."""
    columns, items = unframe("segment", make().head.tail.to_bytes())
    shorter = {**columns, column: columns[column][:-1]} if isinstance(columns[column], list | str) else {}
    for changed in (shorter, {name: value for name, value in columns.items() if name != column}):
        with pytest.raises(CorruptLog):
            Run.of(frame("segment", changed, items))


def test_a_head_with_a_gap_is_corrupt() -> None:
    """Values that a head no longer names, or a version that its last event does not make, are damage."""
    head = make().head
    for changed in (
        head._replace(index=REFS[1:]),
        head._replace(index=REFS[:1]),
        head._replace(carried=None),
        head._replace(version=head.version + 1),
        head._replace(length=head.length - 1),
        head._replace(tail=Run(head.version + 1, head.length)),
    ):
        with pytest.raises(CorruptLog, match=r"gap|not that of its last event"):
            Head.of(changed.to_bytes(), limit=LIMIT)


# ---- blobs -------------------------------------------------------------------------------------------------------------


@examples(100)
@given(st.binary(max_size=2000), st.booleans(), st.integers(20, 300))
def test_blobs_come_back(data: bytes, binary: bool, size: int) -> None:
    """As one value or in parts, as bytes or as text, what was compressed comes back; no part is larger than it may be."""
    packed = blob.compress(data)
    value = blob.to_value(packed, binary=binary)
    assert blob.decompress(blob.from_value(value), len(data)) == data
    assert blob.from_text(blob.to_text(packed)) == packed
    parts = blob.to_parts(packed, size, binary=binary)
    assert b"".join(map(blob.from_part, parts)) == packed
    assert max(map(len, parts)) <= size
    if not binary:
        assert all(json.loads(part)[0] == "zstd" for part in (value, *parts))


def test_a_bomb_does_not_go_off() -> None:
    """A small value that decompresses to more than its bound is refused before it takes the memory."""
    bomb = blob.compress(b"0" * (64 << 20))
    assert len(bomb) < 10_000
    tracemalloc.start()
    with pytest.raises(CorruptLog, match="more than 1000 bytes"):
        blob.decompress(bomb, 1000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
    assert blob.decompress(blob.compress(b"0" * 1000), 1000) == b"0" * 1000
    head = make().head._replace(carried=None)
    with pytest.raises(CorruptLog, match="more than 1000 bytes"):
        Head.of(head._replace(carried=Carried(Run(1, 0), bomb)).to_bytes(), limit=1000)


@pytest.mark.parametrize(
    "value", [b"", b"[]", b"[1]", b'["zstd","', b'["zstd","*"]', b'["zstd","\xff"]', b'["zstd","YQ"]', b"\x28\xb5"]
)
def test_what_is_no_blob_is_corrupt(value: bytes) -> None:
    """Neither a frame nor one as text."""
    with pytest.raises(CorruptLog):
        blob.decompress(blob.from_value(value), LIMIT)


def test_frames_that_are_none_are_corrupt() -> None:
    """Bytes that begin like a frame and are none; nothing at all."""
    for packed in (b"\x28\xb5\x2f\xfd\xff\xff\xff", b"", b"nonsense"):
        with pytest.raises(CorruptLog, match="zstd frame"):
            blob.decompress(packed, LIMIT)


# ---- drafts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "text"])
def test_where_an_event_lies_depends_on_its_size(*, binary: bool) -> None:
    """In the head up to one limit, under its own key up to another, in parts beyond; refused beyond a third."""
    limits = Limits(inline_bytes=100, value_bytes=300, event_bytes=1000)

    def made(size: int) -> Draft:
        noise = blake2b(b"%d" % size).hexdigest() * 8
        event = _event(size, ADDED, count=1, items=b'["%s"]' % noise[: size - 4].encode())
        assert len(event.items) == size
        return draft(event, KEYS, limits, binary=binary)

    assert (made(100).far, made(100).ahead) == (None, {})
    assert (made(101).far, made(300).ahead) == ((len(made(101).value), 0, digest(made(101).value)), {})
    far = made(1000)
    assert far.far is not None
    assert far.event.parts is not None
    assert far.far == (sum(map(len, far.ahead.values())), len(far.ahead), far.event.parts.digest)
    assert list(far.ahead) == [KEYS.part(far.event.id, number) for number in range(far.event.parts.number)]
    assert b'"data":' not in far.value
    with pytest.raises(InvalidItem, match=r"1001 bytes of items in one batch; at most 1000 fit\. Nothing was written"):
        made(1001)


if __name__ == "__main__":
    write_golden()
