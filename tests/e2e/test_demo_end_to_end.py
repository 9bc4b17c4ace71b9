"""The demo as a person starts it: its one object, a second run, the real sample, and its end."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

import stack
from stack.health import port_is_free
from tests.e2e.installed import REAL_SAMPLE, ROOT, Installation, own_installation
from tests.stack.stack_helpers import wait_for

pytestmark = pytest.mark.timeout(300)
_VARYING = {"seconds", "phases", "objects"}


@pytest.fixture(scope="module")
def house() -> Iterator[Installation]:
    """An empty data folder; the demo starts and stops everything by itself."""
    with own_installation() as made:
        yield made


@pytest.fixture(scope="module")
def runs(house: Installation) -> tuple[dict[str, Any], dict[str, Any]]:
    """The summaries of the first and of a second demo on that folder, before anything else."""
    return house.json("demo", "--exit"), house.json("demo", "--exit")


@pytest.fixture(scope="module")
def first(runs: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    """The summary of the first one."""
    return runs[0]


def test_the_demo_accounts_for_every_invoice_and_unit(first: dict[str, Any]) -> None:
    assert first["ledger_balanced"] is True
    assert first["audit_findings"] == 0
    assert first["invoices"] == {
        "read": 60,
        "orders": 54,
        "deferred": 5,
        "refused": 1,
        "accounted": True,
    }
    assert [row["code"] for row in first["rows_refused"]] == ["adjustment_without_invoice"]
    units, value = first["units"], first["value"]
    assert units["in"] - units["out"] == units["on_hand"] == sum(units["by_kind"].values())
    assert units["on_hand"] == units["available"] + units["reserved"]
    assert Decimal(value["in"]) - Decimal(value["out"]) == Decimal(value["on_hand"])
    assert first["foreign_order_status"] == 404


def test_its_orders_end_in_every_way(first: dict[str, Any]) -> None:
    endings = first["orders"]
    # Seven of its own beside the imported ones, which all end closed.
    assert sum(endings.values()) == first["invoices"]["orders"] + 7
    assert endings["closed"] == first["invoices"]["orders"]
    assert endings["expired"] == 2
    assert endings["cancelled"] == endings["partly_cancelled"] == endings["refused"] == 1
    assert endings["reserved"] == endings["shipped"] == 1


def test_a_second_demo_changes_nothing(runs: tuple[dict[str, Any], dict[str, Any]]) -> None:
    first, again = runs
    assert {name: value for name, value in again.items() if name not in _VARYING} == {
        name: value for name, value in first.items() if name not in _VARYING
    }
    assert all(counts["created"] == 0 for counts in again["objects"].values())


def test_every_field_is_documented(first: dict[str, Any]) -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(\w+)`", text.partition("## The demo")[2]))
    assert set(first) <= documented
    assert {*first["units"], *first["value"], *first["sold"], *first["phases"]} <= documented
    assert set(first["orders"]) <= documented


def test_nothing_runs_after_a_demo_that_was_to_end(
    house: Installation, first: dict[str, Any]
) -> None:
    assert first["seconds"] > 0
    assert not stack.status(house.settings.data_dir).running
    for port in (house.settings.api_port, house.settings.postgres_port):
        assert port_is_free(port)
    keys = house.settings.data_dir / "api-keys.json"
    assert keys.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_stays_until_it_is_told_to_stop(
    house: Installation, first: dict[str, Any], number: signal.Signals
) -> None:
    assert first["audit_findings"] == 0
    demo = subprocess.Popen(
        [sys.executable, "-P", "-m", "cli", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=house.env,
        cwd=house.files,
        # A test run in the background of a shell ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    assert demo.stdout is not None
    told = ""
    while "import sales FILE.csv" not in told:
        line = demo.stdout.readline()
        assert line, demo.stderr.read() if demo.stderr else ""
        told += line
    demo.send_signal(number)
    _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 0, errors
    assert "The sum holds" in told
    assert told.count("curl -s") == 2
    wait_for(lambda: not stack.status(house.settings.data_dir).running, 10, "the end")


def test_the_real_sample(house: Installation, first: dict[str, Any]) -> None:
    if not REAL_SAMPLE.exists():
        pytest.skip("The real sample is not beside this checkout; the generated one is tested.")
    told = house.json("demo", "--exit", "--import", REAL_SAMPLE)
    assert told["invoices"] == {
        "read": 66,
        "orders": 62,
        "deferred": 4,
        "refused": 0,
        "accounted": True,
    }
    assert told["sold"]["units"] == 12919
    assert Decimal(told["sold"]["value"]) == Decimal("24633.88") + Decimal("69.00")
    assert told["ledger_balanced"] is True
    assert told["audit_findings"] == 0
    assert sum(told["orders"].values()) == sum(first["orders"].values()) + 62
    assert json.dumps(told["rows_refused"]) == "[]"
