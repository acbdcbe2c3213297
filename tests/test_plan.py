"""Reading: whatever was done to a log, every version of it reads as a plain list would, and nothing is read in vain."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model import LIMIT, START, TRACE, ModelLog, Op, examples, logs

from eventlog_session.core.advance import link
from eventlog_session.core.head import Head, Ref
from eventlog_session.core.keys import ID_LENGTH
from eventlog_session.core.plan import ALL, Far, locate
from eventlog_session.limits import Limits


def levels(head: Head) -> int:
    """Return how many levels the head's index has."""
    return 1 + max((ref.level for ref in head.index), default=-1)


def in_head(log: ModelLog) -> int:
    """Return the oldest version whose event lies in the head."""
    return log.head.carried.run.first if log.head.carried else log.head.tail.first


def newest(items: list[Any], need: int) -> list[Any]:
    """Return the newest *need* of *items*."""
    return items[max(0, len(items) - need) :]


def test_random_logs_have_everything() -> None:
    """What the properties below are about does happen in the logs that they are tried on."""
    seen: set[str] = set()

    # many, since hypothesis takes constants from whatever modules are imported: 80 of them differ from run to run
    @examples(300)
    @given(logs())
    def look(log: ModelLog) -> None:
        odds = [odd for run in log.runs() for odd in run.odd.values()]
        seen.update(name for odd in odds for name in odd)
        seen.update(f"{min(3, levels(head))} levels" for head in log.heads)
        seen.update(f"{min(2, odd['f'][1])} parts" for odd in odds if "f" in odd)
        seen.add("carried" if log.head.carried else "not carried")
        seen.update("a summary with a jump" for ref in log.head.index if ref.base is not None)

    look()
    assert seen == {
        *"bplsxf", "0 levels", "1 levels", "2 levels", "3 levels", "0 parts", "2 parts", "carried", "not carried",
        "a summary with a jump",
    }  # fmt: skip


# ---- what is read ------------------------------------------------------------------------------------------------------


@examples(70)
@given(logs())
def test_every_version_reads_as_it_was(log: ModelLog) -> None:
    """All items of every past version, from a reader that knows nothing but the newest head's bytes."""
    head = Head.of(log.head.to_bytes(), limit=LIMIT)
    for version, items in enumerate(log.versions):
        assert log.read(version, head=head).items == items


@examples(60)
@given(logs(), st.data())
def test_any_end_of_any_version_reads_as_it_was(log: ModelLog, data: st.DataObject) -> None:
    """The newest n items of a version, from any head since, whatever is at hand from earlier reads."""
    loaded: dict[str, Any] = {}
    for _ in range(6):
        head = data.draw(st.sampled_from(log.heads), "head")
        version = data.draw(st.integers(0, head.version), "version")
        need = data.draw(st.integers(0, 12), "need")
        assert log.read(version, need, head, loaded).items == newest(log.versions[version], need)


@examples(30)
@given(logs())
def test_every_event_can_be_had_back_to_the_letter(log: ModelLog) -> None:
    """What the runs hold makes the very bytes that were stored under the events' own keys: the hash chain runs over them."""
    chain, version = "", 0
    for run in log.runs():
        for found, committed, event in run.events():
            version += 1
            odd = run.odd.get(version - run.first, {})
            if "f" in odd and not event.parts:
                event = replace(event, items=log.load(Far.of(event.id, odd)))  # noqa: PLW2901
            value = event.to_bytes(log.keys.source)
            assert (found, committed, value) == (version, log.times[version - 1], log.stored[version - 1])
            chain = link(chain, value)
    assert (version, chain) == (log.version, log.head.chain)


@examples(30)
@given(logs())
def test_every_version_is_found(log: ModelLog) -> None:
    """`locate` leads to the run with a version's event, which knows the length of the history then, and its id."""
    for version in range(1, log.version + 1):
        loaded: dict[str, Any] = {}
        while isinstance(place := locate(log.head, loaded, version), Ref):
            loaded[place.name] = log.load(place)
        assert place.first <= version <= place.last
        assert place.length_at(version) == len(log.versions[version])
        assert place.length_at(place.first - 1) == len(log.versions[place.first - 1])
        assert log.head.recent_id(version) in (None, place.id_of(version))


@examples(30)
@given(logs())
def test_head_knows_the_newest_ids(log: ModelLog) -> None:
    """Every head knows the ids of the newest `Limits.recent_ids` events, so that a doubtful commit is resolved by it alone."""
    for head in log.heads:
        known = [head.recent_id(version) is not None for version in range(1, head.version + 1)]
        assert all(known[-log.limits.recent_ids or len(known) :])
        assert head.recent_id(0) is head.recent_id(head.version + 1) is None


# ---- how much is read --------------------------------------------------------------------------------------------------


