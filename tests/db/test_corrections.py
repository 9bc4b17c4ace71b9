"""Signed corrections: all kinds of damage are found, explained and made good in the open."""

import random
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.audit import Finding, audit, balance
from db.corrections import Corrected, Signature, correct, release
from db.engine import transaction
from domain.corrections import Keep
from domain.errors import Conflict, InvalidInput, NotFound
from domain.stock import (
    Action,
    Adjust,
    Bucket,
    Deduct,
    Kind,
    Move,
    Receive,
    Release,
    Reserve,
    Reverse,
    Ship,
    Transfer,
    TransferLine,
)
from tests.db.conftest import World
from tests.support import (
    answers,
    code,
    command,
    connected,
    held,
    levels,
    rows,
    together,
    wait_until,
    waiting,
    writers,
)

ADA = Signature("Ada King", "the shelf was counted by two people")
Damage = Callable[..., None]
LEVEL = "UPDATE inventory_levels SET"
UNCONSTRAINED = "ALTER TABLE inventory_levels DROP CONSTRAINT inventory_levels_value_check"
REVALUED = "total_value = round(average_cost * ({}), 6)"
ON_HAND = "available + reserved + damaged + quarantine"
#: Damage to the row of the first level (available 7, reserved 3), and what it then says.
DRIFTS = {
    "more available": (f"available = 9, {REVALUED.format('9 + reserved')}", {"available": 9}),
    "less available": (f"available = 2, {REVALUED.format('2 + reserved')}", {"available": 2}),
    "a bucket for another": ("available = 6, damaged = 1", {"available": 6, "damaged": 1}),
    "less reserved": ("available = 7, reserved = 2", {}),
    "all reserved": (
        f"reserved = 9, available = 0, {REVALUED.format('9')}",
        {"available": 6},
    ),
    "in transit from nowhere": (
        "in_transit = 3, in_transit_value = 4.5",
        {"in_transit": 3},
    ),
    "another average": (
        f"average_cost = 7, total_value = round(7 * ({ON_HAND}), 6)",
        {},
    ),
    "a value against its average": ("total_value = total_value + 0.000001", {}),
    "a counter ahead": ("sequence = sequence + 1", {}),
    "everything at once": (
        (
            "available = 1, damaged = 4, quarantine = 2, in_transit = 1, average_cost = 3,"
            " total_value = 21, sequence = sequence + 40"
        ),
        {"available": 1, "damaged": 4, "quarantine": 2, "in_transit": 1},
    ),
}


def _level(world: World, variant: int = 0) -> UUID:
    return levels(world.app, world.tenant)[world.items.key(variant)].id


def _do(world: World, *actions: Action) -> list[str | None]:
    with writers(world.database.conninfo(), 1) as (writer,):
        return [
            code(answers([writer.submit(world.tenant, command(action))])[0]) for action in actions
        ]


def _trade_on(world: World) -> list[str | None]:
    """One of every command on the first level, all of which must go through."""
    items = world.items
    target = items.key(0, 1)
    return _do(
        world,
        Receive((items.line(20, cost="1.90"),)),
        Reserve((items.line(4, n=1), items.line(2, n=2)), "later"),
        Ship("later", {1: 4}),
        Release("later"),
        Deduct((items.line(2),)),
        Adjust((items.line(3),)),
        Move((items.line(1),), Bucket.AVAILABLE, Bucket.DAMAGED, Kind.DAMAGE),
        Transfer((TransferLine(items.key(), target, 2),)),
    )


def _about(world: World, level: UUID) -> list[Finding]:
    found = [one for one in audit(world.maint, world.tenant) if one.level_id == str(level)]
    assert found
    for one in found:
        assert one.evidence is not None
        sku, place = rows(
            world.app,
            world.tenant,
            "SELECT v.sku, w.code FROM inventory_levels l JOIN variants v ON v.id = l.variant_id"
            " JOIN warehouses w ON w.id = l.warehouse_id WHERE l.id = :id",
            id=level,
        )[0]
        assert (one.evidence["sku"], one.evidence["warehouse"]) == (sku, place)
        assert one.evidence["last_movements"]
    return found


def _clean(world: World) -> None:
    assert audit(world.maint, world.tenant) == []
    with transaction(world.app, world.tenant) as session:
        assert balance(session, world.tenant)["balanced"]


def _corrections(world: World, level: UUID) -> list[Any]:
    return rows(
        world.app,
        world.tenant,
        "SELECT * FROM stock_movements WHERE level_id = :id AND kind = 'correction'"
        " ORDER BY sequence",
        id=level,
    )


