"""
The commit protocol, and the only retry loop.

Decide on a head; write the events and the next head in one transaction guarded by the etag; if anything but a trusted success
comes back, read the head and look who stands at the versions that were ours to take:

- our ids: it is committed, whatever the store said;
- others': it lost and can never land, since an etag never comes back. Decide again on the head just read;
- nobody, the head still is the one it was sent on: it may be under way. The very same bytes with the same etag again: both
  can't win, and either means the same commit;
- the head can't be read within the budget: `OutcomeUnknown`.

No error text or code decides anything. Back-off comes before reading the head, never between reading and committing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from .adoption import MARK, Legacy
from .core.advance import append, seal
from .core.draft import Draft, draft
from .core.events import ADOPTED, POPPED, Event
from .core.head import Head
from .core.keys import Keys, mint
from .core.run import Run
from .errors import (
    Conflict,
    CorruptLog,
    EventLogError,
    ForkDetected,
    NoSuchPoint,
    OutcomeUnknown,
    StoreRefused,
    TtlTooShort,
    Unavailable,
)
from .heads import Heads, Known
from .lane import Answer, Intent
from .limits import Limits
from .reader import Gone, Reader
from .retry import Patience, Retry
from .runtime import Runtime
from .stores.base import Committed, NotCommitted, Put, Store
from .sweep import Sweeper

VALUES_TTL = 3
"""Values are kept for this many ttls: the head, which slides with every write, must expire before what it names."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A commit as it is sent: frozen until its fate is known."""

    base: Known
    head: Head
    put: Put
    values: Sequence[Put]
    sealed: Mapping[str, Run]
    """Segments among *values*, by name."""
    ids: tuple[str, ...]
    answers: Mapping[Intent, Answer | EventLogError]


