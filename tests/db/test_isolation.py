"""Tenants never meet: row security, grants and keys, asked of the catalogue and of the app role."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import Connection
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from db import level_days, operations, tenants
from db.engine import APP, FOLLOWER, MAINT, OWNER, make_engine, transaction
from db.events import NewFact, assign_positions, record
from domain.stock import Reserve
from tests.conftest import Database
from tests.db.conftest import World
from tests.support import (
    AT,
    answers,
    command,
    connected,
    make_items,
    new_tenant,
    receive,
    rows,
    writers,
)

#: Tables without tenants: positions of followers, and Alembic's own.
SHARED = {"follower_cursors", "alembic_version"}


@pytest.fixture
def catalogue(database: Database) -> Iterator[Connection[Any]]:
    """A connection that reads the catalogue, as maint."""
    with connected(database.conninfo(MAINT)) as conn:
        yield conn


def _tenant_tables(conn: Connection[Any]) -> dict[str, str]:
    """Every table with tenants' rows, and the column that says whose."""
    found = conn.execute(
        "SELECT c.relname, CASE c.relname WHEN 'tenants' THEN 'id' ELSE 'tenant_id' END"
        " FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
        " AND (c.relname = 'tenants' OR EXISTS (SELECT 1 FROM pg_attribute a"
        " WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped))"
    ).fetchall()
    return dict(found)


def test_every_table_has_tenants_except_the_known_ones(catalogue: Connection[Any]) -> None:
    found = catalogue.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p', 'm', 'f', 'v')"
    ).fetchall()
    assert {row[0] for row in found} - set(_tenant_tables(catalogue)) == SHARED


def test_every_tenant_table_forces_row_security_with_a_policy_for_reading_and_writing(
    catalogue: Connection[Any],
) -> None:
    tables = _tenant_tables(catalogue)
    assert len(tables) > 15
    for table, column in tables.items():
        forced = catalogue.execute(
            "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = %s::regclass",
            (table,),
        ).fetchone()
        assert forced == (True, True), table
        policies = catalogue.execute(
            "SELECT permissive, cmd, qual, with_check FROM pg_policies WHERE tablename = %s",
            (table,),
        ).fetchall()
        setting = "(NULLIF(current_setting('app.tenant'::text, true), ''::text))::uuid"
        rule = f"({column} = {setting})"
        assert policies == [("PERMISSIVE", "ALL", rule, rule)], table


def test_every_foreign_key_between_tenant_tables_carries_the_tenant(
    catalogue: Connection[Any],
) -> None:
    """Row security does not hold inside foreign keys, so only the key itself can."""
    tables = _tenant_tables(catalogue)
    found = catalogue.execute(
        "SELECT c.conname, c.conrelid::regclass::text, c.confrelid::regclass::text,"
        " (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(c.conkey)"
        "   WITH ORDINALITY k (num, n) JOIN pg_attribute a"
        "   ON a.attrelid = c.conrelid AND a.attnum = k.num),"
        " (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(c.confkey)"
        "   WITH ORDINALITY k (num, n) JOIN pg_attribute a"
        "   ON a.attrelid = c.confrelid AND a.attnum = k.num)"
        " FROM pg_constraint c WHERE c.contype = 'f'"
    ).fetchall()
    assert len(found) > 15
    for name, child, parent, columns, target in found:
        assert child in tables, name
        assert parent in tables, name
        pairs = dict(zip(columns, target, strict=True))
        if parent == "tenants":
            assert pairs == {"tenant_id": "id"}, name
        else:
            assert pairs.get("tenant_id") == "tenant_id", name
            assert len(pairs) >= 2, name


def test_every_constraint_says_what_it_is(catalogue: Connection[Any]) -> None:
    """Names lead from a violation to its error; numbered names would change with the order."""
    found = catalogue.execute(
        "SELECT conname, conrelid::regclass::text FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace AND contype <> 'n'"
    ).fetchall()
    for name, table in found:
        assert name.startswith(f"{table}_") or table == "alembic_version", name
        assert not name[-1].isdigit(), name


