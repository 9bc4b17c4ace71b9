"""Alerts of levels: one a level and type, whatever oscillates."""

from collections.abc import Iterator
from typing import Any

import pytest

from db import alerts, reorder
from db.alert_keeper import wake
from db.engine import transaction
from domain.permissions import Actor
from domain.reorder import LevelSettings
from tests.db.alert_house import House
from tests.db.conftest import World
from tests.support import (
    writers,
)


@pytest.fixture
def house(world: World) -> Iterator[House]:
    """A level with settings, over a database of the test's own."""
    with writers(world.database.conninfo(), 1) as (writer,):
        yield House(world, writer)


@pytest.fixture
def tenant_actor(world: World) -> Actor:
    """A planner of the world's tenant."""
    return Actor(world.tenant, "acme", "planner of acme", "manager", "EUR", "Europe/Berlin")


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
    fresh = "current_quantity, updated_at > opened_at"
    house.change("UPDATE stock_alerts SET updated_at = opened_at - interval '1 day'")
    house.receive(1)
    house.sell(1)
    house.keep()
    assert house.alerts(fresh) == [(8, False), (8, False)], "what is the same costs no update"
    house.sell(1)
    house.keep()
    assert house.alerts(fresh) == [(7, True), (7, True)]
    house.sell(7)
    house.keep()
    assert house.alerts("type, severity, status, current_quantity") == [
        ("LOW_STOCK", "WARNING", "resolved", 7),
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


def test_settings_alone_open_and_resolve_alerts(house: House, tenant_actor: Actor) -> None:
    place = house.world.items.key()
    for point, expected in ((10, "created"), (None, "resolved"), (5, "created")):
        entry = LevelSettings(
            warehouse_id=place.warehouse_id, variant_id=place.variant_id, reorder_point=point
        )
        with transaction(house.world.app, house.world.tenant) as session:
            reorder.put_settings(session, tenant_actor, [entry], None)
        house.keep()
        assert {status for _, status, _ in house.alerts()} == {expected}
    assert house.alerts() == [("OUT_OF_STOCK", "created", 2), ("REORDER_NEEDED", "created", 2)]


def test_a_snooze_that_ended_while_the_alert_was_resolved_leaves_it_as_new(house: House) -> None:
    house.plan(10)
    house.receive(10)
    house.keep()
    house.change(
        "UPDATE stock_alerts SET status = 'snoozed', acknowledged_at = now(),"
        " acknowledged_by = 'Ada', snoozed_until = now()"
    )
    for move in (house.receive, house.sell):
        move(1)
        house.keep()
    assert (
        house.alerts("status, acknowledged_by, snoozed_until, occurrences")
        == [("created", None, None, 2)] * 2
    )


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
