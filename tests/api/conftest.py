"""The API over the real database and Temporal, and callers with real keys of each role."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from api.app import create_app
from api.services import Services
from db.stock_writer import StockWriter
from entrance import connect
from settings import Settings
from tests.api.api_helpers import Caller

if TYPE_CHECKING:
    from tests.conftest import Database, MakeTenant, TenantFixture

MakeCaller = Callable[..., Caller]


@pytest.fixture(scope="session")
def app(engine: Engine, database: "Database", settings: Settings) -> Iterator[FastAPI]:
    """The application as a process of ours has it; no worker answers for its orders."""
    writer = StockWriter(database.conninfo())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        temporal = await connect(settings, lazy=True)
        app.state.services = replace(app.state.services, temporal=temporal)
        yield

    services = Services(settings, engine, None, writer)
    yield create_app(services, lifespan=lifespan)
    writer.close()


@pytest.fixture(scope="session")
def client(app: FastAPI) -> Iterator[TestClient]:
    """A client that shows 500 as an answer instead of raising it."""
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def schema(app: FastAPI) -> dict[str, Any]:
    """The published schema; walks over all routes start here."""
    return app.openapi()


@pytest.fixture
def make_caller(client: TestClient, engine: Engine) -> MakeCaller:
    """A factory of callers: ``make_caller(tenant, role)``."""

    def make(tenant: "TenantFixture", role: str = "admin") -> Caller:
        return Caller(client, engine, tenant.id, role)

    return make


@pytest.fixture
def admin(make_caller: MakeCaller, tenant: "TenantFixture") -> Caller:
    """An admin of a fresh tenant."""
    return make_caller(tenant)


@pytest.fixture
def stranger(make_caller: MakeCaller, make_tenant: "MakeTenant") -> Caller:
    """An admin of another fresh tenant."""
    return make_caller(make_tenant())
