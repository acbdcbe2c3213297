"""The port's specification, in the fewest lines; also for tests, where it needs nothing and forgets everything."""

from collections.abc import Callable, Mapping, Sequence
from time import time

from .base import Committed, NotCommitted, Put, Traits, Value


class MemoryStore:
    """A store in a dict. *clock* gives seconds since 1970, for ttl."""

    system = "memory"

    def __init__(self, *, clock: Callable[[], float] = time, traits: Traits = Traits(True, True, True, True)) -> None:
        self._clock = clock
        self._traits = traits
        self._values: dict[str, tuple[bytes, int, float]] = {}
        self._writes = 0

    @property
    def identity(self) -> object:
        return ("memory", id(self))

    async def traits(self) -> Traits:
        return self._traits

    async def get(self, key: str) -> Value | None:
        data, etag, expires = self._values.get(key, (b"", 0, 0.0))
        return Value(data, str(etag)) if self._clock() < expires else None

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        found = {key: await self.get(key) for key in keys}
        return {key: value.data for key, value in found.items() if value is not None}

    async def commit(self, head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:
        current = await self.get(head.key)
        if etag != (current.etag if current else None):
            return NotCommitted()
        await self.put_many(values)
        await self.put_many([head])
        return Committed(str(self._writes))

    async def create(self, head: Put) -> None:
        if await self.get(head.key) is None:
            await self.put_many([head])

    async def put_many(self, values: Sequence[Put]) -> None:
        for key, value, ttl in values:
            self._writes += 1
            self._values[key] = value, self._writes, float("inf") if ttl is None else self._clock() + ttl

    async def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._values.pop(key, None)

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None
