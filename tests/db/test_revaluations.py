"""Revaluations in SQL: chunks that survive a kill, beside traders, posted once, books balanced."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from db import revaluations
from db.engine import transaction
from db.operations import Claim
from db.stock_writer import StockWriter
from db.upkeep_tables import Revaluation as Row
from domain.errors import Conflict, NotFound
from domain.permissions import Actor
from domain.revaluation_rules import Passed, Walk, split
from domain.revaluations import Revaluation
from domain.stock import Action, Adjust, Deduct, Receive, Reserve, Reverse, Ship
from tests.conftest import Database
from tests.db.conftest import MakeItems
from tests.support import Items, answers, command, levels, rows, together, wait_until, waiting

NEW = Decimal("9.99")


@pytest.fixture
def actor(items: Items) -> Actor:
    """Somebody of the tenant."""
    return Actor(items.tenant, "acme", "Ada", "admin", "EUR", "Europe/Berlin")


def _trade(writer: StockWriter, items: Items, *actions: Action) -> None:
    done = answers([writer.submit(items.tenant, command(action)) for action in actions])
    assert {one.status for one in done} == {200}


def _movements(engine: Engine, items: Items, kind: str = "purchase") -> list[UUID]:
    found = rows(
        engine,
        items.tenant,
        "SELECT id FROM stock_movements WHERE kind = :kind ORDER BY sequence",
        kind=kind,
    )
    return [row[0] for row in found]


def _ask(
    engine: Engine, actor: Actor, movement: UUID, cost: Decimal = NEW, number: str = "RV-1"
) -> Revaluation:
    claim = Claim(uuid7(), number, f"revaluation-acme-{number}")
    with transaction(engine, actor.tenant_id) as session:
        asked = revaluations.draft(
            session,
            actor,
            claim,
            movement_id=movement,
            unit_cost=cost,
            reason="the invoice was higher",
            at=datetime.now(UTC),
        )
    with transaction(engine, actor.tenant_id) as session:
        opened = revaluations.open_(session, asked)
    if opened.refusal is not None:
        raise Conflict(**opened.refusal)
    return asked


def _run(engine: Engine, asked: Revaluation, chunk: int = revaluations.CHUNK) -> Row:
    """The process without Temporal."""
    while True:
        caught_up = False
        while not caught_up:
            with transaction(engine, asked.tenant_id) as session:
                caught_up = revaluations.walk(session, asked, chunk).caught_up
        with transaction(engine, asked.tenant_id) as session:
            if revaluations.post(session, asked).stock_value is not None:
                return revaluations.find(session, asked.number)


def _expected(engine: Engine, asked: Revaluation, row: Row) -> Any:
    """The split by the pure rules over all that lies between the receipt and the posting."""
    found = rows(
        engine,
        asked.tenant_id,
        "SELECT kind, available_before + reserved_before + damaged_before + quarantine_before AS b,"
        " available_change + reserved_change + damaged_change + quarantine_change AS c, unit_cost,"
        " value_change, value_after FROM stock_movements WHERE level_id = :level"
        " AND sequence > :first AND sequence < coalesce((SELECT sequence FROM stock_movements"
        " WHERE level_id = :level AND operation_id = :posted), 10000000) ORDER BY sequence",
        level=asked.level_id,
        first=asked.sequence,
        posted=row.operation_id,
    )
    walk = Walk(asked.difference, asked.difference)
    walk.over(Passed(*one) for one in found)
    return split(walk)


def test_what_is_in_stock_is_posted_and_the_rest_is_told(
    engine: Engine,
    writer: StockWriter,
    items: Items,
    actor: Actor,
    balanced: Callable[[Items], None],
) -> None:
    _trade(
        writer,
        items,
        Receive((items.line(10, cost="2.00"),)),
        Deduct((items.line(4),)),
        Reserve((items.line(3),), "order-1"),
        Ship("order-1", {1: 3}),
    )
    asked = _ask(engine, actor, _movements(engine, items)[0], Decimal("2.50"))
    assert asked.difference == 5
    row = _run(engine, asked)
    left = Decimal("1.5")
    assert (row.status, row.stock_value, row.remaining) == ("completed", left, left)
    assert {k: Decimal(v) for k, v in row.gone.items()} == {
        "sale": Decimal(2),
        "ship": Decimal("1.5"),
    }
    level = levels(engine, items.tenant)[items.key()]
    assert (level.available, level.total_value, level.average_cost) == (
        3,
        Decimal("7.5"),
        Decimal("2.5"),
    )
    (posted,) = rows(
        engine, items.tenant, "SELECT * FROM stock_movements WHERE kind = 'revaluation'"
    )
    assert (posted.value_change, posted.available_change) == (Decimal("1.5"), 0)
    assert (posted.reference_kind, posted.reference_id) == ("revaluation", "RV-1")
    assert (posted.created_by, posted.reason) == ("Ada", "the invoice was higher")
    assert posted.operation_id == row.operation_id
    ((fact,),) = rows(engine, items.tenant, "SELECT data FROM events WHERE kind = 'stock.revalued'")
    assert (fact["stock_value"], fact["difference"]) == ("1.500000", "5.000000")
    with transaction(engine, items.tenant) as session:
        again = revaluations.post(session, asked)
    assert again.stock_value == Decimal("1.5")
    assert levels(engine, items.tenant)[items.key()] == level
    balanced(items)


def test_without_stock_nothing_is_posted(
    engine: Engine,
    writer: StockWriter,
    items: Items,
    actor: Actor,
    balanced: Callable[[Items], None],
) -> None:
    _trade(writer, items, Receive((items.line(10, cost="2.00"),)), Deduct((items.line(10),)))
    row = _run(engine, _ask(engine, actor, _movements(engine, items)[0]))
    assert (row.stock_value, row.operation_id) == (Decimal(0), None)
    assert row.gone == {"sale": f"{row.difference:f}"}
    balanced(items)


def test_a_second_revaluation_starts_from_the_cost_of_the_first(
    engine: Engine,
    writer: StockWriter,
    items: Items,
    actor: Actor,
    balanced: Callable[[Items], None],
) -> None:
    _trade(writer, items, Receive((items.line(10, cost="2.00"),)), Deduct((items.line(5),)))
    movement = _movements(engine, items)[0]
    first = _ask(engine, actor, movement, Decimal(3))
    with pytest.raises(Conflict) as refused:
        _ask(engine, actor, movement, Decimal(4), "RV-2")
    assert refused.value.code == "revaluation_open"
    with pytest.raises(NotFound), transaction(engine, items.tenant) as session:
        revaluations.find(session, "RV-2")
    _run(engine, first)
    second = _ask(engine, actor, movement, Decimal("2.00"), "RV-3")
    assert (second.difference, second.unit_cost_before) == (Decimal(-10), Decimal(3))
    _run(engine, second)
    level = levels(engine, items.tenant)[items.key()]
    assert (level.total_value, level.average_cost) == (Decimal(10), Decimal(2))
    with pytest.raises(Conflict) as refused:
        _ask(engine, actor, movement, Decimal("2.00"), "RV-4")
    assert refused.value.code == "same_cost"
    balanced(items)


def test_only_a_receipt_that_stands_has_a_cost(
    engine: Engine, writer: StockWriter, items: Items, actor: Actor
) -> None:
    _trade(writer, items, Receive((items.line(10, cost="2.00"),)), Deduct((items.line(5),)))
    with pytest.raises(Conflict) as refused:
        _ask(engine, actor, _movements(engine, items, "sale")[0])
    assert refused.value.code == "not_a_receipt"
    with pytest.raises(NotFound):
        _ask(engine, actor, uuid7())
    _trade(writer, items, Receive((items.line(3, cost="2.00"),)))
    last = _movements(engine, items)[-1]
    ((operation,),) = rows(
        engine,
        items.tenant,
        "SELECT operation_id FROM stock_movements WHERE id = :id",
        id=last,
    )
    open_before = _ask(engine, actor, last)
    _trade(writer, items, Reverse(operation))
    with pytest.raises(Conflict) as refused:
        _ask(engine, actor, last, number="RV-2")
    assert refused.value.code == "receipt_reversed"
    # One that was open when the receipt was taken back follows the difference out of the house.
    row = _run(engine, open_before)
    assert (row.stock_value, list(row.gone)) == (Decimal(0), ["reversal"])


def _long_history(writer: StockWriter, items: Items, count: int, seed: int) -> None:
    """Receipts, sales, found and lost units: every command is accepted."""
    draw = random.Random(seed)
    on_hand = 100
    actions: list[Action] = []
    for _ in range(count):
        units = draw.randrange(1, 9)
        if on_hand > 40 and draw.random() < 0.6:
            sold = draw.random() < 0.5
            actions.append(Deduct((items.line(units),)) if sold else Adjust((items.line(-units),)))
            on_hand -= units
        else:
            cost = f"{draw.randrange(100, 900) / 100:.2f}"
            bought = draw.random() < 0.7
            actions.append(
                Receive((items.line(units, cost=cost),)) if bought else Adjust((items.line(units),))
            )
            on_hand += units
    for start in range(0, count, 500):
        _trade(writer, items, *actions[start : start + 500])


@pytest.mark.parametrize("chunk", [7, 100, 5000])
def test_killed_between_and_within_chunks_it_goes_on_with_the_same_result(
    chunk: int,
    engine: Engine,
    writer: StockWriter,
    items: Items,
    actor: Actor,
    balanced: Callable[[Items], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _trade(writer, items, Receive((items.line(100, cost="2.00"),)))
    _long_history(writer, items, 400, seed=chunk)
    asked = _ask(engine, actor, _movements(engine, items)[0])
    honest, calls = revaluations._walk, 0

    def dying(session: Session, row: Row, asked: Revaluation, at_most: int) -> int:
        nonlocal calls
        calls += 1
        passed = honest(session, row, asked, at_most)
        if calls % 3 == 2:
            raise KeyboardInterrupt
        return passed

    monkeypatch.setattr(revaluations, "_walk", dying)
    deaths = 0
    while True:
        try:
            row = _run(engine, asked, chunk)
        except KeyboardInterrupt:
            deaths += 1
        else:
            break
    assert deaths >= 1
    assert row.movements == 400
    wanted = _expected(engine, asked, row)
    assert row.stock_value == wanted.stock
    assert {k: Decimal(v) for k, v in row.gone.items()} == wanted.gone
    assert wanted.stock + sum(wanted.gone.values()) == asked.difference
    balanced(items)


def test_beside_traders_every_movement_is_counted_once(
    engine: Engine,
    writer: StockWriter,
    items: Items,
    actor: Actor,
    balanced: Callable[[Items], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(revaluations, "TAIL_MAX", 200)
    _trade(writer, items, Receive((items.line(100, cost="2.00"),)))
    asked = _ask(engine, actor, _movements(engine, items)[0])
    done = Event()

    def trade() -> None:
        seed = 0
        while not done.is_set():
            seed += 1
            _long_history(writer, items, 50, seed)
            _trade(writer, items, Receive((items.line(100, cost="3.00"),)))

    def revalue() -> Row:
        try:
            return _run(engine, asked, 100)
        finally:
            done.set()

    _, row = together([trade, revalue])
    assert isinstance(row, Row)
    wanted = _expected(engine, asked, row)
    assert (row.stock_value, row.difference) == (wanted.stock, asked.difference)
    assert {k: Decimal(v) for k, v in row.gone.items()} == wanted.gone
    balanced(items)


def test_two_workers_on_one_revaluation_do_it_once(
    engine: Engine,
    writer: StockWriter,
    items: Items,
    actor: Actor,
    balanced: Callable[[Items], None],
) -> None:
    _trade(writer, items, Receive((items.line(100, cost="2.00"),)))
    _long_history(writer, items, 200, seed=1)
    asked = _ask(engine, actor, _movements(engine, items)[0])
    found = together([lambda: _run(engine, asked, 10)] * 3)
    assert {row.stock_value for row in found} == {_expected(engine, asked, found[0]).stock}
    assert len(_movements(engine, items, "revaluation")) == 1
    balanced(items)


def test_a_chunk_that_is_late_does_not_write_over_the_result(
    engine: Engine,
    database: Database,
    writer: StockWriter,
    items: Items,
    actor: Actor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker that was taken for dead has read the row; its successor waits for it."""
    _trade(writer, items, Receive((items.line(100, cost="2.00"),)), Deduct((items.line(50),)))
    asked = _ask(engine, actor, _movements(engine, items)[0])
    honest, read, go = revaluations._walk, Event(), Event()

    def late(session: Session, row: Row, asked: Revaluation, at_most: int) -> int:
        if not read.is_set():
            read.set()
            assert go.wait(60)
        return honest(session, row, asked, at_most)

    monkeypatch.setattr(revaluations, "_walk", late)

    def first() -> None:
        with transaction(engine, asked.tenant_id) as session:
            revaluations.walk(session, asked, 1)

    def second() -> Row:
        assert read.wait(60)
        return _run(engine, asked)

    with ThreadPoolExecutor(2) as pool:
        late_one, successor = pool.submit(first), pool.submit(second)
        wait_until(
            lambda: successor.done() or waiting(database.conninfo(), "stockwright") > 0,
            "the successor waits",
        )
        go.set()
        late_one.result(60)
        row = successor.result(60)
    with transaction(engine, items.tenant) as session:
        found = revaluations.find(session, "RV-1")
    assert (found.status, found.movements, found.gone) == ("completed", 1, row.gone)
    assert found.remaining == found.stock_value


def test_another_tenant_sees_none_of_it(
    engine: Engine, writer: StockWriter, items: Items, actor: Actor, new_items: MakeItems
) -> None:
    _trade(writer, items, Receive((items.line(10, cost="2.00"),)))
    movement = _movements(engine, items)[0]
    _run(engine, _ask(engine, actor, movement))
    other = new_items()
    stranger = Actor(other.tenant, "globex", "Eve", "admin", "EUR", "UTC")
    with pytest.raises(NotFound):
        _ask(engine, stranger, movement)
    with pytest.raises(NotFound), transaction(engine, other.tenant) as session:
        revaluations.find(session, "RV-1")
