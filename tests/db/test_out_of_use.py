"""What was taken out of use has no goods, and gets none: whoever comes first, and at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from db import catalogue, warehouses
from db.engine import transaction
from db.stock import Ledger
from db.stock_writer import StockWriter
from domain.errors import Conflict
from domain.stock import Deduct, Receive, Reserve, Transfer, TransferLine
from tests.conftest import Database
from tests.support import (
    AT,
    PATIENCE_SECONDS,
    Items,
    answers,
    code,
    command,
    connected,
    levels,
    receive,
    rows,
    together,
    wait_until,
    waiting,
)

Close = Callable[[Session, Items], object]


def _close_warehouse(session: Session, items: Items) -> object:
    return warehouses.deactivate(session, items.warehouses[0])


def _close_variant(session: Session, items: Items) -> object:
    return catalogue.disable_variant(session, items.variants[0])


def _close_product(session: Session, items: Items) -> object:
    found = session.execute(text("SELECT min(product_id::text)::uuid FROM variants"))
    return catalogue.disable_product(session, found.scalar_one())


CLOSINGS = pytest.mark.parametrize(
    ("close", "refusal"),
    [
        (_close_warehouse, "warehouse_inactive"),
        (_close_variant, "variant_disabled"),
        (_close_product, "variant_disabled"),
    ],
    ids=["warehouse", "variant", "product"],
)


def _empty_level(items: Items, writer: StockWriter) -> None:
    """The first variant has a level in the first warehouse, with nothing on it."""
    answers([writer.submit(items.tenant, receive(items, 1))])
    answers([writer.submit(items.tenant, command(Deduct((items.line(1),))))])


def _units(engine: Engine, items: Items) -> int:
    state = levels(engine, items.tenant).get(items.key())
    return 0 if state is None else state.available + state.reserved


def _closed(engine: Engine, items: Items) -> bool:
    query = (
        "SELECT w.is_active AND v.status = 'active' FROM warehouses w, variants v"
        " WHERE w.id = :w AND v.id = :v"
    )
    found = rows(engine, items.tenant, query, w=items.warehouses[0], v=items.variants[0])
    return not found[0][0]


@CLOSINGS
@pytest.mark.parametrize("with_level", [True, False], ids=["empty level", "no level"])
def test_goods_that_come_while_it_closes_are_refused(
    engine: Engine,
    database: Database,
    items: Items,
    writer: StockWriter,
    close: Close,
    refusal: str,
    with_level: bool,
) -> None:
    """The writer has read "active" already, and waits for what the closing has locked."""
    if with_level:
        _empty_level(items, writer)
    with transaction(engine, items.tenant) as session:
        close(session, items)
        future = writer.submit(items.tenant, receive(items, 5))
        wait_until(lambda: waiting(database.conninfo()) > 0, "the writer waits for the closing")
    assert code(future.result(PATIENCE_SECONDS)) == refusal
    assert _units(engine, items) == 0
    assert _closed(engine, items)


@CLOSINGS
def test_it_does_not_close_while_goods_come(
    engine: Engine,
    database: Database,
    items: Items,
    writer: StockWriter,
    close: Close,
    refusal: str,
) -> None:
    """The goods are on the level, and not committed when the closing looks."""
    assert refusal
    _empty_level(items, writer)

    def closing() -> dict[str, Any]:
        with transaction(engine, items.tenant) as session:
            session.execute(text("SET LOCAL application_name = 'closing'"))
            with pytest.raises(Conflict) as refused:
                close(session, items)
            return refused.value.details

    with ThreadPoolExecutor(1) as threads:
        with connected(database.conninfo()) as conn, conn.transaction():
            Ledger(uuid7).apply(conn, items.tenant, [receive(items, 5)])
            future = threads.submit(closing)
            wait_until(
                lambda: future.done() or waiting(database.conninfo(), "closing") > 0,
                "the closing waits for the level",
            )
        references = future.result(PATIENCE_SECONDS)["references"]
    assert [(r["kind"], r["on_hand"]) for r in references] == [("level", 5)]
    assert not _closed(engine, items)


@CLOSINGS
def test_at_the_same_moment_one_of_the_two_gives_way(
    engine: Engine, items: Items, writer: StockWriter, close: Close, refusal: str
) -> None:
    """Many rounds: it never ends closed with goods, and never with both refused."""
    _empty_level(items, writer)

    def closing() -> str | None:
        try:
            with transaction(engine, items.tenant) as session:
                close(session, items)
        except Conflict as conflict:
            return conflict.code
        return None

    def receiving() -> str | None:
        return code(answers([writer.submit(items.tenant, receive(items, 1))])[0])

    for _ in range(40):
        results = together([closing, receiving])
        assert (_units(engine, items) > 0) != _closed(engine, items)
        assert results in ([None, refusal], ["in_use", None])
        with transaction(engine, items.tenant) as session:
            session.execute(text("UPDATE warehouses SET is_active = true WHERE NOT is_active"))
            session.execute(text("UPDATE variants SET status = 'active'"))
            session.execute(text("UPDATE products SET status = 'active'"))
        if results[0] is not None:
            answers([writer.submit(items.tenant, command(Deduct((items.line(1),))))])


def test_a_transfer_into_what_closes_leaves_its_source_alone(
    engine: Engine, database: Database, items: Items, writer: StockWriter
) -> None:
    _empty_level(items, writer)
    away = items.key(warehouse=1)
    answers([writer.submit(items.tenant, command(Receive((items.line(3, warehouse=1),))))])
    with transaction(engine, items.tenant) as session:
        _close_warehouse(session, items)
        move = Transfer((TransferLine(away, items.key(), 3),))
        future = writer.submit(items.tenant, command(move))
        wait_until(lambda: waiting(database.conninfo()) > 0, "the writer waits for the closing")
    assert code(future.result(PATIENCE_SECONDS)) == "warehouse_inactive"
    assert levels(engine, items.tenant)[away].available == 3
    assert _units(engine, items) == 0


def test_a_reservation_without_an_order_keeps_it_in_use(
    engine: Engine, items: Items, writer: StockWriter
) -> None:
    answers([writer.submit(items.tenant, receive(items, 4))])
    hold = Reserve((items.line(3),), "reservation-x-basket", AT)
    order = Reserve((items.line(1),), "order-x-SO-1")
    answers([writer.submit(items.tenant, command(one)) for one in (hold, order)])
    for close in (_close_warehouse, _close_variant, _close_product):
        with pytest.raises(Conflict) as refused, transaction(engine, items.tenant) as session:
            close(session, items)
        assert refused.value.code == "in_use"
        level, reservation = refused.value.details["references"]
        assert (level["kind"], level["on_hand"]) == ("level", 4)
        assert (reservation["kind"], reservation["open"]) == ("reservation", 3)
        assert reservation["owner"] == "reservation-x-basket"