def test_the_roles_may_do_what_was_decided_and_no_more(catalogue: Connection[Any]) -> None:
    found = catalogue.execute(
        "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication"
        " FROM pg_roles WHERE rolname LIKE 'stockwright%'"
    ).fetchall()
    nothing = (False, False, False)
    assert {row[0]: row[1:] for row in found} == {
        OWNER: (False, False, *nothing),
        APP: (False, False, *nothing),
        FOLLOWER: (False, True, *nothing),
        MAINT: (False, True, *nothing),
    }


def test_the_app_role_owns_nothing_and_belongs_to_nobody(catalogue: Connection[Any]) -> None:
    owners = catalogue.execute(
        "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace"
    ).fetchall()
    assert owners == [(OWNER,)]
    members = catalogue.execute(
        "SELECT 1 FROM pg_auth_members WHERE member = %s::regrole", (APP,)
    ).fetchall()
    assert members == []


def test_functions_that_look_across_tenants_are_few_and_closed(
    catalogue: Connection[Any],
) -> None:
    found = catalogue.execute(
        "SELECT proname, pg_get_userbyid(proowner), proconfig,"
        " has_function_privilege('public', oid, 'EXECUTE') FROM pg_proc"
        " WHERE pronamespace = 'public'::regnamespace AND prosecdef ORDER BY 1"
    ).fetchall()
    path = ["search_path=pg_catalog, public"]
    assert found == [
        ("assign_positions", MAINT, path, False),
        ("find_api_key", MAINT, path, False),
    ]


#: What the follower keeps itself; it reads everything else.
_FOLLOWERS_OWN = {"follower_cursors", "level_days", "level_day_marks"}


@pytest.mark.parametrize("role", [APP, FOLLOWER])
def test_no_grant_goes_beyond_what_a_role_needs(role: str, catalogue: Connection[Any]) -> None:
    found = catalogue.execute(
        "SELECT c.relname, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'"
        " AND a.grantee = %s::regrole",
        (role,),
    ).fetchall()
    assert len(found) > 20
    own = _FOLLOWERS_OWN if role == FOLLOWER else set()
    allowed = {"SELECT", "INSERT", "UPDATE", "DELETE"} if role == APP else {"SELECT"}
    assert {privilege for table, privilege in found if table not in own} <= allowed
    if role == APP:
        written = {table for table, privilege in found if privilege != "SELECT"}
        assert written & _FOLLOWERS_OWN == set()


@pytest.fixture
def full(world: World) -> World:
    """A world whose first tenant has a row in every table of tenants."""
    with writers(world.database.conninfo(), 1) as (writer,):
        for one in (receive(world.items, 9), command(Reserve((world.items.line(1),), "order-1"))):
            answers([writer.submit(world.tenant, one)])
    with Session(world.follower) as session, session.begin():
        assign_positions(session)
    with Session(world.follower) as session, session.begin():
        assert level_days.fold(session)
    ids = {"id": uuid7(), "v": world.items.variants[0], "w": world.items.warehouses[0]}
    with transaction(world.app, world.tenant) as session:
        tenants.create_api_key(session, name="key", role="viewer")
        operations.next_number(session, "SO")
        record(session, [NewFact("thing.made", "thing", "1", 1, "tester", AT, {})])
        for statement in _ROWS:
            session.execute(text(statement), ids)
    with transaction(world.maint, world.tenant) as session:
        for statement in _MAINT_ROWS:
            session.execute(text(statement))
    return world


#: What only maint may write.
_MAINT_ROWS = (
    "INSERT INTO retention_marks (kind, closed_at, process_id) VALUES ('x', now(), uuidv7())",
    (
        "INSERT INTO signed_breaks (level_id, sequence, available, reserved, damaged, quarantine,"
        " in_transit, value, correction_id, signed_by, reason)"
        " SELECT level_id, sequence, 0, 0, 0, 0, 0, 0, operation_id, 'x', 'x' FROM stock_movements"
    ),
)


