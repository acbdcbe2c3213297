"""What a run found, as tables for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rig import Rig, daprd

from .checker import VIOLATIONS, Verdict
from .faults import Kind
from .scenarios import Result
from .trials import Crowd, Expiry

REPOSITORY = Path(__file__).resolve().parents[2]

_HEAD = """# Real faults, on a real daprd with real Redis and PostgreSQL

Seven processes work on two sessions of one store through two sidecars: five on an event log (one of them as an
`EventLogSession`), two on a `DaprSession` beside it, under the same faults. Afterwards, with all faults off, a fresh reader
compares what they were told with what is there.

- **lost**: acknowledged, and not there. Of a `DaprSession` a lower bound: each pop that raised may have taken one
- **doubled**: there more often than once
- **phantoms**: raised as not written, and there. A `DaprSession` raises without saying either: what raised and is there will be
  doubled by whoever calls again
- **misread**: reads, at the time or now, that differ from what the changes up to their version make
- **disordered**: saw or made a version that time forbids
- **broke**: errors that no fault explains

*Unknown* are calls that said so, or whose process was killed; in brackets, how many of them are in the log.
"""

_EXPIRY = """The writer sleeps past the expiry, or its commit is held that long on the way to daprd; meanwhile a new session
of the same id has come to some commits.
"""


@dataclass(slots=True)
class Report:
    """Everything that a run found."""

    seed: int
    results: list[Result] = field(default_factory=list)
    created: dict[str, list[Verdict]] = field(default_factory=dict)
    crowds: list[Crowd] = field(default_factory=list)
    expiries: list[Expiry] = field(default_factory=list)
    machine: dict[str, str] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        """Whether the event log kept everything promised, in every scenario and trial."""
        verdicts = [*(result.verdicts for result in self.results), *self.created.values(), [one.verdict for one in self.crowds]]
        ours = [one for some in verdicts for one in some if one.subject == "eventlog"]
        return all(one.sound for one in ours) and all(one.sound for one in self.expiries)

    def to_json(self) -> str:
        """Return it for programs."""
        found: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        return json.dumps({**found, "sound": self.sound}, indent=1, default=_plain) + "\n"

    def to_markdown(self) -> str:
        """Return it for people."""
        parts = [_HEAD, "## Under faults\n", _verdicts((result.title, result.verdicts) for result in self.results)]
        parts += ["Faults injected, between writers and daprd / between daprd and the store:\n", _faults(self.results)]
        if self.created:
            parts += ["## Two processes create one session at the same moment\n", _verdicts(self.created.items())]
        if self.crowds:
            parts += ["## Many processes add to one session, half of them through a second sidecar\n", _crowds(self.crowds)]
        if self.expiries:
            parts += [
                "## A session that expires under its writer\n",
                _EXPIRY,
                _expiries(self.expiries),
            ]
        found = [
            words for result in self.results for one in result.verdicts if one.subject == "eventlog" for words in one.findings
        ]
        parts += ["## Found\n", *(f"- {words}\n" for words in found)] if found else []
        return "\n".join([*parts, "## Where and when\n", *(f"- {name}: {fact}" for name, fact in self.machine.items()), ""])


def row(title: str, verdict: Verdict) -> list[str]:
    """Return one row of the table."""
    unknown = f"{verdict.unknown} ({verdict.unknown_written})" if verdict.unknown else "0"
    counts = [verdict.operations, verdict.acknowledged, verdict.not_written, unknown, verdict.reads, verdict.versions or ""]
    broken = [getattr(verdict, name) for name in VIOLATIONS]
    return [title, verdict.subject, *map(str, counts), *(f"**{count}**" if count else "0" for count in broken)]


def _verdicts(found: Iterable[tuple[str, Sequence[Verdict]]]) -> str:
    columns = ["", "session", "operations", "acknowledged", "not written", "unknown", "reads", "versions", *VIOLATIONS]
    return _table(columns, [row(title, verdict) for title, verdicts in found for verdict in verdicts])


def _faults(results: Sequence[Result]) -> str:
    cuts = [kind.value for kind in Kind]
    strikes = sorted({name for result in results for name in result.faults if "," not in name})
    rows = []
    for result in results:
        both = [f"{result.faults[f'{kind}, client']} / {result.faults[f'{kind}, store']}" for kind in cuts]
        rows.append([result.title, *("" if cell == "0 / 0" else cell for cell in both)])
        rows[-1] += [str(result.faults[name] or "") for name in strikes]
    return _table(["", *cuts, *strikes], rows)


def _crowds(crowds: Sequence[Crowd]) -> str:
    columns = ["store", "session", "processes", "adds each", "acknowledged", "adds/s", "lost", "doubled", "phantoms"]
    rows = []
    for one in crowds:
        verdict = one.verdict
        cells = [one.writers, one.adds, f"{verdict.acknowledged / verdict.operations:.1%}", f"{one.rate:.0f}"]
        rows.append([one.store, verdict.subject, *map(str, [*cells, verdict.lost, verdict.doubled, verdict.phantoms])])
    return _table(columns, rows)


def _expiries(expiries: Sequence[Expiry]) -> str:
    rows = [
        [one.store, one.way, one.told, "**yes**" if one.revived else "no", f"**{one.lost}**" if one.lost else "0"]
        for one in expiries
    ]
    return _table(["store", "writer", "its add", "old session revived", "acknowledged adds lost"], rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def machine(rig: Rig, load: float) -> dict[str, str]:
    """Return what the run depended on, without the machine's name or paths. *load* is that before it."""
    programs: Mapping[str, str] = {
        "daprd": str(daprd()),
        "redis": rig.redis.command()[0],
        "postgresql": rig.postgres.command()[0],
    }
    packages = ("eventlog-session", "openai-agents", "dapr", "grpcio")
    git = shutil.which("git") or "true"
    return {
        "command": " ".join(["python -m chaos", *sys.argv[1:]]),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": _said(git, "-C", str(REPOSITORY), "describe", "--always", "--dirty=, with changes") or "unknown",
        "cores": str(os.cpu_count()),
        "load average before and after": f"{load:.1f}, {os.getloadavg()[0]:.1f}",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in packages),
        **{name: _said(program, "--version") for name, program in programs.items()},
    }


def summary(title: str, faults: Counter[str], verdicts: Sequence[Verdict]) -> str:
    """Return one line of progress."""
    told = []
    for one in verdicts:
        broken = ", ".join(f"{getattr(one, name)} {name}" for name in VIOLATIONS if getattr(one, name)) or "sound"
        told.append(f"{one.subject} {one.acknowledged}/{one.operations}: {broken}")
    injected = f"{sum(faults.values())} faults; " if faults else ""
    return f"{title:38} {injected}{'; '.join(told)}"


def _plain(one: Any) -> dict[str, Any]:
    """Return a dataclass as JSON wants it; `asdict` can't copy a Counter."""
    return {part.name: getattr(one, part.name) for part in fields(one)}


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
