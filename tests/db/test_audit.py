"""The oracle: silent on good books, and loud, with the right words, on every kind of damage."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from uuid_utils.compat import uuid7

from db.audit import CHECKS, Finding, audit, balance
from db.engine import transaction
from db.stock_commands import BulkRow, StockBulk
from db.stock_writer import StockWriter
from domain.stock import Receive, Release, Reserve
from tests.db.conftest import World
from tests.support import (
    Items,
    answers,
    books,
    command,
    levels,
    make_items,
    new_tenant,
    receive,
    rows,
    together,
    writers,
)


def _first(world: World) -> tuple[str, str]:
    """Id of the first level and of its third movement."""
    level = levels(world.app, world.tenant)[world.items.key()].id
    ((movement,),) = rows(
        world.app,
        world.tenant,
        "SELECT id FROM stock_movements WHERE level_id = :level AND sequence = 3",
        level=level,
    )
    return str(level), str(movement)


def _found(world: World) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in audit(world.maint, world.tenant):
        assert finding.tenant_id == str(world.tenant)
        assert finding.expected != finding.found
        found.setdefault(finding.check, []).append(finding)
    return found


#: Constraints that would refuse a damage before the oracle could see it.
UNCONSTRAINED = (
    "ALTER TABLE inventory_levels DROP CONSTRAINT inventory_levels_value_check",
    "DROP INDEX stock_movements_operation_key",
)
SUM, CHAIN = "level_is_the_sum_of_its_movements", "chain_is_unbroken"
HELD, VALUE = "reserved_is_the_sum_of_open_reservations", "value_is_average_times_on_hand"
ONCE, FACTS = "one_movement_per_level_and_command", "postings_count_their_facts"
DENSE, ORDER = "positions_are_dense", "positions_follow_each_level"
PLACES, OPERATION = "movements_are_of_their_level", "young_movements_have_their_operation"
TRANSFER, OVERDUE = "transfers_cancel_out", "no_reservation_outlives_its_time"
LEVEL, MOVEMENT = "UPDATE inventory_levels SET", "UPDATE stock_movements SET"
# Constants only: nothing of a request is in these statements.
#: Damage to the first level (%L) or its third movement (%M), and the checks that must see it.
DAMAGES: Mapping[str, tuple[str, set[str]]] = {
    "a unit more on a level": (
        f"{LEVEL} damaged = 1, available = available - 1 WHERE id = %L",
        {SUM},
    ),
    "a unit less reserved": (
        f"{LEVEL} reserved = reserved - 1, available = available + 1 WHERE id = %L",
        {SUM, HELD},
    ),
    "units in transit from nowhere": (f"{LEVEL} in_transit = 3 WHERE id = %L", {SUM}),
    "a level's sequence": (f"{LEVEL} sequence = sequence + 1 WHERE id = %L", {SUM}),
    "a level's value": (
        (
            f"{LEVEL} average_cost = average_cost + 1,"
            " total_value = round((average_cost + 1) * (available + reserved), 6) WHERE id = %L"
        ),
        {SUM},
    ),
    "a level's value against its average": (
        f"{LEVEL} total_value = total_value + 0.000001 WHERE id = %L",
        {SUM, VALUE},
    ),
    "a deleted movement": ("DELETE FROM stock_movements WHERE id = %M", {SUM, CHAIN, FACTS}),
    "a movement's before and after": (
        (
            f"{MOVEMENT} available_before = available_before + 1,"
            " available_after = available_after + 1"
            " WHERE id = %M"
        ),
        {CHAIN},
    ),
    "a movement's change": (
        (
            f"{MOVEMENT} reserved_change = reserved_change + 1, reserved_after = reserved_after + 1"
            " WHERE id = %M"
        ),
        {SUM, CHAIN},
    ),
    "a movement's value": (
        f"{MOVEMENT} value_change = value_change - 1 WHERE id = %M",
        {SUM, CHAIN},
    ),
    "a movement's running value": (
        f"{MOVEMENT} value_after = value_after - 1 WHERE id = %M",
        {CHAIN},
    ),
    "a movement's number": (f"{MOVEMENT} sequence = 99 WHERE id = %M", {SUM, CHAIN, ORDER}),
    "a movement's operation": (
        (
            f"{MOVEMENT} operation_id = (SELECT operation_id FROM stock_movements"  # noqa: S608  # Constants only.
            " WHERE level_id = %L AND sequence = 2) WHERE id = %M"
        ),
        {ONCE},
    ),
    "a movement's posting": (
        f"{MOVEMENT} posting_id = (SELECT min(id) FROM postings), ordinal = 77 WHERE id = %M",  # noqa: S608  # Constants only.
        {FACTS, ORDER},
    ),
    "a movement of another variant": (
        (
            f"{MOVEMENT} variant_id = (SELECT v.id FROM variants v"  # noqa: S608  # Constants only.
            " WHERE v.id <> stock_movements.variant_id LIMIT 1) WHERE id = %M"
        ),
        {PLACES},
    ),
    "a deleted reservation": ("DELETE FROM reservations WHERE level_id = %L", {HELD}),
    "an altered reservation": (
        "UPDATE reservations SET open = open - 1 WHERE level_id = %L",
        {HELD},
    ),
    "a reservation on another level": (
        (
            "UPDATE reservations SET level_id = (SELECT id FROM inventory_levels WHERE id <> %L)"
            " WHERE level_id = %L"
        ),
        {HELD},
    ),
    "a gap in positions": (
        (
            "UPDATE postings SET first_position = first_position + 100"
            " WHERE first_position = (SELECT max(first_position) FROM postings)"
        ),
        {DENSE},
    ),
    "a position that does not start at one": (
        "UPDATE postings SET first_position = -5 WHERE first_position = 1",
        {DENSE},
    ),
    "a deleted posting": (
        "DELETE FROM postings WHERE id = (SELECT posting_id FROM stock_movements WHERE id = %M)",
        {DENSE, FACTS},
    ),
    "a deleted last posting": (
        "DELETE FROM postings WHERE id = (SELECT max(id) FROM postings)",
        {FACTS},
    ),
    "an operation that is gone": (
        (
            "DELETE FROM operations WHERE id ="
            " (SELECT operation_id FROM stock_movements WHERE id = %M)"
        ),
        {OPERATION},
    ),
    "a transfer that never arrived": (
        f"{MOVEMENT} kind = 'transfer_out' WHERE id = %M",
        {TRANSFER},
    ),
    "a reservation that outlived its time": (
        (
            "UPDATE reservations SET owner = 'reservation-acme-basket', expires_at ="
            " now() - interval '61 minutes' WHERE level_id = %L"
        ),
        {OVERDUE},
    ),
    "a posting's count": ("UPDATE postings SET facts = facts + 1 WHERE id = 2", {DENSE, FACTS}),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_the_oracle_sees(name: str, traded: World, damage: Callable[..., None]) -> None:
    statement, expected = DAMAGES[name]
    level, movement = _first(traded)
    for statement_ in UNCONSTRAINED:
        damage(statement_)
    damage(statement.replace("%L", f"'{level}'").replace("%M", f"'{movement}'"))
    found = _found(traded)
    assert set(found) == expected
    for check in expected & {SUM, HELD, VALUE}:
        assert f"level {level}" in {finding.subject for finding in found[check]}
    for check in expected & {CHAIN, ONCE}:
        assert any(level in finding.subject for finding in found[check])
    for check in expected & {FACTS, DENSE}:
        assert all(finding.subject.startswith("posting ") for finding in found[check])


def _plant_order(damage: Callable[..., None], world: World, *, closed: bool, shipped: int) -> None:
    order = uuid7()
    damage(
        "INSERT INTO orders (tenant_id, id, number, workflow_id, customer_id, currency,"
        " total_amount, policy, payment_required, fulfilment, payment, occurred_at, business_date,"
        " version, closed_at) VALUES (%s, %s, 'SO-1', 'order-1', %s, 'EUR', 1, 'complete', false,"
        " 'reserved', 'none', now(), current_date, 1, CASE WHEN %s THEN now() END)",
        world.tenant,
        order,
        uuid7(),
        closed,
    )
    damage(
        "INSERT INTO order_lines (tenant_id, order_id, line, variant_id, warehouse_id, description,"
        " ordered, reserved, shipped, unit_price)"
        " VALUES (%s, %s, 1, %s, %s, 'x', 3 + %s, 3, %s, 1)",
        world.tenant,
        order,
        world.items.variants[0],
        world.items.warehouses[0],
        shipped,
        shipped,
    )


def test_the_oracle_sees_an_order_that_disagrees_with_the_ledger(
    traded: World, damage: Callable[..., None]
) -> None:
    _plant_order(damage, traded, closed=False, shipped=1)
    found = _found(traded)
    assert set(found) == {"orders_agree_with_the_ledger"}
    (finding,) = found["orders_agree_with_the_ledger"]
    assert (finding.subject, finding.expected) == ("order SO-1", "reserved 3 shipped 1")
    assert finding.found == "held 3 moved out 0"


def test_the_oracle_sees_a_reservation_that_outlives_its_order(
    traded: World, damage: Callable[..., None]
) -> None:
    _plant_order(damage, traded, closed=True, shipped=0)
    found = _found(traded)
    assert set(found) == {"no_reservation_outlives_its_order"}
    (finding,) = found["no_reservation_outlives_its_order"]
    assert finding.found == "held 3 for order SO-1, reserved"
    assert "order-1" in finding.subject


BULK = StockBulk("bulk", "http", b"print", (), False, lambda _: (200, b"{}"))


def test_a_bulk_answers_for_its_rows_and_a_restored_dump_for_nothing(
    traded: World, damage: Callable[..., None]
) -> None:
    """Its rows have operations of their own, which no key names."""
    items = traded.items
    row = command(Receive((items.line(2, cost="1.00"),)))
    bulk = replace(BULK, rows=[BulkRow(row.action, row.origin)] * 3)
    with writers(traded.database.conninfo(), 1) as (writer,):
        answers([writer.submit(traded.tenant, bulk)])
    assert _found(traded) == {}
    damage("DELETE FROM operations WHERE key = 'bulk'")
    found = _found(traded)
    assert {check: len(rows) for check, rows in found.items()} == {OPERATION: 3}
    damage(
        "WITH gone AS (DELETE FROM stock_movements RETURNING *)"
        " INSERT INTO stock_movements SELECT * FROM gone"
    )
    assert _found(traded) == {}


def test_every_check_is_proved_by_some_damage() -> None:
    by_hand = {"orders_agree_with_the_ledger", "no_reservation_outlives_its_order"}
    assert set().union(*(checks for _, checks in DAMAGES.values())) | by_hand == set(CHECKS)


def test_the_damage_of_one_tenant_is_not_held_against_another(
    traded: World, damage: Callable[..., None], make_neighbour: Callable[[], Items]
) -> None:
    neighbour = make_neighbour()
    damage("UPDATE inventory_levels SET in_transit = 3")
    assert audit(traded.maint, neighbour.tenant) == []
    assert {finding.tenant_id for finding in audit(traded.maint)} == {str(traded.tenant)}


@pytest.fixture
def make_neighbour(world: World) -> Callable[[], Items]:
    """Another tenant of the same world, with balanced books of its own but no stock yet."""
    return lambda: make_items(world.app, new_tenant(world.maint))


def test_a_finding_is_evidence_that_can_be_printed(
    traded: World, damage: Callable[..., None]
) -> None:
    level, _ = _first(traded)
    damage("UPDATE inventory_levels SET in_transit = 3 WHERE id = %s", level)
    (finding,) = audit(traded.maint)
    told = finding.as_dict()
    assert told["subject"] == f"level {level}"
    assert "in_transit=0" in told["expected"]
    assert "in_transit=3" in told["found"]
    assert told["tenant_id"] == str(traded.tenant)


def test_a_naive_writer_is_found_out(world: World) -> None:
    """Read, check in Python, write absolute values without a lock: the control of all races."""
    items = world.items
    with writers(world.database.conninfo(), 1) as (writer,):
        answers([writer.submit(items.tenant, receive(items, 100))])
    level = levels(world.app, items.tenant)[items.key()].id
    gate = threading.Barrier(4)

    def sell(quantity: int) -> Callable[[], None]:
        return lambda: _sell_naively(world, level, quantity, gate)

    together([sell(quantity) for quantity in (10, 20, 30, 40)])
    found = _found(world)
    assert {SUM, CHAIN} <= set(found)
    assert {finding.subject for finding in found[SUM]} == {f"level {level}"}


def _sell_naively(world: World, level: UUID, quantity: int, gate: threading.Barrier) -> None:
    with transaction(world.app, world.tenant) as session:
        row = session.execute(
            text("SELECT available, average_cost FROM inventory_levels WHERE id = :id"),
            {"id": level},
        ).one()
    before: int = row[0]
    assert before >= quantity
    after, cost = before - quantity, Decimal(row[1])
    gate.wait(20)
    with transaction(world.app, world.tenant) as session:
        session.execute(
            text(
                "UPDATE inventory_levels SET available = :after, total_value = round(:value, 6),"
                " sequence = sequence + 1 WHERE id = :id"
            ),
            {"id": level, "after": after, "value": cost * after},
        )
        session.execute(
            text(
                "WITH p AS (INSERT INTO postings (facts) VALUES (1) RETURNING id)"
                " INSERT INTO stock_movements (posting_id, ordinal, operation_id, level_id,"
                " sequence, warehouse_id, variant_id, kind, available_before, available_change,"
                " available_after, reserved_before, reserved_change, reserved_after,"
                " damaged_before, damaged_change, damaged_after, quarantine_before,"
                " quarantine_change, quarantine_after, in_transit_before, in_transit_change,"
                " in_transit_after, unit_cost, value_change, value_after, created_by, occurred_at,"
                " business_date)"
                " SELECT p.id, 1, uuidv7(), l.id, l.sequence, l.warehouse_id, l.variant_id, 'sale',"
                " :before, :after - :before, :after, 0,0,0, 0,0,0, 0,0,0, 0,0,0, :cost,"
                " round(:value, 6), l.total_value, 'naive', now(), current_date"
                " FROM inventory_levels l, p WHERE l.id = :id"
            ),
            {
                "id": level,
                "before": before,
                "after": after,
                "cost": cost,
                "value": -cost * quantity,
            },
        )


def test_the_balance_adds_up_by_kind(traded: World) -> None:
    with writers(traded.database.conninfo(), 1) as (writer,):
        answers([writer.submit(traded.tenant, command(Release("order-1")))])
    with transaction(traded.app, traded.tenant) as session:
        told = balance(session, traded.tenant)
    assert told["units_by_kind"] == {"purchase": 23, "sale": -3, "ship": -6}
    assert (told["on_hand"], told["available"], told["reserved"]) == (14, 14, 0)
    values = sum(map(Decimal, told["value_by_kind"].values()))
    assert values == Decimal(told["value_on_hand"])
    assert told["balanced"]


def test_the_balance_says_when_it_does_not_add_up(
    traded: World, damage: Callable[..., None]
) -> None:
    damage("UPDATE inventory_levels SET damaged = damaged + 1, available = available - 1")
    with transaction(traded.app, traded.tenant) as session:
        assert balance(session, traded.tenant)["balanced"]
    damage("DELETE FROM stock_movements WHERE kind = 'sale'")
    with transaction(traded.app, traded.tenant) as session:
        assert not balance(session, traded.tenant)["balanced"]


def test_the_books_of_a_busy_ledger_balance_at_every_look(
    world: World, maint_engine: Engine
) -> None:
    """One snapshot: writers in full flow must never look like damage."""
    assert maint_engine is not world.maint
    with writers(world.database.conninfo(), 2, batch_max=10) as made:
        futures = [_busy(made, world.items, n) for n in range(600)]
        looks = 0
        while not all(future.done() for future in futures):
            assert books(world.maint) == []
            looks += 1
        answers(futures)
    assert looks >= 2
    assert books(world.maint) == []


def _busy(made: list[StockWriter], items: Items, n: int) -> Any:
    action = Receive((items.line(2, n % 4),)) if n % 2 else Reserve((items.line(1, n % 4),), "o")
    return made[n % 2].submit(items.tenant, command(action))
