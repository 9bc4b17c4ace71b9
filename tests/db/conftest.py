"""Ground to stand on for tests of the ledger: a tenant with items, or a whole database alone."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Engine

from db.engine import APP, FOLLOWER, MAINT, make_engine, transaction
from db.events import assign_positions
from domain.stock import Action, Deduct, Receive, Reserve, Ship
from tests.conftest import Database, MakeTenant, TenantFixture
from tests.support import Items, answers, books, command, make_items, new_tenant, writers

MakeItems = Callable[..., Items]


@pytest.fixture
def items(engine: Engine, tenant: TenantFixture) -> Items:
    """Twenty variants in two warehouses of a fresh tenant."""
    return make_items(engine, tenant.id, variants=20, warehouses=2)


@pytest.fixture
def new_items(engine: Engine, make_tenant: MakeTenant) -> MakeItems:
    """A factory of tenants with items."""

    def make(**counts: int) -> Items:
        return make_items(engine, make_tenant().id, **counts)

    return make


@pytest.fixture
def balanced(maint_engine: Engine) -> Callable[[Items], None]:
    """Asserts that the oracle has nothing against a tenant's books."""

    def check(items: Items) -> None:
        assert books(maint_engine, items.tenant) == []

    return check


@dataclass(frozen=True, slots=True)
class World:
    """A database that belongs to one test, seen by each role, with one tenant."""

    database: Database
    app: Engine
    maint: Engine
    follower: Engine
    items: Items

    @property
    def tenant(self) -> UUID:
        return self.items.tenant

    @property
    def superuser(self) -> str:
        """Only to plant damage that every other role is prevented from doing."""
        url = self.database.url(MAINT)
        admin: Any = self.database.where.admin_url
        return str(admin).rsplit("/", 1)[0] + f"/{url.database}"


@pytest.fixture
def world(own_database: Database) -> Iterator[World]:
    """A database of its own with engines for every role."""
    with ExitStack() as stack:
        engines = []
        for role in (APP, MAINT, FOLLOWER):
            made = make_engine(own_database.url(role))
            stack.callback(made.dispose)
            engines.append(made)
        app, maint, follower = engines
        items = make_items(app, new_tenant(maint), variants=20, warehouses=2)
        yield World(own_database, app, maint, follower, items)


def trade(world: World) -> None:
    """Two levels with receipts, holds, shipments and a sale, and positions for all of it."""
    items = world.items
    actions: list[Action] = [
        Receive((items.line(10, 0, cost="1.10"), items.line(10, 1, cost="2.30"))),
        Reserve((items.line(4, 0, n=1), items.line(5, 1, n=2)), "order-1"),
        Ship("order-1", {1: 1, 2: 5}),
        Deduct((items.line(3, 0),)),
        Receive((items.line(3, 0, cost="1.37"),)),
    ]
    with writers(world.database.conninfo(), 1) as (writer,):
        for action in actions:
            answers([writer.submit(world.tenant, command(action))])
    with transaction(world.app, world.tenant) as session:
        assign_positions(session)


@pytest.fixture
def traded(world: World) -> World:
    """A world whose books balance."""
    trade(world)
    assert books(world.maint) == []
    return world


@pytest.fixture
def damage(traded: World) -> Iterator[Callable[..., None]]:
    """Runs a statement as the superuser with every trigger and foreign key off."""
    with psycopg.connect(traded.superuser, autocommit=True) as admin:
        admin.execute("SET session_replication_role = replica")

        def run(statement: str, *values: Any) -> None:
            assert admin.execute(statement.encode(), values).rowcount != 0

        yield run
