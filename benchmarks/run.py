"""
Measures EventLogSession against the Agents SDK's DaprSession, on real stores behind one real daprd: `make bench-quick`.

Implementations take turns operation by operation, in an order that alternates from round to round, so that whatever else the
machine does meets them alike. Times depend on the machine; their ratio is what is measured. One size is measured with
DaprSession against itself, to show what the method makes of no difference. Writes ``results/quick.json``, ``quick.md`` and
the README's table.
"""

import argparse
import asyncio
import gc
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, median
from time import perf_counter
from typing import Any
from uuid import uuid4

from cases import CASES, ITEM_BYTES, Case, expect, message
from dapr.conf import settings
from meter import PAUSE, Sample
from readme import splice
from rig import Rig, daprd
from subjects import Dapr, EventLog, Subject

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Scope:
    """How much is measured. *control* is the size at which DaprSession also meets itself; *seconds* may end a case's rounds."""

    stores: tuple[str, ...]
    sizes: tuple[int, ...]
    control: int
    rounds: int
    seconds: float


QUICK = Scope(("redis", "postgresql"), (0, 100, 1_000, 5_000), control=1_000, rounds=50, seconds=5.5)
Samples = dict[tuple[str, str, int], list[Sample]]  # by operation, role and size, one of each round


async def measure(scope: Scope, address: str, store: str) -> Samples:
    """Return the samples of every operation on one store."""
    kinds: Mapping[str, type[Subject]] = {"base": Dapr, "ours": EventLog, "control": Dapr}
    subjects = {role: await kind.connected(address, store) for role, kind in kinds.items()}
    gc.collect()
    gc.freeze()  # the imported modules: a collection while measuring meets sessions only
    samples: Samples = {}
    for size in scope.sizes:
        begun = perf_counter()
        chosen = {role: subject for role, subject in subjects.items() if role != "control" or size == scope.control}
        history = [message(number) for number in range(size)]
        for role, subject in chosen.items():
            if history:
                await subject.seed(f"{role}-{size}", history)
        for case in CASES:
            await _alternate(scope, case, chosen, history, samples)
        print(f"{store}, n={size}: {perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    await asyncio.gather(*(subject.close() for subject in subjects.values()))
    return samples


async def _alternate(scope: Scope, case: Case, subjects: Mapping[str, Subject], history: list[Any], samples: Samples) -> None:
    """Measure one case at one size."""
    size = len(history)
    kept = {role: subject.session(f"{role}-{size}", cached=True) for role, subject in subjects.items()}
    order = list(subjects)
    give_up = perf_counter() + scope.seconds
    for number in range(scope.rounds + 1):
        if number > 10 and perf_counter() > give_up:
            break
        order.reverse()
        for role in order:
            session = kept[role]
            if not case.cached or not history:
                session_id = f"{role}-{size}" if history else uuid4().hex
                session = subjects[role].session(session_id, cached=case.cached)
            subjects[role].meter.taken.clear()
            gc.collect()
            await case.run(session, history, subjects[role].meter.timed)
            if not history:
                expect(history, await session.get_items())
            for operation, sample in subjects[role].meter.taken if number else ():  # the first round warms up
                samples.setdefault((operation, role, size), []).append(sample)
    for role, subject in subjects.items():
        expect(history, await subject.session(f"{role}-{size}", cached=False).get_items())


def compare(samples: Samples, other: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each operation and size that the role *other* has, against the role "base"."""
    for operation in (name for case in CASES for name in case.operations):
        for size in sorted(size for name, role, size in samples if (name, role) == (operation, other)):
            base, ours = samples[operation, "base", size], samples[operation, other, size]
            ratios = sorted(one.seconds / two.seconds for one, two in zip(base, ours, strict=True))
            skip = outside(len(ratios))
            verdict = "faster" if ratios[skip] > 1 else "slower" if ratios[-1 - skip] < 1 else "undecided"
            ratio = {"ratio": median(ratios), "low": ratios[skip], "high": ratios[-1 - skip], "verdict": verdict}
            yield {
                "operation": operation,
                "n": size,
                "rounds": len(ratios),
                **ratio,
                "base": _summary(base),
                "ours": _summary(ours),
            }


def outside(count: int) -> int:
    """Return how many of *count* sorted values lie on either side of the 95 % interval of their median (order statistics)."""
    return bisect([sum(math.comb(count, k) for k in range(below + 1)) for below in range(count)], 0.025 * 2**count) - 1


def _summary(samples: Sequence[Sample]) -> dict[str, float]:
    columns = dict(zip(Sample._fields, zip(*samples, strict=True), strict=True))
    return {"p50_ms": median(columns.pop("seconds")) * 1e3, **{name: fmean(values) for name, values in columns.items()}}


NOTES = f"""\
Items of {ITEM_BYTES} bytes; n is the history's length. Times are medians, with the meter in place for both. **ratio** is the
median over rounds of DaprSession's time by eventlog's, with its 95 % interval: above 1 eventlog is faster. It is bold where the
interval does not hold 1, win or loss. Trips are remote calls that waited for one another; kB are those of messages to and from
the sidecar before the operation returned; behind is what eventlog sends and receives afterwards (means).

*Cold* is a new session object with nothing cached on a connection that is open, *warm* the same object again. *add 1* and
*pop*: on an object that knows the session, {PAUSE * 1e3:.0f} ms after the last operation; at n=0 on a new session.
"""
_COLUMNS = ("operation", "n", "DaprSession ms", "{} ms", "ratio", "trips", "kB out", "kB in", "behind: kB out, in")


def _markdown(report: Mapping[str, Any]) -> str:
    parts = ["# EventLogSession against DaprSession, through the same daprd\n", NOTES]
    for store, tables in report["stores"].items():
        found = [row["verdict"] for row in tables["rows"]]
        counted = ", ".join(f"{found.count(verdict)} {verdict}" for verdict in ("faster", "slower", "undecided"))
        parts += [f"## {store}\n\neventlog is, in {len(found)} rows: {counted}.\n", _table(tables["rows"], "eventlog")]
        parts += ["DaprSession against itself, which shows the noise:\n", _table(tables["control"], "again")]
    return "\n".join([*parts, "## Where and when\n", *(f"- {name}: {fact}" for name, fact in report["machine"].items()), ""])


def _table(table: Sequence[Mapping[str, Any]], other: str) -> str:
    lines = [f"| {' | '.join(_COLUMNS)} |".format(other), "|---|" + "--:|" * (len(_COLUMNS) - 1)]
    for row in table:
        base, ours = row["base"], row["ours"]
        bold = "" if row["verdict"] == "undecided" else "**"
        cells = [row["operation"], f"{row['n']:,}", f"{base['p50_ms']:.2f}", f"{ours['p50_ms']:.2f}"]
        ratio = f"{bold}{row['ratio']:.2f}{bold} [{row['low']:.2f}, {row['high']:.2f}]"
        cells += [ratio, f"{base['trips']:.3g} / {ours['trips']:.3g}"]
        cells += [f"{base[name] / 1e3:,.1f} / {ours[name] / 1e3:,.1f}" for name in ("bytes_out", "bytes_in")]
        cells.append(f"{ours['behind_out'] / 1e3:.1f}, {ours['behind_in'] / 1e3:.1f}" if ours["behind_out"] else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def machine(rig: Rig, load: float) -> dict[str, str]:
    """Return what the figures depend on, without the machine's name or paths. *load* is that before they were taken."""
    git = shutil.which("git") or "true"  # which says nothing, as git does outside a repository
    programs = {"daprd": str(daprd()), "redis": rig.redis.command()[0], "postgresql": rig.postgres.command()[0]}
    packages = ("eventlog-session", "openai-agents", "dapr", "grpcio", "orjson")
    return {
        "command": " ".join(["benchmarks/run.py", *sys.argv[1:]]),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": _said(git, "-C", str(RESULTS.parents[1]), "describe", "--always", "--dirty=, with changes") or "unknown",
        "cores": str(os.cpu_count()),
        "load average before and after": f"{load:.1f}, {os.getloadavg()[0]:.1f}",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in packages),
        **{name: _said(program, "--version") for name, program in programs.items()},
    }


def _said(*command: str) -> str:
    return " ".join(subprocess.run(command, capture_output=True, text=True, check=False).stdout.split())


def main() -> None:
    """Run the benchmark and write its results."""
    parser = argparse.ArgumentParser(description="EventLogSession against DaprSession, through the same daprd.")
    parser.add_argument("--quick", dest="scope", action="store_const", const=QUICK, required=True, help="in three minutes")
    scope: Scope = parser.parse_args().scope
    begun, load = perf_counter(), os.getloadavg()[0]
    stores = {}
    with tempfile.TemporaryDirectory() as directory, Rig(Path(directory), scope.stores) as rig:
        vars(settings)["DAPR_HTTP_PORT"] = rig.http_port  # where the SDK's client looks for the sidecar's health
        for store in scope.stores:
            samples = asyncio.run(measure(scope, rig.address, store))
            stores[store] = {"rows": list(compare(samples, "ours")), "control": list(compare(samples, "control"))}
        report = {"machine": machine(rig, load), "item_bytes": ITEM_BYTES, "stores": stores}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "quick.json").write_text(json.dumps(report, indent=1) + "\n")
    (RESULTS / "quick.md").write_text(text := _markdown(report))
    splice("bench-quick", text.split("\n", 2)[2].replace("\n## ", "\n### "))  # its headings two levels down
    print(f"{text}\n{perf_counter() - begun:.0f} s in all; kept in benchmarks/results/")


if __name__ == "__main__":
    main()
