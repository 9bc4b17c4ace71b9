"""One side of a comparison, the rounds in which all take turns, and the proof of their work."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count

from benchmarks.lab import Lab, Rows
from benchmarks.measure import Round, Usage, summed
from db.stock_commands import Outcome, StockCommand
from db.stock_writer import StockWriter

#: Length of the first round of each contender, which counts for nothing: plans and caches are made.
WARM_SECONDS = 1.0
FINGERPRINT = b"f" * 32
_numbers = count(1)

Work = Callable[[Round], Rows]
#: The rounds of each contender, in the order in which they took place.
Results = dict[str, list[Round]]


class UnequalWork(Exception):
    """A contender wrote other rows than its commands call for: its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Contender:
    """``measure`` runs one round of so many seconds in ``lab``; ``work`` is what it must write."""

    name: str
    callers: int
    lab: Lab
    measure: Callable[[float], Round]
    work: Work

    @property
    def title(self) -> str:
        return f"{self.name}, {self.callers}"


def reservations(done: Round) -> Rows:
    """The work of reserving: an operation a command, a movement and a reservation a line."""
    return Rows(done.commands, done.lines, done.lines)


def deductions(done: Round) -> Rows:
    """The work of deducting: an operation a command, a movement a line."""
    return Rows(done.commands, done.lines, 0)


def nothing(_done: Round) -> Rows:
    """The work of a route that returns a constant."""
    return Rows(0, 0, 0)


def proven(contender: Contender, seconds: float) -> Round:
    """One round, and a count of the rows that it wrote.

    Raises:
        UnequalWork: they are not those of its commands.
    """
    before = contender.lab.rows()
    result = contender.measure(seconds)
    wrote = contender.lab.rows().since(before)
    if wrote != contender.work(result):
        raise UnequalWork(f"{contender.title} wrote {wrote} instead of {contender.work(result)}.")
    return result


def compare(contenders: Sequence[Contender], rounds: int, seconds: float) -> Results:
    """Interleaved rounds of every contender, in a new order each time."""
    results: Results = {contender.title: [] for contender in contenders}
    for contender in contenders:
        proven(contender, min(seconds, WARM_SECONDS))
    for _ in range(rounds):
        for contender in random.sample(contenders, len(contenders)):
            results[contender.title].append(proven(contender, seconds))
    return results


def new_key(step: str) -> str:
    """Half client strings, half process keys, as in real use."""
    n = next(_numbers)
    return f"order-bench-SO-{n}/{step}" if n % 2 else f"{random.getrandbits(96):024x}"


def new_owner() -> str:
    """Somebody who holds nothing yet."""
    return f"owner-{next(_numbers)}"


def closed_loop(
    post: StockWriter,
    lab: Lab,
    callers: int,
    make: Callable[[], tuple[StockCommand, int]],
    seconds: float,
    postmaster: int,
) -> Round:
    """``callers`` who each send their next command when the last is answered.

    ``make`` gives a command with the number of its lines. A refusal fails the round: the levels
    hold enough for every command.
    """
    # Appending is atomic: callbacks run in the writer's thread, and at times in this one.
    latencies: list[float] = []
    lines: list[int] = []
    ended: list[int] = []
    done = threading.Event()
    failures: list[BaseException] = []

    def send(stop_at: float) -> None:
        begun = time.perf_counter()
        command, n = make()
        lines.append(n)

        def answered(future: "Future[Outcome]") -> None:
            now = time.perf_counter()
            error = future.exception()
            if error is None and future.result().status != 200:
                error = RuntimeError(f"Refused: {future.result().body.decode()}")
            if error is not None:
                failures.append(error)
            latencies.append(now - begun)
            if now < stop_at and error is None:
                send(stop_at)
            else:
                ended.append(1)
                if len(ended) == callers:
                    done.set()

        post.submit(lab.tenant, command).add_done_callback(answered)

    before = Usage.now(postmaster)
    for _ in range(callers):
        send(before.clock + seconds)
    if not done.wait(seconds + 60):
        raise RuntimeError("The writer did not answer everybody.")
    used = Usage.now(postmaster).since(before)
    if failures:
        raise failures[0]
    return summed(latencies, used, sum(lines))
