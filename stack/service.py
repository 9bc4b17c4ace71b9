"""One supervised child: started, watched, restarted with back-off, stopped."""

import contextlib
import os
import signal
import subprocess
import sys
from concurrent.futures import Executor, Future
from datetime import UTC, datetime
from pathlib import Path

from stack.files import note_pid, open_log
from stack.health import Answer, ask
from stack.models import ServiceSpec, ServiceState, ServiceStatus, StackPaths

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0
STEADY_AFTER_S = 30.0
CHECK_WHEN_HEALTHY_S = 2.0
CHECK_OTHERWISE_S = 0.2
# A child that is only asked whether it lives must have lived this long.
ALIVE_AFTER_S = 0.5

_LAUNCHER = str(Path(__file__).with_name("launch.py"))


class Service:
    """The life of one specification. All times are of the monotonic clock, in seconds.

    Call everything from the process's main thread: the kernel sends the death signal when the
    *thread* that started a child ends.
    """

    def __init__(self, spec: ServiceSpec, paths: StackPaths, checks: Executor) -> None:
        self.spec = spec
        self.wanted = True
        self._paths = paths
        self._checks = checks
        self._process: subprocess.Popen[bytes] | None = None
        self._state = ServiceState.STARTING
        self._since = datetime.now(UTC)
        self._restarts = 0
        self._last_exit: int | None = None
        self._delay = FIRST_DELAY_S
        self._next_start = 0.0
        self._started = 0.0
        self._healthy_since: float | None = None
        self._failing_since = 0.0
        self._kill_at: float | None = None
        self._next_check = 0.0
        self._pending: Future[Answer] | None = None

    @property
    def running(self) -> bool:
        """Whether the child process exists."""
        return self._process is not None

    @property
    def healthy(self) -> bool:
        """Whether the last answer was good."""
        return self._state is ServiceState.HEALTHY

    def status(self) -> ServiceStatus:
        """What people are told."""
        return ServiceStatus(
            name=self.spec.name,
            state=self._state,
            pid=self._process.pid if self._process else None,
            since=self._since,
            restarts=self._restarts,
            address=self.spec.address,
            log_file=str(self._paths.log(self.spec.name)),
            last_exit=self._last_exit,
            revision=self.spec.revision,
        )

    def stop(self, now: float) -> None:
        """Ask the child to end and do not start it again; `tick` sees it through."""
        if self.wanted:
            self.wanted = False
            self._end_child(now)
        if self._process is None:
            self._set(ServiceState.STOPPED)

    def tick(self, now: float, *, dependencies_healthy: bool) -> None:
        """Do what is due."""
        if self._process is not None:
            code = self._process.poll()
            if code is not None:
                self._exited(code, now)
            elif self._kill_at is not None:
                if now >= self._kill_at:
                    self._signal_group(self._process.pid, signal.SIGKILL)
            else:
                self._watch(now)
        due = self.wanted and now >= self._next_start
        if self._process is None and due and dependencies_healthy:
            self._start(now)

    def _start(self, now: float) -> None:
        try:
            self._process = self._spawn()
            note_pid(self._paths.pid_file(self.spec.name), self._process.pid)
        except OSError as error:
            # Such as a full disk or a missing folder; a child without pid file still counts.
            sys.stderr.write(f"{self.spec.name}: {error}\n")
            if self._process is None:
                self._back_off(now)
                return
        self._started = self._failing_since = now
        self._healthy_since = None
        self._next_check = now
        self._set(ServiceState.STARTING)

    def _spawn(self) -> subprocess.Popen[bytes]:
        spec = self.spec
        environment = {**os.environ, **spec.env}
        launcher = [sys.executable, "-I", "-S", _LAUNCHER]
        last_will = [str(os.getpid()), str(int(spec.death_signal)), spec.user or "-"]
        log = open_log(self._paths.log(spec.name))
        try:
            os.write(log, f"--- {datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z starting\n".encode())
            return subprocess.Popen(
                [*launcher, *last_will, *spec.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # The unprivileged user may not be able to enter the data folder.
                cwd=spec.cwd or ("/" if spec.user else self._paths.data_dir),
                env={name: value for name, value in environment.items() if value is not None},
                # An own session, so that Ctrl-C reaches us alone and a kill reaches grandchildren.
                start_new_session=True,
            )
        except OSError as error:
            os.write(log, f"Cannot start: {error}\n".encode())
            raise
        finally:
            os.close(log)

    def _exited(self, code: int, now: float) -> None:
        if self._process is not None:
            self._signal_group(self._process.pid, signal.SIGKILL)
        self._process = None
        self._pending = None
        self._kill_at = None
        self._last_exit = code
        self._paths.pid_file(self.spec.name).unlink(missing_ok=True)
        if self.wanted:
            self._back_off(now)
        else:
            self._set(ServiceState.STOPPED)

    def _back_off(self, now: float) -> None:
        if self._healthy_since is not None and now - self._healthy_since >= STEADY_AFTER_S:
            self._delay = FIRST_DELAY_S
        self._restarts += 1
        self._next_start = now + self._delay
        self._delay = min(self._delay * 2, LONGEST_DELAY_S)
        self._set(ServiceState.BACKING_OFF)

    def _watch(self, now: float) -> None:
        if self._pending is not None:
            if self._pending.done():
                self._heard(self._pending.result(), now)
                self._pending = None
        elif now >= self._next_check:
            if self.spec.health.kind == "process":
                self._heard(Answer.OK if now - self._started >= ALIVE_AFTER_S else Answer.BUSY, now)
            else:
                self._pending = self._checks.submit(ask, self.spec.health)
        patience = self.spec.unhealthy_after_s
        if self._state is ServiceState.STARTING:
            patience = max(patience, self.spec.ready_timeout_s)
        if not self.healthy and now - self._failing_since >= patience:
            self._end_child(now)

    def _heard(self, answer: Answer, now: float) -> None:
        if answer is Answer.OK:
            if self._healthy_since is None:
                self._healthy_since = now
            self._set(ServiceState.HEALTHY)
        elif self.healthy:
            self._failing_since = now
            self._healthy_since = None
            self._set(ServiceState.UNHEALTHY)
        elif answer is Answer.BUSY:
            # A database that recovers may take long; killing it would only start over.
            self._failing_since = now
        self._next_check = now + (CHECK_WHEN_HEALTHY_S if self.healthy else CHECK_OTHERWISE_S)

    def _end_child(self, now: float) -> None:
        if self._process is not None and self._kill_at is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(self.spec.stop_signal)
            self._kill_at = now + self.spec.stop_timeout_s

    @staticmethod
    def _signal_group(pid: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)

    def _set(self, state: ServiceState) -> None:
        if state is not self._state:
            self._state = state
            self._since = datetime.now(UTC)
