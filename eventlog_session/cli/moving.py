"""Commands that carry a session from one place to another: ``export``, ``import``."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, BinaryIO

import click

from .. import exporting
from ..errors import InvalidExport, SessionExists
from ..limits import Limits
from ..log import EventLog
from .base import commands
from .places import REFUSED, Place, in_session, in_store, session, stored
from .points import ABOUT, resolved
from .rendering import safe_json
from .saying import Interrupted, again, fail, harmless, note, progress, terminal

_LONGEST = Limits().event_bytes + (1 << 20)
"""Bytes of a line: of an event and its attributes."""


@commands.command(epilog=ABOUT)
@session
@click.option("-f", "--file", type=click.Path(dir_okay=False, path_type=Path), help="Write to that file, not to stdout.")
@click.option("--to", metavar="POINT", help="Only what happened up to there.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.pass_obj
def export(given: str | None, store: str | None, session_id: str, file: Path | None, to: str | None, *, force: bool) -> None:
    """Write a session as CloudEvents, one a line.

    All that the session is, for import; or for jq and the like. The same session gives the same bytes.
    """
    ended = "what was written is no whole session" if file is None else f"{file} was not written"

    async def write(log: EventLog, out: Callable[[bytes], Any]) -> int:
        _, last = await log.located(None if to is None else (await resolved(log, to))[0])
        number = 0
        with progress() as showing:
            async for line in exporting.lines(log, last):
                out(line)
                number += 1
                showing(number, last, "events")
        return number

    async def work(log: EventLog) -> int:
        nonlocal ended
        if file is None:
            return await write(log, _shown if terminal(sys.stdout) else sys.stdout.buffer.write)
        with _written(file) as out:
            number = await write(log, out.write)
        ended = f"all of it is in {file}"
        return number

    if file is not None and file.is_file() and not force:
        fail(f"{file} is there already; say --force to write over it", REFUSED)
    try:
        number = in_session(store or given, session_id, work)
    except KeyboardInterrupt:
        raise Interrupted(ended) from None
    if file is not None:
        note(f"{number} events in {file}")


@contextmanager
def _written(file: Path) -> Iterator[Any]:
    """
    Open *file* to be written: beside it, and in its place when all is there, so that what was cut short is never taken for it.

    A pipe or a device is written to as it is; a link stays a link, and a file keeps its mode.
    """
    if file.exists() and not file.is_file():
        with file.open("wb") as out:
            yield out
        return
    there = file.resolve()
    with NamedTemporaryFile(dir=there.parent, prefix=f"{there.name}.", suffix=".part", delete=False) as partly:
        try:
            yield partly
            partly.flush()
            if there.exists():
                os.fchmod(partly.fileno(), there.stat().st_mode)
            Path(partly.name).replace(there)
        finally:
            Path(partly.name).unlink(missing_ok=True)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of *file*. Raises InvalidExport for one that is longer than any event: it may never end."""
    number = 1
    while line := file.readline(_LONGEST):
        if len(line) == _LONGEST:
            raise InvalidExport(f"line {number} is longer than any event; that is no exported file")
        yield line
        number += 1


def _shown(line: bytes) -> None:
    """Show an event on a terminal, which must not obey what is in it."""
    click.echo(safe_json(line.decode().rstrip("\n")))


@commands.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--as", "session_id", metavar="SESSION", help="Its id from now on; without, that which was exported.")
@click.option("--dry-run", is_flag=True, help="Check the file, and write nothing.")
@stored
@click.pass_obj
def import_(given: str | None, file: BinaryIO, session_id: str | None, store: str | None, *, dry_run: bool) -> None:
    """Make a session of an exported file.

    - is stdin. It is checked strictly, and imported as a whole or not at all; never over a session that is there.
    """
    url = store or given
    ended = "nothing was imported"

    async def work(place: Place) -> tuple[str, int, int]:
        nonlocal ended
        name = session_id if session_id is not None else exporting.session_of(lines[0])
        log = place.log(name)
        try:
            with progress() as showing:
                showing(0, 0, f"checking {len(lines)} events")
                version = await exporting.load(log, lines, progress=showing, dry_run=dry_run)
            return name, version, 0 if dry_run else (await log.head()).length
        except asyncio.CancelledError:
            if (await log.head()).version:
                ended = f"it is imported, see {again(url, 'log', session=name)}"
            raise
        except SessionExists:
            raise SessionExists(f"there is a session {name!r} in {place} already; say --as, or erase that one") from None
        finally:
            await log.settle()

    try:
        try:
            lines = list(_lines(file))
        except InvalidExport as error:
            fail(str(error), REFUSED)
        if not lines:
            fail("there is nothing in it; export it anew", REFUSED)
        name, version, length = in_store(url, work, create=not dry_run)
    except KeyboardInterrupt:
        raise Interrupted(ended) from None
    end = f"would be imported, at version {version}" if dry_run else f"imported, at version {version} with {length} items"
    click.echo(f"{harmless(name)}: {end}")
