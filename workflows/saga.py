"""An undo stack: what was done is undone in reverse, also when the process is cancelled."""

import asyncio
from collections.abc import Awaitable, Callable

Undo = Callable[[], Awaitable[None]]


class Saga:
    """Undos are registered before their step runs: a step may have committed although its reply
    was lost. So every undo must be harmless when its step never happened."""

    def __init__(self) -> None:
        self._undos: list[Undo] = []

    def undo_with(self, undo: Undo) -> None:
        """Register ``undo`` for the step that runs next."""
        self._undos.append(undo)

    def forget(self) -> None:
        """What was done so far stands; nothing of it is undone any more."""
        self._undos.clear()

    async def unwind(self) -> None:
        """Undo the last first. Shielded: a second cancellation does not leave half of it."""
        while self._undos:
            await asyncio.shield(asyncio.ensure_future(self._undos[-1]()))
            self._undos.pop()
