"""
A thread for calls that block, and the shortest way there and back.

An executor's futures carry locks, callbacks and a copy of each in the loop. Without them a hop takes 45 us instead of 70, and
60 instead of 125 when the processor's caches are cold, as between two model calls.
"""

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar
from weakref import finalize

_T = TypeVar("_T")
_Call = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[..., Any], tuple[object, ...]]


class Stopped(RuntimeError):
    """The worker takes no calls any more."""


class Worker:
    """
    Does one call after another in a thread of its own, for any event loop.

    The thread begins with the first call, ends with `stop` or with the worker, and keeps no process from ending.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._lock = Lock()
        self._started = False
        self._end = finalize(self, self._calls.put, None)  # the thread knows the queue only, so that this can happen

    async def call(self, work: Callable[..., _T], *args: object) -> _T:
        """
        Return what *work* does with *args*. Raises Stopped after `stop`.

        A call that is cancelled before its turn is left out.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()
        with self._lock:
            if not self._end.alive:
                raise Stopped(f"{self._name} was stopped")
            if not self._started:
                Thread(target=_work, args=(self._calls,), name=self._name, daemon=True).start()
                self._started = True
            self._calls.put((loop, future, work, args))
        return await future

    def stop(self) -> None:
        """Let the thread end after the calls that were made before."""
        with self._lock:
            self._end()


def _work(calls: "SimpleQueue[_Call | None]") -> None:
    while (call := calls.get()) is not None:
        _do(*call)
        del call  # and with it what its answer refers to


def _do(
    loop: asyncio.AbstractEventLoop, future: "asyncio.Future[Any]", work: Callable[..., Any], args: tuple[object, ...]
) -> None:
    if future.cancelled():
        return
    result, error = None, None
    try:
        result = work(*args)
    except BaseException as raised:  # noqa: BLE001 it is the caller's, whatever it is
        error = raised
    try:
        loop.call_soon_threadsafe(_answer, future, result, error)
    except RuntimeError:  # the loop was closed meanwhile: nobody waits
        return
    finally:
        del error  # it refers to this frame


def _answer(future: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
