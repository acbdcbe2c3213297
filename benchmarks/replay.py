"""The calls of one operation again, without the operation: what the wire, the sidecar and the store take for the same bytes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Call:
    """A remote call as it was made. Those of one *wave* were under way at the same time, or could have been."""

    method: str
    request: Any
    wave: int
    reply: Any = None


class Recorder:
    """Stands in for the generated stub of a `DaprClient` and keeps what passes through it."""

    def __init__(self, stub: Any) -> None:
        self.calls: list[Call] = []
        self._stub = stub

    def __getattr__(self, method: str) -> Any:
        async def call(request: Any, **options: Any) -> Any:
            one = Call(method, request, 1 + max((done.wave for done in self.calls if done.reply is not None), default=0))
            self.calls.append(one)
            one.reply = await getattr(self._stub, method)(request, **options)
            return one.reply

        return call


async def replay(stub: Any, calls: Sequence[Call]) -> None:
    """Make *calls* again, wave by wave."""
    for wave in sorted({call.wave for call in calls}):
        await asyncio.gather(*(getattr(stub, call.method)(call.request) for call in calls if call.wave == wave))


class Writes:
    """One recorded transaction, to be made again as often as wanted: on keys of its own, each time on the etag before."""

    def __init__(self, call: Call, digest: str) -> None:
        self._request = type(call.request).FromString(
            call.request.SerializeToString().replace(digest.encode(), b"z" * len(digest))
        )
        self._made = 0

    async def again(self, stub: Any) -> None:
        """Make it. Its head's etag is the next, as Redis counts them."""
        self._request.operations[0].request.etag.value = str(self._made or -1)  # -1 creates
        self._made += 1
        await stub.ExecuteStateTransaction(self._request)
