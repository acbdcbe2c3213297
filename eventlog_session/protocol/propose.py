"""
What a commit consists of: intents decided on a head, and everything that has to be written with the head they make.

Nothing here is sent but what must be there before the commit that names it (the parts of large events, values renewed): what
becomes of a proposal is `commit`'s business. All that can fail for one caller alone fails here, with an answer of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..core.advance import Sealed, append, seal
from ..core.copy import Copy
from ..core.draft import Draft, draft
from ..core.events import (
    NO_VERSION,
    POPPED,
    REDONE,
    TAG,
    TAG_VERSION,
    TAGGED,
    TRIMMED,
    TRIMMED_BEFORE,
    UNDONE,
    Event,
)
from ..core.head import Head
from ..core.keys import Keys, mint
from ..core.merge import merged
from ..core.run import Run
from ..core.tombstone import GENERATIONS, Remains, Tombstone
from ..errors import (
    BeingErased,
    Conflict,
    EventLogError,
    IdempotencyKeyReused,
    NoSuchPoint,
    StoreRefused,
    TooManyTags,
)
from ..limits import Limits
from ..runtime import Runtime
from ..stores.base import Put, Store, Traits
from .adoption import MARK, Legacy, adoption
from .heads import Known
from .lane import Answer, Intent
from .reader import Reader
from .renew import Renewer, values_expire, values_ttl
from .sweep import Sweeper

_NOBODY = "-"
"""Generation of what is erased where there is no head, but perhaps what a `DaprSession` left."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A commit as it is sent: frozen until its fate is known."""

    base: Known
    head: Head
    put: Put
    answers: Mapping[Intent, Answer | EventLogError]
    ids: tuple[str, ...] = ()
    """Of the events that it adds; none when there is nothing to write, or with a *tombstone*."""
    values: Sequence[Put] = ()
    sealed: Mapping[str, Run] = field(default_factory=dict)
    """Segments among *values*, by name."""
    tombstone: Tombstone | None = None
    copied: bool = False
    """Whether the head is a copy's: its generation is this proposal's own, and tells that it stands."""

    @property
    def idle(self) -> bool:
        """Whether there is nothing to write."""
        return not self.ids and self.tombstone is None and not self.copied


