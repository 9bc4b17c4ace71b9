"""The plans of the reads: as the app role under row security, on tables with enough rows.

Each question is asked through the code that the API uses; what it sends is explained. A list that
is a page may not read more than the page: it has its index, no scan, and nothing to sort. Every
case is also tried without its index, and must fail then.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import Connection, sql
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from benchmarks.as_of import fill
from db import as_of, events, level_days, levels, movements, operations, orders, summary
from db.engine import APP, FOLLOWER, MAINT, make_engine, transaction
from db.levels import LevelFilter
from db.movements import MovementFilter
from db.paging import Page, Window
from entrance import addresses
from settings import Settings
from tests.conftest import Database, clone, drop
from tests.support import connected, new_tenant

ROWS = 10_000
MOVEMENTS = 52_000
WEEK = (datetime(2024, 6, 3, tzinfo=UTC), datetime(2024, 6, 10, tzinfo=UTC))
#: Tables that stay small, which a scan reads fastest.
SMALL = {"warehouses"}

_CATALOGUE = """
WITH p AS (
    INSERT INTO products (tenant_id, sku, name, price)
    SELECT %(tenant)s, 'P' || n, 'Thing', 1 FROM generate_series(1, %(levels)s / 4) n RETURNING id
), numbered AS (
    SELECT id, row_number() OVER () AS n FROM p
), v AS (
    INSERT INTO variants (tenant_id, product_id, sku, name, barcode)
    SELECT %(tenant)s, p.id, 'V' || i, 'Thing', 'B' || i
      FROM generate_series(1, %(levels)s / 2) i JOIN numbered p ON p.n = (i + 1) / 2 RETURNING id
), w AS (
    INSERT INTO warehouses (tenant_id, code, name)
    SELECT %(tenant)s, 'W' || n, 'House' FROM generate_series(1, 2) n RETURNING id
)
INSERT INTO inventory_levels (tenant_id, warehouse_id, variant_id, aisle, shelf, bin_location,
                              reorder_point)
SELECT %(tenant)s, w.id, v.id, 'A' || n %% 20, 'S' || n %% 7, 'A' || n %% 20 || '-' || n, n %% 50
  FROM (SELECT id, row_number() OVER () AS n FROM v) v, w
"""
# Most of what was ever held is long gone, and most orders are closed.
_HELD = """
INSERT INTO reservations (tenant_id, level_id, owner, line, quantity, open, operation_id)
SELECT %(tenant)s, l.id, 'order-' || i, 1, 1, CASE WHEN i %% 50 = 0 THEN 1 ELSE 0 END, uuidv7()
  FROM generate_series(1, %(rows)s) i
  JOIN (SELECT id, row_number() OVER (ORDER BY id) AS n FROM inventory_levels
         WHERE tenant_id = %(tenant)s) l ON l.n = i %% 1000 + 1
"""
_ANSWERED = """
INSERT INTO operations (tenant_id, source, key, fingerprint, state, status)
SELECT %(tenant)s, 'http', 'key-' || n, '', 'done', 200 FROM generate_series(1, %(rows)s) n
"""
_ORDERED = """
WITH c AS (
    INSERT INTO customers (tenant_id, name) SELECT %(tenant)s, 'C' FROM generate_series(1, 500)
    RETURNING id
), o AS (
    INSERT INTO orders (tenant_id, number, workflow_id, customer_id, reference, currency,
                        total_amount, policy, payment_required, fulfilment, payment, occurred_at,
                        business_date, version)
    SELECT %(tenant)s, 'SO-' || i, 'order-' || i, c.id, 'web-' || i, 'EUR', 1, 'complete', false,
           CASE WHEN i %% 100 = 0 THEN 'reserved' ELSE 'closed' END, 'none', now(), current_date, 1
      FROM generate_series(1, %(rows)s) i
      JOIN (SELECT id, row_number() OVER () AS n FROM c) c ON c.n = i %% 500 + 1
    RETURNING id
)
INSERT INTO order_lines (tenant_id, order_id, line, variant_id, warehouse_id, description, ordered,
                         reserved, unit_price)
SELECT %(tenant)s, o.id, 1, l.variant_id, l.warehouse_id, 'x', 1, 1, 1
  FROM o, (SELECT variant_id, warehouse_id FROM inventory_levels
            WHERE tenant_id = %(tenant)s LIMIT 1) l
