"""The README's snippets run as pasted."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tour
from rig import Rig

from eventlog_session import cli

_README = (Path(__file__).parent.parent / "README.md").read_text()
_SNIPPETS = re.findall(r"```python\n(.*?)```", _README, re.DOTALL)

_SCRIPTED = """
from agents import set_tracing_disabled
from agents.testing import ScriptedModel
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

set_tracing_disabled(True)
TEXT = ResponseOutputText(type="output_text", text="Hello, you", annotations=[])
SAID = ResponseOutputMessage(id="1", type="message", role="assistant", status="completed", content=[TEXT])
"""
"""What replaces a model that costs money."""


def _run(code: str, directory: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=directory, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("snippet", [text for text in _SNIPPETS if "sqlite" in text])
def test_embedded_snippets_run_as_pasted(snippet: str, tmp_path: Path) -> None:
    """A snippet prints what its comments say."""
    expected = re.findall(r"#\s(\[.*\])$", snippet, re.MULTILINE)
    printed = _run(snippet, tmp_path).splitlines()
    assert printed[: len(expected)] == expected
    assert printed


@pytest.mark.daprd
def test_the_drop_in_runs_as_pasted_on_a_sidecar(rig: Rig, tmp_path: Path) -> None:
    """Only the address and the model, which would cost money, are not those of the README."""
    (snippet,) = [text for text in _SNIPPETS if "from_address" in text]
    snippet = snippet.replace("localhost:50001", rig.address).replace('"statestore"', '"redis"')
    model = 'Agent(name="Assistant", model=ScriptedModel([[SAID]]))'
    assert _run(_SCRIPTED + snippet.replace('Agent(name="Assistant")', model), tmp_path) == "Hello, you\n"


def test_every_command_is_shown() -> None:
    """On the tour; `certify`, which asks a real component, above its own table."""
    shown = {line.split()[0] for line in tour.COMMANDS.strip().splitlines()}
    assert shown | {"certify"} == set(cli.commands.commands)
    assert "\n$ eventlog-session certify --store " in _README


def test_the_commands_print_what_is_shown() -> None:
    """A fresh run of them all, compared but for times and random ids; `make readme` renews it."""
    shown = _README.partition("<!-- commands -->\n")[2].partition("<!-- /commands -->")[0]
    assert tour.masked(shown) == tour.masked(tour.tour())
