"""The commands that look at, change and carry sessions: what they print where, and their exit status."""

import asyncio
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson
import pytest
from click.testing import CliRunner, Result
from rig import Rig

import eventlog_session
from eventlog_session import EventLog, cli, errors
from eventlog_session.cli.places import failing
from eventlog_session.cli.points import parsed
from eventlog_session.cli.rendering import clipped, parts, preview, visible
from eventlog_session.stores.base import Put
from eventlog_session.stores.dapr import DaprStore
from eventlog_session.stores.sidecar import SidecarClient
from eventlog_session.stores.sqlite import SQLiteStore

TRACE = "trace_9f3c21ab" + "0" * 24


def user(text: str) -> Any:
    """What a user says."""
    return {"role": "user", "content": text}


HISTORY: Sequence[tuple[list[Any], dict[str, str]]] = (
    ([user("Where is my order 1881?")], {"agentstraceid": TRACE}),
    ([{"type": "function_call", "name": "look_up", "arguments": '{"id":1881}', "call_id": "c7"}], {"agentstraceid": TRACE}),
    ([{"type": "function_call_output", "output": '{"status":"lost"}', "call_id": "c7"}], {"agentstraceid": TRACE}),
    ([{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "It was lost."}]}], {}),
    ([user("Yes"), user("please")], {}),
)


async def filled(log: EventLog) -> None:
    """Have a session with the history above."""
    for items, extensions in HISTORY:
        await log.add(orjson.dumps(items), len(items), extensions=extensions)
    await log.settle()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A SQLite file with the session "support 42"."""
    path = tmp_path / "sessions.db"

    async def fill() -> None:
        store = SQLiteStore.open(path)
        await filled(EventLog.of(store, "support 42"))
        await store.close()

    asyncio.run(fill())
    return path


class Shell:
    """The command line on one store."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *arguments: str, status: int = 0, given: str | bytes | None = None) -> Result:
        """Run a command, and check how it ended."""
        done = CliRunner().invoke(cli.commands, ["--store", self.url, *arguments], input=given, standalone_mode=True)
        assert done.exit_code == status, (done.output, done.exception)
        return done

    def lines(self, *arguments: str, status: int = 0) -> list[list[str]]:
        """Return what a command prints, in cells."""
        return [line.split("\t") for line in self(*arguments, status=status).stdout.splitlines()]

    def items(self, session_id: str = "support 42") -> list[Any]:
        """Return a session's items."""
        return [row["item"] for row in json.loads(self("show", session_id, "--json").stdout)]


@pytest.fixture
def shell(file: Path) -> Shell:
    """The command line on that file."""
    return Shell(f"sqlite:///{file}")


ALL = [item for items, _ in HISTORY for item in items]


# ---- looking -----------------------------------------------------------------------------------------------------------


def test_log(shell: Shell) -> None:
    """Newest first; the whole preview of every kind; nothing but the result on stdout."""
    rows = shell.lines("log", "support 42")
    assert [row[0] for row in rows] == ["5", "4", "3", "2", "1"]
    assert [(row[2], row[3], row[4]) for row in rows[:2]] == [("added", "+2", "6"), ("added", "+1", "4")]
    assert [row[6] for row in rows] == [
        "user: Yes → user: please", "assistant: It was lost.", '{"status":"lost"}', 'look_up({"id":1881})',
        "user: Where is my order 1881?",
    ]  # fmt: skip
    assert rows[-1][5] == "9f3c21ab"
    assert datetime.fromisoformat(rows[0][1]).utcoffset() == UTC.utcoffset(None)


def test_log_selects(shell: Shell) -> None:
    """By number, range and kind, in either order."""
    shell("undo", "support 42")
    assert [row[0] for row in shell.lines("log", "support 42", "-n", "2")] == ["6", "5"]
    assert [row[0] for row in shell.lines("log", "support 42", "--since", "2", "--until", "head~1", "--reverse")] == [
        "3",
        "4",
        "5",
    ]
    assert [row[0] for row in shell.lines("log", "support 42", "--kind", "undone")] == ["6"]
    assert shell.lines("log", "support 42", "--kind", "undone")[0][3] == "→ 4"
    assert shell("log", "support 42", "--kind", "cleared").stdout == ""
    assert "no such events" in shell("log", "support 42", "--kind", "cleared").stderr
    assert "'undone'" in shell("log", "support 42", "--kind", "nothing", status=2).stderr
    documents = json.loads(shell("log", "support 42", "--json").stdout)
    assert [one["version"] for one in documents] == [6, 5, 4, 3, 2, 1]
    assert documents[-1]["trace_id"] == TRACE
    lines = shell("log", "support 42", "-o", "jsonl").stdout.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["undone", *["added"] * 5]


