"""More than the writer takes: refused with a time to come again, and nothing accepted is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import Engine

from api.app import create_app
from api.services import Services
from db.audit import audit
from db.stock_writer import StockWriter
from settings import Settings
from tests.conftest import Database
from tests.support import connected, wait_until, waiting
from tests.workflows.shop import Json, Shop

DEDUCT = "/v1/inventory/stock/deduct"
BOUND = 20


@pytest.fixture
async def small(
    shop: Shop, database: Database, engine: Engine, own_settings: Settings
) -> AsyncIterator[httpx2.AsyncClient]:
    """The shop's API with a writer of a small bound."""
    writer = StockWriter(database.conninfo(), queue_max=BOUND)
    app = create_app(
        Services(settings=own_settings, engine=engine, temporal=shop.temporal, writer=writer)
    )
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app),
        base_url="http://test",
        headers={"Authorization": shop.http.headers["Authorization"]},
        timeout=60,
    ) as http:
        yield http
    writer.close()


@contextmanager
def held(database: Database, tenant: UUID, variant: str) -> Any:
    """Nobody else gets the variant's levels until the block ends."""
    with connected(database.conninfo()) as conn, conn.transaction():
        conn.execute("SELECT set_config('app.tenant', %s, true)", (str(tenant),))
        conn.execute("SELECT 1 FROM inventory_levels WHERE variant_id = %s FOR UPDATE", (variant,))
        yield


async def test_a_full_writer_answers_429_and_does_all_that_it_took(
    shop: Shop, small: httpx2.AsyncClient, database: Database, maint_engine: Engine
) -> None:
    await shop.receive("A", 1000)
    body: Json = {
        "warehouse_id": shop.warehouse,
        "variant_id": shop.variants["A"],
        "quantity": 1,
    }

    async def send(key: str) -> httpx2.Response:
        return await small.post(DEDUCT, json=body, headers={"Idempotency-Key": key})

    keys = [f"over-{uuid4()}" for _ in range(10 * BOUND)]
    with held(database, shop.tenant.id, shop.variants["A"]):
        first = asyncio.create_task(send("over-first"))
        await asyncio.to_thread(wait_until, lambda: waiting(database.conninfo()) > 0, "it waits")
        sent = [asyncio.create_task(send(key)) for key in keys]
        answered = lambda: sum(task.done() for task in sent) >= len(keys) - BOUND  # noqa: E731
        await asyncio.to_thread(wait_until, answered, "the others are refused")
    answers = await asyncio.gather(first, *sent)
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == len(keys) - BOUND
    for answer in refused:
        assert (answer.json()["code"], answer.headers["Retry-After"]) == ("busy", "1")
    assert [answer.status_code for answer in answers].count(200) == BOUND + 1
    assert (await shop.level("A"))["available"] == 1000 - BOUND - 1
    # Whoever was refused comes again under the same key, and is done then.
    late = keys[[answer.status_code for answer in answers[1:]].index(429)]
    again = await send(late)
    assert (again.status_code, "Idempotent-Replayed" in again.headers) == (200, False)
    assert audit(maint_engine, shop.tenant.id) == []