@pytest.mark.parametrize("keep", Keep)
@pytest.mark.parametrize("name", DRIFTS)
def test_a_drifted_level_is_found_corrected_and_works_on(
    name: str, keep: Keep, traded: World, damage: Damage
) -> None:
    statement, says = DRIFTS[name]
    level = _level(traded)
    before = levels(traded.app, traded.tenant)[traded.items.key()]
    damage(UNCONSTRAINED)
    damage(f"{LEVEL} {statement} WHERE id = %s", level)
    found = _about(traded, level)
    assert all(one.advice is None for one in found)
    offered = {one["keep"]: one for one in found[0].corrections}
    assert offered[keep]["possible"]
    assert f"--correct {level} --keep {keep}" in offered[keep]["command"]
    done = correct(traded.maint, level, keep, ADA)
    assert done.level == offered[keep]["leads_to"]
    assert len(done.movements) == max(1, len(offered[keep]["movements"]))
    _clean(traded)
    now = levels(traded.app, traded.tenant)[traded.items.key()]
    if keep is Keep.LEDGER:
        assert now[1:6] == before[1:6]
        assert now.total_value == before.total_value
    else:
        assert {bucket: getattr(now, bucket) for bucket in says} == says
        assert now.reserved == 3
    assert set(_trade_on(traded)) == {None}
    _clean(traded)


def test_keeping_the_ledger_shows_the_unexplained_change_and_its_reversal(
    traded: World, damage: Damage
) -> None:
    level = _level(traded)
    damage(f"{LEVEL} available = 9, {REVALUED.format('9 + reserved')} WHERE id = %s", level)
    done = correct(traded.maint, level, Keep.LEDGER, ADA)
    there, back = _corrections(traded, level)
    assert (there.available_change, back.available_change) == (3, -3)
    assert there.value_change == -back.value_change
    assert there.value_change > 0
    assert there.sequence + 1 == back.sequence
    for row in (there, back):
        assert (row.created_by, row.approved_by) == ("Ada King", "Ada King")
        assert row.reason.startswith(ADA.reason)
        assert "add up to available=6" in row.reason
        assert "said available=9" in row.reason
    ((fact,),) = rows(
        traded.app, traded.tenant, "SELECT data FROM events WHERE kind = 'stock.corrected'"
    )
    assert fact["signed_by"] == "Ada King"
    assert fact["reason"] == ADA.reason
    assert fact["movements"] == list(done.movements)
    assert "available=9" in fact["found"]


def test_keeping_the_level_is_one_movement(traded: World, damage: Damage) -> None:
    level = _level(traded)
    damage(f"{LEVEL} available = 9, {REVALUED.format('9 + reserved')} WHERE id = %s", level)
    correct(traded.maint, level, Keep.LEVEL, ADA)
    (only,) = _corrections(traded, level)
    assert (only.available_before, only.available_change, only.available_after) == (6, 3, 9)
    with writers(traded.database.conninfo(), 1) as (writer,):
        undo = writer.submit(traded.tenant, command(Reverse(only.operation_id)))
        assert code(answers([undo])[0]) == "not_reversible"
    _clean(traded)


@pytest.mark.parametrize("keep", Keep)
def test_a_drift_that_was_traded_over_is_signed_where_it_broke(
    keep: Keep, traded: World, damage: Damage
) -> None:
    """The nightly run finds it hours later: movements after it began with the wrong numbers."""
    level = _level(traded)
    last = levels(traded.app, traded.tenant)[traded.items.key()].sequence
    damage(f"{LEVEL} available = 9, {REVALUED.format('9 + reserved')} WHERE id = %s", level)
    assert set(_trade_on(traded)) == {None}
    checks = {one.check for one in _about(traded, level)}
    assert checks == {"level_is_the_sum_of_its_movements", "chain_is_unbroken"}
    known = _about(traded, level)[0].evidence
    assert known is not None
    assert f"between movement number {last}" in known["since"]
    assert "available +3" in known["since"]
    done = correct(traded.maint, level, keep, ADA)
    # The break in the past, and the one with which the correction takes the ledger up again.
    assert done.signed_breaks == (last + 1, done.movements[0])
    _clean(traded)
    assert set(_trade_on(traded)) == {None}
    _clean(traded)
    # What was signed is exact: another break at the same place is found again.
    damage(
        "UPDATE stock_movements SET available_before = available_before + 1,"
        " available_change = available_change - 1 WHERE level_id = %s AND sequence = %s",
        level,
        last + 1,
    )
    assert "chain_is_unbroken" in {one.check for one in _about(traded, level)}