def test_show(shell: Shell) -> None:
    """Each item with where it came from."""
    rows = shell.lines("show", "support 42")
    assert [row[0] for row in rows] == ["1.0", "2.0", "3.0", "4.0", "5.0", "5.1"]
    assert rows[1] == ["2.0", "call", "c7", 'look_up({"id":1881})']
    assert rows[3] == ["4.0", "assistant", "", "It was lost."]
    assert [row[0] for row in shell.lines("show", "support 42", "--limit", "1")] == ["5.1"]
    assert shell.items() == ALL


@pytest.mark.parametrize(
    ("point", "version"),
    [
        ("3", 3),
        ("head", 6),
        ("head~3", 3),
        ("tag:three", 3),
        ("run:9f3c", 0),
        ("run:9f3c+", 3),
        ("run:trace_9f", 0),
        ("0s", 6),
        ("1w", 0),
    ],
)
def test_show_at_a_point(shell: Shell, point: str, version: int) -> None:
    """What it was understood as is told on stderr."""
    shell("tag", "support 42", "three", "--at", "3")
    done = shell("show", "support 42", "--at", point, "--json")
    assert f"version {version} of 6" in done.stderr
    assert len(json.loads(done.stdout)) == {0: 0, 3: 3, 6: 6}[version]


@pytest.mark.parametrize("point", ["99", "head~9", "tag:none", "run:ffff"])
def test_a_point_that_is_not_there(shell: Shell, point: str) -> None:
    """Exit status 4, for every command."""
    for command in (
        ["show", "support 42", "--at"],
        ["rewind", "support 42"],
        ["diff", "support 42"],
        ["fork", "support 42", "x", "--at"],
    ):
        done = shell(*command, point, status=4)
        assert done.stdout == ""
        assert done.stderr.startswith("error: ")


@pytest.mark.parametrize("point", ["nonsense", "25:99", "2026-13-01", "head~", "-1", "tag:", "10y", "99999999999999w"])
def test_what_is_no_point(shell: Shell, point: str) -> None:
    """Exit status 2, and what is one."""
    assert "14:03" in shell("show", "support 42", "--at", point, status=2).stderr


def test_points_are_read_as_they_are_meant() -> None:
    """Local times, today's clock, and how long ago."""
    now = datetime(2026, 11, 23, 15, 0, 0, tzinfo=UTC).astimezone()
    assert parsed("14:03", now)[0] == now.replace(hour=14, minute=3) if now.utcoffset() == UTC.utcoffset(None) else True
    assert parsed("1h30m", now)[0] == datetime(2026, 11, 23, 13, 30, tzinfo=UTC)
    assert parsed("1.5h", now)[0] == datetime(2026, 11, 23, 13, 30, tzinfo=UTC)
    assert parsed("2026-11-23T14:03Z", now)[0] == datetime(2026, 11, 23, 14, 3, tzinfo=UTC)
    assert parsed("2026-11-23T14:03", now)[0] == datetime(2026, 11, 23, 14, 3).astimezone()
    assert parsed("tag:a b", now)[0] == "a b"
    with pytest.raises(click.UsageError):
        parsed("soon", now)


def test_show_an_event(shell: Shell) -> None:
    """As the CloudEvent that it is."""
    event = json.loads(shell("show", "support 42", "--event", "5").stdout)
    assert event["type"] == "org.pypi.eventlog-session.items.added.v1"
    assert event["data"]["items"] == [user("Yes"), user("please")]
    shell("show", "support 42", "--event", "6", status=4)


