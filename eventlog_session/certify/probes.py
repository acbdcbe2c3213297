"""
What `certify` asks of a component, with keys of its own, and what it saw. Judging that is left to `certify`.

A probe is a few calls whose outcome is then read back: what the component said is noted, what it did decides.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from hashlib import shake_256
from statistics import median
from typing import Literal
from uuid import uuid4

from ..core.keys import Keys, mint
from ..stores.component import Answer, Component, Description, Found, Unreadable, Write
from .observations import Bulk, Chain, Creation, Kept, Race, Seen, Sizes, Ttl

RACERS = 16
CREATIONS = 6
"""Rounds in which 16 create one key."""
SWAPS = 8
"""Rounds in which 16 swap one head."""
COMMITS = 16
"""Commits one after the other."""
TTL, LONG = 2, 600
PATIENCE = 10.0
"""Seconds until what has a ttl of two must be gone: some stores look once a second, or round up."""
CHANCES = 3
OPERATIONS = 90
VALUE = 256 << 10
REPLY = 17
"""Values of 256 KiB that are more than one reply of daprd's holds."""
REQUESTS = (3 << 20, 1 << 20, 512 << 10)
NEVER_ISSUED = "-1"

_BYTES = (bytes(range(256)), b"\xff\xfe\x00 no text", b"\x28\xb5\x2f\xfdpart\x00")
_ARRAYS = (
    b"[]",
    b"[5]",
    '["é ☃ \N{PILE OF POO} \\u0000 \\"\\\\"]'.encode(),
    b'[ 1.0, 12345678901234567890, -0.0, 1e400 , {"b":1,"a":2,"b":3} ]',
    b'["$set","$$ROOT",{"$date":0}]',
)
_WORST: Sequence[Kept] = ("refused", "changed", "decimals", "same")


