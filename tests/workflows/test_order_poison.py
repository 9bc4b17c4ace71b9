"""Bad orders get a clear 4xx that names the field, and leave nothing behind."""

from typing import Any

import pytest
from sqlalchemy import Engine

from db.audit import audit
from tests.workflows.shop import Json, Shop

_DEEP: Any = []
for _ in range(200):
    _DEEP = [_DEEP]

#: What is laid over a good order, and where the problem must point.
ORDERS: dict[str, tuple[Json, str]] = {
    "no lines": ({"lines": []}, "/lines"),
    "too many lines": ({"lines": [{}] * 2001}, "/lines"),
    "an unknown customer": ({"customer_id": "0" * 8 + "-0000-7000-8000-" + "0" * 12}, "/customer"),
    "a customer that is no id": ({"customer_id": "Ada"}, "/customer_id"),
    "a negative total": (
        {"charges": [{"code": "X", "description": "off", "amount": "-99999"}]},
        "/charges",
    ),
    "an insane total": (
        {"charges": [{"code": "X", "description": "on", "amount": "1" + "0" * 15}]},
        "/charges/0/amount",
    ),
    "the last second of the year 9999": (
        {"occurred_at": "9999-12-31T23:59:59Z"},
        "/occurred_at",
    ),
    "the first second of the year 1": ({"occurred_at": "0001-01-01T00:00:00Z"}, "/occurred_at"),
    "a time without zone": ({"occurred_at": "2026-01-01T00:00:00"}, "/occurred_at"),
    "a window of no time": ({"payment_window": 0}, "/payment_window"),
    "a window beyond all time": ({"ship_window": 2**53}, "/ship_window"),
    "NUL in the reference": ({"reference": "a\0b"}, "/reference"),
    "an unknown policy": ({"policy": "hope"}, "/policy"),
    "an unknown field": ({"discount": "1.00"}, "/discount"),
    "deep metadata": ({"metadata": {"a": _DEEP}}, ""),
    "a number for money": ({"charges": [{"code": "X", "amount": 1.5}]}, "/charges/0/amount"),
}
LINES: dict[str, tuple[Json, str]] = {
    "zero units": ({"quantity": 0}, "/lines/0/quantity"),
    "negative units": ({"quantity": -1}, "/lines/0/quantity"),
    "half a unit": ({"quantity": 1.5}, "/lines/0/quantity"),
    "2^53 + 1 units": ({"quantity": 2**53 + 1}, "/lines/0/quantity"),
    "2^63 units": ({"quantity": 2**63}, "/lines/0/quantity"),
    "not a number": ({"unit_price": "NaN"}, "/lines/0/unit_price"),
    "an exponent": ({"unit_price": "1e400"}, "/lines/0/unit_price"),
    "seven decimals": ({"unit_price": "0.0000001"}, "/lines/0/unit_price"),
    "another's warehouse": (
        {"warehouse_id": "01980000-0000-7000-8000-000000000001"},
        "/lines/0/warehouse_id",
    ),
    "another's variant": (
        {"variant_id": "01980000-0000-7000-8000-000000000001"},
        "/lines/0/variant_id",
    ),
}


@pytest.mark.parametrize("name", [*ORDERS, *LINES])
async def test_a_bad_order_is_refused_by_name(name: str, shop: Shop) -> None:
    body = shop.order_body({"A": 1})
    over, pointer = ORDERS.get(name) or LINES[name]
    if name in LINES:
        body["lines"][0] |= over
    else:
        body |= over
    response = await shop.send("/v1/orders", body)
    assert response.status_code in (400, 422), response.text
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert not pointer or any(e["pointer"].startswith(pointer) for e in problem["errors"])
    assert (await shop.get("/v1/orders"))["data"] == []


async def test_the_largest_order_that_is_allowed_is_exact(
    shop: Shop, worker: None, maint_engine: Engine
) -> None:
    await shop.receive("A", 2**53, "0.000001")
    body = shop.order_body({"A": 2**53})
    body["lines"][0]["unit_price"] = "0.000001"
    order = await shop.post("/v1/orders", body)
    assert order["total_amount"] == "9007199254.740992"
    cancelled = await shop.tell(order, "cancel")
    assert cancelled["fulfilment"] == "cancelled"
    level = await shop.level("A")
    assert (level["available"], level["total_value"]) == (2**53, "9007199254.740992")
    assert audit(maint_engine, shop.tenant.id) == []