def test_diff(shell: Shell) -> None:
    """Like diff: 1 when there is one."""
    assert shell("diff", "support 42", "5").stdout == ""
    shell("rewind", "support 42", "3")
    done = shell("diff", "support 42", "5", status=1)
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["-", "4.0"], ["-", "5.0"], ["-", "5.1"]]
    assert "3 items in common" in done.stderr
    assert [one["side"] for one in json.loads(shell("diff", "support 42", "head", "5", "--json", status=1).stdout)] == ["+"] * 3


def test_verify_and_keys(shell: Shell, file: Path) -> None:
    """Sound until a byte is changed; every key that is in the store is listed."""
    import sqlite3

    assert shell("verify", "support 42").stdout.startswith("ok  version 5: 5 events, 6 items added")
    listed = {row[0] for row in shell.lines("keys", "support 42")}
    database = sqlite3.connect(file)
    assert listed == {key for (key,) in database.execute("SELECT key FROM eventlog_values")}
    (key,) = database.execute("SELECT key FROM eventlog_values WHERE key LIKE '%:e:%' LIMIT 1").fetchone()
    database.execute("UPDATE eventlog_values SET value = '[{}]' WHERE key = ?", (key,))
    database.commit()
    database.close()
    done = shell("verify", "support 42", status=1)
    assert f"altered  {key}" in done.stdout
    assert "restore" in done.stderr


# ---- changing ----------------------------------------------------------------------------------------------------------


def test_undo_and_redo(shell: Shell) -> None:
    """Both say where they landed, and how to go back."""
    done = shell("undo", "support 42")
    assert done.stdout == "undid 5: length 6 → 4, version 6\n"
    assert "eventlog-session redo" in done.stderr
    assert "outside the session" in done.stderr
    assert shell("redo", "support 42").stdout == "redid 5: length 4 → 6, version 7\n"
    assert shell.items() == ALL
    assert "would have undone 5, 4" in shell("undo", "support 42", "-n", "2", "--dry-run").stdout
    assert shell.items() == ALL
    assert "nothing was changed" in shell("undo", "support 42", "-n", "6", status=1).stderr
    shell("redo", "support 42", status=1)
    shell("undo", "support 42", "--expect", "3", status=5)
    assert shell.items() == ALL


def test_rewind(shell: Shell) -> None:
    """To any point; undone like everything else."""
    assert "would rewind to 1" in shell("rewind", "support 42", "1", "--dry-run").stdout
    assert shell.items() == ALL
    assert shell("rewind", "support 42", "run:9f3c+").stdout == "rewound to 3: length 6 → 3, version 6\n"
    assert "already" in shell("rewind", "support 42", "head").stdout
    shell("rewind", "support 42", "1", "--expect", "5", status=5)
    shell("undo", "support 42")
    assert shell.items() == ALL


def test_what_a_dapr_session_left(shell: Shell, file: Path) -> None:
    """It is version 1, also of a rewind that is the first thing to be written."""

    async def leave() -> None:
        store = SQLiteStore.open(file)
        await store.put_many([Put("old:messages", orjson.dumps([orjson.dumps(user("hi")).decode()] * 3))])
        await store.close()

    asyncio.run(leave())
    assert [line[0] for line in shell.lines("log", "old", "--until", "1")] == ["1"]
    assert '"type": "org.pypi.eventlog-session.history.adopted.v1"' in shell("show", "old", "--event", "1").stdout
    assert "would rewind to 0: length 3 → 0" in shell("rewind", "old", "0", "--dry-run").stdout
    shell("rewind", "old", "0", "--expect", "2", status=5)
    assert "already" in shell("rewind", "old", "1", "--dry-run").stdout + shell("rewind", "old", "1").stdout
    assert shell("rewind", "old", "0").stdout == "rewound to 0: length 3 → 0, version 2\n"
    assert shell.items("old") == []
    shell("undo", "old")
    assert len(shell.items("old")) == 3


def test_tags(shell: Shell) -> None:
    """Given, listed, taken away."""
    assert shell("tag", "support 42", "before the refund", "--at", "2").stdout == "before the refund is version 2\n"
    assert shell("tag", "support 42", "now").stdout == "now is version 6\n"
    assert shell.lines("tag", "support 42") == [["before the refund", "2"], ["now", "6"]]
    assert json.loads(shell("tag", "support 42", "--json").stdout)[0] == {"tag": "before the refund", "version": 2}
    shell("tag", "support 42", "now", "-d")
    shell("tag", "support 42", "now", "-d", status=1)
    shell("tag", "support 42", "x" * 65, status=2)
    assert shell.lines("tag", "support 42") == [["before the refund", "2"]]


