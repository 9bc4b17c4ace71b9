"""The demo's sales file is the same every time and reads as its facts say."""

import hashlib
from pathlib import Path

import pytest

from demo.sample import ARTICLES, CUSTOMERS, write_sample
from importer.layout import read_sales
from importer.plan import account, plan_import


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    first, second, other = (tmp_path / name for name in ("first.csv", "second.csv", "other.csv"))

    facts = write_sample(first)

    assert write_sample(second) == facts
    assert write_sample(other, seed=7) != facts
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_the_default_sample_never_changes_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"

    write_sample(path)

    # Guides and screenshots quote this file; who changes it on purpose changes the hash here.
    expected = "2e3eeafcaab8baef8ce114b8659072790a5c59bbfc65c802178cdd354203252a"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == expected


@pytest.mark.parametrize(("seed", "invoices"), [(1, 10), (20_250_915, 60), (3, 61), (4, 400)])
def test_an_import_finds_what_the_facts_say(tmp_path: Path, seed: int, invoices: int) -> None:
    path = tmp_path / "sample.csv"

    facts = write_sample(path, seed=seed, invoices=invoices)
    result = read_sales(path)
    sums = account(plan_import(result))

    assert result.notes == ()
    assert result.refused == ()
    assert result.layout.date_order == "month_first"
    assert facts.invoices == invoices
    assert facts.cancellations >= 1
    assert facts.charge_lines == 1
    assert facts.refused_rows == 1
    assert {
        "lines_read": facts.lines,
        "orders": facts.sales,
        "deferred_invoices": facts.cancellations,
        "refused_invoices": 1,
        "charge_lines": facts.charge_lines,
        "deferred_lines": facts.cancelled_lines,
        "refused_lines": facts.refused_rows,
        "articles": facts.articles,
        "customers": facts.customers,
        "units": facts.units,
        "value": facts.value,
    }.items() <= sums.items()


def test_the_default_sample_shows_every_kind_of_row(tmp_path: Path) -> None:
    facts = write_sample(tmp_path / "sample.csv")
    plan = plan_import(read_sales(tmp_path / "sample.csv"))

    assert (facts.invoices, facts.sales, facts.cancellations) == (60, 54, 5)
    assert [row.code for row in plan.refused_rows] == ["adjustment_without_invoice"]
    assert [charge.code for order in plan.orders for charge in order.charges] == ["POST"]
    assert facts.articles == len(ARTICLES) == 40
    assert facts.customers == len(CUSTOMERS) == 15


def test_what_comes_back_was_sold_to_the_same_customer(tmp_path: Path) -> None:
    write_sample(tmp_path / "sample.csv", invoices=200)
    plan = plan_import(read_sales(tmp_path / "sample.csv"))
    sold = {
        (order.customer, line.sku): line.unit_price for order in plan.orders for line in order.lines
    }

    for invoice in plan.deferred:
        for line in invoice.lines:
            assert line.quantity < 0
            assert sold[invoice.customer, line.sku] == line.unit_price


def test_too_few_invoices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 10"):
        write_sample(tmp_path / "sample.csv", invoices=9)

    assert not (tmp_path / "sample.csv").exists()
