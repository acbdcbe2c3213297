"""
What every `Store` must do, as a pytest class.

Usage, in a test module; with pytest-asyncio in strict mode, use its own ``fixture`` decorator::

    class TestMyStore(StoreContract):
        @pytest.fixture
        async def store(self) -> AsyncIterator[Store]:
            opened = MyStore(...)
            yield opened
            await opened.close()

Each test uses keys of its own, of the form that the log uses, so the data behind the store may outlive a test. What it can't
ask of any store: how it fails when it can't be reached, and that a refused commit leaves none of its values behind.
"""

import asyncio
from collections.abc import Sequence
from hashlib import shake_256
from uuid import uuid4

import pytest

from ..core.blob import compress
from ..core.keys import Keys, mint
from ..stores.base import Committed, NotCommitted, Put, Store

VALUE_BYTES = 256 << 10
"""The largest value that the log writes (`Limits.value_bytes`)."""
PATIENCE = 20.0
"""Seconds until what should expire must have."""


class StoreContract:
    """Give a fixture ``store`` with an open `Store`; all tests here must pass."""

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def keys(self) -> Keys:
        """Keys of a session that no other test has."""
        return Keys(f"contract-{uuid4().hex}")

    # ---- reading ---------------------------------------------------------------------------------------------------

    async def test_a_missing_key_is_none(self, store: Store, keys: Keys) -> None:
        """Missing is None, and absent from many."""
        assert await store.get(keys.head) is None
        assert await store.get_many([keys.head, _event(keys, 0)]) == {}
        assert await store.get_many([]) == {}

    async def test_what_was_put_is_read(self, store: Store, keys: Keys) -> None:
        """By get with an etag that stays while the value does, and by get_many."""
        put = _put(keys, 1)
        await store.put_many([put])
        first, second = await store.get(put.key), await store.get(put.key)
        assert first is not None
        assert first == second
        assert first.data == put.value
        assert first.etag
        assert await store.get_many([put.key]) == {put.key: put.value}

    async def test_many_are_read_whatever_their_order(self, store: Store, keys: Keys) -> None:
        """300 keys at once, some of them twice, some missing: the values there are, under their own keys."""
        puts = [_put(keys, number) for number in range(300)]
        for start in range(0, 300, 100):
            await store.put_many(puts[start : start + 100])
        wanted = [put.key for put in (*puts[1::2], *puts[-2::-2])]
        missing = [_event(keys, number) for number in range(300, 310)]
        found = await store.get_many([*wanted[:150], *missing, *wanted[150:], *wanted[:5]])
        assert found == {put.key: put.value for put in puts}

    # ---- committing ------------------------------------------------------------------------------------------------

    async def test_a_commit_moves_the_head_and_puts_its_values(self, store: Store, keys: Keys) -> None:
        """As many as the log puts into one commit; afterwards the head's etag is another one."""
        etag = await _born(store, keys)
        puts = [_put(keys, number) for number in range(89)]
        assert isinstance(await store.commit(_head(keys, "next"), etag, puts), Committed)
        head = await store.get(keys.head)
        assert head is not None
        assert head.data == _head(keys, "next").value
        assert head.etag != etag
        assert await store.get_many([put.key for put in puts]) == {put.key: put.value for put in puts}

    async def test_a_stale_etag_is_refused(self, store: Store, keys: Keys) -> None:
        """The head stays as it was, etag included; what a refused commit may leave behind is no obstacle to the next one."""
        stale = await _born(store, keys)
        assert isinstance(await store.commit(_head(keys, "taken"), stale, []), Committed)
        before = await store.get(keys.head)
        for text in ("late", "late", "taken"):
            assert isinstance(await store.commit(_head(keys, text), stale, [_put(keys, 1)]), NotCommitted)
        assert before is not None
        assert await store.get(keys.head) == before
        assert isinstance(await store.commit(_head(keys, "late"), before.etag, [_put(keys, 1)]), Committed)
        await _holds(store, [_head(keys, "late"), _put(keys, 1)])

    async def test_a_commit_creates_a_head_only_if_there_is_none(self, store: Store, keys: Keys) -> None:
        """Where the store claims `Traits.atomic_create`."""
        if not (await store.traits()).atomic_create:
            pytest.skip("the store does not claim atomic_create")
        assert isinstance(await store.commit(_head(keys, "first"), None, [_put(keys, 1)]), Committed)
        before = await store.get(keys.head)
        assert before is not None
        assert before.data == _head(keys, "first").value
        assert isinstance(await store.commit(_head(keys, "second"), None, [_put(keys, 2)]), NotCommitted)
        assert await store.get(keys.head) == before
        assert isinstance(await store.commit(_head(keys, "third"), before.etag, []), Committed)
        assert isinstance(await store.commit(_head(keys, "fourth"), None, []), NotCommitted)

    async def test_one_of_many_writers_wins(self, store: Store, keys: Keys) -> None:
        """16 at once with one etag, again and again; also with none where the store claims `Traits.atomic_create`."""
        etag = None if (await store.traits()).atomic_create else await _born(store, keys)
        for _ in range(4):
            etag = await _race(store, keys, etag)

    async def test_the_etag_told_is_the_etag_read(self, store: Store, keys: Keys) -> None:
        """If a commit tells or predicts the head's etag, then it is the one that the next read returns."""
        etag = None if (await store.traits()).atomic_create else await _born(store, keys)
        for number in range(3):
            outcome = await store.commit(_head(keys, f"{number}"), etag, [_put(keys, number)])
            head = await store.get(keys.head)
            assert isinstance(outcome, Committed)
            assert head is not None
            assert outcome.etag in (None, head.etag)
            etag = head.etag

    async def test_create_leaves_a_head_alone(self, store: Store, keys: Keys) -> None:
        """It puts one where there is none; whether it did is for the caller to read."""
        await store.create(_head(keys, "genesis"))
        head = await store.get(keys.head)
        assert head is not None
        assert head.data == _head(keys, "genesis").value
        assert isinstance(await store.commit(_head(keys, "next"), head.etag, []), Committed)
        await store.create(_head(keys, "genesis"))
        after = await store.get(keys.head)
        assert after is not None
        assert after.data == _head(keys, "next").value

    async def test_create_leaves_alone_what_a_commit_created(self, store: Store, keys: Keys) -> None:
        """The same of a head that was there by a commit's doing, where the store claims `Traits.atomic_create`."""
        if not (await store.traits()).atomic_create:
            pytest.skip("the store does not claim atomic_create")
        await store.commit(_head(keys, "first"), None, [])
        before = await store.get(keys.head)
        assert before is not None
        await store.create(_head(keys, "genesis"))
        assert await store.get(keys.head) == before

    # ---- values ----------------------------------------------------------------------------------------------------

    async def test_values_come_back_unchanged(self, store: Store, keys: Keys) -> None:
        """Any bytes where the store claims `Traits.keeps_bytes`, JSON arrays everywhere; by every way in and out."""
        values = [
            b"[]",
            b"[5]",
            b"[300]",
            '["é ☃ \N{PILE OF POO} \\u0000 \\"\\\\"]'.encode(),
            b'[ 1.0, 12345678901234567890, -0.0, 1e400 , {"b":1,"a":2,"b":3} ]',
            b'["$set","$$ROOT",{"$date":0}]',
        ]
        if (await store.traits()).keeps_bytes:
            values += [compress(b"eventlog" * 100), bytes(range(256)), b"\x28part\x00\xff"]
        puts = [Put(_event(keys, number), value) for number, value in enumerate(values)]
        await store.put_many(puts)
        await _holds(store, puts)
        again = [Put(_event(keys, 100 + number), value) for number, value in enumerate(values)]
        assert isinstance(await store.commit(_head(keys, "next"), await _born(store, keys), again), Committed)
        await _holds(store, again)

    async def test_values_may_be_large(self, store: Store, keys: Keys) -> None:
        """256 KiB each, 1 MiB in one commit and 2.5 MiB in one read, of bytes that don't compress."""
        puts = [
            Put(_event(keys, number), b'["%s"]' % _noise(number, VALUE_BYTES // 2 - 9).hex().encode()) for number in range(10)
        ]
        assert isinstance(await store.commit(_head(keys, "next"), await _born(store, keys), puts[:3]), Committed)
        for put in puts[3:]:
            await store.put_many([put])
        assert await store.get_many([put.key for put in puts]) == {put.key: put.value for put in puts}
        if (await store.traits()).keeps_bytes:
            put = Put(_event(keys, 10), _noise(10, VALUE_BYTES))
            await store.put_many([put])
            await _holds(store, [put])

    async def test_what_was_deleted_is_gone(self, store: Store, keys: Keys) -> None:
        """Put twice, deleted present or not, each also of nothing at all; what was not named stays."""
        puts = [_put(keys, number) for number in range(4)]
        for some in (puts, puts, []):
            await store.put_many(some)
        for _ in range(2):
            await store.delete_many([puts[0].key, _event(keys, 100), puts[2].key])
        await store.delete_many([])
        assert await store.get_many([put.key for put in puts]) == {put.key: put.value for put in (puts[1], puts[3])}
        assert await store.get(puts[0].key) is None

    # ---- time to live ----------------------------------------------------------------------------------------------

    async def test_a_ttl_ends_and_a_write_restarts_it(self, store: Store, keys: Keys) -> None:
        """Of heads and of values, put or committed; what has no ttl stays."""
        etag = await _born(store, keys)
        short, long, kept = (Put(_event(keys, number), b"[]", ttl) for number, ttl in enumerate((2, 2, None)))
        freed = Put(_event(keys, 4), b"[]", 2)
        await store.put_many([short, long, freed])
        await store.commit(_head(keys, "next", ttl=2), etag, [Put(_event(keys, 3), b"[]", 2), kept])
        head = await store.get(keys.head)
        assert head is not None
        await store.put_many([long._replace(ttl=600), freed._replace(ttl=None)])
        other = Keys(f"contract-{uuid4().hex}")
        etag = await _born(store, other, ttl=2)
        await store.commit(_head(other, "next", ttl=600), etag, [])
        gone = [keys.head, short.key, _event(keys, 3)]
        async with asyncio.timeout(PATIENCE):
            while any([await store.get(key) for key in gone]):  # noqa: ASYNC110 a store's ttl runs in real time
                await asyncio.sleep(0.1)  # noqa: TID251
        asked = [short.key, long.key, kept.key, _event(keys, 3), freed.key]
        assert await store.get_many(asked) == dict.fromkeys((long.key, kept.key, freed.key), b"[]")
        assert await store.get(other.head) is not None

    async def test_it_answers_and_closes(self, store: Store) -> None:
        """A ping returns, who and how it is stays the same; closing again is nothing."""
        await store.ping()
        assert {store.identity} == {store.identity}
        assert await store.traits() == await store.traits()
        await store.close()
        await store.close()


def _event(keys: Keys, number: int) -> str:
    return keys.event(mint(number.to_bytes(10, "big")))


def _put(keys: Keys, number: int) -> Put:
    return Put(_event(keys, number), b'[{"number":%d}]' % number)


def _head(keys: Keys, text: str, ttl: int | None = None) -> Put:
    return Put(keys.head, b'["eventlog-head","%s"]' % text.encode(), ttl)


async def _born(store: Store, keys: Keys, ttl: int | None = None) -> str:
    """Return the etag of a head just created."""
    await store.create(_head(keys, "genesis", ttl))
    head = await store.get(keys.head)
    assert head is not None
    return head.etag


def _noise(seed: int, size: int) -> bytes:
    """Return bytes that don't compress, the same each time."""
    return shake_256(b"%d" % seed).digest(size)


async def _holds(store: Store, puts: Sequence[Put]) -> None:
    assert await store.get_many([put.key for put in puts]) == {put.key: put.value for put in puts}
    for put in puts:
        value = await store.get(put.key)
        assert value is not None
        assert value.data == put.value


async def _race(store: Store, keys: Keys, etag: str | None) -> str:
    """Have 16 commits on *etag* at once, check that one has won, and return the head's etag after that."""
    heads = [_head(keys, uuid4().hex) for _ in range(16)]
    outcomes = await asyncio.gather(*(store.commit(head, etag, [_put(keys, number)]) for number, head in enumerate(heads)))
    won = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, Committed)]
    found = await store.get(keys.head)
    assert found is not None
    assert found.data in [heads[number].value for number in won]
    if (await store.traits()).trusted:
        assert len(won) == 1
        assert await store.get_many([_event(keys, won[0])]) == {_event(keys, won[0]): _put(keys, won[0]).value}
    return found.etag