def test_lost_reservations_make_their_units_available_again(traded: World, damage: Damage) -> None:
    level = _level(traded, 0)
    damage("DELETE FROM reservations WHERE level_id = %s", level)
    assert {one.check for one in _about(traded, level)} == {
        "reserved_is_the_sum_of_open_reservations"
    }
    correct(traded.maint, level, Keep.LEVEL, ADA)
    now = levels(traded.app, traded.tenant)[traded.items.key()]
    assert (now.available, now.reserved) == (9, 0)
    _clean(traded)


def test_a_hold_on_another_level_reserves_there(traded: World, damage: Damage) -> None:
    first, second = _level(traded, 0), _level(traded, 1)
    damage("UPDATE reservations SET level_id = %s WHERE level_id = %s", second, first)
    for level in (first, second):
        correct(traded.maint, level, Keep.LEDGER, ADA)
    assert levels(traded.app, traded.tenant)[traded.items.key(1)].reserved == 3
    _clean(traded)
    assert _do(traded, Ship("order-1", {1: 3})) == [None]
    _clean(traded)


def test_holds_that_the_level_cannot_cover_are_refused_with_the_reason(
    traded: World, damage: Damage
) -> None:
    level = _level(traded)
    damage("UPDATE reservations SET quantity = 50, open = 50 WHERE level_id = %s", level)
    for one in _about(traded, level)[0].corrections:
        assert not one["possible"]
        assert "available would be below zero" in one["why_not"]
    for keep in Keep:
        with pytest.raises(Conflict) as refused:
            correct(traded.maint, level, keep, ADA)
        assert refused.value.code == "cannot_keep"
    assert _corrections(traded, level) == []


