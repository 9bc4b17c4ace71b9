"""Alerts kept by the follower: one a level and type, whatever oscillates, dies or races."""

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from db import alert_keeper, alerts, events
from db.alert_keeper import AlertKeeper, go_round, keep, wake
from db.engine import MAINT, transaction
from db.stock_writer import StockWriter
from domain.stock import Action, Deduct, Kind, LevelKey, Receive, Release, Reserve, Ship
from tests.db.conftest import World
from tests.support import (
    answers,
    command,
    connected,
    make_items,
    new_tenant,
    rows,
    side_by_side,
    together,
    wait_until,
    writers,
)


class House:
    """A world whose first variant has settings in its first warehouse, with words for moving."""

    def __init__(self, world: World, writer: StockWriter) -> None:
        self.world, self.writer = world, writer

    def plan(self, point: int | None, most: int | None = None, key: LevelKey | None = None) -> None:
        key = key or self.world.items.key()
        with transaction(self.world.app, self.world.tenant) as session:
            session.execute(
                text(
                    "INSERT INTO inventory_levels (warehouse_id, variant_id, reorder_point,"
                    " max_stock_level) VALUES (:w, :v, :point, :most)"
                    " ON CONFLICT ON CONSTRAINT inventory_levels_identity_key"
                    " DO UPDATE SET reorder_point = :point, max_stock_level = :most"
                ),
                {"w": key.warehouse_id, "v": key.variant_id, "point": point, "most": most},
            )

    def do(self, *actions: Action) -> None:
        futures = [self.writer.submit(self.world.tenant, command(action)) for action in actions]
        assert {outcome.status for outcome in answers(futures)} == {200}

    def receive(self, units: int) -> None:
        self.do(Receive((self.world.items.line(units, cost="1.00"),)))

    def sell(self, units: int) -> None:
        self.do(Deduct((self.world.items.line(units),), Kind.SALE))

    def keep(self, **options: Any) -> None:
        keep(self.world.follower, self.world.app, **options)

    def alerts(self, columns: str = "type, status, occurrences") -> list[tuple[Any, ...]]:
        query = f"SELECT {columns} FROM stock_alerts ORDER BY type, id"  # noqa: S608
        return [tuple(row) for row in rows(self.world.app, self.world.tenant, query)]

    def events(self) -> list[tuple[str, int]]:
        query = (
            "SELECT kind, subject_sequence FROM events WHERE subject_kind = 'alert'"
            " AND data->>'type' = 'LOW_STOCK' ORDER BY posting_id, ordinal"
        )
        return [tuple(row) for row in rows(self.world.app, self.world.tenant, query)]

    def change(self, statement: str) -> None:
        with transaction(self.world.app, self.world.tenant) as session:
            session.execute(text(statement))

    def alert_id(self) -> UUID:
        found: UUID = self.alerts("id")[0][0]
        return found


@pytest.fixture
def house(world: World) -> Iterator[House]:
    """The words above, over a database of the test's own."""
    with writers(world.database.conninfo(), 1) as (writer,):
        yield House(world, writer)


def test_stock_falls_and_rises_through_every_state(house: House) -> None:
    house.plan(10, 50)
    house.receive(20)
    house.keep()
    assert house.alerts() == []
    house.sell(12)
    house.keep()
    assert house.alerts("type, severity, current_quantity, recommended_order_quantity") == [
        ("LOW_STOCK", "WARNING", 8, 42),
        ("REORDER_NEEDED", "WARNING", 8, 42),
    ]
    house.sell(8)
    house.keep()
    assert house.alerts("type, severity, status, current_quantity") == [
        ("LOW_STOCK", "WARNING", "resolved", 8),
        ("OUT_OF_STOCK", "CRITICAL", "created", 0),
        ("REORDER_NEEDED", "WARNING", "created", 0),
    ]
    house.receive(51)
    house.keep()
    assert house.alerts("type, severity, status, resolved_by") == [
        ("LOW_STOCK", "WARNING", "resolved", "stockwright"),
        ("OUT_OF_STOCK", "CRITICAL", "resolved", "stockwright"),
        ("OVERSTOCK", "INFO", "created", None),
        ("REORDER_NEEDED", "WARNING", "resolved", "stockwright"),
    ]
    assert house.events() == [("alert.opened", 1), ("alert.resolved", 2)]


