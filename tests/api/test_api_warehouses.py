"""Warehouses over HTTP; above all: one default, never two, whoever asks at the same time."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from db.engine import transaction
from tests.api.api_helpers import (
    Caller,
    code_of,
    empty_level,
    pointers_of,
    product,
    put_level,
    put_order,
    warehouse,
)


def _defaults(caller: Caller) -> list[str]:
    rows = caller.get("/v1/warehouses", params={"limit": 200}).json()["data"]
    return [row["id"] for row in rows if row["is_default"]]


def test_a_put_replaces_everything(admin: Caller) -> None:
    full = warehouse(
        address={"city": "Hamburg", "country": "DE"},
        contact_person="Ada",
        contact_email="ada@example.com",
        contact_phone="+49 40 1234",
        total_capacity=50_000,
        operating_hours={"monday": "06:00-22:00"},
        priority=10,
        metadata={"zone": "A"},
    )
    made = admin.made("/v1/warehouses", full)
    assert made["operating_hours"] == {"monday": "06:00-22:00"}
    path = f"/v1/warehouses/{made['id']}"
    bare = {"code": full["code"], "name": "Bare"}
    replaced = admin.put(path, bare, match='"v1"').json()
    assert replaced["name"] == "Bare"
    assert replaced["priority"] == 100
    assert replaced["operating_hours"] == replaced["metadata"] == {}
    assert replaced["total_capacity"] is replaced["contact_email"] is None
    assert replaced["is_default"] is made["is_default"]
    assert admin.get(path).json() == replaced


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("total_capacity", 0),
        ("total_capacity", 1.0),
        ("priority", -1),
        ("priority", True),
        ("operating_hours", {"monday": "6-22"}),
        ("operating_hours", {"someday": "06:00-22:00"}),
        ("code", "a\tb"),
        ("is_default", True),
    ],
)
def test_wrong_fields_are_named(admin: Caller, field: str, value: object) -> None:
    refused = admin.post("/v1/warehouses", warehouse(**{field: value}))
    assert refused.status_code == 422
    assert all(pointer.startswith(f"/{field}") for pointer in pointers_of(refused))


def test_the_first_becomes_the_default_and_set_default_moves_it(admin: Caller) -> None:
    first, second = (admin.made("/v1/warehouses", warehouse()) for _ in range(2))
    assert (first["is_default"], second["is_default"]) == (True, False)
    moved = admin.post(f"/v1/warehouses/{second['id']}/set-default").json()
    assert moved["is_default"]
    assert _defaults(admin) == [second["id"]]
    again = admin.post(f"/v1/warehouses/{second['id']}/set-default").json()
    assert again["version"] == moved["version"]


def test_an_inactive_warehouse_is_no_default(admin: Caller) -> None:
    first, second = (admin.made("/v1/warehouses", warehouse()) for _ in range(2))
    refused = admin.post(f"/v1/warehouses/{first['id']}/deactivate")
    assert (refused.status_code, code_of(refused)) == (409, "default_warehouse")
    assert code_of(admin.delete(f"/v1/warehouses/{first['id']}")) == "default_warehouse"
    off = admin.post(f"/v1/warehouses/{second['id']}/deactivate").json()
    assert off["is_active"] is False
    refused = admin.post(f"/v1/warehouses/{second['id']}/set-default")
    assert code_of(refused) == "warehouse_inactive"
    last = admin.post(f"/v1/warehouses/{first['id']}/deactivate").json()
    assert (last["is_active"], last["is_default"]) == (False, False)
    back = admin.post(f"/v1/warehouses/{second['id']}/activate").json()
    assert (back["is_active"], back["is_default"]) == (True, True)
    listed = admin.get("/v1/warehouses", params={"is_active": "false"}).json()["data"]
    assert [row["id"] for row in listed] == [first["id"]]


def test_fifty_at_once_leave_exactly_one_default(admin: Caller) -> None:
    made = [admin.made("/v1/warehouses", warehouse())["id"] for _ in range(10)]
    with ThreadPoolExecutor(50) as threads:
        statuses = list(
            threads.map(
                lambda n: admin.post(f"/v1/warehouses/{made[n % 10]}/set-default").status_code,
                range(50),
            )
        )
    assert statuses == [200] * 50
    assert len(_defaults(admin)) == 1


def test_warehouses_made_at_once_have_one_default(admin: Caller) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: admin.made("/v1/warehouses", warehouse()), range(8)))
    assert len(_defaults(admin)) == 1


def test_stock_keeps_a_warehouse_active_and_history_keeps_it(admin: Caller, engine: Engine) -> None:
    admin.made("/v1/warehouses", warehouse())
    place = admin.made("/v1/warehouses", warehouse())["id"]
    item = admin.made("/v1/products", product())["default_variant_id"]
    level = put_level(engine, admin.tenant_id, place, item, 3)
    path = f"/v1/warehouses/{place}"
    refused = admin.post(f"{path}/deactivate")
    assert (refused.status_code, code_of(refused)) == (409, "in_use")
    assert refused.json()["details"]["references"][0]["on_hand"] == 3
    empty_level(engine, admin.tenant_id, level)
    assert admin.post(f"{path}/deactivate").status_code == 200
    refused = admin.delete(path)
    assert code_of(refused) == "in_use"
    assert "deactivate" in refused.json()["detail"] or "disable" in refused.json()["detail"]


def test_a_code_is_taken_once(admin: Caller) -> None:
    admin.made("/v1/warehouses", warehouse(code="MAIN"))
    assert code_of(admin.post("/v1/warehouses", warehouse(code="MAIN"))) == "code_taken"
    other = admin.made("/v1/warehouses", warehouse())
    taken = admin.put(f"/v1/warehouses/{other['id']}", warehouse(code="MAIN"))
    assert code_of(taken) == "code_taken"
    found = admin.get("/v1/warehouses", params={"code": "MAIN"}).json()["data"]
    assert len(found) == 1
    assert admin.delete(f"/v1/warehouses/{other['id']}").status_code == 204


def test_used_capacity_is_what_lies_there_and_comes(admin: Caller, engine: Engine) -> None:
    place = admin.made("/v1/warehouses", warehouse(total_capacity=20))
    bare = admin.made("/v1/warehouses", warehouse())
    assert (place["used_capacity"], place["capacity_left"]) == (0, 20)
    assert (bare["used_capacity"], bare["capacity_left"]) == (0, None)
    items = [admin.made("/v1/products", product())["default_variant_id"] for _ in range(2)]
    levels = [put_level(engine, admin.tenant_id, place["id"], item, 5) for item in items]
    with transaction(engine, admin.tenant_id) as session:
        session.execute(
            text(
                "UPDATE inventory_levels SET reserved = 1, damaged = 2, quarantine = 3,"
                " in_transit = 4 WHERE id = :id"
            ),
            {"id": levels[0]},
        )
    shown = admin.get(f"/v1/warehouses/{place['id']}").json()
    assert (shown["used_capacity"], shown["capacity_left"]) == (20, 0)
    listed = {row["id"]: row for row in admin.get("/v1/warehouses").json()["data"]}
    assert listed[place["id"]] == shown
    assert listed[bare["id"]]["used_capacity"] == 0
    put_level(engine, admin.tenant_id, bare["id"], items[0], 7)
    overfull = admin.put(
        f"/v1/warehouses/{bare['id']}", {"code": bare["code"], "name": "B", "total_capacity": 6}
    ).json()
    assert (overfull["used_capacity"], overfull["capacity_left"]) == (7, -1)


def test_a_reader_never_takes_an_old_capacity_for_the_current_one(
    admin: Caller, engine: Engine
) -> None:
    """The version does not rise with stock, so that it cannot say that nothing changed."""
    made = admin.made("/v1/warehouses", warehouse())
    item = admin.made("/v1/products", product())["default_variant_id"]
    put_level(engine, admin.tenant_id, made["id"], item, 5)
    again = admin.get(f"/v1/warehouses/{made['id']}", headers={"If-None-Match": '"v1"'})
    assert (again.status_code, again.json()["used_capacity"]) == (200, 5)
    assert again.headers["ETag"] == '"v1"'


def test_capacities_of_a_page_are_read_at_once(admin: Caller, engine: Engine) -> None:
    for _ in range(3):
        admin.made("/v1/warehouses", warehouse())
    statements: list[str] = []

    def note(*given: Any) -> None:
        if "FROM inventory_levels" in given[2]:
            statements.append(given[2])

    event.listen(engine, "before_cursor_execute", note)
    try:
        assert len(admin.get("/v1/warehouses").json()["data"]) == 3
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(statements) == 1


def test_lists_go_by_priority_in_pages(admin: Caller) -> None:
    made = [
        admin.made("/v1/warehouses", warehouse(priority=priority)) for priority in (30, 10, 20, 10)
    ]
    first = made[1]["id"], made[3]["id"], made[2]["id"], made[0]["id"]
    for sort, wanted in (("priority", [*first]), ("-priority", [*first[::-1]])):
        seen, query = [], {"sort": sort, "limit": "1"}
        for _ in range(4):
            page = admin.get("/v1/warehouses", params=query).json()
            seen += [row["id"] for row in page["data"]]
            query["cursor"] = page["next_cursor"]
        assert seen == wanted
        assert query["cursor"] is None
    query["cursor"] = admin.get("/v1/warehouses", params={"limit": "1"}).json()["next_cursor"]
    assert code_of(admin.get("/v1/warehouses", params=query)) == "bad_cursor"
    by_name = admin.get("/v1/warehouses", params={"sort": "name"})
    assert pointers_of(by_name) == {"?sort"}


def test_everything_that_keeps_a_warehouse_open_is_listed(admin: Caller, engine: Engine) -> None:
    admin.made("/v1/warehouses", warehouse())
    place = admin.made("/v1/warehouses", warehouse())["id"]
    item = admin.made("/v1/products", product())["default_variant_id"]
    buyer = admin.made("/v1/customers", {"name": "Ada"})
    line = {"warehouse_id": place, "variant_id": item, "quantity": 4, "unit_cost": "1"}
    assert admin.post("/v1/inventory/stock/add", line).status_code == 200
    order = put_order(
        engine,
        admin.tenant_id,
        customer_id=buyer["id"],
        variant_id=item,
        warehouse_id=place,
    )
    with transaction(engine, admin.tenant_id) as session:
        session.execute(
            text(
                "WITH held AS (UPDATE inventory_levels SET available = 1, reserved = 3"
                " RETURNING id)"
                " INSERT INTO reservations (level_id, owner, line, quantity, open, operation_id,"
                " expires_at) SELECT id, 'reservation-x-basket', n, 2, n, uuidv7(), now()"
                " FROM held, generate_series(1, 2) AS n"
            )
        )
    refused = admin.post(f"/v1/warehouses/{place}/deactivate")
    assert (refused.status_code, code_of(refused)) == (409, "in_use")
    references = refused.json()["details"]["references"]
    assert [reference["kind"] for reference in references] == ["order", "level", "reservation"]
    assert references[0]["id"] == order
    assert references[1]["on_hand"] == 4
    assert (references[2]["owner"], references[2]["open"]) == ("reservation-x-basket", 3)
