"""The checker of `make chaos` can fail: a record that doesn't fit the log is found out, each lie as what it is."""

import json
from collections import Counter
from collections.abc import Callable

import orjson
import pytest
from chaos.checker import VIOLATIONS, Verdict, check_dapr, check_log
from chaos.items import digest, item
from chaos.record import ACKNOWLEDGED, BROKE, NOT_WRITTEN, UNKNOWN, Operation
from chaos.report import Report
from chaos.scenarios import Result
from chaos.trials import Crowd, Expiry

from eventlog_session.log import EventLog
from eventlog_session.stores.memory import MemoryStore

Lie = Callable[[list[Operation]], object]


def said(number: int, kind: str, **told: object) -> Operation:
    """Return an acknowledged call that went on from one second to the next."""
    return Operation("log0", number, kind, begin=number, end=number + 0.5, outcome=ACKNOWLEDGED, **told)  # type: ignore[arg-type]


async def history() -> tuple[EventLog, list[Operation]]:
    """Return a log of six versions, and what its only writer would have been told."""
    log = EventLog(MemoryStore(), "checked")

    async def add(*names: str) -> None:
        await log.add(orjson.dumps([item(name) for name in names]), len(names))

    await add("e0", "e1")
    await add("e2")
    await log.pop()
    await add("e3")
    await log.clear()
    await add("e4")
    return log, [
        said(0, "add", names=["e0", "e1"], version=1),
        said(1, "add", names=["e2"], version=2),
        said(2, "read", version=2, read=digest(["e0", "e1", "e2"])),
        said(3, "pop", version=3, popped="e2"),
        said(4, "read", version=2, at=2, read=digest(["e0", "e1", "e2"])),
        said(5, "add", names=["e3"], version=4),
        said(6, "clear", version=5),
        said(7, "pop"),
        said(8, "read", read=digest([])),
        said(9, "add", names=["e4"]),
    ]


async def judged(lie: Lie) -> Verdict:
    """Return the verdict on the true record once *lie* has changed it."""
    log, operations = await history()
    lie(operations)
    return await check_log(log, operations, set())


def change(number: int, **told: object) -> Lie:
    """Return a lie about one call."""

    def lie(operations: list[Operation]) -> None:
        for name, value in told.items():
            setattr(operations[number], name, value)

    return lie


async def test_the_truth_is_sound() -> None:
    """A record that fits is found to fit, and everything in it is counted."""
    verdict = await judged(lambda _: None)
    assert verdict.sound, verdict.findings
    assert (verdict.operations, verdict.acknowledged, verdict.reads) == (7, 7, 3)
    assert (verdict.versions, verdict.read_again) == (6, 7)


LIES: dict[str, tuple[Lie, str]] = {
    "an add that never was": (lambda told: told.append(said(10, "add", names=["e5"], version=7)), "lost"),
    "a pop that never was": (lambda told: told.append(said(10, "pop", popped="e4", version=7)), "lost"),
    "a pop of what was not popped": (lambda told: told.append(said(10, "pop", popped="e4")), "lost"),
    "one pop for two": (lambda told: told.append(said(3, "pop", popped="e2", version=3)), "doubled"),
    "an add not written": (change(1, outcome=NOT_WRITTEN, version=None), "phantoms"),
    "a pop not written": (change(3, outcome=NOT_WRITTEN, version=None), "phantoms"),
    "a clear not written": (change(6, outcome=NOT_WRITTEN, version=None), "phantoms"),
    "unknown, of another event": (change(1, outcome=UNKNOWN, version=None, event_ids=["another"]), "phantoms"),
    "an error that nobody knows": (change(1, outcome=BROKE, error="KeyError", version=None), "broke"),
    "half a batch": (change(0, names=["e0"]), "misread"),
    "an add at another version": (change(1, version=1), "misread"),
    "a pop of another item": (change(3, popped="e1"), "misread"),
    "a read of less": (change(2, read=digest(["e0", "e1"])), "misread"),
    "a past that reads otherwise": (change(4, read=digest([])), "misread"),
    "a read of what never was": (change(8, read=digest(["e9"])), "misread"),
    "an add that began too late": (change(0, begin=1.7, end=1.8), "disordered"),
    "a read of the past": (change(2, version=1, read=digest(["e0", "e1"])), "disordered"),
    "a read of the future": (change(2, begin=0.1, end=0.2), "disordered"),
    "a pop that found nothing too early": (change(7, begin=1.7, end=1.8), "disordered"),
    "an empty read too early": (change(8, begin=1.7, end=1.8), "disordered"),
}


