"""Old keys go, by age or by the end of their process, in batches; no other key is lost."""

from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from db import retention
from db.engine import transaction
from db.retention import Gone
from tests.conftest import MakeTenant, TenantFixture
from tests.support import rows


def _key(
    engine: Engine, tenant: UUID, key: str, source: str, days: float, **values: object
) -> None:
    """A key that was answered so many days ago."""
    row = {"state": "done", "status": 200, "answer": b"{}", "claimed": days} | values
    with transaction(engine, tenant) as session:
        session.execute(
            text(
                "INSERT INTO operations (source, key, fingerprint, state, status, answer,"
                " claimed_at, created_at) VALUES (:source, :key, '\\x00', :state, :status, :answer,"
                " now() - make_interval(hours => CAST(:claimed * 24 AS int)),"
                " now() - make_interval(hours => CAST(:days * 24 AS int)))"
            ),
            {"source": source, "key": key, "days": days, **row},
        )


def _order(engine: Engine, tenant: UUID, number: str, days: float | None) -> None:
    """An order that closed so many days ago, or is open."""
    with transaction(engine, tenant) as session:
        session.execute(
            text("INSERT INTO customers (id, name) VALUES (:id, 'C') ON CONFLICT DO NOTHING;"),
            {"id": uuid7()},
        )
        session.execute(
            text(
                "INSERT INTO orders (id, number, workflow_id, customer_id, currency, total_amount,"
                " policy, payment_required, fulfilment, payment, occurred_at, business_date,"
                " version, closed_at) SELECT :id, :number, 'order-x-' || :number, c.id, 'EUR', 1,"
                " 'complete', false, 'closed', 'none', now(), current_date, 1,"
                " now() - make_interval(hours => CAST(:days * 24 AS int))"
                " FROM customers c LIMIT 1"
            ),
            {"id": uuid7(), "number": number, "days": days},
        )


def _keys(engine: Engine, tenant: UUID) -> list[str]:
    return [row[0] for row in rows(engine, tenant, "SELECT key FROM operations ORDER BY key")]


def test_keys_of_clients_go_after_thirty_days_and_no_day_before(
    engine: Engine, maint_engine: Engine, tenant: TenantFixture
) -> None:
    for n, days in enumerate((45, 31, 30.1)):
        _key(engine, tenant.id, f"old-{n}", "http", days)
    for n, days in enumerate((29.9, 15, 0)):
        _key(engine, tenant.id, f"young-{n}", "http", days)
    _key(engine, tenant.id, "order-x-SO-1/reserve", "process", 400)
    claimed = {"state": "claimed", "status": None, "answer": None}
    _key(engine, tenant.id, "claim-dead", "http", 60, **claimed)
    _key(engine, tenant.id, "claim-taken-over", "http", 60, **claimed | {"claimed": 0})
    batches = []
    for _ in range(3):
        with transaction(maint_engine, tenant.id) as session:
            batches.append(retention.expire_http(session, tenant.id, at_most=3))
    assert batches == [Gone(3, more=True), Gone(1, more=False), Gone(0, more=False)]
    assert _keys(engine, tenant.id) == [
        "claim-taken-over",
        "order-x-SO-1/reserve",
        "young-0",
        "young-1",
        "young-2",
    ]


def test_keys_of_reservations_go_ninety_days_after_their_end(
    engine: Engine, maint_engine: Engine, tenant: TenantFixture
) -> None:
    _key(engine, tenant.id, "reservation-x-basket/expired/1.5", "process", 91)
    _key(engine, tenant.id, "reservation-x-basket/expired/2.5", "process", 89)
    # A client may name its key as it likes: it has the age of a client's key.
    _key(engine, tenant.id, "reservation-x-basket/expired/1.5", "http", 29)
    _key(engine, tenant.id, "order-x-SO-1/reserve", "process", 91)
    with transaction(maint_engine, tenant.id) as session:
        assert retention.expire_reservations(session, tenant.id) == Gone(1, more=False)
    assert _keys(engine, tenant.id) == [
        "order-x-SO-1/reserve",
        "reservation-x-basket/expired/1.5",
        "reservation-x-basket/expired/2.5",
    ]