@examples(40)
@given(logs())
def test_nothing_is_loaded_for_what_lies_in_the_head(log: ModelLog) -> None:
    """Exactly no round of loading as long as the items wanted were added, inline, by events in the head."""
    wanted = 0
    for born in reversed(log.births[-1]):
        if born.far or born.version < in_head(log):
            break
        wanted += 1
    for need in (0, wanted // 2, wanted):
        assert log.read(log.version, need).loaded == []


@examples(40)
@given(logs(rewinds=False), st.integers(0, 12) | st.just(ALL))
def test_without_rewinds_only_what_is_wanted_is_loaded_at_once(log: ModelLog, need: int) -> None:
    """
    Reading the newest version of a log without rewinds takes one round below the head.

    And one more for each level of index nodes, and for events that lie elsewhere; every value loaded holds a wanted item.
    """
    read = log.read(log.version, need)
    assert read.items == newest(log.versions[-1], need)
    wanted = newest(log.births[-1], need)
    far = any(born.far for born in wanted)
    assert len(read.loaded) <= levels(log.head) + far
    for want in (want for together in read.loaded for want in together):
        if isinstance(want, Ref):
            assert any(want.first <= born.version <= want.last for born in wanted)
        else:
            assert any(born.far and log.head.version >= born.version for born in wanted)
    if levels(log.head) == 1 and not far and any(born.version < in_head(log) for born in wanted):
        assert len(read.loaded) == 1


@examples(40)
@given(logs(), st.integers(0, 12) | st.just(ALL))
def test_rounds_are_bounded_by_the_rewinds_gone_through(log: ModelLog, need: int) -> None:
    """
    Whatever was done, each round reads something new, and there are not many.

    At most as many as the index has levels, two more for a version inside an unread value and for events that lie elsewhere,
    and one for each wrong guess: a rewind gone through.
    """
    rewinds = sum(base is not None for base in log.bases)
    for version in range(log.version + 1):
        read = log.read(version, need)
        names = [want.name for together in read.loaded for want in together]
        assert len(names) == len(set(names))
        assert len(read.loaded) <= levels(log.head) + 2 + rewinds


@pytest.mark.parametrize("need", [10, 100, ALL])
def test_rounds_stay_few_with_one_rewind_in_twenty(need: int) -> None:
    """A cold read of thousands of events with an undo now and then takes a handful of rounds, not one for each undo."""
    small = Limits(tail_bytes=1500, carried_bytes=1500, index_segments=8, index_nodes=8)
    plain = [Op("add", (20,))] * 19
    log = ModelLog(small).run([op for number in range(150) for op in (*plain, Op("undo", pick=number % 7 + 1))])
    assert len(log.head.index) > 8
    for version in (log.version, *range(1, log.version, 97)):
        read = log.read(version, need)
        assert read.items == newest(log.versions[version], need)
        assert len(read.loaded) <= 6


# ---- when --------------------------------------------------------------------------------------------------------------


@examples(40)
@given(logs(), st.lists(st.integers(-5, 80), max_size=10))
def test_version_at_a_time_is_the_last_committed_by_then(log: ModelLog, offsets: Sequence[int]) -> None:
    """Commit times never run backwards, whatever the clock does; of several events of one moment the last one counts."""
    assert all(one <= two for one, two in pairwise(log.times))
    for time in (*log.times, *(START + offset for offset in offsets)):
        assert log.find(time) == bisect_right(log.times, time)


# ---- the head ----------------------------------------------------------------------------------------------------------


@examples(30)
@given(logs())
def test_heads_come_back_to_the_letter(log: ModelLog) -> None:
    """`Head.of` of a head's bytes is the same head: it makes the same bytes again, and the index has no gap."""
    for head in log.heads:
        value = head.to_bytes()
        again = Head.of(value, limit=LIMIT)
        assert again.to_bytes() == value
        assert Head.of(value, limit=LIMIT, known=head.carried).carried is head.carried or head.carried is None
        firsts = [ref.first for ref in again.index] + [again.carried.run.first if again.carried else again.tail.first]
        assert firsts == [1, *(ref.last + 1 for ref in again.index)]
        assert (again.version, again.length) == (head.version, head.length)
    assert log.head.length == len(log.versions[-1])


@pytest.mark.parametrize(("size", "traced"), [(20, True), (330, False), (330, True), (1500, True), (4096, True)])
def test_head_does_not_grow_with_the_history(size: int, *, traced: bool) -> None:
    """In 3,000 appends of incompressible items a head is never larger than 32 KiB, whatever their size and trace ids."""
    log = ModelLog(extensions=TRACE if traced else {})
    largest = 0
    for number in range(3000):
        log.do(Op("add", (size - 20,), wait=1_000_003 * (number % 5)))
        log.seal()
        largest = max(largest, len(log.head.to_bytes()))
    assert largest <= 32 << 10
    if size <= 1500:  # a tail of larger ones may alone be more than a head carries
        assert all(ref.size <= log.limits.carried_bytes for ref in log.head.index if ref.level == 0)


@examples(30)
@given(logs())
def test_head_is_bounded_by_its_limits(log: ModelLog) -> None:
    """A level of the index holds fewer references than its bound, the tail and the carried run what the limits say."""
    limits = log.limits
    for head in log.heads:
        for level in range(levels(head)):
            bound = limits.index_nodes if level else limits.index_segments
            assert sum(ref.level == level for ref in head.index) < bound
        assert [ref.level for ref in head.index] == sorted((ref.level for ref in head.index), reverse=True)
        assert len(head.carried.frame if head.carried else b"") <= limits.carried_bytes
        assert len(head.tail) == 0 or (head.tail.weight() <= limits.tail_bytes and len(head.tail) <= limits.tail_events)
        carried = len(head.carried.run) if head.carried else 0
        assert len(head.recent) <= max(0, limits.recent_ids - carried) * ID_LENGTH
