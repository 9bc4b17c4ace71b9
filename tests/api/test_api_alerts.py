"""Alerts over HTTP: lists, what people do with one, and the sale that an empty level refuses."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from db import alerts
from db.engine import transaction
from tests.api.api_helpers import Caller, code_of, new_key, pointers_of, product, warehouse
from tests.api.conftest import MakeCaller

PATH = "/v1/inventory/alerts"
Evaluate = Callable[[], None]


@pytest.fixture
def evaluate(admin: Caller, engine: Engine) -> Evaluate:
    """What the keeper does, for all levels of the admin's tenant."""

    def look() -> None:
        with transaction(engine, admin.tenant_id) as session:
            ids = session.scalars(text("SELECT id FROM inventory_levels")).all()
            alerts.evaluate(session, ids)

    return look


@pytest.fixture
def place(admin: Caller) -> dict[str, str]:
    """A level with 8 units and a reorder point of 10."""
    made = {
        "warehouse_id": admin.made("/v1/warehouses", warehouse())["id"],
        "variant_id": admin.made("/v1/products", product())["default_variant_id"],
    }
    line = made | {"quantity": 8, "unit_cost": "1.00"}
    assert admin.post("/v1/inventory/stock/add", {"lines": [line]}).status_code == 200
    settings = {"settings": [made | {"reorder_point": 10, "reorder_quantity": 30}]}
    assert admin.put("/v1/inventory/reorder-settings", settings).status_code == 200
    return made


def _list(caller: Caller, **params: Any) -> list[dict[str, Any]]:
    answer = caller.get(PATH, params=params)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


def _types(rows: list[dict[str, Any]]) -> set[str]:
    return {row["type"] for row in rows}


def _one(caller: Caller, type_: str) -> str:
    (row,) = _list(caller, type=type_)
    return f"{PATH}/{row['id']}"


def test_alerts_are_found_by_what_they_are(
    admin: Caller, place: dict[str, str], evaluate: Evaluate
) -> None:
    evaluate()
    low = _list(admin, type="LOW_STOCK")[0]
    assert admin.get(f"{PATH}/{low['id']}").json() == low
    assert low["current_quantity"] == 8
    assert low["reorder_point"] == 10
    assert low["recommended_order_quantity"] == 30
    assert (low["severity"], low["status"], low["occurrences"]) == ("WARNING", "created", 1)
    assert low["warehouse_id"] == place["warehouse_id"]
    both = {"LOW_STOCK", "REORDER_NEEDED"}
    assert _types(_list(admin)) == both
    assert _types(_list(admin, open="true", **place)) == both
    assert _types(_list(admin, status="created", severity="WARNING")) == both
    assert _list(admin, severity="CRITICAL") == []
    assert _list(admin, open="false") == []
    assert _list(admin, variant_id=place["warehouse_id"]) == []
    admin.post("/v1/inventory/stock/deduct", {"lines": [place | {"quantity": 8}]})
    evaluate()
    assert _types(_list(admin, status="resolved")) == {"LOW_STOCK"}
    assert _types(_list(admin, severity="CRITICAL")) == {"OUT_OF_STOCK"}
    assert _types(_list(admin, open="true")) == {"OUT_OF_STOCK", "REORDER_NEEDED"}
    assert len(_list(admin)) == 3


def test_low_stock_shows_open_shortages_only(
    admin: Caller, place: dict[str, str], evaluate: Evaluate
) -> None:
    settings = {"settings": [place | {"reorder_point": 7, "max_stock_level": 7}]}
    admin.put("/v1/inventory/reorder-settings", settings)
    evaluate()
    assert _types(_list(admin)) == {"OVERSTOCK"}
    assert admin.get(f"{PATH}/low-stock").json()["data"] == []
    admin.post("/v1/inventory/stock/deduct", {"lines": [place | {"quantity": 1}]})
    evaluate()
    page = admin.get(f"{PATH}/low-stock", params={"limit": 1}).json()
    then = admin.get(f"{PATH}/low-stock", params={"cursor": page["next_cursor"], "limit": 1})
    assert _types(page["data"] + then.json()["data"]) == {"LOW_STOCK", "REORDER_NEEDED"}
    assert not then.json()["has_more"]