def test_fork(shell: Shell, tmp_path: Path) -> None:
    """In the store or into another; never over something."""
    assert "b: 3 items, from support 42 at version 3" in shell("fork", "support 42", "b", "--at", "3").stdout
    assert shell.items("b") == ALL[:3]
    shell("fork", "support 42", "b", status=7)
    other = f"sqlite:///{tmp_path / 'other.db'}"
    shell("fork", "support 42", "support 42", "--to-store", other)
    assert Shell(other).items() == ALL


def test_erase_asks_first(shell: Shell) -> None:
    """For the id, on a terminal or as an option; afterwards there is no such session."""
    assert "--yes" in shell("erase", "support 42", status=2).stderr
    shell("erase", "support 42", "--yes", "support 43", status=1)
    assert shell.items() == ALL
    assert "erased support 42" in shell("erase", "support 42", "--yes", "support 42", "--grace", "0").stdout
    shell("show", "support 42", status=4)


# ---- carrying ----------------------------------------------------------------------------------------------------------


def test_export_and_import(shell: Shell, tmp_path: Path) -> None:
    """The same bytes, to a file or stdout; into another store or under another id; never over something."""
    shell("undo", "support 42")
    out = tmp_path / "out.jsonl"
    shell("export", "support 42", "-f", str(out))
    assert shell("export", "support 42").stdout_bytes == out.read_bytes()
    shell("export", "support 42", "-f", str(out), status=7)
    shell("export", "support 42", "-f", str(out), "--force")
    other = Shell(f"sqlite:///{tmp_path / 'other.db'}")
    assert other("import", str(out)).stdout == "support 42: imported, at version 6 with 4 items\n"
    assert other("export", "support 42").stdout_bytes == out.read_bytes()
    assert "there is a session 'support 42' in sqlite:" in other("import", str(out), status=7).stderr
    other("import", str(out), "--as", "copy")
    assert other.items("copy") == ALL[:4]
    shell("export", "support 42", "-f", str(out), "--force", "--to", "2")
    other("import", "-", "--as", "two", given=out.read_bytes())
    assert other.items("two") == ALL[:2]
    assert not list(tmp_path.glob("*.part"))


def test_a_damaged_file_is_refused(shell: Shell, tmp_path: Path) -> None:
    """With the line named; nothing is there afterwards."""
    out = tmp_path / "out.jsonl"
    shell("export", "support 42", "-f", str(out))
    lines = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(lines[:3]) + b"{\n")
    other = Shell(f"sqlite:///{tmp_path / 'other.db'}")
    assert "line 4" in other("import", str(out), status=7).stderr
    out.write_bytes(b"".join(lines[:3]))
    assert "cut short" in other("import", str(out), status=7).stderr
    out.write_bytes(b"")
    other("import", str(out), status=7)
    out.write_bytes(b"".join(lines))
    assert "would be imported, at version 5" in other("import", str(out), "--dry-run").stdout
    other("show", "support 42", status=4)


