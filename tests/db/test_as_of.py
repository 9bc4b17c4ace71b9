"""Stock as it was: exact by position and by date, however far the daily sums have come."""

import random
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db import events, level_days
from db.as_of import LevelThen, at_position, on_date
from db.engine import FOLLOWER, transaction
from db.follower import Follower
from db.level_days import DailySums
from db.tables import InventoryLevel
from domain.stock import Action, Adjust, Bucket, Deduct, Kind, Move, Receive, Release, Reserve
from tests.db.conftest import World
from tests.support import (
    Items,
    answers,
    command,
    connected,
    make_items,
    new_tenant,
    receive,
    rows,
    together,
    wait_until,
    writers,
)

FIRST = date(2026, 1, 1)


def _dated(day: int) -> dict[str, Any]:
    then = FIRST + timedelta(days=day)
    return {"occurred_at": datetime.combine(then, time(12), UTC), "business_date": then}


def _trade(world: World, items: Items, *, commands: int, seed: int) -> None:
    """Commands on every bucket of a few levels, at many costs, dated in any order over 30 days."""
    dice = random.Random(seed)
    with writers(world.database.conninfo(), 1, batch_max=4) as (writer,):
        futures = []
        for n in range(commands):
            some = tuple(items.line(dice.randint(1, 4), v, n=v + 1) for v in range(3))
            cost = f"{dice.randint(1, 999)}.07"
            bought = tuple(items.line(dice.randint(3, 30), v, n=v + 1, cost=cost) for v in range(3))
            actions: list[Action] = [
                Receive(bought),
                Deduct(some),
                Reserve(some, f"{seed}-{n}"),
                Release(f"{seed}-{dice.randrange(max(n, 1))}"),
                Adjust(some),
                Move(some, Bucket.AVAILABLE, Bucket.DAMAGED, Kind.DAMAGE),
            ]
            dated = _dated(dice.randrange(30))
            futures.append(writer.submit(items.tenant, command(dice.choice(actions), **dated)))
        answers(futures)


def _number(world: World) -> int:
    with Session(world.follower) as session, session.begin():
        return events.assign_positions(session)


def _fold(world: World, at_most: int = 1000) -> int | None:
    with Session(world.follower) as session, session.begin():
        return level_days.fold(session, at_most)


def _fold_all(world: World) -> None:
    while _fold(world) is not None:
        pass


def _levels(session: Session) -> list[InventoryLevel]:
    return list(session.scalars(select(InventoryLevel).order_by(InventoryLevel.id)))


_LEDGER = """
SELECT m.*, p.first_position + m.ordinal - 1 AS position
  FROM stock_movements m JOIN postings p ON p.id = m.posting_id
"""


def _replayed(world: World, tenant: UUID, wanted: Callable[[Any], bool]) -> dict[UUID, LevelThen]:
    """The plain sum over the ledger."""
    sums: dict[UUID, LevelThen] = defaultdict(LevelThen)
    for row in rows(world.app, tenant, _LEDGER):
        if wanted(row):
            then = sums[row.level_id]
            sums[row.level_id] = LevelThen(
                then.movements + 1,
                then.available + row.available_change,
                then.reserved + row.reserved_change,
                then.damaged + row.damaged_change,
                then.quarantine + row.quarantine_change,
                then.in_transit + row.in_transit_change,
                then.total_value + row.value_change,
                then.in_transit_value + row.in_transit_value_change,
            )
    return sums


def _by_date(day: date, row: Any) -> bool:
    return bool(row.business_date <= day)


def _by_position(position: int, row: Any) -> bool:
    return bool(row.position <= position)


def _check_dates(world: World, tenant: UUID) -> None:
    """Every date from before the first movement to after the last."""
    for offset in range(-1, 32):
        day = FIRST + timedelta(days=offset)
        expected = _replayed(world, tenant, partial(_by_date, day))
        with transaction(world.app, tenant) as session:
            found = on_date(session, _levels(session), day)
        assert found == {id_: expected[id_] for id_ in found}, day


def _check_positions(world: World, tenant: UUID) -> None:
    """Every position of the ledger, with the one before the first."""
    for position in range(_number(world) + 1):
        expected = _replayed(world, tenant, partial(_by_position, position))
        with transaction(world.app, tenant) as session:
            found = at_position(session, _levels(session), position)
        assert found == {id_: expected[id_] for id_ in found}, position


