"""A database of its own for a measurement: a tenant, a warehouse, variants with stock."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy.orm import Session

from db.engine import APP, MAINT, conninfo, make_engine, role_url, transaction
from db.install import install
from db.stock_commands import StockCommand, plain_answer
from db.stock_writer import StockWriter
from db.tables import Product, Variant, Warehouse
from db.tenants import create_tenant
from domain.stock import Kind, LevelKey, Line, Origin, Receive
from entrance import Addresses

STOCK = 1_000_000_000
_BATCH = 1000


@dataclass(frozen=True)
class Lab:
    """Where a measurement works. ``levels`` all hold a thousand million units."""

    where: Addresses
    database: str
    tenant: UUID
    levels: list[LevelKey]
    origin: Origin

    def conninfo(self, role: str = APP) -> str:
        """The address of this lab's database for a role."""
        password = self.where.passwords[role]
        return conninfo(role_url(self.where.admin_url, role, password, self.database))

    def drop(self) -> None:
        """Remove the database."""
        with psycopg.connect(self.where.admin_url, autocommit=True) as admin:
            name = sql.Identifier(self.database)
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


def open_lab(where: Addresses, variants: int) -> Lab:
    """Install a fresh database and fill ``variants`` levels through the writer."""
    database = f"bench_{uuid4().hex[:10]}"
    install(where.admin_url, where.passwords, database)
    passwords = where.passwords
    maint = make_engine(role_url(where.admin_url, MAINT, passwords[MAINT], database), pool_size=2)
    app = make_engine(role_url(where.admin_url, APP, passwords[APP], database), pool_size=2)
    with Session(maint) as session, session.begin():
        tenant = create_tenant(
            session, slug="bench", name="Bench", currency="EUR", time_zone="UTC"
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
    _fill(lab)
    return lab


def _fill(lab: Lab) -> None:
    writer = StockWriter(lab.conninfo())
    futures = []
    for start in range(0, len(lab.levels), _BATCH):
        lines = tuple(
            Line(level, STOCK, n, Decimal("1.25"))
            for n, level in enumerate(lab.levels[start : start + _BATCH], start=1)
        )
        command = StockCommand(
            f"open-{start}", "http", b"open", Receive(lines, Kind.OPENING), lab.origin, plain_answer
        )
        futures.append(writer.submit(lab.tenant, command))
    for future in futures:
        future.result(60)
    writer.close()
    with psycopg.connect(
        make_conninfo(lab.where.admin_url, dbname=lab.database), autocommit=True
    ) as admin:
        admin.execute("VACUUM ANALYZE")
