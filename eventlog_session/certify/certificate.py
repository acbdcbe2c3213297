"""
What is guaranteed on a state store component, asked of the component itself.

`certify` runs the probes with throw-away keys, compares what it saw with what `stores.dapr` assumes of that type of component,
and says in plain words which guarantees of the log hold there. It needs no rights beyond those of a session.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import orjson

from ..errors import StoreRefused
from ..limits import Limits
from ..runtime import Runtime
from .report import Finding, findings, lines, own_ttl

if TYPE_CHECKING:
    from dapr.aio.clients import DaprClient

    from ..stores.component import Description
    from ..stores.dapr import Profile
    from .observations import Seen

FAILOVER = {
    "state.redis": "Redis replicates asynchronously: a failover can take acknowledged commits back (ForkDetected tells)",
    "state.in-memory": "everything is lost when the sidecar restarts",
    "state.in-memory-plain": "everything is lost when the sidecar restarts",
    "state.sqlite": "there is one copy, in the sidecar's file",
}


@dataclass(frozen=True, slots=True)
class Guarantee:
    """One promise. *kept* is None where nobody can tell by asking; *law* ones must be kept for a log to be kept here."""

    name: str
    kept: bool | None
    why: str
    law: bool = True


@dataclass(frozen=True, slots=True)
class Difference:
    """Where `stores.dapr` assumes something else than was seen. Only an unsafe one matters, the others cost round trips."""

    trait: str
    unsafe: bool
    text: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was asked of a component and what follows. `ok` is the verdict, `str` the report."""

    store: str
    component: "Description"
    profile: str
    """What `stores.dapr` assumes of it."""
    known: bool
    """It has a profile of its own, not the cautious one of a stranger."""
    calls: int
    seconds: float
    left: int
    """Keys that could not be deleted again."""
    seen: "Seen"
    findings: tuple[Finding, ...]
    guarantees: tuple[Guarantee, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Every law of the log can be kept on the component with what is assumed of it."""
        broken = any(guarantee.law and guarantee.kept is False for guarantee in self.guarantees)
        return not broken and not any(difference.unsafe for difference in self.differences)

    def to_json(self) -> str:
        """Return all of it as one JSON document."""
        return orjson.dumps({"ok": self.ok, **asdict(self)}, option=orjson.OPT_INDENT_2).decode()

    def __str__(self) -> str:
        return "\n".join(lines(self))


class NoEtags(StoreRefused):
    """The component can't guard a write by an etag: no law of the log can be kept there. Choose another one."""


async def certify(
    client: "DaprClient | str",
    store_name: str,
    *,
    runtime: Runtime = Runtime(),
    progress: Callable[[int, int, str], None] | None = None,
) -> Certificate:
    """
    Ask the component *store_name* how it behaves and return what is guaranteed on it; takes a few seconds.

    *client* is a `DaprClient`, which stays open, or a sidecar's address. All keys written are deleted again. Raises
    `Unavailable` when there is no sidecar, and `StoreRefused` when it has no such store or the store has no etags.
    """
    from ..stores.component import Component  # noqa: PLC0415
    from ..stores.sidecar import SidecarClient  # noqa: PLC0415
    from .probes import Probing  # noqa: PLC0415 all of Dapr, which `--list` and `--help` need not

    opened = SidecarClient(client) if isinstance(client, str) else None
    component, start, left = Component(opened or client, store_name), runtime.monotonic(), 0  # type: ignore[arg-type]
    try:
        description = await component.describe()
        if description.capabilities and "ETAG" not in description.capabilities:
            raise NoEtags(
                f"{store_name} ({description.type}) has no etags: two writers would overwrite each other unseen, so no log can "
                "be kept on it; choose a component with the capability ETAG"
            )
        try:
            seen = await Probing(component, progress).run(description)
        finally:
            left = await component.clean()
    finally:
        if opened is not None:
            await opened.close()
    return judge(store_name, description, seen, calls=component.calls, seconds=runtime.monotonic() - start, left=left)


def judge(
    store: str, description: "Description", seen: "Seen", *, calls: int = 0, seconds: float = 0, left: int = 0
) -> Certificate:
    """Return what follows from what was seen."""
    profile, known = assumed(description.type, description.version)
    notes = [f"{left} keys of this run could not be deleted"] if left else []
    if seen.twice:
        notes.append("every operation runs twice: take writeTimeout out of the component's metadata")
    if description.resiliencies:
        policies = ", ".join(description.resiliencies)
        notes.append(
            f"resiliency is loaded ({policies}): a retry or a circuit breaker on this component makes outages of conflicts"
        )
    return Certificate(
        store=store, component=description, profile=summary(profile), known=known, calls=calls, seconds=round(seconds, 1),
        left=left, seen=seen, findings=tuple(findings(description.type, seen, profile)),
        guarantees=tuple(_guarantees(description, seen, profile)),
        differences=tuple(_differences(seen, profile)), notes=tuple(notes),
    )  # fmt: skip


# ---- what is assumed ---------------------------------------------------------------------------------------------------


def assumed(component_type: str, version: str) -> "tuple[Profile, bool]":
    """Return what `stores.dapr` assumes of a component, and whether it knows it."""
    from ..stores.dapr import SAFE, profile_of  # noqa: PLC0415 half a second of Dapr

    profile = profile_of(component_type, version)
    return profile or SAFE, profile is not None


def summary(profile: "Profile") -> str:
    """Return a profile in a few words."""
    traits = profile.traits
    words = [
        "creates atomically" if traits.atomic_create else "creates an empty head first",
        "any bytes" if traits.keeps_bytes else "text only",
        "success believed" if traits.trusted else "success read back",
    ]
    return ", ".join(words + ["next etag predicted"] * profile.counts)


@cache
def runs() -> tuple[dict[str, Any], ...]:
    """Return which components this release was certified on, as ``make certify`` wrote it down."""
    return tuple(orjson.loads((files(__package__) / "certified.json").read_bytes()))


def known_types() -> Iterator[dict[str, Any]]:
    """Yield each known component type: its version, its profile, and the runs that showed it; "from source" without one."""
    from ..stores.dapr import PROFILES  # noqa: PLC0415 half a second of Dapr

    shown = {(run["type"], run["version"]) for run in runs()}
    types = shown | {(name, "") for name in PROFILES if name not in {ran for ran, _ in shown}}
    for name, version in sorted(types):
        of = [run for run in runs() if (run["type"], run["version"]) == (name, version)]
        yield {
            "type": name,
            "version": version,
            "profile": summary(assumed(name, version)[0]),
            "known": "run" if of else "from source",
            "runs": of,
        }


# ---- judging -----------------------------------------------------------------------------------------------------------


def _guarantees(description: "Description", seen: "Seen", profile: "Profile") -> Iterator[Guarantee]:
    yield _guarantee("exactly once", "one commit wins each version, and only it is acknowledged", _doubts(seen, profile))
    batch = [] if not seen.chain.torn else [f"{seen.chain.torn} commits stood without their events"]
    yield _guarantee(
        "atomic batch", "a commit stands whole" if seen.transactions else "events first, then the head: two trips", batch
    )
    yield _guarantee("past versions stable", "what was written stays as it was", _losses(description, seen))
    wrong = [] if seen.bulk.right and seen.sizes.reply != "wrong" else ["a bulk read returned values of other keys"]
    yield _guarantee("damage reported", "a read is whole or an error", wrong)
    yield _guarantee("ttl whole", "a session expires as one, and a write renews it", _expiries(seen))
    gone = [] if seen.deletes else ["a deleted key was still there, or another one had gone with it"]
    yield _guarantee("erased is gone", "a deleted key is gone", gone)
    yield _first_commit(seen, profile)
    fits = seen.sizes.value and seen.sizes.operations and seen.sizes.request >= Limits().commit_bytes
    yield _guarantee("default limits fit", "", [] if fits else ["large commits are refused; see the sizes above"], law=False)
    why = FAILOVER.get(description.type, "depends on how the server replicates, which can't be asked")
    survives = False if description.type in FAILOVER else None
    yield Guarantee("acknowledged commits survive a failover", survives, f"{why} [from the docs]", law=False)


def _guarantee(name: str, why: str, doubts: list[str], *, law: bool = True) -> Guarantee:
    return Guarantee(name, not doubts, "; ".join(doubts) or why, law)


def _first_commit(seen: "Seen", profile: "Profile") -> Guarantee:
    kept: bool | None = True
    why = "creating a head is atomic"
    if not seen.created(profile):
        kept, why = False, "a rival that creates the head, too, can undo a session's first commit (ForkDetected tells)"
    elif not profile.traits.atomic_create:  # where it is racy, 1 run in 10 does not show it (measured on etcd)
        kept, why = None, "creating a head was atomic in every round, which is no proof"
    return Guarantee("first commit safe from a rival", kept, why, law=False)


def _doubts(seen: "Seen", profile: "Profile") -> list[str]:
    """Return why a commit might stand twice, be undone or be acknowledged in vain."""
    chain, swaps, found = seen.chain, seen.swaps, []
    if not chain.stale_refused:
        found.append("an outdated etag was accepted")
    if not chain.distinct:
        found.append("an etag was issued again for another value")
    if max(swaps.stood) > 1:
        found.append(f"{max(swaps.stood)} of 16 writers with one etag stood one after the other")
    if len(chain.etags) == 1 or not any(swaps.stood):
        found.append("no conditional write ever stood")
    if (false := seen.false(profile)) and profile.traits.trusted:
        found.append(f"{false} commits were reported and did not stand")
    if profile.traits.atomic_create and not seen.created(profile):
        found.append("a head is created by each of several writers")
    return found


def _losses(description: "Description", seen: "Seen") -> list[str]:
    found = []
    if "changed" in (seen.arrays_saved, seen.arrays_committed) or "refused" in (seen.arrays_saved, seen.arrays_committed):
        found.append("JSON arrays don't come back as they were written")
    if not seen.ttl.stays:
        found.append("a value without a ttl vanished")
    elif own_ttl(description.type, seen):
        found.append("the component's ttlInSeconds is set, so history expires under a live session: take it out")
    return found


def _expiries(seen: "Seen") -> list[str]:
    ttl, found = seen.ttl, []
    if not (ttl.saved and ttl.committed):
        found.append("a value with a ttl of 2 s was still there after 10 s")
    if not ttl.renewed:
        found.append("a value expired although a write had renewed it")
    return found


def _differences(seen: "Seen", profile: "Profile") -> Iterator[Difference]:
    traits = profile.traits
    if traits.atomic_create and not seen.created(profile):
        yield Difference("atomic_create", True, f"creating a head is taken for atomic, and it is {seen.creation(profile).kind}")
    if not traits.atomic_create and (seen.create_committed or seen.create_saved).kind == "atomic":
        yield Difference("atomic_create", False, "creating a head was atomic in every round; an empty one is put first")
    kept = {seen.bytes_saved, seen.bytes_committed} <= {"same", "decimals"}
    if traits.keeps_bytes and not kept:
        yield Difference("keeps_bytes", True, "bytes are taken to come back unchanged, and they don't")
    if not traits.keeps_bytes and kept:
        yield Difference("keeps_bytes", False, "bytes come back unchanged; base64 is written, a third larger")
    false = seen.false(profile)
    if traits.trusted and false:
        yield Difference("trusted", True, f"success is believed, and {false} reported commits did not stand")
    if not traits.trusted and not false:
        yield Difference("trusted", False, "every reported commit stood; each is read back before it is acknowledged")
    if profile.counts and not seen.chain.counts:
        yield Difference("counts", True, "etags are taken to grow by one, and they don't")
    if not profile.counts and seen.chain.counts:
        yield Difference("counts", False, "etags grow by one; they are read, not predicted")
