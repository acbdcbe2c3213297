"""Commands that change a session: ``undo``, ``redo``, ``rewind``, ``tag``, ``fork``, ``erase``."""

import sys
from collections.abc import Callable
from typing import Any

import click

from .. import copying, revising
from ..log import EventLog
from ..opening import open_store
from ..points import checked_name
from ..protocol.lane import Expected
from ..revising import Moved, Told
from ..tracing import extensions
from .base import NO, commands, exists, fail, in_session, note, progress
from .looking import now, outputs, session
from .points import GRAMMAR, resolved
from .rendering import as_json, table

_OUTSIDE = "what tools did outside the session is not undone"


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that writes the options to look before it leaps."""
    expect = click.option("--expect", type=click.IntRange(0), metavar="VERSION", help="Only if SESSION stands at this version.")
    return expect(click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")(command))


def told(expect: int | None) -> Told:
    """Return what goes with a change from the command line."""
    return Told(extensions(), None, None if expect is None else Expected(expect))


@commands.command()
@session
@click.option("-n", "--number", type=click.IntRange(1), default=1, help="How many changes.")
@guarded
@click.pass_obj
def undo(given: str | None, store: str | None, session_id: str, number: int, expect: int | None, *, dry_run: bool) -> None:
    """Take back the last change of SESSION, whatever it was: also a clear, a rewind, an undo's redo."""
    _step(store or given, session_id, number, expect, dry_run=dry_run, forward=False)


@commands.command()
@session
@click.option("-n", "--number", type=click.IntRange(1), default=1, help="How many undos.")
@guarded
@click.pass_obj
def redo(given: str | None, store: str | None, session_id: str, number: int, expect: int | None, *, dry_run: bool) -> None:
    """Take back the last undo of SESSION. Any other change in between ends what can be redone."""
    _step(store or given, session_id, number, expect, dry_run=dry_run, forward=True)


def _step(url: str | None, session_id: str, number: int, expect: int | None, *, dry_run: bool, forward: bool) -> None:
    async def work(log: EventLog) -> tuple[Moved | None, int, int]:
        before = (await log.head()).length
        moved = await revising.step(log, number, told(expect), forward=forward, dry_run=dry_run)
        return moved, before, before if moved is None else len((await log.read(None, moved.to)).items)

    moved, before, after = in_session(url, session_id, work)
    did, other = ("redid", "undo") if forward else ("undid", "redo")
    if moved is None:
        fail(f"there are not {number} {'undos' if forward else 'changes'} to take back; nothing was changed", NO)
    versions = ", ".join(map(str, moved.changes))
    if dry_run:
        click.echo(f"would have {'redone' if forward else 'undone'} {versions}: length {before} → {after}")
        return
    click.echo(f"{did} {versions}: length {before} → {after}, version {moved.version}")
    note(f"back again: eventlog-session {other} {session_id}" + (f" -n {number}" if number > 1 else ""))
    if not forward:
        note(_OUTSIDE)


@commands.command()
@session
@click.argument("point", metavar="POINT")
@guarded
@click.pass_obj
def rewind(given: str | None, store: str | None, session_id: str, point: str, expect: int | None, *, dry_run: bool) -> None:
    """Make SESSION what it was at a point. What came after stays in the log, and undo brings it back."""

    async def work(log: EventLog) -> tuple[int, int, int, int | None]:
        head = await log.head()
        version, _ = await resolved(log, point, now())
        length = len((await log.read(None, version)).items)
        written = None
        if not dry_run:
            # only on what was looked at: else somebody else's turn would be gone
            on = Expected(head.version, head.generation) if expect is None else Expected(expect)
            written = (await log.rewind(version, extensions(), expected=on)).version
        return version, head.length, length, written

    version, before, after, written = in_session(store or given, session_id, work)
    if written is None:
        click.echo(f"would rewind to {version}: length {before} → {after}" if dry_run else f"it stands at {version} already")
        return
    click.echo(f"rewound to {version}: length {before} → {after}, version {written}")
    note(_OUTSIDE)


@commands.command()
@session
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--at", metavar="POINT", help=f"The version to name; now, without: {GRAMMAR}.")
@click.option("-d", "--delete", is_flag=True, help="Take the tag away.")
@outputs
@click.pass_obj
def tag(
    given: str | None, store: str | None, session_id: str, name: str | None, at: str | None, output: str, *, delete: bool
) -> None:  # fmt: skip
    """Give a version of SESSION a name, for wherever a point is asked for; without NAME list those there are."""

    async def work(log: EventLog) -> Any:
        if name is None:
            return (await log.head()).tags
        try:
            checked_name(name, log.limits.tags)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        if delete:
            return await revising.untag(log, name, told(None))
        return await revising.tag(log, name, None if at is None else (await resolved(log, at, now()))[0], told(None))

    found = in_session(store or given, session_id, work)
    if name is None:
        rows = sorted(found.items(), key=lambda one: one[1])
        if output == "table":
            table(("TAG", "VERSION"), rows, right=(1,))
        else:
            as_json(({"tag": one, "version": version} for one, version in rows), by_line=output == "jsonl")
    elif delete:
        if not found:
            fail(f"there is no tag {name!r}", NO)
        click.echo(f"deleted tag {name}")
    else:
        click.echo(f"{name} is version {found}")


@commands.command()
@session
@click.argument("new_id", metavar="NEW")
@click.option("--at", metavar="POINT", help=f"As it was then; now, without: {GRAMMAR}.")
@click.option("--to-store", metavar="URL", help="Keep NEW in that store.")
@click.pass_obj
def fork(given: str | None, store: str | None, session_id: str, new_id: str, at: str | None, to_store: str | None) -> None:
    """Begin NEW as a copy of SESSION, independent from then on; versions up to the point read the same in it."""

    async def work(log: EventLog) -> tuple[int, int]:
        version = await log.version() if at is None else (await resolved(log, at, now()))[0]
        there = log.store if to_store is None else open_store(to_store)
        new = EventLog.of(there, new_id)
        try:
            with progress() as showing:
                await copying.fork(log, new, version, extensions(), progress=showing)
            return version, (await new.head()).length
        finally:
            await new.settle()
            if to_store is not None:
                await there.close()

    version, length = in_session(store or given, session_id, work)
    click.echo(f"{new_id}: {length} items from {session_id} at version {version}, independent from here on")


@commands.command()
@session
@click.option("--yes", metavar="SESSION", help="The session's id again, instead of being asked for it.")
@click.option("--grace", type=click.FloatRange(0), help="Seconds until everything is deleted once more (60).")
@click.pass_obj
def erase(given: str | None, store: str | None, session_id: str, yes: str | None, grace: float | None) -> None:
    """Delete everything of SESSION for good, past versions included. Asks first."""

    async def work(log: EventLog) -> list[str]:
        with progress() as showing:
            if showing is not None:
                showing(0, 0, "deleting; everything once more after the grace")
            return list((await log.erase(grace)).keys)

    in_session(store or given, session_id, exists)
    if yes is None:
        if not sys.stdin.isatty():
            fail(f"it asks first, and there is no terminal to ask on; say --yes {session_id}", 2)
        yes = click.prompt(f"type the session's id to erase it from {store or given}", err=True)
    if yes != session_id:
        fail("that is not the session's id; nothing was erased", NO)
    erased = in_session(store or given, session_id, work)
    click.echo(f"erased {session_id}: {len(erased)} keys deleted; a tombstone without the id stays")