_ROWS = (
    (
        "INSERT INTO departments (id, organization_id, name)"
        " SELECT :id, id, 'Stock' FROM organizations"
    ),
    (
        "INSERT INTO employees (department_id, first_name, last_name, email)"
        " VALUES (:id, 'A', 'B', 'a@b.example')"
    ),
    (
        "INSERT INTO revaluations (id, number, workflow_id, movement_id, level_id, quantity,"
        " unit_cost_before, unit_cost, difference, reason, status, cursor_sequence, remaining,"
        " created_by) SELECT :id, 'RV-1', 'x', m.id, m.level_id, 1, 1, 2, 1, 'x', 'walking', 1, 1,"
        " 'x' FROM stock_movements m ORDER BY m.id LIMIT 1"
    ),
    "INSERT INTO reversals (original_id, operation_id) VALUES (:id, :v)",
    "INSERT INTO customers (id, name) VALUES (:id, 'C')",
    "INSERT INTO suppliers (id, name) VALUES (:id, 'S')",
    (
        "INSERT INTO orders (id, number, workflow_id, customer_id, currency, total_amount, policy,"
        " payment_required, fulfilment, payment, occurred_at, business_date, version)"
        " VALUES (:id, 'SO-1', 'order-1', :id, 'EUR', 1, 'complete', false, 'reserved', 'none',"
        " now(), current_date, 1)"
    ),
    (
        "INSERT INTO order_lines (order_id, line, variant_id, warehouse_id, description, ordered,"
        " reserved, unit_price) VALUES (:id, 1, :v, :w, 'x', 1, 1, 1)"
    ),
    (
        "INSERT INTO shipments (order_id, n, lines, shipped_at, shipped_by)"
        " VALUES (:id, 1, '[]', now(), 'x')"
    ),
    (
        "INSERT INTO payments (order_id, n, method, amount, currency, received_at, recorded_by)"
        " VALUES (:id, 1, 'cash', 1, 'EUR', now(), 'x')"
    ),
    "INSERT INTO units (id, code, name, decimals) VALUES (:id, 'box', 'Box', 0)",
    "INSERT INTO variant_units (variant_id, unit_id, factor) VALUES (:v, :id, 12)",
    (
        "INSERT INTO attributes (id, kind, key, label, type, required, options)"
        " VALUES (:id, 'variant', 'colour', 'Colour', 'text', false, '{}')"
    ),
    "INSERT INTO attribute_values (record_id, attribute_id, value) VALUES (:v, :id, 'red')",
    (
        "INSERT INTO stock_alerts (level_id, warehouse_id, variant_id, type, severity, status,"
        " current_quantity, opened_at) SELECT id, warehouse_id, variant_id, 'OUT_OF_STOCK',"
        " 'CRITICAL', 'created', 0, now() FROM inventory_levels"
    ),
    "INSERT INTO alert_cursors (position) VALUES (1)",
    (
        "INSERT INTO level_demand (level_id, day, units)"
        " SELECT id, '2026-01-01', 1 FROM inventory_levels"
    ),
    "INSERT INTO variant_suppliers (variant_id, supplier_id) VALUES (:v, :id)",
    "INSERT INTO reorder_proposals (id, supplier_id, calculated_at) VALUES (:id, :id, now())",
    (
        "INSERT INTO reorder_lines (proposal_id, level_id, warehouse_id, variant_id, available,"
        " in_transit, incoming, projected, reorder_point, demand_units, demand_days,"
        " lead_time_days, target, minimum_quantity, pack_size, quantity)"
        " SELECT :id, id, warehouse_id, variant_id, 0, 0, 0, 0, 5, 0, 30, 0, 5, 1, 1, 6"
        " FROM inventory_levels"
    ),
)


