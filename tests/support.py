"""What tests of the ledger share: items to move, commands, races, and the state to compare."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import psycopg
from psycopg import Connection
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from db import tenants
from db.audit import Finding, audit
from db.engine import transaction
from db.stock import Ledger
from db.stock_commands import Encode, Outcome, StockCommand, plain_answer
from db.stock_writer import StockWriter
from domain.errors import StockwrightError
from domain.stock import Action, LevelKey, Line, Origin, Receive

T = TypeVar("T")
#: No wait in a test is longer; a machine under load may need a good part of it.
PATIENCE_SECONDS = 60.0
AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Items:
    """Warehouses and variants of one tenant that stock can lie in and of."""

    tenant: UUID
    warehouses: tuple[UUID, ...]
    variants: tuple[UUID, ...]

    def key(self, variant: int = 0, warehouse: int = 0, lot: str | None = None) -> LevelKey:
        return LevelKey(self.warehouses[warehouse], self.variants[variant], lot)

    def line(
        self,
        quantity: int,
        variant: int = 0,
        *,
        warehouse: int = 0,
        n: int = 1,
        cost: str | None = None,
    ) -> Line:
        return Line(
            self.key(variant, warehouse), quantity, n, None if cost is None else Decimal(cost)
        )

    def keys(self) -> list[LevelKey]:
        return [LevelKey(w, v) for w in self.warehouses for v in self.variants]


class LevelState(NamedTuple):
    """What a level's row says."""

    id: UUID
    available: int
    reserved: int
    damaged: int
    quarantine: int
    in_transit: int
    average_cost: Decimal
    total_value: Decimal
    sequence: int


def new_tenant(maint_engine: Engine) -> UUID:
    """A tenant in whichever database the engine leads to."""
    slug = f"t{uuid7().hex[:24]}"
    with Session(maint_engine) as session, session.begin():
        made = tenants.create_tenant(
            session, slug=slug, name=slug, currency="EUR", time_zone="Europe/Berlin"
        )
        return made.id


def make_items(engine: Engine, tenant: UUID, *, variants: int = 1, warehouses: int = 1) -> Items:
    """A product with variants, and warehouses."""
    product = uuid7()
    made = Items(
        tenant,
        tuple(uuid7() for _ in range(warehouses)),
        tuple(uuid7() for _ in range(variants)),
    )
    with transaction(engine, tenant) as session:
        session.execute(
            text("INSERT INTO products (id, sku, name, price) VALUES (:id, :sku, 'Thing', 1)"),
            {"id": product, "sku": f"P-{product}"},
        )
        session.execute(
            text(
                "INSERT INTO variants (id, product_id, sku, name)"
                " SELECT v, :product, 'V-' || v, 'Thing' FROM unnest(:ids) AS v"
            ),
            {"product": product, "ids": list(made.variants)},
        )
        session.execute(
            text(
                "INSERT INTO warehouses (id, code, name)"
                " SELECT w, 'W-' || w, 'Warehouse' FROM unnest(:ids) AS w"
            ),
            {"ids": list(made.warehouses)},
        )
    return made


def origin(**fields: Any) -> Origin:
    """Who, why and when, with nothing special about them."""
    known: dict[str, Any] = {"actor": "tester", "occurred_at": AT, "business_date": AT.date()}
    return Origin(**known | fields)


def command(
    action: Action,
    *,
    key: str | None = None,
    source: str = "process",
    print_: bytes | None = None,
    encode: Encode = plain_answer,
    **fields: Any,
) -> StockCommand:
    """A command with a key of its own, whose fingerprint is its action."""
    return StockCommand(
        key=key if key is not None else f"key-{uuid7()}",
        source=source,
        fingerprint=print_ if print_ is not None else repr(action).encode(),
        action=action,
        origin=origin(**fields),
        encode=encode,
    )


def receive(items: Items, quantity: int, variant: int = 0, cost: str = "1.00") -> StockCommand:
    """Goods for one level."""
    return command(Receive((items.line(quantity, variant, cost=cost),)))


def body(outcome: Outcome) -> dict[str, Any]:
    """The answer as JSON."""
    decoded: dict[str, Any] = json.loads(outcome.body)
    return decoded


def code(outcome: Outcome | StockwrightError) -> str | None:
    """The code of a refusal; None for an accepted command."""
    if isinstance(outcome, StockwrightError):
        return outcome.code
    return None if outcome.status < 400 else str(body(outcome)["code"])


