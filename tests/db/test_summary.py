"""The summary: of one moment, equal to the levels and to the ledger to the last decimal."""

import threading
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from uuid_utils.compat import uuid7

from db.engine import transaction
from db.stock_writer import StockWriter
from db.summary import Summary, Totals, summary
from domain.errors import InvalidInput
from domain.stock import (
    Action,
    Bucket,
    Deduct,
    Kind,
    Move,
    Receive,
    Reserve,
    Transfer,
    TransferLine,
)
from tests.conftest import Database
from tests.db.conftest import MakeItems
from tests.support import Items, answers, command, rows, together, writers


def _summary(engine: Engine, tenant: UUID, warehouse: UUID | None = None) -> Summary:
    with transaction(engine, tenant) as session:
        return summary(session, warehouse)


def _stock(writer: StockWriter, items: Items) -> None:
    """Costs that do not divide evenly, in both warehouses, in every bucket on hand."""
    actions: list[Action] = [
        Receive((items.line(7, 0, cost="3.333333"), items.line(3, 1, n=2, cost="0.01"))),
        Receive((items.line(10, 0, n=1, cost="1.777777"),)),
        Receive((items.line(5, 0, warehouse=1, cost="9.99"),)),
        Deduct((items.line(4, 0),)),
        Reserve((items.line(2, 0),), "somebody"),
        Move((items.line(1, 0),), Bucket.AVAILABLE, Bucket.DAMAGED, Kind.DAMAGE),
        Deduct((items.line(3, 1),)),
    ]
    for action in actions:
        assert answers([writer.submit(items.tenant, command(action))])[0].status == 200


def test_it_is_what_the_levels_and_the_ledger_say(
    engine: Engine, writer: StockWriter, new_items: MakeItems
) -> None:
    items = new_items(variants=3, warehouses=3)
    _stock(writer, items)
    found = _summary(engine, items.tenant)
    ledger = rows(
        engine,
        items.tenant,
        "SELECT sum(available_change)::bigint, sum(reserved_change)::bigint,"
        " sum(damaged_change)::bigint, sum(quarantine_change)::bigint,"
        " sum(in_transit_change)::bigint, sum(value_change), sum(in_transit_value_change)"
        " FROM stock_movements",
    )[0]
    of_levels = rows(
        engine,
        items.tenant,
        "SELECT sum(available)::bigint, sum(reserved)::bigint, sum(damaged)::bigint,"
        " sum(quarantine)::bigint, sum(in_transit)::bigint, sum(total_value),"
        " sum(in_transit_value) FROM inventory_levels",
    )[0]
    assert tuple(of_levels) == tuple(ledger)
    assert found.totals == Totals(1, 3, 0, 1, *ledger)
    assert found.totals.available == 15
    assert found.totals.on_hand_value > 0
    for warehouse in found.warehouses:
        one = _summary(engine, items.tenant, warehouse.id)
        assert (one.totals, list(one.warehouses)) == (warehouse.totals, [warehouse])


def test_the_warehouses_add_up_to_the_whole(
    engine: Engine, writer: StockWriter, new_items: MakeItems
) -> None:
    items = new_items(variants=3, warehouses=3)
    _stock(writer, items)
    found = _summary(engine, items.tenant)
    assert [part.code for part in found.warehouses] == sorted(f"W-{w}" for w in items.warehouses)
    for name in ("levels", "low_stock", "out_of_stock", "available", "reserved", "damaged",
                 "quarantine", "in_transit", "on_hand_value", "in_transit_value"):  # fmt: skip
        parts = [getattr(part.totals, name) for part in found.warehouses]
        assert sum(parts) == getattr(found.totals, name), name
    empty = next(p for p in found.warehouses if p.id == items.warehouses[2])
    assert empty.totals == Totals(0, 0, 0, 0, 0, 0, 0, 0, 0, Decimal(0), Decimal(0))


def test_low_and_out_do_not_overlap(
    engine: Engine, writer: StockWriter, new_items: MakeItems
) -> None:
    items = new_items(variants=4)
    lines = tuple(items.line(5, n, n=n + 1, cost="1") for n in range(4))
    answers([writer.submit(items.tenant, command(Receive(lines)))])
    points = {0: 5, 1: 4, 2: None, 3: 9}
    with transaction(engine, items.tenant) as session:
        for n, point in points.items():
            session.execute(
                text("UPDATE inventory_levels SET reorder_point = :p WHERE variant_id = :v"),
                {"p": point, "v": items.variants[n]},
            )
    totals = _summary(engine, items.tenant).totals
    assert (totals.low_stock, totals.out_of_stock) == (2, 0)
    answers([writer.submit(items.tenant, command(Deduct((items.line(5, 3),))))])
    totals = _summary(engine, items.tenant).totals
    assert (totals.low_stock, totals.out_of_stock) == (1, 1)


def test_a_tenant_without_stock_has_nothing(engine: Engine, new_items: MakeItems) -> None:
    items = new_items(variants=1, warehouses=1)
    found = _summary(engine, items.tenant)
    assert found.totals == Totals(0, 0, 0, 0, 0, 0, 0, 0, 0, Decimal(0), Decimal(0))
    assert [part.id for part in found.warehouses] == list(items.warehouses)


def test_the_products_are_counted_once(
    engine: Engine, writer: StockWriter, new_items: MakeItems
) -> None:
    """Three variants of one product in two warehouses are one product and six levels."""
    items = new_items(variants=3, warehouses=2)
    lines = [items.line(1, v, warehouse=w, n=v + 1, cost="1") for w in (0, 1) for v in range(3)]
    for line in lines:
        answers([writer.submit(items.tenant, command(Receive((line,))))])
    found = _summary(engine, items.tenant)
    assert (found.totals.products, found.totals.levels) == (1, 6)
    assert [part.totals.products for part in found.warehouses] == [1, 1]


def test_an_unknown_warehouse_is_refused(engine: Engine, new_items: MakeItems) -> None:
    mine, theirs = new_items(variants=1), new_items(variants=1)
    for unknown in (uuid7(), theirs.warehouses[0]):
        with pytest.raises(InvalidInput):
            _summary(engine, mine.tenant, unknown)


def test_goods_that_change_their_warehouse_are_never_seen_twice_or_not_at_all(
    engine: Engine, database: Database, new_items: MakeItems
) -> None:
    """Transfers take units and value from one level to another while summaries are read."""
    items = new_items(variants=1, warehouses=2)
    stop = threading.Event()
    with writers(database.conninfo(), 2, batch_max=2) as made:
        answers(
            [
                made[0].submit(
                    items.tenant,
                    command(Receive((items.line(1000, warehouse=w, cost="2.5"),))),
                )
                for w in (0, 1)
            ]
        )

        def shift(n: int) -> int:
            try:
                ends = (items.key(0, n), items.key(0, 1 - n))
                futures = [
                    made[n].submit(
                        items.tenant, command(Transfer((TransferLine(ends[0], ends[1], 3),)))
                    )
                    for _ in range(150)
                ]
                return sum(outcome.status == 200 for outcome in answers(futures))
            finally:
                stop.set()

        def look() -> int:
            spread: set[int] = set()
            while not stop.is_set() or not spread:
                found = _summary(engine, items.tenant)
                assert (found.totals.available, found.totals.on_hand_value) == (2000, Decimal(5000))
                parts = [part.totals for part in found.warehouses]
                assert sum(part.available for part in parts) == 2000
                spread.add(parts[0].available)
            return len(spread)

        moved, back, seen = together([lambda: shift(0), lambda: shift(1), look])
    assert moved + back == 300
    assert seen > 1
