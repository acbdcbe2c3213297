"""Merging: every version reads as it did, of fewer values; what was merged away is deleted, and no event with it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from staged import Faulty, add, fill, noise, numbered, whole

from eventlog_session import EventLog, Limits, MemoryStore, OutcomeUnknown, Unavailable
from eventlog_session.core.head import Head, Ref
from eventlog_session.core.merge import mergeable
from eventlog_session.core.run import Run
from eventlog_session.protocol.sweep import within
from eventlog_session.testing import CountingStore

pytestmark = pytest.mark.usefixtures("bounded")
MERGING = Limits(tail_bytes=600, carried_bytes=300, inline_bytes=2000, value_bytes=20_000, merge_bytes=(2000, 8000))
LEFT = replace(MERGING, merge_bytes=())


def segments(plain: MemoryStore) -> set[str]:
    """Return the keys of the segments that are in the store."""
    return {key for key in plain._values if ":s:" in key}


def references(*sizes: int) -> list[Ref]:
    """Return references to consecutive segments of these sizes, ten events each, named by their place."""
    return [
        Ref(str(place), 0, 1 + 10 * place, 10, size, 0, 0, None, 0, 10, 10 * (place + 1)) for place, size in enumerate(sizes)
    ]


def chosen(index: list[Ref], *away: str, ratio: int = 2) -> str:
    """Return the names of what is to be merged, with all but *away* in memory and so many times as long there."""
    loaded = {ref.name: Run(1, 0, items=b"x" * ref.size * ratio) for ref in index if ref.name and ref.name not in away}
    return "".join(ref.name for ref in mergeable(index, loaded, Limits(merge_bytes=(1000, 4000))))


def test_what_is_merged() -> None:
    """Rows of small segments once they fill a larger one; never across what is larger, gone, a node, or not in memory."""
    assert chosen(references(300, 300, 300)) == ""
    assert chosen(references(300, 300, 300, 300)) == "012"  # no more than fit
    assert chosen(references(600, 300, 300, 300, 300)) == "123"
    assert chosen(references(300, 300, 600, 300, 300)) == ""
    assert chosen(references(900, 900, 900, 900, 300, 300)) == "01234"  # the next size, and small ones are no matter
    assert chosen(references(900, 300, 900, 900, 900, 300, 300)) == "01234"
    assert chosen(references(2000, 900, 900, 900, 900)) == ""
    assert chosen(references(300, 300, 300, 300), "0") == ""
    assert chosen(references(300, 300, 300, 300, 300), "0") == "123"
    assert chosen(references(300, 300, 300, 300), ratio=25) == "01"  # as much as may be decompressed for one item
    assert chosen(references(300, 300, 300, 300), ratio=40) == ""
    dense = {ref.name: Run(1, 0, items=b"x" * (20_000 if ref.name == "0" else 600)) for ref in references(*[300] * 5)}
    names = [ref.name for ref in mergeable(references(*[300] * 5), dense, Limits(merge_bytes=(1000,)))]
    assert names == ["1", "2", "3"]  # one that is dense is no matter to the others
    hole = references(300, 300, 300, 300, 300)
    hole[1] = hole[1]._replace(name="")
    assert chosen(hole) == ""
    node = references(300, 300, 300, 300, 300)
    node[0] = node[0]._replace(level=1)
    assert chosen(node) == "123"
    assert mergeable(references(*[300] * 20), {}, Limits(merge_bytes=())) == ()


def test_what_was_merged_away_is_told_from_what_was_given_up() -> None:
    """By whether a live segment holds its first version."""
    one, two, three = references(1, 1, 1)
    merged = one._replace(name="merged", events=20)
    assert within([one, two, three], [merged]) == {one, two}
    assert within([one, two], []) == set()
    assert within([one._replace(level=1)], [merged]) == set()


async def test_a_long_log_has_few_segments_and_reads_as_before(plain: MemoryStore, session_id: str) -> None:
    """Cold, at every version; the store holds just what the head names, large events too, and all of it verifies."""
    log = EventLog(plain, session_id, limits=MERGING)
    for number in range(300):
        await add(log, noise(number, 3000) if number % 40 == 7 else numbered(number, 60))
    await log.settle()
    await add(log, "so that the head tells")
    head = await log.head()
    assert not head.trash
    assert segments(plain) == {log.keys.segment(ref.name) for ref in head.index}
    other = EventLog(plain, "left as they are", limits=LEFT)
    for number in range(300):
        await add(other, numbered(number, 60))
    assert len(head.index) * 4 < len((await other.head()).index)
    fresh = EventLog(CountingStore(plain), session_id, limits=MERGING)
    assert (await fresh.verify()).sound
    for version in range(0, 301, 13):
        expected = [noise(number, 3000) if number % 40 == 7 else numbered(number, 60) for number in range(version)]
        assert (await fresh.read(at=version)).items == expected


async def change(log: EventLog, random: Random) -> None:
    """Do one thing drawn from *random*: mostly add, of all sizes, but also pop, clear and rewind."""
    version, kind = (await log.head()).version, random.random()
    if kind < 0.8:
        await add(log, *(noise(random.randrange(1000), random.choice((5, 60, 60, 3000))) for _ in range(random.randint(1, 3))))
    elif kind < 0.92:
        await log.pop()
    elif kind < 0.98:
        await log.rewind(random.randint(0, version))
    else:
        await log.clear()


@pytest.mark.parametrize("seed", range(8))
async def test_merging_changes_nothing_that_can_be_read(plain: MemoryStore, seed: int) -> None:
    """Two logs with the same changes, one merging: the same histories at every version, popped, cleared and rewound."""
    sizes = Random(seed).choice(((700,), (500, 2000), (400, 1200, 6000)))
    merging = EventLog(plain, "merging", limits=replace(MERGING, tail_bytes=200, carried_bytes=150, merge_bytes=sizes))
    left = EventLog(plain, "left", limits=replace(LEFT, tail_bytes=200, carried_bytes=150))
    for log in (merging, left):
        random = Random(seed)
        for _ in range(150):
            await change(log, random)
        await log.settle()
    index = (await merging.head()).index
    assert any(ref.size > min(sizes) / 2 for ref in index if not ref.level)
    cold = EventLog(CountingStore(plain), "merging", limits=MERGING)
    for version in range(0, (await left.head()).version + 1, 7):
        assert (await cold.read(at=version)).items == (await left.read(at=version)).items
    assert (await cold.verify()).sound


async def test_what_one_process_left_behind_another_deletes(session_id: str) -> None:
    """One that merged and died before it deleted: whoever seals next does, and merges nothing before that is done."""
    plain = Faulty()
    log = EventLog(plain, session_id, limits=MERGING)
    delete = plain.delete_many

    async def never(keys: Sequence[str]) -> None:
        raise Unavailable("the process died here")

    plain.delete_many = never  # type: ignore[method-assign]
    while not (await log.head()).trash:
        await add(log, numbered((await log.head()).version, 60))
    trash = (await log.head()).trash
    for number in range(100):
        await add(log, numbered(number, 60))
        assert (await log.head()).trash == trash
    plain.delete_many = delete  # type: ignore[method-assign]
    other = EventLog(CountingStore(plain), session_id, limits=MERGING)
    for number in range(100):
        await add(other, numbered(number, 60))
        await other.settle()
    head = await other.head()
    assert segments(plain) == {log.keys.segment(ref.name) for ref in head.index}
    assert len(await whole(plain, session_id)) == head.length
    assert (await EventLog(CountingStore(plain), session_id).verify()).sound


async def test_readers_of_an_older_head_look_again(plain: MemoryStore, session_id: str) -> None:
    """One that was about to read what is merged away reads the head again instead of calling it damage."""
    log = EventLog(plain, session_id, limits=MERGING)
    other = EventLog(CountingStore(plain), session_id, limits=MERGING)
    await fill(log, 30, size=60)
    known = await other._heads.fresh()
    while known.head.index == (head := await log.head()).index[: len(known.head.index)]:
        await add(log, numbered(head.version, 60))
        await log.settle()
    fresh = other._heads.fresh

    async def stale(*, eager: bool = False) -> Any:
        other._heads.fresh = fresh  # type: ignore[method-assign]
        return known

    other._heads.fresh = stale  # type: ignore[method-assign]
    assert (await other.read()).items == [numbered(number, 60) for number in range(head.version)]


async def test_a_head_remembers_where_what_was_merged_away_began(session_id: str) -> None:
    """Read from the store by another process, which else took it for trimmed and deleted large events that are live."""
    plain = Faulty()
    log = EventLog(plain, session_id, limits=MERGING)
    await fill(log, 40, size=60)
    await log.clear()
    await log.trim((await log.head()).version)
    await log.settle()
    delete = plain.delete_many

    async def never(keys: Sequence[str]) -> None:
        raise Unavailable("the process died here")

    await add(log, "so that the head tells")
    plain.delete_many = never  # type: ignore[method-assign]
    dying = EventLog(CountingStore(plain), session_id, limits=MERGING)
    await dying.read()
    expected: list[Any] = ["so that the head tells"]
    while not (head := await dying.head()).trash or head.trash[0].first == 1:
        expected.append(noise(head.version, 3000 if head.version % 4 == 3 else 60))
        await add(dying, expected[-1])
    assert Head.of(head.to_bytes(), limit=1 << 20).trash == head.trash
    plain.delete_many = delete  # type: ignore[method-assign]
    other = EventLog(CountingStore(plain), session_id, limits=MERGING)
    await add(other, "more")
    await other.settle()
    assert await whole(plain, session_id) == [*expected, "more"]
    assert (await EventLog(CountingStore(plain), session_id).verify()).sound


Call = Callable[[EventLog, Head, datetime], Awaitable[object]]
CALLS: dict[str, Call] = {
    "read": lambda log, _, __: log.read(),
    "add": lambda log, _, __: add(log, "more"),
    "resolve": lambda log, head, _: log.resolve(
        OutcomeUnknown("", event_ids=("a" * 16,), base=1, generation=head.generation),
    ),
    "trim": lambda log, _, moment: log.trim(moment),
    "read at": lambda log, _, moment: log.read(at=moment),
    "rewind": lambda log, _, __: log.rewind(2),
    "verify": lambda log, _, __: log.verify(),
}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("call", CALLS)
async def test_what_is_merged_away_during_a_call_is_no_damage(call: str, session_id: str, *, known: bool) -> None:
    """A segment goes between reading the head that names it and reading it: the call starts from a newer head."""
    plain, limits = Faulty(), replace(MERGING, recent_ids=1)
    log, store = EventLog(plain, session_id, limits=limits), CountingStore(plain)
    other = EventLog(store, session_id, limits=limits)
    await fill(log, 3, size=60)
    moment = datetime.now(UTC)
    head = await other.head() if known else await log.head()
    while len((await log.head()).index) < 3:
        await add(log, numbered((await log.head()).version, 60))
    await log.settle()
    get_many = store.get_many

    async def late(keys: Sequence[str]) -> Mapping[str, bytes]:
        if any(":s:" in key for key in keys):
            store.get_many = get_many  # type: ignore[method-assign]
            before = segments(plain)
            while before <= segments(plain):
                await add(log, numbered((await log.head()).version, 60))
                await log.settle()
        return await get_many(keys)

    store.get_many = late  # type: ignore[method-assign]
    await CALLS[call](other, head, moment)
    assert (await EventLog(CountingStore(plain), session_id).verify()).sound


async def test_trimming_and_erasing_after_merging(plain: MemoryStore, session_id: str) -> None:
    """Both free merged segments with their large events; an erased session leaves its tombstone only."""
    log = EventLog(plain, session_id, limits=MERGING)
    for number in range(200):
        await add(log, noise(number, 3000) if number % 20 == 7 else numbered(number, 60))
    await log.clear()
    await log.trim((await log.head()).version)
    await log.settle()
    assert sum(":e:" in key and len(data) > 2000 for key, (data, _, _) in plain._values.items()) <= 1
    assert (await EventLog(CountingStore(plain), session_id).verify()).sound
    await fill(log, 100, size=60)
    await log.erase(0)
    assert list(plain._values) == [log.keys.head]
