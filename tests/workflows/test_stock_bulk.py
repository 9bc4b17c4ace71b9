"""Many commands in one request: row results, both policies, streams, repeats, what is refused."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import httpx2
from sqlalchemy import Engine

from db.audit import audit
from tests.workflows.shop import Json, Shop

BULK = "/v1/inventory/stock/bulk"


def row(shop: Shop, command: str, quantity: object, sku: str = "A", **more: object) -> Json:
    place = {"warehouse_id": shop.warehouse, "variant_id": shop.variants[sku]}
    return {"command": command, **place, "quantity": quantity, **more}


def body(*items: Any, policy: str = "reject_failed") -> Json:
    return {"policy": policy, "items": list(items)}


async def stream(shop: Shop, lines: list[bytes], key: str) -> httpx2.Response:
    return await shop.http.post(
        BULK,
        content=b"\n".join(lines),
        headers={"Idempotency-Key": key, "Content-Type": "application/x-ndjson"},
    )


async def test_a_wrong_row_fails_alone_with_its_index_pointer_and_code(
    shop: Shop, maint_engine: Engine
) -> None:
    done = await shop.post(
        BULK,
        body(
            row(shop, "add", 10, unit_cost="2.00"),
            row(shop, "deduct", 99),
            row(shop, "deduct", 2**53 + 1),
            row(shop, "add", 1, unit_cost="1.0000001"),
            row(shop, "set", 7, expected_quantity=3, reason="counted"),
            row(shop, "deduct", 4) | {"variant_id": str(uuid4())},
            row(shop, "fly", 1),
            "no row at all",
            row(shop, "move", 1, source="available", target="available", reason="x"),
            row(shop, "deduct", 4),
        ),
    )
    results = done["results"]
    assert [one["index"] for one in results] == list(range(10))
    assert [(one["status"], one.get("code")) for one in results] == [
        (200, None),
        (409, "insufficient_stock"),
        (422, "invalid_input"),
        (422, "invalid_input"),
        (409, "stale_quantity"),
        (404, "unknown_item"),
        (422, "invalid_input"),
        (422, "invalid_input"),
        (422, "invalid_input"),
        (200, None),
    ]
    assert [one["errors"][0]["pointer"] for one in results if one["status"] == 422] == [
        "/quantity",
        "/lines/0/unit_cost",
        "/command",
        "",
        "/target",
    ]
    assert results[4]["details"]["lines"] == [{"line": 1, "expected": 3, "current": 10}]
    assert (done["accepted"], done["refused"]) == (2, 8)
    level = await shop.level("A")
    assert (level["available"], level["total_value"]) == (6, "12.00")
    assert audit(maint_engine, shop.tenant.id) == []


async def test_reject_all_does_all_or_nothing(shop: Shop, maint_engine: Engine) -> None:
    await shop.receive("A", 10)
    refused = await shop.send(
        BULK, body(row(shop, "deduct", 6), row(shop, "deduct", 6), policy="reject_all")
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "bulk_rejected")
    assert [one["index"] for one in refused.json()["details"]["results"]] == [1]
    wrong = await shop.send(
        BULK, body(row(shop, "deduct", 1), row(shop, "deduct", 0), policy="reject_all")
    )
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (
        422,
        "/items/1/lines/0/quantity",
    )
    assert (await shop.level("A"))["available"] == 10
    done = await shop.post(
        BULK, body(row(shop, "deduct", 6), row(shop, "deduct", 4), policy="reject_all")
    )
    assert (done["accepted"], (await shop.level("A"))["available"]) == (2, 0)
    assert audit(maint_engine, shop.tenant.id) == []


async def test_a_repeat_gets_the_same_bytes_and_changes_nothing(shop: Shop) -> None:
    sent = body(row(shop, "add", 5, unit_cost="1.00"), row(shop, "deduct", 9))
    first, second = [await shop.send(BULK, sent, "bulk-1") for _ in range(2)]
    assert second.content == first.content
    assert second.headers["Idempotent-Replayed"] == "true"
    assert (await shop.level("A"))["available"] == 5
    other = await shop.send(BULK, body(row(shop, "add", 6, unit_cost="1.00")), "bulk-1")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reuse")


async def test_ten_senders_of_one_bulk_have_one_effect(shop: Shop, maint_engine: Engine) -> None:
    sent = body(*(row(shop, "add", 1, unit_cost="1.00") for _ in range(50)))
    answers = await asyncio.gather(*(shop.send(BULK, sent, "bulk-2") for _ in range(10)))
    assert len({answer.content for answer in answers}) == 1
    assert (await shop.level("A"))["available"] == 50
    assert audit(maint_engine, shop.tenant.id) == []


async def test_a_thousand_adjustments_are_one_request(shop: Shop, maint_engine: Engine) -> None:
    rows = [row(shop, "adjust", 1, reason="found", sku="AB"[n % 2]) for n in range(1000)]
    done = await shop.post(BULK, body(*rows))
    assert done["accepted"] == 1000
    assert [(await shop.level(sku))["available"] for sku in "AB"] == [500, 500]
    too_many = await shop.send(BULK, body(*rows, rows[0]))
    assert (too_many.status_code, too_many.json()["errors"][0]["pointer"]) == (422, "/items")
    assert audit(maint_engine, shop.tenant.id) == []


async def test_a_stream_of_more_is_answered_line_by_line_and_may_be_sent_again(
    shop: Shop, maint_engine: Engine
) -> None:
    lines = [json.dumps(row(shop, "add", 1, unit_cost="1.00")).encode() for _ in range(1200)]
    lines[3] = b"{broken"
    lines[700] = b'{"command": "add", "quantity": 1e99}'
    first = await stream(shop, lines, "stream-1")
    assert first.headers["Content-Type"].startswith("application/x-ndjson")
    answers = [json.loads(line) for line in first.content.splitlines()]
    assert [one["index"] for one in answers] == list(range(1200))
    assert [one["index"] for one in answers if one["status"] != 200] == [3, 700]
    assert answers[3]["code"] == "not_json"
    assert (await shop.level("A"))["available"] == 1198
    again = await stream(shop, lines, "stream-1")
    assert again.content == first.content
    # The first part of a stream that broke off is answered as it was; the rest is new.
    longer = await stream(shop, [*lines[:1000], *lines[:600]], "stream-1")
    problem = json.loads(longer.content.splitlines()[-1])
    assert (problem["object"], problem["code"]) == ("problem", "idempotency_key_reuse")
    assert (await shop.level("A"))["available"] == 1198
    assert audit(maint_engine, shop.tenant.id) == []


async def test_rows_count_in_units_and_say_when_they_do_not_convert(shop: Shop) -> None:
    await shop.post("/v1/units", {"code": "box", "name": "Box of 12", "decimals": 1})
    units = f"/v1/variants/{shop.variants['A']}/units"
    version = (await shop.http.get(units)).headers["ETag"]
    await shop.http.put(
        units,
        json={"units": [{"unit": "box", "factor": 12}]},
        headers={"If-Match": version},
    )
    done = await shop.post(
        BULK,
        body(
            row(shop, "add", "2.5", unit="box", unit_cost="12.00"),
            row(shop, "add", "0.3", unit="box", unit_cost="12.00"),
        ),
    )
    assert [(one["status"], one.get("code")) for one in done["results"]] == [
        (200, None),
        (422, "invalid_input"),
    ]
    assert done["results"][1]["errors"][0]["code"] == "not_whole"
    assert (await shop.level("A"))["available"] == 30


async def test_what_no_bulk_is(shop: Shop) -> None:
    policy = await shop.send(f"{BULK}?policy=reject_failed", body(row(shop, "deduct", 1)))
    assert policy.status_code == 422
    assert (await shop.send(BULK, body(policy="reject_failed"))).status_code == 422
    assert (await shop.send(BULK, body(row(shop, "deduct", 1), policy="all"))).status_code == 422
    without = await shop.http.post(BULK, json=body(row(shop, "deduct", 1)))
    assert (without.status_code, without.json()["code"]) == (400, "idempotency_key_required")
