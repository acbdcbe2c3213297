"""
A store that fails as it is told to.

Scripted, for a test of one fault::

    store = FaultyStore(MemoryStore(), Script(commit=[None, Fault.LOST_REPLY]))

or by chance, from a seed, for a test of all of them::

    store = FaultyStore(ProfiledStore("redis"), Chance(Random(7).random, {Fault.LOST_REPLY: 0.1, Fault.LATE: 0.05}))

No time passes in it: a call fails at once, and a late write lands when others have gone before it.
"""

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import Any, Final, TypeVar

from ..errors import Unavailable
from ..stores.base import Committed, NotCommitted, Put, Store, Traits, Value

_T = TypeVar("_T")


class Fault(StrEnum):
    """What can go wrong with one call."""

    UNREACHABLE = "unreachable"
    """Surely not sent."""
    DROPPED = "dropped request"
    """Sent, never done, and nobody knows."""
    LOST_REPLY = "lost reply"
    """Done, and reported as failed."""
    LATE = "late write"
    """Reported as failed, and done after some later calls."""
    TWICE = "done twice"
    """Done and, since its reply was lost on the way, done again: it is the second reply that is heard."""
    TORN = "torn write"
    """Of a commit the head is refused and the values are written; of other writes the first half is done."""
    FALSE_SUCCESS = "false success"
    """A commit reported as done of which nothing was."""
    HOLES = "holes in a bulk read"
    """Some of the values that are there are not returned, and no error."""
    STALE = "stale bulk read"
    """None of the values that are there are returned, and no error: a replica that lags behind."""
    STALE_HEAD = "stale read of a head"
    """The value that was read the time before. No store may do that; it shows what would become of the log."""


_READS: Final = frozenset({Fault.UNREACHABLE, Fault.DROPPED})
_WRITES: Final = frozenset({Fault.UNREACHABLE, Fault.DROPPED, Fault.LOST_REPLY, Fault.LATE, Fault.TWICE})
APPLICABLE: Final[Mapping[str, frozenset[Fault]]] = {
    "get": _READS | {Fault.STALE_HEAD},
    "get_many": _READS | {Fault.HOLES, Fault.STALE},
    "commit": _WRITES | {Fault.TORN, Fault.FALSE_SUCCESS},
    "create": _WRITES,
    "put_many": _WRITES | {Fault.TORN},
    "delete_many": _WRITES | {Fault.TORN},
    "ping": frozenset({Fault.UNREACHABLE}),
}
"""Which faults each call can have."""

Faults = Callable[[str], Fault | None]
"""Says of the next call, by its method's name, what goes wrong with it."""


class Script:
    """
    The faults of each method's next calls, in order, None for a call that works; after the last everything works.

    Raises ValueError for a fault that the method can't have.
    """

    def __init__(self, **calls: Sequence[Fault | None]) -> None:
        for method, faults in calls.items():
            if not APPLICABLE.get(method, frozenset()).issuperset(fault for fault in faults if fault is not None):
                raise ValueError(f"{method} can't fail as in {faults}")
        self._left = {method: deque(faults) for method, faults in calls.items()}

    def __call__(self, method: str) -> Fault | None:
        """Return what goes wrong with the next call of *method*."""
        left = self._left.get(method)
        return left.popleft() if left else None


class Chance:
    """Each fault that a call can have, with its probability. *random* gives numbers from 0 to 1: ``Random(seed).random``."""

    def __init__(self, random: Callable[[], float], chances: Mapping[Fault, float]) -> None:
        self._random = random
        self._chances = {
            method: [(fault, chance) for fault, chance in chances.items() if fault in faults]
            for method, faults in APPLICABLE.items()
        }  # fmt: skip

    def __call__(self, method: str) -> Fault | None:
        """Return what goes wrong with the next call of *method*."""
        for fault, chance in self._chances[method]:
            if self._random() < chance:
                return fault
        return None