DAMAGED = {
    "a deleted movement": ("DELETE FROM stock_movements WHERE level_id = %s AND sequence = 2", "2"),
    "a changed movement": (
        (
            "UPDATE stock_movements SET reserved_change = reserved_change + 1,"
            " reserved_after = reserved_after + 1 WHERE level_id = %s AND sequence = 3"
        ),
        "3",
    ),
    "a changed last movement": (
        (
            "UPDATE stock_movements SET available_change = available_change + 1,"
            " available_after = available_after + 1 WHERE level_id = %s AND sequence = 5"
        ),
        "5",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_history_is_not_papered_over(name: str, traded: World, damage: Damage) -> None:
    statement, number = DAMAGED[name]
    level = _level(traded)
    damage(statement, level)
    for one in _about(traded, level):
        assert one.corrections == []
        assert one.advice is not None
        assert f"Movement number {number} " in one.advice
        assert "backup" in one.advice
    with pytest.raises(Conflict) as refused:
        correct(traded.maint, level, Keep.LEVEL, ADA)
    assert refused.value.code == "history_damaged"


def test_nothing_to_correct_and_nobody_to_sign(traded: World) -> None:
    level = _level(traded)
    with pytest.raises(Conflict) as refused:
        correct(traded.maint, level, Keep.LEVEL, ADA)
    assert refused.value.code == "nothing_to_correct"
    with pytest.raises(NotFound):
        correct(traded.maint, UUID(int=7), Keep.LEVEL, ADA)
    for wrong in (("", "why"), ("Ada", "  "), ("Ada", "x" * 501)):
        with pytest.raises(InvalidInput):
            Signature(*wrong)


def test_the_app_role_cannot_sign(traded: World, damage: Damage) -> None:
    level = _level(traded)
    damage(f"{LEVEL} available = 9, {REVALUED.format('9 + reserved')} WHERE id = %s", level)
    _trade_on(traded)
    with pytest.raises(Exception, match="permission denied for table signed_breaks"):
        correct_as_app(traded, level)
    assert _corrections(traded, level) == []


def correct_as_app(world: World, level: UUID) -> None:
    with transaction(world.app, world.tenant) as session:
        session.execute(
            text(
                "INSERT INTO signed_breaks (level_id, sequence, available, reserved, damaged,"
                " quarantine, in_transit, value, correction_id, signed_by, reason)"
                " VALUES (:level, 1, 0, 0, 0, 0, 0, 0, uuidv7(), 'x', 'x')"
            ),
            {"level": level},
        )


def test_a_correction_waits_for_the_level_and_two_make_one(traded: World, damage: Damage) -> None:
    level = _level(traded)
    damage(f"{LEVEL} available = 9, {REVALUED.format('9 + reserved')} WHERE id = %s", level)

    def attempt() -> Corrected | str:
        try:
            return correct(traded.maint, level, Keep.LEVEL, ADA)
        except Conflict as refusal:
            return refusal.code

    with connected(traded.superuser) as conn, conn.transaction():
        conn.execute("SELECT 1 FROM inventory_levels WHERE id = %s FOR NO KEY UPDATE", (level,))
        pool = []
        found: list[Corrected | str] = []
        for _ in range(2):
            thread = threading.Thread(target=lambda: found.append(attempt()))
            thread.start()
            pool.append(thread)
        wait_until(lambda: waiting(traded.superuser, "stockwright") == 2, "both wait")
        assert found == []
    for thread in pool:
        thread.join(30)
    assert sorted(type(one).__name__ for one in found) == ["Corrected", "str"]
    assert "nothing_to_correct" in found
    assert len(_corrections(traded, level)) == 1
    _clean(traded)


def test_corrections_beside_a_busy_writer(traded: World, damage: Damage) -> None:
    level = _level(traded)
    items = traded.items
    damage(f"{LEVEL} available = 900, {REVALUED.format('900 + reserved')} WHERE id = %s", level)

    def sell() -> None:
        with writers(traded.database.conninfo(), 1) as (writer,):
            for _ in range(60):
                answers([writer.submit(traded.tenant, command(Deduct((items.line(1),))))])

    together([sell, sell, lambda: _keep(correct(traded.maint, level, Keep.LEVEL, ADA))])
    _clean(traded)
    assert levels(traded.app, traded.tenant)[items.key()].available == 900 - 120


def _keep(_: Corrected) -> None:
    return None


def test_any_mixture_of_damage_and_trade_is_made_good(traded: World, damage: Damage) -> None:
    """Rounds of random damage, each perhaps traded over before it is found."""
    draw = random.Random(20261121)
    level = _level(traded)
    for _ in range(25):
        buckets = {name: draw.randrange(40) for name in draw.sample(_FIELDS, draw.randrange(1, 4))}
        sets = ", ".join(f"{name} = {value}" for name, value in buckets.items())
        damage(f"{LEVEL} {sets}, total_value = 0, average_cost = 0 WHERE id = %s", level)
        cost = draw.randrange(500)
        damage(
            f"{LEVEL} average_cost = %s / 100.0,"
            f" total_value = round(%s / 100.0 * ({ON_HAND}), 6) WHERE id = %s",
            cost,
            cost,
            level,
        )
        if draw.random() < 0.5:
            _trade_on(traded)
        offered = {one["keep"] for one in _about(traded, level)[0].corrections if one["possible"]}
        correct(traded.maint, level, Keep(draw.choice(sorted(offered))), ADA)
        _clean(traded)
        assert _do(traded, Receive((traded.items.line(30, cost="2.22"),))) == [None]
        assert set(_trade_on(traded)) == {None}
        _clean(traded)


_FIELDS = ["available", "damaged", "quarantine", "in_transit"]


def test_what_an_ended_process_left_behind_is_released(traded: World, damage: Damage) -> None:
    owner = "reservation-acme-basket"
    with pytest.raises(Conflict) as refused:
        release(traded.maint, "order-1", ADA)
    assert refused.value.code == "owner_is_open"
    damage(
        "UPDATE reservations SET owner = %s, expires_at = now() - interval '2 hours'"
        " WHERE owner = 'order-1'",
        owner,
    )
    (found,) = audit(traded.maint, traded.tenant)
    assert owner in found.subject
    assert found.advice is not None
    assert release(traded.maint, owner, ADA) == 3
    assert held(traded.app, traded.tenant) == {}
    _clean(traded)
    with pytest.raises(NotFound):
        release(traded.maint, owner, ADA)


def test_a_damaged_counter_alone_is_a_movement_of_nothing(traded: World, damage: Damage) -> None:
    level = _level(traded)
    damage(f"{LEVEL} sequence = sequence + 7 WHERE id = %s", level)
    correct(traded.maint, level, Keep.LEDGER, ADA)
    (only,) = _corrections(traded, level)
    assert (only.available_change, only.value_change, only.sequence) == (0, 0, 6)
    _clean(traded)


def test_reading_evidence_changes_nothing(traded: World, damage: Damage) -> None:
    level = _level(traded)
    damage(f"{LEVEL} in_transit = 3 WHERE id = %s", level)
    with Session(traded.maint) as session:
        before = session.execute(text("SELECT count(*) FROM stock_movements")).scalar_one()
    _about(traded, level)
    with Session(traded.maint) as session:
        assert session.execute(text("SELECT count(*) FROM stock_movements")).scalar_one() == before
