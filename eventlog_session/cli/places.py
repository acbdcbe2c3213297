"""Where sessions are: how a store and a session in it are opened for a command, and what is said when there is none."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import click

from ..errors import (
    BeingErased,
    Conflict,
    CorruptLog,
    EventLogError,
    NoSuchPoint,
    OutcomeUnknown,
    StoreRefused,
    Unavailable,
    UnsupportedFormat,
)
from ..log import EventLog
from ..opening import open_store
from ..stores.base import Store
from .saying import STORE, again, fail

NO, USAGE, UNREACHABLE, NOT_FOUND, CONFLICT, UNKNOWN, REFUSED = 1, 2, 3, 4, 5, 6, 7
_STATUSES: tuple[tuple[type[EventLogError], int], ...] = (
    (Unavailable, UNREACHABLE),
    (NoSuchPoint, NOT_FOUND),
    (Conflict, CONFLICT),
    (OutcomeUnknown, UNKNOWN),
    (UnsupportedFormat, REFUSED),
    (CorruptLog, NO),
)
"""Exit statuses by error, the first that fits; 7 for all others."""
_URLS = "sqlite:///FILE or dapr://HOST:PORT/STATESTORE"
_T = TypeVar("_T")


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

    def __str__(self) -> str:
        return self.told or self.url


# ---- options -------------------------------------------------------------------------------------------------------


def stored(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option that says where sessions are."""
    return click.option("--store", metavar="URL", envvar=STORE, help=f"{_URLS}.")(command)


def session(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command its session and the option that says where that is."""
    return stored(click.argument("session_id", metavar="SESSION")(command))


# ---- opening -------------------------------------------------------------------------------------------------------


def in_store(url: str | None, work: Callable[[Place], Awaitable[_T]], *, create: bool = False) -> _T:
    """Return what *work* does with the store at *url*, which is closed then; a file is made only to *create* something."""
    if url is None:
        raise click.UsageError(f"which store? --store {_URLS.replace(' or ', ', or ')}, or {STORE}")

    async def run() -> _T:
        place = await opened(url, create=create)
        try:
            return await work(place)
        finally:
            await place.store.close()

    with failing():
        return asyncio.run(run())


def in_session(url: str | None, session_id: str, work: Callable[[EventLog], Awaitable[_T]], *, half: bool = False) -> _T:
    """
    Return what *work* does with a session's log, once everything of it is written.

    Ends the process if there is none, or only *half* of one, whose erasure was cut short, unless that is wanted.
    """

    async def run(place: Place) -> _T:
        log = place.log(session_id)
        known, _ = await log.located(None)
        if known.being_erased and not half:
            raise BeingErased(f"its erasure has not finished; to go on with it: {again(url, 'erase', session=session_id)}")
        if not (known.head.version or known.legacy or known.being_erased):
            no_session(place, session_id)
        try:
            return await work(log)
        finally:
            await log.settle()

    return in_store(url, run)


async def opened(url: str, *, create: bool = False) -> Place:
    """Return the store at *url*; of a component, what its sidecar says. Ends the process when there is none."""
    try:
        store: Any = open_store(url)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if url.startswith("sqlite:") and not create and not store._path.exists():
        fail(f"no such file: {store._path}", NOT_FOUND)
    if not url.startswith("dapr:"):
        return Place(store, url)
    from ..stores.component import Component, NoSidecar, NoSuchComponent

    try:
        told = await Component(store._client, store.name).describe()
    except NoSidecar as error:
        no_sidecar(error, url)
    except NoSuchComponent as error:
        raise click.UsageError(str(error)) from error
    except StoreRefused:  # it keeps to itself what it is: if nothing else may be asked either, that is told by the next call
        return Place(store, url, f"{store.name} behind a sidecar that does not say as which app")
    return Place(store, url, f"{store.name} ({told.type}) as app {told.app_id!r}")


# ---- saying why not ------------------------------------------------------------------------------------------------


def no_session(place: Place, session_id: str) -> NoReturn:
    """End the process: it may be the wrong app's sidecar, through which another's sessions are not seen."""
    if not place.told:
        fail(f"no session {session_id!r} in {place.url}", NOT_FOUND)
    name = place.store.name  # type: ignore[attr-defined]
    fail(
        f"no session {session_id!r} in {place.told}\n"
        "  keys carry a prefix, the app id unless the component's keyPrefix says otherwise: what another app wrote is seen\n"
        f"  through that app's sidecar only, e.g. kubectl port-forward POD 50001:50001, then --store dapr://localhost:50001/{name}",
        NOT_FOUND,
    )


def no_sidecar(error: Unavailable, url: str) -> NoReturn:
    """End the process: there is no sidecar at *url*."""
    fail(f"{error} ({origin(url)}). Start one: dapr run --app-id NAME --resources-path ./components", UNREACHABLE)


def origin(url: str) -> str:
    """Return where the sidecar's address came from: it may be the mistake."""
    if not url.startswith("dapr:///"):
        return f"from {STORE}" if url == os.environ.get(STORE) else "from --store"
    given = [name for name in ("DAPR_GRPC_ENDPOINT", "DAPR_GRPC_PORT", "DAPR_RUNTIME_HOST") if name in os.environ]
    return f"from {given[0]}" if given else "Dapr's default"


@contextmanager
def failing() -> Iterator[None]:
    """End the process with what the library raises."""
    try:
        yield
    except EventLogError as error:
        status = next((status for kind, status in _STATUSES if isinstance(error, kind)), REFUSED)
        fail(str(error), status)