def test_migrate_there_and_back(shell: Shell, file: Path, tmp_path: Path) -> None:
    """Sessions named in a file; repeated, it finds them equal; one that fails is named and the others go on."""

    async def leave() -> None:
        store = SQLiteStore.open(file)
        for number in range(20):
            value = json.dumps([json.dumps({"n": one}, separators=(",", ":")) for one in range(number + 1)]).encode()
            await store.put_many([Put(f"s{number}:messages", value if number != 7 else b"[cut")])
        await store.close()

    asyncio.run(leave())
    ids = tmp_path / "ids"
    ids.write_text("".join(f"s{number}\n" for number in range(21)))
    dry = shell("migrate", "--ids-from", str(ids), "--dry-run", status=1)
    assert "18 would migrate" not in dry.stderr
    assert "19 would migrate" in dry.stderr
    done = shell("migrate", "--ids-from", str(ids), status=1)
    rows = [tuple(line.split("\t")) for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == [f"s{number}" for number in range(21)]
    assert (rows[0][1:], rows[3][1:]) == (("migrated", "1 item"), ("migrated", "4 items"))
    assert rows[7][1] == "failed"
    assert rows[7][2].startswith("s7:messages")
    assert rows[20][1:] == ("nothing there", "")
    assert "error: 1 failed, and nothing of them was deleted\n  's7': s7:messages" in done.stderr
    assert "19 migrated" in done.stderr
    assert "19 already there" in shell("migrate", "--ids-from", str(ids), status=1).stderr
    assert "19 already there" in shell("migrate", "--ids-from", str(ids), "--dry-run", status=1).stderr
    assert shell.items("s3") == [{"n": one} for one in range(4)]
    other = Shell(f"sqlite:///{tmp_path / 'other.db'}")
    other("migrate", "s3", "--from-url", shell.url, "--to", "single-key")
    other("migrate", "s3")
    assert other.items("s3") == shell.items("s3")
    shell("migrate", status=2)
    shell("migrate", "s3", "--to", "single-key", "--delete-source", status=2)


# ---- where there is nothing --------------------------------------------------------------------------------------------


def test_no_such_session(shell: Shell) -> None:
    """Named, with the store; nothing is made by looking."""
    for command in (
        ["log"],
        ["show"],
        ["diff"],
        ["verify"],
        ["keys"],
        ["undo"],
        ["redo"],
        ["rewind"],
        ["tag"],
        ["fork"],
        ["export"],
    ):
        more = {"diff": ["1"], "rewind": ["1"], "fork": ["x"]}.get(command[0], [])
        done = shell(*command, "nobody", *more, status=4)
        assert "nobody" in done.stderr
        assert shell.url in done.stderr
        assert done.stdout == ""


def test_no_such_file(tmp_path: Path) -> None:
    """A mistyped name makes no file."""
    path = tmp_path / "nowhere.db"
    assert "nowhere.db" in Shell(f"sqlite:///{path}")("log", "x", status=4).stderr
    assert not path.exists()


@pytest.mark.daprd
def test_through_a_sidecar(rig: Rig, session_id: str) -> None:
    """All the same; what is missing is told with the app id, since another sidecar would see it."""

    async def fill() -> None:
        store = DaprStore(SidecarClient(rig.address), "redis")
        await filled(EventLog.of(store, session_id))
        await store.close()

    asyncio.run(fill())
    shell = Shell(f"dapr://{rig.address}/redis")
    assert [row[0] for row in shell.lines("log", session_id)] == ["5", "4", "3", "2", "1"]
    assert shell.items(session_id) == ALL
    shell("undo", session_id)
    shell("fork", session_id, session_id + "-b", "--at", "2")
    assert shell.items(session_id + "-b") == ALL[:2]
    assert shell("verify", session_id).stdout.startswith("ok")
    done = shell("log", "nobody", status=4)
    assert "redis (state.redis) as app '" in done.stderr
    assert "sidecar only" in done.stderr
    assert "has no state store" in Shell(f"dapr://{rig.address}/none")("log", "x", status=2).stderr
    assert "no Dapr sidecar" in Shell("dapr://127.0.0.1:1/redis")("log", "x", status=3).stderr


# ---- what is shown -----------------------------------------------------------------------------------------------------


HOSTILE = "a\x1b]0;title\x07\x1b[2Jb\x9b31m\u202egnp\u2066\r\nc\x00\u2028d"


def test_what_a_terminal_would_obey_is_made_visible(shell: Shell) -> None:
    """Items are anybody's text: no escape, no control, no bidi character goes through, on a terminal or in a pipe."""
    shown = visible(HOSTILE)
    assert "\x1b" not in shown
    assert "<U+001B>]0;title<U+0007><U+001B>[2Jb<U+009B>31m<U+202E>gnp<U+2066> c<U+0000> d" in shown
    shell("tag", "support 42", "[red]x[/]")
    document = on_a_terminal("--store", shell.url, "tag", "support 42")
    assert "[red]x[/]" in document


def on_a_terminal(*arguments: str) -> str:
    """Return what the command line prints on a terminal."""
    leader, follower = pty.openpty()
    ours = {"PYTHONPATH": str(Path(eventlog_session.__file__).parents[1])}
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "TZ": "UTC", **ours}
    command = [sys.executable, "-m", "eventlog_session", *arguments]
    child = subprocess.Popen(command, stdout=follower, stderr=follower, stdin=follower, env=environment)
    os.close(follower)
    said = b""
    while True:
        try:
            said += os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
    child.wait()
    os.close(leader)
    return said.decode()


