"""Reading what a plan asks for: rounds of bulk reads until nothing is missing, through the store's cache."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from threading import Lock
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

import orjson
from cachetools import LRUCache

from ..core import blob
from ..core.events import Event
from ..core.head import Head, Ref, node_refs
from ..core.keys import Keys, digest
from ..core.plan import Far, Loaded, Plan, collect, locate, plan, version_at
from ..core.run import Run
from ..core.trim import Trimmed, needed, without
from ..errors import CorruptLog, UnsupportedFormat
from ..limits import Limits
from ..runtime import Runtime
from ..stores.base import Store
from ..telemetry import Metered, Telemetry

_PAGES_AT_ONCE: Final = 4
_SINGLY_AT_ONCE: Final = 16
_T = TypeVar("_T")
_caches: WeakKeyDictionary[Store, "_Cache"] = WeakKeyDictionary()


class Gone(Exception):
    """A value that a head names is not in the store: the head has moved on since, or the log is damaged."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class Reader:
    """Reads one session's immutable values. All readers of a store share one cache, bounded in decompressed bytes."""

    def __init__(self, store: Store, keys: Keys, limits: Limits, telemetry: Telemetry | None = None) -> None:
        self._keys = keys
        self._limits = limits
        cache = _caches.get(store)
        if cache is None:
            cache = _caches[store] = _Cache(limits.cache_bytes)
        self._cache = cache
        self._telemetry = telemetry or Telemetry(store, keys, "", Runtime())
        self._store: Store = Metered(store, self._telemetry)
        self._prefix = keys.digest

    async def read(self, head: Head, version: int, need: int, own: Loaded | None = None) -> tuple[list[Any], list[int]]:
        """
        Return the newest *need* items of the history at *version*, and the positions of those kept as text.

        *own* holds values that are not in the store yet. Raises Gone, or CorruptLog for damaged bytes.
        """
        loaded = self._at_hand(own)
        return collect(await self._planned(head, loaded, version, need), loaded)

    async def _planned(self, head: Head, loaded: "_Loaded", version: int, need: int) -> Plan:
        """Return the final plan of a read, with all that it takes from *loaded*."""
        while (made := plan(head, loaded, version, need)).missing:
            await self._load(made.missing, loaded)
        return made

    async def origins(self, head: Head, version: int, need: int) -> list[tuple[int, int]]:
        """Return, for each of the items that `read` returns, the version that added it and its place among what that added."""
        loaded = self._at_hand()
        made = await self._planned(head, loaded, version, need)
        runs = [*head.runs(), *(value for value in loaded.values() if isinstance(value, Run))]
        far = {run.id_of(run.first + place): run.first + place for run in runs for place, odd in run.odd.items() if "f" in odd}
        found: list[tuple[int, int]] = []
        for source, low, high in reversed(made.takes):
            if isinstance(source, Run):
                found += map(source.origin, range(low, high))
            else:
                found += ((far[source.name], place) for place in range(low, high))
        return found

    async def place_of(self, head: Head, version: int) -> Run | Ref:
        """Return the run that holds *version*'s event, or the hole that is in its place."""
        loaded = self._at_hand()
        while isinstance(place := locate(head, loaded, version), Ref) and not place.hole:
            await self._load({place.name: place}, loaded)
        return place

    async def run_of(self, head: Head, version: int) -> Run:
        """Return the run that holds *version*'s event. Raises HistoryTrimmed when it was given up."""
        place = await self.place_of(head, version)
        if isinstance(place, Ref):
            raise head.trimmed(version)
        return place

    async def id_of(self, head: Head, version: int) -> str:
        """Return the id of the event that makes *version*: from the head, or from the segment that it has moved on to."""
        return head.recent_id(version) or (await self.run_of(head, version)).id_of(version)

    async def version_at(self, head: Head, time: int) -> int:
        """Return the last version committed at *time* (microseconds since 1970) or before; 0 if there is none."""
        return await self.found(lambda loaded: version_at(head, loaded, time))

    async def found(self, find: Callable[[Loaded], _T | Ref]) -> _T:
        """Return what *find* finds in what is loaded; when that is the reference to an unread value, that is read first."""
        loaded = self._at_hand()
        while isinstance(found := find(loaded), Ref):
            await self._load({found.name: found}, loaded)
        return found

    def remember(self, name: str, run: Run) -> None:
        """Have the segment *name* in the cache: it was just written from *run*."""
        self._at_hand().keep(name, run)

    async def items_of(self, far: Far) -> bytes:
        """Return a far event's items as a JSON array, from the store whatever the cache has. Raises Gone or CorruptLog."""
        loaded = _Loaded.private(self._prefix)
        await self._load({far.name: far}, loaded)
        data: bytes = loaded[far.name]
        return data

    def pages(self, sized: Iterable[tuple[_T, int]]) -> Iterator[list[_T]]:
        """Yield what is given with sizes in pages that one request can carry, see `Limits.pages`."""
        return self._limits.pages(sized)

    async def items_of_all(self, wanted: Sequence[Far]) -> dict[str, bytes]:
        """Return the items of far events as JSON arrays, by id, from the cache or read together. Raises Gone or CorruptLog."""
        loaded = self._at_hand()
        missing = {far.name: far for far in wanted if far.name not in loaded}
        if missing:
            await self._load(missing, loaded)
        return {far.name: loaded[far.name] for far in wanted}

    # ---- everything that a head names ------------------------------------------------------------------------------

    async def tree(
        self, refs: Sequence[Ref], *, loaded: "_Loaded | None" = None, faults: dict[str, Exception] | None = None
    ) -> list[Ref]:
        """
        Return *refs* and all references below them, nodes before what they name.

        Nodes that are missing or damaged go to *faults*, if given. Raises Gone or CorruptLog otherwise.
        """
        loaded = _Loaded.private(self._prefix) if loaded is None else loaded
        found: list[Ref] = []
        level = [ref for ref in refs if not ref.hole]
        while level:
            found += level
            nodes = {ref.name: ref for ref in level if ref.level}
            for page in [{name: ref} for name, ref in nodes.items()] if faults is not None else [nodes]:
                try:
                    await self._load(page, loaded)
                except (Gone, CorruptLog) as fault:
                    if faults is None:
                        raise
                    faults.update(dict.fromkeys(page, fault))
            level = [child for name in nodes for child in loaded.get(name, ()) if not child.hole]
        return found

    async def runs(self, segments: Sequence[Ref]) -> list[Run]:
        """Return the runs of *segments*, without those that are not in the store any more. Raises CorruptLog."""
        found = await self.values([self._keys.segment(ref.name) for ref in segments])
        there = [(ref, found[key]) for ref in segments if (key := self._keys.segment(ref.name)) in found]
        return [self.decoded(ref, [value]) for ref, value in there]

    async def each_page(self, head: Head, use: Callable[[Mapping[str, bytes]], Awaitable[None]]) -> None:
        """Call *use* with everything that *head* names, as stored, a request's worth at a time. Raises Gone or CorruptLog."""
        await self._pages([far for run in head.runs() for far in far_of(run)], use)
        await self._pages(await self.tree(head.index), use)

    async def _pages(self, wanted: Sequence[Ref | Far], use: Callable[[Mapping[str, bytes]], Awaitable[None]]) -> None:
        keys = [(want, key) for want in wanted for key in self._keys_of(want)]
        by_key = {key: want for want, key in keys}
        for page in self._limits.pages((key, want.size // max(1, getattr(want, "parts", 1))) for want, key in keys):
            found = await self.values(page)
            await use({key: found[key] if key in found else _gone(key) for key in page})
            segments = [(ref, found[key]) for key in page if isinstance(ref := by_key[key], Ref) and not ref.level]
            await self._pages([far for ref, value in segments for far in far_of(self.decoded(ref, [value]))], use)

    async def trimmed(self, head: Head, floor: int, *, binary: bool) -> Trimmed:
        """Return *head*'s index without what no version from *floor* on needs. Raises Gone or CorruptLog."""
        loaded = _Loaded.private(self._prefix)
        while isinstance(kept := needed(head, loaded, floor), dict):
            await self._load(kept, loaded)
        await self.tree(head.index, loaded=loaded)
        return without(head.index, loaded, kept, floor, binary=binary)

    def in_memory(self) -> Loaded:
        """Return what the cache has at the moment."""
        return _Loaded(self._cache, self._prefix)

    def _at_hand(self, own: Loaded | None = None) -> "_Loaded":
        return _Loaded(self._cache, self._prefix, own, hit=self._hit)

    def _hit(self) -> None:
        self._telemetry.count("cache_hits")

    # ---- reading values --------------------------------------------------------------------------------------------

    async def _load(self, missing: Mapping[str, Ref | Far], loaded: "_Loaded") -> None:
        """Read what is *missing* into *loaded* and the cache: in pages, a few at once."""
        self._telemetry.count("cache_misses", len(missing))
        wanted = {name: self._keys_of(want) for name, want in missing.items()}
        sizes = [
            (key, want.size // len(wanted[name]))
            for name, want in missing.items() for key in wanted[name]
        ]  # fmt: skip
        found = await self._read_pages(list(self._limits.pages(sizes)))
        for name, want in missing.items():
            values = [found[key] if key in found else _gone(key) for key in wanted[name]]
            loaded.keep(name, self.decoded(want, values))

    async def _read_pages(self, pages: Sequence[Sequence[str]]) -> Mapping[str, bytes]:
        if len(pages) == 1:  # as it mostly is: then without tasks
            return await self.values(pages[0])
        gate = asyncio.Semaphore(_PAGES_AT_ONCE)

        async def page(keys: Sequence[str]) -> Mapping[str, bytes]:
            async with gate:
                return await self.values(keys)

        return dict(chain.from_iterable(part.items() for part in await asyncio.gather(*map(page, pages))))

    async def values(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """
        Return what is stored under *keys*, without those under which there is nothing.

        What a bulk read leaves out is read again, one by one: it may be stale or cut short, and says nothing of it.
        """
        found = dict(await self._store.get_many(keys))
        await self._reread([key for key in keys if key not in found], found)
        return found

    async def _reread(self, missing: Sequence[str], found: dict[str, bytes]) -> None:
        for start in range(0, len(missing), _SINGLY_AT_ONCE):
            some = missing[start : start + _SINGLY_AT_ONCE]
            for key, value in zip(some, await asyncio.gather(*map(self._store.get, some)), strict=True):
                if value is not None:
                    found[key] = value.data

    def _keys_of(self, want: Ref | Far) -> list[str]:
        if isinstance(want, Ref):
            return [self._keys.node(want.name) if want.level else self._keys.segment(want.name)]
        if want.parts:
            return [self._keys.part(want.name, number) for number in range(want.parts)]
        return [self._keys.event(want.name)]

    def decoded(self, want: Ref | Far, values: list[bytes]) -> Any:
        """Return what *values* hold, checked. Raises CorruptLog, naming the key."""
        try:
            return self._decode(want, values)
        except UnsupportedFormat as error:
            raise UnsupportedFormat(f"{self._keys_of(want)[0]}: {error}") from error
        except (CorruptLog, orjson.JSONDecodeError, KeyError) as error:
            raise CorruptLog(f"{self._keys_of(want)[0]} is damaged: {error}; restore it from a backup") from error

    def _decode(self, want: Ref | Far, values: list[bytes]) -> Any:
        limit = self._limits.event_bytes
        if isinstance(want, Ref):
            if digest(values[0]) != want.name:
                raise CorruptLog("its bytes are not those it was named for")
            data = blob.decompress(blob.from_value(values[0]), limit)
            return node_refs(data) if want.level else Run.of(data, whole=True)
        if want.parts:
            packed = b"".join(map(blob.from_part, values))
            if digest(packed) != want.digest:
                raise CorruptLog("its parts are not those that were written")
            return orjson.dumps(orjson.loads(blob.decompress(packed, limit))["items"])
        if digest(values[0]) != want.digest:
            raise CorruptLog("its bytes are not those that were written")
        return Event.of(values[0]).items


class _Cache:
    """Decoded values up to a number of bytes, the least recently used leaving first; threads may share it with their loops."""

    def __init__(self, size: int) -> None:
        self._values: LRUCache[str, Any] = LRUCache(size, getsizeof=_weight)
        self._lock = Lock()

    def get(self, name: str) -> Any:
        """Return the value, None where there is none."""
        with self._lock:
            return self._values.get(name)

    def put(self, name: str, value: Any) -> None:
        """Keep *value* if it is no larger than a quarter of all there is room for."""
        if _weight(value) <= self._values.maxsize // 4:
            with self._lock:
                self._values[name] = value


class _Loaded(Mapping[str, Any]):
    """What one read has at hand: its own values and the shared cache's."""

    def __init__(
        self, cache: _Cache, prefix: str, own: Loaded | None = None, *, hit: Callable[[], None] = lambda: None
    ) -> None:
        self._cache = cache
        self._prefix = prefix
        self._own = dict(own or {})
        self._hit = hit

    @classmethod
    def private(cls, prefix: str) -> "_Loaded":
        """Return one without a cache, for a walk through everything that would push out of it what is read often."""
        return cls(_Cache(0), prefix)

    def keep(self, name: str, value: Any) -> None:
        """Have *value* at hand for the rest of this read, and in the cache if it fits."""
        self._own[name] = value
        self._cache.put(self._prefix + name, value)

    def __getitem__(self, name: str) -> Any:
        value = self._own.get(name)
        if value is None:
            value = self._cache.get(self._prefix + name)
            if value is None:
                raise KeyError(name)
            self._own[name] = value  # so that it is at hand even if it falls out meanwhile
            self._hit()
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


def far_of(run: Run) -> list[Far]:
    """Return the events of *run* that are read from their own keys."""
    return [Far.of(run.id_of(run.first + place), odd) for place, odd in run.odd.items() if "f" in odd]


def _weight(value: Any) -> int:
    if isinstance(value, Run):
        return len(value.items) + 128 * len(value)
    return len(value) if isinstance(value, bytes) else 256 * len(value)


def _gone(key: str) -> bytes:
    raise Gone(key)
