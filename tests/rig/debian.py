"""Servers that no wheel carries: Debian packages, installed when we may."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .build import cache
from .errors import NotInstalled

SYSTEM = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"))


def program(name: str, package: str) -> Path:
    """A program's path. Where it is missing, its Debian package is installed if this is Debian and we are root."""
    found = shutil.which(name, path=SYSTEM)
    if found is None:
        _install(name, package)
        found = shutil.which(name, path=SYSTEM)
    if found is None:
        raise NotInstalled(f"the package {package} was installed, and still there is no {name}")
    return Path(found)


def _install(name: str, package: str) -> None:
    apt = shutil.which("apt-get", path=SYSTEM)
    if apt is None or os.geteuid() != 0:
        raise NotInstalled(f"{name} is not installed: it is in Debian's package {package} (as root: apt-get install {package})")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    log = cache() / f"install-{package}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with (cache() / "apt.lock").open("w") as lock, log.open("wb") as output:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Another rig may be at it.
        if shutil.which(name, path=SYSTEM):
            return
        print(f"{name} is missing: installing Debian's package {package} (apt-get)", file=sys.stderr, flush=True)
        for words in (["update"], ["install", "--yes", "--no-install-recommends", package]):
            command = [apt, "-q", *words]
            if subprocess.run(command, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False).returncode:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
                raise NotInstalled(f"{' '.join(command)} failed. The end of {log}:\n{tail}")
