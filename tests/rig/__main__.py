"""The rig by hand: `PYTHONPATH=tests python -m rig up` serves a store, `build` only finds or builds daprd.

`certify`, with the package itself to be imported, asks every component how it behaves.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time

from .base import free_port, port_is_free
from .build import cache, daprd
from .catalogue import KINDS
from .errors import RigError
from .rig import Rig

GRPC_PORT, HTTP_PORT, REDIS_PORT = 50001, 3500, 6379  # The defaults of Dapr and Redis.


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status."""
    parser = argparse.ArgumentParser("python -m rig", description="A real Dapr sidecar with a store behind it.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="serve one store until Ctrl-C")
    up.add_argument("--component", choices=tuple(KINDS), default="redis")
    up.add_argument("--app-id", default="eventlog")
    up.add_argument("--grpc-port", type=int, default=GRPC_PORT)
    up.add_argument("--http-port", type=int, default=HTTP_PORT)
    commands.add_parser("build", help="find or build daprd and print its path")
    every = commands.add_parser("certify", help="ask every component how it behaves and write down what it said")
    every.add_argument("components", nargs="*", metavar="COMPONENT", help=f"of {', '.join(KINDS)}; all if none is named")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Both ways to be stopped are KeyboardInterrupt.
    try:
        if options.command == "build":
            print(daprd())
        elif options.command == "certify":
            from .certifying import certify_all

            return certify_all(options.components or list(KINDS))
        else:
            _up(options.component, options.app_id, options.grpc_port, options.http_port)
    except RigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 0 if options.command == "up" else 130
    return 0


def _up(component: str, app_id: str, grpc_port: int, http_port: int) -> None:
    for port, option in ((grpc_port, "--grpc-port"), (http_port, "--http-port")):
        if not port_is_free(port):
            raise RigError(f"port {port} is taken, perhaps by another sidecar: stop it, or choose another: {option} N")
    daprd()  # Before anything starts: it may take minutes.
    directory = cache() / f"up-{grpc_port}"  # The port names it, so that no two rigs write to one directory.
    for leftover in (directory / "components").glob("*.yaml"):  # Of another component, served earlier.
        leftover.unlink()
    rig = Rig(
        directory,
        (component,),
        durable_redis=True,
        redis_port=REDIS_PORT if port_is_free(REDIS_PORT) else free_port(),
        app_id=app_id,
        names={component: "statestore"},
        grpc_port=grpc_port,
        http_port=http_port,
    )
    with rig:
        print(_ready(rig, component), flush=True)
        while rig.sidecar.running:
            time.sleep(0.5)
        raise RigError(f"daprd ended by itself; its log is {rig.sidecar.log}")


def _ready(rig: Rig, component: str) -> str:
    kind = KINDS[component]
    kept = f"kept in {rig.directory}" if kind.server == "redis" or kind.folder == "sqlite" else "lost when this stops"
    server = f", at {rig.redis.address}" if kind.server == "redis" else ""
    http = f"127.0.0.1:{rig.http_port}"
    if rig.http_port == HTTP_PORT:
        http += " (Dapr's default: clients need no DAPR_HTTP_PORT)"
    else:
        http += f" (not Dapr's default: export DAPR_HTTP_PORT={rig.http_port} for every client)"
    rows = {
        "address": rig.address,
        "store": f"statestore ({component}{server})",
        "app id": rig.sidecar.app_id,
        "http": http,
        "data": kept,
        "stop": "Ctrl-C",
    }
    return "\n".join(["Ready.", *(f"  {name:8} {value}" for name, value in rows.items())])


if __name__ == "__main__":
    sys.exit(main())