def _visible(conn: Connection[Any], table: str, column: str, tenant: UUID) -> int:
    row = conn.execute(
        f"SELECT count(*) FROM {table} WHERE {column} = %s".encode(),  # noqa: S608
        (tenant,),
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_nobody_but_the_tenant_sees_a_single_row(full: World) -> None:
    """As another tenant, with no tenant set, with the empty string, and with nonsense."""
    other = new_tenant(full.maint)
    with connected(full.database.conninfo()) as conn:
        tables = _tenant_tables(conn)
        for table, column in tables.items():
            assert _visible(conn, table, column, full.tenant) == 0, table
        for setting in (str(other), "", str(uuid7())):
            conn.execute("SELECT set_config('app.tenant', %s, false)", (setting,))
            for table, column in tables.items():
                assert _visible(conn, table, column, full.tenant) == 0, (setting, table)
        conn.execute("SELECT set_config('app.tenant', %s, false)", (str(full.tenant),))
        for table, column in tables.items():
            assert _visible(conn, table, column, full.tenant) > 0, table


def test_another_tenant_changes_and_removes_nothing(full: World) -> None:
    other = new_tenant(full.maint)
    with connected(full.database.conninfo()) as conn:
        conn.execute("SELECT set_config('app.tenant', %s, false)", (str(other),))
        for table, column in _tenant_tables(conn).items():
            for statement in (
                f"UPDATE {table} SET {column} = {column} WHERE {column} = %s",  # noqa: S608
                f"DELETE FROM {table} WHERE {column} = %s",  # noqa: S608
            ):
                try:
                    touched = conn.execute(statement.encode(), (full.tenant,)).rowcount
                except psycopg.errors.InsufficientPrivilege:
                    continue
                assert touched == 0, statement


def test_rows_cannot_be_written_for_another_tenant(full: World) -> None:
    other = new_tenant(full.maint)
    with connected(full.database.conninfo()) as conn:
        conn.execute("SELECT set_config('app.tenant', %s, false)", (str(other),))
        for statement in (
            "INSERT INTO customers (tenant_id, name) VALUES (%s, 'C')",
            (
                "INSERT INTO operations (tenant_id, source, key, fingerprint, state)"
                " VALUES (%s, 'http', 'k', '', 'claimed')"
            ),
            "INSERT INTO postings (tenant_id, facts) VALUES (%s, 1)",
            "INSERT INTO number_counters (tenant_id, kind) VALUES (%s, 'XX')",
            "UPDATE organizations SET tenant_id = %s",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                conn.execute(statement.encode(), (full.tenant,))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO inventory_levels (warehouse_id, variant_id) VALUES (%(mine_w)s, %(v)s)",
        "INSERT INTO inventory_levels (warehouse_id, variant_id) VALUES (%(w)s, %(mine_v)s)",
        "INSERT INTO variants (product_id, sku, name) VALUES (%(p)s, 'x', 'x')",
        (
            "INSERT INTO reservations (level_id, owner, line, quantity, open, operation_id)"
            " VALUES (%(l)s, 'o', 1, 1, 1, uuidv7())"
        ),
        "INSERT INTO departments (organization_id, name) VALUES (%(o)s, 'x')",
        "UPDATE variants SET base_unit_id = %(u)s",
        "INSERT INTO variant_units (variant_id, unit_id, factor) VALUES (%(mine_v)s, %(u)s, 2)",
        (
            "INSERT INTO attribute_values (record_id, attribute_id, value)"
            " VALUES (%(mine_v)s, %(a)s, 'red')"
        ),
        (
            "INSERT INTO stock_alerts (level_id, warehouse_id, variant_id, type, severity, status,"
            " current_quantity, opened_at) VALUES (%(l)s, %(w)s, %(v)s, 'LOW_STOCK', 'WARNING',"
            " 'created', 0, now())"
        ),
        "INSERT INTO level_demand (level_id, day, units) VALUES (%(l)s, '2026-01-01', 1)",
        "INSERT INTO variant_suppliers (variant_id, supplier_id) VALUES (%(v)s, %(s)s)",
        "INSERT INTO variant_suppliers (variant_id, supplier_id) VALUES (%(mine_v)s, %(s)s)",
        "INSERT INTO reorder_proposals (supplier_id, calculated_at) VALUES (%(s)s, now())",
        (
            "INSERT INTO events (posting_id, ordinal, kind, subject_kind, subject_id,"
            " subject_sequence, actor, data, occurred_at)"
            " VALUES (%(posting)s, 9, 'k', 's', '1', 1, 'a', '{}', now())"
        ),
    ],
)
def test_no_row_can_refer_to_a_row_of_another_tenant(statement: str, full: World) -> None:
    mine = make_items(full.app, new_tenant(full.maint))
    found = rows(
        full.app,
        full.tenant,
        "SELECT (SELECT id FROM products) AS p, (SELECT min(id::text) FROM inventory_levels) AS l,"
        " (SELECT id FROM organizations) AS o, (SELECT min(id) FROM postings) AS posting,"
        " (SELECT id FROM units) AS u, (SELECT id FROM attributes) AS a,"
        " (SELECT id FROM suppliers) AS s",
    )[0]
    values = {
        "mine_v": mine.variants[0],
        "mine_w": mine.warehouses[0],
        "v": full.items.variants[0],
        "w": full.items.warehouses[0],
        **found._mapping,  # SQLAlchemy's name for a row as a mapping.
    }
    with connected(full.database.conninfo()) as conn:
        conn.execute("SELECT set_config('app.tenant', %s, false)", (str(mine.tenant),))
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            conn.execute(statement.encode(), values)


