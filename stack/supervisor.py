"""The process that keeps the children of one data folder running: `python -m stack.supervisor`.

It holds the folder's lock, which it inherits from its starter. What shall run is one file per
service in run/services: adding, changing or deleting a file is the whole control channel.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from pydantic import ValidationError

from stack.files import read_text, write_private
from stack.models import ServiceSpec, StackPaths, StackStatus
from stack.service import Service

TICK_S = 0.1
CHECK_THREADS = 4


class Supervisor:
    """Brings what runs in line with the files in run/services, until it is told to end."""

    def __init__(self, paths: StackPaths, tied_to: int | None) -> None:
        self._paths = paths
        self._tied_to = tied_to
        self._since = datetime.now(UTC)
        self._ending = threading.Event()
        self._checks = ThreadPoolExecutor(CHECK_THREADS, thread_name_prefix="check")
        self._services: dict[str, Service] = {}
        self._specs: dict[str, ServiceSpec] = {}
        self._seen: dict[Path, tuple[int, int]] = {}
        self._published: StackStatus | None = None

    def run(self) -> None:
        """Supervise until a signal asks to end or the process we are tied to is gone."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        self._publish()
        while not self._ending.is_set() and not self._parent_gone():
            self._read_specs()
            self._reconcile()
            self._tick()
            self._publish()
            self._ending.wait(TICK_S)
        self._stop_all()
        self._checks.shutdown(wait=False, cancel_futures=True)

    def _end(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._ending.set()

    def _parent_gone(self) -> bool:
        # Asking is better than a death signal here: that one fires when the starting *thread*
        # ends, and it could not be told from a request to stop.
        return self._tied_to is not None and os.getppid() != self._tied_to

    def _read_specs(self) -> None:
        with os.scandir(self._paths.services) as entries:
            names = sorted(entry.name for entry in entries if entry.name.endswith(".json"))
        seen = {}
        for path in (self._paths.services / name for name in names):
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                seen[path] = (stat.st_ino, stat.st_mtime_ns)
        if seen == self._seen:
            return
        self._seen = seen
        self._specs = {}
        for path in seen:
            text = read_text(path)
            if text is None:
                continue
            try:
                spec = ServiceSpec.model_validate_json(text)
            except ValidationError as error:
                sys.stderr.write(f"Ignored {path.name}: {error}\n")
                continue
            self._specs[spec.name] = spec

    def _reconcile(self) -> None:
        now = time.monotonic()
        for name, service in list(self._services.items()):
            if self._specs.get(name) != service.spec or not service.wanted:
                service.stop(now)
                if not service.running:
                    del self._services[name]
        for name, spec in self._specs.items():
            if name not in self._services:
                self._services[name] = Service(spec, self._paths, self._checks)

    def _tick(self) -> None:
        for service in self._services.values():
            needs = [self._services.get(name) for name in service.spec.depends_on]
            ready = all(need is not None and need.healthy for need in needs)
            service.tick(time.monotonic(), dependencies_healthy=ready)

    def _stop_all(self) -> None:
        """Dependents first. Ends because every service is killed after its stop timeout."""
        while any(service.wanted or service.running for service in self._services.values()):
            alive = [one for one in self._services.values() if one.wanted or one.running]
            needed = {name for one in alive for name in one.spec.depends_on}
            leaves = [one for one in alive if one.spec.name not in needed]
            for service in leaves or alive:
                service.stop(time.monotonic())
            self._tick()
            self._publish()
            time.sleep(TICK_S / 2)
        self._publish()

    def _publish(self) -> None:
        current = StackStatus(
            data_dir=str(self._paths.data_dir),
            running=True,
            supervisor_pid=os.getpid(),
            since=self._since,
            services=tuple(service.status() for service in self._services.values()),
        )
        if current != self._published:
            # A full disk must not end the supervisor: it tries again at the next tick.
            with contextlib.suppress(OSError):
                write_private(self._paths.status, current.model_dump_json(indent=1))
                self._published = current


def main() -> None:
    """Take over the lock, read the first specifications from standard input, supervise."""
    parser = argparse.ArgumentParser(prog="stack.supervisor", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--lock-fd", type=int, required=True)
    parser.add_argument("--tied-to", type=int, default=None, help="End with this parent process.")
    arguments = parser.parse_args()
    paths = StackPaths(arguments.data_dir)
    os.set_inheritable(arguments.lock_fd, False)
    for document in json.load(sys.stdin):
        spec = ServiceSpec.model_validate(document)
        write_private(paths.services / f"{spec.name}.json", spec.model_dump_json(indent=1))
    Supervisor(paths, arguments.tied_to).run()


if __name__ == "__main__":
    main()
