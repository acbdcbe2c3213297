"""Real stores as fixtures: one daprd with Redis, PostgreSQL, SQLite and memory behind it serves the whole test session."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from dapr.conf import settings
from rig import Rig
from staged import Time, Untold

from eventlog_session.stores.base import Store
from eventlog_session.stores.dapr import DaprStore
from eventlog_session.stores.memory import MemoryStore
from eventlog_session.stores.sidecar import SidecarClient
from eventlog_session.stores.sqlite import SQLiteStore

COMPONENTS = ("redis", "postgresql", "sqlite", "memory")
"""Dapr state store components, each in a folder of ``components/`` and under its name in the rig."""

BACKENDS = ("memory", "sqlite", *(pytest.param(f"dapr-{name}", marks=pytest.mark.daprd) for name in COMPONENTS))


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A running daprd with every component of ``components/``. What can't be had is an error, never a skip."""
    with Rig(tmp_path_factory.mktemp("rig"), COMPONENTS) as running:
        # where the SDK's own client looks for the sidecar's health
        os.environ["DAPR_HTTP_PORT"] = str(running.http_port)
        vars(settings)["DAPR_HTTP_PORT"] = running.http_port
        yield running


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.daprd) for name in COMPONENTS])
def component(request: pytest.FixtureRequest) -> str:
    """Each Dapr component's name in turn."""
    return str(request.param)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Each kind of store's name in turn."""
    return str(request.param)


@pytest.fixture
async def store(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Each kind of store in turn, closed afterwards."""
    opened: Store
    if backend == "memory":
        opened = MemoryStore()
    elif backend == "sqlite":
        opened = SQLiteStore.open(tmp_path / "sessions.db")
    else:
        running: Rig = request.getfixturevalue("rig")
        opened = DaprStore(SidecarClient(running.address), backend.removeprefix("dapr-"))
    yield opened
    await opened.close()


@pytest.fixture
def session_id() -> str:
    """An id that no other test uses: the stores outlive a test."""
    return f"test-{uuid4().hex}"


@pytest.fixture
async def bounded() -> AsyncIterator[None]:
    """No test waits for ever: after two minutes everything that still runs is cancelled."""
    loop = asyncio.get_running_loop()
    end = loop.call_later(120, lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
    yield
    end.cancel()


@pytest.fixture
def time() -> Time:
    """A clock of the test's own."""
    return Time()


@pytest.fixture(params=["told", "untold"])
def plain(request: pytest.FixtureRequest) -> MemoryStore:
    """Memory that tells the head's new etag, and memory that like Dapr does not."""
    return MemoryStore() if request.param == "told" else Untold()
