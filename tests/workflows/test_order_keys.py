"""Keys and the traps of update-with-start: repeats, other bodies, ends, takeovers."""

import asyncio

from sqlalchemy import Engine, text
from temporalio.client import Client, WorkflowExecutionStatus

from activities.orders import OrderActivities
from db.audit import audit
from db.engine import transaction
from db.stock_writer import StockWriter
from settings import Settings
from tests.workflows.conftest import running_worker
from tests.workflows.shop import Shop


async def test_a_repeated_placing_gives_the_same_bytes_and_one_order(
    shop: Shop, worker: None
) -> None:
    await shop.receive("A", 10)
    body = shop.order_body({"A": 3})
    first = await shop.send("/v1/orders", body, key="once")
    second = await shop.send("/v1/orders", body, key="once")
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["Location"] == first.headers["Location"]
    assert (await shop.level("A"))["reserved"] == 3
    other = await shop.send("/v1/orders", shop.order_body({"A": 4}), key="once")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reuse")
    assert len((await shop.get("/v1/orders"))["data"]) == 1


async def test_eight_senders_of_one_key_make_one_order(shop: Shop, worker: None) -> None:
    await shop.receive("A", 10)
    body = shop.order_body({"A": 3})
    answers = await asyncio.gather(*(shop.send("/v1/orders", body, key="eight") for _ in range(8)))
    codes = {answer.status_code for answer in answers}
    assert 201 in codes
    assert codes <= {201, 409}
    assert all(a.json()["code"] == "in_flight" for a in answers if a.status_code == 409)
    assert (await shop.level("A"))["reserved"] == 3


async def test_a_repeated_command_has_one_effect(shop: Shop, worker: None) -> None:
    await shop.receive("A", 10)
    order = await shop.place({"A": 4}, payment_required=False)
    await shop.tell(order, "pick")
    path, body = f"/v1/orders/{order['number']}/ship", {"lines": [{"line": 1, "quantity": 1}]}
    first = await shop.send(path, body, key="parcel-1")
    second = await shop.send(path, body, key="parcel-1")
    assert (first.status_code, second.content) == (200, first.content)
    assert (await shop.level("A"))["on_hand"] == 9
    other = await shop.send(path, {}, key="parcel-1")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reuse")


async def test_a_refused_command_keeps_its_answer(shop: Shop, worker: None) -> None:
    await shop.receive("A", 10)
    order = await shop.place({"A": 1})
    path = f"/v1/orders/{order['number']}/pick"
    refused = await shop.send(path, {}, key="early")
    await shop.pay(order)
    again = await shop.send(path, {}, key="early")
    assert (again.status_code, again.content) == (409, refused.content)
    assert (await shop.send(path, {}, key="later")).status_code == 200


async def test_a_command_that_does_not_fit_may_come_again_mended(shop: Shop, worker: None) -> None:
    await shop.receive("A", 10)
    order = await shop.place({"A": 1})
    path = f"/v1/orders/{order['number']}/pay"
    money = {"method": "cash", "amount": "10.00", "currency": "USD"}
    wrong = await shop.send(path, money, key="pay")
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/currency")
    mended = await shop.send(path, money | {"currency": "EUR"}, key="pay")
    assert (mended.status_code, mended.json()["payment"]) == (200, "paid")


async def test_a_repeated_start_after_the_end_has_no_effect(
    shop: Shop, worker: None, engine: Engine, temporal: Client, maint_engine: Engine
) -> None:
    await shop.receive("A", 10)
    body = shop.order_body({"A": 3})
    first = await shop.send("/v1/orders", body, key="again")
    order = first.json()
    await shop.tell(order, "cancel")
    await temporal.get_workflow_handle(order["workflow_id"]).result()
    # As if the API had died before it stored the answer: the claim is open and old.
    with transaction(engine, shop.tenant.id) as session:
        session.execute(
            text(
                "UPDATE operations SET state = 'claimed', status = NULL, answer = NULL,"
                " claimed_at = claimed_at - interval '1 minute' WHERE key = 'again'"
            )
        )
    repeated = await shop.send("/v1/orders", body, key="again")
    assert (repeated.status_code, repeated.json()["fulfilment"]) == (201, "cancelled")
    description = await temporal.get_workflow_handle(order["workflow_id"]).describe()
    assert description.status is WorkflowExecutionStatus.COMPLETED
    assert (await shop.level("A"))["available"] == 10
    assert audit(maint_engine, shop.tenant.id) == []


async def test_a_command_whose_answer_was_lost_is_answered_after_the_end(
    shop: Shop, worker: None, engine: Engine, temporal: Client
) -> None:
    await shop.receive("A", 10)
    order = await shop.place({"A": 3})
    path = f"/v1/orders/{order['number']}/cancel"
    await shop.send(path, {}, key="bye")
    await temporal.get_workflow_handle(order["workflow_id"]).result()
    with transaction(engine, shop.tenant.id) as session:
        session.execute(
            text(
                "UPDATE operations SET state = 'claimed', status = NULL, answer = NULL,"
                " claimed_at = claimed_at - interval '1 minute' WHERE key = 'bye'"
            )
        )
    again = await shop.send(path, {}, key="bye")
    assert (again.status_code, again.json()["fulfilment"]) == (200, "cancelled")


async def test_without_a_worker_the_order_is_accepted_and_settles_later(
    shop: Shop, temporal: Client, engine: Engine, writer: StockWriter, own_settings: Settings
) -> None:
    await shop.receive("A", 10)
    body = shop.order_body({"A": 3})
    accepted = await shop.send("/v1/orders", body, key="slow")
    assert accepted.status_code == 202
    place = accepted.headers["Location"]
    assert (await shop.http.get(place)).status_code == 404
    activities = OrderActivities(engine, writer)
    async with running_worker(temporal, activities, own_settings.task_queue):
        for _ in range(100):
            found = await shop.http.get(place)
            if found.status_code == 200:
                break
            await asyncio.sleep(0.1)
        assert found.json()["fulfilment"] == "reserved"
    again = await shop.send("/v1/orders", body, key="slow")
    assert (again.status_code, again.content) == (202, accepted.content)
    assert (await shop.level("A"))["reserved"] == 3
