"""
Copying a log: to another session, to another store, to a file and back.

Whatever the way, a copy is made of events (`core.copy`), so every version in it reads as it did where it came from, and it is a
log of its own from then on.
"""

from collections.abc import AsyncIterator, Callable, Mapping

from .core.copy import Copying, reborn
from .core.events import FORKED, FORKED_AT, FORKED_FROM, Event
from .core.keys import mint
from .errors import InvalidExport, NoSuchPoint
from .log import EventLog
from .points import Point
from .protocol.heads import Known
from .protocol.renew import values_ttl
from .protocol.walk import Recorded
from .stores.base import Put

Progress = Callable[[int, int, str], None]
"""Called with how much is done, of how much, and of what."""


async def fork(
    log: EventLog, new: EventLog, at: Point | None, extensions: Mapping[str, str], *, progress: Progress | None = None
) -> int:  # fmt: skip
    """
    Make *new* a copy of *log* as it was at a point, and return the version that *new* then has: one more, that says so.

    Nothing of the one is part of the other afterwards. Raises NoSuchPoint, and SessionExists when there is one already.
    """
    known, version = await log.located(at)
    if not known.standing.version:
        raise NoSuchPoint("there is no session to fork: nothing was written to it yet, or it is gone")
    events = log.standing_alone(known, version)

    async def with_origin() -> AsyncIterator[Recorded]:
        last = 0
        async for recorded in events:
            last = recorded.committed
            yield recorded
        now = log.runtime.now()
        origin = {FORKED_FROM: log.keys.source, FORKED_AT: str(version)}
        event = Event(mint(log.runtime.random_bytes(10)), FORKED, now, extensions={**extensions, **origin})
        yield Recorded(version + 1, max(now, last), 0, event)

    return await restore(new, with_origin(), ttl=known.head.ttl, progress=progress)


async def restore(
    log: EventLog, events: AsyncIterator[Recorded], *, ttl: int | None = None, progress: Progress | None = None,
    takes_over: bool = False, dry_run: bool = False,
) -> int:  # fmt: skip
    """
    Write a whole log of *events*, all or nothing, and return its version; *ttl* is counted from the last of them.

    Everything is looked at before anything is written. What a `DaprSession` left under the id stands in the way, unless this
    *takes_over* from it. Raises SessionExists, BeingErased, or Conflict when a session was erased there meanwhile;
    InvalidExport or InvalidItem when the events make no log. What is cut short, or refused since another came first, leaves
    in the store what it has written ahead, named by no head: the same call again writes it to the same keys.
    """

    async def erased_before(known: Known) -> tuple[str, ...]:
        known.check_free(takes_over=takes_over)
        return known.head.erased

    erased = await log.on_head(erased_before)
    copying = Copying(log.session_id, log.keys, log.limits, binary=(await log.store.traits()).keeps_bytes)
    number = 0
    async for version, committed, _, event in events:
        number += 1
        try:
            copying.append(version, committed, reborn(event, erased))
        except InvalidExport as error:
            raise InvalidExport(f"event {number}: {error}; nothing was written") from error
    copy = copying.done(ttl=ttl, takes_over=takes_over, erased=erased)
    if dry_run:
        return copy.head.version
    done = 0
    for page in log.limits.pages((key, len(value)) for key, value in copy.values.items()):
        await log.store.put_many([Put(key, copy.values[key], values_ttl(ttl)) for key in page])
        done += len(page)
        if progress is not None:
            progress(done, len(copy.values), "values written")
    await log.submit_copy(copy)
    return copy.head.version
