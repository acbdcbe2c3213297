"""A proxy, TCP or unix socket, that breaks connections on purpose."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from .faults import Decide, Kind, calm

Address = tuple[str, int] | Path
_PREFACE = 24  # Bytes that an HTTP/2 client sends before its first frame.


class _Cut(Exception):
    """The connection ends here, whatever is under way."""


class _Plain:
    """A protocol of requests and replies in turn: whatever comes is one."""

    def streams(self, data: bytes) -> list[int]:
        """Return the exchanges that *data* belongs to."""
        return [0]


class _Http2:
    """HTTP/2, where a reply is told from housekeeping by its frames: else a cut would come before the work was done."""

    def __init__(self, skip: int = 0) -> None:
        self._skip = skip
        self._part = b""

    def streams(self, data: bytes) -> list[int]:
        """Return the streams whose DATA or HEADERS frames begin in *data*."""
        data, at, found = self._part + data, self._skip, []
        while at + 9 <= len(data):
            if data[at + 3] <= 1:
                found.append(int.from_bytes(data[at + 5 : at + 9]) & 0x7FFFFFFF)
            at += 9 + int.from_bytes(data[at : at + 3])
        self._part, self._skip = data[at:], max(0, at - len(data))
        return found


@dataclass(slots=True)
class _Doom:
    """What awaits the reply on one stream of a connection."""

    kind: Kind | None = None
    stream: int = 0


class Proxy:
    """Forwards *listen* to *target*; `decide` may be replaced at any time, `injected` counts what was done."""

    def __init__(
        self, listen: Address, target: Address, *, http2: bool = False, delay: tuple[float, float] = (0.02, 0.4)
    ) -> None:
        self.listen = listen
        self.target = target
        self.delay = delay
        self.decide: Decide = calm
        self.injected: Counter[str] = Counter()
        self.outage = (0.6, 1.2)
        self._dark_until = 0.0
        self._http2 = http2
        self._chance = random.Random(0)  # Only how long a delay is.
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        if isinstance(self.listen, Path):
            self._server = await asyncio.start_unix_server(self._serve, self.listen)
        else:
            self._server = await asyncio.start_server(self._serve, *self.listen)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        if self._dark_until > time.monotonic() or self._drawn(None) is Kind.REFUSE:
            back.transport.abort()
            return
        try:
            if isinstance(self.target, Path):
                server, on = await asyncio.open_unix_connection(self.target)
            else:
                server, on = await asyncio.open_connection(*self.target)
        except OSError:  # The server is down: so are we.
            back.transport.abort()
            return
        doom = _Doom()
        pumps = [asyncio.create_task(self._requests(client, on, doom)), asyncio.create_task(self._replies(server, back, doom))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # the proxy closes, and asyncio's callback would report it as an error
            pass
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            on.transport.abort()
            back.close()  # In order, so that what was forwarded of a reply arrives.

    async def _requests(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, doom: _Doom) -> None:
        frames = _Http2(_PREFACE) if self._http2 else _Plain()
        while data := await source.read(1 << 16):
            streams = frames.streams(data)
            kind = self._drawn(data) if streams and doom.kind is None else None
            if kind is Kind.BEFORE:
                raise _Cut
            if kind is Kind.DELAY:
                await asyncio.sleep(self._chance.uniform(*self.delay))
            elif kind is not None:
                doom.kind, doom.stream = kind, streams[-1]
            sink.write(data)
            await sink.drain()

    async def _replies(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, doom: _Doom) -> None:
        frames = _Http2() if self._http2 else _Plain()
        while data := await source.read(1 << 16):
            if doom.stream in frames.streams(data) and doom.kind is not None:
                if doom.kind is Kind.OUTAGE:
                    self._dark_until = time.monotonic() + self._chance.uniform(*self.outage)
                if doom.kind is Kind.WITHIN:
                    sink.write(data[: len(data) // 2])
                raise _Cut
            sink.write(data)
            await sink.drain()

    def _drawn(self, request: bytes | None) -> Kind | None:
        kind = self.decide(request)
        if kind is not None:
            self.injected[kind.value] += 1
        return kind