def test_fifty_crossings_make_one_alert_that_counts_them(house: House) -> None:
    house.plan(10)
    house.receive(11)
    for _ in range(50):
        house.sell(1)
        house.keep()
        house.receive(1)
        house.keep()
    assert house.alerts() == [("LOW_STOCK", "resolved", 50), ("REORDER_NEEDED", "resolved", 50)]
    assert house.events()[:3] == [
        ("alert.opened", 1),
        ("alert.resolved", 2),
        ("alert.reopened", 3),
    ]
    assert [sequence for _, sequence in house.events()] == list(range(1, 101))


def test_a_burst_costs_one_look_at_the_level(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    evaluate = alerts.evaluate

    def counted(session: Any, ids: Any) -> None:
        looked.append(len(ids))
        evaluate(session, ids)

    monkeypatch.setattr("db.alert_keeper.alerts.evaluate", counted)
    house.plan(10)
    house.receive(11)
    for _ in range(20):
        house.sell(1)
        house.receive(1)
    house.keep()
    assert looked == [1]
    assert house.alerts() == []


def test_an_alert_that_comes_back_after_the_window_is_another_one(house: House) -> None:
    house.plan(10)
    house.receive(10)
    house.keep()
    house.receive(1)
    house.keep()
    house.change("UPDATE stock_alerts SET resolved_at = resolved_at - interval '61 minutes'")
    house.sell(1)
    house.keep()
    assert house.alerts() == [
        ("LOW_STOCK", "resolved", 1),
        ("LOW_STOCK", "created", 1),
        ("REORDER_NEEDED", "resolved", 1),
        ("REORDER_NEEDED", "created", 1),
    ]


def test_who_took_an_alert_on_keeps_it_when_it_comes_back(house: House, world: World) -> None:
    house.plan(10)
    house.receive(10)
    house.keep()
    house.change(
        "UPDATE stock_alerts SET status = 'acknowledged', acknowledged_at = now(),"
        " acknowledged_by = 'Ada' WHERE type = 'LOW_STOCK'"
    )
    for move in (house.receive, house.sell):
        move(1)
        house.keep()
    assert house.alerts("type, status, acknowledged_by, occurrences, resolved_at") == [
        ("LOW_STOCK", "acknowledged", "Ada", 2, None),
        ("REORDER_NEEDED", "created", None, 2, None),
    ]


def test_a_snooze_ends_by_itself(house: House, world: World) -> None:
    house.plan(10)
    house.receive(10)
    house.keep()
    house.change(
        "UPDATE stock_alerts SET status = 'snoozed', acknowledged_at = now(),"
        " acknowledged_by = 'Ada', snoozed_until = now() + CASE type WHEN 'LOW_STOCK'"
        " THEN interval '-1 second' ELSE interval '1 hour' END"
    )
    for _ in range(2):
        wake(world.follower, world.app)
    assert house.alerts("type, status, acknowledged_by, snoozed_until IS NULL") == [
        ("LOW_STOCK", "created", None, True),
        ("REORDER_NEEDED", "snoozed", "Ada", False),
    ]
    assert house.events() == [("alert.opened", 1), ("alert.woken", 2)]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE variants SET status = 'disabled'", "UPDATE warehouses SET is_active = false"],
)
def test_a_round_ends_alerts_of_what_is_no_longer_in_use(house: House, statement: str) -> None:
    house.plan(10)
    house.receive(10)
    house.keep()
    go_round(house.world.follower, house.world.app)
    assert {status for _, status, _ in house.alerts()} == {"created"}
    house.change(statement)
    go_round(house.world.follower, house.world.app)
    assert {status for _, status, _ in house.alerts()} == {"resolved"}