def test_on_a_terminal_there_is_a_table(shell: Shell) -> None:
    """With a header, fitted to its width."""
    said = on_a_terminal("--store", shell.url, "log", "support 42")
    assert "VERSION" in said
    assert "user: Yes → user: please" in said
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in said.splitlines()) <= 120


@pytest.mark.parametrize(
    ("item", "kind", "text"),
    [
        (user("hi"), "user", "hi"),
        ({"type": "reasoning", "summary": [{"text": "so"}]}, "reasoning", "so"),
        ({"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image"}]}, "output", "(input_image)"),
        ({"type": "web_search_call", "id": "w"}, "web_search_call", '{"id": "w"}'),
        ({"__enc__": 1, "payload": "x"}, "encrypted", "(encrypted)"),
        ("not json", "text", "not json"),
        ('{"role":"user","content":"kept"}', "user", "kept"),
        (3, "item", "3"),
        ({"role": "user", "content": None}, "user", ""),
    ],
)
def test_every_item_has_a_line(item: Any, kind: str, text: str) -> None:
    """Whatever it is."""
    assert parts(item)[:2] == (kind, text)


def test_long_texts_are_cut() -> None:
    """So that they say so."""
    assert clipped("x" * 1000, 10) == "x" * 9 + "…"
    assert clipped("x" * 10, 10) == "x" * 10
    assert len(preview([user("x" * 999)] * 3)) <= 100
    assert preview([]) == ""


def test_nothing_takes_the_agents_sdk(shell: Shell, tmp_path: Path) -> None:
    """It takes seconds to import."""
    out = tmp_path / "out"
    for arguments in (
        ["log", "support 42"],
        ["undo", "support 42"],
        ["export", "support 42", "-f", str(out)],
        ["fork", "support 42", "f"],
    ):
        code = (
            f"import sys; sys.argv = ['x', '--store', {shell.url!r}, *{arguments!r}]\nfrom eventlog_session.cli import main\n"
        )
        code += (
            "import atexit; atexit.register(lambda: sys.exit(print('agents' in sys.modules, 'rich' in sys.modules)))\nmain()"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.stdout.splitlines()[-1] == "False False", done


def test_an_export_leaves_what_it_is_written_to_what_it_was(shell: Shell, tmp_path: Path) -> None:
    """A device or a pipe stays one, a link stays a link, and a private file private."""
    shell("export", "support 42", "-f", "/dev/null", "--force")
    assert Path("/dev/null").is_char_device()
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    real.chmod(0o600)
    link.symlink_to(real)
    shell("export", "support 42", "-f", str(link), status=7)
    shell("export", "support 42", "-f", str(link), "--force")
    assert link.is_symlink()
    assert real.read_bytes().count(b"\n") == 5
    assert real.stat().st_mode & 0o777 == 0o600
    shell("export", "support 42", "-f", str(tmp_path / "new"))
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("*.part"))


def test_a_line_without_an_end_is_refused(shell: Shell) -> None:
    """Before it fills the memory."""
    assert "longer than any event" in shell("import", "/dev/zero", "--as", "z", status=7).stderr


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.CorruptLog("x"), 1), (errors.Unavailable("x"), 3), (errors.NoSuchPoint("x"), 4),
        (errors.HistoryTrimmed("x"), 4), (errors.Conflict("x"), 5), (errors.OutcomeUnknown("x"), 6),
        (errors.UnsupportedFormat("x"), 7), (errors.SessionExists("x"), 7), (errors.InvalidExport("x"), 7),
        (errors.BeingErased("x"), 7), (errors.StoreRefused("x"), 7),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else str(one),
)  # fmt: skip
def test_every_error_has_its_exit_status(error: Exception, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """As the README lists them; one line, no traceback."""
    with pytest.raises(SystemExit) as ended, failing():
        raise error
    assert ended.value.code == status
    assert capsys.readouterr().err == "error: x\n"
