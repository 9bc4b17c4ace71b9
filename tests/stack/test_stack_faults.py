"""Kill things without warning: what must live comes back, what must not live is gone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

import stack
from settings import Settings
from stack import HealthCheck, ServiceFailed, ServiceState, StackPaths
from stack.files import noted_pid
from tests.stack.stack_helpers import (
    NewSettings,
    all_gone,
    family,
    free_ports,
    python_service,
    query,
    wait_for,
)

# A server that answers for a while and then only lives on.
_GOES_DEAF = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(1.5)
server.close()
time.sleep(600)
"""

_HAS_CHILD = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
time.sleep(600)
"""

_STARTS_AND_SLEEPS = """
import sys, time
from pathlib import Path
import stack
from settings import Settings
from stack import StackOptions
settings = Settings(data_dir=Path(sys.argv[1]), postgres_port=int(sys.argv[2]))
stack.start(settings, ["postgres"], options=StackOptions(tie_to_parent=True))
print("ready", flush=True)
time.sleep(600)
"""

_RACES = """
import sys
from pathlib import Path
import stack
from settings import Settings
spec = stack.ServiceSpec(name="sleeper", argv=("sleep", "600"))
sys.stdin.readline()
try:
    stack.start(Settings(data_dir=Path(sys.argv[1])), [], [spec])
    print("won")
except stack.AlreadyRunning:
    print("lost")