def test_an_alert_is_acknowledged_once_by_whoever_was_first(
    admin: Caller, make_caller: MakeCaller, tenant: Any, place: dict[str, str], evaluate: Evaluate
) -> None:
    evaluate()
    path, key = _one(admin, "LOW_STOCK"), new_key()
    floor = make_caller(tenant, "warehouse")
    first, again = (floor.post(f"{path}/acknowledge", key=key) for _ in range(2))
    assert (first.status_code, again.content) == (200, first.content)
    taken = first.json()
    assert (taken["status"], taken["acknowledged_by"]) == ("acknowledged", "warehouse in a test")
    assert admin.post(f"{path}/acknowledge").json() == taken
    viewer = make_caller(tenant, "viewer")
    assert code_of(viewer.post(f"{path}/acknowledge")) == "permission_denied"


def test_a_snoozed_alert_says_until_when_and_may_be_taken_on(
    admin: Caller, place: dict[str, str], evaluate: Evaluate
) -> None:
    evaluate()
    path = _one(admin, "LOW_STOCK")
    now = datetime.now(UTC)
    for wrong in (now - timedelta(seconds=1), now + timedelta(days=91)):
        answer = admin.post(f"{path}/snooze", {"until": wrong.isoformat()})
        assert (answer.status_code, pointers_of(answer)) == (422, {"/until"})
    until = (now + timedelta(hours=2)).isoformat()
    key = new_key()
    first, again = (admin.post(f"{path}/snooze", {"until": until}, key=key) for _ in range(2))
    assert (first.status_code, again.content) == (200, first.content)
    snoozed = first.json()
    assert snoozed["status"] == "snoozed"
    assert datetime.fromisoformat(snoozed["snoozed_until"]) == datetime.fromisoformat(until)
    assert len(_list(admin, status="snoozed")) == 1
    taken = admin.post(f"{path}/acknowledge").json()
    assert (taken["status"], taken["snoozed_until"]) == ("acknowledged", None)


def test_a_resolved_alert_can_not_be_taken_on(
    admin: Caller, place: dict[str, str], evaluate: Evaluate
) -> None:
    evaluate()
    path = _one(admin, "LOW_STOCK")
    line = place | {"quantity": 99, "unit_cost": "1.00"}
    admin.post("/v1/inventory/stock/add", {"lines": [line]})
    evaluate()
    until = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    for answer in (
        admin.post(f"{path}/acknowledge"),
        admin.post(f"{path}/snooze", {"until": until}),
    ):
        assert (answer.status_code, code_of(answer)) == (409, "alert_resolved")
    resolved = admin.get(path).json()
    assert resolved["resolved_by"] == "stockwright"
    assert resolved["acknowledged_at"] is None


def test_what_people_did_is_in_the_ledger(
    admin: Caller, engine: Engine, place: dict[str, str], evaluate: Evaluate
) -> None:
    evaluate()
    path = _one(admin, "LOW_STOCK")
    until = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    admin.post(f"{path}/snooze", {"until": until})
    for _ in range(2):
        admin.post(f"{path}/acknowledge")
    with transaction(engine, admin.tenant_id) as session:
        found = session.execute(
            text(
                "SELECT kind, subject_sequence, actor FROM events WHERE subject_id = :id"
                " ORDER BY subject_sequence"
            ),
            {"id": path.rpartition("/")[2]},
        ).all()
    assert [tuple(row) for row in found] == [
        ("alert.opened", 1, "stockwright"),
        ("alert.snoozed", 2, "admin in a test"),
        ("alert.acknowledged", 3, "admin in a test"),
    ]


def test_an_empty_level_refuses_the_sale_with_the_reason_and_the_numbers(
    admin: Caller, place: dict[str, str], evaluate: Evaluate
) -> None:
    admin.post("/v1/inventory/stock/deduct", {"lines": [place | {"quantity": 8}]})
    evaluate()
    assert _types(_list(admin, severity="CRITICAL")) == {"OUT_OF_STOCK"}
    refused = admin.post("/v1/inventory/stock/deduct", {"lines": [place | {"quantity": 3}]})
    assert (refused.status_code, code_of(refused)) == (409, "insufficient_stock")
    assert "not enough available" in refused.json()["detail"]
    (line,) = refused.json()["details"]["lines"]
    assert (line["requested"], line["available"]) == (3, 0)
    assert {name: line[name] for name in place} == place