class Committer:
    """Commits groups of intents on one session's log; never two groups at once, the lane sees to that."""

    def __init__(
        self, keys: Keys, store: Store, heads: Heads, reader: Reader, sweeper: Sweeper,
        limits: Limits, retry: Retry, runtime: Runtime,
    ) -> None:  # fmt: skip
        self._keys = keys
        self._store = store
        self._heads = heads
        self._reader = reader
        self._limits = limits
        self._retry = retry
        self._runtime = runtime
        self._sweeper = sweeper

    async def commit(self, group: Sequence[Intent]) -> None:
        """Give each intent of *group* its answer: all in one commit, but for those that have nothing to do."""
        patience = Patience(self._retry, self._runtime)
        missed: set[str] = set()
        known: Known | None = None
        fresh = True
        while not all(intent.answer.done() for intent in group):
            try:
                if known is None:
                    known, fresh = await self._heads.current()
                proposal = await self._propose(known, group)
                if not proposal.ids and not fresh:  # "nothing to do" is only said of a head read within this call
                    known, fresh = await self._heads.fresh(), True
                    continue
                found = await self._settle(proposal, patience) if proposal.ids else None
                if found is None:
                    _give(proposal.answers)
                    return
                known, fresh = found, fresh or found is not known
            except Gone as gone:
                assert known is not None
                known, fresh = await self._heads.moved_on(known, gone, missed), True
            except Unavailable:
                if patience.spent or not self._heads.reached:  # never reached: more likely a wrong address
                    raise
                await patience.back_off()
                known = None
                continue
            if patience.spent:
                raise Conflict(f"other writers won every race in {self._retry.budget:g} s; nothing was written, call again")

    # ---- deciding --------------------------------------------------------------------------------------------------

    async def _propose(self, known: Known, group: Sequence[Intent]) -> Proposal:
        """Return what to send so that *group* happens on top of *known*; without ids when there is nothing to write."""
        head = known.head
        drafts: list[Draft] = []
        answers: dict[Intent, Answer | EventLogError] = {}
        adopting = [await self._adopting(known.legacy, group[0].ttl)] if known.legacy else []
        for intent in (*adopting, *group):
            if intent.answer.done():
                continue
            event = intent.draft.event
            try:
                length = await self._base_length(head, event)
                ttl = _lasting(head, intent.ttl, self._runtime.clock())
                await self._write_ahead(intent, ttl)
            except (NoSuchPoint, TtlTooShort, StoreRefused) as error:
                if intent in adopting:  # nothing is written over a history that could not be taken over
                    raise
                answers[intent] = error  # its own fault: the others of the group go on
                continue
            if _is_idle(head, event):
                answers[intent] = Answer(None)
                continue
            item, is_text = await self._last_item(head, drafts) if event.kind == POPPED else (None, False)
            head = append(head, intent.draft, self._runtime.now(), length)
            head = replace(head, ttl=ttl, values_expire=_sooner(head.values_expire, intent.parts_expire))
            drafts.append(intent.draft)
            answers[intent] = Answer(head.version, item, is_text)
        if len(drafts) == len(adopting):
            return Proposal(known, known.head, Put(self._keys.head, b""), (), {}, (), answers)
        return await self._freeze(known, head, drafts, answers)

    async def _freeze(
        self, known: Known, head: Head, drafts: Sequence[Draft], answers: Mapping[Intent, Answer | EventLogError]
    ) -> Proposal:
        """Return the commit that turns *known* into *head*, with everything that has to be written."""
        traits = await self._store.traits()
        head, puts, runs = seal(head, self._keys, self._limits, binary=traits.keeps_bytes)
        ttl = None if head.ttl is None else head.ttl * VALUES_TTL
        expire = None if ttl is None else head.updated // 1_000_000 + ttl
        values = [Put(self._keys.event(one.event.id), one.value, ttl) for one in drafts]
        values += [Put(key, value, ttl) for key, value in puts.items()]
        if known.legacy is not None:
            values.append(Put(self._keys.adopted, MARK))
        head = replace(
            head,
            generation=head.generation or mint(self._runtime.random_bytes(10)),
            swept=max(head.swept, self._sweeper.upto(head)),
            values_expire=_sooner(head.values_expire, expire if puts or any(one.far for one in drafts) else None),
        )
        ids = tuple(one.event.id for one in drafts)
        return Proposal(known, head, Put(self._keys.head, head.to_bytes(), head.ttl), values, runs, ids, answers)

    async def _adopting(self, legacy: Legacy, ttl: int | None) -> Intent:
        """Return the intent to take over a `DaprSession`'s history."""
        event = Event(
            mint(self._runtime.random_bytes(10)), ADOPTED, self._runtime.now(),
            count=legacy.count, items=legacy.items, text=legacy.text,
        )  # fmt: skip
        return Intent(draft(event, self._keys, self._limits, binary=(await self._store.traits()).keeps_bytes), ttl=ttl)

    async def _write_ahead(self, intent: Intent, ttl: int | None) -> None:
        """
        Write the parts of a large event, a request's worth at a time, before the commit that will name them.

        Once, unless the session's ttl has grown beyond what they were written for.
        """
        now = int(self._runtime.clock())
        if not intent.draft.ahead or (intent.parts_written and (intent.parts_expire or 2**62) >= now + (ttl or 0)):
            return
        keep = None if ttl is None else ttl * VALUES_TTL
        ahead = intent.draft.ahead
        for page in self._limits.pages((key, len(value)) for key, value in ahead.items()):
            await self._store.put_many([Put(key, ahead[key], keep) for key in page])
        intent.parts_written, intent.parts_expire = True, None if keep is None else now + keep

    async def _base_length(self, head: Head, event: Event) -> int:
        """Return the length of the history that *event* starts from."""
        if event.base is None or event.base == head.version:
            return head.length
        if event.base > head.version:
            raise NoSuchPoint(f"there is no version {event.base} yet; the newest is {head.version}")
        return (await self._reader.run_of(head, event.base)).length_at(event.base) if event.base else 0

    async def _last_item(self, head: Head, drafts: Sequence[Draft]) -> tuple[object, bool]:
        """Return the item that a pop takes from *head*, which holds *drafts* that are not in the store yet."""
        own = {one.event.id: one.event.items for one in drafts if one.far}
        items, texts = await self._reader.read(head, head.version, 1, own)
        return items[0], bool(texts)

    # ---- settling --------------------------------------------------------------------------------------------------

    async def _settle(self, proposal: Proposal, patience: Patience) -> Known | None:  # noqa: C901 one decision, read at once
        """Send *proposal* until its fate is known. Return None when it is committed, else the head to decide on anew."""
        traits = await self._store.traits()
        base = proposal.base
        if base.absent and not traits.atomic_create:
            return await self._born()
        if any(intent.answer.done() for intent in proposal.answers):
            return base  # a caller was cancelled while this was decided, and nothing was sent
        for intent, answer in proposal.answers.items():  # who has nothing to do here may have on the next head, and is not sent
            intent.sent = intent.sent or (isinstance(answer, Answer) and answer.version is not None)
        sent = False
        for attempt in count():
            try:
                outcome = await self._store.commit(proposal.put, base.etag, proposal.values)
                sent = sent or isinstance(outcome, Committed) or outcome.sent
                if isinstance(outcome, Committed) and traits.trusted:
                    self._heads.committed(Known(proposal.head, outcome.etag, proposal.put.value))
                    break
                if isinstance(outcome, NotCommitted) or attempt:
                    await patience.back_off()
                found = await self._heads.fresh()
                if await self._stands(proposal, found.head):
                    break
                if found.etag != base.etag or found.head.version != base.head.version:
                    return found
                doubt = outcome.cause if isinstance(outcome, NotCommitted) else None
            except (Unavailable, Gone) as unreadable:
                doubt = unreadable
                await patience.back_off()
            except EventLogError as refused:
                error = self._given_up(proposal, refused, sent=sent)
                raise error from (refused.__cause__ if error is refused else refused)
            if patience.spent:
                raise self._given_up(proposal, doubt, sent=sent) from doubt
        self._landed(proposal)
        return None

    def _landed(self, proposal: Proposal) -> None:
        """Make use of what was just sealed: nobody needs to read it, and its events' own keys have done their work."""
        for name, run in proposal.sealed.items():
            self._reader.remember(name, run)
        if proposal.sealed:
            self._sweeper.start(proposal.head)

    async def _born(self) -> Known:
        """Create the head where a transaction can't do it safely: constant bytes, so that it does not matter who wins."""
        genesis = Head.absent(self._heads.session_id).to_bytes()
        await self._store.create(Put(self._keys.head, genesis))
        return await self._heads.fresh()

    async def _stands(self, proposal: Proposal, head: Head) -> bool:
        """Whether the events of *proposal* stand in *head* at the versions that were theirs to take."""
        first = proposal.base.head.version + 1
        if head.generation != proposal.head.generation or head.version < proposal.head.version:
            return False
        for version, event_id in enumerate(proposal.ids, first):
            if await self._reader.id_of(head, version) != event_id:
                return False
        return True

    def _given_up(self, proposal: Proposal, cause: BaseException | None, *, sent: bool) -> EventLogError:
        """Return the error of a commit that was not seen to land."""
        if isinstance(cause, (CorruptLog, ForkDetected)):
            if sent:
                cause.add_note(f"seen after events {', '.join(proposal.ids)} were sent: read before you write them again")
            return cause
        if not sent:
            if isinstance(cause, EventLogError):
                return cause
            return Unavailable(f"the store took no commit in {self._retry.budget:g} s; nothing was written")
        return OutcomeUnknown(
            f"{self._keys.head}: {len(proposal.ids)} events were sent, and whether they were written could not be read in "
            f"{self._retry.budget:g} s; read the session before you write them again",
            event_ids=proposal.ids,
        )


