"""Alerts and proposals cost the same however much has piled up."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from db.engine import MAINT, transaction
from tests.db.alert_house import House
from tests.db.conftest import World
from tests.support import (
    connected,
    writers,
)


@pytest.fixture
def house(world: World) -> Iterator[House]:
    """A level with settings, over a database of the test's own."""
    with writers(world.database.conninfo(), 1) as (writer,):
        yield House(world, writer)


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
        " 'LOW_STOCK', 'WARNING', 'resolved', 1, now(), now() - interval '1 day'"
        " FROM inventory_levels"
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
