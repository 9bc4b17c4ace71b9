"""One round of a load: callers in a closed loop for some seconds, rates with CPU beside them."""

import os
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Call = Callable[[int], object]
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Round:
    """What one round gave. Times in seconds, CPU in microseconds per command."""

    commands: int
    seconds: float
    p50: float
    p99: float
    client_us: float
    server_us: float

    @property
    def rate(self) -> float:
        """Commands per second."""
        return self.commands / self.seconds


def server_cpu(postmaster: int) -> float:
    """CPU seconds of PostgreSQL and its living and ended children."""
    total = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # It ended while we looked.
            if int(entry.name) == postmaster:
                total += sum(int(ticks) for ticks in stat[11:15])
            elif int(stat[1]) == postmaster:
                total += int(stat[11]) + int(stat[12])
    return total / _TICKS


def run(make_call: Callable[[int], Call], callers: int, seconds: float, postmaster: int) -> Round:
    """Run ``callers`` threads, each with its own call from ``make_call``, until time is up."""
    calls = [make_call(n) for n in range(callers)]
    latencies: list[list[float]] = [[] for _ in range(callers)]
    errors: list[BaseException] = []
    start = threading.Event()
    stop_at = [0.0]

    def loop(caller: int) -> None:
        call, mine = calls[caller], latencies[caller]
        start.wait()
        n = 0
        try:
            while (begun := time.perf_counter()) < stop_at[0]:
                call(n)
                mine.append(time.perf_counter() - begun)
                n += 1
        except BaseException as error:  # noqa: BLE001  # Reported by the main thread.
            errors.append(error)

    threads = [threading.Thread(target=loop, args=(n,)) for n in range(callers)]
    for thread in threads:
        thread.start()
    client, server, begun = time.process_time(), server_cpu(postmaster), time.perf_counter()
    stop_at[0] = begun + seconds
    start.set()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begun
    client, server = time.process_time() - client, server_cpu(postmaster) - server
    if errors:
        raise errors[0]
    return summed(sorted(x for mine in latencies for x in mine), took, client, server)


def summed(latencies: list[float], seconds: float, client: float, server: float) -> Round:
    """A round from sorted latencies and CPU seconds."""
    n = len(latencies)
    if n == 0:
        raise RuntimeError("Nothing was done in this round.")
    return Round(
        commands=n,
        seconds=seconds,
        p50=latencies[n // 2],
        p99=latencies[min(n - 1, int(n * 0.99))],
        client_us=client / n * 1e6,
        server_us=server / n * 1e6,
    )


def median(values: list[float]) -> float:
    """The median of the rounds."""
    return statistics.median(values)