def test_a_round_goes_through_all_tenants_in_chunks(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_keeper, "_CHUNK", 1)
    other = make_items(house.world.app, new_tenant(house.world.maint))
    moves = (Receive((other.line(3, cost="1.00"),)), Deduct((other.line(3),), Kind.SALE))
    answers([house.writer.submit(other.tenant, command(move)) for move in moves])
    house.plan(10)
    house.receive(10)
    house.keep()
    for tenant in (house.world.tenant, other.tenant):
        with transaction(house.world.app, tenant) as session:
            session.execute(text("UPDATE variants SET status = 'disabled'"))
    go_round(house.world.follower, house.world.app)
    for tenant, count in ((house.world.tenant, 2), (other.tenant, 1)):
        found = rows(house.world.app, tenant, "SELECT status FROM stock_alerts")
        assert [row[0] for row in found] == ["resolved"] * count


def _demand(house: House) -> list[int]:
    return [row[0] for row in rows(house.world.app, house.world.tenant, _UNITS)]


_UNITS = "SELECT units FROM level_demand ORDER BY level_id, day"


def test_sales_and_shipments_are_demand_and_nothing_else_is(house: House) -> None:
    items = house.world.items
    house.receive(100)
    house.sell(7)
    house.do(Deduct((items.line(20),), Kind.WRITE_OFF))
    house.do(Reserve((items.line(5),), "order-1"))
    house.do(Ship("order-1", {1: 3}))
    house.do(Release("order-1"))
    house.keep()
    assert _demand(house) == [10]


def _dying(times: int, real: Callable[..., Any]) -> Callable[..., Any]:
    left = iter([True] * times)

    def call(*given: Any) -> Any:
        if next(left, False):
            raise KeyboardInterrupt
        return real(*given)

    return call


@pytest.mark.parametrize(
    ("where", "real"),
    [
        ("db.follower.events.advance", events.advance),
        ("db.alert_keeper.alerts.evaluate", alerts.evaluate),
    ],
)
def test_a_keeper_that_dies_loses_nothing_and_does_nothing_twice(
    where: str, real: Callable[..., Any], house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the effect was committed, and between it and the cursor of all tenants."""
    house.plan(10)
    house.receive(20)
    house.sell(15)
    monkeypatch.setattr(where, _dying(2, real))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            house.keep()
    house.keep()
    house.keep()
    assert house.alerts() == [("LOW_STOCK", "created", 1), ("REORDER_NEEDED", "created", 1)]
    assert _demand(house) == [15]
    assert house.events() == [("alert.opened", 1)]


def test_two_keepers_work_off_the_same_facts_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.plan(10)
    house.receive(20)
    house.keep()
    house.sell(15)
    monkeypatch.setattr("db.alert_keeper._add_demand", side_by_side(alert_keeper._add_demand))
    together([house.keep, house.keep])
    assert _demand(house) == [15]
    assert house.alerts() == [("LOW_STOCK", "created", 1), ("REORDER_NEEDED", "created", 1)]


def _moves(house: House, count: int, seed: int) -> None:
    dice, items = random.Random(seed), house.world.items
    futures = []
    for _ in range(count):
        line = (items.line(dice.randint(1, 6), dice.randrange(5), cost="1.00"),)
        action: Action = Deduct(line, Kind.SALE) if dice.random() < 0.5 else Receive(line)
        futures.append(house.writer.submit(house.world.tenant, command(action)))
    answers(futures)


_TRUTH = """
SELECT id, 'LOW_STOCK' FROM inventory_levels
 WHERE available <= reorder_point AND available > 0
UNION SELECT id, 'OUT_OF_STOCK' FROM inventory_levels WHERE available = 0
UNION SELECT id, 'REORDER_NEEDED' FROM inventory_levels WHERE available <= reorder_point
UNION SELECT id, 'OVERSTOCK' FROM inventory_levels
 WHERE available + reserved > max_stock_level
"""
_SHOWN = "SELECT level_id, type FROM stock_alerts WHERE status <> 'resolved'"
_SOLD = """
SELECT -sum(available_change)::bigint FROM stock_movements WHERE kind = 'sale'
 GROUP BY level_id ORDER BY level_id
"""


def _agree(house: House) -> bool:
    app, tenant = house.world.app, house.world.tenant
    truth, shown = (rows(app, tenant, query) for query in (_TRUTH, _SHOWN))
    same = {tuple(row) for row in truth} == {tuple(row) for row in shown}
    return same and [row[0] for row in rows(app, tenant, _SOLD)] == _demand(house)


def test_keepers_that_race_and_lose_their_connections_end_with_the_truth(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two keepers as of two workers, whose connections are cut in the middle of a busy shop."""
    monkeypatch.setattr(alert_keeper, "LOOK_SECONDS", 0.01)
    world = house.world
    for variant in range(5):
        house.plan(5, 12, world.items.key(variant))
    _moves(house, 20, seed=1)
    keepers = [AlertKeeper(world.follower, world.app) for _ in range(2)]
    try:
        for seed in range(8):
            _moves(house, 60, seed)
            with connected(world.superuser) as conn:
                conn.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name = 'stockwright'"
                )
        wait_until(lambda: _agree(house), "alerts and demand are what the levels say")
    finally:
        for keeper in keepers:
            keeper.close()
    assert "alerts" not in {thread.name for thread in threading.enumerate()}
    doubled = rows(
        world.app,
        world.tenant,
        "SELECT 1 FROM stock_alerts GROUP BY level_id, type, opened_at HAVING count(*) > 1",
    )
    assert doubled == []
    opened = "SELECT count(*) FROM stock_alerts"
    assert rows(world.app, world.tenant, opened)[0][0] <= 5 * 4


