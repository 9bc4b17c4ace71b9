"""Many actions under one key: one transaction, one answer, all or those that can be."""

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from db.stock_commands import BulkRow, Outcome, RowResult, StockBulk
from db.stock_writer import StockWriter
from domain.errors import Busy, InvalidInput
from domain.stock import (
    Accepted,
    Action,
    Deduct,
    Line,
    Receive,
    Reserve,
    Reverse,
    Transfer,
    TransferLine,
)
from tests.conftest import Database
from tests.support import Items, answers, levels, origin, rows, stalled, together, writers

Balanced = Callable[[Items], None]


def _answer(results: Sequence[RowResult]) -> tuple[int, bytes]:
    codes = ["ok" if isinstance(one.result, Accepted) else one.result.code for one in results]
    body: dict[str, Any] = {"codes": codes, "ids": [str(one.operation_id) for one in results]}
    return 200, json.dumps(body).encode()


def bulk(*actions: Action, key: str = "bulk-1", all_or_nothing: bool = False) -> StockBulk:
    rows_ = [BulkRow(action, origin()) for action in actions]
    return StockBulk(key, "http", repr(actions).encode(), rows_, all_or_nothing, _answer)


def send(writer: StockWriter, items: Items, one: StockBulk) -> tuple[list[str], Outcome]:
    outcome = answers([writer.submit(items.tenant, one)])[0]
    assert isinstance(outcome, Outcome)
    return json.loads(outcome.body)["codes"], outcome


def take(items: Items, quantity: int) -> Deduct:
    return Deduct((items.line(quantity),))


def put(items: Items, quantity: int, cost: str = "1.00") -> Receive:
    return Receive((items.line(quantity, cost=cost),))


def test_each_row_sees_what_the_rows_before_it_did(
    engine: Engine, items: Items, writer: StockWriter, balanced: Balanced
) -> None:
    codes, _ = send(writer, items, bulk(take(items, 1), put(items, 5), take(items, 4)))
    assert codes == ["insufficient_stock", "ok", "ok"]
    assert levels(engine, items.tenant)[items.key()].available == 1
    found = rows(
        engine, items.tenant, "SELECT DISTINCT operation_id, posting_id FROM stock_movements"
    )
    assert len({row.operation_id for row in found}) == 2
    assert len({row.posting_id for row in found}) == 1
    balanced(items)


def test_all_or_nothing_leaves_nothing_behind_when_the_last_row_is_refused(
    engine: Engine, items: Items, writer: StockWriter, balanced: Balanced
) -> None:
    send(writer, items, bulk(put(items, 10), key="stock"))
    before = levels(engine, items.tenant)
    refused = bulk(
        Transfer((TransferLine(items.key(), items.key(warehouse=1), 3),)),
        put(items, 5, "9.00"),
        take(items, 13),
        all_or_nothing=True,
    )
    codes, _ = send(writer, items, refused)
    assert codes == ["ok", "ok", "insufficient_stock"]
    after = levels(engine, items.tenant)
    assert after[items.key()] == before[items.key()]
    assert all(state.sequence == 0 for key, state in after.items() if key != items.key())
    # Whoever comes next in the same batch or later sees the levels untouched.
    codes, _ = send(writer, items, bulk(take(items, 10), key="next", all_or_nothing=True))
    assert codes == ["ok"]
    balanced(items)


def test_a_repeat_is_answered_from_the_first(
    engine: Engine, items: Items, writer: StockWriter
) -> None:
    one = bulk(put(items, 5), take(items, 9))
    first, second = (send(writer, items, one)[1] for _ in range(2))
    assert (second.body, first.replayed, second.replayed) == (first.body, False, True)
    assert levels(engine, items.tenant)[items.key()].available == 5


def test_two_rows_that_reverse_one_operation_reverse_it_once(
    engine: Engine, items: Items, writer: StockWriter, balanced: Balanced
) -> None:
    for all_or_nothing, expected in ((True, 5), (False, 0)):
        _, done = send(writer, items, bulk(put(items, 5), key=f"stock-{all_or_nothing}"))
        first = Reverse(_operation(engine, items))
        twice = bulk(first, first, key=f"twice-{all_or_nothing}", all_or_nothing=all_or_nothing)
        codes, _ = send(writer, items, twice)
        assert codes == ["ok", "already_reversed"]
        assert levels(engine, items.tenant)[items.key()].available == expected
        assert done.status == 200
        if all_or_nothing:
            send(writer, items, bulk(take(items, 5), key="away"))
    balanced(items)


def _operation(engine: Engine, items: Items) -> Any:
    ((found,),) = rows(
        engine,
        items.tenant,
        "SELECT operation_id FROM stock_movements ORDER BY posting_id DESC LIMIT 1",
    )
    return found


def test_bulks_that_race_over_levels_in_opposite_orders_end_and_balance(
    database: Database, engine: Engine, items: Items, balanced: Balanced
) -> None:
    keys = [items.key(warehouse=w) for w in (0, 1)]
    with writers(database.conninfo(), 2) as made:

        def run(n: int) -> None:
            order = keys if n else keys[::-1]
            for turn in range(20):
                actions = [Receive((Line(key, 1, 1, Decimal(1)),)) for key in order]
                send(made[n], items, bulk(*actions, key=f"race-{n}-{turn}"))

        together([lambda: run(0), lambda: run(1)])
    assert [levels(engine, items.tenant)[key].available for key in keys] == [40, 40]
    balanced(items)


def test_a_bulk_counts_by_its_rows_against_the_bound(database: Database, items: Items) -> None:
    with (
        writers(database.conninfo(), 1, queue_max=10) as (writer,),
        stalled(database.conninfo(), items, writer),
    ):
        writer.submit(items.tenant, bulk(*[put(items, 1)] * 10))
        with pytest.raises(Busy):
            writer.submit(items.tenant, bulk(put(items, 1), key="one-more"))


def test_an_empty_bulk_is_answered(items: Items, writer: StockWriter) -> None:
    assert send(writer, items, bulk())[0] == []


def test_no_row_of_a_bulk_holds_units(items: Items, writer: StockWriter) -> None:
    with pytest.raises(InvalidInput):
        writer.submit(items.tenant, bulk(Reserve((items.line(1),), "order-1")))
