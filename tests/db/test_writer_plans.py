"""The plans of the writer's own statements, as they really run, on tables with enough rows.

``auto_explain`` tells the plan of every statement of the session, those of triggers included. None
may read a large table but by a key: a batch must not cost more when the tables have grown.
"""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from uuid_utils.compat import uuid7

from db import stock_sql as sql
from db.stock import Ledger
from db.stock_commands import StockCommand
from db.stock_writer import SESSION_OPTIONS
from domain.stock import Deduct, Release, Reserve, Reverse, Ship, Transfer, TransferLine
from tests.db.conftest import World
from tests.support import command, connected, make_items, receive

LARGE = {
    "inventory_levels",
    "stock_movements",
    "operations",
    "reservations",
    "postings",
    "variants",
}
VARIANTS = 1500
_FILL = """
INSERT INTO inventory_levels (tenant_id, warehouse_id, variant_id)
SELECT w.tenant_id, w.id, v.id FROM warehouses w JOIN variants v USING (tenant_id);
INSERT INTO reservations (tenant_id, level_id, owner, line, quantity, open, operation_id)
SELECT tenant_id, id, 'old-' || i, 1, 1, (i % 50 = 0)::int, uuidv7()
  FROM generate_series(1, 20000) i, (SELECT * FROM inventory_levels LIMIT 1) l;
INSERT INTO operations (tenant_id, source, key, fingerprint, state, status)
SELECT id, 'http', 'old-' || n, '', 'done', 200 FROM tenants, generate_series(1, 20000) n;
INSERT INTO postings (tenant_id, facts) SELECT id, 1 FROM tenants, generate_series(1, 20000);
INSERT INTO stock_movements (
    tenant_id, posting_id, ordinal, operation_id, level_id, sequence, warehouse_id, variant_id,
    kind, available_before, available_change, available_after, reserved_before, reserved_change,
    reserved_after, damaged_before, damaged_change, damaged_after, quarantine_before,
    quarantine_change, quarantine_after, in_transit_before, in_transit_change, in_transit_after,
    unit_cost, value_change, value_after, created_by, occurred_at, business_date)
SELECT p.tenant_id, p.id, 1, uuidv7(), l.id, 1000 + p.id, l.warehouse_id, l.variant_id, 'reserve',
       0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 'x', now(), current_date
  FROM postings p, (SELECT * FROM inventory_levels LIMIT 1) l;
ANALYZE;
"""
_TELL = (
    "session_preload_libraries = 'auto_explain'",
    "client_min_messages = log",
    "auto_explain.log_min_duration = 0",
    "auto_explain.log_nested_statements = on",
    "auto_explain.log_format = json",
)

Plan = dict[str, Any]


@pytest.fixture
def told(world: World) -> Iterator[tuple[Connection[Any], list[Plan]]]:
    """A connection like the writer's, and the plans of what it ran."""
    make_items(world.app, world.tenant, variants=VARIANTS)
    plans: list[Plan] = []
    with connected(world.superuser) as admin:
        admin.execute("LOAD 'auto_explain'")
        admin.execute(_FILL)
        for setting in _TELL:
            admin.execute(f"ALTER DATABASE {world.database.name} SET {setting}".encode())

    def keep(notice: psycopg.errors.Diagnostic) -> None:
        text = notice.message_primary or ""
        if "plan:" in text:
            plans.append(json.loads(text[text.index("{") :]))

    where = world.database.conninfo()
    with psycopg.connect(
        where, autocommit=True, options=SESSION_OPTIONS, prepare_threshold=0
    ) as conn:
        conn.add_notice_handler(keep)
        yield conn, plans


def nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def scans(plans: list[Plan]) -> list[str]:
    """What reads a large table by less than a key, or by nothing at all."""
    found = []
    for plan in plans:
        for node in nodes(plan["Plan"]):
            if node.get("Relation Name") not in LARGE or node["Node Type"] == "ModifyTable":
                continue
            condition = node.get("Index Cond", "")
            by_key = condition.count(" = ") >= 2 or condition.startswith("(id = ")
            if not by_key and node["Node Type"] != "Tid Scan":
                found.append(f"{node['Node Type']} {node['Relation Name']}: {condition}")
    return found


def run(conn: Connection[Any], ledger: Ledger, world: World, *batch: StockCommand) -> None:
    """As the writer: foreseen if it can be."""
    foreseen = ledger.foresee(world.tenant, batch)
    with conn.transaction():
        if foreseen is not None:
            conn.execute(sql.SET_TENANT, (str(world.tenant),))
            ledger.apply_foreseen(conn, world.tenant, foreseen)
        else:
            ledger.apply(conn, world.tenant, batch)


def work(conn: Connection[Any], world: World) -> Ledger:
    """Every kind of command, alone and with others."""
    items, ledger = world.items, Ledger(uuid7)
    reserve = command(Reserve((items.line(2, 1), items.line(1, 2)), "order-1"), key="r/1")
    run(conn, ledger, world, *(receive(items, 10, variant) for variant in range(20)))
    run(conn, ledger, world, reserve, receive(items, 1, 3))
    run(conn, ledger, world, command(Deduct((items.line(1, 5),))))
    transfer = Transfer((TransferLine(items.key(1), items.key(1, 1), 1),))
    run(conn, ledger, world, command(transfer), reserve)
    run(conn, ledger, world, command(Ship("order-1", {1: 1})))
    run(conn, ledger, world, command(Release("order-1", voids="r/1"), key="r/1/undo"))
    row = conn.execute("SELECT operation_id FROM stock_movements LIMIT 1").fetchone()
    assert row is None  # Nothing is seen without a tenant.
    with conn.transaction():
        conn.execute("SELECT set_config('app.tenant', %s, true)", (str(world.tenant),))
        ((operation,),) = conn.execute(
            "SELECT operation_id FROM stock_movements WHERE kind = 'sale'"
        ).fetchall()
    run(conn, ledger, world, command(Reverse(operation)))
    return ledger


def test_no_statement_of_the_writer_reads_a_large_table_but_by_key(
    world: World, told: tuple[Connection[Any], list[Plan]]
) -> None:
    conn, plans = told
    work(conn, world)
    mine = [plan for plan in plans if "FROM stock_movements WHERE kind" not in plan["Query Text"]]
    texts = " ".join(plan["Query Text"] for plan in mine)
    for part in ("lock_as_foreseen(", "FOR NO KEY UPDATE", "INSERT INTO postings", "FROM added"):
        assert part in texts
    tables = {node.get("Relation Name") for plan in mine for node in nodes(plan["Plan"])}
    assert tables >= LARGE
    assert scans([p for p in mine if "LIMIT 1" not in p["Query Text"]]) == []


@pytest.mark.parametrize(
    "index", ["reservations_owner_idx", "stock_movements_operation_key", "inventory_levels_pkey"]
)
def test_a_missing_index_is_seen(
    world: World, told: tuple[Connection[Any], list[Plan]], index: str
) -> None:
    with connected(world.superuser) as admin:
        drop = f"DROP INDEX {index}"
        if index.endswith("pkey"):
            drop = f"ALTER TABLE {index.removesuffix('_pkey')} DROP CONSTRAINT {index} CASCADE"
        admin.execute(drop.encode())
    conn, plans = told
    work(conn, world)
    assert scans([p for p in plans if "LIMIT 1" not in p["Query Text"]]) != []
