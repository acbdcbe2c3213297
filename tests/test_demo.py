"""The demo as a newcomer runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rig import Rig

from eventlog_session import EventLogSession
from eventlog_session.demo import main


def demo(*arguments: str, temporary: Path) -> "subprocess.CompletedProcess[str]":
    """Run it without a key, with warnings as errors, with *temporary* for its temporary files."""
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "eventlog_session.demo", *arguments],
        env=environment | {"TMPDIR": str(temporary)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_it_tells_the_story(tmp_path: Path) -> None:
    """Two processes, the conversation, its events and a look at the past, on a screenful and with nothing on stderr."""
    done = demo(temporary=tmp_path)
    assert done.stderr == ""
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert len(lines) < 60
    assert max(len(line) for line in lines if "sqlite:" not in line) <= 100
    processes = re.findall(r"process (\d+)", done.stdout)
    assert len(processes) == 4
    assert len(set(processes)) == 2
    assert 'look_up_order({"number":1881}) -> order 1881' in done.stdout
    assert "24.90 EUR are on their way back to you." in done.stdout
    assert "Where were we?" in done.stdout
    assert "10 items at version 10" in done.stdout
    events = [line.split() for line in lines if re.match(r" +\d+  \d\d:\d\d:\d\d\.\d{3} ", line)]
    assert [int(event[0]) for event in events] == list(range(1, 11))
    assert [event[2:] for event in events[-2:]] == [["items", "added", "+1", "11"], ["item", "popped", "-1", "10"]]
    past = done.stdout.partition("before it gave the refund, at version 4?")[2]
    assert "Please refund it." in past
    assert "refund({" not in past
    assert list(tmp_path.iterdir()) == []


def test_it_keeps_the_file_if_asked(tmp_path: Path) -> None:
    """And says where, so that one can go on from there."""
    done = demo("--keep", "--session", "mine", temporary=tmp_path)
    assert done.stderr == ""
    kept = re.search(r"Kept in sqlite:///(\S+)", done.stdout)
    assert kept is not None
    assert Path(kept[1]).is_file()


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("dapr", marks=pytest.mark.daprd)])
async def test_it_runs_on_a_store_of_yours(kind: str, tmp_path: Path, session_id: str, request: pytest.FixtureRequest) -> None:
    """The conversation is then there for others to read, and a second run goes on with it."""
    running: Rig | None = request.getfixturevalue("rig") if kind == "dapr" else None
    url = f"dapr://{running.address}/redis" if running else f"sqlite:///{tmp_path}/mine.db"
    for run in (1, 2) if kind == "sqlite" else (1,):
        done = demo("--store", url, "--session", session_id, temporary=tmp_path)
        assert (done.stderr, done.returncode) == ("", 0)
        assert f"Kept in {url}" in done.stdout
        async with EventLogSession.from_url(session_id, url=url) as session:
            assert (await session.read()).version == 10 * run


@pytest.mark.parametrize(
    ("url", "status", "says"),
    [("memory://", 2, "sqlite:///FILE"), ("nonsense", 1, "names no store"), ("dapr://127.0.0.1:1/x", 1, "127.0.0.1:1")],
)
def test_what_can_not_work_says_so_in_a_line(
    url: str, status: int, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback: what is wrong and what to write instead."""
    monkeypatch.setattr(sys, "argv", ["demo", "--store", url])
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    try:
        assert main() == status
    except SystemExit as done:
        assert done.code == status  # noqa: PT017 argparse's way to return it
    error = capsys.readouterr().err
    assert says in error
    assert error.startswith(("demo: ", "usage: "))
