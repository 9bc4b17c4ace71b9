"""Warehouses over HTTP; above all: one default, never two, whoever asks at the same time."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from tests.api.api_helpers import (
    Caller,
    code_of,
    empty_level,
    pointers_of,
    product,
    put_level,
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
    with ThreadPoolExecutor(10) as threads:
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
