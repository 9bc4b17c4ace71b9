"""An order from placing to its end, over the real API, worker, Temporal and PostgreSQL."""

from sqlalchemy import Engine

from db.audit import audit
from tests.workflows.shop import Shop


async def test_an_order_is_reserved_paid_picked_shipped_in_parts_delivered_and_closed(
    shop: Shop, worker: None, maint_engine: Engine
) -> None:
    await shop.receive("A", 10, "4.00")
    order = await shop.place({"A": 3})
    assert (order["fulfilment"], order["payment"]) == ("reserved", "pending")
    assert order["waiting_for"] == "payment"
    assert order["lines"][0]["reserved"] == 3
    assert (await shop.level("A"))["available"] == 7
    refused = await shop.send(f"/v1/orders/{order['number']}/pick", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "payment_required")
    assert (await shop.pay(order))["payment"] == "paid"
    assert (await shop.tell(order, "pick"))["fulfilment"] == "picking"
    part = await shop.tell(order, "ship", lines=[{"line": 1, "quantity": 1}], tracking="T1")
    assert part["fulfilment"] == "partially_shipped"
    assert (await shop.tell(order, "ship"))["fulfilment"] == "shipped"
    assert (await shop.tell(order, "deliver"))["fulfilment"] == "delivered"
    closed = await shop.tell(order, "close")
    assert closed["fulfilment"] == "closed"
    assert [parcel["lines"] for parcel in closed["shipments"]] == [
        [{"line": 1, "quantity": 1}],
        [{"line": 1, "quantity": 2}],
    ]
    level = await shop.level("A")
    assert (level["on_hand"], level["reserved"], level["total_value"]) == (7, 0, "28.00")
    timeline = await shop.get(f"/v1/orders/{order['number']}/timeline")
    assert [entry["kind"] for entry in timeline["data"]] == [
        "order.placed",
        "order.reserved",
        "order.paid",
        "order.picking",
        "order.shipped",
        "order.shipped",
        "order.delivered",
        "order.closed",
    ]
    assert audit(maint_engine, shop.tenant.id) == []


async def test_an_order_longer_than_any_invoice_we_have_seen(
    shop: Shop, worker: None, maint_engine: Engine
) -> None:
    await shop.receive("A", 5000)
    body = shop.order_body({}, payment_required=False)
    body["lines"] = [{"variant_id": shop.variants["A"], "quantity": 1 + n % 3} for n in range(2000)]
    order = await shop.post("/v1/orders", body)
    assert len(order["lines"]) == 2000
    assert (await shop.level("A"))["reserved"] == sum(1 + n % 3 for n in range(2000))
    await shop.tell(order, "pick")
    shipped = await shop.tell(order, "ship")
    assert shipped["fulfilment"] == "shipped"
    assert (await shop.level("A"))["reserved"] == 0
    assert audit(maint_engine, shop.tenant.id) == []
