"""Events at rest are CloudEvents that anyone can read, and come back to the letter; what is no event is never taken for one."""

import contextlib
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st
from model import START, TRACE, damaged, examples, misshapen

from eventlog_session.core import items as codec
from eventlog_session.core.events import (
    ADDED,
    ADOPTED,
    CLEARED,
    POPPED,
    REWOUND,
    TYPES,
    Event,
    Parts,
    from_datetime,
    from_rfc3339,
    to_rfc3339,
)
from eventlog_session.core.keys import Keys, digest
from eventlog_session.errors import CorruptLog, UnsupportedFormat

SOURCE = Keys("a session").source
ID = "abcdefghijklmn27"
ITEMS = b'[{"role":"user","content":"h\xc3\xa9"},1.5,"{\\"a\\":\\"\\\\ud800\\"}"]'
EVENTS = {
    "added": Event(ID, ADDED, START, count=3, items=ITEMS, text=(2,), extensions=TRACE),
    "popped": Event(ID, POPPED, START + 1, pops=2),
    "cleared": Event(ID, CLEARED, START + 999_999, base=0),
    "rewound": Event(ID, REWOUND, 0, base=17, extensions={"tracestate": "a=b"}),
    "adopted": Event(ID, ADOPTED, START, count=3, items=ITEMS, text=(2,)),
    "in parts": Event(ID, ADDED, START, count=1000, parts=Parts(3, digest(b"x"))),
}
DATA = {
    "added": {"items": json.loads(ITEMS), "text": [2]},
    "popped": {"pops": 2},
    "cleared": {"base": 0},
    "rewound": {"base": 17},
    "adopted": {"items": json.loads(ITEMS), "text": [2]},
    "in parts": None,
}

times = st.integers(0, 253_402_300_799_999_999)  # to the end of the year 9999
ids = st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=16, max_size=16)
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30)
extensions = st.dictionaries(st.from_regex("ext[a-z0-9]{0,17}", fullmatch=True), texts, max_size=3)


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Any event there can be."""
    kind = draw(st.sampled_from(sorted(TYPES)))
    base, pops, count, data, parts = None, 0, 0, b"[]", None
    text: tuple[int, ...] = ()
    if kind in (ADDED, ADOPTED):
        items = draw(st.lists(st.one_of(st.text(max_size=20), st.floats(allow_nan=False, allow_infinity=False)), min_size=1))
        (data, text), count = codec.encode(items), len(items)
        if draw(st.booleans()):
            data, parts, text = b"[]", Parts(draw(st.integers(1, 300)), draw(ids)), ()
    elif kind == POPPED:
        pops = draw(st.integers(1, 2**53))
    else:
        base = draw(st.integers(0, 2**53)) if kind == REWOUND else 0
    return Event(draw(ids), kind, draw(times), base, pops, count, data, text, draw(extensions), parts)


# ---- what others read --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVENTS)
def test_the_stock_sdk_reads_what_is_stored(name: str) -> None:
    """A value is a batch of one CloudEvents 1.0 event, which the CloudEvents SDK reads with all attributes and its data."""
    event = EVENTS[name]
    value = event.to_bytes(SOURCE)
    assert (value[:1], value[-1:]) == (b"[", b"]")
    read = JSONFormat().read(CloudEvent, value[1:-1])
    assert read.get_data() == DATA[name]
    expected: dict[str, Any] = {
        "specversion": "1.0",
        "id": ID,
        "source": SOURCE,
        "type": TYPES[event.kind],
        "time": datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=event.time),
        **event.extensions,
    }
    if event.parts is None:
        expected["datacontenttype"] = "application/json"
    else:
        expected |= {"dataref": f"{SOURCE}:p:{ID}", "dataparts": 3, "datadigest": event.parts.digest, "datacount": 1000}
    assert read.get_attributes() == expected


@pytest.mark.parametrize("name", EVENTS)
def test_attributes_are_as_the_specification_wants_them(name: str) -> None:
    """Names are of up to 20 lowercase letters and digits, strings without control characters, integers of 32 bit."""
    (attributes,) = json.loads(EVENTS[name].to_bytes(SOURCE))
    for attribute, value in attributes.items():
        assert re.fullmatch("[a-z0-9]{1,20}", attribute)
        if isinstance(value, str):
            assert value
            assert value.isprintable()
        else:
            assert isinstance(value, dict) if attribute == "data" else -(2**31) <= value < 2**31


def test_types_are_the_storage_format() -> None:
    """These strings are at rest in other people's stores: no renaming in Python changes them."""
    assert dict(TYPES) == {
        "a": "org.pypi.eventlog-session.items.added.v1",
        "p": "org.pypi.eventlog-session.item.popped.v1",
        "c": "org.pypi.eventlog-session.session.cleared.v1",
        "r": "org.pypi.eventlog-session.session.rewound.v1",
        "m": "org.pypi.eventlog-session.history.adopted.v1",
        "t": "org.pypi.eventlog-session.history.trimmed.v1",
        "x": "org.pypi.eventlog-session.history.replaced.v1",
        "u": "org.pypi.eventlog-session.change.undone.v1",
        "d": "org.pypi.eventlog-session.change.redone.v1",
        "g": "org.pypi.eventlog-session.version.tagged.v1",
        "f": "org.pypi.eventlog-session.session.forked.v1",
    }


