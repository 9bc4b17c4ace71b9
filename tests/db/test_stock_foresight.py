"""What is decided in advance counts only if the levels are as they were expected to be."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from db.stock_commands import StockCommand
from db.stock_writer import StockWriter
from domain.stock import Deduct, Reserve
from tests.conftest import Database
from tests.support import (
    Items,
    answers,
    body,
    code,
    command,
    levels,
    receive,
    rows,
    together,
    writers,
)

Balanced = Callable[[Items], None]


def take(items: Items, quantity: int, key: str | None = None) -> StockCommand:
    return command(Deduct((items.line(quantity),)), key=key)


def sent(writer: StockWriter, items: Items, *commands: StockCommand) -> list[str | None]:
    return [code(one) for one in answers([writer.submit(items.tenant, c) for c in commands])]


def test_a_lone_writer_foresees_all_but_its_first_batch(
    items: Items, writer: StockWriter, balanced: Balanced
) -> None:
    for _ in range(10):
        assert sent(writer, items, receive(items, 1)) == [None]
    # The first finds the level missing, the second reads what the first made.
    assert (writer.stats.foreseen, writer.stats.mistaken) == (8, 0)
    balanced(items)


def test_what_somebody_else_did_meanwhile_is_never_overlooked(
    database: Database, engine: Engine, items: Items, balanced: Balanced
) -> None:
    with writers(database.conninfo(), 2) as made:
        assert sent(made[0], items, receive(items, 10)) == [None]
        for n in range(20):
            assert sent(made[n % 2], items, receive(items, 3)) == [None]
            assert sent(made[n % 2], items, take(items, 3)) == [None]
        assert sent(made[1], items, take(items, 8)) == [None]
        assert sent(made[0], items, take(items, 3)) == ["insufficient_stock"]
        assert sum(writer.stats.mistaken for writer in made) > 0
    assert levels(engine, items.tenant)[items.key()].available == 2
    balanced(items)


@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        ("UPDATE variants SET status = 'disabled' RETURNING 1", "variant_disabled"),
        (
            "UPDATE warehouses SET is_active = false, is_default = false RETURNING 1",
            "warehouse_inactive",
        ),
    ],
)
def test_what_was_taken_out_of_use_meanwhile_takes_nothing_in(
    engine: Engine, items: Items, writer: StockWriter, statement: str, refusal: str
) -> None:
    for _ in range(3):
        sent(writer, items, receive(items, 5))
    assert writer.stats.foreseen > 0
    rows(engine, items.tenant, statement)
    assert sent(writer, items, receive(items, 1)) == [refusal]
    assert sent(writer, items, command(Reserve((items.line(1),), "order-1"))) == [refusal]
    assert writer.stats.mistaken == 1


def test_a_known_key_is_answered_as_it_was(
    engine: Engine, items: Items, writer: StockWriter, balanced: Balanced
) -> None:
    sent(writer, items, receive(items, 10), receive(items, 10))
    first = answers([writer.submit(items.tenant, take(items, 3, "once"))])[0]
    batch = [take(items, 1), take(items, 3, "once"), take(items, 1)]
    outcomes = answers([writer.submit(items.tenant, one) for one in batch])
    assert [code(one) for one in outcomes] == [None] * 3
    assert body(outcomes[1]) == body(first)
    assert levels(engine, items.tenant)[items.key()].available == 15
    balanced(items)


def test_a_row_that_was_tampered_with_is_not_answered_from_memory(
    engine: Engine, items: Items, writer: StockWriter
) -> None:
    for _ in range(3):
        sent(writer, items, receive(items, 5))
    rows(
        engine,
        items.tenant,
        "UPDATE inventory_levels SET available = 1, total_value = average_cost RETURNING 1",
    )
    assert sent(writer, items, take(items, 2)) == ["insufficient_stock"]


def test_two_writers_on_one_level_end_and_balance(
    database: Database, engine: Engine, items: Items, balanced: Balanced
) -> None:
    with writers(database.conninfo(), 2) as made:
        sent(made[0], items, receive(items, 1000))

        def drain(writer: StockWriter) -> int:
            taken = 0
            for _ in range(25):
                codes = sent(writer, items, *(take(items, 3) for _ in range(10)))
                taken += 3 * codes.count(None)
            return taken

        taken = together([lambda: drain(made[0]), lambda: drain(made[1])])
    assert sum(taken) == 999
    assert levels(engine, items.tenant)[items.key()].available == 1
    balanced(items)
