"""What all commands share: the group, how a store is opened, how errors become messages and exit statuses, progress."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Timer
from typing import Any, NoReturn, TypeVar

import click

from ..errors import (
    BeingErased,
    Conflict,
    CorruptLog,
    EventLogError,
    InvalidExport,
    NoSuchPoint,
    OutcomeUnknown,
    SessionExists,
    StoreRefused,
    TooManyTags,
    Unavailable,
)
from ..log import EventLog
from ..opening import open_store
from ..stores.base import Store

STORE = "EVENTLOG_SESSION_STORE"
NO, USAGE, UNREACHABLE, NOT_FOUND, CONFLICT, UNKNOWN, REFUSED, INTERRUPTED = 1, 2, 3, 4, 5, 6, 7, 130
QUIET = 1.0
"""Seconds before progress is shown: what is done by then needs none."""
_STATUSES: tuple[tuple[type[EventLogError], int], ...] = (
    (Unavailable, UNREACHABLE),
    (NoSuchPoint, NOT_FOUND),
    (Conflict, CONFLICT),
    (OutcomeUnknown, UNKNOWN),
    (CorruptLog, NO),
    (InvalidExport, REFUSED),
    (SessionExists, REFUSED),
    (BeingErased, REFUSED),
    (TooManyTags, REFUSED),
    (StoreRefused, REFUSED),
)
"""Exit statuses by error, the first that fits; 7 for all others."""
_T = TypeVar("_T")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--store", metavar="URL", envvar=STORE, help="sqlite:///FILE or dapr://HOST:PORT/STATESTORE.")
@click.version_option(package_name="eventlog-session")
@click.pass_context
def commands(context: click.Context, store: str | None) -> None:
    """Look at, and look after, event-sourced sessions."""
    context.obj = store


def main() -> None:
    """Run the command that the process was started with."""
    try:
        commands(prog_name="eventlog-session", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# ---- stores and sessions -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """A store as it was named."""

    store: Store
    url: str
    told: str = ""
    """What a sidecar says of it: component, type, app id."""

    def log(self, session_id: str) -> EventLog:
        """Return the log of a session in it."""
        return EventLog.of(self.store, session_id)


def in_store(url: str | None, work: Callable[[Place], Awaitable[_T]], *, create: bool = False) -> _T:
    """Return what *work* does with the store at *url*, which is closed then; a file is made only to *create* something."""
    if url is None:
        raise click.UsageError(f"which store? --store sqlite:///FILE or dapr://HOST:PORT/STATESTORE, or {STORE}")

    async def run() -> _T:
        place = await opened(url, create=create)
        try:
            return await work(place)
        finally:
            await place.store.close()

    with failing():
        return asyncio.run(run())


def in_session(
    url: str | None, session_id: str, work: Callable[[EventLog], Awaitable[_T]], *, must_exist: bool = True
) -> _T:  # fmt: skip
    """Return what *work* does with a session's log, once everything of it is written. Ends the process if there is none."""

    async def run(place: Place) -> _T:
        log = place.log(session_id)
        if must_exist and not await exists(log):
            no_session(place, session_id)
        try:
            return await work(log)
        finally:
            await log.settle()

    return in_store(url, run, create=not must_exist)


async def exists(log: EventLog) -> bool:
    """Whether there is a session, or what a `DaprSession` left."""
    known, version = await log.located(None)
    return version > 0 or known.legacy is not None


async def opened(url: str, *, create: bool = False) -> Place:
    """Return the store at *url*; of a component, what its sidecar says. Ends the process when there is none."""
    try:
        store = open_store(url)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if url.startswith("sqlite:") and not create and not store._path.exists():  # type: ignore[attr-defined]
        fail(f"no such file: {store._path}", NOT_FOUND)  # type: ignore[attr-defined]
    if not url.startswith("dapr:"):
        return Place(store, url)
    from ..stores.component import Component, NoSidecar, NoSuchComponent

    component: Any = store
    try:
        told = await Component(component._client, component.name).describe()
    except NoSidecar as error:
        fail(f"{error} ({origin(url)}). Start one: dapr run --app-id NAME --resources-path ./components", UNREACHABLE)
    except NoSuchComponent as error:
        raise click.UsageError(str(error)) from error
    return Place(store, url, f"{component.name} ({told.type}) as app {told.app_id!r}")


def no_session(place: Place, session_id: str) -> NoReturn:
    """End the process: it may be the wrong app's sidecar, through which another's sessions are not seen."""
    if not place.told:
        fail(f"no session {session_id!r} in {place.url}", NOT_FOUND)
    fail(
        f"no session {session_id!r} in {place.told}\n"
        "  keys carry a prefix, the app id unless the component's keyPrefix says otherwise: what another app wrote is seen\n"
        "  through that app's sidecar only, e.g. kubectl port-forward POD 50001:50001, then --store dapr://localhost:50001/"
        f"{place.store.name}",  # type: ignore[attr-defined]
        NOT_FOUND,
    )


def origin(url: str) -> str:
    """Return where the sidecar's address came from: it may be the mistake."""
    if not url.startswith("dapr:///"):
        return f"from {STORE}" if url == os.environ.get(STORE) else "from --store"
    given = [name for name in ("DAPR_GRPC_ENDPOINT", "DAPR_GRPC_PORT", "DAPR_RUNTIME_HOST") if name in os.environ]
    return f"from {given[0]}" if given else "Dapr's default"


# ---- saying it -----------------------------------------------------------------------------------------------------


def note(message: str) -> None:
    """Say something that is not the result."""
    click.echo(message, err=True)


def fail(message: str, status: int) -> NoReturn:
    """End the process with an error."""
    click.echo(f"error: {message}", err=True)
    sys.exit(status)


@contextmanager
def failing() -> Iterator[None]:
    """End the process with what the library raises."""
    try:
        yield
    except EventLogError as error:
        status = next((status for kind, status in _STATUSES if isinstance(error, kind)), REFUSED)
        fail(str(error), status)


@contextmanager
def progress() -> Iterator[Callable[[int, int, str], None] | None]:
    """Show on a terminal how far the work is, once it has taken a second."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task("", total=None)
    late = Timer(QUIET, bar.start)
    late.start()
    try:
        yield lambda done, total, title: bar.update(task, completed=done, total=total, description=title)
    finally:
        late.cancel()
        late.join()  # it may just have begun
        bar.stop()
