"""``stockwright audit`` on a damaged database: tells, corrects, and is clean again."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import app
from tests.conftest import stack_settings
from tests.db.conftest import World
from tests.support import levels


@pytest.fixture
def call(traded: World) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Runs the command on the world's database; exit code and document."""
    given = stack_settings().model_dump(mode="json", exclude_unset=True)
    env = {f"STOCKWRIGHT_{name.upper()}": str(value) for name, value in given.items()}
    env["STOCKWRIGHT_DATABASE"] = traded.database.name

    def run(*args: str) -> tuple[int, dict[str, Any]]:
        done = CliRunner().invoke(app, ["audit", *args, "--json"], env=env)
        return done.exit_code, json.loads(done.stdout)

    return run


def test_the_command_proposes_what_the_command_carries_out(
    traded: World, damage: Callable[..., None], call: Callable[..., tuple[int, dict[str, Any]]]
) -> None:
    level = str(levels(traded.app, traded.tenant)[traded.items.key()].id)
    assert call()[0] == 0
    damage("UPDATE inventory_levels SET available = 5, damaged = 1 WHERE id = %s", level)
    code, told = call()
    assert code == 1
    (finding,) = told["findings"]
    assert finding["level_id"] == level
    assert finding["evidence"]["since"].startswith("after movement number 5")
    proposed = {one["keep"]: one["command"] for one in finding["corrections"]}
    words = proposed["ledger"].split()
    assert words[:2] == ["stockwright", "audit"]
    signed = [{"NAME": "Ada King", "TEXT": "counted"}.get(word, word) for word in words[2:]]
    code, told = call(*signed)
    assert (code, told["keep"], len(told["movements"])) == (0, "ledger", 2)
    code, told = call()
    assert (code, told["findings"]) == (0, [])
    code, told = call(*signed)
    assert (code, told["error"]["code"]) == (4, "nothing_to_correct")


@pytest.mark.parametrize(
    "args",
    [
        ("--correct", "01980000-0000-7000-8000-000000000001", "--keep", "level"),
        ("--correct", "01980000-0000-7000-8000-000000000001", "--signed-by", "A", "--reason", "b"),
        ("--keep", "level"),
        ("--release", "x", "--signed-by", "A"),
    ],
    ids=" ".join,
)
def test_nothing_is_corrected_without_a_choice_a_name_and_a_reason(
    args: tuple[str, ...], call: Callable[..., tuple[int, dict[str, Any]]]
) -> None:
    code, told = call(*args)
    assert (code, told["error"]["code"]) == (2, "usage")


def test_nobody_of_that_name(call: Callable[..., tuple[int, dict[str, Any]]]) -> None:
    code, told = call("--release", "order-x", "--signed-by", "A", "--reason", "b")
    assert (code, told["error"]["code"]) == (4, "not_found")
