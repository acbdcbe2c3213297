"""The errors of the rig."""

from __future__ import annotations


class RigError(RuntimeError):
    """A part is missing, could not be built or does not answer. The message says what to do, or shows the log."""


class NotInstalled(RigError):
    """A server that only the system's packages have is not there and can't be installed by us. Its tests are skipped."""
