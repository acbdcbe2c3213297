"""What a proxy does to requests and connections: at random from a seed, or by a script."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What is done to a request, or to a connection."""

    BEFORE = "cut before request"
    AFTER = "reply lost"
    WITHIN = "cut in reply"
    OUTAGE = "outage"
    """The reply is lost, and whoever connects within the next second is turned away: nobody can ask what came of it."""
    DELAY = "delay"
    REFUSE = "refused"


Decide = Callable[[bytes | None], Kind | None]
"""Is given each request's bytes, None for a new connection, and answers with what is to be done to it."""


def calm(_: bytes | None) -> Kind | None:
    """Do nothing to anything."""
    return None


@dataclass(frozen=True, slots=True)
class Chance:
    """Faults at random, each kind at its own rate (of requests; refusals of connections)."""

    chance: random.Random
    rates: Mapping[Kind, float]

    def __call__(self, request: bytes | None) -> Kind | None:
        """Draw."""
        drawn = self.chance.random()
        for kind, rate in self.rates.items():
            if (kind is Kind.REFUSE) == (request is None):
                drawn -= rate
                if drawn < 0:
                    return kind
        return None


class Once:
    """One fault, on the first request that holds *match*."""

    def __init__(self, kind: Kind, match: bytes) -> None:
        self._kind: Kind | None = kind
        self._match = match

    def __call__(self, request: bytes | None) -> Kind | None:
        """Answer with the fault, the first time it fits."""
        if request is None or self._match not in request:
            return None
        kind, self._kind = self._kind, None
        return kind
