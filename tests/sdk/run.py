"""
Runs the Agents SDK's own session tests, from its sdist on PyPI, against EventLogSession.

Usage: ``PYTHONPATH=tests python -P tests/sdk/run.py`` (or ``make sdk-tests``). First all of them as they are, which tells
what passes in this environment; then with our session in the place of the tests' own. Whatever passed before has to pass
again, or to be named in `exceptions` with the reason.
"""

# ruff: noqa: T201  it prints a table

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rig import COMPONENTS, Rig
from rig.build import cache
from sdk import outcomes, stand_ins
from sdk.exceptions import DAPR, RUNNER, SQLITE, Reasons

PACKAGE, VERSION = "openai-agents", "0.24.0"
NEEDS = ("pytest>=9", "pytest-asyncio>=1.1", "pytest-mock>=3.14", "inline-snapshot>=0.20.7", "httpx>=0.28", "greenlet>=3")
"""What the SDK's tests import beyond the SDK's own dependencies."""

DAPR_TESTS = "tests/extensions/memory/test_dapr_session.py"
SQLITE_TESTS = (
    "tests/memory/test_session.py",
    "tests/memory/test_session_limit.py",
    "tests/memory/test_compaction_suffix.py",
    "tests/memory/test_compaction_model_visibility.py",
    "tests/memory/test_openai_responses_compaction_session.py",
    "tests/extensions/memory/test_encrypt_session.py",
    "tests/test_programmatic_tool_calling.py",
    "tests/test_soft_cancel.py",
)
SIMPLE_SESSION = "tests/utils/simple_session.py"
COLUMNS = ("suite", "store", "collected", "passed", "skipped", "deselected", "fail without us", "failed")

Outcomes = Mapping[str, str]
"""By node id: passed, failed, skipped or deselected."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one suite on one store, beside what becomes of it without us (*before*)."""

    suite: str
    store: str
    before: Outcomes
    ours: Outcomes

    @property
    def failed(self) -> list[str]:
        """Tests that passed before and now neither pass nor are excepted: skipped and vanished ones too."""
        fine = {test for test, outcome in self.ours.items() if outcome in {"passed", "deselected"}}
        return sorted(test for test, outcome in self.before.items() if outcome == "passed" and test not in fine)

    @property
    def failed_before(self) -> list[str]:
        """Tests that fail without us."""
        return sorted(test for test, outcome in self.before.items() if outcome == "failed")

    def row(self) -> tuple[str, ...]:
        """Return the line of the table."""
        count = Counter(self.ours.values())
        sizes = (
            len(self.ours),
            count["passed"],
            count["skipped"],
            count["deselected"],
            len(self.failed_before),
            len(self.failed),
        )
        return (self.suite, self.store, *map(str, sizes))


class Sources:
    """The SDK's sources and tests, unpacked in *folder*."""

    def __init__(self, folder: Path) -> None:
        _say(f"fetching the sdist of {PACKAGE} {VERSION}")
        # pip asks for its metadata, and for that fetches the SDK's build backend too
        _pip("download", "--no-deps", "--no-binary", PACKAGE, "--dest", str(folder), f"{PACKAGE}=={VERSION}")
        (archive,) = folder.glob("*.tar.gz")
        shutil.unpack_archive(archive, folder)
        (self.root,) = (path for path in folder.iterdir() if path.is_dir())
        self._packages = _packages()
        for module in (outcomes, stand_ins):
            source = Path(str(module.__file__))
            shutil.copy(source, self.root / f"eventlog_{source.name}")

    def runner_tests(self) -> list[str]:
        """Return the files whose tests use the tests' own simple session."""
        return [
            path.relative_to(self.root).as_posix()
            for path in sorted((self.root / "tests").rglob("test_*.py"))
            if "simple_session import" in path.read_text() or path.parent.name == "deferred_session_writes"
        ]

    def rewrite(self, path: str, *changes: tuple[str, str]) -> None:
        """Put texts in the place of what patterns match in a file; a pattern that matches nothing is an error."""
        text = (self.root / path).read_text()
        for pattern, replacement in changes:
            text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE | re.DOTALL)
            if not count:
                raise SystemExit(f"{path} of {PACKAGE} {VERSION} has nothing like {pattern!r}")
        (self.root / path).write_text(text)

    def run(self, files: Sequence[str], reasons: Reasons, **environment: str) -> tuple[Outcomes, str]:
        """Run the tests of *files*; the outcomes, and what pytest printed."""
        report = self.root.with_name("outcomes.json")
        report.unlink(missing_ok=True)
        paths = self.root, self.root / "src", self._packages
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}
        options = ["-q", "--tb=short", "-p", "no:cacheprovider", "-p", "eventlog_outcomes"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *files],
            cwd=self.root,
            env={
                **kept,
                "PYTHONPATH": os.pathsep.join(map(str, paths)),
                "OPENAI_API_KEY": "x",
                outcomes.DESELECT: json.dumps([name for names in reasons.values() for name in names]),
                outcomes.REPORT: str(report),
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=1800,
        )
        if done.returncode not in {0, 1}:  # that is, neither all passed nor some failed
            raise SystemExit(f"{done.stdout}\npytest ended with status {done.returncode}")
        found: Outcomes = json.loads(report.read_text())
        return found, done.stdout


