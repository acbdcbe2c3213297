"""``migrate``: many sessions of a `DaprSession` to logs, or back."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TextIO, TypeVar

import click

from ..errors import EventLogError, Unavailable
from ..migrating import Migration, same_store, to_log, to_single_key
from .base import commands
from .places import NO, Place, in_store, opened, stored
from .rendering import Sheet
from .saying import Interrupted, fail, note, progress

_AT_ONCE, _ERASED_AT_ONCE = 16, 1_000
"""Sessions that are worked on at once: enough to be busy while the store answers. An erased log waits for a minute."""
_LISTED = 20
"""Failures that are told once more at the end; all are among the outcomes."""
_COLOURS = {"migrated": "green", "failed": "bold red"}
_T = TypeVar("_T")


@commands.command()
@click.argument("session_ids", metavar="[SESSION]...", nargs=-1)
@click.option(
    "--ids-from", type=click.File("r", encoding="utf-8", errors="surrogateescape"), metavar="FILE",
    help="Session ids, one a line; - is stdin.",
)  # fmt: skip
@click.option("--from-url", metavar="URL", help="Where they are; without, in the same store.")
@click.option("--to", type=click.Choice(["log", "single-key"]), default="log", help="What they become. [log]")
@click.option("--ttl", type=click.IntRange(1), metavar="SECONDS", help="After which they expire; without, never.")
@click.option("--delete-source", is_flag=True, help="Delete what was migrated and verified from where it was.")
@click.option("--dry-run", is_flag=True, help="Say what would become of each, and write nothing.")
@stored
@click.pass_obj
def migrate(
    given: str | None, session_ids: tuple[str, ...], ids_from: TextIO | None, from_url: str | None, to: str,
    ttl: int | None, store: str | None, *, delete_source: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Bring sessions over from DaprSession, or back.

    Each is verified item by item, and is there whole or not at all; the source is kept unless --delete-source is said. Call it
    as often as you like, also after it was interrupted: what was migrated is found equal, and left. Columns: session, outcome
    (migrated, already there, nothing there, failed; taken over before: it has expired since), how many items or why not. Exits
    with 1 if any failed.

    Nothing is locked. A DaprSession that is used after its history was read here writes only to its single key, and the log
    does not see it: switch its users over first, which takes sessions over by itself, and migrate those that nobody uses. What
    was written to meanwhile is never deleted; calling again names what differs.

    With --to single-key --delete-source logs are erased, each with a grace of 60 seconds, up to 1,000 at once.
    """
    wanted = [*session_ids, *(line.rstrip("\r\n") for line in ids_from or () if line.strip())]
    if not wanted:
        raise click.UsageError("which sessions? name them, or --ids-from FILE")
    if to == "single-key" and delete_source and from_url is None:
        raise click.UsageError("in one store the log can't be deleted: erasing it deletes the single key, too")
    seen = _Seen()

    async def work(place: Place) -> None:
        source = place if from_url is None else await opened(from_url)
        try:
            if to == "single-key" and delete_source and await same_store(source.store, place.store):
                raise click.UsageError(f"{from_url} is the same store: erasing the log deletes the single key, too")
            await _all(wanted, _Moving(source, place, to, ttl, delete_source, dry_run), seen)
        finally:
            if source is not place:
                await source.store.close()

    try:
        in_store(store or given, work, create=not dry_run)
    except (KeyboardInterrupt, SystemExit) as end:
        done = f"{seen.number} of {len(wanted)} are done; each other one is migrated or as it was. The same command goes on"
        if isinstance(end, KeyboardInterrupt):
            raise Interrupted(done) from None
        note(done)
        raise
    seen.summed_up()


@dataclass(slots=True)
class _Seen:
    """What became of them: counted, not kept, however many they are."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def number(self) -> int:
        return self.counts.total()

    def add(self, session_id: str, outcome: str, more: str) -> None:
        """Count one."""
        self.counts[outcome] += 1
        if outcome == "failed" and len(self.failures) < _LISTED:
            self.failures.append(f"{session_id!r}: {more}")

    def summed_up(self) -> None:
        """Say it, and end the process if any failed."""
        note(", ".join(f"{number} {outcome}" for outcome, number in self.counts.items()))
        failed = self.counts["failed"]
        if failed:
            more = f"\n  and {failed - _LISTED} more" if failed > _LISTED else ""
            fail("\n  ".join([f"{failed} failed, and nothing of them was deleted", *self.failures]) + more, NO)


async def _all(wanted: list[str], moving: "_Moving", seen: _Seen) -> None:
    """Migrate all *wanted*, and print what becomes of each."""
    sheet = Sheet(("SESSION", f"{'OUTCOME':<13}", ""), exact=(0,), paint=lambda row: {1: _COLOURS.get(str(row[1]), "")})
    with progress() as showing:
        showing(0, len(wanted), "sessions")
        async with aclosing(in_order(wanted, moving.one, moving.at_once)) as outcomes:
            async for session_id, (outcome, more) in outcomes:
                sheet.add([(session_id, outcome, more)])
                seen.add(session_id, outcome, more)
                showing(seen.number, len(wanted), "sessions")


async def in_order(
    names: Iterable[str], work: Callable[[str], Awaitable[_T]], at_once: int
) -> AsyncGenerator[tuple[str, _T], None]:  # fmt: skip
    """Yield each name with what *work* made of it, in the order given; *at_once* are under way, the same one never twice."""
    under_way: dict[str, asyncio.Task[_T]] = {}
    try:
        for name in names:
            while name in under_way or len(under_way) >= at_once:
                first = next(iter(under_way))
                yield first, await under_way.pop(first)
            under_way[name] = asyncio.ensure_future(work(name))
        while under_way:
            first = next(iter(under_way))
            yield first, await under_way.pop(first)
    finally:
        for task in under_way.values():
            task.cancel()
        await asyncio.gather(*under_way.values(), return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _Moving:
    """A migration of many sessions."""

    source: Place
    target: Place
    to: str
    ttl: int | None
    delete_source: bool
    dry_run: bool

    @property
    def at_once(self) -> int:
        return _ERASED_AT_ONCE if self.to == "single-key" and self.delete_source else _AT_ONCE

    async def one(self, session_id: str) -> tuple[str, str]:
        """Return what became of one session, and more of that. Raises Unavailable, which all others would meet, too."""
        log = (self.target if self.to == "log" else self.source).log(session_id)
        try:
            done = await self._moved(session_id)
        except Unavailable:
            raise
        except EventLogError as error:
            return "failed", str(error)
        finally:
            await log.settle()
        return done.outcome, f"{done.items} item{'s' * (done.items != 1)}" if done.items else ""

    async def _moved(self, session_id: str) -> Migration:
        how = {"ttl": self.ttl, "delete_source": self.delete_source, "dry_run": self.dry_run}
        if self.to == "log":
            return await to_log(self.target.log(session_id), self.source.store, **how)  # type: ignore[arg-type]
        return await to_single_key(self.source.log(session_id), self.target.store, **how)  # type: ignore[arg-type]