def test_a_date_is_the_sum_of_the_ledger_however_far_the_sums_have_come(world: World) -> None:
    _trade(world, world.items, commands=60, seed=1)
    _check_dates(world, world.tenant)
    _number(world)
    assert _fold(world, 20) is not None
    marks = rows(world.app, world.tenant, "SELECT sum(sequence) FROM level_day_marks")[0][0]
    assert 0 < marks < len(rows(world.app, world.tenant, "SELECT 1 FROM stock_movements"))
    _check_dates(world, world.tenant)
    _fold_all(world)
    _check_dates(world, world.tenant)
    # The days alone are the whole answer now: nothing is left above the marks.
    assert (
        rows(
            world.app,
            world.tenant,
            "SELECT 1 FROM inventory_levels l LEFT JOIN level_day_marks k ON k.level_id = l.id"
            " WHERE l.sequence <> coalesce(k.sequence, 0)",
        )
        == []
    )
    days = rows(world.app, world.tenant, "SELECT sum(movements) FROM level_days")[0][0]
    assert days == len(rows(world.app, world.tenant, "SELECT 1 FROM stock_movements"))


def test_a_back_dated_movement_corrects_the_days_that_were_summed_up(world: World) -> None:
    first = command(Receive((world.items.line(10),)), **_dated(5))
    late = command(Receive((world.items.line(7),)), **_dated(2))
    with writers(world.database.conninfo(), 1) as (writer,):
        answers([writer.submit(world.tenant, first)])
        _number(world)
        _fold_all(world)
        assert _available(world, 2) == 0
        answers([writer.submit(world.tenant, late)])
    assert [_available(world, day) for day in (1, 2, 4, 5)] == [0, 7, 7, 17]
    _number(world)
    _fold_all(world)
    assert [_available(world, day) for day in (1, 2, 4, 5)] == [0, 7, 7, 17]
    days = rows(
        world.app, world.tenant, "SELECT business_date, available FROM level_days ORDER BY 1"
    )
    assert [tuple(day) for day in days] == [
        (FIRST + timedelta(days=2), 7),
        (FIRST + timedelta(days=5), 10),
    ]


def _available(world: World, day: int) -> int:
    with transaction(world.app, world.tenant) as session:
        found = on_date(session, _levels(session), FIRST + timedelta(days=day))
    return sum(then.available for then in found.values())


def test_goods_dated_out_before_they_are_dated_in_are_below_zero_between(world: World) -> None:
    with writers(world.database.conninfo(), 1) as (writer,):
        for action, day in (
            (Receive((world.items.line(10, cost="2"),)), 9),
            (Deduct((world.items.line(4),)), 3),
        ):
            answers([writer.submit(world.tenant, command(action, **_dated(day)))])
    with transaction(world.app, world.tenant) as session:
        (then,) = on_date(session, _levels(session), FIRST + timedelta(days=5)).values()
    assert (then.on_hand, then.total_value) == (-4, Decimal(-8))


def test_a_position_is_what_the_ledger_had_written(world: World) -> None:
    _trade(world, world.items, commands=40, seed=2)
    other = make_items(world.app, new_tenant(world.maint), variants=3)
    _trade(world, other, commands=40, seed=3)
    _trade(world, world.items, commands=10, seed=4)
    _check_positions(world, world.tenant)
    _check_positions(world, other.tenant)


def test_what_has_no_position_yet_is_after_every_position(world: World) -> None:
    with writers(world.database.conninfo(), 1) as (writer,):
        answers([writer.submit(world.tenant, receive(world.items, 3))])
        last = _number(world)
        answers([writer.submit(world.tenant, receive(world.items, 4))])
    with transaction(world.app, world.tenant) as session:
        (then,) = at_position(session, _levels(session), last).values()
        assert (then.movements, then.available) == (1, 3)
        (then,) = at_position(session, _levels(session), last + 1).values()
        assert (then.movements, then.available) == (1, 3)


_TRANSIT = """
WITH posted AS (INSERT INTO postings (tenant_id, facts) VALUES (:tenant, 1) RETURNING id)
INSERT INTO stock_movements (
    tenant_id, posting_id, ordinal, operation_id, level_id, sequence, warehouse_id, variant_id,
    kind, available_before, available_change, available_after, reserved_before, reserved_change,
    reserved_after, damaged_before, damaged_change, damaged_after, quarantine_before,
    quarantine_change, quarantine_after, in_transit_before, in_transit_change, in_transit_after,
    unit_cost, value_change, value_after, in_transit_value_change, created_by, occurred_at,
    business_date)
SELECT l.tenant_id, p.id, 1, uuidv7(), l.id, l.sequence + :n, l.warehouse_id, l.variant_id,
       'transfer_in', l.available, 0, l.available, 0, 0, 0, 0, 0, 0, 0, 0, 0,
       CAST(:before AS bigint), CAST(:change AS bigint), :before + :change, l.average_cost, 0,
       l.total_value, 1.25 * :change, 'tester', :at, CAST(:at AS date)
  FROM inventory_levels l, posted p
"""


