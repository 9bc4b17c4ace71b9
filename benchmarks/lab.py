"""A database of its own for a measurement: tenants with a warehouse and variants in stock."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import NamedTuple
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Engine
from sqlalchemy.orm import Session

from db.audit import Finding, audit
from db.engine import APP, MAINT, conninfo, make_engine, role_url, transaction
from db.install import install
from db.stock_commands import StockCommand, plain_answer
from db.stock_writer import StockWriter
from db.tables import Product, Variant, Warehouse
from db.tenants import create_tenant
from domain.stock import Kind, LevelKey, Line, Origin, Receive
from entrance import Addresses

STOCK = 1_000_000_000
COST = Decimal("1.25")
_LINES = 1000
_numbers = count(1)


class Rows(NamedTuple):
    """How many rows a tenant has in the tables that every command writes to."""

    operations: int
    movements: int
    reservations: int

    def since(self, before: "Rows") -> "Rows":
        """What was added between the two."""
        return Rows(*(now - then for now, then in zip(self, before, strict=True)))


@dataclass(frozen=True)
class Lab:
    """A tenant in which a measurement works. ``levels`` all hold a thousand million units."""

    where: Addresses
    database: str
    tenant: UUID
    levels: list[LevelKey]
    origin: Origin

    def conninfo(self, role: str = APP) -> str:
        """The address of this lab's database for a role."""
        return conninfo(_url(self.where, self.database, role))

    def admin(self) -> psycopg.Connection:
        """A superuser's connection, for what is done outside of the measured time."""
        return psycopg.connect(
            make_conninfo(self.where.admin_url, dbname=self.database), autocommit=True
        )

    def neighbour(self) -> "Lab":
        """Another tenant of the same database, with as many levels of its own."""
        return make_lab(self.where, self.database, len(self.levels))

    @contextmanager
    def writer(self) -> Iterator[StockWriter]:
        """A batch writer that has touched every level, as one that has been running for a while."""
        writer = StockWriter(self.conninfo())
        _receive(self, writer, 1, Kind.PURCHASE)
        try:
            yield writer
        finally:
            writer.close()

    def rows(self) -> Rows:
        """What this tenant has by now."""
        with self.admin() as admin:
            counts = admin.execute(
                "SELECT (SELECT count(*) FROM operations WHERE tenant_id = %(tenant)s),"
                " (SELECT count(*) FROM stock_movements WHERE tenant_id = %(tenant)s),"
                " (SELECT count(*) FROM reservations WHERE tenant_id = %(tenant)s)",
                {"tenant": self.tenant},
            ).fetchone()
        return Rows(*(counts or (0, 0, 0)))

    def findings(self) -> list[Finding]:
        """What the audit finds wrong in the whole database, of all tenants."""
        engine = self.engine(MAINT)
        try:
            return audit(engine)
        finally:
            engine.dispose()

    def engine(self, role: str = APP) -> Engine:
        """A small engine on this lab's database; the caller disposes of it."""
        return make_engine(_url(self.where, self.database, role), pool_size=2)

    def drop(self) -> None:
        """Remove the database, with all tenants in it."""
        with psycopg.connect(self.where.admin_url, autocommit=True) as admin:
            name = sql.Identifier(self.database)
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


def open_lab(where: Addresses, variants: int) -> Lab:
    """A tenant in a fresh database, with stock at ``variants`` levels."""
    database = f"bench_{uuid4().hex[:10]}"
    install(where.admin_url, where.passwords, database)
    return make_lab(where, database, variants)


@contextmanager
def lab_for(where: Addresses, variants: int) -> Iterator[Lab]:
    """The same, removed at the end."""
    lab = open_lab(where, variants)
    try:
        yield lab
    finally:
        lab.drop()


def make_lab(where: Addresses, database: str, variants: int) -> Lab:
    """A new tenant in an installed database, with stock at ``variants`` levels."""
    maint = make_engine(_url(where, database, MAINT), pool_size=1)
    app = make_engine(_url(where, database, APP), pool_size=1)
    with Session(maint) as session, session.begin():
        tenant = create_tenant(
            session, slug=f"bench{next(_numbers)}", name="Bench", currency="EUR", time_zone="UTC"
        ).id
    with transaction(app, tenant) as session:
        house = Warehouse(code="W1", name="Bench")
        product = Product(sku="P", name="Bench", price=Decimal(1))
        session.add_all([house, product])
        session.flush()
        rows = [Variant(product_id=product.id, sku=f"V{n}", name=f"V{n}") for n in range(variants)]
        session.add_all(rows)
        session.flush()
        levels = [LevelKey(house.id, row.id) for row in rows]
    maint.dispose()
    app.dispose()
    now = datetime.now(UTC)
    lab = Lab(where, database, tenant, levels, Origin("bench", now, now.date()))
    writer = StockWriter(lab.conninfo())
    _receive(lab, writer, STOCK, Kind.OPENING)
    writer.close()
    settle(lab)
    return lab


def settle(lab: Lab) -> None:
    """After a fill: statistics are true, and nothing of it is left to be written."""
    with lab.admin() as admin:
        admin.execute("VACUUM ANALYZE")
        admin.execute("CHECKPOINT")


def _url(where: Addresses, database: str, role: str) -> URL:
    return role_url(where.admin_url, role, where.passwords[role], database)


def _receive(lab: Lab, writer: StockWriter, units: int, kind: Kind) -> None:
    """Goods at every level, in a few large commands."""
    futures = []
    for start in range(0, len(lab.levels), _LINES):
        some = lab.levels[start : start + _LINES]
        lines = tuple(Line(level, units, n, COST) for n, level in enumerate(some, start=1))
        command = StockCommand(
            key=f"receive-{next(_numbers)}",
            source="http",
            fingerprint=b"f" * 32,
            action=Receive(lines, kind),
            origin=lab.origin,
            encode=plain_answer,
        )
        futures.append(writer.submit(lab.tenant, command))
    for future in futures:
        outcome = future.result(60)
        if outcome.status != 200:
            raise RuntimeError(f"The lab could not be filled: {outcome.body.decode()}")
