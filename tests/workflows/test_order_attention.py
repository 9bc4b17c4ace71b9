"""A step that fails for good: the order says so, waits for a person, and goes on as decided."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from sqlalchemy import Engine
from temporalio import activity
from temporalio.client import Client

from activities.orders import OrderActivities
from db.audit import audit
from db.stock_writer import StockWriter
from domain.orders import ShipStock, StockShipped
from settings import Settings
from tests.workflows.conftest import running_worker
from tests.workflows.shop import Json, Shop


class BrokenShipping(OrderActivities):
    """The activities with a bug in shipping, until somebody mends it."""

    mended = False

    @activity.defn(name="stock.ship")
    def ship_stock(self, step: ShipStock) -> StockShipped:
        if not self.mended:
            raise ValueError("planted: the scales are upside down")
        return super().ship_stock(step)


@pytest.fixture
def broken(engine: Engine, writer: StockWriter) -> BrokenShipping:
    """Activities that cannot ship."""
    return BrokenShipping(engine, writer)


@pytest.fixture
async def broken_worker(
    temporal: Client, broken: BrokenShipping, own_settings: Settings
) -> AsyncIterator[None]:
    """A worker that has the bug."""
    async with running_worker(temporal, broken, own_settings.task_queue):
        yield


async def picked_and_stuck(shop: Shop) -> tuple[Json, "asyncio.Task[httpx2.Response]"]:
    """An order whose first parcel failed, and the request that waits for it."""
    await shop.receive("A", 10)
    order = await shop.place({"A": 3}, payment_required=False)
    await shop.tell(order, "pick")
    path = f"/v1/orders/{order['number']}"
    shipping = asyncio.create_task(shop.send(f"{path}/ship", {}, key="parcel"))
    for _ in range(100):
        found = await shop.get(path)
        if found["needs_attention"]:
            return found, shipping
        await asyncio.sleep(0.1)
    raise AssertionError("The order never said that it needs attention.")


async def test_a_failed_step_waits_for_a_person_and_is_tried_again(
    shop: Shop, broken_worker: None, broken: BrokenShipping, maint_engine: Engine
) -> None:
    order, shipping = await picked_and_stuck(shop)
    assert order["waiting_for"] == "decision"
    assert "upside down" in order["attention"]
    assert order["actions"] == ["resolve"]
    refused = await shop.send(f"/v1/orders/{order['number']}/deliver", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "needs_attention")
    broken.mended = True
    await shop.tell(order, "resolve", decision="retry")
    shipped = await shipping
    assert shipped.status_code == 200, shipped.text
    found = await shop.get(f"/v1/orders/{order['number']}")
    assert (found["fulfilment"], found["needs_attention"]) == ("shipped", False)
    assert (await shop.level("A"))["on_hand"] == 7
    assert audit(maint_engine, shop.tenant.id) == []


async def test_a_failed_step_may_be_given_up_and_nothing_is_left_behind(
    shop: Shop, broken_worker: None, maint_engine: Engine
) -> None:
    order, shipping = await picked_and_stuck(shop)
    await shop.tell(order, "resolve", decision="cancel")
    refused = await shipping
    assert refused.json()["code"] == "given_up"
    for _ in range(100):
        found = await shop.get(f"/v1/orders/{order['number']}")
        if found["fulfilment"] == "cancelled":
            break
        await asyncio.sleep(0.1)
    assert (found["fulfilment"], found["lines"][0]["cancelled"]) == ("cancelled", 3)
    level = await shop.level("A")
    assert (level["available"], level["reserved"]) == (10, 0)
    assert audit(maint_engine, shop.tenant.id) == []
