"""
What every operation costs in round trips and bytes, at every length of history, against what it cost when last looked at.

No time is measured: times differ from machine to machine, these numbers don't. ``tests/golden/traffic.json`` holds them. Trips
must be the same; calls and bytes may be off by `SLACK`, in either direction, so that what got better is pinned, too. After a
change that is meant, ``PYTHONPATH=. python tests/test_traffic.py`` writes the file anew and prints what moved.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from hashlib import shake_256
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from agents import Agent, RunConfig, Runner, function_tool
from agents.memory.session import SessionABC
from agents.testing import ScriptedModel, assistant_message, function_call
from dapr.aio.clients import DaprClient
from rig import Rig
from staged import Untold

from eventlog_session import EventLogSession, Limits, MemoryStore
from eventlog_session.core.keys import ID_LENGTH
from eventlog_session.runtime import Runtime
from eventlog_session.stores.base import Put
from eventlog_session.stores.dapr import DaprStore
from eventlog_session.testing import CountingStore

GOLDEN = Path(__file__).parent / "golden" / "traffic.json"
SIZES = (0, 10, 100, 1_000, 5_000)
SLACK = 0.02
"""zstd's releases differ by less. A change of the protocol or of a limit differs by more."""
STORES: Mapping[str, type[MemoryStore]] = {"etag told": MemoryStore, "etag not told": Untold}
"""Of what a commit answers: Redis's etags can be told in advance, those of SQL stores are read behind it."""
ADDS = 128
"""Enough to seal the tail several times, and the segment that the head carries once."""
POPS = 24
SESSION = "traffic"
T = TypeVar("T")
Table = dict[str, dict[str, dict[str, dict[str, int]]]]
"""Costs as JSON: by store, operation and length of the history."""


@dataclass
class Cost:
    """
    What some operations came to. *trips* are those that callers waited for, one after the other.

    *calls* and bytes are all there were, those behind the operations included; *largest* are the most bytes one of them sent.
    """

    operations: int = 0
    trips: int = 0
    calls: int = 0
    sent: int = 0
    received: int = 0
    largest: int = 0


# ---- the same bytes each time ------------------------------------------------------------------------------------------

SYLLABLES = "ba de fi go hu ka le mi no pu ra se ti vo wy za che sho thi tru ster ing er es ed al or an en in".split()  # noqa: SIM905


def word(number: int) -> str:
    """Return one of 2,000 words."""
    return "".join(SYLLABLES[byte % len(SYLLABLES)] for byte in shake_256(b"word %d" % number).digest(1 + number % 4))


