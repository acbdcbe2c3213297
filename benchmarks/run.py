"""
Measures EventLogSession against the Agents SDK's DaprSession, on real stores behind one real daprd: `make bench`.

Implementations take turns operation by operation, in an order that alternates from round to round, so that whatever else the
machine does meets them alike. Times depend on the machine; their ratio is what is measured. Some sizes are measured with
DaprSession against itself, to show what the method makes of no difference. Writes ``results/full.json``, or ``quick.json``.
"""

import argparse
import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import agent_runs
import crowds
import growth
import many
import matrix
import memory
import past
import processes
import reference
import rest
from cells import where
from dapr.conf import settings
from facts import machine
from figures import Cell
from report import interval, write
from rig import Rig
from scope import FULL, QUICK, STORES, Scope

Part = Callable[[Rig, Scope], AsyncIterator[Cell]]


def on_each(measure: Callable[[Rig, str], AsyncIterator[Cell]]) -> Part:
    """Return a part that is measured on one store after the other."""

    async def part(rig: Rig, scope: Scope) -> AsyncIterator[Cell]:
        for store in scope.stores:
            async for cell in measure(rig, store):
                yield cell

    return part


PARTS: Mapping[str, Part] = {
    "matrix": matrix.measure,
    "items": matrix.measure_items,
    "runs": agent_runs.measure,
    "reference": reference.measure,
    "process": processes.measure,
    "crowd": on_each(crowds.measure),
    "many": on_each(many.measure),
    "rest": on_each(rest.measure),
    "past": on_each(past.measure),
    "growth": on_each(growth.measure),
    "memory": on_each(memory.measure),  # after growth, whose log of a million events it reads
}
"""Every part by its name, in the order in which they run."""


async def cells(part: Part, rig: Rig, scope: Scope) -> list[Cell]:
    """Return the cells of a part, and tell of each as it is there."""
    found = []
    begun = perf_counter()
    async for cell in part(rig, scope):
        found.append(cell)
        print(f"{perf_counter() - begun:5.0f} s  {where(cell)}  {interval(cell)}", file=sys.stderr, flush=True)
    return found


def run(scope: Scope) -> dict[str, Any]:
    """Measure all parts of *scope*; return the report."""
    begun, load = perf_counter(), os.getloadavg()[0]
    found: list[Cell] = []
    # the stores' programs are told among the facts, whichever are measured
    with tempfile.TemporaryDirectory() as directory, Rig(Path(directory), STORES) as rig:
        os.environ["DAPR_HTTP_PORT"] = str(rig.http_port)  # for the SDK's health check, child processes' too
        vars(settings)["DAPR_HTTP_PORT"] = rig.http_port
        for name in scope.parts:
            found += asyncio.run(cells(PARTS[name], rig, scope))
        return {"machine": machine(rig, load), "seconds": perf_counter() - begun, "cells": found}


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number.replace("_", "")) for number in text.split(","))


def arguments() -> tuple[Scope, str]:
    """Return what is to be measured, and the name of the results."""
    parser = argparse.ArgumentParser(description="EventLogSession against DaprSession, through the same daprd.")
    parser.add_argument("--quick", action="store_true", help="the core only, in three minutes")
    parser.add_argument("--only", type=_names, metavar="PART,PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--stores", type=_names, metavar="STORE,STORE", help=f"of {', '.join(STORES)}")
    parser.add_argument("--sizes", type=_numbers, metavar="N,N", help="items of a history")
    parser.add_argument("--results", metavar="NAME", help="of the files in benchmarks/results/ (default: full or quick)")
    options = parser.parse_args()
    scope = QUICK if options.quick else replace(FULL, parts=tuple(PARTS))
    chosen = {"parts": options.only, "stores": options.stores, "sizes": options.sizes}
    for name, known in (("parts", PARTS), ("stores", STORES)):
        if unknown := set(chosen[name] or ()) - set(known):
            parser.error(f"unknown {name}: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if any(chosen.values()) and not options.results:
        parser.error("a part of the whole needs --results NAME, so that it does not replace the whole's")
    scope = replace(scope, **{name: value for name, value in chosen.items() if value})
    return scope, options.results or ("quick" if options.quick else "full")


def main() -> None:
    """Run the benchmark and write its results."""
    scope, name = arguments()
    # DaprSession warns of each collision over its metadata, which is no failure: hundreds of lines in a crowd
    logging.getLogger("openai.agents").setLevel(logging.ERROR)
    report = run(scope)
    print(write(report, name))
    print(f"{len(report['cells'])} cells in {report['seconds']:.0f} s; kept in benchmarks/results/{name}.*")


if __name__ == "__main__":
    main()
