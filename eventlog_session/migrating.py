"""
From a `DaprSession`'s single key to a log, and back: nobody is locked in.

Both ways are verified item by item against what is read back, can be repeated (what was migrated already is found equal and
left), and leave the source alone unless told otherwise; what is not what was migrated is never deleted. Neither is a lock:
have nobody write to the session meanwhile.
"""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .copying import restore
from .core.items import same
from .core.keys import mint
from .errors import SessionExists, StoreRefused
from .log import EventLog, View
from .protocol.adoption import adoption, legacy_key, legacy_keys, read_legacy
from .protocol.heads import Known
from .protocol.walk import Recorded
from .runtime import Runtime
from .stores.base import Put, Store, Value

MIGRATED, ALREADY, NOTHING = "migrated", "already there", "nothing there"
GONE, WOULD = "taken over before", "would migrate"
_LARGEST: Final = 4 << 20
"""Bytes that a `DaprSession` can read: a message through Dapr holds no more, unless both ends were told otherwise."""


_TWO_WAYS: Final = "both were left as they are: decide which to keep, and erase the log or delete the key of the other"


@dataclass(frozen=True, slots=True)
class Migration:
    """
    What became of one session, and how many items were compared.

    `MIGRATED`, `ALREADY` or `NOTHING`; `GONE` when the log that took it over in this store has expired since; `WOULD`, of a
    dry run.
    """

    session_id: str
    outcome: str
    items: int


async def to_log(
    log: EventLog, source: Store, *, ttl: int | None = None, delete_source: bool = False, dry_run: bool = False
) -> Migration:
    """
    Make *log* of what a `DaprSession` of its id left in *source*, which may be the same store.

    The history becomes its version 1; with a *ttl* it expires that many seconds later unless something is written. A *dry_run*
    writes nothing. Raises SessionExists when there is a log of something else, and nothing is written then, or when the source
    was written to meanwhile, and is not deleted then; CorruptLog for what is no history.
    """
    key = legacy_key(log.session_id)
    found = await source.get(key) if key else None
    legacy = read_legacy(found.data if found else None, key, verbatim=False)
    if found is None or legacy is None:
        return Migration(log.session_id, NOTHING, 0)
    entries = [_loaded(entry) for entry in json.loads(found.data)]
    outcome = ALREADY
    if not (await log.head()).version:
        if await log.store.get(log.keys.adopted) is not None:
            return Migration(log.session_id, GONE, 0)
        if dry_run:
            return Migration(log.session_id, WOULD, len(entries))
        event = adoption(legacy, log.runtime)
        await restore(log, _only(Recorded(1, event.time, legacy.count, event)), ttl=ttl, takes_over=True)
        outcome = MIGRATED
    if not same(await _items(log, None), entries):  # else it was taken back there, as it is now
        _compare(entries, await _items(log, 1))
    if delete_source and not dry_run:
        await _delete(source, log.session_id, found)
    return Migration(log.session_id, outcome, len(entries))


async def to_single_key(
    log: EventLog, target: Store, *, ttl: int | None = None, delete_source: bool = False, dry_run: bool = False
) -> Migration:
    """
    Write the history of *log* to *target* as a `DaprSession` keeps it, expiring after *ttl* seconds.

    What it finds there is replaced only if it is what the log began with, or went on from, so that nothing is lost.
    *delete_source* erases the log, with its grace, so *target* must be another store: see `same_store`. A *dry_run* writes
    nothing. Raises SessionExists for another history, and when the log was written to meanwhile, which is not erased then;
    StoreRefused for a history that a `DaprSession` could not read: more than 4 MiB, or an id that no key can hold.
    """
    known, _ = await log.located(None)
    if not known.head.version and known.legacy is None:
        return await _erased_before(log, known, target, go_on=delete_source and not dry_run)
    key = legacy_key(log.session_id)
    view = await log.read()
    texts = set(view.texts)
    entries = [item if place in texts else _text(item) for place, item in enumerate(view.items)]
    value = _text(entries).encode()
    if not key or len(value) + 1024 > _LARGEST:
        why = f"{len(value)} bytes, and it reads no more than {_LARGEST}" if key else "no key can hold its id"
        raise StoreRefused(f"a DaprSession can't hold it: {why}; nothing was written")
    there = await _entries(target, key)
    outcome = ALREADY if there == entries else MIGRATED
    if outcome == MIGRATED:
        if there != entries[: len(there)] and not await _began_with(log, there):
            raise SessionExists(f"{key} holds another history; {_TWO_WAYS}")
        if dry_run:
            return Migration(log.session_id, WOULD, len(entries))
        await _write(log, target, value, ttl)
        there = await _entries(target, key)
    _compare(entries, there)
    if delete_source and not dry_run:
        await _erase(log, view)
    return Migration(log.session_id, outcome, len(entries))


