"""Reservations without an order: held, sold or freed, and always ended."""

import asyncio
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine
from temporalio.client import Client

from db.audit import audit
from domain.reservations import reservation_workflow_id
from tests.workflows import histories
from tests.workflows.shop import Json, Shop

RESERVE = "/v1/inventory/stock/reserve"


def in_seconds(seconds: float) -> str:
    """An instant that many seconds ahead, as JSON."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def held(shop: Shop, owner: str, quantity: int, until: str) -> Json:
    """The body of a reserve."""
    line = {
        "warehouse_id": shop.warehouse,
        "variant_id": shop.variants["A"],
        "quantity": quantity,
    }
    return {"owner": owner, "expires_at": until, "lines": [line]}


async def test_a_reservation_frees_its_units_when_its_time_has_come(
    shop: Shop, worker: None, temporal: Client, maint_engine: Engine
) -> None:
    await shop.receive("A", 10)
    await shop.post(RESERVE, held(shop, "basket-1", 4, in_seconds(2)))
    level = await shop.level("A")
    assert (level["available"], level["reserved"]) == (6, 4)
    rows = (await shop.get("/v1/inventory/reservations"))["data"]
    assert [(row["open"], row["line"]) for row in rows] == [(4, 1)]
    handle = temporal.get_workflow_handle(reservation_workflow_id(shop.tenant.slug, "basket-1"))
    assert (await handle.result())["units"] == 4
    level = await shop.level("A")
    assert (level["available"], level["reserved"]) == (10, 0)
    history = await handle.fetch_history()
    await histories.replays(history)
    histories.keep("reservation", "expired", history)
    assert audit(maint_engine, shop.tenant.id) == []


async def test_a_second_reserve_of_one_owner_puts_the_end_off(
    shop: Shop, worker: None, maint_engine: Engine
) -> None:
    await shop.receive("A", 10)
    await shop.post(RESERVE, held(shop, "basket-2", 1, in_seconds(1.5)))
    await shop.post(RESERVE, held(shop, "basket-2", 2, in_seconds(60)))
    await asyncio.sleep(2.5)
    assert (await shop.level("A"))["reserved"] == 3
    await shop.post("/v1/inventory/stock/release", {"owner": "basket-2"})
    assert (await shop.level("A"))["reserved"] == 0
    assert audit(maint_engine, shop.tenant.id) == []


async def test_held_units_are_sold_in_part_and_the_rest_is_released(
    shop: Shop, worker: None, maint_engine: Engine
) -> None:
    await shop.receive("A", 10, "2.00")
    await shop.post(RESERVE, held(shop, "basket-3", 5, in_seconds(60)))
    sale = {"owner": "basket-3", "lines": [{"line": 1, "quantity": 2}]}
    sold = await shop.post("/v1/inventory/stock/confirm-sale", sale, key="sale")
    assert sold["movements"][0]["quantity_change"] == -2
    again = await shop.post("/v1/inventory/stock/confirm-sale", sale, key="sale")
    assert again == sold
    too_many = {"owner": "basket-3", "lines": [{"line": 1, "quantity": 4}]}
    refused = await shop.send("/v1/inventory/stock/confirm-sale", too_many)
    assert (refused.status_code, refused.json()["code"]) == (409, "not_reserved")
    assert refused.json()["details"]["lines"] == [{"line": 1, "requested": 4, "reserved": 3}]
    await shop.post("/v1/inventory/stock/release", {"owner": "basket-3"})
    level = await shop.level("A")
    assert (level["on_hand"], level["available"], level["total_value"]) == (8, 8, "16.00")
    assert audit(maint_engine, shop.tenant.id) == []


async def test_nobody_can_name_an_order_as_the_owner(shop: Shop, worker: None) -> None:
    await shop.receive("A", 10)
    order = await shop.place({"A": 3})
    body = {"owner": order["workflow_id"]}
    await shop.post("/v1/inventory/stock/release", body)
    assert (await shop.level("A"))["reserved"] == 3


async def test_an_end_that_is_past_or_too_far_ahead_is_refused(shop: Shop) -> None:
    for until in (in_seconds(-1), in_seconds(31 * 24 * 3600)):
        refused = await shop.send(RESERVE, held(shop, "basket-4", 1, until))
        pointer = refused.json()["errors"][0]["pointer"]
        assert (refused.status_code, pointer) == (422, "/expires_at")


async def test_200_parallel_reservations_of_100_units_are_100_and_100(
    shop: Shop, worker: None, maint_engine: Engine
) -> None:
    await shop.receive("A", 100)
    until = in_seconds(600)
    answers = await asyncio.gather(
        *(shop.send(RESERVE, held(shop, f"client-{n}", 1, until)) for n in range(200))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 100 + [409] * 100
    codes = {answer.json()["code"] for answer in answers if answer.status_code == 409}
    assert codes == {"insufficient_stock"}
    level = await shop.level("A")
    assert (level["available"], level["reserved"]) == (0, 100)
    assert audit(maint_engine, shop.tenant.id) == []


async def test_100_parallel_adds_of_10_are_exactly_1000(shop: Shop) -> None:
    line = {
        "warehouse_id": shop.warehouse,
        "variant_id": shop.variants["A"],
        "quantity": 10,
        "unit_cost": "1.10",
    }
    answers = await asyncio.gather(
        *(shop.send("/v1/inventory/stock/add", line) for _ in range(100))
    )
    assert {answer.status_code for answer in answers} == {200}
    level = await shop.level("A")
    assert (level["available"], level["total_value"]) == (1000, "1100.00")
