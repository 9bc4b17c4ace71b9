"""Tells how far a long command is: a moving bar on a terminal, plain lines now and then elsewhere.

All of it goes to standard error, so that standard output stays the answer.
"""

import sys
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

_LINE_EVERY_S = 5.0


class Meter(Protocol):
    """What long commands tell: a sentence, or stages of so many steps."""

    def say(self, text: str) -> None:
        """Tell a sentence."""

    def begin(self, title: str, total: int) -> None:
        """A stage begins; the one before it is over."""

    def step(self) -> None:
        """One step of the stage is done."""


class Silent:
    """Tells nothing."""

    def say(self, text: str) -> None:
        del text

    def begin(self, title: str, total: int) -> None:
        del title, total

    def step(self) -> None:
        pass


class Lines:
    """One line when a stage begins, and one every few seconds while it lasts."""

    def __init__(self) -> None:
        self._title, self._total, self._done, self._told = "", 0, 0, 0.0

    def say(self, text: str) -> None:
        """Tell a sentence."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def begin(self, title: str, total: int) -> None:
        """A stage begins."""
        self._title, self._total, self._done, self._told = title, total, 0, time.monotonic()
        self.say(f"{title}: {total}")

    def step(self) -> None:
        """One step of the stage is done."""
        self._done += 1
        now = time.monotonic()
        if now - self._told >= _LINE_EVERY_S:
            self._told = now
            self.say(f"{self._title}: {self._done} of {self._total}")


class Bars:
    """A bar on a terminal while a stage lasts; in between the terminal is left alone."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def say(self, text: str) -> None:
        """Tell a sentence, above the bar if there is one."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def begin(self, title: str, total: int) -> None:
        """A stage begins."""
        self._end()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._progress.add_task(f"{title:<20}", total=total)
        self._progress.start()

    def step(self) -> None:
        """One step of the stage is done; with the last one its bar stands still."""
        if self._progress is not None:
            self._progress.advance(self._progress.task_ids[0])
            if self._progress.finished:
                self._end()

    def _end(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
