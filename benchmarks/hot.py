"""Reservations of one unit on one hot level, and on many: our writer beside its baselines."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count

from benchmarks import baselines
from benchmarks.lab import Lab
from benchmarks.measure import Round, run, server_cpu, summed
from db.stock_commands import Outcome, StockCommand, plain_answer
from db.stock_writer import StockWriter
from domain.stock import LevelKey, Line, Reserve

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Contender:
    """One side of a comparison: its name, its callers and one round of it."""

    name: str
    callers: int
    measure: Callable[[float], Round]


def _key() -> str:
    """Half client strings, half process keys, as in real use."""
    n = next(_numbers)
    return f"order-bench-SO-{n}/reserve" if n % 2 else f"{random.getrandbits(96):024x}"


def baseline(
    lab: Lab, name: str, callers: int, levels: list[LevelKey], postmaster: int
) -> Contender:
    """``naive`` or ``single`` at a number of callers, each on its own connection."""
    write = baselines.naive if name == "naive" else baselines.single

    def measure(seconds: float) -> Round:
        connections = [baselines.connect(lab) for _ in range(callers)]

        def make(caller: int) -> Callable[[int], object]:
            conn = connections[caller]

            def call(_: int) -> object:
                return write(conn, lab, _key(), random.choice(levels), f"owner-{next(_numbers)}")

            return call

        try:
            return run(make, callers, seconds, postmaster)
        finally:
            for conn in connections:
                conn.close()

    return Contender(name, callers, measure)


def writer(lab: Lab, callers: int, levels: list[LevelKey], postmaster: int) -> Contender:
    """Our batch writer; each caller sends its next command when the last is answered."""

    def measure(seconds: float) -> Round:
        return _closed_loop(lab, callers, levels, seconds, postmaster)

    return Contender("batch writer", callers, measure)


def _closed_loop(
    lab: Lab, callers: int, levels: list[LevelKey], seconds: float, postmaster: int
) -> Round:
    post = StockWriter(lab.conninfo())
    latencies: list[float] = []
    left, done = [callers], threading.Event()
    failures: list[BaseException] = []

    def send(stop_at: float) -> None:
        begun = time.perf_counter()
        line = Line(random.choice(levels), 1)
        action = Reserve((line,), owner=f"owner-{next(_numbers)}")
        command = StockCommand(_key(), "http", b"f" * 32, action, lab.origin, plain_answer)

        def answered(future: "Future[Outcome]") -> None:
            now = time.perf_counter()
            error = future.exception()
            if error is not None:
                failures.append(error)
            latencies.append(now - begun)
            if now < stop_at and error is None:
                send(stop_at)
            else:
                left[0] -= 1
                if not left[0]:
                    done.set()

        post.submit(lab.tenant, command).add_done_callback(answered)

    client, server, begun = time.process_time(), server_cpu(postmaster), time.perf_counter()
    for _ in range(callers):
        send(begun + seconds)
    done.wait(seconds + 60)
    took = time.perf_counter() - begun
    client, server = time.process_time() - client, server_cpu(postmaster) - server
    post.close()
    if failures:
        raise failures[0]
    return summed(sorted(latencies), took, client, server)
