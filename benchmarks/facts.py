"""What the figures depend on, without the machine's name or paths."""

import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rig import Rig, daprd

PACKAGES = ("eventlog-session", "openai-agents", "dapr", "grpcio", "orjson", "sqlalchemy", "aiosqlite", "redis")


def machine(rig: Rig, load: float) -> dict[str, str]:
    """Return what the figures depend on. *load* is the load average before they were taken."""
    git = shutil.which("git") or "true"  # which says nothing, as git does outside a repository
    programs = {"daprd": str(daprd()), "redis": rig.redis.command()[0], "postgresql": rig.postgres.command()[0]}
    return {
        "command": " ".join(["benchmarks/run.py", *sys.argv[1:]]),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": _said(git, "-C", str(Path(__file__).parents[1]), "describe", "--always", "--dirty=, with changes")
        or "unknown",
        "cores": str(os.cpu_count()),
        "load average before and after": f"{load:.1f}, {os.getloadavg()[0]:.1f}",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        **{name: _said(program, "--version") for name, program in programs.items()},
    }


def _said(*command: str) -> str:
    return " ".join(subprocess.run(command, capture_output=True, text=True, check=False).stdout.split())