class FaultyStore:
    """
    *inner*, with the faults that *faults* asks for.

    It is a store of its own, as `CountingStore` is: several around one inner store are several processes' views of it. What
    is late lands before the call *late* calls after it, or at `land`.
    """

    injected: Counter[Fault]
    """Faults that happened, by kind."""
    down: bool
    """While this is set no call reaches the store."""

    def __init__(self, inner: Store, faults: Faults | None = None, *, late: int = 3) -> None:
        self._inner = inner
        self._faults = faults or Script()
        self._late_by = late
        self._late: deque[tuple[int, Callable[[], Awaitable[object]]]] = deque()
        self._calls = 0
        self._read: dict[str, Value | None] = {}
        self.injected = Counter()
        self.down = False

    def __repr__(self) -> str:
        faults = ", ".join(f"{fault}: {number}" for fault, number in sorted(self.injected.items())) or "no faults"
        return f"<FaultyStore{' down' if self.down else ''} {faults}>"

    @property
    def identity(self) -> object:
        """This wrapper and no other."""
        return ("faulty", id(self))

    async def traits(self) -> Traits:
        """Return the inner store's; never fails."""
        return await self._inner.traits()

    async def get(self, key: str) -> Value | None:
        """Read, unless it fails."""
        if await self._next("get") is Fault.STALE_HEAD and key in self._read:
            return self._read[key]
        self._read[key] = value = await self._inner.get(key)
        return value

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Read, unless it fails; with holes every other value is left out, from the first on."""
        fault = await self._next("get_many")
        if fault is Fault.STALE:
            return {}
        found = await self._inner.get_many(keys)
        return dict(list(found.items())[1::2]) if fault is Fault.HOLES else found

    async def commit(self, head: Put, etag: str | None, values: Sequence[Put]) -> Committed | NotCommitted:
        """Commit; what fails is an outcome and never raised."""
        write = partial(self._inner.commit, head, etag, values)
        try:
            fault = await self._next("commit")
            if fault is Fault.FALSE_SUCCESS:
                return Committed(None)
            if fault is Fault.TORN:
                await self._inner.put_many(values)
                return NotCommitted()
            return await self._write(fault, write)
        except _Unsent as error:
            return NotCommitted(error, sent=False)
        except Unavailable as error:
            return NotCommitted(error)

    async def create(self, head: Put) -> None:
        """Create; what fails is for the caller to read, as of any store."""
        try:
            await self._write(await self._next("create"), partial(self._inner.create, head))
        except Unavailable:
            return

    async def put_many(self, values: Sequence[Put]) -> None:
        """Put, unless it fails."""
        fault = await self._next("put_many")
        await self._write(fault, partial(self._inner.put_many, _torn(values, fault)))

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Delete, unless it fails."""
        fault = await self._next("delete_many")
        await self._write(fault, partial(self._inner.delete_many, _torn(keys, fault)))

    async def ping(self) -> None:
        """Answer, unless it fails."""
        await self._next("ping")
        await self._inner.ping()

    async def close(self) -> None:
        """Close the inner store; never fails."""
        await self._inner.close()

    async def land(self) -> int:
        """Have every late write done now, and return how many there were."""
        late, self._late = self._late, deque()
        for _, write in late:
            await write()
        return len(late)

    async def _next(self, method: str) -> Fault | None:
        """Return what goes wrong with this call; raise Unavailable if it is that it does not arrive."""
        self._calls += 1
        while self._late and self._late[0][0] <= self._calls:
            await self._late.popleft()[1]()
        fault = Fault.UNREACHABLE if self.down else self._faults(method)
        if fault is None:
            return None
        self.injected[fault] += 1
        if fault is Fault.UNREACHABLE:
            raise _Unsent("the store can't be reached")
        if fault is Fault.DROPPED:
            raise Unavailable("no answer")
        return fault

    async def _write(self, fault: Fault | None, write: Callable[[], Awaitable[_T]]) -> _T:
        if fault is Fault.LATE:
            self._late.append((self._calls + self._late_by, write))
            raise Unavailable("no answer yet")
        outcome = await write()
        if fault is Fault.TWICE:
            return await write()
        if fault in (Fault.LOST_REPLY, Fault.TORN):
            raise Unavailable("the reply was lost")
        return outcome


class _Unsent(Unavailable):
    """The request did not leave."""


def _torn(whole: Sequence[Any], fault: Fault | None) -> Sequence[Any]:
    return whole[: len(whole) // 2] if fault is Fault.TORN else whole