@contextmanager
def writers(conninfo: str, count: int, **options: Any) -> Iterator[list[StockWriter]]:
    """Several writers as of several processes, each with a connection of its own."""
    made = [StockWriter(conninfo, **options) for _ in range(count)]
    try:
        yield made
    finally:
        for writer in made:
            writer.close()


def answers(futures: Sequence["Future[Outcome]"]) -> list[Outcome]:
    """The outcomes, waited for."""
    return [future.result(PATIENCE_SECONDS) for future in futures]


def together(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """Run every job in a thread of its own, all from the same moment; raise the first error."""
    gate = threading.Barrier(len(jobs))

    def run(job: Callable[[], T]) -> T:
        gate.wait(PATIENCE_SECONDS)
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [f.result(PATIENCE_SECONDS) for f in [pool.submit(run, job) for job in jobs]]


def side_by_side(real: Callable[..., T], patience: float = 0.3) -> Callable[..., T]:
    """``real``, which waits for a second caller to come in before the first goes on.

    Where a lock lets one in at a time, the second never comes and the first goes on alone.
    """
    gate = threading.Barrier(2)

    def call(*given: Any, **named: Any) -> T:
        with suppress(threading.BrokenBarrierError):
            gate.wait(patience)
        return real(*given, **named)

    return call


def wait_until(condition: Callable[[], bool], what: str, timeout: float = PATIENCE_SECONDS) -> None:
    """Look until it holds; fail with ``what`` when it does not come true in time."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"Not within {timeout} s: {what}"
        time.sleep(0.01)


@contextmanager
def connected(conninfo: str) -> Iterator[Connection[Any]]:
    """A connection as a writer has it."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        yield conn


def post(
    conn: Connection[Any],
    tenant: UUID,
    commands: Sequence[StockCommand],
    ledger: Ledger | None = None,
) -> list[Outcome | StockwrightError]:
    """One committed batch."""
    with conn.transaction():
        return (ledger or Ledger(uuid7)).apply(conn, tenant, commands)


def levels(engine: Engine, tenant: UUID) -> dict[LevelKey, LevelState]:
    """Every level of the tenant."""
    with transaction(engine, tenant) as session:
        rows = session.execute(
            text(
                "SELECT warehouse_id, variant_id, lot, id, available, reserved, damaged,"
                " quarantine, in_transit, average_cost, total_value, sequence"
                " FROM inventory_levels"
            )
        ).all()
    return {LevelKey(*row[:3]): LevelState(*row[3:]) for row in rows}


def rows(engine: Engine, tenant: UUID, query: str, **values: Any) -> list[Any]:
    """Rows of a query in a transaction of the tenant."""
    with transaction(engine, tenant) as session:
        return list(session.execute(text(query), values).all())


def held(engine: Engine, tenant: UUID) -> Mapping[str, int]:
    """Open units by owner."""
    found = rows(
        engine,
        tenant,
        "SELECT owner, sum(open)::bigint FROM reservations WHERE open > 0 GROUP BY owner",
    )
    return {row[0]: row[1] for row in found}


def books(maint_engine: Engine, tenant: UUID | None = None) -> list[Finding]:
    """What the oracle has against the tenant's books; an empty list is what one wants."""
    return audit(maint_engine, tenant)


def on(day: str) -> date:
    """A date from its ISO form."""
    return date.fromisoformat(day)


@contextmanager
def stalled(conninfo: str, items: Items, writer: StockWriter) -> Iterator["Future[Outcome]"]:
    """Keep a batch of the writer waiting for a level until the block ends: what is submitted
    meanwhile forms the next batches. The last variant of ``items`` is used for it."""
    last = len(items.variants) - 1
    answers([writer.submit(items.tenant, receive(items, 1, last))])
    with connected(conninfo) as conn, conn.transaction():
        conn.execute("SELECT set_config('app.tenant', %s, true)", (str(items.tenant),))
        conn.execute(
            "SELECT 1 FROM inventory_levels WHERE variant_id = %s FOR UPDATE",
            (items.variants[last],),
        )
        future = writer.submit(items.tenant, receive(items, 1, last))
        wait_until(lambda: waiting(conninfo) > 0, "a writer waits for the lock")
        yield future


def waiting(conninfo: str, application: str = "stock-writer") -> int:
    """How many connections of an application wait for a lock in this database."""
    with connected(conninfo) as conn:
        row = conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = %s AND wait_event_type = 'Lock'",
            (application,),
        ).fetchone()
    return int(row[0]) if row else 0
