"""Commands that change a session: ``undo``, ``redo``, ``rewind``, ``tag``, ``fork``, ``erase``."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from .. import copying, revising
from ..log import EventLog
from ..points import checked_name
from ..protocol.lane import Expected
from ..revising import Moved, Told
from ..tracing import extensions
from .base import commands
from .places import NO, USAGE, in_session, opened, session
from .points import ABOUT, resolved
from .rendering import as_json, outputs, table
from .saying import Interrupted, again, fail, harmless, note, progress, terminal

_OUTSIDE = "what tools did outside the session is not undone"


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that writes the options to look before it leaps."""
    expect = click.option("--expect", type=click.IntRange(0), metavar="VERSION", help="Only if it stands at this version.")
    return expect(click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")(command))


def told(expect: int | None) -> Told:
    """Return what goes with a change from the command line."""
    return Told(extensions(), None, None if expect is None else Expected(expect))


async def length_at(log: EventLog, version: int) -> int:
    """Return how many items the history had at *version*."""
    if version:
        async for recorded in log.walk(version - 1, version, whole=False):
            return recorded.length
    return 0


@commands.command()
@session
@click.option("-n", "--number", type=click.IntRange(1), metavar="N", default=1, help="The last N.")
@guarded
@click.pass_obj
def undo(given: str | None, store: str | None, session_id: str, number: int, expect: int | None, *, dry_run: bool) -> None:
    """Take back the last change, whatever it was.

    Also a clear, a rewind, a compaction. Undoing again goes further back; tags are passed over. Exits with 1, and changes
    nothing, when there is nothing to take back; with 5 when another writer was first.
    """
    _step(store or given, session_id, number, expect, dry_run=dry_run, forward=False)


@commands.command()
@session
@click.option("-n", "--number", type=click.IntRange(1), metavar="N", default=1, help="The last N.")
@guarded
@click.pass_obj
def redo(given: str | None, store: str | None, session_id: str, number: int, expect: int | None, *, dry_run: bool) -> None:
    """Take back the last undo.

    Any other change in between ends what can be redone.
    """
    _step(store or given, session_id, number, expect, dry_run=dry_run, forward=True)


def _step(url: str | None, session_id: str, number: int, expect: int | None, *, dry_run: bool, forward: bool) -> None:
    async def work(log: EventLog) -> tuple[Moved | None, int, int]:
        before = (await log.located(None))[0].standing.length
        moved = await revising.step(log, number, told(expect), forward=forward, dry_run=dry_run)
        return moved, before, before if moved is None else await length_at(log, moved.to)

    moved, before, after = in_session(url, session_id, work)
    did, other, what = ("redid", "undo", "undos") if forward else ("undid", "redo", "changes")
    if moved is None:
        some = "nothing" if number == 1 else f"not {number} {what}"
        fail(f"there is {some} to {'redo' if forward else 'undo'}; nothing was changed", NO)
    versions = ", ".join(map(str, moved.changes))
    if dry_run:
        click.echo(f"would have {'redone' if forward else 'undone'} {versions}: length {before} → {after}")
        return
    click.echo(f"{did} {versions}: length {before} → {after}, version {moved.version}")
    note(f"back again: {again(url, other, *(('-n', str(number)) if number > 1 else ()), session=session_id)}")
    if not forward:
        note(_OUTSIDE)


@commands.command(epilog=ABOUT)
@session
@click.argument("point", metavar="POINT")
@guarded
@click.pass_obj
def rewind(given: str | None, store: str | None, session_id: str, point: str, expect: int | None, *, dry_run: bool) -> None:
    """Make the session what it was at a point.

    What came after stays in the log, and undo brings it back. Exits with 5 when another writer was first.
    """

    async def work(log: EventLog) -> tuple[int, int, int, int | None]:
        head = (await log.located(None))[0].standing
        version, _ = await resolved(log, point)
        # only on what was looked at: else somebody else's turn would be gone
        on = Expected(head.version, head.generation) if expect is None else Expected(expect)
        on.check(head)
        after = await length_at(log, version)
        written = None if dry_run else (await log.rewind(version, extensions(), expected=on)).version
        return version, head.length, after, written

    version, before, after, written = in_session(store or given, session_id, work)
    if dry_run:
        click.echo(f"would rewind to {version}: length {before} → {after}")
    elif written is None:
        click.echo(f"it stands at {version} already")
    else:
        click.echo(f"rewound to {version}: length {before} → {after}, version {written}")
        note(f"back again: {again(store or given, 'undo', session=session_id)}")
        note(_OUTSIDE)


@commands.command(epilog=ABOUT)
@session
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--at", metavar="POINT", help="The version to name; without, where it stands.")
@click.option("-d", "--delete", is_flag=True, help="Take the tag away.")
@outputs
@click.pass_obj
def tag(
    given: str | None, store: str | None, session_id: str, name: str | None, at: str | None, output: str, *, delete: bool
) -> None:  # fmt: skip
    """Name a version, or list the tags.

    tag:NAME is a point then, wherever one is asked for. A name that is there moves.
    """
    if name is None and (at is not None or delete):
        raise click.UsageError("which tag? name it")

    async def work(log: EventLog) -> Any:
        if name is None:
            return (await log.head()).tags
        try:
            checked_name(name, None if delete else log.limits.tag_bytes)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        if delete:
            return await revising.untag(log, name, told(None))
        return await revising.tag(log, name, None if at is None else (await resolved(log, at))[0], told(None))

    found = in_session(store or given, session_id, work)
    if name is None:
        _tags(found, output)
    elif delete and not found:
        fail(f"there is no tag {name!r}", NO)
    else:
        click.echo(f"deleted tag {name}" if delete else f"{name} is version {found}")


def _tags(found: Mapping[str, int], output: str) -> None:
    rows = sorted(found.items(), key=lambda one: one[1])
    if output != "table":
        as_json(({"tag": one, "version": version} for one, version in rows), by_line=output == "jsonl")
    elif rows:
        table(("TAG", "VERSION"), rows, right=(1,))
    else:
        note("no tags")


@commands.command(epilog=ABOUT)
@session
@click.argument("new_id", metavar="NEW")
@click.option("--at", metavar="POINT", help="As it was then.")
@click.option("--to-store", metavar="URL", help="Keep NEW there.")
@click.pass_obj
def fork(given: str | None, store: str | None, session_id: str, new_id: str, at: str | None, to_store: str | None) -> None:
    """Begin a new session as a copy.

    It is independent from then on; versions up to the point read the same in it. All or nothing.
    """

    async def work(log: EventLog) -> tuple[int, int]:
        version = await log.version() if at is None else (await resolved(log, at))[0]
        there = None if to_store is None else await opened(to_store, create=True)
        new = EventLog.of(log.store, new_id) if there is None else there.log(new_id)
        try:
            with progress() as showing:
                showing(0, 0, f"reading {version} events")
                await copying.fork(log, new, version, extensions(), progress=showing)
            return version, (await new.head()).length
        finally:
            await new.settle()
            if there is not None:
                await there.store.close()

    version, length = in_session(store or given, session_id, work)
    click.echo(
        f"{harmless(new_id)}: {length} items, from {harmless(session_id)} at version {version}, independent from here on"
    )


@commands.command()
@session
@click.option("--yes", metavar="SESSION", help="Its id again, instead of being asked for it.")
@click.option("--grace", type=click.FloatRange(0), metavar="SECONDS", help="Until all is deleted once more. [60]")
@click.pass_obj
def erase(given: str | None, store: str | None, session_id: str, yes: str | None, grace: float | None) -> None:
    """Delete a session for good; asks first.

    Past versions and what a DaprSession left, too; forks and backups are untouched. Everything is deleted a second time after
    the grace, for what a writer had sent just before. Interrupted, it goes on when it is called again.
    """
    url = store or given
    what = in_session(url, session_id, _said_of, half=True)
    if yes is None:
        _asked(url, session_id, what)
    elif yes != session_id:
        fail("that is not the session's id; nothing was erased", NO)
    ended = "nothing was erased"

    async def work(log: EventLog) -> list[str]:
        nonlocal ended
        seconds = log.limits.stray if grace is None else grace
        try:
            with progress() as showing:
                showing(0, 0, f"deleting, and once more {seconds:g} seconds later")
                return list((await log.erase(grace)).keys)
        except asyncio.CancelledError:
            known, _ = await log.located(None)
            if known.being_erased:
                ended = f"it reads as erased, but not all is deleted: {again(url, 'erase', session=session_id)}"
            elif not (known.head.version or known.legacy):
                ended = "it is erased"
            raise

    try:
        erased = in_session(url, session_id, work, half=True)
    except KeyboardInterrupt:
        raise Interrupted(ended) from None
    click.echo(f"erased {harmless(session_id)}: {len(erased)} keys deleted; a tombstone without the id stays")


def _asked(url: str | None, session_id: str, what: str) -> None:
    """Ask for the session's id, and return if it is typed."""
    if not terminal(sys.stdin):
        sure = again(url, "erase", "--yes", session_id, session=session_id)
        fail(f"it asks first, and there is no terminal to ask on; if you are sure: {sure}", USAGE)
    note(f"{session_id} in {url}: {what}")
    note("all of it goes for good, past versions too")
    try:
        typed = click.prompt("type its id to erase it", err=True)
    except click.Abort:
        note("")  # the question's line
        raise Interrupted("nothing was erased") from None
    if typed != session_id:
        fail("that is not the session's id; nothing was erased", NO)


async def _said_of(log: EventLog) -> str:
    """Return what there is of a session, in a few words."""
    known, _ = await log.located(None)
    if known.being_erased:
        return "an erasure that was cut short"
    if known.legacy is not None:
        return f"{known.legacy.count} items that a DaprSession left"
    return f"{known.head.version} versions, {known.head.length} items now"
