"""A file of sales through the real command line, API and worker, with what may happen meanwhile."""

import csv
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from demo.sample import SampleFacts, write_sample
from tests.e2e.installed import Installation, own_installation
from tests.stack.stack_helpers import wait_for

pytestmark = pytest.mark.timeout(300)
_numbers = count(1)


@pytest.fixture(scope="module")
def house() -> Iterator[Installation]:
    """Everything up, started by the command line."""
    with own_installation() as made:
        started = made.json("up")
        assert started["started"] is True
        yield made


@pytest.fixture
def tenant(house: Installation) -> str:
    """A fresh tenant."""
    slug = f"shop{next(_numbers)}"
    house.json("tenant", "create", slug, "--currency", "GBP")
    return slug


def sample(house: Installation, invoices: int) -> tuple[Path, SampleFacts]:
    """A generated file."""
    path = house.files / f"sales-{invoices}.csv"
    return path, write_sample(path, invoices=invoices)


def orders_of(house: Installation, tenant: str) -> list[dict[str, Any]]:
    """Every order of a tenant."""
    with house.client(tenant) as client:
        return list(client.items("/v1/orders"))


def check_imported_once(house: Installation, tenant: str, facts: SampleFacts) -> None:
    """Each sale is one order with all of its units, and the books balance."""
    orders = orders_of(house, tenant)
    references = Counter(order["reference"] for order in orders)
    assert len(references) == facts.sales
    assert set(references.values()) == {1}
    lines = [line for order in orders for line in order["lines"]]
    assert sum(line["reserved"] for line in lines) == facts.units
    assert sum(Decimal(line["amount"]) for line in lines) == facts.value
    books = house.json("audit", "--tenant", tenant)
    assert books["balanced"] is True
    assert books["findings"] == []
    held = books["tenants"][tenant]
    assert held["reserved"] == held["on_hand"] == facts.units
    assert held["available"] == 0


def test_every_invoice_of_a_file_is_accounted_for(house: Installation, tenant: str) -> None:
    path, facts = sample(house, 24)
    errors = house.files / "refused.csv"
    report = house.json("import", "sales", path, "--tenant", tenant, "--errors", errors)
    assert report["invoices"] == {
        "read": facts.invoices,
        "orders": facts.sales,
        "deferred": facts.cancellations,
        "refused": facts.invoices - facts.sales - facts.cancellations,
        "accounted": True,
    }
    assert report["orders"] == {"reserved": facts.sales}
    assert report["units"] == facts.units
    assert Decimal(report["planned"]["value"]) == facts.value
    total = facts.value + Decimal(report["planned"]["charges"])
    assert Decimal(report["value"]) == total
    check_imported_once(house, tenant, facts)
    with errors.open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["code"] for row in written] == ["adjustment_without_invoice"]
    assert [row["code"] for row in report["rows_refused"]] == ["adjustment_without_invoice"]


def test_an_order_carries_time_number_prices_and_charges_of_its_invoice(
    house: Installation, tenant: str
) -> None:
    path = house.files / "one.csv"
    path.write_text(
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        "9001,AB1,Lamp,3,12/13/10 8:26,2.55,17850,France\n"
        "9001,POST,POSTAGE,1,12/13/10 8:26,4.00,17850,France\n"
    )
    house.json("import", "sales", path, "--tenant", tenant)
    (order,) = orders_of(house, tenant)
    assert order["reference"] == "9001"
    assert order["occurred_at"] == "2010-12-13T08:26:00Z"
    assert order["business_date"] == "2010-12-13"
    assert order["payment_required"] is False
    assert Decimal(order["total_amount"]) == Decimal("11.65")
    assert [(line["ordered"], line["unit_price"]) for line in order["lines"]] == [(3, "2.55")]
    assert [(one["code"], one["amount"]) for one in order["charges"]] == [("POST", "4.00")]


