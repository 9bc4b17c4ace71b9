"""One real PostgreSQL and one real Temporal for the whole run; a database for each test process.

The first process of the run starts the stack, tied to itself; xdist's workers inherit where it is.
Tests share the database of their process and keep apart by tenants, which row security separates.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import stack
from db import tenants
from db.engine import APP, FOLLOWER, MAINT, conninfo, make_engine, role_url
from db.install import install
from db.stock_writer import StockWriter
from domain.permissions import Actor
from entrance import Addresses, addresses
from settings import Settings
from tests.stack.stack_helpers import free_ports

_DATA, _PORTS = "STOCKWRIGHT_TEST_DATA_DIR", "STOCKWRIGHT_TEST_PORTS"
_TEMPLATE = "stockwright_template"
#: The folder of the stack that this process started, and so destroys.
_STATUS = pytest.StashKey[int]()
_STARTED = pytest.StashKey[Path]()


def stack_settings() -> Settings:
    """The settings of this run's stack."""
    ports = [int(port) for port in os.environ[_PORTS].split(",")]
    return Settings.model_validate(
        {
            "data_dir": os.environ[_DATA],
            "postgres_port": ports[0],
            "temporal_port": ports[1],
            "temporal_ui_port": ports[2],
            "api_port": ports[3],
        }
    )


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput") or _DATA in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="stockwright-test-"))
    folder.chmod(0o755)
    config.stash[_STARTED] = folder
    os.environ[_DATA] = str(folder)
    os.environ[_PORTS] = ",".join(str(port) for port in free_ports(4))
    settings = stack_settings()
    options = stack.StackOptions(temporal_in_memory=True, postgres_fsync=False, tie_to_parent=True)
    stack.start(settings, options=options)
    where = addresses(settings)
    install(where.admin_url, where.passwords, _TEMPLATE)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    folder = config.stash.get(_STARTED, None)
    if folder is None:
        return
    del os.environ[_DATA]
    stack.destroy(folder)
    shutil.rmtree(folder, ignore_errors=True)
    # The Temporal SDK can abort Python's shutdown after everything has passed (exit code 134, its
    # issue 300), so the run ends here with the status that the tests gave it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(config.stash.get(_STATUS, 1))


@dataclass(frozen=True, slots=True)
class Database:
    """One cloned database with the addresses of its roles."""

    name: str
    where: Addresses

    def url(self, role: str) -> Any:
        return role_url(self.where.admin_url, role, self.where.passwords[role], self.name)

    def conninfo(self, role: str = APP) -> str:
        return conninfo(self.url(role))


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The settings of the stack that this run started."""
    return stack_settings()


@pytest.fixture(scope="session")
def temporal_address(settings: Settings) -> str:
    """host:port of the real dev server."""
    return f"127.0.0.1:{settings.temporal_port}"


def clone(where: Addresses, name: str) -> Database:
    """A database of its own, copied from the migrated template."""
    plain = where.admin_url
    with psycopg.connect(plain, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER stockwright_owner").format(
                sql.Identifier(name), sql.Identifier(_TEMPLATE)
            )
        )
        for role in (APP, FOLLOWER, MAINT):
            admin.execute(
                sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                    sql.Identifier(name), sql.Identifier(role)
                )
            )
    return Database(name, where)


def drop(database: Database) -> None:
    """Remove a cloned database, whoever is still connected."""
    with psycopg.connect(database.where.admin_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database.name))
        )


@pytest.fixture(scope="session")
def database(settings: Settings) -> Iterator[Database]:
    """This process's database; tests keep apart by tenant."""
    made = clone(addresses(settings), f"test_{uuid4().hex[:12]}")
    yield made
    drop(made)


@pytest.fixture
def own_database(settings: Settings) -> Iterator[Database]:
    """A database for one test, for what concerns all tenants or breaks things."""
    made = clone(addresses(settings), f"test_{uuid4().hex[:12]}")
    yield made
    drop(made)


@pytest.fixture(scope="session")
def engine(database: Database) -> Iterator[Engine]:
    """The app role's engine: row security holds, never a superuser."""
    made = make_engine(database.url(APP))
    yield made
    made.dispose()


@pytest.fixture(scope="session")
def maint_engine(database: Database) -> Iterator[Engine]:
    """The maint role's engine, which sees every tenant: for set-up and the audit."""
    made = make_engine(database.url(MAINT))
    yield made
    made.dispose()


@pytest.fixture(scope="session")
def follower_engine(database: Database) -> Iterator[Engine]:
    """The follower role's engine."""
    made = make_engine(database.url(FOLLOWER))
    yield made
    made.dispose()


@pytest.fixture
def writer(database: Database) -> Iterator[StockWriter]:
    """A batch writer as the app role."""
    made = StockWriter(database.conninfo())
    yield made
    made.close()


@dataclass(frozen=True, slots=True)
class TenantFixture:
    """A tenant of a test."""

    id: UUID
    slug: str
    currency: str

    def actor(self, role: str = "admin") -> Actor:
        """Somebody of this tenant."""
        name = f"{role} of {self.slug}"
        return Actor(self.id, self.slug, name, role, self.currency, "Europe/Berlin")


MakeTenant = Callable[..., TenantFixture]
_numbers = count(1)


@pytest.fixture
def make_tenant(maint_engine: Engine) -> MakeTenant:
    """A factory of tenants; each call gives a new one."""

    def make(slug: str | None = None) -> TenantFixture:
        slug = slug or f"t{os.getpid()}x{next(_numbers)}"
        with Session(maint_engine) as session, session.begin():
            made = tenants.create_tenant(
                session, slug=slug, name=slug.title(), currency="EUR", time_zone="Europe/Berlin"
            )
            return TenantFixture(made.id, made.slug, made.currency)

    return make


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> TenantFixture:
    """A fresh tenant."""
    return make_tenant()
