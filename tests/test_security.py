"""What the log may be trusted with: ids of any kind, a sidecar that asks for a token, and bytes that somebody else wrote."""

import ast
import asyncio
import shutil
import traceback
import tracemalloc
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from dapr.conf import settings
from hypothesis import example, given
from hypothesis import strategies as st
from model import examples
from rig import Rig
from rig.rig import FOLDER
from rig.sidecar import Sidecar
from staged import Time, add, do, fill, whole
from torture import ITEM, PERSON, SMALL, Named, torture

import eventlog_session
from eventlog_session import EventLog, EventLogSession, Limits, MemoryStore, StoreRefused
from eventlog_session.core import blob
from eventlog_session.core.head import Carried, Head, Ref
from eventlog_session.core.keys import Keys, digest, mint
from eventlog_session.core.run import Run
from eventlog_session.errors import CorruptLog
from eventlog_session.stores.dapr import DaprStore
from eventlog_session.stores.sidecar import SidecarClient
from eventlog_session.testing import CountingStore

# ---- session ids -------------------------------------------------------------------------------------------------------

HOSTILE = (
    "", " ", "  ", "a", "a ", " a", "a\t", "a\n", "a\r\n", "A", "\0", "a\0", "a\0b", "\x7f", "\x1b[31m",
    "||", "a||b", "a|b", "/", "a/b", "../a", "..", "a\\b", ":", "a:", "a:messages", "a:messages:messages", "a:metadata",
    "{", "}", "{}", "{a}", "{a}b", "*", "a*", "%", "%00", "_", "?", "a?b=c", "#", "'", "'; DROP TABLE state; --", '"', "$1",
    "\u00e9", "e\u0301", "\u212b", "\u00c5", "A\u030a", "\u017f", "s", "S", "\u00df", "ss", "\u1e9e", "\u0130",
    "i\u0307", "\u0131",
    "\u202eabc", "abc\u202c", "\u200b", "a\u200bb", "\ufeffa", "\u0430", "\U0001f600", "\U00010000", "\ufffd", "\ufffe",
    "\uffff",
    "\ud800", "\udfff", "\ud800\udc00", "\udc00\ud800", "a\ud800", "null", "true", "0", "-0", "NaN", "[]", '{"a":1}',
    "evl:{aaaaaaaaaaaaaaaaaaaaaaaaaa}:h", "__ping__", "x" * 1_000_000, "x" * 1_000_001, "\u00e9" * 500_000,
)  # fmt: skip
"""Ids that some store, some language or somebody's regular expression takes for something else, or for one another."""

TWINS: dict[str, Callable[[str], str]] = {
    "casefold": str.casefold,
    "upper": str.upper,
    "lower": str.lower,
    "NFC": lambda text: unicodedata.normalize("NFC", text),
    "NFD": lambda text: unicodedata.normalize("NFD", text),
    "NFKC": lambda text: unicodedata.normalize("NFKC", text),
    "strip": str.strip,
    "a space more": lambda text: text + " ",
    "a NUL more": lambda text: text + "\0",
    "up to NUL": lambda text: text.partition("\0")[0],
    "replaced": lambda text: text.encode("utf-8", "replace").decode(),
    "utf-16": lambda text: text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"),
    "escaped": lambda text: text.encode("unicode_escape").decode(),
    "its legacy key": lambda text: text + ":messages",
    "its head's key": lambda text: Keys(text).head,
    "its digest": lambda text: Keys(text).digest,
}
"""What another id is easily taken for."""

ids = (
    st.text(st.characters(exclude_categories=()))
    | st.sampled_from(HOSTILE)
    | st.text("aA\u00e9\u00c9e\u0301\u017fsS |:{}/\0\ud800", max_size=6)
)


