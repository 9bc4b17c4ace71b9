"""The command line without servers: help, exit codes, one JSON object, sentences for errors."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli import app
from demo.sample import write_sample
from tests.stack.stack_helpers import free_ports

ROOT = Path(__file__).parents[2]


def commands() -> Iterator[tuple[str, ...]]:
    """Every command, groups' ones included."""

    def walk(group: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from walk(command, (*path, name))
            else:
                yield (*path, name)

    yield from walk(typer.main.get_command(app), ())


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Settings of an installation that does not run."""
    names = ("POSTGRES_PORT", "TEMPORAL_PORT", "TEMPORAL_UI_PORT", "API_PORT")
    ports = zip(names, free_ports(4), strict=True)
    return {f"STOCKWRIGHT_{name}": str(port) for name, port in ports} | {
        "STOCKWRIGHT_DATA_DIR": str(tmp_path / "data")
    }


def call(env: dict[str, str], *args: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    done = CliRunner().invoke(app, args, env=env)
    return done.exit_code, done.stdout, done.stderr


def only_object(text: str) -> dict[str, Any]:
    lines = text.splitlines()
    assert len(lines) == 1, text
    document: dict[str, Any] = json.loads(lines[0])
    return document


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_help_of_every_command_has_an_example(path: tuple[str, ...], env: dict[str, str]) -> None:
    code, out, _ = call(env, *path, "--help")
    assert code == 0
    example = out.partition("Example:")[2]
    assert f"stockwright {' '.join(path)}" in example


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_command_is_documented(path: tuple[str, ...]) -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert f"`{' '.join(path)}" in text


def test_an_unknown_option_is_wrong_usage(env: dict[str, str]) -> None:
    code, out, err = call(env, "status", "--nonsense")
    assert (code, out) == (2, "")
    assert "--nonsense" in err


def test_status_of_nothing(env: dict[str, str]) -> None:
    code, out, _ = call(env, "status", "--json")
    told = only_object(out)
    assert code == 3
    assert (told["running"], told["healthy"], told["services"]) == (False, False, [])
    assert call(env, "status", "--pid", "worker")[0] == 3


def test_down_of_nothing_is_no_error(env: dict[str, str]) -> None:
    code, out, _ = call(env, "down", "--json")
    assert (code, only_object(out)) == (0, {"stopped": False})


def test_doctor_tells_every_finding(env: dict[str, str]) -> None:
    code, out, _ = call(env, "doctor", "--json")
    told = only_object(out)
    assert code == (0 if told["ok"] else 1)
    assert {"Python", "data folder", "disk space"} <= {one["name"] for one in told["findings"]}
    assert all(one["ok"] or one["fix"] for one in told["findings"])


@pytest.mark.parametrize(
    "args",
    [
        ("audit",),
        ("tenant", "create", "acme"),
        ("api-key", "create", "--tenant", "acme", "--name", "till"),
    ],
    ids=" ".join,
)
def test_without_servers_commands_say_what_to_do(
    args: tuple[str, ...], env: dict[str, str]
) -> None:
    code, out, err = call(env, *args, "--json")
    assert code == 3
    assert only_object(out)["error"]["code"] == "unavailable"
    assert "stockwright up" in err


def test_a_wrong_setting_is_named(env: dict[str, str]) -> None:
    code, _, err = call(env | {"STOCKWRIGHT_API_PORT": "many"}, "status")
    assert code == 4
    assert "api_port" in err


def test_a_port_that_is_taken_is_named(env: dict[str, str]) -> None:
    # The port of the first server that would be started, taken by itself.
    same = env["STOCKWRIGHT_POSTGRES_PORT"]
    script = (
        "import socket,sys,time; s=socket.socket(); s.bind(('127.0.0.1',int(sys.argv[1])));"
        "s.listen(); print('bound',flush=True); time.sleep(60)"
    )
    taker = subprocess.Popen([sys.executable, "-c", script, same], stdout=subprocess.PIPE)
    try:
        assert taker.stdout is not None
        taker.stdout.readline()
        code, _, err = call(env | {"STOCKWRIGHT_API_PORT": same}, "up")
    finally:
        taker.kill()
        taker.communicate()
    assert code == 3
    assert f"Port {same}" in err
    assert "STOCKWRIGHT_API_PORT" in err


def test_a_dry_run_needs_no_server(env: dict[str, str], tmp_path: Path) -> None:
    facts = write_sample(tmp_path / "sales.csv", invoices=20)
    args = ("import", "sales", str(tmp_path / "sales.csv"), "--dry-run")
    code, out, _ = call(env, *args, "--json")
    told = only_object(out)
    assert code == 0
    assert told["dry_run"] is True
    assert told["planned"]["units"] == facts.units
    assert told["invoices"]["accounted"] is True
    assert told["invoices"]["orders"] == facts.sales
    code, out, _ = call(env, *args)
    assert code == 0
    assert "Nothing was posted" in out


@pytest.mark.parametrize(
    ("text", "code"),
    [(None, "unreadable"), ("", "file_empty"), ("a,b\n1,2\n", "column_missing")],
)
def test_a_bad_file_is_bad_input(
    env: dict[str, str], tmp_path: Path, text: str | None, code: str
) -> None:
    path = tmp_path / "sales.csv"
    if text is not None:
        path.write_text(text)
    exit_code, out, err = call(env, "import", "sales", str(path), "--tenant", "acme", "--json")
    assert exit_code == 4
    assert only_object(out)["error"]["code"] == code
    assert err.strip()


def test_an_import_asks_whose_sales_these_are(env: dict[str, str], tmp_path: Path) -> None:
    write_sample(tmp_path / "sales.csv", invoices=10)
    code, _, err = call(env, "import", "sales", str(tmp_path / "sales.csv"))
    assert code == 2
    assert "--tenant" in err


def test_the_program_itself_ends_with_the_code_and_one_object(env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cli", "status", "--json"],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | env | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 3
    assert only_object(done.stdout)["running"] is False
