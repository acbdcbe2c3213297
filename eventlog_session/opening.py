"""From a URL to a store."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from .stores.base import Store
from .stores.memory import MemoryStore
from .stores.sqlite import SQLiteStore


def open_store(url: str, *, deadline: float = 10.0, consistency: str = "eventual") -> Store:
    """
    Return the store that *url* names; whoever opened it closes it.

    - ``sqlite:///conversations.db``: a file, relative to the working directory; ``sqlite:////var/...`` is absolute
      (SQLAlchemy's convention)
    - ``memory://``: a fresh store each time
    - ``dapr://localhost:50001/statestore``: a state store component behind a sidecar; without host and port those of
      the environment (``DAPR_GRPC_ENDPOINT``, else ``DAPR_RUNTIME_HOST`` and ``DAPR_GRPC_PORT``)

    *deadline*, in seconds, bounds each call of a sidecar, *consistency* is asked of its writes. Raises ValueError for any
    other URL.
    """
    parts = urlsplit(url)
    if parts.query or parts.fragment or parts.path == "/:memory:":  # read past, they would surprise later
        parts = parts._replace(scheme="")
    if parts.scheme == "memory" and not parts.netloc and parts.path in ("", "/"):
        return MemoryStore()
    if parts.scheme == "sqlite" and url.startswith("sqlite:///") and len(parts.path) > 1:
        return SQLiteStore.open(Path(unquote(parts.path[1:])))
    name = unquote(parts.path[1:])
    if parts.scheme == "dapr" and name and "/" not in name:
        return _dapr(parts.netloc, name, deadline, consistency)
    raise ValueError(
        f"{url!r} names no store; use sqlite:///FILE, memory:// or dapr://HOST:PORT/STATESTORE (dapr:///STATESTORE for the "
        "sidecar of the environment)"
    )


def _dapr(address: str, name: str, deadline: float, consistency: str) -> Store:
    # half a second that embedded stores need not spend
    from dapr.conf import settings  # noqa: PLC0415

    from .stores.dapr import DaprStore  # noqa: PLC0415
    from .stores.sidecar import SidecarClient  # noqa: PLC0415

    environment = settings.DAPR_GRPC_ENDPOINT or f"{settings.DAPR_RUNTIME_HOST}:{settings.DAPR_GRPC_PORT}"
    return DaprStore(SidecarClient(address or environment), name, deadline=deadline, consistency=consistency)