# ---- what comes back ---------------------------------------------------------------------------------------------------


@examples(300)
@given(events())
def test_events_come_back_to_the_letter(event: Event) -> None:
    """`Event.of` of an event's bytes is the event, whose bytes are the same again."""
    value = event.to_bytes(SOURCE)
    assert Event.of(value) == event
    assert Event.of(value).to_bytes(SOURCE) == value
    assert event.summary == (event.base, event.pops, event.count)


@examples(100)
@given(times)
def test_times_come_back_to_the_microsecond(time: int) -> None:
    """Times are RFC 3339 in UTC with six digits always: as strings they sort as they do as numbers."""
    text = to_rfc3339(time)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
    assert from_rfc3339(text) == time
    moment = datetime.fromisoformat(text)
    assert from_datetime(moment) == from_datetime(moment.astimezone(timezone(timedelta(hours=-3)))) == time


def test_a_moment_without_a_time_zone_is_refused() -> None:
    """A naive datetime means another moment on another machine."""
    with pytest.raises(ValueError, match="needs a time zone"):
        from_datetime(datetime(2026, 1, 1))  # noqa: DTZ001


# ---- what is no event --------------------------------------------------------------------------------------------------


def test_an_unknown_type_is_of_a_newer_release() -> None:
    """A type that this release does not know is not damage: UnsupportedFormat names it and says to upgrade."""
    value = EVENTS["popped"].to_bytes(SOURCE).replace(b"item.popped.v1", b"items.replaced.v1")
    with pytest.raises(UnsupportedFormat, match=r"items\.replaced\.v1.*newer.*upgrade"):
        Event.of(value)


@pytest.mark.parametrize("data", [b"[1]", b'"x"', b'{"items":7}'])
def test_an_unknown_type_may_have_any_data(data: bytes) -> None:
    """What a newer release keeps in its events is its own affair: that too reads as UnsupportedFormat, not as damage."""
    value = EVENTS["popped"].to_bytes(SOURCE).replace(b"item.popped.v1", b"item.popped.v2").replace(b'{"pops":2}', data)
    with pytest.raises(UnsupportedFormat):
        Event.of(value)


@examples(400)
@given(st.sampled_from(sorted(EVENTS)).flatmap(lambda name: damaged(EVENTS[name].to_bytes(SOURCE))))
def test_damaged_bytes_raise_nothing_but_corrupt_log(value: bytes) -> None:
    """Whatever happened to the bytes, they read as an event, or as CorruptLog, and nothing else is raised."""
    with contextlib.suppress(CorruptLog):
        Event.of(value)


@examples(400)
@given(st.sampled_from(sorted(EVENTS)).flatmap(lambda name: misshapen(orjson.loads(EVENTS[name].to_bytes(SOURCE)))))
def test_other_json_raises_nothing_but_corrupt_log(document: Any) -> None:
    """The same for JSON that is not quite an event."""
    with contextlib.suppress(CorruptLog):
        Event.of(orjson.dumps(document))


@pytest.mark.parametrize("name", EVENTS)
def test_every_truncation_is_noticed(name: str) -> None:
    """No part of an event's bytes reads as an event."""
    value = EVENTS[name].to_bytes(SOURCE)
    for end in range(len(value)):
        with pytest.raises(CorruptLog):
            Event.of(value[:end])


@pytest.mark.parametrize(
    "data", ['{"items":"abc"}', '{"items":{"a":1}}', '{"pops":"2"}', '{"base":1.5}', '{"items":[1],"text":"x"}']
)
def test_data_of_other_types_is_noticed(data: str) -> None:
    """Items that are no array, counts that are no integers: damage, rather than an event with other items."""
    value = EVENTS["cleared"].to_bytes(SOURCE).replace(b'{"base":0}', data.encode())
    with pytest.raises(CorruptLog):
        Event.of(value)
