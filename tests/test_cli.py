"""The command line: what it prints where, with which exit status, and what it does not import."""

import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from rig import Rig

import eventlog_session
from eventlog_session.certify import runs
from eventlog_session.stores.dapr import PROFILES

NOWHERE = "dapr://127.0.0.1:1/statestore"


def command(*arguments: str) -> list[str]:
    """Return the command line's own command line."""
    return [sys.executable, "-m", "eventlog_session", *arguments]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end, on pipes."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60, check=False, env=clean(environment))


def clean(more: Mapping[str, str] = {}) -> dict[str, str]:
    """Return this process's environment without what the command line would take from it, and with *more*."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("DAPR_", "EVENTLOG_"))}
    return {**ours, "PYTHONPATH": str(Path(eventlog_session.__file__).parents[1]), **more}


def test_help_names_the_commands() -> None:
    """Without arguments, too."""
    assert "certify" in run("--help").stdout
    assert "--store" in run("certify", "--help").stdout
    assert "certify" in run().stderr + run().stdout


def test_version() -> None:
    """It is the package's."""
    assert run("--version").stdout.strip().endswith(eventlog_session.__version__)


def test_it_does_not_import_what_takes_seconds() -> None:
    """Not the Agents SDK, whatever is run; not Dapr before a component is asked; not rich but on a terminal."""
    said = [
        _imported(),
        _imported("certify", "--help"),
        _imported("certify", "--list"),
        _imported("certify", "--store", NOWHERE),
    ]
    assert not any("agents" in modules or "rich" in modules for modules in said)
    assert ["dapr" in modules for modules in said] == [False, False, True, True]


def _imported(*arguments: str) -> set[str]:
    """Return the top-level packages that a run imports, as Python itself reports them."""
    timed = [sys.executable, "-X", "importtime", "-m", "eventlog_session", *arguments]
    said = subprocess.run(timed, capture_output=True, text=True, timeout=60, check=False, env=clean()).stderr
    modules = {line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")}
    assert "eventlog_session.cli" in modules
    return {module.partition(".")[0] for module in modules}


def test_without_its_extra_it_says_what_to_install() -> None:
    """One line, no traceback."""
    code = "import sys; sys.modules['click'] = None; import eventlog_session.__main__"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=clean())
    assert done.returncode == 1
    assert done.stderr == "error: the command line needs more packages: pip install 'eventlog-session[cli]'\n"


# ---- certify -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "which store? --store dapr://HOST:PORT/STATESTORE"),
        (["--store", "sqlite:///x.db"], "is no Dapr component"),
        (["--store", "dapr://localhost:50001"], "names no store"),
        (["--nonsense"], "No such option"),
    ],
)
def test_usage(arguments: list[str], text: str) -> None:
    """What can't be meant is exit status 2 and names what can."""
    done = run("certify", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert text in done.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "where"),
    [
        (["certify", "--store", NOWHERE], {}, "127.0.0.1:1 (from --store)"),
        (["--store", NOWHERE, "certify"], {}, "127.0.0.1:1 (from --store)"),
        (["certify"], {"EVENTLOG_SESSION_STORE": NOWHERE}, "127.0.0.1:1 (from EVENTLOG_SESSION_STORE)"),
        (["certify", "--store", "dapr:///s"], {"DAPR_GRPC_PORT": "2"}, "127.0.0.1:2 (from DAPR_GRPC_PORT)"),
        (["certify", "--store", "dapr:///s"], {"DAPR_GRPC_ENDPOINT": "127.0.0.1:3"}, "127.0.0.1:3 (from DAPR_GRPC_ENDPOINT)"),
    ],
)
def test_no_sidecar(arguments: list[str], environment: Mapping[str, str], where: str) -> None:
    """Exit status 3; the error says where the address came from and how to start one."""
    done = run(*arguments, **environment)
    assert done.returncode == 3
    assert done.stdout == ""
    assert (
        done.stderr == f"error: no Dapr sidecar at {where}. Start one: dapr run --app-id NAME --resources-path ./components\n"
    )