class Proposer:
    """Decides what one session's intents come to on a head."""

    def __init__(
        self, keys: Keys, store: Store, reader: Reader, sweeper: Sweeper, renewer: Renewer, limits: Limits, runtime: Runtime
    ) -> None:  # fmt: skip
        self._keys = keys
        self._store = store
        self._reader = reader
        self._sweeper = sweeper
        self._renewer = renewer
        self._limits = limits
        self._runtime = runtime

    async def propose(self, known: Known, group: Sequence[Intent]) -> Proposal:
        """Return what to send so that *group* happens on top of *known*."""
        if group[0].copy is not None:
            return await self._copy(known, group[0], group[0].copy)
        if group[0].draft is None:
            return self._tombstone(known, group[0])
        head = known.head
        drafts: list[Draft] = []
        answers: dict[Intent, Answer | EventLogError] = {}
        adopting = [await self._adopting(known.legacy, group[0].ttl)] if known.legacy else []
        longest = max((intent.ttl for intent in group if intent.ttl is not None), default=0)
        for intent in (*adopting, *group):
            if intent.answer.done() or intent.draft is None:
                continue
            try:
                answer, head = await self._decide(head, intent, drafts, known, longest)
            except (NoSuchPoint, StoreRefused, Conflict, IdempotencyKeyReused, BeingErased, TooManyTags) as error:
                if intent in adopting:  # nothing is written over a history that could not be taken over
                    raise
                answers[intent] = error  # its own fault: the others of the group go on
                continue
            answers[intent] = answer
        if len(drafts) == len(adopting):
            return Proposal(known, known.head, Put(self._keys.head, b""), answers)
        return await self._freeze(known, head, drafts, answers)

    # ---- deciding one intent ---------------------------------------------------------------------------------------

    async def _decide(self, head: Head, intent: Intent, drafts: list[Draft], known: Known, longest: int) -> tuple[Answer, Head]:
        """
        Return what *intent* comes to on *head*, and the head after it; its draft is added to *drafts* if it is written.

        *longest* is the longest ttl that any of its group asks for: the head that will name its parts may have that one.
        """
        assert intent.draft is not None
        event = intent.draft.event
        seen = head.remembered(intent.draft.key) if intent.draft.key else None
        if seen is not None:
            if seen.content != intent.draft.content:
                raise IdempotencyKeyReused(f"version {seen.version} came with this key and other items; nothing was written")
            return Answer(seen.version), head
        if intent.expected is not None:
            intent.expected.check(head)
        length = head.length if event.base is None else await self._base_length(head, event.base)
        if _is_idle(head, event):
            return Answer(None), head
        known.check_not_being_erased()
        if intent.draft.ahead:
            ttl = head.ttl if intent.ttl is None else intent.ttl
            await self._write_ahead(intent, ttl if ttl is None else max(ttl, longest))
        items, texts = await self._last_items(head, event.pops, drafts) if event.kind == POPPED else ((), ())
        if event.kind == TRIMMED:
            head = await self._trimmed(head, int(event.extensions[TRIMMED_BEFORE]))
        elif event.kind == TAGGED:
            self._as_taggable(head, event)
        remember = self._limits.idempotent_events
        head = append(head, intent.draft, self._runtime.now(), length, ttl=intent.ttl, remember=remember)
        drafts.append(intent.draft)
        return Answer(head.version, items, texts), head

    async def _base_length(self, head: Head, base: int) -> int:
        """Return the length of the history at version *base*, that an event starts from."""
        if base == head.version:
            return head.length
        if base > head.version:
            raise NoSuchPoint(f"there is no version {base} yet; the newest is {head.version}")
        if 0 < base < head.floor:  # its own event may be kept for a later one's sake, and what came before it not
            raise head.trimmed(base)
        return (await self._reader.run_of(head, base)).length_at(base) if base else 0

    async def _write_ahead(self, intent: Intent, ttl: int | None) -> None:
        """
        Write the parts of a large event, a request's worth at a time, before the commit that will name them.

        Once, unless the session's ttl has grown beyond what they were written for.
        """
        assert intent.draft is not None
        now = int(self._runtime.clock())
        expire = intent.parts_expire
        lasting = expire is None or (ttl is not None and expire >= now + ttl)
        if intent.parts_written and lasting:
            return
        await self._put_ahead(intent.draft.ahead, ttl)
        intent.parts_written, intent.parts_expire = True, values_expire(now, ttl)

    async def _put_ahead(self, values: Mapping[str, bytes], ttl: int | None) -> None:
        for page in self._limits.pages((key, len(value)) for key, value in values.items()):
            await self._store.put_many([Put(key, values[key], values_ttl(ttl)) for key in page])

    async def _last_items(self, head: Head, number: int, drafts: Sequence[Draft]) -> tuple[Sequence[object], Sequence[int]]:
        """Return the items that a pop takes from *head*, which holds *drafts* that are not in the store yet."""
        own = {one.event.id: one.event.items for one in drafts if one.far}
        return await self._reader.read(head, head.version, number, own)

    def _as_taggable(self, head: Head, event: Event) -> None:
        """Raise NoSuchPoint when *head* has no such version to tag, TooManyTags when it has no room for a tag."""
        version = event.extensions.get(TAG_VERSION, str(head.version))
        if version == NO_VERSION:
            return
        if int(version) > head.version:
            raise NoSuchPoint(f"there is no version {version} yet; the newest is {head.version}")
        if int(version) < head.floor:
            raise head.trimmed(int(version))
        if event.extensions[TAG] not in head.tags and len(head.tags) >= self._limits.tags:
            raise TooManyTags(f"the session has {len(head.tags)} tags, as many as it can hold; take one away first")

    async def _trimmed(self, head: Head, floor: int) -> Head:
        """Return *head* without what no version from *floor* on needs; what it named goes to the trash."""
        if floor > head.version:
            raise NoSuchPoint(f"there is no version {floor} yet; the newest is {head.version}")
        await self._sweeper.empty(head)  # before the trash of an earlier trim is put out of sight
        index, nodes = await self._reader.trimmed(head, floor, binary=(await self._store.traits()).keeps_bytes)
        # ahead of the commit that names them, like parts: they may be more than one request holds
        await self._put_ahead({self._keys.node(name): value for name, value in nodes.items()}, head.ttl)
        trash = tuple(ref for ref in head.index if ref.first < floor) if nodes or index != head.index else ()
        return head._replace(index=index, floor=floor, trash=trash)

    async def _adopting(self, legacy: Legacy, ttl: int | None) -> Intent:
        """Return the intent to take over a `DaprSession`'s history."""
        event = adoption(legacy, self._runtime)
        return Intent(draft(event, self._keys, self._limits, binary=(await self._store.traits()).keeps_bytes), ttl=ttl)

    # ---- freezing --------------------------------------------------------------------------------------------------

    async def _freeze(
        self, known: Known, head: Head, drafts: Sequence[Draft], answers: Mapping[Intent, Answer | EventLogError]
    ) -> Proposal:
        """Return the commit that turns *known* into *head*, with everything that has to be written."""
        traits = await self._store.traits()
        head = head._replace(
            generation=head.generation or mint(self._runtime.random_bytes(10)),
            swept=max(head.swept, self._sweeper.upto(head)),
            trash=() if self._sweeper.emptied(head) else head.trash,
        )
        head, puts, runs = self._sealed(head, binary=traits.keeps_bytes)
        ttl = values_ttl(head.ttl)
        values = [Put(self._keys.event(one.event.id), one.value, ttl) for one in drafts]
        values += [Put(key, value, ttl) for key, value in puts.items()]
        values += self._mark(known, traits)
        named = [intent.parts_expire for intent in answers]  # earlier than what follows, if written for an attempt before
        if puts or head.trash or any(one.far for one in drafts):
            named.append(values_expire(head.updated // 1_000_000, head.ttl))
        named.append(await self._renewer.reach(known.head, head.ttl))
        expire = min((time for time in named if time is not None), default=None)
        if expire != head.values_expire:
            head = head._replace(values_expire=expire)
        ids = tuple(one.event.id for one in drafts)
        return Proposal(known, head, self._put(head, traits), answers, ids, values, runs)

    def _mark(self, known: Known, traits: Traits) -> list[Put]:
        """Return what says that a `DaprSession`'s history was taken over, if this commit does so and can say it."""
        if known.legacy is not None and traits.transactional and traits.atomic_create:  # else see `Sweeper.mark_adopted`
            return [Put(self._keys.adopted, MARK)]
        return []

    def _put(self, head: Head, traits: Traits) -> Put:
        lingering = None if head.ttl is None else head.ttl + self._limits.stray
        return Put(self._keys.head, head.to_bytes(binary=traits.keeps_bytes), lingering)

    def _sealed(self, head: Head, *, binary: bool) -> Sealed:
        """Return *head* with its tail within the limits and its segments merged, if there are any to be."""
        sealed = seal(head, self._keys, self._limits, binary=binary)
        if not sealed.puts or head.trash:  # a head has room for what one merge or trim left
            return sealed
        return merged(sealed, self._reader.in_memory(), self._keys, self._limits, binary=binary)

    # ---- what is no event ------------------------------------------------------------------------------------------

    async def _copy(self, known: Known, intent: Intent, copy: Copy) -> Proposal:
        """Return the proposal to have *copy*'s log where there is no session yet; all that its head names is there."""
        known.check_free(takes_over=copy.takes_over)
        if known.head.erased != copy.erased:  # with what is written ahead, if it was of the same events
            raise Conflict("a session of that id was erased meanwhile; nothing was written, call again")
        traits = await self._store.traits()
        head = copy.head._replace(
            generation=mint(self._runtime.random_bytes(10)),
            erased=known.head.erased,
            values_expire=values_expire(copy.head.updated // 1_000_000, copy.head.ttl),
        )
        put, answers = self._put(head, traits), {intent: Answer(head.version)}
        return Proposal(known, head, put, answers, values=self._mark(known, traits), copied=True)

    def _tombstone(self, known: Known, intent: Intent) -> Proposal:
        """Return the proposal to put a tombstone in the place of *known*, or one without what is left to delete."""
        there = known.tombstone
        head = known.expired or known.head  # an expired one still names what is in the store
        erased = head.erased
        if intent.erased:
            idle = there is None or there.remains is None or there.erased != intent.erased
            tombstone = Tombstone(erased, self._runtime.now())
        else:
            idle = there is not None or (not head.version and known.legacy is None)
            erased = (*erased, head.generation or _NOBODY)[-GENERATIONS:]
            tombstone = Tombstone(erased, self._runtime.now(), Remains.of(head))
        answers: dict[Intent, Answer | EventLogError] = {intent: Answer(None)}
        head = Head.absent(known.head.session_id, erased)
        put = Put(self._keys.head, tombstone.to_bytes())
        return Proposal(known, head, put, answers, tombstone=None if idle else tombstone)


def _is_idle(head: Head, event: Event) -> bool:
    """Whether *event* would change nothing: a pop of more than there is, a clear of nothing, a rewind to where we stand."""
    if event.kind == TAGGED:
        return event.extensions.get(TAG_VERSION) == NO_VERSION and event.extensions[TAG] not in head.tags
    if event.kind == TRIMMED:
        return int(event.extensions[TRIMMED_BEFORE]) <= head.floor
    if event.kind in (UNDONE, REDONE):  # they stand for themselves: by them the next one knows where to go
        return False
    if event.base is None:
        return event.pops > head.length
    return not event.count and not event.pops and (event.base == head.version or event.base == head.length == 0)
