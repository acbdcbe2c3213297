r"""
The command line: ``eventlog-session COMMAND``.

Results go to stdout, notes, progress and errors to stderr. Exit status:

- 0 done
- 1 the answer is no: points differ, a log is damaged, there is nothing to undo or no such tag, the id typed is another one, a
  component can't keep a log, some sessions could not be migrated
- 2 usage: what was typed can't be meant
- 3 the store can't be reached
- 4 no such session, point, or file of sessions
- 5 another writer was first (``Conflict``, ``--expect``)
- 6 it may have been written (``OutcomeUnknown``)
- 7 refused: there is a session or a file already, an export is damaged, a newer format, an erasure that has not finished, no
  permission; or an output can't be written
- 130 interrupted; 141 whoever read the output has gone

Nothing that came from a store or from arguments reaches a terminal or a pipe as it is: what a terminal would obey or hide is
written as ``<U+001B>``, in JSON as ``\u001b``. It needs the extra ``cli``, and never imports the Agents SDK, which takes
seconds.
"""

import sys

try:
    import click as _click  # noqa: F401 asked for here, once for all modules below
except ModuleNotFoundError as missing:
    if missing.name != "click":
        raise
    sys.exit("error: the command line needs more packages: pip install 'eventlog-session[cli]'")

from . import asking, changing, looking, migrating, moving
from .base import commands, main

__all__ = ["asking", "changing", "commands", "looking", "main", "migrating", "moving"]
