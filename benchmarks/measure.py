"""One round of a load: callers in a closed loop for some seconds, rates with CPU beside them."""

import os
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

Call = Callable[[int], object]
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Round:
    """What one round gave. Times in seconds, CPU in microseconds per command.

    ``lines`` are the lines of all its commands; ``api_us`` is the API process, which only the load
    over HTTP has; ``server_us`` is PostgreSQL.
    """

    commands: int
    seconds: float
    p50: float
    p99: float
    client_us: float
    server_us: float
    lines: int
    api_us: float = 0.0

    @property
    def rate(self) -> float:
        """Commands per second."""
        return self.commands / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU per command, of everybody who took part."""
        return self.client_us + self.server_us + self.api_us


class Usage(NamedTuple):
    """What was used up to now: wall clock, CPU of this process and of PostgreSQL, in seconds."""

    clock: float
    client: float
    server: float

    @classmethod
    def now(cls, postmaster: int) -> "Usage":
        return cls(time.perf_counter(), time.process_time(), server_cpu(postmaster))

    def since(self, before: "Usage") -> "Usage":
        """What was used between the two."""
        return Usage(*(now - then for now, then in zip(self, before, strict=True)))


def _stat(pid: str) -> list[str]:
    """The fields of a process behind its name; empty when it is gone."""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def process_cpu(pid: int) -> float:
    """CPU seconds of one process with all its threads."""
    stat = _stat(str(pid))
    return (int(stat[11]) + int(stat[12])) / _TICKS if stat else 0.0


def server_cpu(postmaster: int) -> float:
    """CPU seconds of PostgreSQL and its living and ended children."""
    total = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(entry.name)):
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
    before = Usage.now(postmaster)
    stop_at[0] = before.clock + seconds
    start.set()
    for thread in threads:
        thread.join()
    used = Usage.now(postmaster).since(before)
    if errors:
        raise errors[0]
    return summed([x for mine in latencies for x in mine], used)


def summed(latencies: list[float], used: Usage, lines: int | None = None) -> Round:
    """A round from the latency of each command; ``lines`` when commands have more than one."""
    n = len(latencies)
    if n == 0:
        raise RuntimeError("Nothing was done in this round.")
    latencies = sorted(latencies)
    return Round(
        commands=n,
        seconds=used.clock,
        p50=latencies[n // 2],
        p99=latencies[min(n - 1, int(n * 0.99))],
        client_us=used.client / n * 1e6,
        server_us=used.server / n * 1e6,
        lines=n if lines is None else lines,
    )


def median(values: list[float]) -> float:
    """The median of the rounds."""
    return statistics.median(values)
