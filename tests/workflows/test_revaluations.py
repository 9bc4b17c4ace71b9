"""Revaluations over the API and the real process: asked once, killed midway, told in full."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from temporalio.client import Client

from activities.orders import OrderActivities
from activities.revaluations import RevaluationActivities
from db import revaluations
from db.audit import audit
from db.stock_writer import StockWriter
from db.upkeep_tables import Revaluation as Row
from domain.revaluations import Revaluation, Walked, revaluation_workflow_id
from settings import Settings
from tests.workflows import histories
from tests.workflows.shop import Json, Shop
from worker import build

REVALUE = "/v1/inventory/revaluations"


@pytest.fixture
async def revaluer(
    temporal: Client, engine: Engine, writer: StockWriter, own_settings: Settings
) -> AsyncIterator[None]:
    """A worker that revalues."""
    with ThreadPoolExecutor(8) as executor:
        async with build(
            temporal,
            OrderActivities(engine, writer),
            executor,
            revaluations=RevaluationActivities(engine),
            activities_max=8,
            task_queue=own_settings.task_queue,
        ):
            yield


async def _receipt(shop: Shop) -> str:
    variant = shop.variants["A"]
    found = await shop.get(f"/v1/inventory/movements?kind=purchase&variant_id={variant}")
    return str(found["data"][0]["id"])


async def _sell(shop: Shop, sku: str, quantity: int) -> None:
    line = {
        "warehouse_id": shop.warehouse,
        "variant_id": shop.variants[sku],
        "quantity": quantity,
    }
    await shop.post("/v1/inventory/stock/deduct", {"lines": [line]})


async def _completed(shop: Shop, asked: Json) -> Json:
    for _ in range(300):
        found = await shop.get(f"{REVALUE}/{asked['id']}")
        if found["status"] == "completed":
            return found
        await asyncio.sleep(0.1)
    raise AssertionError("The revaluation was not completed.")


def _body(movement: str, cost: str = "1.50") -> Json:
    return {"movement_id": movement, "unit_cost": cost, "reason": "the invoice was higher"}


async def test_a_late_cost_is_posted_once_and_told_in_full(
    shop: Shop, revaluer: None, maint_engine: Engine, temporal: Client
) -> None:
    await shop.receive("A", 10, "1.00")
    await _sell(shop, "A", 4)
    body = _body(await _receipt(shop))
    answer = await shop.send(REVALUE, body, key="late")
    assert answer.status_code == 202, answer.text
    asked = answer.json()
    assert answer.headers["Location"] == f"{REVALUE}/{asked['id']}"
    assert (asked["number"], asked["difference"]) == ("RV-1001", "5.00")
    found = await _completed(shop, asked)
    assert (found["stock_value"], found["gone"]) == ("3.00", [{"kind": "sale", "value": "2.00"}])
    assert (found["unit_cost_before"], found["unit_cost"]) == ("1.00", "1.50")
    level = await shop.level("A")
    assert (level["available"], level["total_value"], level["average_cost"]) == (6, "9.00", "1.50")
    again = await shop.send(REVALUE, body, key="late")
    assert (again.status_code, again.json()) == (202, asked)
    assert again.headers["Idempotent-Replayed"] == "true"
    other = await shop.send(REVALUE, {**body, "unit_cost": "7.00"}, key="late")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reuse")
    listed = await shop.get(f"{REVALUE}?movement_id={body['movement_id']}")
    assert [one["id"] for one in listed["data"]] == [asked["id"]]
    assert await shop.get(f"{REVALUE}/RV-1001") == found
    posted = await shop.get(f"/v1/inventory/movements?operation_id={found['operation_id']}")
    assert [(m["kind"], m["value_change"]) for m in posted["data"]] == [("revaluation", "3.00")]
    history = await temporal.get_workflow_handle(found["workflow_id"]).fetch_history()
    await histories.replays(history)
    histories.keep("revaluation", "completed", history)
    assert audit(maint_engine, shop.tenant.id) == []


async def test_what_has_no_cost_is_refused_with_the_reason(shop: Shop, revaluer: None) -> None:
    await shop.receive("A", 10, "1.00")
    await _sell(shop, "A", 4)
    variant = shop.variants["A"]
    sales = await shop.get(f"/v1/inventory/movements?kind=sale&variant_id={variant}")
    sale = sales["data"][0]["id"]
    receipt = await _receipt(shop)
    for body, status, code in (
        (_body(sale), 409, "not_a_receipt"),
        (_body(receipt, "1.00"), 409, "same_cost"),
        (_body("01980000-0000-7000-8000-000000000009"), 404, "not_found"),
        (_body(receipt, "-1.00"), 422, "invalid_input"),
    ):
        answer = await shop.send(REVALUE, body, key=f"refused-{code}")
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert (await shop.get(REVALUE))["data"] == []


async def test_two_at_once_on_one_receipt_are_one_and_a_refusal(
    shop: Shop,
    revaluer: None,
    maint_engine: Engine,
    temporal: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await shop.receive("A", 10, "1.00")
    receipt = await _receipt(shop)
    gate = asyncio.Event()
    honest, loop = revaluations.walk, asyncio.get_running_loop()

    def held(session: Session, asked: Revaluation) -> Walked:
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(30)
        return honest(session, asked)

    monkeypatch.setattr(revaluations, "walk", held)
    answers = await asyncio.gather(
        *(shop.send(REVALUE, _body(receipt, f"{n}.00"), key=f"k{n}") for n in (2, 3, 4))
    )
    gate.set()
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409]
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert {one["code"] for one in refused} == {"revaluation_open"}
    (asked,) = [answer.json() for answer in answers if answer.status_code == 202]
    await _completed(shop, asked)
    for n, answer in zip((2, 3, 4), answers, strict=True):
        again = await shop.send(REVALUE, _body(receipt, f"{n}.00"), key=f"k{n}")
        assert (again.status_code, again.content) == (answer.status_code, answer.content)
    assert len((await shop.get(REVALUE))["data"]) == 1
    number = min({"RV-1001", "RV-1002", "RV-1003"} - {asked["number"]})
    handle = temporal.get_workflow_handle(revaluation_workflow_id(shop.tenant.slug, number))
    history = await handle.fetch_history()
    await histories.replays(history)
    histories.keep("revaluation", "refused", history)
    assert audit(maint_engine, shop.tenant.id) == []


async def test_a_walk_that_dies_goes_on_behind_its_last_chunk(
    shop: Shop, revaluer: None, maint_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.receive("A", 100, "1.00")
    for _ in range(25):
        await _sell(shop, "A", 2)
    monkeypatch.setattr(revaluations, "TAIL_MAX", 10)
    honest, honest_walk, calls = revaluations.walk, revaluations._walk, 0
    monkeypatch.setattr(revaluations, "walk", lambda session, asked: honest(session, asked, 10))

    def dying(session: Session, row: Row, asked: Revaluation, at_most: int) -> int:
        nonlocal calls
        calls += 1
        passed = honest_walk(session, row, asked, at_most)
        if calls % 2 == 0:
            raise RuntimeError("killed after the work, before the commit")
        return passed

    monkeypatch.setattr(revaluations, "_walk", dying)
    asked = await shop.post(REVALUE, _body(await _receipt(shop), "3.00"))
    found = await _completed(shop, asked)
    assert calls >= 5
    assert found["movements"] == 25
    assert Decimal(found["stock_value"]) == 100
    assert found["gone"] == [{"kind": "sale", "value": "100.00"}]
    assert (await shop.level("A"))["total_value"] == "150.00"
    assert audit(maint_engine, shop.tenant.id) == []
