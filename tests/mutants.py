"""
Each guard of the protocol taken away in turn: something must notice.

``PYTHONPATH=tests python -m mutants`` prints guard, change and what failed; `test_mutants` runs the same. The package is
copied, the change made in the copy, and the tests named, or a number of simulated schedules, run against it. A line that is
not found exactly once is an error: then the guard has moved, and its entry here has to follow.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory

import eventlog_session

PACKAGE = Path(eventlog_session.__file__).parent
TESTS = Path(__file__).parent
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Mutant:
    """A guard, how it is taken away, and what notices."""

    guard: str
    edits: Sequence[tuple[str, str, str]]
    """Module, part of a line that it holds once, and what stands there instead."""
    noticed_by: str
    """Tests as pytest names them, or ``simulation PROFILE SCHEDULES``."""


MUTANTS: Sequence[Mutant] = (
    Mutant(
        "a commit is guarded by the etag of the head that it was decided on",
        [
            (
                "protocol/commit",
                "commit(proposal.put, proposal.base.etag,",
                "commit(proposal.put, (await self._heads.fresh()).etag,",
            )
        ],
        "simulation sql 200",
    ),
    Mutant(
        "committed is what stands at the versions it was to take",
        [("protocol/commit", "if sent and await self._stands(proposal, found):", "if found.head.version > base.head.version:")],
        "simulation sql 200",
    ),
    Mutant(
        "every event of a group stands where it was to stand, not the first alone",
        [("protocol/commit", "enumerate(ids, first)", "enumerate(ids[:0], first)")],
        "simulation redis 200",
    ),
    Mutant(
        "what was sent is frozen: the very same bytes are sent again while the head stands still",
        [("protocol/commit", "if self._moved(proposal, found):", "if True:")],
        "test_log.py::test_the_very_same_request_is_sent_again",
    ),
    Mutant(
        "what was sent is frozen: no attempt has ids of its own",
        [
            ("protocol/commit", "if self._moved(proposal, found):", "if True:"),
            (
                "protocol/propose",
                "        event = intent.draft.event\n",
                (
                    "        if not intent.draft.ahead: intent.draft = draft(replace(intent.draft.event, "
                    "id=mint(self._runtime.random_bytes(10))), self._keys, self._limits, binary=False)\n"
                    "        event = intent.draft.event\n"
                ),
            ),
        ],
        "simulation etcd 1000",
    ),
    Mutant(
        "success is believed only where the store earns it",
        [("protocol/commit", "if isinstance(outcome, Committed) and traits.trusted:", "if isinstance(outcome, Committed):")],
        "simulation mongodb 500",
    ),
    Mutant(
        "what was sent may have been written: it is unknown, not unwritten",
        [("protocol/commit", "        if not sent:\n", "        if True:\n")],
        "simulation plain 300",
    ),
    Mutant(
        "an event's key is its call's own, not its version's",
        [
            (
                "log",
                "event = Event(mint(self.runtime.random_bytes(10)), kind,",
                "known = self._heads._known; event = Event(mint((known.head.version if known else 0).to_bytes(10)), kind,",
            )
        ],
        "simulation sql 100",
    ),
    Mutant(
        "parts are written before the commit that names them",
        [
            (
                "protocol/propose",
                "await self._write_ahead(intent, ttl if ttl is None else max(ttl, longest))",
                "pass",
            )
        ],
        "simulation sql 100",
    ),
    Mutant(
        "nothing to do is said of a head read within the call",
        [("protocol/commit", "if (proposal.idle or proposal.tombstone is not None) and not fresh:", "if False:")],
        "simulation redis 500",
    ),
    Mutant(
        "an erasure decides on a head read within the call",
        [("protocol/commit", "proposal.tombstone is not None) and not fresh:", "False) and not fresh:")],
        "test_erase.py::test_who_slept_through_an_erasure_erases_what_came_after",
    ),
    Mutant(
        "nobody goes back to what was trimmed",
        [("protocol/propose", "if 0 < base < head.floor:", "if False:")],
        "simulation plain 1000",
    ),
    Mutant(
        "a doubt is resolved as not written only once nothing can land any more",
        [
            (
                "protocol/commit",
                'if expired or (head.version == unknown.base and head.generation in ("", unknown.generation)):',
                "if False:",
            )
        ],
        "test_idempotency.py::test_doubt_is_resolved_later",
    ),
    Mutant(
        "what a bulk read leaves out is asked for by itself before it is taken for gone",
        [("protocol/reader", "        await self._reread([key for key in keys if key not in found], found)", "        pass")],
        "simulation plain 500",
    ),
    Mutant(
        "a session that began anew is not the old one, nor a fork of it",
        [("protocol/heads", "if after.generation != before.generation:", "if False:")],
        "test_ttl.py::test_an_expired_session_is_no_fork",
    ),
    Mutant(
        "what was acknowledged and is gone is a fork",
        [("protocol/heads", "if after.version < before.version or not await self._same(before, after):", "if False:")],
        "simulation sql 500",
    ),
    Mutant(
        "the same version made by another event is a fork",
        [("protocol/heads", "or not await self._same(before, after):", "or False:")],
        "test_log.py::test_another_history_is_a_fork",
    ),
    Mutant(
        "a fork is told to somebody who is there to hear it",
        [("protocol/lane", "if all(intent.left for intent in group):", "if False:")],
        "test_faulty.py::test_a_fork_that_only_a_cancelled_call_saw_is_told_to_the_next",
    ),
    Mutant(
        "what any call has seen is remembered, whatever another saw meanwhile",
        [("protocol/heads", "return not now.version or (now", "return (now")],
        "test_faulty.py::test_what_a_slow_read_saw_is_remembered",
    ),
    Mutant(
        "a history that another process took over just now is not taken for an expired session's",
        [
            (
                "protocol/heads",
                "                    return self._parse(await self._store.get(self._keys.head), before, read_at)",
                " " * 20 + "return known",
            )
        ],
        "test_faulty.py::test_a_history_taken_over_meanwhile_is_not_taken_for_an_expired_one",
    ),
    Mutant(
        "a cancelled call that had nothing to do is not sent later",
        [("protocol/commit", "(isinstance(answer, Answer) and answer.version is not None)", "True")],
        "test_faulty.py::test_a_cancelled_call_with_nothing_to_do_is_not_done_later",
    ),
    Mutant(
        "a head that may have expired is not written through",
        [("protocol/heads", "or self.expiring(known):", "or False:")],
        "test_ttl.py::test_a_head_about_to_expire_is_read_first",
    ),
    Mutant(
        "a bulk read with holes is read again before it is called damage",
        [("protocol/reader", "        await self._reread([", "        ([")],
        "simulation plain 300",
    ),
    Mutant(
        "damaged bytes are named, not read",
        [("protocol/reader", "if digest(values[0]) != want.name:", "if False:")],
        "test_faulty.py::test_another_segment_in_its_place_is_damage",
    ),
    Mutant(
        "nothing is deleted that the head still names",
        [
            (
                "protocol/sweep",
                'for place in places if "f" not in run.odd.get(place, ())]',
                "for place in places]",
            )
        ],
        "simulation sql 300",
    ),
    Mutant(
        "commit times never run backwards",
        [("core/advance", "committed = max(now, head.updated)", "committed = now")],
        "simulation sql 200",
    ),
    Mutant(
        "a call cancelled before it is sent is never written",
        [("protocol/commit", "if any(intent.answer.done() for intent in proposal.answers):", "if False:")],
        "simulation etcd 1000",
    ),
    Mutant(
        "a call cancelled after it was sent settles first",
        [("protocol/lane", "                await self._outlast(intent)", "                pass")],
        "test_log.py::test_a_call_cancelled_after_it_was_sent_settles_first",
    ),
    Mutant(
        "an expired head stays in the store for as long as a write may be under way",
        [("protocol/propose", "head.ttl + self._limits.stray", "head.ttl")],
        "test_ttl.py::test_a_head_that_outlived_its_ttl_reads_as_gone",
    ),
    Mutant(
        "a head that has expired reads as gone, whatever the store still has",
        [("protocol/heads", "if self._runtime.clock() >= known.head.expires:", "if False:")],
        "test_ttl.py::test_a_head_that_outlived_its_ttl_reads_as_gone",
    ),
    Mutant(
        "nothing that a head names expires before it",
        [("protocol/renew", "if ttl is None or expire is None or self._runtime.clock() + ttl <= expire:", "if True:")],
        "test_ttl.py::test_a_commit_waits_where_the_background_did_not_come_to_it",
    ),
    Mutant(
        "a renewal counts for the head that it was made on, not for another writer's",
        [("protocol/renew", "return same and head.ttl_since <= before.version", "return True")],
        "test_ttl.py::test_a_renewal_of_another_ttl_is_not_believed",
    ),
    Mutant(
        "an idempotency key is looked for before anything is written",
        [("protocol/propose", "if intent.draft.key else None", "if False else None")],
        "test_idempotency.py::test_a_key_is_written_once",
    ),
    Mutant(
        "an idempotency key stands for one batch of items",
        [("protocol/propose", "if seen.content != intent.draft.content:", "if False:")],
        "test_idempotency.py::test_a_key_with_other_items_is_an_error",
    ),
    Mutant(
        "the version expected is the one written on",
        [("protocol/lane", "if self.version not in (None, head.version):", "if False:")],
        "test_idempotency.py::test_of_many_who_expect_the_same_version_one_wins",
    ),
    Mutant(
        "a point is of the session that it was found in",
        [
            (
                "protocol/lane",
                "if self.generation not in (None, head.generation):",
                "if self.version and self.generation not in (None, head.generation):",
            )
        ],
        "test_timetravel.py::test_a_point_of_a_session_that_is_gone[rewind]",
    ),
    Mutant(
        "items that anybody wrote are stored as orjson writes them",
        [("log", "items, text = codec.canonical(items, count, text)", "pass")],
        "test_added.py::test_a_key_means_the_same_items_however_they_were_written",
    ),
    Mutant(
        "a call that expects a version goes alone",
        [("protocol/lane", "if group and (group[0].alone or self._queue[0].alone):", "if False:")],
        "test_idempotency.py::test_an_expected_version_goes_alone",
    ),
    Mutant(
        "nothing is written to a session that is being erased",
        [("protocol/heads", "if self.being_erased:", "if False:")],
        "test_erase.py::test_it_takes_no_writes_while_it_is_erased",
    ),
    Mutant(
        "what is erased is deleted again after the grace",
        [
            (
                "protocol/erase",
                "        await self._sweeper.delete(keys)\n        await self._submit",
                "        await self._submit",
            )
        ],
        "test_erase.py::test_what_lands_within_the_grace_is_deleted_too",
    ),
    Mutant(
        "a tombstone names what is left to delete until it is deleted",
        [
            (
                "protocol/propose",
                "Tombstone(erased, self._runtime.now(), Remains.of(head))",
                "Tombstone(erased, self._runtime.now())",
            )
        ],
        "test_erase.py::test_nothing_is_left",
    ),
    Mutant(
        "an erased session that is back is a fork",
        [("protocol/heads", "if after.generation in before.erased:", "if False:")],
        "test_erase.py::test_an_erasure_that_was_forgotten_is_told",
    ),
    Mutant(
        "trimming keeps what a later version goes back to",
        [
            (
                "core/trim",
                "yield from (base for version, base in place.based() if version >= floor and 0 < base < floor)",
                "yield from ()",
            )
        ],
        "test_trim.py::test_what_a_later_version_goes_back_to_is_kept",
    ),
    Mutant(
        "trimming frees nothing that the index still names",
        [("protocol/sweep", "if ref.name not in live]", "]")],
        "test_trim.py::test_what_a_later_version_goes_back_to_is_kept",
    ),
    Mutant(
        "of what was merged away only the segment is deleted, not the events that the merged one holds",
        [
            (
                "protocol/sweep",
                "merged = within(gone, [ref for ref in live.values() if not ref.level])",
                "merged: set[Ref] = set()",
            )
        ],
        "test_merge.py::test_a_long_log_has_few_segments_and_reads_as_before",
    ),
    Mutant(
        "a head remembers what was merged away until it is deleted",
        [("protocol/propose", "if not sealed.puts or head.trash:", "if not sealed.puts:")],
        "test_merge.py::test_what_one_process_left_behind_another_deletes",
    ),
    Mutant(
        "only segments that follow from one another become one",
        [("core/merge", "if not ref.level and ref.size < full // 2 else None", "if ref.size < full // 2 else None")],
        "test_merge.py::test_what_is_merged",
    ),
    Mutant(
        "a version that was trimmed is refused",
        [("log", "if version < oldest:", "if False:")],
        "test_trim.py::test_what_was_cleared_is_freed",
    ),
    Mutant(
        "a log is verified against its hash chain",
        [("protocol/verify", "if self._chain is not None and self._chain != run.chain:", "if False:")],
        "test_verify.py::test_a_segment_forged_with_its_name_is_noticed",
    ),
    Mutant(
        "without transactions the head is written last",
        [("stores/dapr", "if not self._transactional:", "if False:")],
        "test_stores.py::test_without_transactions_the_head_is_saved_last",
    ),
    Mutant(
        "a history is said to be taken over once it is",
        [("protocol/propose", "known.legacy is not None and traits.transactional and traits.atomic_create:", "known.legacy:")],
        "test_faulty.py::test_a_takeover_that_was_torn_is_made_again",
    ),
    Mutant(
        "an eraser ends its own erasure and no later one",
        [("protocol/propose", " or there.erased != intent.erased", "")],
        "test_erase.py::test_an_eraser_leaves_a_later_erasure_alone",
    ),
    Mutant(
        "the version expected is one of the session that was read",
        [("protocol/lane", "if self.generation not in (None, head.generation):", "if False:")],
        "test_idempotency.py::test_what_was_read_is_told_from_what_came_after_it",
    ),
    Mutant(
        "an undo is written on what it was decided on, or not at all",
        [("revising", "await log.submit(told.ttl, on, kind,", "await log.submit(told.ttl, None, kind,")],
        "simulation sql 300",
    ),
    Mutant(
        "any other change ends what can be redone",
        [
            (
                "core/undo",
                "if undo else None\n        if step.kind not in REMARKS:",
                "if undo else None\n        if False:",
            )
        ],
        "test_undo.py::test_the_history_is_the_editors",
    ),
    Mutant(
        "undo passes over what leaves the history as it is",
        [
            (
                "core/undo",
                "from the version of a change, or from nothing\n        if step.kind not in REMARKS:",
                "from the version of a change, or from nothing\n        if True:",
            )
        ],
        "test_undo.py::test_the_history_is_the_editors",
    ),
    Mutant(
        "an undo stands for itself, also where it leaves an empty history",
        [("protocol/propose", "if event.kind in (UNDONE, REDONE):", "if False:")],
        "test_undo.py::test_the_history_is_the_editors",
    ),
    Mutant(
        "a copy is made only where there is no session",
        [("protocol/heads", "if self.head.version or (self.legacy is not None and not takes_over):", "if False:")],
        "test_copying.py::test_of_two_at_once_one_is_refused",
    ),
    Mutant(
        "a file that was cut short is no log",
        [("exporting", "if version != int(of[2]):", "if False:")],
        "test_copying.py::test_a_file_that_is_no_log_is_refused",
    ),
    Mutant(
        "a copy needs nothing of what was trimmed",
        [("protocol/walk", "if floor <= 1 or base == 0", "if True or base == 0")],
        "test_copying.py::test_a_trimmed_log_is_copied_from_its_floor_on",
    ),
    Mutant(
        "a session has no more tags than its head can hold",
        [("protocol/propose", "event.extensions[TAG] not in head.tags and len(head.tags) >= self._limits.tags:", "False:")],
        "test_timetravel.py::test_tags_have_their_number",
    ),
    Mutant(
        "what is replaced is what was read, or nothing",
        [("revising", "told.ttl, told.expected, REPLACED", "told.ttl, None, REPLACED")],
        "simulation sql 300",
    ),
    Mutant(
        "all are popped only where there still are fewer than were asked for",
        [
            (
                "revising",
                "expected=Expected(head.version, head.generation)\n                )",
                "expected=None\n                )",
            )
        ],
        "simulation sql 1000",
    ),
    Mutant(
        "what a DaprSession left is a version that can be expected",
        [("protocol/heads", "return self.head if self.legacy is None else", "return self.head if True else")],
        "simulation sql 1000",
    ),
    Mutant(
        "what was taken over is not undone",
        [("core/undo", "if not to or look(to).kind == ADOPTED:", "if not to:")],
        "simulation sql 500",
    ),
    Mutant(
        "what was undone before a redone undo can be redone after it",
        [
            (
                "core/undo",
                "row = (undo, place - 1) if place else _row(look, undo - 1)",
                "row = (undo, place - 1) if place else None",
            )
        ],
        "simulation sql 500",
    ),
    Mutant(
        "a pop of more than there is takes nothing",
        [("protocol/propose", "return event.pops > head.length", "return not head.length and bool(event.pops)")],
        "simulation sql 300",
    ),
    Mutant(
        "an untag takes the tag away",
        [
            (
                "core/advance",
                "return others if version == NO_VERSION else",
                "return dict(head.tags) if version == NO_VERSION else",
            )
        ],
        "simulation sql 300",
    ),
    Mutant(
        "no event takes away a tag that is not there",
        [
            (
                "protocol/propose",
                "return event.extensions.get(TAG_VERSION) == NO_VERSION and event.extensions[TAG] not in head.tags",
                "return False",
            )
        ],
        "simulation sql 300",
    ),
    Mutant(
        "a tag is for a version that there is when it is written",
        [("protocol/propose", "if int(version) > head.version:", "if False:")],
        "test_timetravel.py::test_a_tag_is_for_a_version_that_can_be_read_when_it_is_written",
    ),
    Mutant(
        "a tag is for a version that is not trimmed when it is written",
        [("protocol/propose", "if int(version) < head.floor:", "if False:")],
        "test_timetravel.py::test_a_tag_is_for_a_version_that_can_be_read_when_it_is_written",
    ),
    Mutant(
        "a copy's head is told from another's by its generation",
        [("protocol/commit", "if head.generation != generation or head.version", "if head.version")],
        "simulation sql 300",
    ),
    Mutant(
        "all that a copy's head names is written before it",
        [("copying", "        await log.store.put_many(", "        (")],
        "simulation sql 300",
    ),
    Mutant(
        "a copy is committed alone",
        [("log", "Intent(copy=copy, alone=True)", "Intent(copy=copy)")],
        "simulation sql 1000",
    ),
    Mutant(
        "what is copied to where a session was erased has keys of its own",
        [("core/copy", "if not erased:", "if True:")],
        "test_copying.py::test_what_was_erased_and_is_imported_again_has_keys_of_its_own",
    ),
    Mutant(
        "what is written ahead of a copy is not what was erased meanwhile",
        [("protocol/propose", "if known.head.erased != copy.erased:", "if False:")],
        "test_copying.py::test_an_erasure_between_the_values_of_a_copy_and_its_head_is_told",
    ),
    Mutant(
        "nothing is written ahead to a session that is being erased",
        [("copying", "        known.check_free(takes_over=takes_over)\n", "")],
        "test_copying.py::test_nothing_is_copied_to_what_is_being_erased",
    ),
    Mutant(
        "a copied event was recorded no earlier than the one before it",
        [("core/admission", "if committed < head.updated:", "if False:")],
        "test_copying.py::test_a_file_that_is_no_log_is_refused",
    ),
    Mutant(
        "a copied event starts from a version that is there",
        [("core/admission", "if base != 0 and not max(1, head.floor) <= base <= head.version:", "if False:")],
        "test_copying.py::test_a_file_that_is_no_log_is_refused",
    ),
    Mutant(
        "a copied event takes away no more than there is",
        [("core/admission", "if not 0 <= event.pops <= length:", "if False:")],
        "test_copying.py::test_a_file_that_is_no_log_is_refused",
    ),
    Mutant(
        "copied events follow one another",
        [("core/admission", "if version != head.version + 1:", "if False:")],
        "test_copying.py::test_a_file_that_is_no_log_is_refused",
    ),
    Mutant(
        "a migration replaces no history but the one that the log began with",
        [("migrating", "if there != entries[: len(there)] and not await _began_with(log, there):", "if False:")],
        "test_migrating.py::test_a_log_of_something_else_is_left_alone",
    ),
    Mutant(
        "a migrated history is compared with its source before that is deleted",
        [("migrating", "        _compare(entries, await _items(log, 1))", "        pass")],
        "test_migrating.py::test_a_log_of_something_else_is_left_alone",
    ),
    Mutant(
        "what was compacted after a run is replaced only while its items are the newest",
        [("compaction", "if not await _same_newest(log, seen, newest, number):", "if False:")],
        "test_wrappers.py::test_a_compaction_after_a_run_never_drops_what_another_process_adds[memory-False]",
    ),
    Mutant(
        "a compaction is of one session, not of the one that began after it",
        [("compaction", "if newest == on or newest.generation != seen.generation:", "if newest == on:")],
        "test_wrappers.py::test_a_session_that_was_erased_and_begun_again_meanwhile",
    ),
    Mutant(
        "a compaction by hand keeps what is newer than what was summed up",
        [("compaction", "new + newer, on)", "new, on)")],
        "test_wrappers.py::test_a_compaction_by_hand_keeps_what_another_process_adds[memory]",
    ),
    Mutant(
        "a compaction by hand replaces only what was summed up",
        [("compaction", "if after[: len(before)] != before:", "if False:")],
        "test_wrappers.py::test_a_compaction_by_hand_of_what_another_process_took_back",
    ),
)


class Moved(LookupError):
    """A guard is not where its mutant says it is."""


def mutate(mutant: Mutant, package: Path) -> None:
    """Make *mutant*'s change in the copy at *package*. Raises Moved."""
    for module, old, new in mutant.edits:
        path = package / f"{module}.py"
        source = path.read_text()
        if source.count(old) != 1:
            raise Moved(f"{mutant.guard!r}: {module}.py holds {old.strip()!r} {source.count(old)} times; say where it is now")
        path.write_text(source.replace(old, new))


