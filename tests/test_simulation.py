"""
The promise of the commit protocol, under everything that can go wrong at once, thousands of times over.

``EVENTLOG_SCHEDULES=40000`` runs as many; `make simulate` does it by hand. That the simulation finds what it is there to find
is checked by `test_mutants`, that its judge can say no by the tests below.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from simulation.campaign import campaign, report
from simulation.history import Call, Violated
from simulation.judge import check
from simulation.ledger import Epoch
from simulation.left import Log
from simulation.loop import Stuck, VirtualLoop
from simulation.schedule import PROFILES, run

from eventlog_session.core.events import (
    ADDED,
    CLEARED,
    NO_VERSION,
    POPPED,
    REDONE,
    REPLACED,
    REWOUND,
    TAG,
    TAG_VERSION,
    TAGGED,
    TRIMMED,
    TRIMMED_BEFORE,
    UNDONE,
    Event,
)
from eventlog_session.errors import (
    BeingErased,
    Conflict,
    ForkDetected,
    HistoryTrimmed,
    IdempotencyKeyReused,
    NoSuchPoint,
    OutcomeUnknown,
    SessionExists,
    TooManyTags,
)
from eventlog_session.revising import Moved

SCHEDULES = max(2500, int(os.environ.get("EVENTLOG_SCHEDULES", "0")))
"""Fewer would not have everything happen that can."""


def test_what_was_acknowledged_is_there_once(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Two to eight processes on each kind of store: every fault, cancelled calls, crashes, outages, failovers.

    Acknowledged is in the log once, as the answer says; "not written" is not in it; unknown is at most once; what was read
    reads the same for ever; the order is that of real time. The faults and outcomes that make this worth something occurred.
    """
    summary = campaign(PROFILES, range(SCHEDULES // len(PROFILES)))
    with capsys.disabled():
        sys.stdout.write(f"\n{summary}\n")
    assert not summary.wrong, "\n\n".join(report(result) for result in summary.wrong[:3])
    assert summary.schedules.total() == SCHEDULES // len(PROFILES) * len(PROFILES)
    expected = {
        "unreachable", "dropped request", "lost reply", "late write", "done twice", "torn write", "false success",
        "holes in a bulk read", "stale bulk read", "torn transaction", "lost race reported as success", "crashed process",
        "cancelled call", "outage", "deadline passed", "failover that forgot", "creation wrote over a head",
    }  # fmt: skip
    assert expected <= {fault for fault, number in summary.faults.items() if number}
    for profile in PROFILES:
        counts = summary.counts[profile]
        for fate in ("acknowledged", "not written", "unknown: written", "unknown: absent", "cancelled: absent"):
            assert counts[fate], f"{profile}: nothing was {fate}"
        for kind in (
            "key: repeated", "key: reused", "expected: acknowledged", "trim: done", "verify", "erase", "resolve: absent",
            "undo: done", "redo: done", "undo: lost", "replace: done", "replace: lost", "pop newest: done", "tag: done",
            "untag: done", "restore", "restore: exists",
        ):  # fmt: skip
            assert counts[kind], f"{profile}: {kind} never was"
        fates = ("acknowledged", "nothing to do", "not written", "unknown", "cancelled", "never heard of")
        assert counts["acknowledged"] > sum(counts[fate] for fate in fates) / 3


@pytest.mark.parametrize("profile", PROFILES)
def test_a_seed_is_a_schedule(profile: str) -> None:
    """The same seed twice gives the same trace to the letter; another seed another one."""
    traces = [run(profile, seed, traced=True).trace for seed in (11, 12, 13, 11, 12, 13)]
    assert traces[:3] == traces[3:]
    assert all(len(trace) > 10 for trace in traces)
    assert traces[0] != traces[1]


def test_a_seed_is_the_same_schedule_in_any_process() -> None:
    """Nothing hangs on the hash seed or on where objects lie: what CI finds can be seen again."""
    command = [sys.executable, "-P", "-m", "simulation", "--profile", "redis", "--seed", "4"]
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    traces = [
        subprocess.run(
            command, env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert traces[0] == traces[1]
    assert len(traces[0].splitlines()) > 20


# ---- the judge -----------------------------------------------------------------------------------------------------------

A, B = ({"name": "a"}, False), ({"name": "b"}, True)


def _log() -> Log:
    """A log of six versions: a added, b added, one popped, cleared, gone back to version 2, trimmed before that."""
    events = [
        Event("id-1", ADDED, 0, count=1),
        Event("id-2", ADDED, 0, count=1),
        Event("id-3", POPPED, 0, pops=1),
        Event("id-4", CLEARED, 0, base=0),
        Event("id-5", REWOUND, 0, base=2),
        Event("id-6", TRIMMED, 0, extensions={TRIMMED_BEFORE: "2"}),
    ]
    return Log([None, "x-1", "x-2", "y-1", "x-3", "y-2", "x-4"], events, [[], [A], [A, B], [A], [], [A, B], [A, B]])


def _calls() -> dict[str, Call]:
    """What was called and answered to get there, one call after the other; and reads."""
    calls = [
        Call("x", "add", "x-1", 1, items=[A], ended=2, version=1),
        Call("x", "add", "x-2", 3, items=[B], key="x-2", ended=4, version=2),
        Call("y", "pop", "y-1", 5, ended=6, version=3, found=[B]),
        Call("x", "clear", "x-3", 7, ended=8, version=4),
        Call("y", "pop", "empty", 9, ended=10),
        Call("y", "rewind", "y-2", 11, target=2, ended=12, version=5),
        Call("y", "read", "now", 13, ended=14, version=5, found=[A, B]),
        Call("y", "read", "past", 15, target=3, need=1, ended=16, version=3, found=[A]),
        Call("x", "add", "refused", 17, items=[A], ended=18, error=Conflict("lost")),
        Call("x", "add", "unheard", 19, items=[A]),
        Call("x", "trim", "x-4", 20, target=2, ended=21, version=6),
        Call("y", "add", "again", 22, items=[B], key="x-2", ended=23, version=2),
        Call("y", "add", "reused", 24, items=[A], key="x-2", other=True, ended=25, error=IdempotencyKeyReused("other")),
        Call("y", "pop", "late", 26, expected=5, ended=27, error=Conflict("at 6")),
        Call("y", "resolve", "lost", 28, doubt=OutcomeUnknown("?", event_ids=("id-9",)), ended=29),
        Call("y", "resolve", "stood", 30, doubt=OutcomeUnknown("?", event_ids=("id-2",)), ended=31, version=2),
        Call("x", "verify", "sound", 32, ended=33, version=6),
        Call(
            "x",
            "walk",
            "walked",
            34,
            ended=35,
            version=6,
            found=[(name, False) for name in ("x-2", "y-1", "x-3", "y-2", "x-4")],
        ),
        Call("x", "read", "given up", 36, target=1, ended=37, error=HistoryTrimmed("from 2")),
    ]
    return {call.name: call for call in calls}


def _judge(calls: dict[str, Call], log: Log, **how: bool) -> None:
    sent = {"id-1": 1, "id-2": 3, "id-3": 5, "id-4": 7, "id-5": 11, "id-6": 20}
    check(list(calls.values()), [log], sent, left=[], **{"forgot": False, **how}, alive={"x", "y"})


def test_the_judge_accepts_what_is_right() -> None:
    """Else the tests below would show nothing."""
    _judge(_calls(), _log())


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("x-1", {"version": 2}, "acknowledged as 2, and in the log at 1"),
        ("refused", {"error": None, "version": 5}, "acknowledged, and not in the log"),
        ("x-1", {"items": [B]}, "other items"),
        ("x-3", {"kind": "add"}, "another event"),
        ("y-2", {"target": 3}, "another event"),
        ("y-1", {"found": [A]}, "popped something else"),
        ("x-2", {"error": Conflict("lost")}, "said to be not written"),
        ("x-2", {"error": OutcomeUnknown("?", event_ids=("id-9",))}, "its id is not in the error"),
        ("empty", {"began": 13, "ended": 14}, "something to do all the time"),
        ("now", {"found": [A]}, "read otherwise"),
        ("now", {"found": [A, (B[0], False)]}, "read otherwise"),
        ("now", {"version": 4, "found": []}, "read the past"),
        ("now", {"began": 9, "ended": 10}, "before what had ended"),
        ("past", {"version": 1}, "another version"),
        ("y-2", {"began": 1, "ended": 2}, "before what had ended"),
        ("y-2", {"began": 9, "ended": 10, "error": asyncio.CancelledError()}, "sent after"),
        ("refused", {"error": ForkDetected("fork")}, "the store never forgot"),
        ("again", {"version": 7}, "acknowledged as 7, and in the log at 2"),
        ("again", {"key": None}, "acknowledged, and not in the log"),
        ("again", {"error": IdempotencyKeyReused("other")}, "the key never came with other items"),
        ("again", {"began": 0, "ended": 2}, "acknowledged before it was sent"),
        ("x-2", {"expected": 0}, "expected to follow 0"),
        ("late", {"expected": 6}, "stood at what was expected all the time"),
        ("lost", {"doubt": OutcomeUnknown("?", event_ids=("id-2",))}, "said not to be written, and in the log"),
        ("stood", {"version": 3}, "said to be written, and not there"),
        ("sound", {"found": [("some key", True)]}, "nothing was ever amiss"),
        ("x-4", {"target": 3}, "another event"),
        ("walked", {"found": [("y-2", False), ("x-4", False)]}, "began at 5"),
        ("given up", {"target": 2}, "it was not trimmed"),
        ("given up", {"error": None, "version": 1, "found": [A]}, "read what had been trimmed"),
        ("refused", {"error": BeingErased("wait")}, "nobody was erasing it"),
        ("sound", {"kind": "erase"}, "there was something to erase"),
    ],
)
def test_the_judge_says_no(name: str, change: dict[str, object], said: str) -> None:
    """One thing is not as it should be, and that is what it says."""
    calls = _calls()
    calls[name] = replace(calls[name], **change)  # type: ignore[arg-type]
    with pytest.raises(Violated, match=said):
        _judge(calls, _log())


C = ({"name": "c"}, False)


def _revised() -> Log:
    """A log of eleven versions: a and b restored, a tag, one replaced, that undone and redone, both undone, and so on."""
    events = [
        Event("id-1", ADDED, 0, count=1),
        Event("id-2", ADDED, 0, count=1),
        Event("id-3", TAGGED, 0, extensions={TAG: "t"}),
        Event("id-4", REPLACED, 0, pops=1, count=1),
        Event("id-5", UNDONE, 0, base=2),
        Event("id-6", REDONE, 0, base=4),
        Event("id-7", UNDONE, 0, base=1),
        Event("id-8", REDONE, 0, base=2),
        Event("id-9", POPPED, 0, pops=2),
        Event("id-10", TAGGED, 0, extensions={TAG: "t", TAG_VERSION: NO_VERSION}),
        Event("id-11", TAGGED, 0, extensions={TAG: "u", TAG_VERSION: "4"}),
    ]
    names = [None, "x-1", "x-1", "y-1", "y-2", "x-2", "x-3", "y-3", "y-4", "y-5", "x-4", "x-5"]
    states = [[], [A], [A, B], [A, B], [A, C], [A, B], [A, C], [A], [A, B], [], [], []]
    return Log(names, events, states)


def _revising() -> dict[str, Call]:
    """What was called and answered to get there, and what was refused or had nothing to do on the way."""
    calls = [
        Call("x", "restore", "x-1", 1, items=[A, B], ended=2, version=2),
        Call("y", "tag", "y-1", 3, tag="t", ended=4, version=3, tagged=2, done=True),
        Call("y", "replace", "y-2", 5, items=[C], ended=6, version=4, found=[B], expected=3),
        Call("x", "undo", "x-2", 7, ended=8, version=5, moved=Moved(5, 2, (4,))),
        Call("x", "redo", "x-3", 9, ended=10, version=6, moved=Moved(6, 4, (4,))),
        Call("y", "undo", "y-3", 11, number=2, ended=12, version=7, moved=Moved(7, 1, (4, 2))),
        Call("y", "redo", "y-4", 13, ended=14, version=8, moved=Moved(8, 2, (2,))),
        Call("y", "pop newest", "y-5", 15, number=5, ended=16, version=9, found=[A, B]),
        Call("y", "redo", "nothing", 17, ended=18),
        Call("y", "undo", "too many", 19, number=4, ended=20),
        Call("x", "pop", "few", 21, number=1, ended=22),
        Call("x", "untag", "x-4", 23, tag="t", ended=24, done=True),
        Call("x", "tag", "x-5", 25, tag="u", target=4, ended=26, tagged=4, done=True),
        Call("y", "untag", "untagged", 27, tag="t", ended=28),
        Call("y", "tag", "full", 29, tag="v", ended=30, error=TooManyTags("2")),
        Call("y", "read", "by tag", 31, tag="u", ended=32, version=4, found=[A, C]),
        Call("y", "read", "by no tag", 33, tag="t", ended=34, error=NoSuchPoint("no tag")),
        Call("y", "restore", "exists", 35, items=[A], ended=36, error=SessionExists("one")),
        Call("x", "undo", "lost", 5, ended=6, error=Conflict("at 4")),
    ]
    return {call.name: call for call in calls}


def _judge_revising(calls: dict[str, Call], log: Log, *also: Call) -> None:
    sent = {f"id-{version}": calls[name].began for version, name in enumerate(log.names) if name in calls}
    check([*calls.values(), *also], [log], sent, left=[], forgot=False, alive={"x", "y"}, room=1)


def test_the_judge_accepts_what_was_revised() -> None:
    """Else the tests below would show nothing."""
    _judge_revising(_revising(), _revised())


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("x-2", {"number": 2}, "did something else"),
        ("x-2", {"moved": Moved(5, 3, (4,))}, "and said that it did"),
        ("x-3", {"moved": Moved(6, 4, (5,))}, "and said that it did"),
        ("y-3", {"number": 1}, "did something else"),
        ("y-4", {"number": 3}, "there was nothing to redo"),
        ("x-3", {"kind": "undo"}, "another event"),
        ("nothing", {"kind": "undo"}, "something to do all the time"),
        ("too many", {"number": 2}, "something to do all the time"),
        ("too many", {"error": HistoryTrimmed("from 2")}, "it was not trimmed"),
        ("lost", {"began": 19, "ended": 20}, "nobody else was first"),
        ("y-2", {"found": [C]}, "replaced something else"),
        ("y-2", {"expected": 2}, "expected to follow 2"),
        ("y-2", {"number": -1}, "another event"),
        ("y-2", {"items": [B]}, "other items"),
        ("y-5", {"number": 1}, "another event"),
        ("y-5", {"kind": "pop"}, "another event"),
        ("y-5", {"found": [B]}, "popped something else"),
        ("few", {"kind": "undo"}, "something to do all the time"),
        ("y-1", {"tagged": 3}, "said to tag 3"),
        ("y-1", {"tag": "u"}, "another event"),
        ("x-5", {"target": None}, "another event"),
        ("x-5", {"began": 35, "ended": 36, "tagged": 3}, "said to tag 3"),
        ("x-4", {"done": False}, "said to be nothing to do"),
        ("untagged", {"tag": "u"}, "something to do all the time"),
        ("untagged", {"done": True}, "acknowledged, and not in the log"),
        ("full", {"tag": "u"}, "there was room"),
        ("full", {"began": 1, "ended": 2}, "there was room"),
        ("by tag", {"tag": "t"}, "never was for the version"),
        ("by tag", {"version": 3, "found": [A, B]}, "never was for the version"),
        ("by tag", {"error": HistoryTrimmed("from 5")}, "can be read all the time"),
        ("by no tag", {"tag": "u"}, "can be read all the time"),
        ("x-1", {"items": [A, C]}, "restored something else"),
        ("x-1", {"version": 1}, "restored as version 1"),
        ("x-1", {"error": SessionExists("one")}, "said to be not written, and in the log"),
        ("exists", {"error": None, "version": 1}, "acknowledged, and not in the log"),
        ("exists", {"began": 0, "ended": 1}, "there was no session"),
    ],
)
def test_the_judge_says_no_to_what_was_revised(name: str, change: dict[str, object], said: str) -> None:
    """One thing is not as it should be, and that is what it says."""
    calls = _revising()
    calls[name] = replace(calls[name], **change)  # type: ignore[arg-type]
    with pytest.raises(Violated, match=said):
        _judge_revising(calls, _revised())


