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

from asyncio import gather
from collections.abc import Mapping, Sequence
from itertools import count

from ..core.head import Head
from ..core.keys import Keys
from ..errors import Conflict, CorruptLog, EventLogError, ForkDetected, OutcomeUnknown, Unavailable
from ..retry import Patience, Retry
from ..runtime import Runtime
from ..stores.base import Committed, NotCommitted, Put, Store
from ..telemetry import Telemetry
from .heads import Heads, Known
from .lane import Answer, Intent
from .propose import Proposal, Proposer
from .reader import Gone, Reader
from .renew import Renewer
from .sweep import Sweeper


class Committer:
    """Commits groups of intents on one session's log; never two groups at once, the lane sees to that."""

    def __init__(
        self, keys: Keys, store: Store, heads: Heads, reader: Reader, proposer: Proposer, sweeper: Sweeper, renewer: Renewer,
        retry: Retry, runtime: Runtime, telemetry: Telemetry,
    ) -> None:  # fmt: skip
        self._keys = keys
        self._store = store
        self._heads = heads
        self._reader = reader
        self._proposer = proposer
        self._sweeper = sweeper
        self._renewer = renewer
        self._retry = retry
        self._runtime = runtime
        self._telemetry = telemetry

    async def commit(self, group: Sequence[Intent]) -> None:
        """Give each intent of *group* its answer: all in one commit, but for those that have nothing to do."""
        try:
            await self._commit(group)
        except Exception:  # not a cancellation: then the loop is closing, and takes no new task
            self._drop_parts(group)
            raise
        self._drop_parts(group)

    def _drop_parts(self, group: Sequence[Intent]) -> None:
        """Delete the parts of what was cancelled or refused before it was sent: nothing will ever name them."""
        for intent in group:
            if intent.draft is not None and intent.parts_written and not intent.sent:
                self._sweeper.discard(intent.draft)

    async def _commit(self, group: Sequence[Intent]) -> None:
        patience = Patience(self._retry, self._runtime, self._telemetry.warn)
        missed: set[str] = set()
        known: Known | None = None
        fresh = True
        while not all(intent.answer.done() for intent in group):
            try:
                if known is None:
                    known, fresh = await self._current()
                proposal = await self._proposer.propose(known, group)
                # "nothing to do" is only said of a head read within this call, and "erased" of what stood within it
                if (proposal.idle or proposal.tombstone is not None) and not fresh:
                    known, fresh = await self._heads.fresh(), True
                    continue
                found = None if proposal.idle else await self._settle(proposal, patience)
                if found is None:
                    self._give(proposal.answers)
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
                lost = Conflict(f"other writers won every race in {self._retry.budget:g} s; nothing was written, call again")
                self._give(dict.fromkeys(group, lost))

    async def _current(self) -> tuple[Known, bool]:
        """Return what `Heads.current` does. The first time, ask for the store's traits meanwhile: each is a round trip."""
        if self._heads.reached:
            return await self._heads.current()
        current, _ = await gather(self._heads.current(), self._store.traits())
        return current

    async def resolve(self, unknown: OutcomeUnknown) -> int | None:
        """Return the version that what was sent has made, or None when it was not written and can't be any more."""
        if not unknown.generation and not unknown.event_ids:  # an erasure's, which is taken up by the next one
            raise unknown

        async def found(known: Known) -> int | None:
            head = known.head
            if not unknown.event_ids:  # a copy's, which has its own generation, and may land while there is none
                if not head.version:
                    raise unknown
                return unknown.base if head.generation == unknown.generation else None
            expired = known.vacant and known.tombstone is None  # and perhaps the one that it was sent on
            if expired or (head.version == unknown.base and head.generation in ("", unknown.generation)):
                raise unknown  # it may land yet
            last = unknown.base + len(unknown.event_ids)
            return last if await self._all_stand(unknown.event_ids, unknown.base + 1, unknown.generation, head) else None

        return await self._heads.on_head(found)

    # ---- settling --------------------------------------------------------------------------------------------------

    async def _settle(self, proposal: Proposal, patience: Patience) -> Known | None:  # noqa: C901 one decision, read at once
        """Send *proposal* until its fate is known. Return None when it is committed, else the head to decide on anew."""
        traits = await self._store.traits()
        base = proposal.base
        if base.absent and not traits.atomic_create:
            return await self._born(patience)
        if any(intent.answer.done() for intent in proposal.answers):
            return base  # a caller was cancelled while this was decided, and nothing was sent
        sent = False
        for attempt in count():
            try:
                outcome = await self._send(proposal)
                sent = sent or isinstance(outcome, Committed) or outcome.sent
                if isinstance(outcome, Committed) and traits.trusted:
                    break
                if isinstance(outcome, NotCommitted) or attempt:
                    await patience.back_off()
                found = await self._heads.fresh()
                if sent and await self._stands(proposal, found):
                    if isinstance(outcome, NotCommitted):
                        self._telemetry.count("resolutions")
                    break
                if self._moved(proposal, found):
                    self._telemetry.count("conflicts")
                    # until it is done, they name what is to be deleted
                    if not found.being_erased and base.head.generation in found.head.erased:
                        self._sweeper.discard_sealed(proposal.sealed)
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

    async def _send(self, proposal: Proposal) -> Committed | NotCommitted:
        """Send *proposal* once; remember its head at once if the store's word is good enough for that."""
        for intent, answer in proposal.answers.items():
            # who has nothing to do on this head may have on the next one, and is not sent
            intent.sent = intent.sent or intent.draft is None or (isinstance(answer, Answer) and answer.version is not None)
            intent.attempts += 1
        sent_at = self._runtime.monotonic()
        outcome = await self._store.commit(proposal.put, proposal.base.etag, proposal.values)
        if isinstance(outcome, Committed) and (await self._store.traits()).trusted:
            etag, data = outcome.etag, proposal.put.value
            self._heads.committed(Known(proposal.head, etag, data, tombstone=proposal.tombstone, read_at=sent_at))
        return outcome

    def _landed(self, proposal: Proposal) -> None:
        """Make use of what was just sealed: nobody needs to read it, and its events' own keys have done their work."""
        attempts = max(intent.attempts for intent in proposal.answers)
        self._telemetry.committed(events=len(proposal.ids), attempts=attempts, head_bytes=len(proposal.put.value))
        for name, run in proposal.sealed.items():
            self._reader.remember(name, run)
        before = proposal.base.head.tail.first
        if proposal.head.trash or proposal.sealed:
            self._sweeper.start(proposal.head)
        elif proposal.head.tail.first > before:
            self._sweeper.start(proposal.head, since=before - 1)
        if proposal.base.legacy is not None:
            self._sweeper.mark_adopted()
        changed = proposal.head.ttl != proposal.base.head.ttl and not proposal.copied  # whose values were written just now
        self._renewer.start(proposal.head, changed=changed)

    async def _born(self, patience: Patience) -> Known:
        """Create the head where a transaction can't do it safely: constant bytes, so that it does not matter who wins."""
        genesis = Head.absent(self._heads.session_id).to_bytes()
        await self._store.create(Put(self._keys.head, genesis))
        found = await self._heads.fresh()
        if found.absent:
            if patience.spent:
                raise Unavailable(f"the store took no head in {self._retry.budget:g} s; nothing was written")
            await patience.back_off()
        return found

    def _moved(self, proposal: Proposal, found: Known) -> bool:
        """
        Whether *found* is not what *proposal* was sent on, so that it can't land any more.

        A head that has expired meanwhile is the same one still, until the proposal's own would have expired, too.
        """
        base = proposal.base
        if found.etag != base.etag or (found.head.version != base.head.version and found.data != base.data):
            return True
        return found.vacant and self._runtime.clock() >= proposal.head.expires

    async def _stands(self, proposal: Proposal, found: Known) -> bool:
        """Whether what *proposal* would have done is done: by it, or for a tombstone by whoever else."""
        ours = proposal.tombstone
        if ours is not None:
            left = found.tombstone is not None and found.tombstone.remains is not None and found.tombstone.erased == ours.erased
            return ours.erased[-1] in found.head.erased and (ours.remains is not None or not left)
        return await self._all_stand(proposal.ids, proposal.base.head.version + 1, proposal.head.generation, found.head)

    async def _all_stand(self, ids: Sequence[str], first: int, generation: str, head: Head) -> bool:
        """Whether the events *ids* stand in *head* at the versions, from *first* on, that were theirs to take."""
        if head.generation != generation or head.version < first + len(ids) - 1:
            return False
        for version, event_id in enumerate(ids, first):
            if await self._reader.id_of(head, version) != event_id:
                return False
        return True

    def _give(self, answers: Mapping[Intent, Answer | EventLogError]) -> None:
        """Answer the intents, and delete what those that lost may have left under their own keys (Redis rolls nothing back)."""
        for intent, answer in answers.items():
            if isinstance(answer, EventLogError) and (intent.sent or intent.parts_written) and intent.draft is not None:
                self._sweeper.discard(intent.draft)
            if intent.answer.done():
                continue
            if isinstance(answer, Answer):
                intent.answer.set_result(answer)
            else:
                intent.answer.set_exception(answer)

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
        self._telemetry.count("unknowns")
        what = "the head of a copy was" if proposal.copied else f"{len(proposal.ids)} events were"
        return OutcomeUnknown(
            f"{self._keys.head}: {what} sent, and whether it was written could not be read in {self._retry.budget:g} s. "
            "Read the session, or ask resolve(), before you write again; with an idempotency key just call again",
            event_ids=proposal.ids,
            base=proposal.head.version if proposal.copied else proposal.base.head.version,
            generation=proposal.head.generation,
        )