@examples(400)
@given(ids, st.sampled_from([*TWINS]))
@example("\u00e9", "NFD")
@example("\u017f", "upper")
@example("a ", "strip")
@example("\ud800", "replaced")
@example("\ud83d\ude00", "utf-16")
def test_ids_and_keys_are_one_to_one(session_id: str, twin: str) -> None:
    """
    Keys have only ``[a-z0-9{}:-]`` and at most 61 bytes, the same for the same id, none in common with any other id.

    Not even with what another id is equal to for a store, a language or an eye.
    """
    other = TWINS[twin](session_id)
    keys, again, others = (_keys(one) for one in (session_id, str(session_id), other))
    assert keys == again
    assert all(set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789{}:-") and len(key.encode()) <= 61 for key in keys)
    assert bool(set(keys) & set(others)) == (session_id == other)
    assert (Keys(session_id).digest == Keys(other).digest) == (session_id == other)
    head = Head.of(Head.absent(session_id).to_bytes(), limit=1)
    assert head.session_id == session_id


def test_hostile_ids_are_all_told_apart() -> None:
    """No two of the list share a digest."""
    assert len({Keys(one).digest for one in HOSTILE}) == len(set(HOSTILE)) == len(HOSTILE)


def _keys(session_id: str) -> list[str]:
    keys, event, name = Keys(session_id), mint(b"\0" * 10), digest(b"")
    return [keys.head, keys.adopted, keys.event(event), keys.part(event, 9999), keys.segment(name), keys.node(name)]


async def test_a_head_of_another_id_is_refused() -> None:
    """Should two ids ever meet under one key, or somebody copy a head, neither reads nor writes what is the other's."""
    store = Named()
    one, two = EventLog(store, "one"), EventLog(store, "two")
    await add(one, ITEM)
    store.spoil(two.keys.head, store._values[one.keys.head][0])
    for call in (two.read(), add(two, "x"), two.pop(), two.clear(), two.erase(0)):
        with pytest.raises(CorruptLog, match="belongs to another session id"):
            await call
    assert await whole(store, "one") == [ITEM]


@pytest.mark.parametrize("store_of", [MemoryStore])
async def test_hostile_ids_are_sessions_like_others_in_memory(store_of: Callable[[], MemoryStore]) -> None:
    """The port's specification itself keeps them apart; so what a component does differently is the component's."""
    store = store_of()
    await keep_apart(lambda: CountingStore(store), "")


@pytest.mark.daprd
async def test_hostile_ids_are_sessions_like_others(rig: Rig, component: str) -> None:
    """Written, read back by another process, none seen by another, and one erased without a trace in the others."""
    clients: list[SidecarClient] = []

    def store() -> DaprStore:
        clients.append(SidecarClient(rig.address))
        return DaprStore(clients[-1], component)

    await keep_apart(store, f"{uuid4().hex[:8]}/")
    for client in clients:
        await client.close()


async def keep_apart(store: Callable[[], DaprStore | CountingStore], prefix: str) -> None:
    """Check that sessions of hostile ids don't touch one another; the stores outlive a test, so ids begin with *prefix*."""
    session_ids = [prefix + one for one in HOSTILE]

    async def each(call: Callable[[EventLog, int], object]) -> None:
        opened = store()
        gate = asyncio.Semaphore(8)  # megabytes each

        async def one(number: int, session_id: str) -> None:
            async with gate:
                log = EventLog(opened, session_id)
                await call(log, number)  # type: ignore[misc]
                await log.settle()

        await asyncio.gather(*(one(number, session_id) for number, session_id in enumerate(session_ids)))

    async def write(log: EventLog, number: int) -> None:
        await add(log, {"number": number, "id": repr(log.session_id)[:100]}, "popped")
        await log.pop()

    async def check(log: EventLog, number: int) -> None:
        expected = [] if number in erased else [{"number": number, "id": repr(log.session_id)[:100]}]
        assert (await log.read()).items == expected

    async def erase(log: EventLog, number: int) -> None:
        if number in erased:
            assert log.keys.event((await log.head()).recent_id(1) or "") in (await log.erase(0)).keys

    erased: set[int] = set()
    await each(check_empty)
    await each(write)
    await each(check)
    erased = set(range(0, len(session_ids), 3))
    await each(erase)
    await each(check)


async def check_empty(log: EventLog, _: int) -> None:
    """Nobody has written here yet."""
    assert (await log.read()).version == 0


# ---- the sidecar's token -----------------------------------------------------------------------------------------------

TOKEN = "s3cret-" + "0" * 24


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A daprd that asks for `TOKEN`, with a component in memory."""
    place = tmp_path_factory.mktemp("guarded")
    components = place / "components"
    components.mkdir()
    shutil.copy(FOLDER / "memory" / "statestore.yaml", components / "statestore.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAPR_API_TOKEN", TOKEN)
        sidecar = Sidecar(place / "daprd", "guarded", [components])
        sidecar.start()
    yield sidecar
    sidecar.close()


@pytest.fixture
async def opened(guarded: Sidecar, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[str | None], EventLogSession]]:
    """Opens a session at the guarded sidecar with a token."""
    sessions: list[EventLogSession] = []

    def open_with(token: str | None) -> EventLogSession:
        monkeypatch.setitem(vars(settings), "DAPR_API_TOKEN", token)
        sessions.append(EventLogSession.from_address("a session", state_store_name="statestore", dapr_address=guarded.address))
        return sessions[-1]

    yield open_with
    for session in sessions:
        await session.close()


@pytest.mark.daprd
async def test_with_the_token_everything_works(opened: Callable[[str | None], EventLogSession]) -> None:
    """``DAPR_API_TOKEN`` goes with each call: reads, bulk reads, commits, deletions, the question which component it is."""
    session = opened(TOKEN)
    assert await session.ping()
    for number in range(200):  # enough for a segment, and for its events' own keys to be deleted
        await session.add_items([{"role": "user", "content": f"{number} " + "x" * 300}])
    assert len(await session.get_items()) == 200
    assert await session.pop_item() is not None
    assert (await session.verify()).sound
    assert (await session.erase(grace=0)).keys


@pytest.mark.daprd
@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "0"])
async def test_without_the_token_the_error_says_so(opened: Callable[[str | None], EventLogSession], token: str | None) -> None:
    """Reads and writes raise StoreRefused, at once and not after a retry budget, in the sidecar's own words."""
    session = opened(token)
    assert not await session.ping()
    for call in (session.get_items(), session.add_items([{"role": "user", "content": ITEM}]), session.clear_session()):
        with pytest.raises(StoreRefused, match=r"Dapr refused the request.*: Unauthorized; set DAPR_API_TOKEN") as refused:
            await asyncio.wait_for(call, 10)
        assert ITEM not in str(refused.value)
        assert TOKEN not in str(refused.value)
    assert session.counters.commits == 0


# ---- what is stored is data --------------------------------------------------------------------------------------------

SOURCES = sorted(Path(eventlog_session.__file__).parent.rglob("*.py"))
_MODULES = {
    "code", "codeop", "ctypes", "dill", "cloudpickle", "imp", "jsonpickle", "marshal", "multiprocessing", "pickle", "pty",
    "runpy", "shelve", "subprocess", "xmlrpc", "yaml",
}  # fmt: skip
_CALLS = {"__import__", "compile", "eval", "exec", "globals", "execfile"}
_OF_OS = ("system", "popen", "exec", "spawn", "posix_spawn", "fork")


def executable(source: str) -> set[str]:
    """Return what in *source* could make code out of data."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names if one.name.partition(".")[0] in _MODULES}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {node.module or ""} if (node.module or "").partition(".")[0] in _MODULES else set()
        elif isinstance(node, ast.Name) and node.id in _CALLS:
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "os" and node.attr.startswith(_OF_OS):
            found.add(f"os.{node.attr}")
        elif isinstance(node, ast.Attribute) and node.attr in ("load_extension", "enable_load_extension", "read_pickle"):
            found.add(node.attr)
    return found


def test_nothing_executable_is_read() -> None:
    """
    No module can turn stored bytes into code: no pickle, marshal or YAML, no eval, no processes.

    But for the demonstration, which starts itself a second time in order to kill it.
    """
    assert len(SOURCES) > 40
    assert {path.name: found for path in SOURCES if (found := executable(path.read_text()))} == {"demo.py": {"subprocess"}}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def f():\n  from marshal import loads", "import yaml.nodes", "eval('1')", "x = exec", "__import__(name)",
        "import os\nos.system('')", "import subprocess as s", "connection.enable_load_extension(True)",
    ],
)  # fmt: skip
def test_executable_code_would_be_found(source: str) -> None:
    """The test above sees it, wherever it stands."""
    assert executable(source)


def test_a_module_is_only_imported_by_a_name_of_our_own() -> None:
    """`import_module` is called in one place, for what the package's own names lie in."""
    calls = {
        path.name: ast.unparse(node)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module")
    }
    assert {name for name in calls if name != "__init__.py"} <= {"cli.py"}
    with pytest.raises(AttributeError):
        eventlog_session.__getattr__("os")


def test_formats_are_json_and_zstd() -> None:
    """Of all that reads a format, the core knows JSON, base 64 and zstd, and nothing else."""
    readers = {"loads", "load", "decompress", "b64decode", "unpack", "literal_eval"}
    found = {
        ast.unparse(node.func)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in readers
    }
    ours = {"exporting.load"}  # reads lines with orjson, and nothing else
    assert found - ours == {"orjson.loads", "json.loads", "b64decode", "blob.decompress", "decompressor.decompress"}


# ---- decompression -----------------------------------------------------------------------------------------------------

TIGHT = replace(SMALL, event_bytes=1 << 20)
BOMB = 64 << 20
"""Sixty-four times what `TIGHT` allows a value to hold."""


async def bombed(kind: str) -> tuple[Named, str]:
    """Return a store with a log, one value of which somebody has replaced by a bomb, everything that names it fitting."""
    store = Named()
    log = EventLog(store, "a session", limits=SMALL)
    for _ in range(30):
        await fill(log, 1)
    await log.settle()
    head = await log.head()
    frame = blob.compress(b"\0" * BOMB)
    assert len(frame) < 1 << 14
    if kind == "carried":
        head = head._replace(carried=Carried(Run(1, 0), frame))
    elif kind == "parts":
        head = await _with_bombed_parts(store, log, frame)
    else:
        level = {"segment": 0, "node": 1}[kind]
        text = kind == "segment"  # as a store that keeps text has it
        value = blob.to_value(frame, binary=not text)
        name = digest(value)
        key = log.keys.node(name) if level else log.keys.segment(name)
        store.spoil(key, value)
        place = next(place for place, ref in enumerate(head.index) if min(ref.level, 1) == level)
        index: list[Ref] = list(head.index)
        index[place] = index[place]._replace(name=name, size=len(value))
        head = head._replace(index=tuple(index))
    store.spoil(log.keys.head, head.to_bytes())
    return store, log.session_id


async def _with_bombed_parts(store: Named, log: EventLog, frame: bytes) -> Head:
    """Replace the parts of the newest event, in the tail or the newest segment."""
    limits = Limits(inline_bytes=200, value_bytes=400)
    fresh = EventLog(store, "another", limits=limits)
    await add(fresh, {"text": "y" * 3000})
    head = await fresh.head()
    parts = blob.to_parts(frame, 400, binary=True)
    columns = head.tail.columns()
    columns["o"]["0"]["f"] = [sum(map(len, parts)), len(parts), digest(frame)]
    for number, part in enumerate(parts):
        store.spoil(log.keys.part(head.tail.ids, number), part)
    return head._replace(session_id=log.session_id, tail=Run.of_columns(columns, head.tail.items))


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        *((kind, call) for kind in ("segment", "node", "carried", "parts") for call in ("read", "verify", "events")),
        ("carried", "pop"), ("parts", "pop"),  # a pop reads no more than its item is in
    ],
)  # fmt: skip
async def test_a_bomb_is_refused_before_it_goes_off(kind: str, call: str) -> None:
    """
    A value of a few KiB that holds 64 times what it may is damage like any other, whoever meets it.

    Refused within a few times the bound in memory.
    """
    store, session_id = await bombed(kind)
    log = EventLog(CountingStore(store), session_id, limits=TIGHT)
    tracemalloc.start()
    try:
        if call == "verify" and kind != "carried":
            found = await log.verify()
            assert any("more than" in text for text in found.altered.values())
        else:
            with pytest.raises(CorruptLog, match=f"more than {TIGHT.event_bytes} bytes"):
                await do(log, call)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * TIGHT.event_bytes < BOMB / 8


# ---- errors ------------------------------------------------------------------------------------------------------------


async def test_no_error_says_what_was_said(time: Time) -> None:
    """
    Through everything that can go wrong: no error has an item in its text, its notes, or those of what caused it.

    A session id is only where a `DaprSession`'s key is named, which is made of it.
    """
    raised = await torture(Named(), time)
    assert {type(error).__name__ for error in raised} >= {"InvalidItem", "CorruptLog", "ForkDetected", "OutcomeUnknown"}
    for error in raised:
        told = "".join(traceback.format_exception(error))
        assert ITEM not in told
        assert PERSON not in told.replace(f"{PERSON}, earlier:messages", "")
