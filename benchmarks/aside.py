"""Runs a program of the suite in a process of its own, which knows nothing and has nothing in memory: JSON in, JSON out."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any


async def told(program: str, **spec: Any) -> Any:
    """Return what the module *program* of this directory prints when it is given *spec*. Raises RuntimeError if it fails."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", str(Path(__file__).with_name(f"{program}.py")), json.dumps(spec)),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
        stdout=PIPE,
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{program} ended with status {process.returncode}: what it said is above")
    return json.loads(out)


def answer(work: Callable[..., Awaitable[Any]]) -> None:
    """Do *work* with the spec on the command line and print what it returns: the main function of such a program."""

    async def run() -> Any:
        return await work(**json.loads(sys.argv[1]))

    print(json.dumps(asyncio.run(run())))
