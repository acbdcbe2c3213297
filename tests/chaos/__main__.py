"""Chaos by hand: `PYTHONPATH=tests python -m chaos` runs everything and writes `benchmarks/results/chaos.*`."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from rig import COMPONENTS

from .report import REPOSITORY, Report, machine, summary
from .scenarios import SCENARIOS, run_scenario
from .stage import Stage
from .trials import create_together, crowd, expire

ASIDE = 8.0
"""Seconds of a scenario's time that go into starting its writers, letting them end, and reading everything again."""


async def run(seconds: float, seed: int, only: str) -> Report:
    """Run the trials, then every scenario for an even share of what is left of *seconds*."""
    began, load = time.monotonic(), os.getloadavg()[0]
    report = Report(seed)

    def say(words: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {words}", flush=True)

    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        directory = Path(temporary)
        async with Stage(directory / "rig") as stage:
            if not only:
                await _trials(stage, directory, report, say)
            chosen = [scenario for scenario in SCENARIOS if only in scenario.title]
            for number, scenario in enumerate(chosen):
                share = (began + seconds - time.monotonic()) / (len(chosen) - number)
                result = await run_scenario(stage, scenario, directory, max(2.0, share - ASIDE), seed)
                report.results.append(result)
                say(summary(result.title, result.faults, result.verdicts))
            report.machine = machine(stage.rig, load)
    report.machine["seed"] = str(seed)
    report.machine["seconds"] = f"{time.monotonic() - began:.0f}"
    return report


async def _trials(stage: Stage, directory: Path, report: Report, say: Callable[[str], None]) -> None:
    for component in COMPONENTS:
        report.created[component] = await create_together(stage, component, directory, 100)
        say(summary(f"created by two at once, {component}", Counter(), report.created[component]))
    for store in ("redis", "postgresql"):
        for one in await crowd(stage, store, directory, 32, 50):
            report.crowds.append(one)
            say(summary(f"{one.writers} writers, {store}", Counter(), [one.verdict]) + f", {one.rate:.0f} adds/s")
    for store in ("redis", "postgresql"):
        found = await expire(stage, store)
        report.expiries += found
        say(f"{f'expired under its writer, {store}':38} {sum(one.sound for one in found)} of {len(found)} ways are sound")


def main() -> int:
    """Run, print the tables, write them; the exit status."""
    parser = argparse.ArgumentParser("python -m chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--only", default="", help="scenarios whose title holds this; nothing is written then")
    options = parser.parse_args()
    print(f"chaos for {options.seconds:g} s, seed {options.seed}", flush=True)
    report = asyncio.run(run(options.seconds, options.seed, options.only))
    print("\n" + report.to_markdown())
    if not options.only:
        results = REPOSITORY / "benchmarks" / "results"
        (results / "chaos.json").write_text(report.to_json())
        (results / "chaos.md").write_text(report.to_markdown())
    print("sound: nothing lost, doubled or misread" if report.sound else "NOT sound: see the tables")
    return 0 if report.sound else 1


if __name__ == "__main__":
    sys.exit(main())