def test_a_log_is_restored_once_and_as_a_whole() -> None:
    """By one of those who have the same file; and none of it stands by itself."""
    calls, log = _revising(), _revised()
    doubtful = Call("y", "restore", "doubtful", 3, items=[A, B], key="x-1", error=OutcomeUnknown("?"), ended=6)
    _judge_revising(calls, log, doubtful)
    with pytest.raises(Violated, match="another has restored it, too"):
        _judge_revising(calls, log, Call("y", "restore", "also", 1, items=[A, B], key="x-1", version=2, ended=6))
    with pytest.raises(Violated, match="restored in part"):
        _judge_revising({**calls, "x-1": replace(calls["x-1"], items=[A, B, C])}, log)


def test_a_tag_is_what_was_tagged_last() -> None:
    """As the events say, one after the other."""
    assert [dict(tags) for tags in _revised().tags] == [{}] * 3 + [{"t": 2}] * 7 + [{}, {"u": 4}]
    with pytest.raises(Violated, match="more than 0 tags"):
        check(list(_revising().values()), [_revised()], {f"id-{one}": 0 for one in range(12)}, left=[], forgot=False,
              alive={"x", "y"}, room=0)  # fmt: skip


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["x-1", "x-2", "y-1", "x-3", "x-1", "x-4"], "in the log twice"),
        (["x-1", "x-2", "y-1", "x-3", "again", "x-4"], "in the log twice"),
        (["x-1", "x-2", "y-1", "x-3", "nobody", "x-4"], "never called"),
    ],
)
def test_nothing_is_in_the_log_twice_or_from_nowhere(names: list[str], said: str) -> None:
    """An event is one call's, and a call has one event."""
    log = _log()
    with pytest.raises(Violated, match=said):
        _judge(_calls(), replace(log, names=[None, *names]))