"""
_TOLD = """
WITH p AS (INSERT INTO postings (tenant_id, facts) VALUES (%(tenant)s, %(rows)s) RETURNING id)
INSERT INTO events (tenant_id, posting_id, ordinal, kind, subject_kind, subject_id,
                    subject_sequence, actor, data, occurred_at)
SELECT %(tenant)s, p.id, n, 'order.placed', 'order', 'SO-' || n / 4, n, 'tester', '{}', now()
  FROM p, generate_series(1, %(rows)s) n
"""


@dataclass(frozen=True, slots=True)
class Known:
    """Things of the tenant that questions name."""

    level_id: UUID
    warehouse_id: UUID
    variant_id: UUID
    product_id: UUID
    movement_id: UUID
    operation_id: UUID
    reference_id: str
    bin_location: str
    order_id: UUID
    customer_id: UUID


@dataclass(frozen=True, slots=True)
class Field:
    """The filled database, and one of its tenants: a tenth of the levels, half of the rest."""

    database: Database
    app: Engine
    tenant: UUID
    known: Known

    @property
    def superuser(self) -> str:
        """Only to take an index away, and back again."""
        return self.database.where.admin_url.rsplit("/", 1)[0] + f"/{self.database.name}"


def _fill(database: Database, maint_engine: Engine) -> UUID:
    tenants = []
    with connected(database.conninfo(MAINT)) as conn:
        for shelves in (18_000, 2_000):
            tenant = new_tenant(maint_engine)
            tenants.append(tenant)
            values = {"tenant": tenant, "levels": shelves, "rows": ROWS}
            conn.execute(_CATALOGUE, values)
            fill(conn, tenant, MOVEMENTS)
            for statement in (_HELD, _ANSWERED, _ORDERED, _TOLD):
                conn.execute(statement, values)
    follower = make_engine(database.url(FOLLOWER), pool_size=1)
    before, head = -1, 0
    while before != head:
        with Session(follower) as session, session.begin():
            before, head = head, events.assign_positions(session)
    with Session(follower) as session, session.begin():
        assert level_days.fold(session, head)
    follower.dispose()
    with psycopg.connect(
        database.where.admin_url.rsplit("/", 1)[0] + f"/{database.name}", autocommit=True
    ) as admin:
        admin.execute("ANALYZE")
    return tenants[-1]


_KNOWN = text("""
SELECT m.level_id, m.warehouse_id, m.variant_id, v.product_id, m.id, m.operation_id,
       m.reference_id, l.bin_location, o.id, o.customer_id
  FROM stock_movements m JOIN inventory_levels l ON l.id = m.level_id
  JOIN variants v ON v.id = m.variant_id, (SELECT id, customer_id FROM orders LIMIT 1) o
 WHERE m.reference_id IS NOT NULL AND l.sequence < 100 LIMIT 1