"""

_RUNS_IN_FRONT = """
import sys
from pathlib import Path
import stack
from settings import Settings
spec = stack.ServiceSpec(name="sleeper", argv=("sleep", "600"))
told = lambda info: print("ready", flush=True)
stack.run_foreground(Settings(data_dir=Path(sys.argv[1])), [], [spec], on_ready=told)
print("ended")
"""


def test_a_killed_postgres_comes_back_with_its_data(new_settings: NewSettings) -> None:
    settings = new_settings()
    info = stack.start(settings, ["postgres"])
    query(info, "CREATE TABLE kept (n int)")
    query(info, "INSERT INTO kept VALUES (1)")
    # An open session keeps an old backend alive for a moment after its postmaster is gone.
    with psycopg.connect(info.admin_url.get_secret_value()) as session:
        session.execute("INSERT INTO kept VALUES (2)")
        before = postgres_pid(settings)
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: is_back(settings, before), 40, "PostgreSQL after kill -9")
        session.close()
    assert query(info, "SELECT n FROM kept") == [(1,)]
    status = stack.status(settings.data_dir).service("postgres")
    assert status is not None
    assert status.restarts >= 1


def test_nothing_outlives_a_killed_supervisor(new_settings: NewSettings) -> None:
    settings = new_settings()
    info = stack.start(settings, None, [python_service("helper", "import time; time.sleep(600)")])
    query(info, "CREATE TABLE kept (n int)")
    supervisor = stack.status(settings.data_dir).supervisor_pid
    assert supervisor is not None
    everybody = family(supervisor)
    assert len(everybody) >= 6, "supervisor, postgres and its own, temporal, helper"
    with psycopg.connect(info.admin_url.get_secret_value()) as session:
        os.kill(supervisor, signal.SIGKILL)
        wait_for(lambda: all_gone(everybody), 10, "all children gone")
        session.close()
    assert not stack.status(settings.data_dir).running

    again = stack.start(settings, ["postgres"])
    assert query(again, "SELECT count(*) FROM kept") == [(0,)]
    names = [one.name for one in stack.status(settings.data_dir).services]
    assert names == ["postgres"], "only what is given anew is run"


def test_a_tied_stack_ends_with_its_killed_caller(new_settings: NewSettings) -> None:
    settings = new_settings()
    with another_python(
        _STARTS_AND_SLEEPS, str(settings.data_dir), str(settings.postgres_port)
    ) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "ready\n"
        everybody = family(caller.pid)
        assert len(everybody) >= 4
        caller.kill()
    wait_for(lambda: all_gone(everybody), 10, "supervisor and PostgreSQL gone")
    wait_for(lambda: not stack.status(settings.data_dir).running, 5, "the lock is free")


def test_a_service_that_crashes_at_once_is_reported_with_its_log(
    new_settings: NewSettings,
) -> None:
    settings = new_settings()
    broken = python_service("broken", "raise SystemExit('no such shelf')", ready_timeout_s=2)
    with pytest.raises(ServiceFailed, match="no such shelf") as failed:
        stack.start(settings, [], [broken])
    assert failed.value.name == "broken"
    assert failed.value.log_file.endswith("broken.log")
    assert not stack.status(settings.data_dir).running, "a failed start leaves nothing behind"


def test_a_service_that_crashes_at_once_backs_off(new_settings: NewSettings) -> None:
    settings = new_settings()
    stack.start(settings, [], [python_service("well", "import time; time.sleep(600)")])
    broken = python_service("broken", "raise SystemExit('no such shelf')", ready_timeout_s=3)
    with pytest.raises(ServiceFailed, match="no such shelf"):
        stack.add_services(settings.data_dir, broken)
    status = stack.status(settings.data_dir)
    well, failed = status.service("well"), status.service("broken")
    assert well is not None
    assert well.state is ServiceState.HEALTHY
    assert failed is not None
    # 0.2 + 0.4 + 0.8 + 1.6 s of waiting leave room for few starts only.
    assert 3 <= failed.restarts <= 5
    assert failed.last_exit == 1


def test_a_living_service_that_no_longer_answers_is_restarted(new_settings: NewSettings) -> None:
    settings = new_settings()
    port = free_ports(1)[0]
    deaf = python_service(
        "deaf",
        _GOES_DEAF,
        argv=(sys.executable, "-c", _GOES_DEAF, str(port)),
        health=HealthCheck(kind="tcp", address=f"127.0.0.1:{port}"),
        unhealthy_after_s=1,
    )
    stack.start(settings, [], [deaf])

    def restarts() -> int:
        one = stack.status(settings.data_dir).service("deaf")
        return 0 if one is None else one.restarts

    # It goes deaf again at once, so only what cannot be taken back is looked at.
    wait_for(lambda: restarts() >= 1, 20, "the deaf server starts again")
    assert restarts() >= 1


def test_a_stop_takes_grandchildren_along(new_settings: NewSettings) -> None:
    settings = new_settings()
    stack.start(settings, [], [python_service("parent", _HAS_CHILD)])
    pid = noted_pid(StackPaths(settings.data_dir).pid_file("parent"))
    assert pid is not None
    wait_for(lambda: len(family(pid)) == 2, 10, "the grandchild runs")
    everybody = family(pid)
    stack.stop(settings.data_dir)
    assert all_gone(everybody)


def test_a_service_that_ignores_the_stop_is_killed(new_settings: NewSettings) -> None:
    settings = new_settings()
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    stubborn = python_service("stubborn", script, stop_timeout_s=1)
    stack.start(settings, [], [stubborn])
    stack.stop(settings.data_dir)
    status = stack.status(settings.data_dir).service("stubborn")
    assert status is not None
    assert status.last_exit == -signal.SIGKILL


def test_of_many_starts_at_once_one_wins(new_settings: NewSettings) -> None:
    folder = str(new_settings().data_dir)
    racers = [another_python(_RACES, folder) for _ in range(3)]
    answers = sorted(racer.communicate("go\n", timeout=60)[0].strip() for racer in racers)
    assert answers == ["lost", "lost", "won"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_a_signal_ends_everything(
    new_settings: NewSettings, number: signal.Signals
) -> None:
    settings = new_settings()
    with another_python(_RUNS_IN_FRONT, str(settings.data_dir)) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "ready\n"
        everybody = family(caller.pid)
        assert len(everybody) == 3
        caller.send_signal(number)
        assert caller.stdout.readline() == "ended\n"
    assert caller.returncode == 0
    assert all_gone(everybody)


def another_python(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Run a few lines in a process of their own that can import the project."""
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        text=True,
    )


def postgres_pid(settings: Settings) -> int:
    status = stack.status(settings.data_dir).service("postgres")
    assert status is not None
    assert status.pid is not None
    return status.pid


def is_back(settings: Settings, before: int) -> bool:
    status = stack.status(settings.data_dir).service("postgres")
    return (
        status is not None
        and status.state is ServiceState.HEALTHY
        and status.pid not in {None, before}
    )
