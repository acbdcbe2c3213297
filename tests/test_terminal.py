"""The command line as a process: on terminals and pipes, with streams that are closed or full, interrupted and killed."""

import asyncio
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.cells import cell_len
from rig import Rig
from rig.sidecar import Sidecar

import eventlog_session
from eventlog_session import EventLog
from eventlog_session.cli.rendering import safe_json
from eventlog_session.cli.saying import again, harmless
from eventlog_session.core.events import CLEARED, TAG, TAG_VERSION, TAGGED
from eventlog_session.stores.base import Put, Store
from eventlog_session.stores.dapr import DaprStore
from eventlog_session.stores.sidecar import SidecarClient
from eventlog_session.stores.sqlite import SQLiteStore

HOSTILE = "a\x1b]0;title\x07\x1b[2Jb\x9b31m\u202egnp\u2066\nc\x7fd\u2028e"
NAMES = (
    "with spaces",
    "-dash",
    "--help",
    "line\nfeed",
    "日本 😀",
    "",
    "\x1b[31mred\x1b[0m",
    "\u202egnp",
    "\x9b2J",
    "tab\tid",
    "'\"$(x)",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a SQLite file is to be."""
    return tmp_path / "sessions.db"


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without what the command line would take from it, and with *more*."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DAPR_", "EVENTLOG_")) and name not in ("COLUMNS", "LINES", "NO_COLOR")
    }
    return {**ours, "PYTHONPATH": str(Path(eventlog_session.__file__).parents[1]), "TZ": "UTC", **more}


def command(*arguments: str, first: str = "") -> list[str]:
    """Return what starts the command line, after the code *first*."""
    code = f"import sys; sys.argv[0] = 'eventlog-session'\n{first}\nfrom eventlog_session.cli import main\nmain()"
    return [sys.executable, "-P", "-c", code, *arguments]


def run(path: Path, *arguments: str, first: str = "", **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a command on the file at *path*, on pipes."""
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
    env = environment(EVENTLOG_SESSION_STORE=f"sqlite:///{path}")
    return subprocess.run(command(*arguments, first=first), timeout=60, check=False, **{"env": env, **given})


@dataclass
class Screen:
    """A command on a terminal."""

    process: subprocess.Popen[bytes]
    leader: int
    said: str = ""

    def until(self, text: str) -> None:
        """Return when *text* was shown."""
        while text not in self.said:
            assert select.select([self.leader], [], [], 60)[0], f"nothing more was shown after {self.said!r}"
            self.said += self._read()

    def rest(self) -> str:
        """Return all that was shown, once the command has ended."""
        while more := self._read():
            self.said += more
        self.process.wait(60)
        return self.said

    def type(self, text: str) -> None:
        """Type *text*."""
        os.write(self.leader, text.encode())

    def insist(self, key: str, text: str) -> None:
        """Press *key* until *text* is shown: Python misses a Ctrl-C that comes just before it waits for input."""
        while text not in self.said:
            self.type(key)
            while text not in self.said and select.select([self.leader], [], [], 2)[0]:
                more = self._read()
                assert more, f"it ended with {self.said!r}"
                self.said += more

    def _read(self) -> str:
        try:
            return os.read(self.leader, 65_536).decode()
        except OSError:  # the other end is closed
            return ""


_CONTROLLED = "import fcntl, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
"""Has the terminal be the one whose Ctrl-C the process gets."""


@contextmanager
def terminal(url: str, *arguments: str, columns: int = 100, first: str = "", **more: str) -> Iterator[Screen]:
    """Give a command a terminal of so many columns."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = environment(**{"EVENTLOG_SESSION_STORE": url, "TERM": "xterm", **more})
    child = subprocess.Popen(
        command(*arguments, first=_CONTROLLED + first), stdin=follower, stdout=follower, stderr=follower, env=env,
        start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    try:
        yield Screen(child, leader)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        os.close(leader)


def shown(path: Path, *arguments: str, columns: int = 100, **more: str) -> list[str]:
    """Return the lines that a command shows on a terminal, with their colours."""
    with terminal(f"sqlite:///{path}", *arguments, columns=columns, **more) as screen:
        return screen.rest().replace("\r\n", "\n").splitlines()


def plain(line: str) -> str:
    """Return *line* without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def fill(path: Path, session_id: str, *batches: Sequence[Any]) -> None:
    """Have a session to which each of *batches* was added."""

    async def add() -> None:
        store = SQLiteStore.open(path)
        log = EventLog.of(store, session_id)
        for items in batches:
            await log.add(orjson.dumps(items), len(items))
        await log.settle()
        await store.close()

    asyncio.run(add())


def user(text: str) -> dict[str, str]:
    """What a user says."""
    return {"role": "user", "content": text}


# ---- a terminal --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [64, 80, 200])
def test_a_table_fits_its_terminal(path: Path, columns: int) -> None:
    """Only the last column gives way; columns of nothing are left out; double width is counted."""
    fill(path, "s", [user("word " * 100)], [user("日本語" * 60)])
    for name in ("log", "show"):
        lines = [plain(line) for line in shown(path, name, "s", columns=columns)]
        widest = max(map(cell_len, lines))
        assert widest in (columns - 1, columns) or (name == "log" and columns == 200 and widest < 200)  # a few words
        assert "RUN" not in lines[0]
        assert "CALL" not in lines[0]
        assert all(line.endswith("…") for line in lines[1:])
    assert re.fullmatch(r"VERSION +TIME  KIND   CHANGE  LENGTH  PREVIEW", plain(shown(path, "log", "s", columns=columns)[0]))


def test_the_whole_text_goes_into_a_pipe(path: Path) -> None:
    """Cut nowhere."""
    fill(path, "s", [user("word " * 1_000)])
    assert run(path, "show", "s").stdout.decode() == "1.0\tuser\t\t" + ("word " * 1_000).strip() + "\n"


def test_the_date_is_told_when_it_is_not_todays(path: Path) -> None:
    """Times are local on a terminal."""
    fill(path, "s", [user("x")])
    assert re.fullmatch(r" +1  \d\d:\d\d:\d\d  added .*", plain(shown(path, "log", "s", TZ="UTC")[1]))
    tomorrow = "from datetime import timedelta\nfrom eventlog_session.cli import looking, points\n"
    tomorrow += "looking.now = lambda: points.now() + timedelta(days=1)"
    with terminal(f"sqlite:///{path}", "log", "s", first=tomorrow) as screen:
        assert re.match(r" +1  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  added", plain(screen.rest().splitlines()[1]))


def test_colours(path: Path) -> None:
    """Kinds and speakers have theirs; not in a pipe, not for NO_COLOR, not on a dumb terminal."""
    fill(path, "s", [user("x")])
    assert "\x1b[32madded" in "".join(shown(path, "log", "s"))
    assert "\x1b[1;36muser" in "".join(shown(path, "show", "s"))
    assert "\x1b[31m-" in "".join(shown(path, "diff", "s", "1", "0"))
    assert b"\x1b" not in run(path, "log", "s").stdout + run(path, "diff", "s", "1", "0").stdout
    quiets: Sequence[dict[str, Any]] = ({"NO_COLOR": "1"}, {"TERM": "dumb"})
    for quiet in quiets:
        with terminal(f"sqlite:///{path}", "diff", "s", "1", "0", **quiet) as screen:
            assert not re.search(r"\x1b\[(3|4|9)", screen.rest())


def test_a_long_log_is_shown_as_it_is_read(path: Path) -> None:
    """In pieces that have the same columns, under one header."""
    fill(path, "s", *[[user(str(number))] for number in range(450)])
    lines = [plain(line) for line in shown(path, "log", "s")]
    assert [line.split()[0] for line in lines] == ["VERSION", *(str(number) for number in range(450, 0, -1))]
    assert len({line.index("added") for line in lines[1:]}) == 1


def test_progress_is_on_stderr_and_only_on_a_terminal(path: Path, tmp_path: Path) -> None:
    """What goes to a file meanwhile goes there; from when on it is shown is set to at once here."""
    fill(path, "s", [user("x")])
    soon = "from eventlog_session.cli import saying\nsaying.QUIET = 0.0\nimport asyncio\n"
    soon += "from eventlog_session import EventLog\nfrom eventlog_session.cli import moving\nlines = moving.exporting.lines\n"
    soon += "async def slow(*given):\n    await asyncio.sleep(0.5)\n    async for line in lines(*given):\n        yield line\n"
    soon += "    await asyncio.sleep(0.5)\nmoving.exporting.lines = slow"
    leader, follower = pty.openpty()
    done = run(path, "export", "s", first=soon, stderr=follower)
    os.close(follower)
    said = os.read(leader, 65_536).decode()
    os.close(leader)
    assert "events 1/1" in said
    assert done.stdout == run(path, "export", "s").stdout
    assert run(path, "export", "s", first=soon).stderr == b""


def test_what_is_done_within_a_second_shows_no_progress(path: Path, tmp_path: Path) -> None:
    """Not even an empty line."""
    fill(path, "s", [user("x")])
    assert shown(path, "fork", "s", "t") == ["t: 1 items, from s at version 1, independent from here on"]
    assert [line.split()[0] for line in shown(path, "verify", "s")] == ["ok"]


# ---- what is anybody's -------------------------------------------------------------------------------------------------


def raw(output: bytes) -> set[str]:
    """Return the characters in *output* that a terminal would obey or hide."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", output.decode())  # our own colours
    return set(text) & set("\x00\x07\x08\x1b\x7f\x9b\u2028\u202e\u2066\u200b")


@pytest.mark.parametrize("how", ["a pipe", "a terminal"])
def test_nothing_hostile_goes_through(path: Path, how: str) -> None:
    """Neither of items, ids, tags, traces nor of what was typed; in tables, JSON, events, exports and errors."""
    call = {"type": "function_call", "name": HOSTILE, "arguments": HOSTILE, "call_id": HOSTILE}
    items = [user(HOSTILE), call, {"type": HOSTILE, "x": HOSTILE}, {"role": HOSTILE, "content": HOSTILE}]

    async def more() -> None:
        store = SQLiteStore.open(path)
        log = EventLog.of(store, HOSTILE)
        await log.add(orjson.dumps(items), 4, extensions={"agentstraceid": "trace_" + HOSTILE})
        await log.submit(None, None, TAGGED, {TAG: HOSTILE, TAG_VERSION: "1"})
        await log.submit(None, None, CLEARED, {}, base=0)
        await log.settle()
        await store.close()

    asyncio.run(more())
    for arguments in (
        ["log", HOSTILE], ["log", HOSTILE, "--json"], ["log", HOSTILE, "-o", "jsonl"], ["show", HOSTILE, "--at", "1"],
        ["show", HOSTILE, "--at", "1", "--json"], ["show", HOSTILE, "--event", "1"], ["diff", HOSTILE, "1"],
        ["tag", HOSTILE], ["tag", HOSTILE, "--json"], ["tag", HOSTILE, HOSTILE], ["tag", HOSTILE, "-d", HOSTILE],
        ["show", HOSTILE, "--at", f"tag:x{HOSTILE}"], ["show", HOSTILE, "--at", HOSTILE], ["keys", HOSTILE],
        ["verify", HOSTILE], ["undo", HOSTILE], ["rewind", HOSTILE, "1"], ["fork", HOSTILE, HOSTILE + "b"],
        ["fork", HOSTILE, HOSTILE], ["migrate", HOSTILE], ["log", "x" + HOSTILE], ["log", HOSTILE, HOSTILE],
        [HOSTILE], ["log", "--" + HOSTILE], ["log", HOSTILE, "--kind", HOSTILE], ["export", "x", "-f", "/nowhere/" + HOSTILE],
        ["import", HOSTILE], ["--store", "x" + HOSTILE, "log", "x"], ["erase", HOSTILE, "--yes", "x"],
    ):  # fmt: skip
        if how == "a pipe":
            done = run(path, *(one.replace("\0", "") for one in arguments))
            assert raw(done.stdout + done.stderr) == set(), arguments
            assert b"Traceback" not in done.stderr
        else:
            assert raw("\n".join(shown(path, *arguments)).encode()) == set(), arguments
    if how == "a terminal":
        assert raw("\n".join(shown(path, "export", HOSTILE)).encode()) == set()


def test_json_is_the_same_with_its_escapes(path: Path) -> None:
    """Whoever reads it gets what was stored; joiners are kept in text, where emoji need them, and escaped in JSON."""
    family = "👨\u200d👩"
    fill(path, "s", [user(HOSTILE + family + "\U000e0041")])
    assert json.loads(run(path, "show", "s", "--json").stdout)[0]["item"] == user(HOSTILE + family + "\U000e0041")
    text = run(path, "show", "s").stdout.decode()
    assert family in text
    assert "<U+E0041>" in text
    assert json.loads(safe_json('{"a": "\u202e\U000e0041 é"}')) == {"a": "\u202e\U000e0041 é"}


@pytest.mark.parametrize("name", NAMES)
def test_any_id_can_be_typed(path: Path, name: str) -> None:
    """With -- before one that begins with a dash; and as what is to be typed next is printed, a shell takes it."""
    fill(path, name, [user("x")], [user("y")])
    last = ["--", name] if name.startswith("-") else [name]
    assert len(run(path, "log", *last).stdout.splitlines()) == 2
    done = run(path, "undo", *last)
    assert done.stdout.startswith(b"undid 2: length 2 ")
    (typed,) = (line.removeprefix("back again: ") for line in done.stderr.decode().splitlines() if line.startswith("back"))
    shell = f'eventlog-session() {{ "{sys.executable}" -P -m eventlog_session "$@"; }}; {typed}'
    env = environment(EVENTLOG_SESSION_STORE=f"sqlite:///{path}")
    back = subprocess.run(["bash", "-c", shell], env=env, capture_output=True, check=False)
    assert back.stdout.startswith(b"redid 2: length 1 "), back
    out = path.with_name("out")
    assert run(path, "export", "-f", str(out), *last).returncode == 0
    other = path.with_name("other.db")
    assert run(other, "import", str(out)).stdout.decode() == f"{harmless(name)}: imported, at version 4 with 2 items\n"
    assert len(run(other, "log", *last).stdout.splitlines()) == 4


def test_what_is_to_be_typed_names_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the environment does."""
    monkeypatch.setenv("EVENTLOG_SESSION_STORE", "sqlite:///a.db")
    assert again("sqlite:///a.db", "redo", session="x") == "eventlog-session redo x"
    assert again("sqlite:///b b.db", "redo", session="x") == "eventlog-session redo --store 'sqlite:///b b.db' x"


# ---- streams -----------------------------------------------------------------------------------------------------------


def test_whoever_reads_may_stop(path: Path) -> None:
    """Quietly, with the status of what a broken pipe ends."""
    fill(path, "s", *[[user("x" * 1_000)] for _ in range(300)])
    for arguments in (["log", "s"], ["show", "s"], ["export", "s"], ["log", "s", "--json"], ["keys", "s"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = run(path, *arguments, stdout=writer)
        os.close(writer)
        assert (done.returncode, done.stderr) == (141, b""), arguments


@pytest.mark.parametrize("command", ["log", "show", "export", "verify", "undo"])
def test_a_full_disk_is_told(path: Path, command: str) -> None:
    """One line, exit status 7."""
    fill(path, "s", [user("x")])
    with Path("/dev/full").open("wb") as full:
        done = run(path, command, "s", stdout=full)
    assert done.returncode == 7
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


def test_streams_may_be_closed(path: Path) -> None:
    """Nothing is asked for or written there, and no file that is opened takes their place."""
    fill(path, "s", [user("x")])
    for closing, arguments, status in (
        ("<&-", "import -", 7), ("<&-", "erase s", 2), ("<&-", "migrate --ids-from -", 2), (">&-", "log s", 0),
        ("2>&-", "log nobody", 4), ("<&- >&- 2>&-", "verify s", 0), (">&-", "undo s", 0),
    ):  # fmt: skip
        shell = f'exec "{sys.executable}" -P -m eventlog_session {arguments} {closing}'
        done = subprocess.run(
            ["bash", "-c", shell], env=environment(EVENTLOG_SESSION_STORE=f"sqlite:///{path}"), capture_output=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == status, (arguments, done)
        assert b"Traceback" not in done.stderr
    assert run(path, "verify", "s").returncode == 0


def test_an_output_that_knows_few_letters(path: Path) -> None:
    """Gets the others escaped."""
    fill(path, "s", [user("日")])
    done = run(path, "show", "s", env=environment(EVENTLOG_SESSION_STORE=f"sqlite:///{path}", PYTHONIOENCODING="latin-1"))
    assert done.stdout == b"1.0\tuser\t\t\\u65e5\n"


# ---- no store ----------------------------------------------------------------------------------------------------------


def test_a_sidecar_that_takes_calls_and_says_nothing(path: Path) -> None:
    """It is as good as none: nobody waits for the deadline of a call."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        env = environment(EVENTLOG_SESSION_STORE=f"dapr://127.0.0.1:{deaf.getsockname()[1]}/statestore")
        done = run(path, "log", "x", env=env)
        assert done.returncode == 3
        assert b"no Dapr sidecar at 127.0.0.1:" in done.stderr
        fill(path, "s", [user("x")])
        done = run(path, "fork", "s", "t", "--to-store", env["EVENTLOG_SESSION_STORE"])
        assert done.returncode == 3


@pytest.mark.daprd
def test_a_sidecar_that_asks_for_a_token(rig: Rig, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, what to set is told, with exit status 7; with it, all is as ever."""
    monkeypatch.setenv("DAPR_API_TOKEN", "secret")
    sidecar = Sidecar(tmp_path / "daprd", "rig", [rig.components])
    sidecar.start()
    try:
        url = f"dapr://{sidecar.address}/redis"
        done = run(path, "log", "nobody", env=environment(EVENTLOG_SESSION_STORE=url))
        assert done.returncode == 7
        assert b"set DAPR_API_TOKEN" in done.stderr
        done = run(path, "log", "nobody", env=environment(EVENTLOG_SESSION_STORE=url, DAPR_API_TOKEN="secret"))
        assert done.returncode == 4
        assert b"redis (state.redis) as app 'rig'" in done.stderr
    finally:
        sidecar.close()


# ---- interrupted -------------------------------------------------------------------------------------------------------

_SIGNALLED = """
import os, signal
from eventlog_session.stores.{module} import {store} as Store
real, calls = Store.{method}, 0
async def signalled(self, *given):
    global calls
    calls += 1
    mine = calls
    if {before} and mine == {number}:
        os.kill(os.getpid(), signal.{signal})
    done = await real(self, *given)
    if not {before} and mine == {number}:
        os.kill(os.getpid(), signal.{signal})
    return done
Store.{method} = signalled
"""


def signalled(
    method: str, number: int, *, before: bool = False, with_: str = "SIGINT", module: str = "sqlite", store: str = "SQLiteStore"
) -> str:  # fmt: skip
    """Return code by which a process signals itself at the call *number* of a store's method."""
    return _SIGNALLED.format(module=module, store=store, method=method, number=number, before=before, signal=with_)


def test_an_import_that_was_interrupted(path: Path) -> None:
    """Is there as a whole or not at all, and it says which."""
    fill(path, "s", *[[user("x" * 9_000 + str(number))] for number in range(40)])
    out = path.with_name("out")
    run(path, "export", "s", "-f", str(out))
    done = run(path, "import", str(out), "--as", "t", first=signalled("put_many", 1, before=True))
    assert (done.returncode, done.stderr) == (130, b"interrupted; nothing was imported\n")
    assert run(path, "show", "t").returncode == 4
    done = run(path, "import", str(out), "--as", "t", first=signalled("commit", 1))
    assert done.returncode == 130
    assert b"it is imported, see eventlog-session log t" in done.stderr
    assert run(path, "show", "t").stdout == run(path, "show", "s").stdout


def test_an_export_that_was_interrupted(path: Path) -> None:
    """Leaves no file, nor what was there before changed; if it was done already, it says that."""
    fill(path, "s", *[[user("x" * 5_000 + str(number))] for number in range(210)])
    out = path.with_name("out")
    out.write_text("before")
    done = run(path, "export", "s", "-f", str(out), "--force", first=signalled("get_many", 2))  # of three
    assert done.returncode == 130
    assert f"interrupted; {out} was not written" in done.stderr.decode()
    assert out.read_text() == "before"
    assert sorted(one.name for one in path.parent.glob("out*")) == ["out"]
    done = run(path, "export", "s", "-f", str(out), "--force", first=signalled("get_many", 3))
    assert done.returncode == 130
    assert f"interrupted; all of it is in {out}" in done.stderr.decode()
    assert len(out.read_text().splitlines()) == 210


def test_an_erasure_that_was_interrupted(path: Path) -> None:
    """Says how far it came; every other command says how to go on; called again, it ends."""
    fill(path, "s", [user("x")])
    done = run(path, "erase", "s", "--yes", "s", first=signalled("delete_many", 1))
    assert done.returncode == 130
    assert b"it reads as erased, but not all is deleted: eventlog-session erase s" in done.stderr
    done = run(path, "log", "s")
    assert done.returncode == 7
    assert b"to go on with it: eventlog-session erase s" in done.stderr
    done = run(path, "erase", "s", "--yes", "s", "--grace", "0")
    assert done.returncode == 0
    assert done.stdout.startswith(b"erased s: ")
    assert run(path, "log", "s").returncode == 4


def test_the_question_before_an_erasure(path: Path) -> None:
    """Says what there is; any other answer, none, or Ctrl-C erases nothing."""
    fill(path, "my s", [user("x")], [user("y")])
    for answer, status, said in (
        ("yes\n", 1, "that is not the session's id; nothing was erased"),
        ("\x03", 130, "\r\ninterrupted; nothing was erased"),
        ("\x04", 130, "\r\ninterrupted; nothing was erased"),
    ):
        with terminal(f"sqlite:///{path}", "erase", "my s", columns=200) as screen:
            screen.until("type its id to erase it: ")
            assert f"my s in sqlite:///{path}: 2 versions, 2 items now" in screen.said
            screen.insist(answer, said)
            screen.rest()
            assert screen.process.returncode == status
    assert run(path, "verify", "my s").returncode == 0
    with terminal(f"sqlite:///{path}", "erase", "my s", "--grace", "0") as screen:
        screen.until("type its id to erase it: ")
        screen.type("my s\n")
        assert "erased my s: " in screen.rest()
    assert run(path, "log", "my s").returncode == 4


# ---- many at once ------------------------------------------------------------------------------------------------------


def value(number: int) -> list[str]:
    """What a DaprSession left of session *number*."""
    return [json.dumps(user(f"{number}.{one}"), separators=(",", ":")) for one in range(number % 5 + 1)]


async def leave(store: Store, prefix: str, count: int) -> None:
    """Have *count* sessions that a DaprSession left."""
    for number in range(count):
        await store.put_many([Put(f"{prefix}{number}:messages", json.dumps(value(number)).encode())])
    await store.close()


async def migrated(store: Store, prefix: str, count: int) -> None:
    """Check that all *count* sessions are logs of what was left, and sound."""
    for number in range(count):
        log = EventLog.of(store, f"{prefix}{number}", adopt=False)
        assert (await log.read()).items == [json.loads(one) for one in value(number)]
        assert (await log.verify()).sound
        assert (await log.head()).version == 1
        await log.settle()
    await store.close()


@pytest.mark.parametrize(("before", "with_"), [(True, "SIGKILL"), (False, "SIGKILL"), (False, "SIGTERM"), (False, "SIGINT")])
def test_a_migration_that_is_killed_goes_on(path: Path, before: bool, with_: str) -> None:
    """Whenever it was killed: called again, every session is right."""
    asyncio.run(leave(SQLiteStore.open(path), "s", 100))
    ids = "".join(f"s{number}\n" for number in range(100)).encode()
    first = signalled("commit", 40, before=before, with_=with_)
    done = run(path, "migrate", "--ids-from", "-", first=first, input=ids, stdin=None)
    assert done.returncode == (130 if with_ == "SIGINT" else -getattr(signal, with_))
    if with_ == "SIGINT":
        number = len(done.stdout.splitlines())
        assert f"interrupted; {number} of 100 are done".encode() in done.stderr
    done = run(path, "migrate", "--ids-from", "-", input=ids, stdin=None)
    assert done.returncode == 0
    rows = [line.split("\t") for line in done.stdout.decode().splitlines()]
    assert [row[0] for row in rows] == [f"s{number}" for number in range(100)]
    assert {row[1] for row in rows} == {"migrated", "already there"}
    asyncio.run(migrated(SQLiteStore.open(path), "s", 100))


@pytest.mark.daprd
def test_a_migration_that_is_killed_goes_on_through_a_sidecar(rig: Rig, component: str, session_id: str, path: Path) -> None:
    """The same on every component, where nothing that was sent is taken back."""

    def opened() -> DaprStore:
        return DaprStore(SidecarClient(rig.address), component)

    async def both(work: Any) -> None:
        await work(opened(), session_id, 60)

    asyncio.run(both(leave))
    ids = "".join(f"{session_id}{number}\n" for number in range(60)).encode()
    env = environment(EVENTLOG_SESSION_STORE=f"dapr://{rig.address}/{component}")
    first = signalled("commit", 25, before=True, with_="SIGKILL", module="dapr", store="DaprStore")
    assert run(path, "migrate", "--ids-from", "-", first=first, input=ids, stdin=None, env=env).returncode == -signal.SIGKILL
    done = run(path, "migrate", "--ids-from", "-", input=ids, stdin=None, env=env)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 60), done
    asyncio.run(both(migrated))


def test_a_thousand_logs_are_erased_at_once_on_the_way_back(path: Path) -> None:
    """Each has its grace, and all have it together; what was written to the other store is there."""
    other = path.with_name("other.db")
    asyncio.run(leave(SQLiteStore.open(path), "s", 60))
    ids = "".join(f"s{number}\n" for number in range(60)).encode()
    assert run(path, "migrate", "--ids-from", "-", "--delete-source", input=ids, stdin=None).returncode == 0
    graces = "import asyncio\nfrom eventlog_session.cli import migrating\nfrom eventlog_session.log import EventLog\n"
    graces += "erase, waiting = EventLog.erase, 0\nasync def counted(self):\n    global waiting\n    waiting += 1\n"
    graces += (
        "    while waiting < 60:\n        await asyncio.sleep(0.01)\n    return await erase(self, 0)\nEventLog.erase = counted"
    )
    back = ["migrate", "--ids-from", "-", "--from-url", f"sqlite:///{path}", "--to", "single-key", "--delete-source"]
    done = run(other, *back, input=ids, stdin=None, first=graces)
    assert done.returncode == 0, done
    assert len(done.stdout.splitlines()) == 60
    assert run(path, "log", "s3").returncode == 4
    assert run(other, "migrate", "--ids-from", "-", input=ids, stdin=None).returncode == 0
    asyncio.run(migrated(SQLiteStore.open(other), "s", 60))


def test_a_log_is_not_erased_where_its_single_key_would_go_with_it(path: Path) -> None:
    """One store under two names: it is found out by trying, before anything is written."""
    fill(path, "s", [user("x")])
    (path.parent / "d").mkdir()
    same = f"sqlite:///{path.parent}/d/../{path.name}"
    done = run(path, "migrate", "s", "--to", "single-key", "--from-url", same, "--delete-source")
    assert done.returncode == 2
    assert b"is the same store" in done.stderr
    assert run(path, "keys", "s").stdout.count(b"\n") == 2


def test_outcomes_are_printed_as_they_come_and_not_kept(path: Path) -> None:
    """In order; sessions named twice are looked at twice, one after the other."""
    asyncio.run(leave(SQLiteStore.open(path), "s", 3))
    done = run(path, "migrate", "s2", "s0", "s2", "s1", "s2", "nobody")
    rows = [line.split("\t")[:2] for line in done.stdout.decode().splitlines()]
    assert rows == [
        ["s2", "migrated"], ["s0", "migrated"], ["s2", "already there"], ["s1", "migrated"], ["s2", "already there"],
        ["nobody", "nothing there"],
    ]  # fmt: skip
    assert done.stderr == b"3 migrated, 2 already there, 1 nothing there\n"


# ---- a shell -----------------------------------------------------------------------------------------------------------


def test_a_shell_completes(path: Path) -> None:
    """Commands, options, and the files that are named."""
    words = {"COMP_WORDS": "eventlog-session ve", "COMP_CWORD": "1", "_EVENTLOG_SESSION_COMPLETE": "bash_complete"}
    assert run(path, env=environment(**words)).stdout == b"plain,verify\n"
    assert b"complete -o nosort -F" in run(path, env=environment(_EVENTLOG_SESSION_COMPLETE="bash_source")).stdout