class Probing:
    """One run over one component; *progress* is told before each part: how many are done, of how many, and what comes now."""

    def __init__(self, component: Component, progress: Callable[[int, int, str], None] | None = None) -> None:
        self._component = component
        self._keys = Keys(f"certify-{uuid4().hex}")
        self._transactions = True
        self._progress = progress or (lambda *_: None)
        self._done = 0

    async def run(self, description: Description) -> Seen:
        """Ask everything. Whoever calls cleans up."""
        self._transactions = await self._has_transactions(description)
        self._tell("commits one after the other")
        chain = await self._chain()  # alone, since it is timed
        expiring = asyncio.create_task(self._ttl())
        try:
            return await self._rest(chain, expiring)
        finally:
            expiring.cancel()
            await asyncio.gather(expiring, return_exceptions=True)

    async def _rest(self, chain: Chain, expiring: asyncio.Task[Ttl]) -> Seen:
        self._tell("refused commits")
        rolls_back, missing, restarts = await self._torn(), await self._missing(), await self._restarts()
        twice = chain.hidden > COMMITS // 2 or await self._jumps()
        self._tell("16 at once create a key")
        saved = await self._creation(lambda write: self._component.save(write._replace(first_write=True)))
        committed = None
        if self._transactions:
            committed = await self._creation(lambda write: self._commit(write._replace(first_write=True)))
        never = await self._creation(lambda write: self._commit(write._replace(etag=NEVER_ISSUED)))
        self._tell("16 at once swap a head")
        swaps = await self._swaps()
        self._tell("values")
        kept = [await self._kept(way, values) for values in (_BYTES, _ARRAYS) for way in (self._component.save, self._commit)]
        self._tell("sizes")
        sizes, bulk, deletes = await self._sizes(), await self._bulk(), await self._deletes()
        self._tell("waiting for a ttl to pass")
        return Seen(
            transactions=self._transactions, chain=chain, rolls_back=rolls_back, missing_passes=missing, restarts=restarts,
            twice=twice, create_saved=saved, create_committed=committed, create_never_issued=never, swaps=swaps,
            bytes_saved=kept[0], bytes_committed=kept[1], arrays_saved=kept[2], arrays_committed=kept[3],
            sizes=sizes, bulk=bulk, ttl=await expiring, deletes=deletes,
        )  # fmt: skip

    def _tell(self, title: str) -> None:
        self._progress(self._done, 7, title)
        self._done += 1

    # ---- what probes are made of -----------------------------------------------------------------------------------

    def _key(self) -> str:
        return self._keys.event(mint(uuid4().bytes[:10]))

    async def _commit(self, head: Write, *values: Write) -> Answer:
        """Commit as the log does: in one transaction, or the values first where there is none."""
        if self._transactions:
            return await self._component.transact(head, *values)
        for start in range(0, len(values), 8):
            if not (answer := await self._component.save(*values[start : start + 8])).ok:
                return answer
        return await self._component.save(head)

    async def _born(self) -> tuple[str, Found]:
        """Return a new key with what stands there."""
        key = self._key()
        await self._component.save(Write(key, _value()))
        found = await self._component.get(key)
        if found is None:
            raise Unreadable(f"{self._component.name} took a value and has nothing under its key")
        return key, found

    async def _holds(self, write: Write) -> bool:
        return await self._as(write) in ("same", "decimals")

    async def _as(self, write: Write) -> Kept:
        try:
            found = await self._component.get(write.key)
        except Unreadable:
            return "changed"
        if found is None:
            return "refused"
        return "same" if found.data == write.value else "decimals" if found.data == _decimals(write.value) else "changed"

    async def _put(self, write: Write, *values: Write, put: Callable[..., Awaitable[Answer]] | None = None) -> Kept:
        """Return what became of *write*: a store that now and then drops one is given three chances, others need but one."""
        for _ in range(CHANCES):
            await (put or self._commit)(write, *values)
            if (became := await self._as(write)) != "refused":
                return became
        return "refused"

    async def _race(self, attempt: Callable[[Write], Awaitable[Answer]], key: str) -> tuple[int, int, int]:
        """Have 16 attempt it at once: how many were told that they won, stood at any time, were told and never stood."""
        writes = {write.value: write for write in (Write(key, _value()) for _ in range(RACERS))}
        plain = {variant: value for value in writes for variant in (value, _decimals(value))}
        seen: set[bytes] = set()

        async def one(write: Write) -> bytes | None:
            answer = await attempt(write)
            found = await self._component.get(key)
            if found is not None and found.data in plain:
                seen.add(plain[found.data])
            return write.value if answer.ok else None

        told = {value for value in await asyncio.gather(*map(one, writes.values())) if value is not None}
        return len(told), len(seen), len(told - seen)

    # ---- the probes ------------------------------------------------------------------------------------------------

    async def _has_transactions(self, description: Description) -> bool:
        """Ask, whatever the sidecar lists: of several versions of Dapr, and for an empty list, the answer is what counts."""
        if "TRANSACTIONAL" in description.capabilities:
            return True
        return (await self._component.transact(Write(self._key(), _value()))).code != "UNIMPLEMENTED"

    async def _chain(self) -> Chain:
        component, false, hidden, torn = self._component, 0, 0, 0
        head, found = await self._born()
        etags = [found.etag]
        component.seconds.clear()
        for _ in range(COMMITS):
            write, event = Write(head, _value(), found.etag), Write(self._key(), _value())
            told = (await self._commit(write, event)).ok
            await component.save(Write(self._key(), _value()))  # a store-wide counter moves on, a key's own does not
            now = await component.get(head)
            if now is None:
                raise Unreadable(f"{component.name} lost a key while it was being written")
            stands = now.data in (write.value, _decimals(write.value))
            false, hidden = false + (told and not stands), hidden + (stands and not told)
            torn += stands and not await self._holds(event)
            found = now
            etags += [now.etag] if stands else []
        commit = "ExecuteStateTransaction" if self._transactions else "SaveState"
        get, commits = median(component.seconds["GetState"]), median(component.seconds[commit])
        await self._commit(Write(head, _value(), etags[0]))
        after = await component.get(head)
        return Chain(tuple(etags), false, hidden, torn, after == found, get, commits)

    async def _torn(self) -> bool | None:
        if not self._transactions:
            return None
        head, found = await self._born()
        await self._component.save(Write(head, _value()))
        event = Write(self._key(), _value())
        await self._component.transact(Write(head, _value(), found.etag), event)
        return not await self._holds(event)

    async def _missing(self) -> bool:
        key, found = await self._born()
        await self._component.delete(key)
        await self._commit(Write(key, _value(), found.etag))
        return await self._component.get(key) is not None

    async def _restarts(self) -> bool:
        key, before = await self._born()
        await self._component.delete(key)
        await self._component.save(Write(key, _value()))
        after = await self._component.get(key)
        return after is not None and after.etag == before.etag

    async def _jumps(self) -> bool:
        """Whether one write without an etag moves a key's own counter by two; PostgreSQL v1 counts for all keys together."""
        key = self._key()
        etags = []
        for _ in range(3):
            await self._commit(Write(key, _value()))
            found = await self._component.get(key)
            etags.append(found.etag if found else "")
        return etags == ["2", "4", "6"]

    async def _creation(self, create: Callable[[Write], Awaitable[Answer]]) -> Creation:
        other, found = await self._born()
        await create(Write(other, _value()))
        refuses_others = await self._component.get(other) == found
        key = self._key()
        await self._put(Write(key, _value()), put=create)
        first = await self._component.get(key)
        await create(Write(key, _value()))
        refuses = await self._component.get(key) == first
        rounds = [await self._race(create, self._key()) for _ in range(CREATIONS)]
        return Creation(refuses, refuses_others, _race_of(rounds))

    async def _swaps(self) -> Race:
        head, found = await self._born()
        rounds = []
        for _ in range(SWAPS):
            etag = found.etag
            rounds.append(await self._race(lambda write, etag=etag: self._commit(write._replace(etag=etag)), head))  # type: ignore[misc]
            found = await self._component.get(head) or found
        return _race_of(rounds)

    async def _kept(self, put: Callable[[Write], Awaitable[Answer]], values: Sequence[bytes]) -> Kept:
        """Return the worst that became of *values*."""
        ends = [await self._put(Write(self._key(), value), put=put) for value in values]
        return next(kind for kind in _WORST if kind in ends)

    async def _sizes(self) -> Sizes:
        fits = {size: await self._commits(_split(size)) for size in (VALUE, 4 * VALUE)}
        operations = await self._commits([_value()] * (OPERATIONS - 1))
        request = 0
        for size in REQUESTS:
            if await self._commits(_split(size, VALUE)):
                request = size
                break
        key = Write(self._key().ljust(100, "0"), _value())
        await self._component.save(key)
        return Sizes(fits[VALUE], fits[4 * VALUE], operations, request, await self._long_reply(), await self._holds(key))

    async def _commits(self, values: Sequence[bytes]) -> bool:
        """Whether a commit with these values stands, whole."""
        head, found = await self._born()
        events = [Write(self._key(), value) for value in values]
        kept = await self._put(Write(head, _value(), found.etag), *events)
        return kept in ("same", "decimals") and all(await asyncio.gather(*map(self._holds, events)))

    async def _long_reply(self) -> Literal["error", "whole", "short", "wrong"]:
        writes = [Write(self._key(), value) for value in _split(REPLY * VALUE, VALUE)]
        for write in writes:
            await self._component.save(write)
        reply = await self._component.get_bulk([write.key for write in writes])
        if isinstance(reply, Answer):
            return "error"
        found, sent = dict(reply), {write.key: write.value for write in writes}
        if any(data and data != sent.get(key) for key, data in found.items()):
            return "wrong"
        return "whole" if found == sent else "short"

    async def _bulk(self) -> Bulk:
        (a, first), (b, second), missing = await self._born(), await self._born(), self._key()
        asked = [b, missing, a, a]
        reply = await self._component.get_bulk(asked)
        if isinstance(reply, Answer):
            return Bulk(right=False, in_order=False, missing="error", duplicates=0)
        found = dict(reply)
        right = found.get(a) == first.data and found.get(b) == second.data and not found.get(missing)
        order = [key for key in dict(reply) if key != missing]
        duplicates = sum(key == a for key, _ in reply)
        return Bulk(right, order == [b, a], "empty" if missing in found else "left out", duplicates)

    async def _deletes(self) -> bool:
        (one, _), (other, _) = await self._born(), await self._born()
        await self._component.delete(one, self._key())
        return await self._component.get(one) is None and await self._component.get(other) is not None

    async def _ttl(self) -> Ttl:
        component = self._component
        saved, renewed, cleared, stays = (Write(self._key(), _value(), ttl=ttl) for ttl in (TTL, TTL, TTL, None))
        committed = [Write(self._key(), _value(), ttl=TTL) for _ in range(2)]
        await component.save(saved, renewed, cleared, stays)
        await self._commit(*committed)
        await self._put(renewed._replace(value=_value(), ttl=LONG))
        await self._put(cleared._replace(value=_value(), ttl=None))
        seen, unlimited = await component.get(renewed.key), await component.get(stays.key)
        going = [saved.key, *(write.key for write in committed)]
        left = set(going)
        for _ in range(int(PATIENCE / 0.1)):
            left = {key for key in going if await component.get(key) is not None}
            if not left:
                break
            await component.pause(0.1)
        await component.pause(1)  # another second for what was written in the same moment
        there = [await component.get(key) is not None for key in (renewed.key, cleared.key, stays.key)]
        limited, default = _expiry(seen), _expiry(unlimited)
        if limited is not None:  # etcd v2 says of what never expires that it has expired already
            default = max(0, default - limited + LONG) if default else 0
        return Ttl(
            saved=saved.key not in left, committed=not left - {saved.key},
            renewed=there[0], cleared=there[1], stays=there[2], visible=limited is not None, default=default,
        )  # fmt: skip


def _expiry(found: Found | None) -> int | None:
    """Return when a value expires, in seconds since 1970; None where the component doesn't say."""
    said = found.metadata.get("ttlExpireTime") if found else None
    return int(datetime.fromisoformat(said).timestamp()) if said else None


def _race_of(rounds: Sequence[tuple[int, int, int]]) -> Race:
    told, stood, false = zip(*rounds, strict=True)
    return Race(told, stood, sum(false))


def _value() -> bytes:
    """Return a small JSON array that no other call returns."""
    return b'["%s"]' % uuid4().hex.encode()


def _split(size: int, part: int | None = None) -> list[bytes]:
    """Return JSON arrays of *size* bytes together, each of *part* bytes and none like another; they don't compress."""
    part = part or size
    return [b'["%s"]' % shake_256(b"%d" % number).hexdigest(part // 2 - 2).encode() for number in range(size // part)]


def _decimals(value: bytes) -> bytes:
    """Return what Dapr's state encryption makes of a value in a transaction."""
    return b"[%s]" % b" ".join(b"%d" % byte for byte in value)
