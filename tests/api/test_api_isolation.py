"""Another tenant's objects do not exist: walked over every route with an id in its path."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from api.schema import operations
from db import alerts
from db.engine import transaction
from tests.api.api_helpers import (
    Caller,
    code_of,
    pointers_of,
    product,
    published_examples,
    put_order,
    put_revaluation,
    warehouse,
)

MISSING = "Teach `owned` below how to make one of these, so that the walk covers the new route."


@pytest.fixture
def owned(admin: Caller, engine: Engine) -> dict[str, str]:
    """One object of the admin's tenant for every collection, by the collection's path."""
    item = admin.made("/v1/products", product())
    place = admin.made("/v1/warehouses", warehouse())
    buyer = admin.made("/v1/customers", {"name": "Ada"})
    department = admin.made("/v1/departments", {"name": "Stock"})
    employee = {"first_name": "Grace", "last_name": "Hopper", "email": "g@example.com"}
    variant = item["default_variant_id"]
    line = {"warehouse_id": place["id"], "variant_id": variant, "quantity": 5, "unit_cost": "2.00"}
    added = admin.post("/v1/inventory/stock/add", {"lines": [line]})
    assert added.status_code < 300, added.text
    settings = [{"warehouse_id": place["id"], "variant_id": variant, "reorder_point": 5}]
    assert admin.put("/v1/inventory/reorder-settings", {"settings": settings}).status_code == 200
    assert admin.post("/v1/inventory/reorder-proposals").status_code == 200
    level = admin.get("/v1/inventory/levels").json()["data"][0]["id"]
    with transaction(engine, admin.tenant_id) as session:
        alerts.evaluate(session, [UUID(level)])
    order = put_order(
        engine,
        admin.tenant_id,
        customer_id=buyer["id"],
        variant_id=variant,
        warehouse_id=place["id"],
    )
    return {
        "/v1/products": item["id"],
        "/v1/variants": variant,
        "/v1/warehouses": place["id"],
        "/v1/customers": buyer["id"],
        "/v1/suppliers": admin.made("/v1/suppliers", {"name": "Bob"})["id"],
        "/v1/departments": department["id"],
        "/v1/employees": admin.made(
            "/v1/employees", {**employee, "department_id": department["id"]}
        )["id"],
        "/v1/units": admin.made("/v1/units", {"code": "box", "name": "Box"})["id"],
        "/v1/attributes": admin.made(
            "/v1/attributes", {"kind": "product", "key": "size", "label": "Size", "type": "text"}
        )["id"],
        "/v1/api-keys": str(admin.key_id),
        "/v1/orders": order,
        "/v1/inventory/levels": level,
        "/v1/inventory/reorder-settings": level,
        **{
            path: admin.get(path).json()["data"][0]["id"]
            for path in ("/v1/inventory/alerts", "/v1/inventory/reorder-proposals")
        },
        "/v1/inventory/movements": admin.get("/v1/inventory/movements").json()["data"][0]["id"],
        "/v1/inventory/revaluations": put_revaluation(engine, admin.tenant_id),
    }


def _with_id(schema: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Routes with an id whose body, if they have one, is known by its example."""
    return [
        (method, path, operation)
        for method, path, operation in operations(schema)
        if "{" in path and ("requestBody" not in operation or published_examples(schema, operation))
    ]


def _send(
    caller: Caller, schema: dict[str, Any], route: tuple[str, str, dict[str, Any]], id_: str
) -> Any:
    method, path, operation = route
    before, _, after = path.partition("{")
    body = "requestBody" in operation
    content = {"json": published_examples(schema, operation)[0]} if body else {}
    match = "*" if method in {"put", "patch", "delete"} else None
    target = f"{before}{id_}{after.partition('}')[2]}"
    return caller.send(method, target, match=match, **content)


def test_a_stranger_finds_nothing_behind_any_id(
    stranger: Caller, schema: dict[str, Any], owned: dict[str, str]
) -> None:
    routes = _with_id(schema)
    assert len(routes) > 30
    for route in routes:
        collection = route[1].partition("/{")[0]
        assert collection in owned, f"{route[1]}: {MISSING}"
        answer = _send(stranger, schema, route, owned[collection])
        assert (answer.status_code, code_of(answer)) == (404, "not_found"), route[:2]


def test_the_owner_finds_what_the_stranger_does_not(
    admin: Caller, schema: dict[str, Any], owned: dict[str, str]
) -> None:
    shown = {path.partition("/{")[0] for m, path, _ in _with_id(schema) if m == "get"}
    for collection in shown:
        answer = admin.get(f"{collection}/{owned[collection]}")
        assert answer.status_code == 200, (collection, answer.text)


def test_unknown_ids_look_like_foreign_ones(
    stranger: Caller, schema: dict[str, Any], owned: dict[str, str]
) -> None:
    for route in _with_id(schema):
        collection = route[1].partition("/{")[0]
        foreign = _send(stranger, schema, route, owned[collection]).json()
        unknown = _send(stranger, schema, route, str(uuid4())).json()
        for changing in ("instance", "trace_id"):
            foreign.pop(changing), unknown.pop(changing)
        assert foreign == unknown, route[:2]


def test_a_strangers_lists_are_empty(
    stranger: Caller, schema: dict[str, Any], owned: dict[str, str]
) -> None:
    assert owned
    for method, path, _ in operations(schema):
        if method == "get" and "{" not in path and path.startswith("/v1/"):
            answer = stranger.get(path)
            assert answer.status_code == 200, (path, answer.text)
            rows = answer.json().get("data", [])
            assert {row["id"] for row in rows} <= {str(stranger.key_id)}, path


def test_ids_in_bodies_do_not_reach_over(stranger: Caller, owned: dict[str, str]) -> None:
    employee = {"first_name": "Eve", "last_name": "X", "email": "eve@example.com"}
    foreign = {**employee, "department_id": owned["/v1/departments"]}
    refused = stranger.post("/v1/employees", foreign)
    assert (refused.status_code, pointers_of(refused)) == (422, {"/department_id"})
    ours = stranger.made("/v1/departments", {"name": "Ours"})
    refused = stranger.patch(
        f"/v1/departments/{ours['id']}", {"manager_id": owned["/v1/employees"]}
    )
    assert (refused.status_code, pointers_of(refused)) == (422, {"/manager_id"})
    listed = stranger.get("/v1/variants", params={"product_id": owned["/v1/products"]})
    assert listed.json()["data"] == []
