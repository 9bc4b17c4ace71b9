"""What the tests of the stack share: free ports, one SQL statement, children made of Python."""

import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from settings import Settings
from stack import HealthCheck, ServiceSpec, StackInfo
from stack.files import start_tick

NewSettings = Callable[..., Settings]


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on; held together so that all differ."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def query(info: StackInfo, statement: str) -> list[tuple[object, ...]]:
    """Run one statement as the superuser."""
    with psycopg.connect(info.admin_url.get_secret_value(), connect_timeout=10) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def python_service(name: str, script: str, **fields: object) -> ServiceSpec:
    """A child that runs a few lines of Python."""
    values: dict[str, object] = {
        "name": name,
        "argv": (sys.executable, "-c", script),
        "ready_timeout_s": 10,
        "stop_timeout_s": 3,
        "health": HealthCheck(),
    }
    return ServiceSpec.model_validate(values | fields)


def wait_for(condition: Callable[[], bool], timeout: float, what: str) -> float:
    """Wait until it holds and return the seconds it took; fail after the timeout."""
    began = time.monotonic()
    while not condition():
        taken = time.monotonic() - began
        assert taken < timeout, f"{what}: not within {timeout} s"
        time.sleep(0.05)
    return time.monotonic() - began


def family(root: int) -> set[int]:
    """A process and all its living descendants."""
    parents: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and start_tick(int(entry.name)) is not None:
            try:
                stat = Path(entry.path, "stat").read_text(encoding="ascii", errors="replace")
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def all_gone(pids: set[int]) -> bool:
    """Whether none of these processes lives; a zombie does not."""
    return all(start_tick(pid) is None for pid in pids)
