"""A pytest plugin that deselects by exact name and writes down what became of every test. `run.py` puts it beside the tests."""

import json
import os
from pathlib import Path

import pytest

DESELECT = "EVENTLOG_DESELECT"
"""The environment variable with a JSON list of names: of functions, or of single instances with their parameters."""
REPORT = "EVENTLOG_REPORT"
"""The environment variable with the path of the file to write: outcomes by node id, as JSON."""

_outcomes: dict[str, str] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect; a name that no test has is an error."""
    names = set(json.loads(os.environ[DESELECT]))
    unwanted = [item for item in items if names & _names(item)]
    if unknown := names.difference(*map(_names, unwanted)):
        raise pytest.UsageError(f"no test has the name {', '.join(sorted(unknown))}")
    items[:] = [item for item in items if not names & _names(item)]
    config.hook.pytest_deselected(items=unwanted)
    _outcomes.update((item.nodeid, "deselected") for item in unwanted)


def _names(item: pytest.Item) -> set[str]:
    return {item.name, item.name.split("[")[0]}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note the worst of set-up, call and tear-down."""
    if report.failed or (_outcomes.get(report.nodeid) != "failed" and (report.skipped or report.when == "call")):
        _outcomes[report.nodeid] = report.outcome


def pytest_sessionfinish() -> None:
    """Write."""
    Path(os.environ[REPORT]).write_text(json.dumps(_outcomes))