def _nobody(engine: Engine) -> int:
    with Session(engine) as session:
        count: int = session.execute(text("SELECT count(*) FROM organizations")).scalar_one()
    return count


def test_a_pooled_connection_carries_no_tenant_on_after_success_or_error(
    database: Database, make_tenant: Callable[..., Any]
) -> None:
    tenant = make_tenant().id
    engine = make_engine(database.url(APP), pool_size=1)
    try:
        assert _nobody(engine) == 0
        assert len(rows(engine, tenant, "SELECT 1 FROM organizations")) == 1
        assert _nobody(engine) == 0
        for error in ("SELECT 1/0", "SELECT * FROM nowhere"):
            with pytest.raises(Exception, match=r"division by zero|does not exist"):
                rows(engine, tenant, error)
            assert _nobody(engine) == 0
        with pytest.raises(ZeroDivisionError), transaction(engine, tenant):
            raise ZeroDivisionError
        assert _nobody(engine) == 0
        with Session(engine) as session:
            setting = session.execute(text("SELECT current_setting('app.tenant', true)"))
            assert setting.scalar_one() == ""
    finally:
        engine.dispose()


def test_a_transaction_that_fails_is_rolled_back_whole(
    engine: Engine, make_tenant: Callable[..., Any]
) -> None:
    tenant = make_tenant().id

    def fail() -> None:
        with transaction(engine, tenant) as session:
            session.execute(text("INSERT INTO customers (name) VALUES ('lost')"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert rows(engine, tenant, "SELECT 1 FROM customers") == []


def test_the_follower_reads_every_tenant_and_writes_none(full: World) -> None:
    with connected(full.database.conninfo(FOLLOWER)) as conn:
        for table, column in _tenant_tables(conn).items():
            assert _visible(conn, table, column, full.tenant) > 0, table
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("INSERT INTO customers (tenant_id, name) VALUES (%s, 'C')", (full.tenant,))


def test_no_transaction_of_the_app_lives_for_ever(database: Database) -> None:
    with connected(database.conninfo()) as conn:
        assert conn.execute("SHOW transaction_timeout").fetchone() == ("30s",)
