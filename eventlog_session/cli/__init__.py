"""
The command line: ``eventlog-session COMMAND``.

Results go to stdout, notes, progress and errors to stderr. Exit status: 0 done, 1 the answer is no, 2 usage, 3 the store
can't be reached, 4 no such session or point, 5 another writer was first, 6 it may have been written, 7 refused, 130
interrupted. It needs the extra ``cli``, and never imports the Agents SDK, which takes seconds.
"""

import sys

try:
    import click as _click  # noqa: F401 asked for here, once for all modules below
except ModuleNotFoundError as missing:
    if missing.name != "click":
        raise
    sys.exit("error: the command line needs more packages: pip install 'eventlog-session[cli]'")

from . import asking, changing, looking, moving
from .base import commands, main

__all__ = ["asking", "changing", "commands", "looking", "main", "moving"]