""")


@pytest.fixture(scope="module")
def field(settings: Settings) -> Iterator[Field]:
    """Two tenants with 52,000 movements and 10,000 of everything else each."""
    database = clone(addresses(settings), f"test_{uuid4().hex[:12]}")
    maint, app = make_engine(database.url(MAINT)), make_engine(database.url(APP))
    tenant = _fill(database, maint)
    with transaction(app, tenant) as session:
        known = Known(*session.execute(_KNOWN).one())
    yield Field(database, app, tenant, known)
    maint.dispose()
    app.dispose()
    drop(database)


Ask = Callable[[Session, Known], object]


@dataclass(frozen=True, slots=True)
class Case:
    """A question, the indexes that its plan must have, and whether it is a page in their order."""

    ask: Ask
    indexes: tuple[str, ...]
    page: bool = True


def _both(fetch: Callable[[Window], Page[Any]], *, descending: bool = False) -> None:
    """The first page of a list and the next."""
    first = fetch(Window(5, None, descending))
    if first.next is not None:
        fetch(Window(5, first.next, descending))


def _levels(order: str = "id", *names: str, **fixed: Any) -> Ask:
    def ask(session: Session, known: Known) -> None:
        wanted = LevelFilter(**{name: getattr(known, name) for name in names}, **fixed)
        _both(lambda window: levels.levels(session, window, wanted, order))

    return ask


def _moves(*names: str, order: str = "id", descending: bool = False, **fixed: Any) -> Ask:
    def ask(session: Session, known: Known) -> None:
        wanted = MovementFilter(**{name: getattr(known, name) for name in names}, **fixed)
        _both(
            lambda window: movements.movements(session, window, wanted, order),
            descending=descending,
        )

    return ask


def _timed(*names: str, descending: bool = False, **fixed: Any) -> Ask:
    return _moves(*names, order="occurred_at", descending=descending, **fixed)


def _orders(**wanted: Any) -> Ask:
    return lambda session, _: _both(lambda w: orders.list_orders(session, w, **wanted))


def _then(session: Session, known: Known, when: int | date) -> None:
    page = levels.levels(session, Window(50), LevelFilter(warehouse_id=known.warehouse_id))
    if isinstance(when, int):
        as_of.at_position(session, page.rows, when)
    else:
        as_of.on_date(session, page.rows, when)


_OCCURRED: dict[str, Any] = {"occurred_from": WEEK[0], "occurred_to": WEEK[1]}
_DATED: dict[str, Any] = {"business_date_from": WEEK[0].date(), "business_date_to": WEEK[1].date()}
CASES: Mapping[str, Case] = {
    "levels": Case(_levels(), ("inventory_levels_pkey",)),
    "level": Case(lambda s, k: levels.level(s, k.level_id), ("inventory_levels_pkey",)),
    "levels of a warehouse": Case(
        _levels("id", "warehouse_id"), ("inventory_levels_warehouse_idx",)
    ),
    "levels of a variant": Case(
        _levels("id", "variant_id"), ("inventory_levels_variant_idx",), page=False
    ),
    "levels of a product": Case(
        _levels("id", "product_id"),
        ("variants_product_idx", "inventory_levels_variant_idx"),
        page=False,
    ),
    "levels by SKU": Case(
        _levels(sku="V77"), ("variants_sku_key", "inventory_levels_variant_idx"), page=False
    ),
    "levels by barcode": Case(
        _levels(barcode="B77"),
        ("variants_barcode_key", "inventory_levels_variant_idx"),
        page=False,
    ),
    "levels by place": Case(_levels("place"), ("inventory_levels_place_idx",)),
    "levels of a warehouse by place": Case(
        _levels("place", "warehouse_id"), ("inventory_levels_place_idx",)
    ),
    "levels of an aisle": Case(
        _levels("place", "warehouse_id", aisle="A3"), ("inventory_levels_place_idx",)
    ),
    "levels of a shelf": Case(
        _levels("place", "warehouse_id", aisle="A3", shelf="S2"), ("inventory_levels_place_idx",)
    ),
    "levels of a bin": Case(
        _levels("id", "bin_location"), ("inventory_levels_bin_idx",), page=False
    ),
    "movements": Case(_moves(), ("stock_movements_pkey",)),
    "movements, newest first": Case(_moves(descending=True), ("stock_movements_pkey",)),
    "movement": Case(lambda s, k: movements.movement(s, k.movement_id), ("stock_movements_pkey",)),
    "movements of a level": Case(
        _moves("level_id", descending=True), ("stock_movements_sequence_key",)
    ),
    "movements of a variant": Case(
        _moves("variant_id", descending=True), ("stock_movements_variant_idx",)
    ),
    "movements of a warehouse": Case(
        _moves("warehouse_id", descending=True), ("stock_movements_warehouse_idx",)
    ),
    "movements of an operation": Case(
        _moves("operation_id"), ("stock_movements_operation_key",), page=False
    ),
    "movements of a reference": Case(
        _moves("reference_id", reference_kind="order"), ("stock_movements_reference_idx",)
    ),
    "movements of a week": Case(_timed(**_OCCURRED), ("stock_movements_occurred_idx",)),
    "movements of a week, newest first": Case(
        _timed(descending=True, **_OCCURRED), ("stock_movements_occurred_idx",)
    ),
    "movements by business date": Case(_timed(**_DATED), ("stock_movements_occurred_idx",)),
    "movements of a kind and week": Case(
        _timed(kind="sale", **_OCCURRED), ("stock_movements_occurred_idx",)
    ),
    "movements of an actor and date": Case(
        _timed(actor="nobody", **_DATED), ("stock_movements_occurred_idx",), page=False
    ),
    "movements of a warehouse and week": Case(
        _timed("warehouse_id", **_OCCURRED), ("stock_movements_occurred_idx",)
    ),
    "movements of a variant and week": Case(
        _timed("variant_id", **_OCCURRED), ("stock_movements_variant_idx",), page=False
    ),
    "reservations": Case(
        lambda s, _: _both(lambda w: levels.reservations(s, w, owner=None, level_id=None)),
        ("reservations_open_idx",),
    ),
    "reservations of an owner": Case(
        lambda s, _: _both(lambda w: levels.reservations(s, w, owner="order-50", level_id=None)),
        ("reservations_owner_idx",),
        page=False,
    ),
    "reservations of a level": Case(
        lambda s, k: _both(lambda w: levels.reservations(s, w, owner=None, level_id=k.level_id)),
        ("reservations_level_idx",),
        page=False,
    ),
    "orders": Case(_orders(), ("orders_pkey",)),
    "orders of a status": Case(_orders(status="reserved"), ("orders_fulfilment_idx",)),
    "orders of a customer": Case(
        lambda s, k: _both(lambda w: orders.list_orders(s, w, customer_id=k.customer_id)),
        ("orders_customer_idx",),
    ),
    "orders of a reference": Case(
        _orders(reference="web-7"), ("orders_reference_idx",), page=False
    ),
    "order by number": Case(lambda s, _: orders.find(s, "SO-7"), ("orders_number_key",)),
    "order by process": Case(
        lambda s, _: orders.by_workflow(s, "order-7"), ("orders_workflow_key",)
    ),
    "lines of orders": Case(
        lambda s, k: orders.lines_of(s, [k.order_id]), ("order_lines_pkey",), page=False
    ),
    "timeline of an order": Case(
        lambda s, _: orders.timeline(s, "SO-7", 0, 50), ("events_subject_key",)
    ),
    "operation by key": Case(
        lambda s, _: operations.find(s, "http", "key-7"), ("operations_pkey",)
    ),
    "levels as of a date": Case(
        lambda s, k: _then(s, k, date(2024, 6, 3)),
        ("level_days_pkey", "level_day_marks_pkey", "stock_movements_sequence_key"),
        page=False,
    ),
    "levels as of a position": Case(
        lambda s, k: _then(s, k, MOVEMENTS),
        ("stock_movements_sequence_key", "postings_pkey", "stock_movements_transit_idx"),
        page=False,
    ),
}
Statement = tuple[str, Any]


def _sent(field: Field, ask: Ask) -> list[Statement]:
    """The queries that the code sends for a question."""
    found: list[Statement] = []

    def note(*call: Any) -> None:
        statement, parameters = call[2], call[3]
        if statement.lstrip().startswith(
            ("SELECT inv", "SELECT st", "SELECT or", "WITH", "SELECT")
        ):
            found.append((statement, parameters))

    with transaction(field.app, field.tenant) as session:
        event.listen(field.app, "before_cursor_execute", note)
        try:
            ask(session, field.known)
        finally:
            event.remove(field.app, "before_cursor_execute", note)
    assert found
    return found


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


def _explain(conn: Connection[Any], statement: Statement) -> list[dict[str, Any]]:
    query, parameters = statement
    row = conn.execute(f"EXPLAIN (FORMAT JSON) {query}".encode(), parameters).fetchone()
    assert row is not None
    return list(_nodes(row[0][0]["Plan"]))


def _complaints(conn: Connection[Any], statements: Sequence[Statement], case: Case) -> list[str]:
    """What is wrong with the plans of a question."""
    used: set[str] = set()
    found = []
    for statement in statements:
        nodes = _explain(conn, statement)
        used |= {node["Index Name"] for node in nodes if "Index Name" in node}
        found += [
            f"scans {node['Relation Name']}"
            for node in nodes
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] not in SMALL
        ]
        if case.page:
            found += ["sorts" for node in nodes if "Sort" in node["Node Type"]]
    return found + [f"without {name}" for name in case.indexes if name not in used]


@contextmanager
def _as_app(conninfo: str, tenant: UUID, *prepare: sql.Composed) -> Iterator[Connection[Any]]:
    """A transaction of the app role and a tenant, in which ``prepare`` was done by a superuser and
    which leaves nothing behind."""
    with psycopg.connect(conninfo) as conn:
        for statement in prepare:
            conn.execute(statement)
        conn.execute(f"SET LOCAL ROLE {APP}")
        conn.execute("SELECT set_config('app.tenant', %s, true)", (str(tenant),))
        row = conn.execute("SELECT current_user, row_security_active('stock_movements')").fetchone()
        assert row == (APP, True)
        yield conn
        conn.rollback()


@pytest.mark.parametrize("name", CASES)
def test_a_read_uses_its_index(name: str, field: Field) -> None:
    case = CASES[name]
    statements = _sent(field, case.ask)
    with _as_app(field.database.conninfo(), field.tenant) as conn:
        assert _complaints(conn, statements, case) == []


@pytest.mark.parametrize("name", CASES)
def test_the_check_fails_without_the_index(name: str, field: Field) -> None:
    case = CASES[name]
    statements = _sent(field, case.ask)
    for index in case.indexes:
        with _as_app(field.superuser, field.tenant, _dropping(field, index)) as conn:
            assert f"without {index}" in _complaints(conn, statements, case), index
    with _as_app(field.database.conninfo(), field.tenant) as conn:
        assert _complaints(conn, statements, case) == []


def _dropping(field: Field, index: str) -> sql.Composed:
    """The statement that takes an index away, with the constraint that it may belong to."""
    with connected(field.superuser) as conn:
        row = conn.execute(
            "SELECT conrelid::regclass::text FROM pg_constraint WHERE conname = %s", (index,)
        ).fetchone()
    if row is None:
        return sql.SQL("DROP INDEX {}").format(sql.Identifier(index))
    return sql.SQL("ALTER TABLE {} DROP CONSTRAINT {} CASCADE").format(
        sql.Identifier(row[0]), sql.Identifier(index)
    )


#: Questions about what every movement changes: they read the levels of the tenant, nothing else.
OF_TODAY: Mapping[str, Ask] = {
    "out of stock": _levels(out_of_stock=True),
    "low": _levels("id", "warehouse_id", low_stock=True),
    "updated": _levels(updated_from=WEEK[0]),
    "by what is available": _levels("available"),
    "by value": _levels("total_value", "warehouse_id"),
    "summary": lambda session, _: summary.summary(session),
    "summary of a warehouse": lambda s, k: summary.summary(s, k.warehouse_id),
}


@pytest.mark.parametrize("name", OF_TODAY)
def test_what_changes_all_the_time_costs_the_levels_of_the_tenant_only(
    name: str, field: Field
) -> None:
    statements = _sent(field, OF_TODAY[name])
    with _as_app(field.database.conninfo(), field.tenant) as conn:
        for statement in statements:
            nodes = _explain(conn, statement)
            read = {node["Relation Name"]: node for node in nodes if "Relation Name" in node}
            assert set(read) <= {"inventory_levels", "warehouses", "variants"}
            assert read["inventory_levels"]["Node Type"] != "Seq Scan"


def test_no_index_is_on_what_every_movement_changes_of_a_level(field: Field) -> None:
    """Else an update of a level would have to write every index of it (decision 0009)."""
    with connected(field.superuser) as conn:
        found = conn.execute(
            "SELECT DISTINCT a.attname FROM pg_index i JOIN pg_attribute a"
            " ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)"
            " WHERE i.indrelid = 'inventory_levels'::regclass"
            " UNION SELECT DISTINCT a.attname FROM pg_index i JOIN pg_depend d"
            " ON d.objid = i.indexrelid AND d.refobjid = i.indrelid AND d.refobjsubid > 0"
            " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = d.refobjsubid"
            " WHERE i.indrelid = 'inventory_levels'::regclass"
        ).fetchall()
    assert {row[0] for row in found} == {
        "reorder_point",  # Of the index of levels with settings: no movement changes it.
        "tenant_id",
        "id",
        "warehouse_id",
        "variant_id",
        "lot",
        "aisle",
        "shelf",
        "bin_location",
    }
