"""How a certificate reads: the rows of its table, and the whole report as text."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..limits import Limits

if TYPE_CHECKING:
    from ..certify import Certificate
    from ..stores.dapr import Profile
    from .observations import Seen


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the table: what was asked, what was seen, and what follows for a log."""

    probe: str
    seen: str
    follows: str = ""


def lines(certificate: "Certificate") -> Iterator[str]:
    """Yield the report: what was asked and seen, what is kept and what is not, and what differs from the profile."""
    component = certificate.component
    yield (
        f"{certificate.store}  {component.type} {component.version} · Dapr {component.dapr} · app {component.app_id} · "
        f"{certificate.calls} calls in {certificate.seconds:.1f} s"
    )
    widths = [max(len(getattr(row, column)) for row in certificate.findings) for column in ("probe", "seen")]
    for row in certificate.findings:
        yield f"  {row.probe:{widths[0]}}  {row.seen:{widths[1]}}  {row.follows}".rstrip()
    for kept, word in ((True, "kept"), (False, "not kept"), (None, "not known")):
        found = [guarantee for guarantee in certificate.guarantees if guarantee.kept is kept]
        if kept:
            yield f"kept: {' · '.join(guarantee.name for guarantee in found) or '-'}"
        elif found:
            yield from (f"{word}: {guarantee.name}: {guarantee.why}" for guarantee in found)
        elif kept is False:
            yield "not kept: -"
    yield f"assumed: {certificate.profile}" + ("" if certificate.known else " (the type is not known: the cautious profile)")
    for difference in certificate.differences:
        yield f"{'UNSAFE' if difference.unsafe else 'note'}: {difference.text}"
    yield from (f"note: {note}" for note in certificate.notes)
    yield "verdict: a log can be kept here" if certificate.ok else "verdict: NO LOG CAN BE KEPT HERE as things are"


def findings(component_type: str, seen: "Seen", profile: "Profile") -> Iterator[Finding]:
    """Yield the rows of the table."""
    yield from _of_commits(seen, profile)
    yield from _of_values(seen)
    yield from _of_ttl(component_type, seen)
    yield from _of_sizes(seen)


def _of_commits(seen: "Seen", profile: "Profile") -> Iterator[Finding]:
    chain, swaps = seen.chain, seen.swaps
    yield Finding(
        "transactions", _yes(seen.transactions), "" if seen.transactions else "events first, then the head: two trips"
    )
    if seen.rolls_back is not None:
        harmless = "" if seen.rolls_back else "event keys are unique, so nothing is lost"
        yield Finding("etag mismatch rolls siblings back", _yes(seen.rolls_back), harmless)
    gone = "head is never deleted; erase leaves a tombstone"
    yield Finding("etag on a missing key", *(("passes", gone) if seen.missing_passes else ("refused",)))
    yield Finding("etags after deletion", *(("start again", gone) if seen.restarts else ("go on",)))
    yield Finding("outdated etag", "refused" if chain.stale_refused else "ACCEPTED")
    kind = "grow by one" if chain.counts else "opaque" if chain.distinct else "REPEAT"
    yield Finding("etags", kind, "the next one is predicted" if profile.counts and chain.counts else "")
    stood = "yes" if set(swaps.stood) == {1} else f"NO, {max(swaps.stood)}" if max(swaps.stood) > 1 else "never two"
    yield Finding("one of 16 writers wins", stood, f"{len(swaps.stood)} rounds")
    false = seen.false(profile)
    read = "NOT read back" if profile.traits.trusted else "the head is read before a commit is acknowledged"
    yield Finding("success means committed", *(("no", f"{false} false; {read}") if false else ("yes",)))
    hidden = f"{chain.hidden} of {len(chain.etags) - 1} commits were reported as failed; each is found by reading"
    yield Finding("one commit executed once", *(("no", hidden) if seen.twice else ("yes",)))
    rows = {"save": seen.create_saved, "transaction": seen.create_committed, 'etag "-1"': seen.create_never_issued}
    for way, creation in rows.items():
        if creation is not None and (creation.kind != "impossible" or creation is seen.creation(profile)):
            used = "so a head is created" if creation is seen.creation(profile) else ""
            if creation.kind == "atomic" and not creation.refuses_others:
                used = "what was written otherwise is overwritten"
            yield Finding(f"create if absent, by {way}", creation.kind, used)


def _of_values(seen: "Seen") -> Iterator[Finding]:
    for what, saved, committed in (
        ("JSON arrays", seen.arrays_saved, seen.arrays_committed),
        ("any bytes", seen.bytes_saved, seen.bytes_committed),
    ):
        follows = "state encryption: decoded on reading, four times the size" if committed == "decimals" else ""
        words = {"same": "yes", "decimals": "as decimal text", "changed": "NO", "refused": "refused"}
        seen_as = words[saved] if saved == committed else f"{words[saved]} (saved), {words[committed]} (committed)"
        yield Finding(f"{what} come back unchanged", seen_as, follows)
    bulk = seen.bulk
    order = (
        f"{'in order' if bulk.in_order else 'any order'}, missing {bulk.missing}, a key asked twice comes {bulk.duplicates}x"
    )
    yield Finding("bulk read", "right" if bulk.right else "WRONG", order)
    yield Finding("deleted keys are gone", _yes(seen.deletes))


def _of_ttl(component_type: str, seen: "Seen") -> Iterator[Finding]:
    ttl = seen.ttl
    yield Finding("ttl honoured", "yes" if ttl.saved and ttl.committed else "NO")
    yield Finding("ttl renewed by a write", "yes" if ttl.renewed else "NO")
    yield Finding("ttl cleared when omitted", *(("yes",) if ttl.cleared else ("no", "ttl is kept in the head and rewritten")))
    yield Finding("expiry visible", _yes(ttl.visible))
    if not ttl.stays or own_ttl(component_type, seen):
        yield Finding("ttl of the component's own", "SET", "take ttlInSeconds out of its metadata")
    else:
        told = ttl.visible or component_type == "state.redis"
        yield Finding(
            "ttl of the component's own", "none" if told else "can't be seen", "" if told else "look for ttlInSeconds"
        )


def _of_sizes(seen: "Seen") -> Iterator[Finding]:
    sizes, chain = seen.sizes, seen.chain
    fits = [size for size, fit in (("256 KiB", sizes.value), ("1 MiB", sizes.large_value)) if fit]
    yield Finding("values of", ", ".join(fits) or "less than 256 KiB", "" if sizes.value else "set Limits(value_bytes=...)")
    yield Finding("commit of 90 values", _yes(sizes.operations), "" if sizes.operations else "set Limits(commit_events=...)")
    small = "" if sizes.request >= Limits().commit_bytes else f"set Limits(commit_bytes={sizes.request or '...'})"
    yield Finding("largest commit", f"{sizes.request >> 10} KiB" if sizes.request else "less than 512 KiB", small)
    again = "empty items are read again singly" if sizes.reply == "short" else ""
    yield Finding("reply over 4 MiB", "WRONG" if sizes.reply == "wrong" else sizes.reply, again)
    yield Finding("key of 100 characters", _yes(sizes.key))
    yield Finding("median get / commit", f"{chain.get * 1e3:.1f} / {chain.commit * 1e3:.1f} ms")


def own_ttl(component_type: str, seen: "Seen") -> bool:
    """Return whether the component gives a ttl to what was written without one, as far as that can be told."""
    # Redis leaves an expiry alone unless a write names one: there, one that changes was named by the component itself
    return bool(seen.ttl.default) or (component_type == "state.redis" and seen.ttl.cleared)


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"