def item(number: int) -> Any:
    """Return the item at *number* of every history: a user's or the model's, about 330 bytes that compress as prose does."""
    drawn = shake_256(b"words %d" % number).digest(160)
    pairs = zip(drawn[::2], drawn[1::2], strict=True)
    text = " ".join(word(one * two // 32) for one, two in pairs)  # the product: some words are said more often than others
    if number % 2 == 0:
        return {"role": "user", "content": text[:298]}
    content = [{"annotations": [], "text": text[:139], "type": "output_text", "logprobs": []}]
    name = shake_256(b"name %d" % number).hexdigest(24)
    return {"id": f"msg_{name}", "content": content, "role": "assistant", "status": "completed", "type": "message"}


@dataclass
class Course:
    """Time and chance that take the same course each time; another for each *name*."""

    name: str
    now: float = 1_700_000_000.0
    drawn: int = 0

    def clock(self) -> float:
        """Return the seconds since 1970."""
        return self.now

    def draw(self, size: int) -> bytes:
        """Return *size* bytes that nobody draws twice."""
        self.drawn += 1
        return shake_256(f"{self.name} {self.drawn}".encode()).digest(size)

    def runtime(self) -> Runtime:
        """Return a runtime on this course."""
        return Runtime(clock=self.clock, monotonic=self.clock, random_bytes=self.draw, uniform=lambda low, high: high)


class Watched(SessionABC):
    """A session on *store* that counts what each call of it costs, with nothing under way before it."""

    def __init__(self, store: CountingStore, course: Course, session_id: str = SESSION) -> None:
        self.session_id = session_id
        self.cost = Cost()
        self._store = store
        self._course = course
        self._session = EventLogSession(session_id, store=store)
        self._session._runtime = course.runtime()

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """Count, as all that follow."""
        return await self._count(self._session.get_items(limit))

    async def add_items(self, items: list[Any]) -> None:  # noqa: D102
        await self._count(self._session.add_items(items))

    async def pop_item(self) -> Any:  # noqa: D102
        return await self._count(self._session.pop_item())

    async def clear_session(self) -> None:  # noqa: D102
        await self._count(self._session.clear_session())

    async def settle(self) -> None:
        """Wait for what goes on behind the calls."""
        await (await self._session._log()).settle()

    async def _count(self, call: Awaitable[T]) -> T:
        self._course.now += 2.345678  # as between the turns of a conversation
        self._store.reset()
        answer = await call
        self.cost.trips += self._store.trips
        await self.settle()
        self.cost.operations += 1
        self.cost.calls += self._store.calls.total()
        self.cost.sent += self._store.sent
        self.cost.received += self._store.received
        self.cost.largest = max(self.cost.largest, self._store.sent)
        return answer


# ---- what is counted ---------------------------------------------------------------------------------------------------


async def get_all(session: Watched, history: list[Any]) -> None:
    """Read everything."""
    assert await session.get_items() == history


async def get_10(session: Watched, history: list[Any]) -> None:
    """Read the end."""
    assert await session.get_items(limit=10) == history[-10:]


async def add(session: Watched, history: list[Any]) -> None:
    """Add one item."""
    await session.add_items([item(len(history))])
    history.append(item(len(history)))


async def adds(session: Watched, history: list[Any]) -> None:
    """Add one item at a time, as between model calls."""
    for _ in range(ADDS):
        await add(session, history)


async def pops(session: Watched, history: list[Any]) -> None:
    """Take the newest items back; of an empty history one that is not there."""
    for _ in range(max(1, min(POPS, len(history)))):
        assert await session.pop_item() == (history.pop() if history else None)


async def clear(session: Watched, history: list[Any]) -> None:
    """Empty it."""
    await session.clear_session()
    history.clear()


async def run(session: Watched, history: list[Any]) -> None:
    """Have an agent call three tools, one after the other, and answer."""

    @function_tool
    async def look_up(order: str) -> str:
        """Look an order up."""
        return f"order {order}: shipped"

    steps = [[function_call("look_up", {"order": str(number)}, call_id=f"call-{number}")] for number in range(3)]
    model = ScriptedModel([*steps, [assistant_message("all three were shipped")]])
    desk: Agent[Any] = Agent(name="desk", model=model, tools=[look_up])
    result = await Runner.run(desk, "where are they?", session=session, run_config=RunConfig(tracing_disabled=True))
    assert result.final_output == "all three were shipped"
    history.extend(result.to_input_list()[-8:])


OPERATIONS: Mapping[str, tuple[bool, Callable[[Watched, list[Any]], Awaitable[None]]]] = {
    "get all, cold": (False, get_all),
    "get all, warm": (True, get_all),
    "get 10, cold": (False, get_10),
    "get 10, warm": (True, get_10),
    "add, cold": (False, add),
    "add": (True, adds),
    "pop": (True, pops),
    "clear": (True, clear),
    "run, 3 tools": (False, run),
}
"""Whether the session was read before, and what is done with it."""


async def cost_of(operation: str, store: CountingStore, size: int, session_id: str = SESSION) -> Cost:
    """Return what *operation* costs on a history of *size* items; its effect is checked."""
    warm, work = OPERATIONS[operation]
    history = [item(number) for number in range(size)]
    course = Course(f"{operation} {size}", now=1_700_100_000.0)
    session = Watched(store, course, session_id)
    if warm:
        await session.get_items()
        session.cost = Cost()
    await work(session, history)
    assert await EventLogSession(session_id, store=CountingStore(store)).get_items() == history
    return session.cost


async def histories(sizes: Sequence[int] = SIZES, session_id: str = SESSION) -> dict[int, dict[str, tuple[bytes, int, float]]]:
    """Return what a store holds at each of *sizes*: of a conversation of one item to each event."""
    course = Course("history")
    store = MemoryStore(clock=course.clock)
    session = EventLogSession(session_id, store=store)
    session._runtime = course.runtime()
    held = {}
    for number in range(max(sizes) + 1):
        if number in sizes:
            await (await session._log()).settle()
            held[number] = deepcopy(store._values)
        await session.add_items([item(number)])
        course.now += 2.345678
    return held


async def count() -> Table:
    """Return what everything costs everywhere."""
    held = await histories()
    table: Table = {}
    for name, kind in STORES.items():
        for operation in OPERATIONS:
            for size in SIZES:
                store = kind()
                store._values, store._writes = dict(held[size]), size * 10  # etags go on from there
                cost = await cost_of(operation, CountingStore(store), size)
                table.setdefault(name, {}).setdefault(operation, {})[str(size)] = asdict(cost)
    return table


def differences(old: Table, new: Table) -> list[str]:
    """Return a line for each number that moved from *old* to *new*: trips at all, the others by more than `SLACK`."""
    lines = []
    for place in sorted(_places(old) | _places(new)):
        before, after = _at(old, place), _at(new, place)
        slack = 0.0 if place[-1] in ("trips", "operations") else SLACK * max(before or 0, 1)
        if before is None or after is None or abs(after - before) > slack:
            lines.append(f"{', '.join(place)}: {before} -> {after}")
    return lines


def _places(table: Table) -> set[tuple[str, ...]]:
    return {
        (store, operation, size, name)
        for store, operations in table.items()
        for operation, sizes in operations.items()
        for size, cost in sizes.items()
        for name in cost
    }


def _at(table: Any, place: tuple[str, ...]) -> int | None:
    for name in place:
        table = table.get(name, {})
    return table if isinstance(table, int) else None


def write_golden() -> None:
    """Write what everything costs today, and print what moved."""
    table = asyncio.run(count())
    old = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else table
    GOLDEN.write_text(dumped(table))
    print("\n".join(differences(old, table)) or f"nothing moved by more than {SLACK:.0%}")  # noqa: T201


def dumped(table: Table) -> str:
    """Return *table* as JSON with a line for each cost, so that a diff can be read."""
    lines = json.dumps(table, indent=1)
    for store in table.values():
        for sizes in store.values():
            for cost in sizes.values():
                lines = lines.replace(json.dumps(cost, indent=1).replace("\n", "\n   "), json.dumps(cost))
    return lines + "\n"


# ---- the guard ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def counted() -> Table:
    """What everything costs today."""
    return asyncio.run(count())


def test_everything_costs_what_it_did(counted: Table) -> None:
    """Or the golden file was written anew, and its diff says what a change has brought."""
    moved = differences(json.loads(GOLDEN.read_text()), counted)
    again = "if it is meant: PYTHONPATH=. python tests/test_traffic.py"
    assert not moved, "\n".join([f"{len(moved)} numbers moved; {again}", *moved])


def test_what_counts_as_a_difference() -> None:
    """A trip more or less, and bytes beyond the slack either way; what is only on one side, too."""
    old = {"a": {"add": {"0": {"trips": 1, "sent": 100}}}}
    assert differences(old, {"a": {"add": {"0": {"trips": 1, "sent": 102}}}}) == []
    moved = differences(old, {"a": {"add": {"0": {"trips": 2, "sent": 97}}}})
    assert moved == ["a, add, 0, sent: 100 -> 97", "a, add, 0, trips: 1 -> 2"]
    moved = differences(old, {"a": {"pop": {"0": {"trips": 1}}}})
    assert moved == ["a, add, 0, sent: 100 -> None", "a, add, 0, trips: 1 -> None", "a, pop, 0, trips: None -> 1"]


def test_counting_is_reproducible() -> None:
    """To the byte, else the guard would cry wolf."""
    held = asyncio.run(histories((0, 300)))
    assert asyncio.run(histories((0, 300))) == held


@pytest.mark.parametrize("store", STORES)
def test_budgets_of_trips(counted: Table, store: str) -> None:
    """A warm change is one trip at any length; a read is one where the answer lies in the head, else two."""
    costs = {name: {int(size): Cost(**cost) for size, cost in sizes.items()} for name, sizes in counted[store].items()}
    for operation in ("add", "pop", "clear", "get 10, warm", "get all, warm"):
        for size, cost in costs[operation].items():
            assert cost.trips == cost.operations, (operation, size)
    for size in SIZES[1:]:  # of nothing, what a `DaprSession` left is looked for, too
        beyond = 0 if size <= 10 else 1
        assert costs["get 10, cold"][size].trips == 1, size
        assert costs["get all, cold"][size].trips <= 1 + beyond, size
        assert costs["add, cold"][size].trips == 2, size
        # a read, the input, three turns of a call and its output, the answer
        assert costs["run, 3 tools"][size].trips <= costs["run, 3 tools"][size].operations + beyond, size
    assert costs["get all, cold"][0].trips == costs["add, cold"][0].trips == 2


@pytest.mark.parametrize("store", STORES)
def test_budgets_of_bytes(counted: Table, store: str) -> None:
    """An append sends at most what `Limits` imply, at 5,000 items as at 100: the head, the event, sometimes two segments."""
    limits = Limits()
    row, rest, event = 110, 1 << 10, 1 << 10  # bytes of an index row; of a head's other fields; of an event of one item
    head = limits.tail_bytes + limits.carried_bytes + limits.recent_ids * ID_LENGTH + limits.index_segments * row + rest
    assert head <= 32 << 10
    for size in SIZES:
        cost = Cost(**counted[store]["add"][str(size)])
        assert cost.largest <= 1.1 * (head + event + limits.carried_bytes + limits.merge_bytes[-1]), size
        assert cost.sent <= 1.1 * ADDS * (head + event + 3 * event), size  # of what is sealed and merged each byte three times
        assert Cost(**counted[store]["get 10, cold"][str(size)]).received <= 32 << 10, size


# ---- the same on the wire ----------------------------------------------------------------------------------------------


class Wire:
    """Stands in for the generated stub of a `DaprClient` and counts what really goes to the sidecar and back."""

    def __init__(self, stub: Any) -> None:
        self.calls: list[str] = []
        self.sent = self.received = 0
        self._stub = stub

    def __getattr__(self, method: str) -> Any:
        async def call(request: Any, **options: Any) -> Any:
            self.calls.append(method)
            self.sent += request.ByteSize()
            reply = await getattr(self._stub, method)(request, **options)
            self.received += reply.ByteSize()
            return reply

        return call


class Total(CountingStore):
    """Counts all there is, from the beginning."""

    def reset(self) -> None:
        """Count on."""
        if not hasattr(self, "calls"):
            super().reset()


@pytest.mark.daprd
@pytest.mark.parametrize("operation", ["get all, cold", "get all, warm", "get 10, cold", "add", "pop"])
@pytest.mark.parametrize("size", [0, 1_000])
async def test_the_wire_carries_what_was_counted(rig: Rig, operation: str, size: int) -> None:
    """Through a real sidecar to Redis each call is one message, with at most 256 bytes around each key and value."""
    session_id = f"traffic-{uuid4().hex}"
    held = (await histories((size,), session_id))[size]
    client = DaprClient(address=rig.address)
    wire = vars(client)["_stub"] = Wire(client._stub)
    store = DaprStore(client, "redis")
    try:
        await store.traits()
        if held:
            await store.put_many([Put(key, value) for key, (value, _, _) in held.items()])
        wire.calls.clear()
        wire.sent = wire.received = 0
        total = Total(store)
        await cost_of(operation, total, size, session_id)
    finally:
        await client.close()  # type: ignore[no-untyped-call]
    assert len(wire.calls) == total.calls.total(), (wire.calls, total)
    around = 256 * (total.keys + total.calls.total())
    assert total.sent <= wire.sent <= total.sent + around, total
    assert total.received <= wire.received <= total.received + around, total


if __name__ == "__main__":
    write_golden()
