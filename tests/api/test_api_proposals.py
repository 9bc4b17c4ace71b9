"""Reorder proposals over HTTP: one draft a supplier, however often and by how many it is run."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from db import proposals
from db.engine import transaction
from tests.api.api_helpers import Caller, code_of, new_key, product, warehouse
from tests.support import side_by_side

PATH = "/v1/inventory/reorder-proposals"


@dataclass
class Shop:
    """Three variants in one warehouse: two come from one supplier, the third from nobody."""

    admin: Caller
    engine: Engine
    warehouse: str
    variants: list[str]
    supplier: str

    def place(self, n: int) -> dict[str, str]:
        return {"warehouse_id": self.warehouse, "variant_id": self.variants[n]}

    def plan(self, n: int, **settings: Any) -> None:
        body = {"settings": [self.place(n) | settings]}
        assert self.admin.put("/v1/inventory/reorder-settings", body).status_code == 200

    def receive(self, n: int, units: int) -> None:
        line = self.place(n) | {"quantity": units, "unit_cost": "1.00"}
        assert self.admin.post("/v1/inventory/stock/add", {"lines": [line]}).status_code == 200

    def terms(self, n: int, **terms: Any) -> None:
        entry = {"supplier_id": self.supplier, "is_preferred": True, **terms}
        path = f"/v1/variants/{self.variants[n]}/suppliers"
        assert self.admin.put(path, {"suppliers": [entry]}).status_code == 200

    def run(self) -> dict[str, Any]:
        answer = self.admin.post(PATH)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def list(self, **params: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.admin.get(PATH, params=params).json()["data"]
        return rows

    def draft(self) -> dict[str, Any]:
        (row,) = self.list(status="draft", supplier_id=self.supplier)
        return row

    def lines(self, proposal: dict[str, Any]) -> dict[str, dict[str, Any]]:
        rows = self.admin.get(f"{PATH}/{proposal['id']}/lines").json()["data"]
        return {row["variant_id"]: row for row in rows}

    def change(self, statement: str, **values: Any) -> None:
        with transaction(self.engine, self.admin.tenant_id) as session:
            session.execute(text(statement), values)


@pytest.fixture
def shop(admin: Caller, engine: Engine) -> Shop:
    """A shop in which everything is short: points of 10 over 4, 4 and 0 units."""
    made = Shop(
        admin,
        engine,
        admin.made("/v1/warehouses", warehouse())["id"],
        [admin.made("/v1/products", product())["default_variant_id"] for _ in range(3)],
        admin.made("/v1/suppliers", {"name": "Bob"})["id"],
    )
    for n in range(3):
        made.plan(n, reorder_point=10)
    for n in range(2):
        made.receive(n, 4)
        made.terms(n, lead_time_days=7, pack_size=6)
    return made


def test_each_line_shows_the_formula_with_its_numbers(shop: Shop) -> None:
    shop.plan(1, reorder_point=10, reorder_quantity=20, max_stock_level=50)
    today = datetime.now(UTC).date()
    shop.change("UPDATE inventory_levels SET created_at = now() - interval '1 year'")
    for days, units in ((0, 50), (29, 40), (30, 999)):
        shop.change(
            "INSERT INTO level_demand (level_id, day, units) SELECT id, :day, :units"
            " FROM inventory_levels WHERE variant_id = :variant",
            day=today - timedelta(days=days),
            units=units,
            variant=shop.variants[0],
        )
    found = shop.run()
    assert (found["levels_in_need"], found["lines_dismissed"]) == (3, 0)
    assert {row["supplier_id"] for row in found["proposals"]} == {shop.supplier, None}
    draft = shop.draft()
    assert (draft["status"], draft["line_count"], draft["total_quantity"]) == ("draft", 2, 78)
    lines = shop.lines(draft)
    shown = {
        "available": 4,
        "in_transit": 0,
        "incoming": 0,
        "projected": 4,
        "reorder_point": 10,
        "lead_time_days": 7,
        "pack_size": 6,
        "minimum_quantity": 1,
        "demand_days": 30,
    }
    first, second = (lines[variant] for variant in shop.variants[:2])
    # 10 + 90 / 30 * 7 = 31; 31 - 4 = 27; five packs of six.
    by_demand = {"demand_units": 90, "target": 31, "quantity": 30, "max_stock_level": None}
    assert first == first | shown | by_demand
    # The maximum is the target, whatever is sold: 46 wanted, eight packs.
    by_maximum = {"demand_units": 0, "target": 50, "quantity": 48, "reorder_quantity": 20}
    assert second == second | shown | by_maximum
    (nobody,) = [row for row in shop.list() if row["supplier_id"] is None]
    (line,) = shop.lines(nobody).values()
    assert (line["variant_id"], line["quantity"]) == (shop.variants[2], 11)


@pytest.mark.parametrize(("lived", "days"), [(0, 1), (9, 10), (29, 30), (400, 30)])
def test_a_young_level_is_averaged_over_the_days_it_has_lived(
    shop: Shop, lived: int, days: int
) -> None:
    shop.change(
        "UPDATE inventory_levels SET created_at = now() - make_interval(days => :days)", days=lived
    )
    shop.change(
        "INSERT INTO level_demand (level_id, day, units)"
        " SELECT id, (now() AT TIME ZONE 'UTC')::date, 30 FROM inventory_levels"
    )
    shop.run()
    line = shop.lines(shop.draft())[shop.variants[0]]
    assert (line["demand_units"], line["demand_days"]) == (30, days)
    assert line["target"] == 10 + -(-30 * 7 // days)


def test_imported_sales_count_from_their_first_day(shop: Shop) -> None:
    day = datetime.now(UTC).date() - timedelta(days=14)
    shop.change(
        "INSERT INTO level_demand (level_id, day, units) SELECT id, :day, 30 FROM inventory_levels",
        day=day,
    )
    shop.run()
    assert shop.lines(shop.draft())[shop.variants[0]]["demand_days"] == 15


def test_three_runs_in_a_minute_leave_one_draft_a_supplier(shop: Shop) -> None:
    first, *others = (shop.run() for _ in range(3))
    assert len(shop.list()) == 2
    for other in others:
        assert [row["id"] for row in other["proposals"]] == [r["id"] for r in first["proposals"]]
        assert [row["total_quantity"] for row in other["proposals"]] == [
            row["total_quantity"] for row in first["proposals"]
        ]
    assert len(shop.lines(shop.draft())) == 2


def test_runs_at_once_leave_one_draft_a_supplier(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.proposals._write", side_by_side(proposals._write))
    with ThreadPoolExecutor(3) as threads:
        statuses = list(threads.map(lambda _: shop.admin.post(PATH).status_code, range(3)))
    assert set(statuses) == {200}
    assert len(shop.list()) == 2
    assert len(shop.lines(shop.draft())) == 2


def test_a_repeated_key_is_answered_as_before(shop: Shop) -> None:
    key = new_key()
    first = shop.admin.post(PATH, key=key)
    shop.receive(0, 100)
    again = shop.admin.post(PATH, key=key)
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert shop.draft()["line_count"] == 2


def test_lines_follow_the_need_of_today_and_an_empty_draft_goes(shop: Shop) -> None:
    shop.run()
    draft = shop.draft()
    shop.receive(0, 2)
    shop.receive(1, 100)
    shop.run()
    assert shop.draft()["id"] == draft["id"]
    (line,) = shop.lines(shop.draft()).values()
    assert (line["available"], line["quantity"]) == (6, 6)
    shop.receive(0, 100)
    found = shop.run()
    assert (found["levels_in_need"], found["drafts_withdrawn"]) == (1, 1)
    assert [row["supplier_id"] for row in shop.list()] == [None]
    assert shop.admin.get(f"{PATH}/{draft['id']}").status_code == 404


def test_what_is_in_transit_counts_and_what_is_not_in_use_does_not(shop: Shop) -> None:
    shop.change(
        "UPDATE inventory_levels SET in_transit = 7 WHERE variant_id = :v", v=shop.variants[0]
    )
    shop.change("UPDATE variants SET status = 'disabled' WHERE id = :v", v=shop.variants[1])
    found = shop.run()
    assert found["levels_in_need"] == 1
    assert [row["supplier_id"] for row in shop.list()] == [None]


def test_a_variant_of_a_disabled_supplier_has_none(shop: Shop) -> None:
    shop.run()
    assert shop.admin.post(f"/v1/suppliers/{shop.supplier}/disable").status_code == 200
    shop.run()
    (row,) = shop.list()
    assert (row["supplier_id"], row["line_count"]) == (None, 3)


def _dismiss(shop: Shop, **more: Any) -> Any:
    path = f"{PATH}/{shop.draft()['id']}/dismiss"
    return shop.admin.post(path, {"reason": "The season is over."}, **more)


def test_a_dismissed_draft_is_remembered_for_a_day(shop: Shop) -> None:
    shop.run()
    dismissed = _dismiss(shop).json()
    assert (dismissed["status"], dismissed["dismissed_by"]) == ("dismissed", "admin in a test")
    assert dismissed["dismissed_reason"] == "The season is over."
    found = shop.run()
    assert (found["levels_in_need"], found["lines_dismissed"]) == (3, 2)
    assert [row["supplier_id"] for row in shop.list(status="draft")] == [None]
    assert len(shop.lines(dismissed)) == 2
    shop.change("UPDATE reorder_proposals SET dismissed_at = dismissed_at - interval '25 hours'")
    assert shop.run()["lines_dismissed"] == 0
    assert shop.draft()["line_count"] == 2


def test_a_dismissed_line_comes_back_when_more_is_needed(shop: Shop) -> None:
    shop.run()
    _dismiss(shop)
    # Packs of six: 7 units became 12; 3 more units are 10, which still are two packs.
    line = {"lines": [shop.place(0) | {"quantity": 3}]}
    assert shop.admin.post("/v1/inventory/stock/deduct", line).status_code == 200
    assert shop.run()["lines_dismissed"] == 2
    shop.plan(0, reorder_point=20)
    assert shop.run()["lines_dismissed"] == 1
    (came_back,) = shop.lines(shop.draft()).values()
    assert (came_back["variant_id"], came_back["quantity"]) == (shop.variants[0], 24)


def test_only_a_draft_is_dismissed_and_a_repeat_is_answered_as_before(shop: Shop) -> None:
    shop.run()
    path, key = f"{PATH}/{shop.draft()['id']}/dismiss", new_key()
    body = {"reason": "No money."}
    first, again = (shop.admin.post(path, body, key=key) for _ in range(2))
    assert (first.status_code, again.content) == (200, first.content)
    other = shop.admin.post(path, body)
    assert (other.status_code, code_of(other)) == (409, "not_a_draft")
    assert other.json()["details"] == {"status": "dismissed"}


def test_a_second_draft_of_a_supplier_is_refused_by_the_database(shop: Shop) -> None:
    shop.run()
    for supplier in (shop.supplier, None):
        with pytest.raises(Exception, match="reorder_proposals_draft_key"):
            shop.change(
                "INSERT INTO reorder_proposals (supplier_id, calculated_at) VALUES (:s, now())",
                s=supplier,
            )


def test_the_life_of_a_draft_is_in_the_ledger(shop: Shop) -> None:
    for _ in range(2):
        shop.run()
    _dismiss(shop)
    shop.receive(2, 100)
    shop.run()
    with transaction(shop.engine, shop.admin.tenant_id) as session:
        found = session.execute(
            text(
                "SELECT kind, subject_sequence, data->>'supplier_id' IS NULL FROM events"
                " WHERE subject_kind = 'reorder_proposal' ORDER BY posting_id, ordinal"
            )
        ).all()
    assert sorted(tuple(row) for row in found[:2]) == [
        ("proposal.drafted", 1, False),
        ("proposal.drafted", 1, True),
    ]
    assert [tuple(row) for row in found[2:]] == [
        ("proposal.dismissed", 2, False),
        ("proposal.withdrawn", 2, True),
    ]
