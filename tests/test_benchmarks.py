"""What is made of the benchmark's cells: verdicts on the targets, Markdown, plots, the README's parts. All from made cells."""

import asyncio
import gc
import json
import math
from pathlib import Path
from time import process_time
from typing import Any

import plots
import profile_hot
import pytest
import readme
import report
from cells import multiple, ratio, share, verdict
from figures import outside
from replay import Recorder
from rig import Rig
from sampler import Samples, sampled
from scope import SIZES
from targets import REASONS, TARGETS, Row, targets

from eventlog_session.core import items as codec

MACHINE = {"date": "2026-01-01", "commit": "abc", "cores": "2", "system": "Linux", "daprd": "1.18"}


def cell(part: str, operation: str, n: int, *, store: str = "redis", **more: Any) -> dict[str, Any]:
    """Return a cell in which nothing was measured yet."""
    return {
        "part": part, "store": store, "operation": operation, "n": n, "items": "330 B", "rounds": 9,
        "subjects": {}, "ratios": {}, **more,
    }  # fmt: skip


def raced(part: str, operation: str, n: int, ours: float, floor: float = 10.0, **more: Any) -> dict[str, Any]:
    """Return a cell in which we are *ours* times and the floor *floor* times as fast as DaprSession, within 2 %."""
    times = {"DaprSession": 10.0, "eventlog": 10 / ours, "floor": 10 / floor}
    made = cell(part, operation, n, **more)
    made["subjects"] = {
        name: {"p50_ms": ms, "p95_ms": 2 * ms, "p99_ms": 3 * ms, "spread_ms": [0.9 * ms, 1.1 * ms], "trips": 1}
        for name, ms in times.items()
    }
    made["ratios"] = {
        name: {"ratio": times["DaprSession"] / times[name], "low": 9.8 / times[name], "high": 10.2 / times[name]}
        for name in ("eventlog", "floor")
    }
    return made