def failure(mutant: Mutant | None, check: str) -> str:
    """Return what fails of *check* with *mutant* in place, none for the package as it is; "" if nothing does."""
    with TemporaryDirectory(prefix="mutant-") as place:
        root = Path(place)
        leave = ignore_patterns("__pycache__", ".pytest_cache", "daprd")
        copytree(PACKAGE, root / "eventlog_session", ignore=leave)
        copytree(TESTS, root / "tests", ignore=leave)
        (root / "pyproject.toml").write_text((TESTS.parent / "pyproject.toml").read_text())
        if mutant is not None:
            mutate(mutant, root / "eventlog_session")
        kind, *asked = check.split()
        if kind == "simulation":
            command = ["simulation", "--profile", asked[0], "--schedules", asked[1], "--first"]
        else:
            command = ["pytest", "-q", "-x", "-p", "no:cacheprovider", *(f"tests/{name}" for name in check.split())]
        ran = subprocess.run(
            [sys.executable, "-P", "-m", *command],
            cwd=root, env={**os.environ, "PYTHONPATH": os.pathsep.join([place, f"{place}/tests"])},
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    if ran.returncode not in (0, 1):  # neither passed nor failed: not run at all
        raise RuntimeError(f"{check} could not be run:\n{ran.stdout}\n{ran.stderr}")
    if ran.returncode == 0:
        return ""
    wanted = "VIOLATED" if kind == "simulation" else "FAILED"
    lines = [line for line in ran.stdout.splitlines() if line.startswith(wanted)]
    if not lines:
        raise RuntimeError(f"{check} failed in some other way:\n{ran.stdout}\n{ran.stderr}")
    return lines[0].removeprefix(wanted).strip()


def main(arguments: list[str] | None = None) -> int:
    """Print what notices that each guard is gone; 1 if something does not, or fails with all of them in place."""
    parser = argparse.ArgumentParser("python -m mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only guards that have all of these words in them")
    words = parser.parse_args(arguments).words
    chosen = [mutant for mutant in MUTANTS if all(word in mutant.guard for word in words)]
    missed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        checks = sorted({mutant.noticed_by for mutant in chosen})
        for check, found in zip(checks, pool.map(lambda check: failure(None, check), checks), strict=True):
            if found:
                missed += 1
                print(f"with all guards in place: {check}: {found}")
        for mutant, found in zip(chosen, pool.map(lambda one: failure(one, one.noticed_by), chosen), strict=True):
            missed += not found
            print(f"{mutant.guard}\n    {mutant.noticed_by}: {found or 'NOTICED NOTHING'}")
            for module, old, new in mutant.edits:
                print(f"    {module}.py: {old.strip()}  ->  {new.strip()}")
    print(f"{len(chosen)} guards taken away, {missed} not noticed")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
