"""What is said: made harmless; what is no result on stderr; on a terminal how far the work is."""

import os
import shlex
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import IO, Any, NoReturn

import click

STORE = "EVENTLOG_SESSION_STORE"
QUIET = 1.0
"""Seconds before progress is shown: what is done by then needs none."""
_OBEYED = frozenset({"Cc", "Cf", "Zl", "Zp", "Co", "Cs"})
"""Unicode categories that a terminal obeys or hides: control, format (bidi), separators, private, surrogates."""
Showing = Callable[[int, int, str], None]
"""Called with how much is done, of how much (0 where nobody knows), and of what."""


class Interrupted(click.Abort):
    """Ctrl-C, with what state things are in."""


def harmless(text: str, keep: str = "") -> str:
    """Return *text* with every character but those in *keep* that a terminal would obey or hide made visible."""
    if text.isprintable():
        return text
    return "".join(f"<U+{ord(one):04X}>" if one not in keep and obeyed(one) else one for one in text)


def obeyed(character: str) -> bool:
    """Whether a terminal would obey or hide a character."""
    return unicodedata.category(character) in _OBEYED


def note(message: str) -> None:
    """Say something that is not the result."""
    click.echo(harmless(message, "\n"), err=True)


def fail(message: str, status: int) -> NoReturn:
    """End the process with an error."""
    note(f"error: {message}")
    sys.exit(status)


def terminal(stream: IO[Any]) -> bool:
    """Whether *stream* is a terminal."""
    try:
        return os.isatty(stream.fileno())  # while progress is shown it is rich's, whose isatty() is never true
    except (OSError, ValueError):  # closed, or none that a process has
        return False


def again(url: str | None, command: str, *options: str, session: str) -> str:
    """Return a command on *session* as it is typed in a shell, whatever is in the id."""
    store = () if url in (None, os.environ.get(STORE)) else ("--store", str(url))
    last = ("--", session) if session.startswith("-") else (session,)
    return " ".join(map(_quoted, ("eventlog-session", command, *store, *options, *last)))


def _quoted(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    plain = (chr(one) if 32 <= one < 127 and chr(one) not in "'\\" else f"\\x{one:02x}" for one in os.fsencode(word))
    return f"$'{''.join(plain)}'"  # as bash, zsh and ksh read it


@contextmanager
def progress(title: str = "") -> Iterator[Showing]:
    """Show on a terminal how far the work is, once it has taken a second."""
    if not terminal(sys.stderr):
        yield _nothing
        return
    bar = _Bar(title)
    late = Timer(QUIET, bar.begin)
    late.daemon = True
    late.start()
    try:
        yield bar.show
    finally:
        late.cancel()
        late.join()  # it may just have begun
        bar.end()


def _nothing(done: int, total: int, title: str) -> None:
    """Where nobody looks on."""


class _Bar:
    """How far the work is; nothing of it is imported before it is to be seen."""

    def __init__(self, title: str) -> None:
        self._now: tuple[int, int, str] = (0, 0, title)
        self._shown: Any = None

    def begin(self) -> None:
        """Show what is known, and go on."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        said = TextColumn("{task.description}", markup=False)
        columns = (SpinnerColumn(), said, BarColumn(), TimeElapsedColumn())
        # what goes to a file must go there: rich would send it to the terminal, too
        shown = Progress(
            *columns, console=Console(stderr=True), transient=True, redirect_stdout=terminal(sys.stdout), redirect_stderr=True
        )
        shown.add_task("", total=None)
        self._shown = shown
        self.show(*self._now)
        shown.start()

    def show(self, done: int, total: int, title: str) -> None:
        """Have so much be done from now on."""
        self._now = (done, total, title)
        if self._shown is not None:
            (task,) = self._shown.task_ids
            said = f"{title} {done:,}/{total:,}" if total else title
            self._shown.update(task, completed=done, total=total or None, description=said)

    def end(self) -> None:
        """Wipe it away."""
        if self._shown is not None:
            self._shown.stop()