def test_the_same_file_again_changes_nothing(house: Installation, tenant: str) -> None:
    path, facts = sample(house, 12)
    first = house.json("import", "sales", path, "--tenant", tenant)
    before = house.run("events", "--tenant", tenant).stdout
    again = house.json("import", "sales", path, "--tenant", tenant)
    assert house.run("events", "--tenant", tenant).stdout == before
    for kind, counts in again["objects"].items():
        assert counts["created"] == counts["changed"] == counts["refused"] == 0, kind
        assert counts["already_there"] == sum(first["objects"][kind].values()), kind
    assert again["invoices"] == first["invoices"]
    assert (again["orders"], again["value"]) == (first["orders"], first["value"])
    check_imported_once(house, tenant, facts)


def test_a_killed_import_goes_on_where_it_stopped(house: Installation, tenant: str) -> None:
    path, facts = sample(house, 60)
    killed = house.start("import", "sales", path, "--tenant", tenant)
    try:
        wait_for(lambda: len(orders_of(house, tenant)) >= 5, 60, "the first orders")
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait(10)
    placed = len(orders_of(house, tenant))
    assert placed < facts.sales, "It was killed too late to prove anything."
    report = house.json("import", "sales", path, "--tenant", tenant)
    assert report["invoices"]["accounted"] is True
    assert report["invoices"]["orders"] == facts.sales
    assert report["objects"]["order"]["already_there"] >= placed
    check_imported_once(house, tenant, facts)


@pytest.mark.parametrize("service", ["worker", "api"])
def test_an_import_outlives_a_killed_service(
    house: Installation, tenant: str, service: str
) -> None:
    path, facts = sample(house, 40)
    importing = house.start("import", "sales", path, "--tenant", tenant)
    wait_for(lambda: len(orders_of(house, tenant)) >= 5, 60, "the first orders")
    pid = house.service_pid(service)
    os.kill(pid, signal.SIGKILL)
    assert importing.wait(120) == 0
    assert house.service_pid(service) != pid
    check_imported_once(house, tenant, facts)


def test_another_content_under_a_known_number_is_reported_and_the_rest_goes_on(
    house: Installation, tenant: str
) -> None:
    head = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    first, second = house.files / "first.csv", house.files / "second.csv"
    first.write_text(f"{head}1,AB1,Lamp,3,12/13/10 8:26,2.55,17850,France\n")
    second.write_text(
        f"{head}1,AB1,Lamp,2,12/13/10 8:26,2.55,17850,France\n"
        "2,AB2,Vase,1,12/13/10 8:30,9.00,17850,France\n"
    )
    house.json("import", "sales", first, "--tenant", tenant)
    report = house.json("import", "sales", second, "--tenant", tenant, code=1)
    changed = {(one["kind"], one["name"]) for one in report["troubles"]}
    assert changed == {("opening", "AB1"), ("order", "1")}
    assert {one["outcome"] for one in report["troubles"]} == {"changed"}
    assert report["invoices"] == {
        "read": 2,
        "orders": 1,
        "deferred": 0,
        "refused": 1,
        "accounted": True,
    }
    ordered = {one["reference"]: one["lines"][0]["ordered"] for one in orders_of(house, tenant)}
    assert ordered == {"1": 3, "2": 1}


def test_tenants_import_the_same_file_without_knowing_of_each_other(
    house: Installation, tenant: str
) -> None:
    path, facts = sample(house, 10)
    other = f"{tenant}b"
    house.json("tenant", "create", other, "--currency", "GBP")
    for slug in (tenant, other):
        assert house.json("import", "sales", path, "--tenant", slug)["objects"]["order"] == {
            "created": facts.sales,
            "already_there": 0,
            "changed": 0,
            "refused": 0,
        }
    for slug in (tenant, other):
        check_imported_once(house, slug, facts)


def test_a_second_start_says_so_and_leaves_everything_running(house: Installation) -> None:
    before = {name: house.service_pid(name) for name in ("postgres", "temporal", "worker", "api")}
    began = time.monotonic()
    again = house.json("up")
    assert again["started"] is False
    assert time.monotonic() - began < 30
    assert {name: house.service_pid(name) for name in before} == before
    shown = house.json("status")
    assert shown["healthy"] is True
    assert {one["name"] for one in shown["services"]} == set(before)