def test_a_second_open_alert_of_a_level_and_type_is_refused_by_the_database(house: House) -> None:
    house.plan(10)
    house.receive(10)
    house.keep()
    house.change("UPDATE stock_alerts SET status = 'resolved', resolved_at = now()")
    again = (
        "INSERT INTO stock_alerts (level_id, warehouse_id, variant_id, type, severity, status,"
        " current_quantity, opened_at) SELECT level_id, warehouse_id, variant_id, type, severity,"
        " 'created', 0, now() FROM stock_alerts WHERE type = 'LOW_STOCK' LIMIT 1"
    )
    house.change(again)
    with pytest.raises(Exception, match="stock_alerts_open_key"):
        house.change(again)


def test_each_tenant_has_its_own_alerts_and_cursor(house: House) -> None:
    other = make_items(house.world.app, new_tenant(house.world.maint))
    house.plan(10)
    house.receive(10)
    futures = [
        house.writer.submit(other.tenant, command(action))
        for action in (Receive((other.line(3, cost="1.00"),)), Deduct((other.line(3),), Kind.SALE))
    ]
    answers(futures)
    house.keep(page=1)
    assert [kind for kind, *_ in house.alerts()] == ["LOW_STOCK", "REORDER_NEEDED"]
    theirs = rows(house.world.app, other.tenant, "SELECT type FROM stock_alerts")
    assert [row[0] for row in theirs] == ["OUT_OF_STOCK"]
    cursors = [
        rows(house.world.app, tenant, "SELECT position FROM alert_cursors")[0][0]
        for tenant in (house.world.tenant, other.tenant)
    ]
    assert cursors == [1, 3]