def test_who_knew_is_told() -> None:
    """A store that forgot may lose what was acknowledged, if everybody who knew was told of it afterwards."""
    calls, log = _calls(), _log()
    lost = Call("x", "add", "x-9", 1, items=[A], ended=2, version=9)
    with pytest.raises(Violated, match="acknowledged, and not in the log"):
        _judge({**calls, "gone": lost}, log, forgot=True)
    told = Call("x", "read", "told", 20, ended=21, error=ForkDetected("fork"))
    _judge({**calls, "gone": lost, "told": told}, log, forgot=True)
    other = Call("y", "read", "told", 20, ended=21, error=ForkDetected("fork"))
    with pytest.raises(Violated, match="acknowledged, and not in the log"):
        _judge({**calls, "gone": lost, "told": other}, log, forgot=True)


def test_what_was_erased_is_another_log() -> None:
    """What was called before is in the one, what was called after in the other, and nothing of the one is seen again."""
    calls, old = _calls(), _log()
    old.until = 40
    new = replace(Log.of([]), epoch=Epoch(since=40, erased=42))
    after = [Call("y", "erase", "erased", 39, ended=43), Call("x", "read", "nothing", 44, ended=45, version=0)]
    how: dict[str, Any] = {"left": [], "forgot": False, "alive": {"x", "y"}}
    sent = {f"id-{number}": call.began for number, call in enumerate([calls[name] for name in old.names[1:] if name], 1)}
    check([*calls.values(), *after], [old, new], sent, **how)
    seen = Call("x", "read", "seen", 46, ended=47, version=6, found=[A, B])
    with pytest.raises(Violated, match="read otherwise"):
        check([*calls.values(), *after, seen], [old, new], sent, **how)
    undone = replace(new, epoch=Epoch(since=40, erased=None))
    with pytest.raises(Violated, match="the erasure was not done"):
        check([*calls.values(), *after], [old, undone], sent, **how)


async def _wait_for_nobody() -> None:
    await asyncio.get_running_loop().create_future()


async def _wait_for_ever() -> None:
    for _ in iter(int, 1):
        await asyncio.sleep(0)


@pytest.mark.parametrize("wait", [_wait_for_nobody, _wait_for_ever])
def test_a_schedule_that_never_ends_is_found(
    wait: Callable[[], Coroutine[Any, Any, None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether all wait for each other or somebody is busy for ever."""
    monkeypatch.setattr("simulation.loop.STEPS", 1000)
    with pytest.raises(Stuck), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(wait())
