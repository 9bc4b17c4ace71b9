"""Installing: from nothing to the newest schema, and again without any effect."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy import text

from db.engine import APP, FOLLOWER, MAINT, OWNER, make_engine, transaction
from db.install import head_revision, install, migrate
from entrance import Addresses, addresses
from settings import Settings
from tests.conftest import Database, drop
from tests.support import connected, make_items, new_tenant, together

#: Everything that a migration can make, as text that can be compared.
_SCHEMA = """
SELECT 'column', table_name, column_name, data_type || is_nullable || coalesce(column_default, '')
  FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid)
  FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function', '', proname,
       CASE prokind WHEN 'a' THEN 'aggregate' ELSE pg_get_functiondef(oid) END
  FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'policy', tablename, policyname, coalesce(qual, '') FROM pg_policies
UNION ALL SELECT 'grant', relname, '', relacl::text
  FROM pg_class WHERE relnamespace = 'public'::regnamespace
ORDER BY 1, 2, 3, 4
"""


@pytest.fixture
def where(settings: Settings) -> Addresses:
    """The servers and passwords of this run."""
    return addresses(settings)


@pytest.fixture
def empty(where: Addresses) -> Iterator[Database]:
    """The name of a database that does not exist yet."""
    made = Database(f"test_{uuid4().hex[:12]}", where)
    yield made
    drop(made)


def _schema(database: Database) -> list[Any]:
    with connected(database.conninfo(MAINT)) as conn:
        return conn.execute(_SCHEMA.encode()).fetchall()


def _revision(database: Database) -> str:
    admin = make_conninfo(database.where.admin_url, dbname=database.name)
    with connected(admin) as conn:
        row = conn.execute("SELECT version_num FROM alembic_version").fetchone()
    assert row is not None
    return str(row[0])


def test_installing_twice_changes_nothing(empty: Database, where: Addresses) -> None:
    install(where.admin_url, where.passwords, empty.name)
    first = _schema(empty)
    assert len(first) > 200
    assert _revision(empty) == head_revision() != ""
    install(where.admin_url, where.passwords, empty.name)
    assert _schema(empty) == first
    assert _revision(empty) == head_revision()


def test_a_second_migration_keeps_the_data(own_database: Database, where: Addresses) -> None:
    maint, app = (make_engine(own_database.url(role)) for role in (MAINT, APP))
    try:
        tenant = new_tenant(maint)
        make_items(app, tenant, variants=3)
        migrate(where.admin_url, own_database.name)
        with transaction(app, tenant) as session:
            assert session.execute(text("SELECT count(*) FROM variants")).scalar_one() == 3
    finally:
        maint.dispose()
        app.dispose()


def test_two_installers_at_once_do_not_trip_over_each_other(
    empty: Database, where: Addresses
) -> None:
    """As two copies of the worker that start together on a new server's database."""
    with psycopg.connect(where.admin_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(
                sql.Identifier(empty.name), sql.Identifier(OWNER)
            )
        )
    together([lambda: migrate(where.admin_url, empty.name) for _ in range(2)])
    assert _revision(empty) == head_revision()


def test_only_our_roles_may_connect(empty: Database, where: Addresses) -> None:
    install(where.admin_url, where.passwords, empty.name)
    with connected(make_conninfo(where.admin_url, dbname=empty.name)) as conn:
        found = conn.execute(
            "SELECT has_database_privilege('public', current_database(), 'CONNECT'),"
            " has_schema_privilege('public', 'public', 'CREATE')"
        ).fetchone()
    assert found == (False, False)
    for role in (APP, FOLLOWER, MAINT):
        with connected(empty.conninfo(role)) as conn:
            assert conn.execute("SELECT current_user").fetchone() == (role,)
            if role != MAINT:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    conn.execute("CREATE TABLE mine (n int)")
