"""A command is taken back by its opposite, once, and nothing is edited."""

import asyncio
from decimal import Decimal
from uuid import uuid4

from sqlalchemy import Engine

from db.audit import audit
from tests.workflows.shop import Json, Shop

STOCK = "/v1/inventory/stock"


def line(shop: Shop, quantity: int, **more: object) -> Json:
    """A single line at the top level of a body."""
    place = {"warehouse_id": shop.warehouse, "variant_id": shop.variants["A"]}
    return {**place, "quantity": quantity, **more}


async def test_a_reversal_is_linked_to_what_it_takes_back(shop: Shop, maint_engine: Engine) -> None:
    await shop.receive("A", 10, "1.00")
    wrong = await shop.post(f"{STOCK}/add", line(shop, 10, unit_cost="3.00"))
    body = {"operation_id": wrong["operation_id"], "reason": "booked twice"}
    done = await shop.post(f"{STOCK}/reverse", body)
    assert done["command"] == "reverse"
    assert [(m["kind"], m["quantity_change"], m["value_change"]) for m in done["movements"]] == [
        ("reversal", -10, "-30.000000")
    ]
    level = await shop.level("A")
    assert (level["available"], level["average_cost"]) == (10, "1.00")
    back = f"/v1/inventory/movements?reference_kind=operation&reference_id={wrong['operation_id']}"
    found = (await shop.get(back))["data"]
    assert [(m["kind"], m["reason"], m["operation_id"]) for m in found] == [
        ("reversal", "booked twice", done["operation_id"])
    ]
    again = await shop.send(f"{STOCK}/reverse", body)
    assert (again.status_code, again.json()["code"]) == (409, "already_reversed")
    assert again.json()["details"]["reversed_by"] == done["operation_id"]
    unknown = await shop.send(f"{STOCK}/reverse", {"operation_id": str(uuid4()), "reason": "?"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_operation")
    assert audit(maint_engine, shop.tenant.id) == []


async def test_of_twenty_reversals_of_one_command_one_wins(
    shop: Shop, maint_engine: Engine
) -> None:
    await shop.receive("A", 100)
    sold = await shop.post(f"{STOCK}/deduct", line(shop, 30))
    body = {"operation_id": sold["operation_id"], "reason": "wrong article"}
    answers = await asyncio.gather(*(shop.send(f"{STOCK}/reverse", body) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19
    assert (await shop.level("A"))["available"] == 100
    assert audit(maint_engine, shop.tenant.id) == []


async def test_a_reversed_transfer_brings_the_value_back(shop: Shop, maint_engine: Engine) -> None:
    other = (await shop.post("/v1/warehouses", {"code": "W2", "name": "Second"}))["id"]
    await shop.receive("A", 3, "0.33")
    moved = await shop.post(f"{STOCK}/transfer", line(shop, 2, to_warehouse_id=other))
    body = {"operation_id": moved["operation_id"], "reason": "wrong warehouse"}
    await shop.post(f"{STOCK}/reverse", body)
    found = (await shop.get(f"/v1/inventory/levels?variant_id={shop.variants['A']}"))["data"]
    assert [(level["available"], Decimal(level["total_value"])) for level in found] == [
        (3, Decimal("0.99")),
        (0, 0),
    ]
    assert audit(maint_engine, shop.tenant.id) == []


async def test_what_is_held_is_released_and_not_reversed(shop: Shop) -> None:
    await shop.receive("A", 5)
    held = await shop.post(
        f"{STOCK}/reserve", line(shop, 2, owner="basket-1", expires_at="2026-12-01T00:00:00Z")
    )
    body = {"operation_id": held["operation_id"], "reason": "try"}
    refused = await shop.send(f"{STOCK}/reverse", body)
    assert (refused.status_code, refused.json()["code"]) == (409, "not_reversible")