def test_value_on_the_way_is_followed_too(world: World) -> None:
    """Written by hand: units on the way come and go, and with them their value."""
    with writers(world.database.conninfo(), 1) as (writer,):
        answers(
            [writer.submit(world.tenant, command(Receive((world.items.line(1),)), **_dated(0)))]
        )
    with Session(world.maint) as session, session.begin():
        for n, before, change in ((1, 0, 8), (2, 8, -2), (3, 6, -6)):
            values = {"tenant": world.tenant, "n": n, "before": before, "change": change}
            session.execute(text(_TRANSIT), {**values, "at": _dated(n)["occurred_at"]})
        session.execute(text("UPDATE inventory_levels SET sequence = sequence + 3"))
    for state in ("unseen", "folded"):
        with transaction(world.app, world.tenant) as session:
            level = _levels(session)
            found = [
                next(iter(on_date(session, level, FIRST + timedelta(days=n)).values()))
                for n in range(4)
            ]
        assert [then.in_transit_value for then in found] == [0, 10, 7.5, 0], state
        assert [then.in_transit for then in found] == [0, 8, 6, 0], state
        _number(world)
        _fold_all(world)
    _check_positions(world, world.tenant)


def test_nothing_counts_twice_when_the_cursor_is_lost(world: World) -> None:
    _trade(world, world.items, commands=30, seed=5)
    _number(world)
    _fold_all(world)
    before = rows(world.app, world.tenant, "SELECT * FROM level_days ORDER BY 2, 3")
    with Session(world.maint) as session, session.begin():
        session.execute(text("DELETE FROM follower_cursors"))
    assert _fold(world) is not None
    assert rows(world.app, world.tenant, "SELECT * FROM level_days ORDER BY 2, 3") == before


def test_a_fold_that_is_rolled_back_leaves_no_trace(world: World) -> None:
    _trade(world, world.items, commands=20, seed=6)
    _number(world)
    with Session(world.follower) as session:
        assert level_days.fold(session) is not None
        session.rollback()
    assert rows(world.app, world.tenant, "SELECT 1 FROM level_days") == []
    _fold_all(world)
    _check_dates(world, world.tenant)


def test_one_folds_at_a_time(world: World) -> None:
    _trade(world, world.items, commands=5, seed=7)
    _number(world)
    with Session(world.follower) as first:
        assert level_days.fold(first) is not None
        assert _fold(world) is None
        first.commit()
    assert _fold(world) is None


def test_answers_stay_exact_while_writers_and_followers_work(world: World) -> None:
    """As of a day after all movements a level holds what its row says, in the same snapshot."""
    stop, seen = threading.Event(), [0]
    after_all = FIRST + timedelta(days=100)

    def trade(seed: int) -> int:
        try:
            _trade(world, world.items, commands=150, seed=seed)
        finally:
            stop.set()
        return 1

    def follow() -> int:
        while not stop.is_set():
            _number(world)
            _fold(world, 7)
        return 1

    def look() -> int:
        while not stop.is_set() or not seen[0]:
            with world.app.connect().execution_options(isolation_level="REPEATABLE READ") as conn:
                conn.execute(
                    text("SELECT set_config('app.tenant', :t, true)"), {"t": str(world.tenant)}
                )
                with Session(conn) as session:
                    levels = _levels(session)
                    found = on_date(session, levels, after_all)
                    assert {level.id: _held(level) for level in levels} == found
                    seen[0] += len(levels)
        return seen[0]

    together([lambda: trade(8), lambda: trade(9), follow, follow, look])
    assert seen[0] > 0
    _check_dates(world, world.tenant)


def _held(level: InventoryLevel) -> LevelThen:
    return LevelThen(
        level.sequence,
        level.available,
        level.reserved,
        level.damaged,
        level.quarantine,
        level.in_transit,
        level.total_value,
        level.in_transit_value,
    )


@pytest.fixture
def sums(world: World) -> Iterator[DailySums]:
    """The thread that every worker runs, beside the follower that numbers."""
    follower = Follower(world.database.conninfo(FOLLOWER))
    made = DailySums(world.follower, look_seconds=0.02)
    yield made
    made.close()
    follower.close()


def _unfolded(world: World) -> int:
    query = (
        "SELECT coalesce(sum(l.sequence - coalesce(k.sequence, 0)), 0)::int FROM inventory_levels l"
        " LEFT JOIN level_day_marks k ON k.level_id = l.id"
    )
    count: int = rows(world.app, world.tenant, query)[0][0]
    return count


def test_the_thread_follows_and_goes_on_after_its_connection_was_killed(
    world: World, sums: DailySums
) -> None:
    _trade(world, world.items, commands=20, seed=10)
    wait_until(lambda: _unfolded(world) == 0, "all is summed up")
    assert sums.position == _number(world)
    with connected(world.superuser) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND usename = %s",
            (FOLLOWER,),
        )
    _trade(world, world.items, commands=20, seed=11)
    wait_until(lambda: _unfolded(world) == 0, "all is summed up again")
    _check_dates(world, world.tenant)


def test_a_stopped_thread_is_gone(world: World) -> None:
    made = DailySums(world.follower)
    made.close()
    assert "daily-sums" not in {thread.name for thread in threading.enumerate()}
