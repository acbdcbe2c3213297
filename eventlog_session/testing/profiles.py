"""
A store in memory that behaves as a real kind of store does where kinds differ.

What each does was measured on daprd 1.18 with components-contrib 1.18, or read in a component's source where it could not be
run (MongoDB, etcd). `MemoryStore` is the port's specification; this is what the port puts up with.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import time  # noqa: TID251 a store's clock is its own
from types import MappingProxyType
from typing import Final, NamedTuple

from ..stores.base import Committed, NotCommitted, Put, Traits, Value

TORN: Final = "torn transaction"
MISSING_PASSED: Final = "missing key passed an etag"
LOST_RACE_OK: Final = "lost race reported as success"
BORN_TWICE: Final = "creation wrote over a head"
FAILED_OVER: Final = "failover that forgot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How a kind of store behaves. The defaults are a database's."""

    traits: Traits
    """What it is to be treated as; see the Dapr adapter for real components."""
    rolls_back: bool = True
    """The head refused, nothing else is written. Else the other values are."""
    missing_passes: bool = False
    """An etag for a key that is not there passes."""
    counts: bool = False
    """A key's etag counts its writes from 1, and again from 1 after it was gone; else no etag is ever given twice."""
    keeps_ttl: bool = False
    """A write without ttl leaves an earlier one in force, and a head that is refused takes the new ttl all the same."""
    checks_first: bool = False
    """Looks and then writes: who is overtaken in between is told of success, and what it creates is written over all else."""
    head_last: bool = False
    """No transaction: the values are written first, the head after them."""


PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        "redis": Profile(
            traits=Traits(atomic_create=True, keeps_bytes=True, trusted=True, transactional=True),
            rolls_back=False, missing_passes=True, counts=True, keeps_ttl=True,
        ),
        "sql": Profile(traits=Traits(atomic_create=True, keeps_bytes=True, trusted=True, transactional=True)),
        "mongodb": Profile(traits=Traits(atomic_create=True, transactional=True), missing_passes=True),
        "etcd": Profile(traits=Traits(transactional=True), checks_first=True),
        "plain": Profile(traits=Traits(), head_last=True),
    }
)  # fmt: skip


class _Held(NamedTuple):
    data: bytes
    etag: int
    expires: float


class ProfiledStore:
    """
    A store in a dict that behaves as *profile* says, by its name in `PROFILES` or as one of your own.

    Several `FaultyStore` around one of it are several processes that share a store. *pause* is awaited wherever others may get
    in between, *clock* gives seconds since 1970. No commit tells more than Dapr does: an etag only where it can be predicted.
    """

    seen: Counter[str]
    """How often it behaved in a way that a plain `MemoryStore` does not, by kind."""

    def __init__(
        self,
        profile: str | Profile,
        *,
        clock: Callable[[], float] = time,
        pause: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0),  # noqa: TID251 no time passes
    ) -> None:
        self._profile = PROFILES[profile] if isinstance(profile, str) else profile
        self._clock = clock
        self._pause = pause
        self._held: dict[str, _Held] = {}
        self._journal: list[Mapping[str, _Held | None]] = []
        self._writes = 0
        self.seen = Counter()

    @property
    def identity(self) -> object:
        """This store and no other."""
        return ("profiled", id(self))

    async def traits(self) -> Traits:
        """Return the profile's."""
        return self._profile.traits

    async def get(self, key: str) -> Value | None:
        """Return what is there now."""
        held = self._live(key)
        return Value(held.data, str(held.etag)) if held else None

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what is there now."""
        return {key: held.data for key in keys if (held := self._live(key))}

    async def commit(self, head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:
        """Put *head* and *values* as the kind of store does."""
        profile = self._profile
        if profile.head_last:
            self._write(values)
            values = ()
            await self._pause()
        if not self._passes(head.key, etag):
            if not profile.rolls_back:
                self._tear(head, values)
            return NotCommitted()
        if profile.checks_first:
            await self._pause()
            if not self._passes(head.key, etag):
                self._saw(LOST_RACE_OK)
                self._write(values)
                return Committed(None)
        if etag is not None and self._live(head.key) is None:
            self._saw(MISSING_PASSED)
        self._write([head, *values])
        if profile.counts and head.ttl is None:
            return Committed(str(int(etag or 0) + 1))
        return Committed(None)

    async def create(self, head: Put) -> None:
        """Put *head* if there is none, or seems to be none."""
        if self._live(head.key) is not None:
            return
        if self._profile.checks_first:
            await self._pause()
            held = self._live(head.key)
            if held is not None and held.data != head.value:
                self._saw(BORN_TWICE)
        self._write([head])

    async def put_many(self, values: Sequence[Put]) -> None:
        """Put *values*."""
        self._write(values, clears=True)

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Delete *keys*."""
        self._journal.append({key: self._held.pop(key, None) for key in keys})

    async def ping(self) -> None:
        """Return at once."""

    async def close(self) -> None:
        """Keep everything: it may be opened again."""

    def hold(self, *values: Put) -> None:
        """Have *values*, as if they had always been there."""
        self._write(values)
        self._journal.clear()

    def peek(self, key: str) -> bytes | None:
        """Return what is kept under *key*, expired or not, as nobody who uses the store can."""
        return self._held[key].data if key in self._held else None

    def fail_over(self, writes: int) -> None:
        """Go back *writes* requests, as a replica does that has not heard of them; counted etags are then given again."""
        self._saw(FAILED_OVER)
        for _ in range(min(writes, len(self._journal))):
            for key, held in self._journal.pop().items():
                if held is None:
                    self._held.pop(key, None)
                else:
                    self._held[key] = held

    def _saw(self, kind: str) -> None:
        self.seen[kind] += 1

    def _live(self, key: str) -> _Held | None:
        held = self._held.get(key)
        return held if held is not None and self._clock() < held.expires else None

    def _passes(self, key: str, etag: str | None) -> bool:
        held = self._live(key)
        if held is None:
            return etag is None or self._profile.missing_passes
        return etag == str(held.etag)

    def _tear(self, head: Put, values: Sequence[Put]) -> None:
        self._saw(TORN)
        self._write(values)
        held = self._live(head.key)
        if self._profile.keeps_ttl and head.ttl is not None and held is not None:
            self._held[head.key] = held._replace(expires=self._clock() + head.ttl)

    def _write(self, values: Iterable[Put], *, clears: bool = False) -> None:
        """Put *values*; what *clears* an earlier ttl says so to the store, as the Dapr adapter does outside of commits."""
        before: dict[str, _Held | None] = {}
        for key, value, ttl in values:
            held = before[key] = self._live(key)
            self._writes += 1
            etag = (held.etag if held else 0) + 1 if self._profile.counts else self._writes
            expires = float("inf") if ttl is None else self._clock() + ttl
            if ttl is None and held and self._profile.keeps_ttl and not clears:
                expires = held.expires
            # text only: what is not UTF-8 comes back as something else
            data = value if self._profile.traits.keeps_bytes else value.decode(errors="replace").encode()
            self._held[key] = _Held(data, etag, expires)
        self._journal.append(before)
