"""Answers of the writer's thread, handed to the event loop many at a time.

The usual bridge wakes the loop for every single answer. Here the first of a batch wakes it, and it
takes all that are there by then.
"""

import asyncio
from collections import deque
from concurrent.futures import Future
from typing import TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


def arrivals() -> "Arrivals":
    """Those of the running loop."""
    loop = asyncio.get_running_loop()
    found = _BY_LOOP.get(loop)
    if found is None:
        found = _BY_LOOP[loop] = Arrivals(loop)
    return found


class Arrivals:
    """Belongs to one event loop; ``wait_for`` is called there, answers come from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._arrived: deque[tuple[asyncio.Future[object], Future[object]]] = deque()
        self._called = False

    def wait_for(self, future: "Future[T]") -> "asyncio.Future[T]":
        """What ``future`` comes to, to be awaited; who gives up waiting disturbs nobody."""
        waiter: asyncio.Future[T] = self._loop.create_future()
        future.add_done_callback(lambda done: self._arrive(waiter, done))  # type: ignore[arg-type]
        return waiter

    def _arrive(self, waiter: "asyncio.Future[object]", done: "Future[object]") -> None:
        self._arrived.append((waiter, done))
        # Set before it is called and cleared before it takes: an answer may ring once too often,
        # never once too seldom.
        if not self._called:
            self._called = True
            self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        self._called = False
        while self._arrived:
            waiter, done = self._arrived.popleft()
            if waiter.done():
                continue
            error = done.exception()
            if error is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(done.result())


_BY_LOOP: WeakKeyDictionary[asyncio.AbstractEventLoop, Arrivals] = WeakKeyDictionary()