@pytest.mark.parametrize(("lie", "fault"), LIES.values(), ids=LIES)
async def test_a_lie_is_found_out(lie: Lie, fault: str) -> None:
    """Each way in which an answer can be wrong is counted as what it is."""
    verdict = await judged(lie)
    assert getattr(verdict, fault) > 0, verdict
    assert not verdict.sound


async def test_unknown_is_resolved() -> None:
    """What was said to be unknown is sound whether it is there or not, and counted where it is."""
    log, operations = await history()
    ids = [event.id async for _, _, event in log.events()]
    change(1, outcome=UNKNOWN, version=None, event_ids=[ids[1]])(operations)
    change(3, outcome=UNKNOWN, version=None, popped=None, event_ids=[ids[2]])(operations)
    operations.append(Operation("log0", 10, "add", 10, ["e5"], end=11, event_ids=["never-landed"]))
    verdict = await check_log(log, operations, set())
    assert verdict.sound, verdict.findings
    assert (verdict.unknown, verdict.unknown_written) == (3, 2)


async def test_a_killed_writer_may_have_written() -> None:
    """A call that never ended is unknown if its writer was killed; of one that was not, nobody may find a pop."""
    log, operations = await history()
    change(3, outcome=UNKNOWN, version=None, popped=None, end=None)(operations)
    killed = await check_log(log, operations, {"log0"})
    assert killed.sound, killed.findings
    assert (await check_log(log, operations, set())).phantoms == 1


async def test_a_double_is_counted() -> None:
    """One item in two events is doubled, whoever was told what."""
    log, operations = await history()
    await log.add(orjson.dumps([item("e4")]), 1)
    verdict = await check_log(log, operations, set())
    assert verdict.doubled == 1


async def test_an_item_that_changed_is_found() -> None:
    """An item is known by all of its content, not only by its name."""
    log = EventLog(MemoryStore(), "checked")
    await log.add(orjson.dumps([{**item("e0"), "content": item("e0")["content"] + "0"}]), 1)
    verdict = await check_log(log, [said(0, "add", names=["e0"], version=1)], set())
    assert verdict.misread
    assert verdict.lost


def test_a_dapr_session_is_counted_alike() -> None:
    """Of final items and pops: what is missing is lost, beyond what raised pops may have taken; what is there twice doubled."""
    operations = [
        said(0, "add", names=["d0", "d1"]),
        said(1, "add", names=["d2"]),
        said(2, "pop", popped="d2"),
        Operation("log0", 3, "add", 3, ["d3"], end=4, outcome=BROKE, error="DaprGrpcError: gone"),
    ]
    verdict = check_dapr([item("d0"), item("d3"), item("d2")], operations)
    assert {name: getattr(verdict, name) for name in VIOLATIONS if getattr(verdict, name)} == {
        "lost": 1,
        "doubled": 1,
        "phantoms": 1,
    }
    operations.append(Operation("log0", 4, "pop", 5, end=6, outcome=BROKE, error="DaprGrpcError: gone"))
    assert check_dapr([item("d0"), item("d2")], operations).lost == 0


async def test_a_report_tells_all() -> None:
    """The report is sound if its log is, whatever a `DaprSession` did; it is JSON, and a table with a row for each session."""
    theirs = check_dapr([], [said(0, "add", names=["d0"])])
    for lie, sound in ((change(0), True), (change(1, outcome=NOT_WRITTEN, version=None), False)):
        result = Result(
            "cuts, redis", Counter({"reply lost, client": 3, "daprd killed": 1}), [await judged(lie), theirs], 1.0, 7
        )
        report = Report(
            7,
            [result],
            {"redis": [theirs]},
            [Crowd("redis", 2, 3, theirs, 2.0)],
            [Expiry("redis", "held", "acknowledged", (), 0)],
        )
        found = json.loads(report.to_json())
        assert found["sound"] is report.sound is sound
        assert found["results"][0]["faults"] == {"reply lost, client": 3, "daprd killed": 1}
        assert "| cuts, redis | DaprSession | 1 | 1 | 0 |" in report.to_markdown()
        assert "| 3 / 0 |" in report.to_markdown()


@pytest.mark.parametrize(
    ("history", "way", "successors", "sound"),
    [
        (("new0", "late"), "held, 1 successor", 1, True),
        ((), "held", 0, True),
        ((), "slept", 0, False),
        (("new0",), "held, 1 successor", 1, False),
        (("late",), "held, 1 successor", 1, False),
        (("old0", "late"), "held", 0, False),
        (("late", "new0"), "held, 1 successor", 1, False),
    ],
)
def test_an_expiry_is_judged(history: tuple[str, ...], way: str, successors: int, sound: bool) -> None:
    """An expired session must not come back, nor its successor's items go; an add held until it expired may go with it."""
    assert Expiry("redis", way, ACKNOWLEDGED, history, successors).sound is sound