def counted(part: str, operation: str, n: int, ours: dict[str, Any], base: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a cell in which something was counted; rates have a ratio."""
    made = cell(part, operation, n, **more)
    made["subjects"] = {"DaprSession": base, "eventlog": ours}
    if "per_second" in ours:
        times = ours["per_second"] / base["per_second"]
        made["ratios"] = {"eventlog": {"ratio": times, "low": times, "high": times}}
    return made


def found(rows: list[Row], target: str, store: str = "redis") -> list[Row]:
    """Return the rows of the one target whose text begins so."""
    (text,) = {row.target for row in rows if row.target.startswith(target)}
    return [row for row in rows if (row.target, row.store) == (text, store)]


# ---- a cell ------------------------------------------------------------------------------------------------------------


def test_the_share_of_the_ceiling() -> None:
    """Of how many times as fast as DaprSession the floor is, how many times we are; by times alone where it fails."""
    one = raced("matrix", "pop", 10, ours=4, floor=5)
    assert share(one) == pytest.approx(0.8)
    assert multiple(one) == pytest.approx(1.25)
    one["subjects"]["DaprSession"] = {"failed": "AioRpcError: too large", "times": 3}
    one["ratios"] = {}
    assert ratio(one) is None
    assert share(one) == pytest.approx(0.8)


@pytest.mark.parametrize(("ours", "said"), [(1.5, "faster"), (0.5, "slower"), (1.01, "undecided"), (0.99, "undecided")])
def test_a_verdict_needs_an_interval_that_excludes_1(ours: float, said: str) -> None:
    """Else it is undecided; and so it is shown, in bold only where it is not."""
    one = raced("matrix", "pop", 10, ours=ours)
    assert verdict(one) == said
    assert report.interval(one).startswith("**") == (said != "undecided")


def test_an_interval_of_the_median() -> None:
    """The narrowest pair of ordered values that holds it in 95 % of cases; with fewer than six values, all of them."""
    for count in range(1, 120):
        below = [math.comb(count, k) / 2**count for k in range(count + 1)]  # so likely it is that k values are below it
        skip = outside(count)
        assert skip == 0 or sum(below[:skip]) + sum(below[-skip:]) <= 0.05
        assert count < 6 or sum(below[: skip + 1]) * 2 <= 0.05
        assert sum(below[: skip + 2]) * 2 > 0.05
    assert [outside(count) for count in (3, 6, 10, 50)] == [0, 0, 1, 17]


# ---- targets -----------------------------------------------------------------------------------------------------------

HIT_AND_MISSED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "add: at least 85": (raced("matrix", "add, spaced", 10, 8.6), raced("matrix", "add, spaced", 10, 8.4)),
    "pop": (raced("matrix", "pop", 5_000, 8.6), raced("matrix", "pop", 5_000, 8.4)),
    "limit=10: at least": (raced("matrix", "get 10, warm", 0, 8.6), raced("matrix", "get 10, cold", 0, 8.4)),
    "get all, warm": (raced("matrix", "get all, warm", 100, 7.6), raced("matrix", "get all, warm", 100, 7.4)),
    "get all, cold: never": (raced("matrix", "get all, cold", 10, 0.96), raced("matrix", "get all, cold", 10, 0.94)),
    "get all, cold: at least 1.4": (raced("matrix", "get all, cold", 1_000, 1.5), raced("matrix", "get all, cold", 1_000, 1.3)),
    "get all, cold: at least 2.5": (raced("matrix", "get all, cold", 5_000, 2.6), raced("matrix", "get all, cold", 5_000, 2.4)),
    "run with 3": (
        raced("runs", "run, 3 tools, session time", 0, 8.6),
        raced("runs", "run, 3 tools, session time", 0, 8.4),
    ),
    "bytes written": (
        counted("rest", "bytes written, added one by one", 1_000, {"written_bytes": 1}, {"written_bytes": 61}, items="2 kB"),
        counted("rest", "bytes written, added one by one", 1_000, {"written_bytes": 1}, {"written_bytes": 59}, items="2 kB"),
    ),
    "bytes at rest": (
        counted("rest", "bytes at rest", 5_000, {"rest_bytes": 59}, {"rest_bytes": 100}),
        counted("rest", "bytes at rest", 5_000, {"rest_bytes": 61}, {"rest_bytes": 100}),
    ),
    "32 sessions": (
        counted("crowd", "adds, writers in one process", 32, {"per_second": 21}, {"per_second": 1}),
        counted("crowd", "adds, writers in one process", 32, {"per_second": 19}, {"per_second": 1}),
    ),
    "8 and 32 processes on one conversation: at least 0.95": (
        counted("crowd", "adds, a process for each writer", 8, {"per_second": 96}, {"per_second": 100}),
        counted("crowd", "adds, a process for each writer", 32, {"per_second": 94}, {"per_second": 100}),
    ),
    "8 and 32 processes on one conversation: at least 100": (
        counted("crowd", "adds, a process for each writer", 8, {"acknowledged": 1.0}, {"acknowledged": 0.4}),
        counted("crowd", "adds, a process for each writer", 8, {"acknowledged": 0.999}, {"acknowledged": 1.0}),
    ),
    "1,000 sessions": (
        counted("many", "runs, 3 tools, 1,000 at once", 0, {"per_second": 31}, {"per_second": 10}),
        counted("many", "session calls of runs, 3 tools, 1,000 at once", 100, {"per_second": 29}, {"per_second": 10}),
    ),
    "head": (
        cell("growth", "add", 1_000_000, subjects={"eventlog": {"head_bytes": 32 << 10}}),
        cell("growth", "add", 1_000_000, subjects={"eventlog": {"head_bytes": (32 << 10) + 1}}),
    ),
    "limit=10: at most": (
        cell("memory", "get 10", 1_000_000, subjects={"eventlog": {"memory_mb": 49}}),
        cell("memory", "get 10", 1_000_000, subjects={"eventlog": {"memory_mb": 51}}),
    ),
}
"""A cell that meets each target and one that misses it."""


@pytest.mark.parametrize("target", HIT_AND_MISSED)
def test_a_target_is_met_or_missed(target: str) -> None:
    """By the cells it speaks of; on other stores, and at other sizes, it is not measured."""
    for one, met in zip(HIT_AND_MISSED[target], (True, False), strict=True):
        rows = targets([one])
        assert [row.met for row in found(rows, target) if row.met is not None] == [met]
        assert {row.met for row in found(rows, target, "sqlite")} <= {None}


def test_every_target_is_tried() -> None:
    """Each in the table above or below."""
    below = {"embedded: no slower"}
    assert all(sum(one.text.startswith(target) for target in [*HIT_AND_MISSED, *below]) == 1 for one in TARGETS)


def test_the_embedded_store_is_no_slower() -> None:
    """Only where the interval excludes 1 is it; the noise is no miss."""
    for high, met in ((1.01, True), (0.99, False)):
        one = cell("reference", "add, spaced", 10, store="embedded")
        one["subjects"] = {"SQLiteSession": {"p50_ms": 1.0}, "eventlog embedded": {"p50_ms": 1.02}}
        one["ratios"] = {"eventlog embedded": {"ratio": 0.98, "low": 0.97, "high": high}}
        assert [row.met for row in found(targets([one]), "embedded", "embedded")] == [met]


def test_an_add_at_a_million_events() -> None:
    """Within 1.2x of one at ten."""
    for times, met in ((1.1, True), (1.3, False)):
        grown = [
            cell("growth", "add, spaced", 10, subjects={"eventlog": {"p50_ms": 2.0}}),
            cell("growth", "add, spaced", 1_000_000, subjects={"eventlog": {"p50_ms": 2.0 * times}}),
        ]
        (row,) = found(targets(grown), "add: p50")
        assert row.met == met
        assert row.measured == pytest.approx(times)
        assert [row.met for row in found(targets(grown[:1]), "add: p50")] == [None]


def test_no_cell_anywhere_below() -> None:
    """Each one that is, is listed, of whatever part; and one in which we fail and DaprSession does not."""
    good = raced("items", "pop", 100, 1.0)
    (row,) = found(targets([good]), "no cell")
    assert (row.met, row.measured) == (True, 1.0)
    bad = [raced("items", "pop", 100, 0.94), raced("runs", "run, 10 tools", 10, 0.5)]
    failed = raced("matrix", "get all, cold", 20_000, 2)
    failed["subjects"]["eventlog"] = {"failed": "Unavailable: no answer", "times": 2}
    failed["ratios"] = {}
    rows = found(targets([good, *bad, failed]), "no cell")
    assert [row.met for row in rows] == [False] * 3
    assert "run, 10 tools" in rows[1].operation
    assert rows[2].why == "Unavailable: no answer"


def test_who_can_is_ahead_of_who_cant() -> None:
    """Where DaprSession fails there is no ratio, but no loss either; where we fail, the target is missed."""
    one = raced("matrix", "get all, cold", 20_000, 2)
    one["subjects"]["DaprSession"] = {"failed": "AioRpcError: too large", "times": 3}
    one["ratios"] = {}
    (row,) = [row for row in found(targets([one]), "get all, cold: never") if row.n == 20_000]
    assert (row.met, row.measured, row.why) == (True, None, "DaprSession failed: AioRpcError: too large")
    one["subjects"]["eventlog"] = {"failed": "Unavailable", "times": 3}
    (row,) = [row for row in found(targets([one]), "get all, cold: never") if row.n == 20_000]
    assert row.met is False


def test_nothing_measured_is_nothing_met() -> None:
    """And nothing missed."""
    assert {row.met for row in targets([])} == {None}
    assert {row.n for row in found(targets([]), "pop")} == set(SIZES)


# ---- report ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def made() -> dict[str, Any]:
    """A small report with a bit of everything: wins, losses, failures, a state, rates, a reference, noise."""
    cells = [pair[which] for pair in HIT_AND_MISSED.values() for which in (0, 1)]
    cells += [raced("matrix", operation, n, 2 + n / 100) for operation in plots.OPERATIONS for n in (0, 20_000)]
    cells.append(raced("matrix", "get all, cold", 0, 0.5, state="emptied"))
    failed = raced("matrix", "add, spaced", 20_000, 9)
    failed["subjects"]["DaprSession"] = {"failed": "AioRpcError: message larger than max", "times": 7}
    failed["ratios"] = {}
    again = raced("matrix", "pop", 10, 2)
    again["subjects"]["again"] = {"p50_ms": 10.1}
    again["ratios"]["again"] = {"ratio": 0.99, "low": 0.95, "high": 1.03}
    reference = cell("reference", "add, spaced", 10, store="embedded")
    reference["subjects"] = {
        "SQLiteSession": {"p50_ms": 1.0},
        "eventlog embedded": {"p50_ms": 0.5},
        "RedisSession": {"p50_ms": 3.0},
    }
    reference["ratios"] = {"eventlog embedded": {"ratio": 2.0, "low": 1.9, "high": 2.1}}
    crowd = counted("crowd", "adds, writers in one process", 8, {"per_second": 90}, {"per_second": 3, "errors": {"Boom": 4}})
    return {"machine": MACHINE, "seconds": 60.0, "cells": [*cells, failed, again, reference, crowd]}


def test_losses_and_failures_stand_at_the_top(made: dict[str, Any]) -> None:
    """Counted, named, and told in words."""
    text = report.markdown(made, "full")
    top = text[: text.index("## redis")]
    slower = sum(verdict(one) == "slower" for one in made["cells"])
    assert f"{slower} slower" in top.splitlines()[2]
    assert "- matrix, redis: get all, cold, n=0 (emptied): **0.50** [0.49, 0.51]\n" in top
    failure = "- DaprSession: AioRpcError: message larger than max\n  - matrix, redis: add, spaced, n=20,000 (7 times)\n"
    assert failure in top
    assert "| get all, cold: never below 0.95x | **missed** in" in top
    assert "DaprSession: 4 x Boom" in text


def test_a_table_shows_what_there_is(made: dict[str, Any]) -> None:
    """A column in which nothing stands is left out; every part has its section, and every cell its row."""
    text = report.markdown(made, "full")
    (row,) = [line for line in text.splitlines() if line.startswith("| get all, cold | 0 (emptied) | 10.00")]
    assert row.split(" | ")[6:10] == ["**0.50** [0.49, 0.51]", "10.00", "5%", "20.00"]
    assert "| add, spaced | 20,000 | failed | 1.11 | 1.00 |" in text
    header, _, row = report.table([one for one in made["cells"] if one["part"] == "reference"]).splitlines()
    assert header == "| operation | n | SQLiteSession ms | eventlog embedded ms | RedisSession ms | ratio |"
    assert row == "| add, spaced | 10 | 1.00 | 0.50 | 3.00 | **2.00** [1.90, 2.10] |"
    assert all(f"## {report.TITLES[part]}\n" in text for part in {one["part"] for one in made["cells"]} - {"matrix"})
    assert "no sidecar" in report.TITLES["reference"]
    assert "| redis | pop | 10 | 10.00 | 10.10 | 0.99 [0.95, 1.03] |" in text


def test_what_is_written_is_the_same_each_time(made: dict[str, Any], tmp_path: Path) -> None:
    """JSON, Markdown and every plot that the Markdown shows; to the byte."""
    kept = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        text = report.write(made, "full", folder)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        shown = {"full-redis.svg", "full-crowd.svg", "full-written.svg"}
        assert files.keys() == {"full.json", "full.md"} | shown
        assert all(f"]({name})" in text for name in shown)
        kept.append(files)
    assert kept[0] == kept[1]
    assert json.loads(kept[0]["full.json"]) == made
    assert max(map(len, kept[0].values())) < 200_000


def test_the_readmes_parts(made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ratios by length, losses among them; targets; plots; how to reproduce. Put in only where there are marks."""
    report.write(made, "full", tmp_path)
    monkeypatch.setattr(readme, "RESULTS", tmp_path)
    text = readme.full()
    assert "| redis, n = | 0 | 0 (emptied) | 10 | 100 | 1,000 | 5,000 | 20,000 |" in text
    assert "**0.50**" in text
    assert "DaprSession failed" in text
    assert "![Time by length of history on redis](benchmarks/results/full-redis.svg)" in text
    assert "`make bench` (1 min; this was 2026-01-01, commit abc" in text
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n")
    monkeypatch.setattr(readme, "README", page)
    readme.main()
    assert page.read_text() == f"before\n<!-- bench -->\n{text}<!-- /bench -->\nafter\n"


# ---- profile -----------------------------------------------------------------------------------------------------------


class Stub:
    """A stub whose calls take a turn."""

    async def call(self, request: int) -> int:
        """Return the request."""
        await asyncio.sleep(0)
        return request


async def test_what_is_recorded_goes_in_waves() -> None:
    """Calls made together are of one wave; who waited for one is of the next."""
    recorder = Recorder(Stub())
    await recorder.call(1)
    await asyncio.gather(recorder.call(2), recorder.call(3))
    await recorder.call(4)
    assert [(one.request, one.wave, one.reply) for one in recorder.calls] == [(1, 1, 1), (2, 2, 2), (3, 2, 3), (4, 3, 4)]


def test_samples_name_who_is_at_work() -> None:
    """By package and function; what C does is its caller's."""
    samples = Samples()
    gc.disable()  # what Hypothesis does at each collection would be most of it after other tests
    try:
        with sampled(samples):
            end = process_time() + 0.3
            while process_time() < end:
                codec.encode([{"role": "user", "content": "hello"}] * 5_000)
    finally:
        gc.enable()
    (package, _), *_ = samples.packages.most_common(1)
    (function, _), *_ = samples.functions.most_common(1)
    assert (package, function) == ("eventlog_session", "eventlog_session/core/items.py: encode")
    assert samples.cpu >= 0.3


@pytest.mark.daprd
async def test_the_profile_names_every_stage(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """In small, so that it does not fall behind the code that it times; its figures mean nothing here."""
    for name, value in {"SIZE": 300, "ADDS": 4, "GETS": 4, "BLOCKS": 2, "SAMPLED": 0.1}.items():
        monkeypatch.setattr(profile_hot, name, value)
    profiles = await profile_hot.measure(rig)
    text = profile_hot.markdown(profiles, MACHINE)
    assert "## One warm add\n\nCalls: ExecuteStateTransaction (" in text
    assert "## One cold get of 300 items\n\nCalls: GetState (" in text
    assert [sum(1 for stage in one.stages) for one in profiles] == [7, 8]
    assert all(time > 0 for one in profiles for stage, time in one.stages.items() if "carries" not in stage)


def test_reasons_are_for_targets_that_there_are() -> None:
    """Else a target was renamed and its reason is never shown."""
    assert REASONS.keys() <= {target.text for target in TARGETS}