def main() -> int:
    """Run all and print the table; 1 when anything is wrong."""
    with TemporaryDirectory(prefix="eventlog-sdk-tests-") as name:
        folder = Path(name)
        results = list(_results(Sources(folder), folder))
    widths = [max(map(len, column)) for column in zip(COLUMNS, *(result.row() for result in results), strict=True)]
    for row in (COLUMNS, *(result.row() for result in results)):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    _explain(results)
    return 1 if any(result.failed for result in results) else 0


def _results(sdk: Sources, folder: Path) -> Iterator[Result]:
    runner = sdk.runner_tests()
    _say(f"{1 + len(runner) + len(SQLITE_TESTS)} files as they are")
    before, _ = sdk.run([DAPR_TESTS, *runner, *SQLITE_TESTS], {})

    sdk.rewrite(
        DAPR_TESTS,
        (r"^from agents\.extensions\.memory import", "from eventlog_session.session import"),
        (r"^    DaprSession,$", "    EventLogSession as DaprSession,"),
        (
            r"^class FakeDaprClient:.*?(?=^@pytest)",
            "from eventlog_stand_ins import STATE_STORE, RealClient as FakeDaprClient\n\n",
        ),
        (r'"statestore"', "STATE_STORE"),
        (r"agents\.extensions\.memory\.dapr_session", "eventlog_session.session"),
        (r"DaprSession is closed", "EventLogSession is closed"),
    )
    _say("starting daprd with its stores")
    with Rig(folder / "rig") as rig:
        for component in COMPONENTS:
            environment = {stand_ins.SIDECAR: rig.address, stand_ins.COMPONENT: component}
            yield _result(sdk, "dapr", f"dapr-{component}", [DAPR_TESTS], before, DAPR, environment)

    sdk.rewrite(
        SIMPLE_SESSION,
        (r"^class SimpleListSession\(Session\):.*?(?=^class )", "from eventlog_stand_ins import SimpleListSession\n\n"),
    )
    yield _result(sdk, "runner", "memory", runner, before, RUNNER, {})

    theirs = r"^(from agents(?:\.memory)? import (?:\([^)]*\bSQLiteSession\b[^)]*\)|[^\n(]*\bSQLiteSession\b[^\n]*))$"
    for path in SQLITE_TESTS:
        sdk.rewrite(path, (theirs, r"\1\nfrom eventlog_stand_ins import SQLiteSession"))
    yield _result(sdk, "sqlite", "sqlite", SQLITE_TESTS, before, SQLITE, {})


def _result(
    sdk: Sources,
    suite: str,
    store: str,
    files: Sequence[str],
    before: Outcomes,
    reasons: Reasons,
    environment: Mapping[str, str],
) -> Result:
    _say(f"{suite} on {store}")
    ours, output = sdk.run(files, reasons, **environment)
    result = Result(suite, store, {test: outcome for test, outcome in before.items() if test.split("::")[0] in files}, ours)
    if result.failed:
        print(output)
    if len(result.failed_before) * 100 > len(result.before):
        raise SystemExit(f"{suite}: {len(result.failed_before)} tests fail without us, so that what passes proves little")
    return result


def _explain(results: Sequence[Result]) -> None:
    """Print the reasons of what was deselected, and the names of what fails."""
    for suite, reasons in (("dapr", DAPR), ("runner", RUNNER), ("sqlite", SQLITE)):
        for reason, names in reasons.items():
            print(f"\n{suite}: deselected, {reason}:", *names, sep="\n  ")
    if without_us := {test for result in results for test in result.failed_before}:
        print("\nfail without us, in this environment:", *sorted(without_us), sep="\n  ")
    for result in results:
        if result.failed:
            print(f"\nFAILED, {result.suite} on {result.store}:", *result.failed, sep="\n  ")


def _packages() -> Path:
    """Return the folder with the packages of `NEEDS`: kept from the last time, or installed now."""
    tag = hashlib.sha256(repr((NEEDS, sys.version_info[:2])).encode()).hexdigest()[:16]
    kept = cache() / f"sdk-tests-{tag}"
    if not kept.exists():
        _say(f"installing {', '.join(NEEDS)} into {kept}, once")
        kept.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="sdk-tests-", dir=kept.parent) as unfinished:
            _pip("install", "--target", f"{unfinished}/packages", *NEEDS)
            Path(unfinished, "packages").rename(kept)
    return kept


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "-q", *arguments], check=True)


def _say(text: str) -> None:
    print(f"sdk-tests: {text} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