async def same_store(one: Store, other: Store) -> bool:
    """Whether what is written to the one is read from the other, however each was named: it is tried."""
    if one is other:
        return True
    key = f"evl:{{migration}}:{mint(Runtime().random_bytes(10))}"
    await one.put_many([Put(key, b"[]", 60)])
    try:
        return await other.get(key) is not None
    finally:
        await one.delete_many([key])


async def _delete(source: Store, session_id: str, found: Value) -> None:
    """Delete what a `DaprSession` left, if it still is what was *found*."""
    key, *_ = keys = legacy_keys(session_id)
    now = await source.get(key)
    if now is not None and now.data != found.data:
        raise SessionExists(f"{key} was written to after it was read, and is left; the log has what was there before")
    await source.delete_many(keys)


async def _erase(log: EventLog, view: View) -> None:
    """Erase *log*, if it still is as it was read."""
    head = await log.head()
    if (head.version, head.generation) != (view.version, view.generation):
        raise SessionExists("the log was written to after it was read, and is left; the single key has what was there before")
    await log.erase()


async def _erased_before(log: EventLog, known: Known, target: Store, *, go_on: bool) -> Migration:
    """Return what there is of a log that *known* is not; *go_on* with an erasure that was cut short."""
    if not known.being_erased:
        return Migration(log.session_id, NOTHING, 0)
    if go_on:
        await log.erase()
    key = legacy_key(log.session_id)
    return Migration(log.session_id, ALREADY, len(await _entries(target, key)) if key else 0)


async def _write(log: EventLog, target: Store, value: bytes, ttl: int | None) -> None:
    """Write both keys of a `DaprSession`."""
    key, about = legacy_keys(log.session_id)
    now = str(log.runtime.now() // 1_000_000)
    created = str((await log.head()).created // 1_000_000)
    told = json.dumps({"session_id": log.session_id, "created_at": created, "updated_at": now})
    await _put(target, Put(key, value, ttl))
    await _put(target, Put(about, told.encode(), ttl))


async def _entries(store: Store, key: str) -> list[Any]:
    """Return what a `DaprSession` keeps under *key*, as it is. Raises CorruptLog when that is no history."""
    found = await store.get(key)
    read_legacy(found.data if found else None, key, verbatim=True)
    return json.loads(found.data) if found else []


async def _put(store: Store, put: Put) -> None:
    """
    Write *put* if nobody else is writing to its key; whether it was is for the caller to read.

    Not in any case: on Redis a key that a `DaprSession` created takes no write without its etag ever after.
    """
    found = await store.get(put.key)
    if found is None and not (await store.traits()).atomic_create:
        await store.create(put)
    else:
        await store.commit(put, found.etag if found else None, [])


async def _began_with(log: EventLog, entries: Sequence[Any]) -> bool:
    """Whether the log took over *entries* as its first version: then all of them are still there."""
    return not entries or same(await _items(log, 1), [_loaded(entry) for entry in entries])


async def _items(log: EventLog, at: int | None) -> list[Any]:
    """Return the items of a version, None for the newest."""
    view = await log.read(None, at)
    texts = set(view.texts)
    return [_loaded(item) if place in texts else item for place, item in enumerate(view.items)]


async def _only(recorded: Recorded) -> AsyncIterator[Recorded]:
    yield recorded


def _compare(source: Sequence[Any], copy: Sequence[Any]) -> None:
    """Raise SessionExists, saying where, unless both are equal."""
    for place, (one, other) in enumerate(zip(source, copy, strict=False)):
        if not same(one, other):
            raise SessionExists(f"item {place} differs from the source's; {_TWO_WAYS}")
    if len(source) != len(copy):
        raise SessionExists(f"there are {len(copy)} items, {len(source)} in the source; {_TWO_WAYS}")


def _loaded(entry: Any) -> Any:
    """Return the item that a `DaprSession` reads from *entry*; itself where it would skip it."""
    try:
        return json.loads(entry)
    except (ValueError, TypeError, RecursionError):
        return entry


def _text(item: Any) -> str:
    return json.dumps(item, separators=(",", ":"))
