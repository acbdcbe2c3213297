"""`verify`: finds every value that is missing or altered, names it, and finds nothing in a log that is sound."""

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model import ModelLog, examples, logs
from staged import Time, Untold, add, fill, noise

from eventlog_session import CorruptLog, EventLog, EventLogSession, Limits, MemoryStore, Store, Verification
from eventlog_session.core import blob
from eventlog_session.core.keys import digest
from eventlog_session.core.run import Run
from eventlog_session.testing import CountingStore, Fault, FaultyStore, Script

pytestmark = pytest.mark.usefixtures("bounded")
SMALL = Limits(tail_bytes=600, carried_bytes=300, index_segments=4, index_nodes=4, inline_bytes=2000, value_bytes=20_000)


async def grown(plain: MemoryStore, session_id: str) -> EventLog:
    """Return a log with nodes, segments, large events, parts, pops, a clear and a rewind."""
    log = EventLog(plain, session_id, limits=SMALL)
    await fill(log, 150, size=60)
    await log.pop()
    version = (await log.head()).version
    await log.clear()
    await add(log, noise(1, 5000))
    await add(log, noise(2, 60_000))
    await log.rewind(version)
    await fill(log, 20, size=60)
    await log.settle()
    return log


async def test_a_sound_log_is_sound(plain: MemoryStore, session_id: str) -> None:
    """And everything in it was looked at."""
    log = await grown(plain, session_id)
    found = await log.verify()
    assert found.sound, found
    assert (found.version, found.events, found.items, found.trimmed) == (175, 175, 172, 0)
    assert found.segments > 3
    assert found.nodes > 0


async def test_every_missing_or_altered_value_is_named(session_id: str) -> None:
    """Each value in the store in turn: left out, a byte changed, cut short. Only own keys of sealed events may be missing."""
    plain = Untold()
    log = await grown(plain, session_id)
    values = dict(plain._values)
    swept = (await log.head()).swept
    seen = set()
    for key, (data, etag, end) in values.items():
        kind = key.split(":")[2]
        seen.add(kind)
        for damaged in (None, bytes([*data[:-9], data[-9] ^ 1, *data[-8:]]), data[: len(data) // 2]):
            plain._values = dict(values)
            if damaged is None:
                del plain._values[key]
            else:
                plain._values[key] = damaged, etag, end
            fresh = EventLog(CountingStore(plain), session_id, limits=SMALL)
            if kind == "h":
                if damaged is None:
                    continue  # no session: nothing to verify
                with pytest.raises(CorruptLog):
                    await fresh.verify()
                continue
            found = await fresh.verify()
            named = key in found.missing if damaged is None else key in found.altered
            redundant = kind == "e" and damaged is None and len(data) < 2000
            part = kind == "p" and damaged is not None
            assert named or redundant or (part and found.altered), (key, damaged, found)
            assert found.sound == redundant
    assert seen == set("hespn")
    assert swept >= 0


async def test_a_segment_forged_with_its_name_is_noticed(session_id: str) -> None:
    """Whoever can write the store can name a segment by its digest, but not without breaking the hash chain."""
    plain = Untold()
    log = EventLog(plain, session_id)
    await fill(log, 400, size=100)
    await log.settle()
    head = await log.head()
    first = head.index[0]
    run = Run.of(blob.decompress(blob.from_value(plain._values[log.keys.segment(first.name)][0]), 1 << 24))
    forged = Run.of(run.to_bytes())
    forged.items = run.items.replace(b'"number":7,', b'"number":8,')
    assert len(forged.items) == len(run.items)
    assert forged.items != run.items
    value = blob.compress(forged.to_bytes())
    name = digest(value)
    plain._values[log.keys.segment(name)] = value, 1, float("inf")
    index = (first._replace(name=name, size=len(value)), *head.index[1:])
    plain._values[log.keys.head] = head._replace(index=index).to_bytes(), 1, float("inf")
    fresh = EventLog(CountingStore(plain), session_id)
    assert (await fresh.read()).items[7] != 7  # a reader can't know
    found = await fresh.verify()
    assert list(found.altered) == [log.keys.segment(head.index[1].name)]
    assert "does not follow by the hash chain" in str(found.altered)


async def test_verify_looks_again_where_others_write(session_id: str, time: Time) -> None:
    """What is missing since it was trimmed or erased while it was walked is no damage."""
    plain = Untold(clock=time.clock)
    log = await grown(plain, session_id)
    await log.clear()
    other = EventLog(CountingStore(plain), session_id, limits=SMALL)
    walking = asyncio.create_task(other.verify())
    await asyncio.sleep(0)
    version = (await log.head()).version
    await log.trim(version)
    await log.settle()
    assert (await walking).sound
    assert (await other.verify()).trimmed > 100


async def test_a_bulk_read_with_holes_is_no_damage(plain: MemoryStore, session_id: str) -> None:
    """It says nothing of what it leaves out: what is missing is missing when it is asked for by itself."""
    await grown(plain, session_id)
    holes = FaultyStore(plain, Script(get_many=[Fault.HOLES, Fault.STALE] * 50))
    assert (await EventLog(holes, session_id, limits=SMALL).verify()).sound
    assert holes.injected[Fault.STALE]


async def test_verified_on_every_store(store: Store, session_id: str) -> None:
    """Including one with nothing in it."""
    session = EventLogSession(session_id, store=store)
    assert (await session.verify()).sound
    for number in range(40):
        await session.add_items([{"role": "user", "content": noise(number, 700)}])
    await session.pop_item()
    await session.add_items([{"role": "user", "content": noise(99, 400_000)}])
    found = await EventLogSession(session_id, store=CountingStore(store)).verify()
    assert found.sound, found
    assert (found.events, found.items) == (42, 41)


@given(log=logs(), data=st.data())
@examples(60)
def test_whatever_was_done_verifies(log: ModelLog, data: Any) -> None:
    """Any log is sound; with any one value of it damaged it is not."""

    async def check() -> None:
        plain = MemoryStore()
        plain._values = {key: (value, 1, float("inf")) for key, value in log.values.items()}
        plain._values[log.keys.head] = log.head.to_bytes(), 1, float("inf")
        real = EventLog(plain, "a session", limits=log.limits)
        found = await real.verify()
        assert found.sound, found
        assert found.events == log.version
        named = sorted(key for key in plain._values if key.split(":")[2] in "spn")
        if named:
            key = data.draw(st.sampled_from(named))
            value = plain._values[key][0]
            at = data.draw(st.integers(0, len(value) - 1))
            plain._values[key] = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :], 1, float("inf")
            assert not (await EventLog(CountingStore(plain), "a session", limits=log.limits).verify()).sound

    asyncio.run(check())


def test_a_verification_says_what_it_means() -> None:
    """Readable as it is, for a log at two in the morning."""
    assert Verification(3).sound
    assert not Verification(3, missing=["key"]).sound
    assert not Verification(3, altered={"key": "why"}).sound
    assert orjson.loads(orjson.dumps(Verification(3)))["version"] == 3
