"""The rig: a real Dapr sidecar with real Redis and PostgreSQL, from packages, without Docker.

    with Rig(tmp_path, ("redis", "postgresql")) as rig:
        store = ...  # rig.address is the sidecar's gRPC address; "redis" and "postgresql" are its stores

By hand: `PYTHONPATH=tests python -m rig up`.
"""

from .base import Server, free_port
from .build import daprd
from .catalogue import COMPONENTS, KINDS
from .errors import NotInstalled, RigError
from .rig import Rig
from .servers import Postgres, Redis
from .sidecar import Sidecar

__all__ = [
    "COMPONENTS",
    "KINDS",
    "NotInstalled",
    "Postgres",
    "Redis",
    "Rig",
    "RigError",
    "Server",
    "Sidecar",
    "daprd",
    "free_port",
]
