"""What was seen of a component: facts only, as `probes` collects them and `certify` judges them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ..stores.dapr import Profile

Kept = Literal["same", "decimals", "changed", "refused"]
"""What became of bytes: *decimals* is how Dapr's state encryption returns those of a transaction, ``[123 34 97]``."""


@dataclass(frozen=True, slots=True)
class Race:
    """Rounds of 16 writers at once, of whom one may win."""

    acknowledged: tuple[int, ...]
    """How many were told, in each round, that they had won."""
    stood: tuple[int, ...]
    """Of how many the value was seen to stand, by any of them, at any time: of more than one if it was overwritten."""
    false: int
    """Writers told that they had won, whose value nobody ever saw."""


@dataclass(frozen=True, slots=True)
class Creation:
    """One way to create a key only if it is absent."""

    refuses: bool
    """What the same way has created is left alone."""
    refuses_others: bool
    """So is what was written otherwise."""
    race: Race

    @property
    def kind(self) -> Literal["atomic", "overstated", "racy", "ignored", "impossible"]:
        """Whether it does what it should; *overstated*: one stood, and several were told so."""
        if not self.refuses:
            return "ignored"
        if not any(self.race.stood):
            return "impossible"
        if max(self.race.stood) > 1:
            return "racy"
        return "atomic" if max(self.race.acknowledged) <= 1 else "overstated"


@dataclass(frozen=True, slots=True)
class Chain:
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


@dataclass(frozen=True, slots=True)
class Ttl:
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


@dataclass(frozen=True, slots=True)
class Sizes:
    """What fits."""

    value: bool
    large_value: bool
    operations: bool
    request: int
    """Bytes of the largest commit that stood, 0 for none."""
    reply: Literal["error", "whole", "short", "wrong"]
    """What a bulk read of more than 4 MiB returns."""
    key: bool


@dataclass(frozen=True, slots=True)
class Bulk:
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

    def created(self, profile: "Profile") -> bool:
        """Return whether a head is created once, as far as `stores.dapr` goes about it; if it creates, it reads who did."""
        kind = self.creation(profile).kind
        return kind == "atomic" or (kind == "overstated" and profile.traits.atomic_create)

    def false(self, profile: "Profile") -> int:
        """Return how many commits were reported and did not stand."""
        creation = self.creation(profile)
        created = creation.race.false if profile.traits.atomic_create and creation.kind == "overstated" else 0
        return self.chain.false + self.swaps.false + created
