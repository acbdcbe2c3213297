"""That the tests would notice if a guard of the protocol was gone. See `mutants` for which, and by what."""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from mutants import MUTANTS, Moved, Mutant, failure, mutate


@pytest.fixture(scope="module")
def failures() -> Iterator[dict[str, Future[str]]]:
    """What fails with each guard taken away, as many at once as there are cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {mutant.guard: pool.submit(failure, mutant, mutant.noticed_by) for mutant in MUTANTS}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard)
def test_a_missing_guard_is_noticed(mutant: Mutant, failures: dict[str, Future[str]]) -> None:
    """Without it the test that is named, or a simulated schedule, fails. With it they pass: see those tests themselves."""
    assert failures[mutant.guard].result(), f"{mutant.noticed_by} passes without it"


def test_what_takes_nothing_away_is_not_noticed() -> None:
    """The copy as it is passes: what fails above fails for the change."""
    for check in ("simulation sql 20", "test_log.py::test_a_stale_head_is_rebased"):
        assert failure(None, check) == ""


@pytest.mark.parametrize("line", ["no such line", "import"])
def test_a_guard_that_moved_is_an_error(line: str, tmp_path: Path) -> None:
    """Not found, or found twice: a change that is not made is not one that nothing notices."""
    (tmp_path / "commit.py").write_text("import asyncio\nimport json\n")
    with pytest.raises(Moved, match="say where it is now"):
        mutate(Mutant("a guard", [("commit", line, "")], ""), tmp_path)


def test_guards_are_told_apart() -> None:
    """By their names."""
    assert len({mutant.guard for mutant in MUTANTS}) == len(MUTANTS) > 20
