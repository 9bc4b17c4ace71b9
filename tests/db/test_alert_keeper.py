"""The keeper of alerts: what it follows, counts and goes round, when it dies or races."""

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from db import alert_keeper, alerts, events
from db.alert_keeper import AlertKeeper, go_round
from db.engine import transaction
from domain.stock import Action, Deduct, Kind, Receive, Release, Reserve, Ship
from tests.db.alert_house import House
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


@pytest.fixture
def house(world: World) -> Iterator[House]:
    """A level with settings, over a database of the test's own."""
    with writers(world.database.conninfo(), 1) as (writer,):
        yield House(world, writer)


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


def test_sales_and_shipments_are_demand_and_nothing_else_is(house: House) -> None:
    items = house.world.items
    house.receive(100)
    house.sell(7)
    house.do(Deduct((items.line(20),), Kind.WRITE_OFF))
    house.do(Reserve((items.line(5),), "order-1"))
    house.do(Ship("order-1", {1: 3}))
    house.do(Release("order-1"))
    house.keep()
    assert house.demand() == [10]


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
    assert house.demand() == [15]
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
    assert house.demand() == [15]
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
    return same and [row[0] for row in rows(app, tenant, _SOLD)] == house.demand()


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
