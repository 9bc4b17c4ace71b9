"""A real worker on the real dev server and database, and the API in front of them, in-process."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import Engine
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.orders import OrderActivities
from api.app import create_app
from api.services import Services
from db.engine import transaction
from db.stock_writer import StockWriter
from db.tenants import create_api_key
from settings import Settings
from tests.conftest import TenantFixture
from tests.workflows.shop import Shop
from worker import build


@pytest.fixture
async def temporal(temporal_address: str) -> Client:
    """A client of the real dev server."""
    return await Client.connect(temporal_address, data_converter=pydantic_data_converter)


@pytest.fixture
def own_settings(settings: Settings) -> Settings:
    """A task queue of the test's own, so that no other test's worker takes its work."""
    return settings.model_copy(update={"task_queue": f"test-{uuid4().hex}"})


@asynccontextmanager
async def running_worker(
    temporal: Client, activities: OrderActivities, task_queue: str
) -> AsyncIterator[None]:
    """One worker with everything while the block runs."""
    with ThreadPoolExecutor(8) as executor:
        async with build(temporal, activities, executor, activities_max=8, task_queue=task_queue):
            yield


@pytest.fixture
async def worker(
    temporal: Client, engine: Engine, writer: StockWriter, own_settings: Settings
) -> AsyncIterator[None]:
    """A worker on the queue that the test's API uses."""
    activities = OrderActivities(engine, writer)
    async with running_worker(temporal, activities, own_settings.task_queue):
        yield


@pytest.fixture
async def shop(
    engine: Engine,
    writer: StockWriter,
    temporal: Client,
    own_settings: Settings,
    tenant: TenantFixture,
) -> AsyncIterator[Shop]:
    """The API as an admin of a fresh tenant, with a warehouse, a customer and goods to sell."""
    app = create_app(
        Services(settings=own_settings, engine=engine, temporal=temporal, writer=writer)
    )
    with transaction(engine, tenant.id) as session:
        _, token = create_api_key(session, name="test", role="admin")
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(
        transport=transport,
        base_url="http://test",
        headers={"Authorization": f"Bearer {token}"},
        timeout=60,
    ) as http:
        made = Shop(http, tenant, temporal)
        await made.open()
        yield made
