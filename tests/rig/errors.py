"""The one error of the rig."""

from __future__ import annotations


class RigError(RuntimeError):
    """A part is missing, could not be built or does not answer. The message says what to do, or shows the log."""
