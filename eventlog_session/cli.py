"""
The command line: ``eventlog-session COMMAND``.

Results go to stdout, notes, progress and errors to stderr. Exit status: 0 done, 1 the answer is no, 2 usage, 3 the store
can't be reached, 7 refused, 130 interrupted. It needs the extra ``cli``, and never imports the Agents SDK, which takes seconds.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any, NoReturn

from .errors import StoreRefused, Unavailable

try:
    import click
except ModuleNotFoundError as missing:
    if missing.name != "click":
        raise
    sys.exit("error: the command line needs more packages: pip install 'eventlog-session[cli]'")

STORE = "EVENTLOG_SESSION_STORE"
NO, UNREACHABLE, REFUSED, INTERRUPTED = 1, 3, 7, 130
QUIET = 1.0
"""Seconds before progress is shown: what is done by then needs none."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--store", metavar="URL", envvar=STORE, help="sqlite:///FILE or dapr://HOST:PORT/STATESTORE.")
@click.version_option(package_name="eventlog-session")
@click.pass_context
def commands(context: click.Context, store: str | None) -> None:
    """Look at, and look after, event-sourced sessions."""
    context.obj = store


@commands.command()
@click.option("--store", metavar="URL", envvar=STORE, help="dapr://HOST:PORT/STATESTORE, or dapr:///STATESTORE.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option("--list", "listing", is_flag=True, help="The component types that are known, and how; asks nothing.")
@click.pass_obj
def certify(given: str | None, store: str | None, as_json: bool, listing: bool) -> None:
    """Ask a Dapr state store how it behaves: what is guaranteed on it and what is not. Exits with 1 if a log can't be kept."""
    if listing:
        _list(as_json=as_json)
        return
    url = store or given
    if url is None:
        raise click.UsageError(f"which store? --store dapr://HOST:PORT/STATESTORE, or {STORE}")
    client, name = _component(url)
    from .certify import NoEtags
    from .certify import certify as ask
    from .stores.component import NoSidecar, NoSuchComponent

    try:
        with _progress() as progress:
            certificate = asyncio.run(ask(client, name, progress=progress))
    except NoSidecar as error:
        _fail(f"{error} ({_origin(url)}). Start one: dapr run --app-id NAME --resources-path ./components", UNREACHABLE)
    except Unavailable as error:
        _fail(str(error), UNREACHABLE)
    except NoEtags as error:
        _fail(str(error), NO)
    except NoSuchComponent as error:
        raise click.UsageError(str(error)) from error
    except StoreRefused as error:
        _fail(str(error), REFUSED)
    click.echo(certificate.to_json() if as_json else str(certificate))
    if not certificate.ok:
        sys.exit(NO)


def _list(*, as_json: bool) -> None:
    from .certify import known_types

    rows = list(known_types())
    if as_json:
        import orjson

        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    for row in rows:
        click.echo(f"{row['type']:<24} {row['version']:<4} {row['profile']}")
        for one in row["runs"]:
            verdict = "a log can be kept" if one["ok"] else "NO log can be kept"
            on = ", ".join(filter(None, (one["server"], f"Dapr {one['dapr']}", one["note"])))
            click.echo(f"{'':30}run {one['date']} on {on}: {verdict}")
        if not row["runs"]:
            click.echo(f"{'':30}from source, not run")


def _component(url: str) -> tuple[Any, str]:
    """Return a client and a component's name for a ``dapr:`` URL."""
    from .opening import open_store

    try:
        if not url.startswith("dapr:"):
            raise ValueError(f"{url!r} is no Dapr component; certify asks dapr://HOST:PORT/STATESTORE")
        store: Any = open_store(url)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return store._client, store.name


def _origin(url: str) -> str:
    """Return where the sidecar's address came from: it may be the mistake."""
    if not url.startswith("dapr:///"):
        return f"from {STORE}" if url == os.environ.get(STORE) else "from --store"
    given = [name for name in ("DAPR_GRPC_ENDPOINT", "DAPR_GRPC_PORT", "DAPR_RUNTIME_HOST") if name in os.environ]
    return f"from {given[0]}" if given else "Dapr's default"


def _fail(message: str, status: int) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    sys.exit(status)


@contextmanager
def _progress() -> Iterator[Callable[[int, int, str], None] | None]:
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
