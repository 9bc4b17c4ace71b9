"""The other endings of an order, each with its stock and its books right."""

import asyncio

import pytest
from sqlalchemy import Engine
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError

from db.audit import audit
from domain.orders import order_workflow_id
from tests.workflows.shop import Shop
from tests.workflows.waiting import ended


async def test_a_shortage_refuses_the_whole_order_with_the_numbers(
    shop: Shop, worker: None, temporal: Client, maint_engine: Engine
) -> None:
    await shop.receive("A", 2)
    await shop.receive("B", 5)
    response = await shop.send("/v1/orders", shop.order_body({"A": 3, "B": 1}), key="short")
    problem = response.json()
    assert (response.status_code, problem["code"]) == (409, "insufficient_stock")
    assert problem["details"]["lines"] == [
        {
            "line": 1,
            "variant_id": shop.variants["A"],
            "warehouse_id": shop.warehouse,
            "requested": 3,
            "requested_in_all": 3,
            "available": 2,
        }
    ]
    number = problem["details"]["number"]
    order = await shop.get(f"/v1/orders/{number}")
    assert (order["fulfilment"], order["payment"], order["actions"]) == ("failed", "none", [])
    assert [line["cancelled"] for line in order["lines"]] == [3, 1]
    assert (await shop.level("B"))["available"] == 5
    handle = temporal.get_workflow_handle(order_workflow_id(shop.tenant.slug, number))
    await handle.result()
    assert (await handle.describe()).status is WorkflowExecutionStatus.COMPLETED
    await shop.receive("A", 10)
    again = await shop.send("/v1/orders", shop.order_body({"A": 3, "B": 1}), key="short")
    assert again.content == response.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert audit(maint_engine, shop.tenant.id) == []


async def test_two_lines_of_one_variant_are_summed_before_the_check(
    shop: Shop, worker: None
) -> None:
    await shop.receive("A", 5)
    body = shop.order_body({})
    body["lines"] = [{"variant_id": shop.variants["A"], "quantity": 3}] * 2
    response = await shop.send("/v1/orders", body)
    assert (response.status_code, response.json()["code"]) == (409, "insufficient_stock")
    assert [row["requested_in_all"] for row in response.json()["details"]["lines"]] == [6, 6]
    assert (await shop.level("A"))["available"] == 5


async def test_cancelling_before_shipping_releases_exactly_what_is_held(
    shop: Shop, worker: None, maint_engine: Engine
) -> None:
    await shop.receive("A", 10)
    other = await shop.place({"A": 2})
    order = await shop.place({"A": 3})
    cancelled = await shop.tell(order, "cancel", reason="changed my mind")
    assert cancelled["fulfilment"] == "cancelled"
    level = await shop.level("A")
    assert (level["available"], level["reserved"]) == (8, 2)
    assert (await shop.get(f"/v1/orders/{other['number']}"))["fulfilment"] == "reserved"
    late = await shop.send(f"/v1/orders/{order['number']}/pick", {})
    assert (late.status_code, late.json()["code"]) == (409, "process_closed")
    assert audit(maint_engine, shop.tenant.id) == []


async def test_cancelling_after_a_part_was_shipped_gives_up_only_the_rest(
    shop: Shop, worker: None, maint_engine: Engine
) -> None:
    await shop.receive("A", 10)
    order = await shop.place({"A": 4}, payment_required=False)
    await shop.tell(order, "pick")
    await shop.tell(order, "ship", lines=[{"line": 1, "quantity": 1}])
    rest = await shop.tell(order, "cancel")
    line = rest["lines"][0]
    assert (rest["fulfilment"], line["shipped"], line["cancelled"]) == ("shipped", 1, 3)
    level = await shop.level("A")
    assert (level["available"], level["reserved"], level["on_hand"]) == (9, 0, 9)
    refused = await shop.send(f"/v1/orders/{order['number']}/cancel", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "already_shipped")
    assert audit(maint_engine, shop.tenant.id) == []


async def test_an_unpaid_order_expires_and_frees_its_stock(
    shop: Shop, worker: None, maint_engine: Engine
) -> None:
    await shop.receive("A", 10)
    order = await shop.place({"A": 3}, payment_window=1)
    assert order["then_what"] == "expire"
    expired = await ended(shop, order, "expired")
    assert expired["lines"][0]["cancelled"] == 3
    assert (await shop.level("A"))["available"] == 10
    late = {"method": "transfer", "amount": "30.00", "currency": "EUR"}
    refused = await shop.send(f"/v1/orders/{order['number']}/pay", late)
    assert (refused.status_code, refused.json()["code"]) == (409, "process_closed")
    assert audit(maint_engine, shop.tenant.id) == []


async def test_a_paid_order_that_nobody_ships_expires_too(shop: Shop, worker: None) -> None:
    await shop.receive("A", 10)
    order = await shop.place({"A": 3}, ship_window=3)
    await shop.pay(order)
    expired = await ended(shop, order, "expired")
    assert (expired["payment"], expired["balance"]) == ("paid", "0.00")
    assert (await shop.level("A"))["available"] == 10


async def test_a_process_cancelled_by_an_operator_leaves_nothing_behind(
    shop: Shop, worker: None, temporal: Client, maint_engine: Engine
) -> None:
    await shop.receive("A", 10)
    order = await shop.place({"A": 3})
    handle = temporal.get_workflow_handle(order["workflow_id"])
    await handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    cancelled = await ended(shop, order, "cancelled")
    assert cancelled["lines"][0]["cancelled"] == 3
    assert (await shop.level("A"))["available"] == 10
    timeline = await shop.get(f"/v1/orders/{order['number']}/timeline")
    assert timeline["data"][-1]["kind"] == "order.compensated"
    assert audit(maint_engine, shop.tenant.id) == []


async def test_cancel_and_ship_at_once_have_one_winner(
    shop: Shop, worker: None, maint_engine: Engine
) -> None:
    await shop.receive("A", 100)
    for _ in range(5):
        order = await shop.place({"A": 2}, payment_required=False)
        await shop.tell(order, "pick")
        path = f"/v1/orders/{order['number']}"
        ship, cancel = await asyncio.gather(
            shop.send(f"{path}/ship", {}), shop.send(f"{path}/cancel", {})
        )
        assert sorted([ship.status_code, cancel.status_code]) == [200, 409]
        loser = ship if ship.status_code == 409 else cancel
        assert loser.json()["code"] in {"already_shipped", "process_closed"}
    assert audit(maint_engine, shop.tenant.id) == []


async def test_thirty_orders_race_for_ten_units(
    shop: Shop, worker: None, maint_engine: Engine
) -> None:
    await shop.receive("A", 10)
    answers = await asyncio.gather(
        *(shop.send("/v1/orders", shop.order_body({"A": 1})) for _ in range(30))
    )
    assert sorted(answer.status_code for answer in answers) == [201] * 10 + [409] * 20
    level = await shop.level("A")
    assert (level["available"], level["reserved"]) == (0, 10)
    assert audit(maint_engine, shop.tenant.id) == []
