"""What was seen of a component: facts only, as `probes` collects them and `certify` judges them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from .stores.dapr import Profile

Kept = Literal["same", "decimals", "changed", "refused"]
"""What became of bytes: *decimals* is how Dapr's state encryption returns those of a transaction, ``[123 34 97]``."""


class Race(NamedTuple):
    """Rounds of 16 at once, of which one may win. *false*: told that it had won, and did not stand when it looked."""

    acknowledged: tuple[int, ...]
    stood: tuple[int, ...]
    false: int

    @property
    def exact(self) -> bool:
        """One stood in every round, and nobody else was told so."""
        return set(self.stood) == {1} and max(self.acknowledged) <= 1


class Creation(NamedTuple):
    """One way to create a key only if it is absent."""

    refuses: bool
    """What the same way has created is left alone."""
    refuses_others: bool
    """So is what was written otherwise."""
    race: Race

    @property
    def kind(self) -> Literal["atomic", "racy", "ignored", "impossible"]:
        """Whether it does what it should."""
        if not self.refuses:
            return "ignored"
        if not any(self.race.stood):
            return "impossible"
        return "atomic" if self.race.exact else "racy"


class Chain(NamedTuple):
    """Commits one after the other, each on the etag the one before left."""

    etags: tuple[str, ...]
    false: int
    """Reported, and not there."""
    hidden: int
    """There, and reported as failed."""
    torn: int
    """There without what came with it."""
    stale_refused: bool
    """The first etag was of no use any more at the end."""
    get: float
    commit: float
    """Median seconds."""

    @property
    def distinct(self) -> bool:
        """No etag stood for two values."""
        return len(set(self.etags)) == len(self.etags)

    @property
    def counts(self) -> bool:
        """The etags are integers that grow by one, whatever else is written meanwhile."""
        if not all(etag.isdecimal() and etag.isascii() for etag in self.etags):
            return False
        return all(int(after) == int(before) + 1 for before, after in zip(self.etags, self.etags[1:], strict=False))


class Ttl(NamedTuple):
    """What became of values with two seconds to live."""

    saved: bool
    committed: bool
    """Gone in time, saved or committed."""
    renewed: bool
    """A write with a longer ttl kept it."""
    cleared: bool
    """A write without one kept it."""
    stays: bool
    """What never had one is still there."""
    visible: bool
    default: int | None
    """Seconds to live of what was written without a ttl; None where an expiry can't be seen."""


class Sizes(NamedTuple):
    """What fits."""

    value: bool
    large_value: bool
    operations: bool
    request: int
    """Bytes of the largest commit that stood, 0 for none."""
    reply: Literal["error", "whole", "short", "wrong"]
    """What a bulk read of more than 4 MiB returns."""
    key: bool


class Bulk(NamedTuple):
    """How a bulk read answers."""

    right: bool
    in_order: bool
    missing: Literal["empty", "left out", "error"]
    duplicates: int


@dataclass(frozen=True, slots=True)
class Seen:
    """All of it. None: can't be asked of a component without transactions."""

    transactions: bool
    chain: Chain
    rolls_back: bool | None
    missing_passes: bool
    restarts: bool
    twice: bool
    """An operation is executed twice."""
    create_saved: Creation
    create_committed: Creation | None
    create_never_issued: Creation
    swaps: Race
    bytes_saved: Kept
    bytes_committed: Kept
    arrays_saved: Kept
    arrays_committed: Kept
    sizes: Sizes
    bulk: Bulk
    ttl: Ttl
    deletes: bool

    def creation(self, profile: "Profile") -> Creation:
        """Return what was seen of the way in which `stores.dapr` creates a head."""
        if not profile.traits.atomic_create:
            return self.create_saved
        if profile.create_etag or self.create_committed is None:
            return self.create_never_issued if profile.create_etag else self.create_saved
        return self.create_committed
