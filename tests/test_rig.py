"""The rig says why one of its servers is not there any more."""

import time
from pathlib import Path

import pytest
from rig import RigError
from rig.base import Server


class Panics(Server):
    """Serves from the start, and ends as a Go program does: the reason first, then a long trace."""

    name = "panics"

    def command(self) -> list[str]:
        """Wait for a word, as a file."""
        trace = "echo panic: index out of range; for n in $(seq 100); do echo goroutine $n; done; exit 2"
        return ["/bin/sh", "-c", f"echo serving; touch up; while [ ! -e end ]; do sleep 0.01; done; {trace}"]

    def answers(self) -> bool:
        """Whether it has begun."""
        return (self.directory / "up").exists()


def test_a_server_that_ended_by_itself_is_named_with_its_reason(tmp_path: Path) -> None:
    """With the status, and the log from the panic on; one that runs passes, and so does one that was started again."""
    with Panics(tmp_path) as server:
        server.check()
        (tmp_path / "end").touch()
        while server.running:
            time.sleep(0.01)
        with pytest.raises(RigError, match=r"panics \(pid \d+\) ended with status 2. From .*\npanic: index") as raised:
            server.check()
        assert "serving" not in str(raised.value)
        for file in ("up", "end"):
            (tmp_path / file).unlink()
        server.start()
        server.check()
    with pytest.raises(RigError, match=r"status -15. The end of .*\nserving$"):  # nothing of its life before
        server.check()
    with pytest.raises(RigError, match="never started"):
        Panics(tmp_path).check()
