"""Keys that every store takes, whatever the session is called."""

import re

from hypothesis import example, given
from hypothesis import strategies as st
from model import examples

from eventlog_session.core.keys import ID_LENGTH, Keys, digest, mint, partition

HOSTILE = (
    "",
    "||",
    ":",
    "{",
    "}",
    "{}",
    "{a}b",
    "\0",
    "\ud800",
    "\ud800\udc00",
    "𐀀",
    "?",
    "é",
    "e\u0301",
    "x" * 100_000,
    "A",
    "a",
    " a",
)
session_ids = st.text(st.characters()) | st.sampled_from(HOSTILE) | st.from_regex(r"[{}:|\0]{0,6}", fullmatch=True)


def all_keys(session_id: str) -> list[str]:
    """Return one key of each kind, the longest there can be."""
    keys = Keys(session_id)
    event_id, name = mint(b"\xff" * 10), digest(b"a value")
    return [keys.head, keys.adopted, keys.event(event_id), keys.part(event_id, 99_999), keys.segment(name), keys.node(name)]


@examples(300)
@given(session_ids)
def test_keys_are_taken_by_every_store(session_id: str) -> None:
    """
    Only ``[a-z0-9{}:-]``, and with an app id of 30 characters and ``||`` no longer than Oracle's 100 bytes.

    There is one pair of braces, the same in all keys of the session: they share a slot of a Redis Cluster.
    """
    keys = all_keys(session_id)
    for key in keys:
        assert re.fullmatch(r"[a-z0-9:-]+\{[a-z0-9]+\}[a-z0-9:-]+", key)
        assert len(f"{'a' * 30}||{key}") <= 100
        assert "||" not in key
    assert len(set(keys)) == len(keys)
    assert {partition(key) for key in keys} == {Keys(session_id).digest}
    assert {key[key.index("{") : key.index("}") + 1] for key in keys} == {f"{{{Keys(session_id).digest}}}"}


@examples(300)
@given(session_ids, session_ids)
@example("a", "A")
@example("\ud800", "?")
@example("\ud800\udc00", "𐀀")
@example("", "\0")
def test_distinct_sessions_have_distinct_keys(one: str, two: str) -> None:
    """Two sessions share no key, and keys are a function of the session id alone."""
    assert (not set(all_keys(one)) & set(all_keys(two))) == (one != two)
    assert (Keys(one).source == Keys(two).source) == (one == two)
    assert all_keys(one) == all_keys(one)


@examples(100)
@given(st.sets(st.binary(min_size=10, max_size=10), min_size=2, max_size=5))
def test_minted_ids_are_as_distinct_as_their_bytes(several: set[bytes]) -> None:
    """An event id is 16 characters that may stand in a key, and no two byte strings make the same."""
    minted = {mint(one) for one in several}
    assert len(minted) == len(several)
    assert all(re.fullmatch(f"[a-z2-7]{{{ID_LENGTH}}}", one) for one in minted)


@examples(100)
@given(st.binary(), st.binary())
def test_digests_name_values(one: bytes, two: bytes) -> None:
    """A digest is 26 characters that may stand in a key, equal for equal bytes only."""
    assert re.fullmatch("[a-z2-7]{26}", digest(one))
    assert (digest(one) == digest(two)) == (one == two)


def test_keys_not_ours_are_in_no_partition() -> None:
    """A `DaprSession`'s key says nothing of a partition, whatever its id looks like."""
    assert partition("user:messages") == partition("{a}:messages") == partition("") == partition("evl") == ""


def test_part_numbers_do_not_run_together() -> None:
    """Parts of one event have a key each, and events one for themselves."""
    keys = Keys("a session")
    event_id = mint(b"0123456789")
    assert len({keys.part(event_id, number) for number in range(300)} | {keys.event(event_id)}) == 301
