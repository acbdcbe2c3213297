"""The algebra of histories: its two laws, and that naive lists agree."""

from hypothesis import given
from hypothesis import strategies as st
from model import examples

from eventlog_session.core.algebra import UNIT, Summary, summarise

small = st.integers(0, 6)
summaries = st.builds(Summary, st.none() | small, small, small)


@examples(80)
@given(summaries, summaries, summaries)
def test_then_is_associative(one: Summary, two: Summary, three: Summary) -> None:
    """However a run is cut into parts, the parts' summaries make the same whole."""
    assert one.then(two).then(three) == one.then(two.then(three))


@examples(100)
@given(summaries)
def test_unit_changes_nothing(one: Summary) -> None:
    """The summary of no events is the unit of `then`, on both sides."""
    assert UNIT.then(one) == one == one.then(UNIT)
    assert summarise(1, []) == UNIT


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[list[int]], list[Summary]]:
    """Return every version's items, from version 0 on, and the step that made each from version 1 on."""
    versions: list[list[int]] = [[]]
    steps: list[Summary] = []
    for version in range(1, draw(st.integers(1, 25)) + 1):
        base = draw(st.none() | st.integers(0, version - 1))
        before = versions[-1 if base is None else base]
        pops = draw(st.integers(0, len(before)))
        adds = draw(st.integers(0, 3))
        steps.append(Summary(base, pops, adds))
        versions.append(before[: len(before) - pops] + [version * 10 + place for place in range(adds)])
    return versions, steps


@examples(150)
@given(histories(), st.data())
def test_summary_does_what_its_run_does(history: tuple[list[list[int]], list[Summary]], data: st.DataObject) -> None:
    """
    Any run's summary gives the length and the kept prefix after the run from the history before it.

    Rewinds go before the run, to its very beginning, inside it, and through clears.
    """
    versions, steps = history
    first = data.draw(st.integers(1, len(steps)), "first")
    last = data.draw(st.integers(first, len(steps)), "last")
    base, pops, adds = summarise(first, steps[first - 1 : last])
    assert base is None or base < first - 1, "a base inside the run is resolved through the run itself"
    before = versions[first - 1 if base is None else base]
    kept = len(before) - pops
    assert kept >= 0
    assert len(versions[last]) == kept + adds
    assert versions[last][:kept] == before[:kept]


@examples(80)
@given(histories(), st.data())
def test_runs_compose(history: tuple[list[list[int]], list[Summary]], data: st.DataObject) -> None:
    """Two runs' summaries compose to that of both wherever the second does not go back into the first."""
    _, steps = history
    cut = data.draw(st.integers(0, len(steps)), "cut")
    one, two = summarise(1, steps[:cut]), summarise(cut + 1, steps[cut:])
    if two.base is None:
        assert one.then(two) == summarise(1, steps)


@examples(60)
@given(histories())
def test_summary_counts_only_what_the_run_itself_added(history: tuple[list[list[int]], list[Summary]]) -> None:
    """What a summary says the run adds was added by events of the run: those items can be cut from it."""
    versions, steps = history
    for first in range(1, len(steps) + 1):
        adds = summarise(first, steps[first - 1 :]).adds
        assert all(item >= first * 10 for item in versions[-1][len(versions[-1]) - adds :])