@pytest.mark.daprd
def test_no_such_store(rig: Rig) -> None:
    """Exit status 2; those that there are are named."""
    done = run("certify", "--store", f"dapr://{rig.address}/nowhere")
    assert done.returncode == 2
    assert "has no state store 'nowhere': it has " in done.stderr


@pytest.mark.daprd
def test_a_report(rig: Rig) -> None:
    """On stdout, nothing else anywhere; nothing written is left in the store; what is kept ends with exit status 0."""
    before = _rows(rig)
    done = run("certify", "--store", f"dapr://{rig.address}/sqlite")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("sqlite  state.sqlite v1 · Dapr ")
    assert "  etag mismatch rolls siblings back  yes" in lines
    assert any(line.startswith("kept: exactly once · atomic batch · past versions stable · ") for line in lines)
    assert lines[-1] == "verdict: a log can be kept here"
    assert _rows(rig) == before


@pytest.mark.daprd
def test_a_bad_verdict(rig: Rig) -> None:
    """A component on which a law can't be kept is exit status 1, with one JSON document all the same."""
    done = run("certify", "--store", f"dapr://{rig.address}/{rig.add('redis-expiring')}", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["ok"] is False
    assert document["component"]["type"] == "state.redis"
    assert [one["name"] for one in document["guarantees"] if one["law"] and one["kept"] is False] == ["past versions stable"]


@pytest.mark.daprd
def test_progress_is_for_terminals(rig: Rig) -> None:
    """It appears there, on stderr, and is wiped away; the result is the same."""
    main, terminal = pty.openpty()
    environment = clean({"TERM": "xterm", "COLUMNS": "100"})
    asking = subprocess.Popen(
        command("certify", "--store", f"dapr://{rig.address}/memory"), stdout=subprocess.PIPE, stderr=terminal, env=environment
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            shown += os.read(main, 4096)
        except OSError:  # Linux's way of saying that nobody writes there any more
            break
    os.close(main)
    output, _ = asking.communicate()
    assert asking.returncode == 0
    assert b"waiting for a ttl to pass" in shown
    assert output.decode().endswith("verdict: a log can be kept here\n")


@pytest.mark.daprd
def test_interrupted(rig: Rig) -> None:
    """Ctrl-C is exit status 130, and the keys written until then are deleted."""
    before = _rows(rig)
    asking = subprocess.Popen(
        command("certify", "--store", f"dapr://{rig.address}/sqlite"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean(),
    )
    while _rows(rig) <= before + 20:
        assert asking.poll() is None
        time.sleep(0.01)
    asking.send_signal(signal.SIGINT)
    output, errors = asking.communicate(timeout=30)
    assert (asking.returncode, output, errors) == (130, "", "\ninterrupted\n")
    assert _rows(rig) == before


def _rows(rig: Rig) -> int:
    """Return how many values the SQLite component holds."""
    with sqlite3.connect(rig.directory / "sqlite.db") as database:
        return int(database.execute("SELECT count(*) FROM state WHERE key LIKE '%||evl:%'").fetchone()[0])


# ---- what is known -------------------------------------------------------------------------------------------------


def test_the_list_tells_runs_from_reading() -> None:
    """Every type with a profile is in it, once for each version; what was not run says so."""
    listed = json.loads(run("certify", "--list", "--json").stdout)
    assert {row["type"] for row in listed} >= PROFILES.keys()
    assert {row["known"] for row in listed if row["runs"]} == {"run"}
    assert {row["known"] for row in listed if not row["runs"]} == {"from source"}
    assert [one for row in listed for one in row["runs"]] == sorted(runs(), key=lambda one: (one["type"], one["version"]))
    text = run("certify", "--list").stdout
    for row in listed:
        assert re.search(rf"^{re.escape(row['type'])} +{row['version']} +{row['profile']}$", text, re.MULTILINE)
    assert text.count("from source, not run") == sum(not row["runs"] for row in listed)


def test_what_a_run_is() -> None:
    """Each says on what, when, with which release and how it ended."""
    assert {"state.redis", "state.postgresql", "state.mysql", "state.etcd", "state.sqlite"} <= {one["type"] for one in runs()}
    for one in runs():
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", one["date"])
        assert one["server"]
        assert one["dapr"]
        assert one["release"]
        assert isinstance(one["ok"], bool)
