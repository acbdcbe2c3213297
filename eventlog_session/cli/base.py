"""The group of all commands, and how a process that runs one of them ends."""

import os
import sys
from typing import Any

import click

from .places import REFUSED, stored
from .points import GRAMMAR
from .saying import fail, note

INTERRUPTED, UNREAD = 130, 141
_ORDER = "log show diff undo redo rewind tag fork export import migrate verify keys certify erase".split()  # noqa: SIM905
_SESSION = "A SESSION is a session's id; one that begins with - goes after --, as in: log -- -id"
_ENDINGS = """\b
Exit status:
  0  done                            5  another writer was first
  1  the answer is no                6  it may have been written
  2  usage                           7  refused, or can't be written
  3  the store can't be reached    130  interrupted
  4  no such session or point      141  nobody reads the output"""


class Commands(click.Group):
    """Commands whose output may have nowhere to go."""

    def list_commands(self, context: click.Context) -> list[str]:  # noqa: ARG002
        """Return their names as they belong together."""
        return sorted(self.commands, key=_ORDER.index)

    def invoke(self, context: click.Context) -> Any:
        """Run one. Output that nobody reads is no failure worth words; a file that can't be written is."""
        try:
            return super().invoke(context)
        except BrokenPipeError:
            sys.exit(UNREAD)
        except OSError as error:
            where = error.filename or "the output"
            fail(f"can't use {where}: {error.strerror or error}", REFUSED)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"{_SESSION}\n\n{GRAMMAR}\n\n{_ENDINGS}",
)
@stored
@click.version_option(package_name="eventlog-session")
@click.pass_context
def commands(context: click.Context, store: str | None) -> None:
    """Look at, and look after, event-sourced sessions."""
    context.obj = store


def main() -> None:
    """Run the command that the process was started with."""
    _streams()
    status = _run()
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else it is tried again at exit
        if not isinstance(error, BrokenPipeError):
            note(f"error: can't write the output: {error.strerror}")
        status = status or (UNREAD if isinstance(error, BrokenPipeError) else REFUSED)
    sys.exit(status)


def _run() -> int:
    """Return the exit status."""
    try:
        commands(prog_name="eventlog-session", standalone_mode=False)
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        if context is not None:
            click.echo(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.\n", err=True)
        note(f"error: {error.format_message()}")
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as stop:
        note(f"interrupted; {stop}" if isinstance(stop, click.Abort) and str(stop) else "interrupted")
        return INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def _streams() -> None:
    """Have three streams, whatever was closed, that take any text."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 for as long as the process runs
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