def test_keys_of_a_process_go_ninety_days_after_its_end_tombstones_included(
    engine: Engine, maint_engine: Engine, tenant: TenantFixture
) -> None:
    for number, days in (("SO-1", 91), ("SO-10", 89), ("SO-2", None), ("SO-3", 100)):
        _order(engine, tenant.id, number, days)
        for step in ("reserve", "ship/1"):
            _key(engine, tenant.id, f"order-x-{number}/{step}", "process", 200)
        _key(engine, tenant.id, f"order-x-{number}/late", "process", 95, state="void", status=None)
    _key(engine, tenant.id, "order-x-SO-1/reserve", "http", 1)
    _key(engine, tenant.id, "unknown-x-1/step", "process", 999)
    with transaction(maint_engine, tenant.id) as session:
        assert retention.expire_processes(session, tenant.id, at_most=1) == Gone(3, more=True)
    kept = _keys(engine, tenant.id)
    assert "order-x-SO-1/ship/1" in kept
    assert "order-x-SO-3/ship/1" not in kept
    with transaction(maint_engine, tenant.id) as session:
        assert retention.expire_processes(session, tenant.id, at_most=1) == Gone(3, more=True)
        assert retention.expire_processes(session, tenant.id) == Gone(0, more=False)
    left = _keys(engine, tenant.id)
    assert [key for key in left if key.startswith("order-x-SO-1/")] == ["order-x-SO-1/reserve"]
    assert [key for key in left if key.startswith("order-x-SO-3/")] == []
    assert len([key for key in left if key.startswith(("order-x-SO-10/", "order-x-SO-2/"))]) == 6
    assert "unknown-x-1/step" in left


def test_a_mark_and_its_deletions_are_one(
    engine: Engine, maint_engine: Engine, tenant: TenantFixture
) -> None:
    _order(engine, tenant.id, "SO-1", 91)
    _key(engine, tenant.id, "order-x-SO-1/reserve", "process", 100)
    with Session(maint_engine) as session:
        session.execute(text("SELECT set_config('app.tenant', :t, true)"), {"t": str(tenant.id)})
        assert retention.expire_processes(session, tenant.id).keys == 1
        session.rollback()
    assert _keys(engine, tenant.id) == ["order-x-SO-1/reserve"]
    with transaction(maint_engine, tenant.id) as session:
        assert retention.expire_processes(session, tenant.id).keys == 1


def test_one_tenant_is_cleared_and_no_other(
    engine: Engine, maint_engine: Engine, make_tenant: MakeTenant
) -> None:
    mine, other = make_tenant(), make_tenant()
    for tenant in (mine, other):
        _key(engine, tenant.id, "old", "http", 31)
        _key(engine, tenant.id, "reservation-x-a/expired/1", "process", 91)
        _order(engine, tenant.id, "SO-1", 91)
        _key(engine, tenant.id, "order-x-SO-1/reserve", "process", 91)
    for expire in (
        retention.expire_http,
        retention.expire_reservations,
        retention.expire_processes,
    ):
        with transaction(maint_engine, mine.id) as session:
            assert expire(session, mine.id).keys == 1
    assert _keys(engine, mine.id) == []
    assert len(_keys(engine, other.id)) == 3


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("_HTTP", "operations_http_idx"),
        ("_RESERVATIONS", "operations_reservation_idx"),
        ("_OF_PROCESSES", "operations_pkey"),
    ],
)
def test_old_keys_are_found_by_an_index(
    name: str, index: str, engine: Engine, maint_engine: Engine, tenant: TenantFixture
) -> None:
    """Among many young keys, the cost is that of the old ones."""
    with transaction(engine, tenant.id) as session:
        session.execute(
            text(
                "INSERT INTO operations (source, key, fingerprint, state, status, answer)"
                " SELECT CASE n % 2 WHEN 0 THEN 'http' ELSE 'process' END,"
                " CASE n % 4 WHEN 1 THEN 'reservation-x-' ELSE 'order-x-SO-' END || n || '/a',"
                " '\\x00', 'done', 200, repeat('x', 300)::bytea FROM generate_series(1, 20000) n"
            )
        )
    with Session(maint_engine) as session:
        session.execute(text("ANALYZE operations"))
        query = getattr(retention, name).text
        given = {"tenant": tenant.id, "days": 30, "at_most": 5000, "ids": ["order-x-SO-8"]}
        wanted = {key: value for key, value in given.items() if f":{key}" in query}
        plan = "\n".join(row[0] for row in session.execute(text(f"EXPLAIN {query}"), wanted))
        session.rollback()
    assert index in plan, plan
    assert "Seq Scan on operations" not in plan, plan
