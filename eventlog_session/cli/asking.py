"""``certify``: what a state store component does."""

import asyncio
import sys
from typing import Any

import click

from ..errors import StoreRefused, Unavailable
from .base import commands
from .places import NO, REFUSED, UNREACHABLE, no_sidecar, stored
from .saying import STORE, fail, progress


@commands.command()
@stored
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option("--list", "listing", is_flag=True, help="The component types that are known, and how; asks nothing.")
@click.pass_obj
def certify(given: str | None, store: str | None, as_json: bool, listing: bool) -> None:
    """Ask a Dapr state store what it guarantees.

    How it behaves, and what follows from that. Exits with 1 if a log can't be kept there.
    """
    if listing:
        _list(as_json=as_json)
        return
    url = store or given
    if url is None:
        raise click.UsageError(f"which store? --store dapr://HOST:PORT/STATESTORE, or {STORE}")
    client, name = _component(url)
    from ..certify import NoEtags
    from ..certify import certify as ask
    from ..stores.component import NoSidecar, NoSuchComponent

    try:
        with progress() as showing:
            certificate = asyncio.run(ask(client, name, progress=showing))
    except NoSidecar as error:
        no_sidecar(error, url)
    except Unavailable as error:
        fail(str(error), UNREACHABLE)
    except NoEtags as error:
        fail(str(error), NO)
    except NoSuchComponent as error:
        raise click.UsageError(str(error)) from error
    except StoreRefused as error:
        fail(str(error), REFUSED)
    click.echo(certificate.to_json() if as_json else str(certificate))
    if not certificate.ok:
        sys.exit(NO)


def _list(*, as_json: bool) -> None:
    from ..certify import known_types

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
    from ..opening import open_store

    try:
        if not url.startswith("dapr:"):
            raise ValueError(f"{url!r} is no Dapr component; certify asks dapr://HOST:PORT/STATESTORE")
        store: Any = open_store(url)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return store._client, store.name
