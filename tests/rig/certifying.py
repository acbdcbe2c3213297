"""`make certify`: asks every component of the catalogue, and writes down what it said and on what."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from eventlog_session.certify import Certificate, certify

from .build import _required, daprd, is_ours
from .catalogue import KINDS, Backend
from .cluster import NODES, RedisCluster
from .databases import Etcd, MariaDB
from .errors import NotInstalled
from .rig import FOLDER, Rig
from .servers import Postgres, Redis

REPORTS = FOLDER.parent / "benchmarks" / "results" / "certify"
RUNS = FOLDER.parent / "eventlog_session" / "certify" / "certified.json"


def certify_all(components: Sequence[str]) -> int:
    """Certify the named ones, one after the other; the exit status. The verdicts are results, not failures."""
    runs = {run["name"]: run for run in json.loads(RUNS.read_text())}
    missing = 0
    REPORTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, Rig(Path(directory), ("memory",)) as rig:
        for name in components:
            try:
                rig.add(name)
            except NotInstalled as error:
                print(f"{name}: skipped: {error}", file=sys.stderr)
                missing = 1
                continue
            certificate = asyncio.run(certify(rig.address, name))
            runs[name] = _run(rig, name, certificate)
            (REPORTS / f"{name}.txt").write_text(_report(runs[name], certificate))
            print(f"{name}: {str(certificate).splitlines()[-1]}", file=sys.stderr, flush=True)
    kept = [runs[name] for name in KINDS if name in runs]
    RUNS.write_text("[\n" + ",\n".join(f"  {json.dumps(run)}" for run in kept) + "\n]\n")
    return missing


def _run(rig: Rig, name: str, certificate: Certificate) -> dict[str, object]:
    component, kind = certificate.component, KINDS[name]
    return {
        "name": name,
        "type": component.type,
        "version": component.version,
        "note": kind.note,
        "server": _server(rig.server(name)) if kind.server else "daprd itself",
        "dapr": component.dapr,
        "contrib": _required("github.com/dapr/components-contrib") if is_ours(daprd()) else "unknown",
        "release": version("eventlog-session"),
        "date": datetime.now(UTC).date().isoformat(),
        "ok": certificate.ok,
    }


def _report(run: dict[str, object], certificate: Certificate) -> str:
    return (
        f"# eventlog-session certify --store dapr://HOST:PORT/{run['name']}, run by `make certify`; exit status "
        f"{0 if certificate.ok else 1}\n"
        f"# {run['date']}, eventlog-session {run['release']}, Dapr {run['dapr']} with components-contrib {run['contrib']}, "
        f"{run['server']}{', ' if run['note'] else ''}{run['note']}\n\n{certificate}\n"
    )


def _server(server: Backend) -> str:
    """The server's name and version, as its program tells it."""
    if isinstance(server, RedisCluster):
        return f"{_server(server.nodes[0])}, {NODES} nodes"
    assert isinstance(server, Redis | Postgres | MariaDB | Etcd)
    said = subprocess.run([server.command()[0], "--version"], capture_output=True, text=True, check=True).stdout
    number = re.search(r"\d+(\.\d+)+", said)
    names = ("Valkey", "Redis", "PostgreSQL", "MariaDB", "etcd")
    return f"{next(name for name in names if name in said)} {number[0] if number else '?'}"
