"""The direct commands beside receive, deduct and reserve: set, move, transfer."""

import asyncio
from decimal import Decimal

import pytest
from sqlalchemy import Engine

from db.audit import audit
from tests.workflows.shop import Json, Shop

STOCK = "/v1/inventory/stock"


def line(shop: Shop, quantity: int, **more: object) -> Json:
    """A single line at the top level of a body."""
    place = {"warehouse_id": shop.warehouse, "variant_id": shop.variants["A"]}
    return {**place, "quantity": quantity, **more}


async def test_a_transfer_of_50_units_is_two_movements_and_takes_its_value_along(
    shop: Shop, maint_engine: Engine
) -> None:
    other = (await shop.post("/v1/warehouses", {"code": "W2", "name": "Second"}))["id"]
    await shop.receive("A", 100, "1.00")
    await shop.receive("A", 50, "1.01")
    before = Decimal((await shop.level("A"))["total_value"])
    done = await shop.post(f"{STOCK}/transfer", line(shop, 50, to_warehouse_id=other))
    assert [(m["kind"], m["quantity_change"]) for m in done["movements"]] == [
        ("transfer_out", -50),
        ("transfer_in", 50),
    ]
    found = (await shop.get(f"/v1/inventory/levels?variant_id={shop.variants['A']}"))["data"]
    by_place = {level["warehouse_id"]: level for level in found}
    assert [by_place[w]["available"] for w in (shop.warehouse, other)] == [100, 50]
    assert sum(Decimal(level["total_value"]) for level in found) == before
    short = await shop.send(f"{STOCK}/transfer", line(shop, 101, to_warehouse_id=other))
    assert (short.status_code, short.json()["code"]) == (409, "insufficient_stock")
    same = await shop.send(f"{STOCK}/transfer", line(shop, 1, to_warehouse_id=shop.warehouse))
    assert (same.status_code, same.json()["errors"][0]["pointer"]) == (422, "/lines/0")
    assert audit(maint_engine, shop.tenant.id) == []


async def test_set_compares_before_it_sets(shop: Shop, maint_engine: Engine) -> None:
    await shop.receive("A", 10, "2.00")
    stale = line(shop, 5, expected_quantity=9, reason="counted")
    refused = await shop.send(f"{STOCK}/set", stale)
    assert (refused.status_code, refused.json()["code"]) == (409, "stale_quantity")
    assert refused.json()["details"]["lines"] == [{"line": 1, "expected": 9, "current": 10}]
    done = await shop.post(f"{STOCK}/set", line(shop, 7, expected_quantity=10, reason="counted"))
    assert done["command"] == "set"
    await shop.post(f"{STOCK}/set", line(shop, 8, expected_quantity=None, reason="counted"))
    level = await shop.level("A")
    assert (level["available"], level["total_value"]) == (8, "16.00")
    missing = await shop.send(f"{STOCK}/set", line(shop, 7, reason="counted"))
    assert missing.json()["errors"][0]["pointer"] == "/lines/0/expected_quantity"
    assert audit(maint_engine, shop.tenant.id) == []


async def test_of_ten_setters_with_one_expectation_one_wins(shop: Shop) -> None:
    await shop.receive("A", 10)
    answers = await asyncio.gather(
        *(
            shop.send(f"{STOCK}/set", line(shop, 20 + n, expected_quantity=10, reason="counted"))
            for n in range(10)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9


async def test_units_move_between_buckets_and_keep_their_value(
    shop: Shop, maint_engine: Engine
) -> None:
    await shop.receive("A", 10, "3.00")

    def move(source: str, target: str, quantity: int) -> Json:
        return line(shop, quantity, source=source, target=target, reason="looked at it")

    await shop.post(f"{STOCK}/move", move("available", "quarantine", 4))
    await shop.post(f"{STOCK}/move", move("quarantine", "damaged", 1))
    await shop.post(f"{STOCK}/move", move("quarantine", "available", 2))
    level = await shop.level("A")
    buckets = [level[name] for name in ("available", "quarantine", "damaged", "on_hand")]
    assert (buckets, level["total_value"]) == ([8, 1, 1, 10], "30.00")
    short = await shop.send(f"{STOCK}/move", move("damaged", "available", 2))
    assert (short.status_code, short.json()["code"]) == (409, "insufficient_stock")
    assert audit(maint_engine, shop.tenant.id) == []


async def test_damaged_goods_are_written_off_where_they_lie(
    shop: Shop, maint_engine: Engine
) -> None:
    await shop.receive("A", 10, "3.00")
    move = line(shop, 4, source="available", target="damaged", reason="dropped")
    await shop.post(f"{STOCK}/move", move)
    off = line(shop, 3, kind="write_off", source="damaged")
    assert (await shop.send(f"{STOCK}/deduct", off)).status_code == 422
    done = await shop.post(f"{STOCK}/deduct", off | {"reason": "beyond repair"})
    (moved,) = done["movements"]
    assert (moved["kind"], moved["damaged_change"], moved["value_change"]) == (
        "write_off",
        -3,
        "-9.000000",
    )
    short = await shop.send(f"{STOCK}/deduct", off | {"reason": "again"})
    assert (short.status_code, short.json()["details"]["lines"][0]["damaged"]) == (409, 1)
    sold = await shop.send(f"{STOCK}/deduct", line(shop, 1, source="damaged"))
    assert sold.status_code == 422
    level = await shop.level("A")
    assert (level["available"], level["damaged"], level["total_value"]) == (6, 1, "21.00")
    assert audit(maint_engine, shop.tenant.id) == []


@pytest.mark.parametrize(("source", "target"), [("reserved", "available"), ("damaged", "damaged")])
async def test_buckets_that_are_not_moved_by_hand(shop: Shop, source: str, target: str) -> None:
    body = line(shop, 1, source=source, target=target, reason="try")
    assert (await shop.send(f"{STOCK}/move", body)).status_code == 422
