"""Reservations of one unit on one hot level, and on many: our writer beside its baselines."""

import random
from collections.abc import Callable

from psycopg import IsolationLevel

from benchmarks import baselines
from benchmarks.contenders import (
    FINGERPRINT,
    Contender,
    closed_loop,
    new_key,
    new_owner,
    reservations,
)
from benchmarks.lab import Lab
from benchmarks.measure import Round, run
from db.stock_commands import StockCommand, plain_answer
from db.stock_writer import StockWriter
from domain.stock import LevelKey, Line, Reserve


def baseline(
    lab: Lab, name: str, callers: int, levels: list[LevelKey], postmaster: int
) -> Contender:
    """``naive`` or ``single`` at a number of callers, each on its own connection."""
    write = baselines.naive if name == "naive" else baselines.single
    isolation = IsolationLevel.SERIALIZABLE if name == "naive" else None

    def measure(seconds: float) -> Round:
        connections = [baselines.connect(lab, isolation) for _ in range(callers)]

        def make(caller: int) -> Callable[[int], object]:
            conn = connections[caller]
            return lambda _: write(
                conn, lab, new_key("reserve"), random.choice(levels), new_owner()
            )

        try:
            return run(make, callers, seconds, postmaster)
        finally:
            for conn in connections:
                conn.close()

    return Contender(name, callers, lab, measure, reservations)


def batch_writer(
    lab: Lab, post: StockWriter, callers: int, levels: list[LevelKey], postmaster: int
) -> Contender:
    """Our batch writer; each caller sends its next command when the last is answered."""

    def make() -> tuple[StockCommand, int]:
        action = Reserve((Line(random.choice(levels), 1),), new_owner())
        key = new_key("reserve")
        return StockCommand(key, "http", FINGERPRINT, action, lab.origin, plain_answer), 1

    def measure(seconds: float) -> Round:
        return closed_loop(post, lab, callers, make, seconds, postmaster)

    return Contender("batch writer", callers, lab, measure, reservations)
