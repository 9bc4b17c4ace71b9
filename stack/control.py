"""Start, stop and ask the stack of a data folder; what the command line and the tests call."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.parse import quote, urlsplit
from uuid import uuid4

from pydantic import SecretStr

from settings import Settings
from stack import postgres, temporal, temporal_binary
from stack.errors import AlreadyRunning, NotRunning, PortTaken, ServiceFailed, StackError
from stack.files import (
    lock_owner,
    noted_pid,
    open_log,
    read_text,
    tail,
    try_lock,
    write_lock_owner,
    write_private,
)
from stack.health import LOOPBACK, port_is_free
from stack.models import ServiceSpec, ServiceState, StackInfo, StackOptions, StackPaths, StackStatus
from stack.progress import Progress, stderr_line
from stack.secrets import StackSecrets, load_or_create

POLL_S = 0.05
# PostgreSQL refuses four or five starts after a kill while its old children die.
MAX_START_FAILURES = 8
LEFTOVER_GRACE_S = 10.0
PORT_GRACE_S = 3.0

# Supervisors that this process started: kept so that they can be reaped when they end.
_spawned: dict[int, subprocess.Popen[bytes]] = {}


def start(
    settings: Settings,
    services: Sequence[str] | None = None,
    extra: Sequence[ServiceSpec] = (),
    *,
    options: StackOptions | None = None,
    progress: Progress = stderr_line,
) -> StackInfo:
    """Start a supervisor with PostgreSQL and Temporal, as far as the settings name none running.

    `services` limits that to some of "postgres" and "temporal"; `extra` is started besides.
    Returns when all are healthy. When one fails, everything is stopped again and ServiceFailed
    carries its log's tail. Raises AlreadyRunning when the data folder has a supervisor.
    """
    options = options or StackOptions()
    paths = StackPaths(settings.data_dir)
    paths.create()
    lock = _acquire(paths)
    try:
        _clear_run_folder(paths)
        specs, info = _plan(settings, services, paths, options, progress)
        specs = [_with_revision(spec) for spec in (*specs, *extra)]
        _write_info(paths, info)
        supervisor = _spawn_supervisor(paths, lock, specs, options)
    finally:
        os.close(lock)
    try:
        _wait_until_healthy(paths, specs, supervisor)
    except BaseException:
        stop(paths.data_dir)
        raise
    return info


def run_foreground(
    settings: Settings,
    services: Sequence[str] | None = None,
    extra: Sequence[ServiceSpec] = (),
    *,
    on_ready: Callable[[StackInfo], None] | None = None,
    options: StackOptions | None = None,
    progress: Progress = stderr_line,
) -> None:
    """Start, call `on_ready`, and stay until SIGINT or SIGTERM; then stop everything.

    Call it from the main thread. However this process ends, the stack ends with it.
    """
    tied = (options or StackOptions()).model_copy(update={"tie_to_parent": True})
    info = start(settings, services, extra, options=tied, progress=progress)
    try:
        with _signals_as_event() as asked_to_end:
            if on_ready is not None:
                on_ready(info)
            while not asked_to_end.wait(0.5):
                if not status(settings.data_dir).running:
                    log = StackPaths(settings.data_dir).log("supervisor")
                    raise ServiceFailed("supervisor", "ended unexpectedly", str(log), tail(log))
    finally:
        stop(settings.data_dir)


def stop(data_dir: Path, timeout: float = 90.0) -> bool:
    """Stop the supervisor and all it runs; False when nothing ran. `timeout` is in seconds.

    After the timeout the supervisor is killed, and with it, by the kernel, its children.
    """
    paths = StackPaths(data_dir)
    running, pid = lock_owner(paths.lock)
    if running and pid is not None:
        _signal(pid, signal.SIGTERM)
        if not _wait(lambda: not lock_owner(paths.lock)[0], timeout):
            _signal(pid, signal.SIGKILL)
            _wait(lambda: not lock_owner(paths.lock)[0], 5.0)
        _reap(pid)
    if not lock_owner(paths.lock)[0]:
        _end_leftovers(paths)
    return running


def status(data_dir: Path) -> StackStatus:
    """What runs on a data folder; without a supervisor every service counts as stopped."""
    paths = StackPaths(data_dir)
    running, pid = lock_owner(paths.lock)
    text = read_text(paths.status)
    if text is None:
        return StackStatus(
            data_dir=str(paths.data_dir), running=running, supervisor_pid=pid, since=None
        )
    found = StackStatus.model_validate_json(text)
    if running and found.supervisor_pid == pid:
        return found
    stopped = {"state": ServiceState.STOPPED, "pid": None}
    return found.model_copy(
        update={
            "running": running,
            "supervisor_pid": pid if running else None,
            "since": None,
            "services": tuple(one.model_copy(update=stopped) for one in found.services),
        }
    )


def running_info(data_dir: Path) -> StackInfo:
    """How to reach the servers of a running stack; raises NotRunning."""
    paths = StackPaths(data_dir)
    info = _read_info(paths) if lock_owner(paths.lock)[0] else None
    if info is None:
        raise NotRunning
    return info


def add_services(data_dir: Path, *specs: ServiceSpec, wait: bool = True) -> None:
    """Have the running supervisor run these too; one of the same name is replaced.

    With `wait`, returns when all are healthy or raises ServiceFailed; a failed one stays, backing
    off, until it is removed or the stack is stopped.
    """
    paths = StackPaths(data_dir)
    if not lock_owner(paths.lock)[0]:
        raise NotRunning
    fresh = [_with_revision(spec) for spec in specs]
    for spec in fresh:
        write_private(paths.services / f"{spec.name}.json", spec.model_dump_json(indent=1))
    if wait:
        _wait_until_healthy(paths, fresh, None)


def remove_service(data_dir: Path, name: str, timeout: float = 90.0) -> None:
    """Stop one service of the running stack and forget it. `timeout` is in seconds."""
    paths = StackPaths(data_dir)
    if not lock_owner(paths.lock)[0]:
        raise NotRunning
    (paths.services / f"{name}.json").unlink(missing_ok=True)
    if not _wait(lambda: status(data_dir).service(name) is None, timeout):
        raise StackError(f"{name} did not stop within {timeout:.0f} s; its log is in {paths.logs}.")


def restart_service(data_dir: Path, name: str, *, wait: bool = True) -> None:
    """Stop one service and start it again as it was specified."""
    text = read_text(StackPaths(data_dir).services / f"{name}.json")
    if text is None:
        raise StackError(f"There is no service named {name}; `stockwright status` lists them.")
    add_services(data_dir, ServiceSpec.model_validate_json(text), wait=wait)


def destroy(data_dir: Path) -> None:
    """Stop the stack and delete its data folder, and what PostgreSQL keeps outside of it."""
    paths = StackPaths(data_dir)
    stop(data_dir)
    noted = read_text(paths.postgres_location)
    if noted is not None:
        shutil.rmtree(noted.strip(), ignore_errors=True)
    shutil.rmtree(paths.data_dir, ignore_errors=True)


def _acquire(paths: StackPaths) -> int:
    # Somebody who only asks for the status holds the lock for an instant, hence the tries.
    for _ in range(10):
        lock = try_lock(paths.lock)
        if lock is not None:
            write_lock_owner(lock, os.getpid())
            return lock
        time.sleep(POLL_S)
    raise AlreadyRunning(lock_owner(paths.lock)[1], _read_info(paths))


def _clear_run_folder(paths: StackPaths) -> None:
    """Only services given anew are run, and nothing of an earlier run may still be alive."""
    _end_leftovers(paths)
    for path in (*paths.services.iterdir(), paths.status, paths.info):
        path.unlink(missing_ok=True)


def _plan(
    settings: Settings,
    services: Sequence[str] | None,
    paths: StackPaths,
    options: StackOptions,
    progress: Progress,
) -> tuple[list[ServiceSpec], StackInfo]:
    wanted = set(services) if services is not None else {"postgres", "temporal"}
    unknown = wanted - {"postgres", "temporal"}
    if unknown:
        raise StackError(f"Unknown services: {', '.join(sorted(unknown))}. Give them as `extra`.")
    secrets = load_or_create(paths)
    specs = []
    if "postgres" in wanted and settings.database_url is None:
        _need_port(settings.postgres_port, postgres.PORT_VARIABLE)
        home = postgres.locate(paths, secrets.instance_id)
        postgres.prepare(home, paths, secrets)
        specs.append(postgres.service(home, settings.postgres_port, options))
    if "temporal" in wanted and settings.temporal_address is None:
        _need_port(settings.temporal_port, temporal.PORT_VARIABLE)
        _need_port(settings.temporal_ui_port, temporal.UI_PORT_VARIABLE)
        program = temporal_binary.find_or_build(settings.cache_dir, progress)
        specs.append(
            temporal.service(
                program,
                paths,
                port=settings.temporal_port,
                ui_port=settings.temporal_ui_port,
                namespace=settings.temporal_namespace,
                options=options,
            )
        )
    return specs, stack_info(settings, secrets)


def stack_info(settings: Settings, secrets: StackSecrets) -> StackInfo:
    """How to reach the servers that these settings mean, whether ours or given ones."""
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
    else:
        password = quote(secrets.superuser.get_secret_value(), safe="")
        url = (
            f"postgresql://{postgres.SUPERUSER}:{password}"
            f"@{LOOPBACK}:{settings.postgres_port}/{postgres.DATABASE}"
        )
    parts = urlsplit(url)
    own_temporal = settings.temporal_address is None
    return StackInfo(
        data_dir=StackPaths(settings.data_dir).data_dir,
        admin_url=SecretStr(url),
        postgres_host=parts.hostname or LOOPBACK,
        postgres_port=parts.port or 5432,
        postgres_database=parts.path.lstrip("/") or postgres.DATABASE,
        temporal_address=settings.temporal_address or f"{LOOPBACK}:{settings.temporal_port}",
        temporal_namespace=settings.temporal_namespace,
        ui_url=temporal.ui_url(settings.temporal_ui_port) if own_temporal else None,
    )


def _need_port(port: int, variable: str) -> None:
    # A server that was just killed may hold its port for a moment.
    if not _wait(lambda: port_is_free(port), PORT_GRACE_S):
        raise PortTaken(port, variable)


def _with_revision(spec: ServiceSpec) -> ServiceSpec:
    return spec.model_copy(update={"revision": uuid4().hex})


def _spawn_supervisor(
    paths: StackPaths, lock: int, specs: Sequence[ServiceSpec], options: StackOptions
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "stack.supervisor"]
    command += ["--data-dir", str(paths.data_dir), "--lock-fd", str(lock)]
    if options.tie_to_parent:
        command += ["--tied-to", str(os.getpid())]
    root = str(Path(__file__).resolve().parents[1])
    inherited = os.environ.get("PYTHONPATH")
    log = open_log(paths.log("supervisor"))
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=paths.data_dir,
            env={
                **os.environ,
                "PYTHONPATH": f"{root}{os.pathsep + inherited if inherited else ''}",
            },
            pass_fds=(lock,),
            start_new_session=True,
        )
    finally:
        os.close(log)
    # Noted here and not by the child: from now on a request to stop must not reach this process.
    write_lock_owner(lock, process.pid)
    _spawned[process.pid] = process
    documents = json.dumps([spec.model_dump(mode="json") for spec in specs])
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):  # It died at once; the waiting says why.
            process.stdin.write(documents.encode())
            process.stdin.flush()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    return process


def _wait_until_healthy(
    paths: StackPaths,
    specs: Sequence[ServiceSpec],
    supervisor: subprocess.Popen[bytes] | None,
) -> None:
    """Return when all are healthy; raise ServiceFailed for the first one that is given up."""
    deadline = time.monotonic() + 10.0 + sum(spec.ready_timeout_s for spec in specs)
    limits = {spec.name: spec.ready_timeout_s for spec in specs}
    waiting = {spec.name: spec.revision for spec in specs}
    clocks: dict[str, float] = {}
    while waiting or not paths.status.exists():
        now = time.monotonic()
        ended = supervisor is not None and supervisor.poll() is not None
        if ended or not lock_owner(paths.lock)[0]:
            log = paths.log("supervisor")
            raise ServiceFailed("supervisor", "ended while starting", str(log), tail(log))
        for one in status(paths.data_dir).services:
            if waiting.get(one.name) != one.revision:
                continue
            if one.state is ServiceState.HEALTHY:
                del waiting[one.name]
                continue
            # The clock of a service begins with its first start, not with its dependencies'.
            began = clocks.setdefault(one.name, now) if one.pid or one.restarts else now
            if one.restarts >= MAX_START_FAILURES:
                _fail(paths, one.name, f"failed to start {one.restarts} times")
            if now - began >= limits[one.name]:
                _fail(paths, one.name, f"was not healthy within {limits[one.name]:g} s")
        if now >= deadline:
            _fail(paths, next(iter(waiting), "supervisor"), "did not become healthy")
        time.sleep(POLL_S)


def _fail(paths: StackPaths, name: str, reason: str) -> NoReturn:
    log = paths.log(name)
    raise ServiceFailed(name, reason, str(log), tail(log))


def _write_info(paths: StackPaths, info: StackInfo) -> None:
    document = info.model_dump(mode="json")
    document["admin_url"] = info.admin_url.get_secret_value()
    write_private(paths.info, json.dumps(document, indent=1))


def _read_info(paths: StackPaths) -> StackInfo | None:
    text = read_text(paths.info)
    return None if text is None else StackInfo.model_validate_json(text)


def _end_leftovers(paths: StackPaths) -> None:
    """Wait for children of a supervisor that was killed, then kill what is still there."""
    files = list(paths.run.glob("*.pid")) if paths.run.exists() else []
    _wait(lambda: all(noted_pid(file) is None for file in files), LEFTOVER_GRACE_S)
    for file in files:
        pid = noted_pid(file)
        if pid is not None:
            _signal(pid, signal.SIGKILL)
        file.unlink(missing_ok=True)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _reap(pid: int) -> None:
    process = _spawned.pop(pid, None)
    if process is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)


def _wait(condition: Callable[[], bool], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


@contextlib.contextmanager
def _signals_as_event() -> Iterator[threading.Event]:
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        del number, frame
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
