"""How much is measured: budgets of time, and the scope of the parts that share one. The others' stands at their top."""

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

STORES = ("redis", "postgresql", "sqlite")
"""Dapr state store components of the rig. PostgreSQL is the component's version 2."""
SIZES = (0, 10, 100, 1_000, 5_000, 20_000)
"""Items of a history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Rounds of one case at one size: *least*, and more until *seconds* are spent, to *most*."""

    seconds: float
    least: int = 10
    most: int = 100

    def rounds(self, *, before: int = 0, step: int = 1) -> Iterator[int]:
        """Yield the numbers of the rounds, every *step*-th; *before* them so many that do not count."""
        begun = perf_counter()
        for number in range(0, before + self.most, step):
            if number >= before + self.least and perf_counter() > begun + self.seconds:
                break
            yield number


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a run measures. Sizes are the items of a history; at 0 one that is new, and one that was emptied."""

    parts: tuple[str, ...] = ()
    stores: tuple[str, ...] = STORES
    sizes: tuple[int, ...] = SIZES
    emptied: bool = True
    control: tuple[int, ...] = (10, 1_000)
    """Sizes at which DaprSession also meets itself."""
    matrix: Budget = Budget(seconds=4.0)
    item_stores: tuple[str, ...] = ("redis", "postgresql")
    items: Budget = Budget(seconds=2.5, most=60)
    tools: tuple[int, ...] = (0, 3, 10)
    """Tool turns of a whole run of an agent."""
    run_most: int = 5_000
    """Items of the longest history: Runner itself copies it several times each turn, for seconds at 20,000."""
    runs: Budget = Budget(seconds=3.5, least=7, most=40)
    reference: Budget = Budget(seconds=1.5)
    process_sizes: tuple[int, ...] = (0, 100, 1_000, 5_000)
    address_sizes: tuple[int, ...] = (100,)
    """Those of them at which the session also opens a connection of its own."""
    process_store: str = "redis"
    processes: Budget = Budget(seconds=25.0, least=8, most=16)
    """Cold processes of each implementation at each size."""


FULL = Scope()
QUICK = Scope(
    parts=("matrix",),
    stores=("redis", "postgresql"),
    sizes=(0, 100, 1_000, 5_000),
    emptied=False,
    control=(1_000,),
    matrix=Budget(seconds=3.0, most=50),
)