#: Many levels with settings on a few, a closed alert for each and an open one for a few, sales.
_MANY = (
    (
        "INSERT INTO inventory_levels (warehouse_id, variant_id, lot, reorder_point)"
        " SELECT w.id, v.id, 'L' || n, CASE WHEN n % 50 = 0 THEN 5 END"
        " FROM generate_series(1, 4000) n, (SELECT id FROM warehouses LIMIT 1) w,"
        " (SELECT id FROM variants LIMIT 1) v"
    ),
    (
        "INSERT INTO stock_alerts (level_id, warehouse_id, variant_id, type, severity, status,"
        " current_quantity, opened_at, resolved_at) SELECT id, warehouse_id, variant_id,"
        " 'LOW_STOCK', 'WARNING', 'resolved', 1, now(), now() - interval '1 day' FROM inventory_levels"
    ),
    (
        "INSERT INTO stock_alerts (level_id, warehouse_id, variant_id, type, severity, status,"
        " current_quantity, opened_at, acknowledged_at, snoozed_until) SELECT id, warehouse_id,"
        " variant_id, 'OUT_OF_STOCK', 'CRITICAL', 'snoozed', 0, now(), now(), now()"
        " FROM inventory_levels WHERE reorder_point = 5"
    ),
    (
        "INSERT INTO level_demand (level_id, day, units)"
        " SELECT id, '2026-01-01', 1 FROM inventory_levels"
    ),
    (
        "INSERT INTO reorder_proposals (calculated_at, status, dismissed_at)"
        " SELECT now(), 'dismissed', now() - interval '9 days' FROM generate_series(1, 2000)"
    ),
    "INSERT INTO reorder_proposals (calculated_at) VALUES (now())",
)
#: A question, and the index that must answer it.
_QUESTIONS = {
    "stock_alerts_open_idx": (
        "SELECT 1 FROM stock_alerts WHERE status <> 'resolved' AND id > '{id}' ORDER BY id LIMIT 9"
    ),
    "stock_alerts_level_idx": (
        "SELECT 1 FROM stock_alerts WHERE level_id = '{id}'"
        " AND resolved_at > now() - interval '1 hour'"
    ),
    "stock_alerts_severity_idx": (
        "SELECT 1 FROM stock_alerts WHERE severity = 'CRITICAL' ORDER BY id LIMIT 9"
    ),
    "stock_alerts_snoozed_idx": (
        "SELECT 1 FROM stock_alerts WHERE status = 'snoozed' AND snoozed_until <= now()"
        " ORDER BY snoozed_until LIMIT 9"
    ),
    "inventory_levels_planned_idx": (
        "SELECT 1 FROM inventory_levels WHERE reorder_point IS NOT NULL"
        " AND available + in_transit <= reorder_point AND id > '{id}' ORDER BY id LIMIT 9"
    ),
    "level_demand_pkey": (
        "SELECT sum(units) FROM level_demand WHERE level_id IN ('{id}')"
        " AND day BETWEEN current_date - 29 AND current_date GROUP BY level_id"
    ),
    "reorder_proposals_draft_key": "SELECT 1 FROM reorder_proposals WHERE status = 'draft'",
    "reorder_proposals_dismissed_idx": (
        "SELECT 1 FROM reorder_proposals WHERE status = 'dismissed'"
        " AND dismissed_at > now() - interval '1 day'"
    ),
}


def test_questions_are_answered_by_their_index_as_the_app_role(house: House) -> None:
    for statement in _MANY:
        house.change(statement)
    with connected(house.world.superuser) as conn:
        conn.execute("ANALYZE")
    with transaction(house.world.app, house.world.tenant) as session:
        found = session.scalars(text("SELECT id FROM inventory_levels LIMIT 1")).one()
        for index, question in _QUESTIONS.items():
            plan = session.scalars(text(f"EXPLAIN {question.format(id=found)}")).all()
            assert any(index in line for line in plan), "\n".join([question, *plan])


def test_levels_keep_their_updates_heap_only(house: House) -> None:
    """An index on what movements change would make each of them write every index anew."""
    house.plan(10, 50)
    house.receive(1)
    with connected(house.world.database.conninfo(MAINT)) as conn:
        found = conn.execute(
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index"
            " WHERE indrelid = 'inventory_levels'::regclass"
        ).fetchall()
    changing = ("available", "reserved", "in_transit", "sequence", "updated_at")
    assert len(found) >= 4
    assert not [row[0] for row in found if any(name in row[0] for name in changing)]