def _is_idle(head: Head, event: Event) -> bool:
    """Whether *event* would change nothing: a pop of nothing, a clear of nothing, a rewind to where we stand."""
    if event.base is None:
        return event.pops > head.length
    return not event.count and not event.pops and (event.base == head.version or event.base == head.length == 0)


def _lasting(head: Head, asked: int | None, now: float) -> int | None:
    """
    Return the ttl of *head* with a write that asks for another one, or for none in particular.

    Raises TtlTooShort when the head would then outlive a value that it names. Those whose events it repeats don't count:
    nothing is lost with their own keys. Renewing what is old is not built yet.
    """
    ttl = head.ttl if asked is None else asked
    if ttl is not None and head.values_expire is not None and now + ttl > head.values_expire:
        raise TtlTooShort(
            f"with a ttl of {ttl} s this write would keep the session beyond history that expires in "
            f"{head.values_expire - now:.0f} s; nothing was written. Start a new session, or one without a ttl"
        )
    return ttl


def _sooner(one: int | None, other: int | None) -> int | None:
    """Return the earlier of two times, None being never."""
    return min((time for time in (one, other) if time is not None), default=None)


def _give(answers: Mapping[Intent, Answer | EventLogError]) -> None:
    for intent, answer in answers.items():
        if intent.answer.done():
            continue
        if isinstance(answer, Answer):
            intent.answer.set_result(answer)
        else:
            intent.answer.set_exception(answer)
