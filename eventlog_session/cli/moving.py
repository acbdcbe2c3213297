"""Commands that carry sessions from one place to another: ``export``, ``import``, ``migrate``."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

import click

from .. import exporting
from ..errors import EventLogError, Unavailable
from ..log import EventLog
from ..migrating import NOTHING, Migration, left, to_log, to_single_key
from .base import NO, STORE, Place, commands, fail, in_session, in_store, note, opened, progress
from .looking import now, session
from .points import GRAMMAR, resolved
from .rendering import visible

_AT_ONCE = 16
"""Sessions that are migrated at once: enough to be busy while the store answers."""


@commands.command()
@session
@click.option("-f", "--file", type=click.Path(dir_okay=False, path_type=Path), help="Write to that file; stdout without.")
@click.option("--to", metavar="POINT", help=f"Up to there; now, without: {GRAMMAR}.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.pass_obj
def export(given: str | None, store: str | None, session_id: str, file: Path | None, to: str | None, *, force: bool) -> None:
    """The events of SESSION as CloudEvents, one on each line: all that it is, for `import`, or for jq and the like."""

    async def write(log: EventLog, out: BinaryIO) -> int:
        until = None if to is None else (await resolved(log, to, now()))[0]
        _, last = await log.located(until)
        number = 0
        with progress() as showing:
            async for line in exporting.lines(log, until):
                out.write(line)
                number += 1
                if showing is not None:
                    showing(number, last, "events")
        return number

    async def work(log: EventLog) -> int:
        if file is None:
            return await write(log, sys.stdout.buffer)
        # beside the file and then in its place: an export that was cut short is never taken for one
        partly = file.with_name(file.name + ".part")
        with partly.open("wb") as out:
            number = await write(log, out)
        partly.replace(file)
        return number

    if file is not None and file.exists() and not force:
        fail(f"{file} is there already; say --force to write over it", 7)
    number = in_session(store or given, session_id, work)
    note(f"{number} events" + (f" in {file}" if file else ""))


@commands.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--as", "session_id", metavar="SESSION", help="Have it be that session; the one that was exported, without.")
@click.option("--dry-run", is_flag=True, help="Check the file, and write nothing.")
@click.option("--store", metavar="URL", envvar=STORE, help="sqlite:///FILE or dapr://HOST:PORT/STATESTORE.")
@click.pass_obj
def import_(given: str | None, file: BinaryIO, session_id: str | None, store: str | None, *, dry_run: bool) -> None:
    """Make a session of what `export` wrote (- is stdin): checked strictly, and all or nothing."""
    lines = file.readlines()

    async def work(place: Place) -> tuple[str, int]:
        name = session_id if session_id is not None else exporting.session_of(lines[0] if lines else b"")
        log = place.log(name)
        with progress() as showing:
            version = await exporting.load(log, lines, progress=showing, dry_run=dry_run)
        await log.settle()
        return name, version

    name, version = in_store(store or given, work, create=not dry_run)
    click.echo(f"{name}: {'would be' if dry_run else 'is'} at version {version}")


@commands.command()
@click.argument("session_ids", metavar="[SESSION]...", nargs=-1)
@click.option("--ids-from", type=click.File("r"), metavar="FILE", help="Session ids, one on each line (- is stdin).")
@click.option("--from-url", metavar="URL", help="Where the sessions are; the same store, without.")
@click.option("--to", type=click.Choice(["log", "single-key"]), default="log", help="What they become. [log]")
@click.option("--ttl", type=click.IntRange(1), metavar="SECONDS", help="After which they expire; never, without.")
@click.option("--delete-source", is_flag=True, help="Delete what was migrated and verified from where it was.")
@click.option("--dry-run", is_flag=True, help="Say what is there, and write nothing.")
@click.option("--store", metavar="URL", envvar=STORE, help="Where they are to be.")
@click.pass_obj
def migrate(
    given: str | None, session_ids: tuple[str, ...], ids_from: TextIO | None, from_url: str | None, to: str,
    ttl: int | None, store: str | None, *, delete_source: bool, dry_run: bool,
) -> None:  # fmt: skip
    """
    Sessions of the Agents SDK's DaprSession to logs, or back: verified item by item, and as often as you like.

    The source is kept unless --delete-source is said. Have nobody write to the sessions meanwhile.
    """
    wanted = [*session_ids, *(line.rstrip("\r\n") for line in ids_from or () if line.strip())]
    if not wanted:
        raise click.UsageError("which sessions? name them, or --ids-from FILE")
    if to == "single-key" and delete_source and from_url is None:
        raise click.UsageError("in one store the log can't be deleted: erasing it deletes the single key, too")
    outcomes: Counter[str] = Counter()

    async def work(place: Place) -> None:
        source = place if from_url is None else await opened(from_url)
        moving = _Moving(source, place, to, ttl, delete_source, dry_run)
        try:
            with progress() as showing:
                async for number, session_id, outcome in moving.all(wanted):
                    outcomes[outcome.partition(":")[0]] += 1
                    click.echo(f"{visible(session_id)}\t{outcome}")
                    if showing is not None:
                        showing(number, len(wanted), "sessions")
        finally:
            if source is not place:
                await source.store.close()

    in_store(store or given, work, create=not dry_run)
    note(", ".join(f"{number} {outcome}" for outcome, number in outcomes.items()))
    sys.exit(NO if outcomes["failed"] else 0)


@dataclass(frozen=True, slots=True)
class _Moving:
    """A migration of many sessions."""

    source: Place
    target: Place
    to: str
    ttl: int | None
    delete_source: bool
    dry_run: bool

    async def all(self, wanted: Sequence[str]) -> AsyncIterator[tuple[int, str, str]]:
        """Yield how many are done, and of each, in order, what became of it; some at once."""
        done = 0
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            for session_id, outcome in zip(some, await asyncio.gather(*map(self.one, some)), strict=True):
                done += 1
                yield done, session_id, outcome

    async def one(self, session_id: str) -> str:
        """Return what became of one session. Raises Unavailable, which all others would meet, too."""
        log = (self.target if self.to == "log" else self.source).log(session_id)
        try:
            if self.dry_run:
                return await self._there(log)
            done = await self._moved(log)
        except Unavailable:
            raise
        except EventLogError as error:
            return f"failed: {error}"
        finally:
            await log.settle()
        return f"{done.outcome}: {done.items} items" if done.items else done.outcome

    async def _moved(self, log: EventLog) -> Migration:
        if self.to == "log":
            return await to_log(log, self.source.store, ttl=self.ttl, delete_source=self.delete_source)
        done = await to_single_key(log, self.target.store, ttl=self.ttl)
        if self.delete_source and done.outcome != NOTHING:
            await log.erase()
        return done

    async def _there(self, log: EventLog) -> str:
        if self.to == "log":
            items = await left(self.source.store, log.session_id)
        else:
            items = len((await log.read()).items)
        return f"would migrate: {items} items" if items else NOTHING
