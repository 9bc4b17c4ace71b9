"""``Ledger.apply`` itself: what it remembers of levels, what it creates, what a rollback leaves."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from sqlalchemy import Engine
from uuid_utils.compat import uuid7

from db.stock import Ledger, StaleBatch
from domain.stock import Adjust, Deduct, LevelKey, Line, Receive, Release, Reserve, Ship
from tests.conftest import Database
from tests.support import Items, code, command, connected, levels, post, receive, rows

Balanced = Callable[[Items], None]


@pytest.fixture
def conn(database: Database) -> Iterator[Connection[Any]]:
    """A connection as a writer has it."""
    with connected(database.conninfo()) as made:
        yield made


def _abandon(conn: Connection[Any], items: Items, ledger: Ledger) -> None:
    with conn.transaction() as transaction:
        ledger.apply(conn, items.tenant, [receive(items, 5)])
        raise psycopg.Rollback(transaction)


def test_a_level_whose_creation_was_rolled_back_is_not_remembered(
    conn: Connection[Any], engine: Engine, items: Items, balanced: Balanced
) -> None:
    ledger = Ledger(uuid7)
    _abandon(conn, items, ledger)
    batch = [receive(items, 7), receive(items, 1, 1)]
    assert [code(outcome) for outcome in post(conn, items.tenant, batch, ledger)] == [None, None]
    assert levels(engine, items.tenant)[items.key()].available == 7
    balanced(items)


def test_a_remembered_level_that_is_gone_is_forgotten_and_the_batch_begins_anew(
    conn: Connection[Any], engine: Engine, items: Items, balanced: Balanced
) -> None:
    """As after a take-over by a server that lost the last commits; here, after a rollback."""
    ledger = Ledger(uuid7)
    with conn.transaction(force_rollback=True):
        ledger.apply(conn, items.tenant, [receive(items, 5)])
        ledger.apply(conn, items.tenant, [receive(items, 5)])
    batch = [receive(items, 7), receive(items, 1, 1)]
    with pytest.raises(StaleBatch):
        post(conn, items.tenant, batch, ledger)
    assert [code(outcome) for outcome in post(conn, items.tenant, batch, ledger)] == [None, None]
    assert levels(engine, items.tenant)[items.key()].available == 7
    balanced(items)


def test_a_rolled_back_batch_leaves_no_trace(
    conn: Connection[Any], engine: Engine, items: Items
) -> None:
    _abandon(conn, items, Ledger(uuid7))
    for table in ("inventory_levels", "stock_movements", "postings", "operations"):
        assert rows(engine, items.tenant, f"SELECT 1 FROM {table}") == [], table  # noqa: S608


@pytest.mark.parametrize("known_max", [0, 1, 3, 7])
def test_forgetting_levels_never_makes_a_batch_wrong(
    known_max: int, conn: Connection[Any], engine: Engine, items: Items, balanced: Balanced
) -> None:
    """A ledger that may remember few levels still sees every level that a batch names."""
    ledger = Ledger(uuid7, known_max=known_max)
    for first in (0, 5, 10, 15):
        for variant in range(first, first + 5):
            post(conn, items.tenant, [receive(items, 4, variant)], ledger)
        deduct = command(Deduct(tuple(items.line(1, v) for v in range(first + 5))))
        assert code(post(conn, items.tenant, [deduct, receive(items, 1, 19)], ledger)[0]) is None
    assert levels(engine, items.tenant)[items.key(0)].available == 0
    balanced(items)


def test_only_goods_that_come_in_create_a_level(
    conn: Connection[Any], engine: Engine, items: Items
) -> None:
    for action in (
        Reserve((items.line(1),), "order-1"),
        Deduct((items.line(1),)),
        Adjust((items.line(-1),)),
        Release("order-1"),
        Ship("order-1", {1: 1}),
    ):
        post(conn, items.tenant, [command(action)])
    assert levels(engine, items.tenant) == {}
    post(conn, items.tenant, [command(Adjust((items.line(1),)))])
    assert set(levels(engine, items.tenant)) == {items.key()}


def test_lots_and_no_lot_are_levels_of_their_own(
    conn: Connection[Any], engine: Engine, items: Items, balanced: Balanced
) -> None:
    names = [None, "L1", "L2", ""]
    batch = [
        command(Receive((Line(items.key(lot=lot), n),))) for n, lot in enumerate(names, start=1)
    ]
    post(conn, items.tenant, batch)
    post(conn, items.tenant, batch)
    found = {key.lot: level.available for key, level in levels(engine, items.tenant).items()}
    assert found == {None: 1, "L1": 2, "L2": 3, "": 4}
    balanced(items)


@pytest.mark.parametrize("foreign", ["variant", "warehouse"])
def test_nothing_can_be_put_on_the_items_of_another_tenant(
    foreign: str,
    conn: Connection[Any],
    engine: Engine,
    items: Items,
    new_items: Callable[..., Items],
) -> None:
    other = new_items()
    key = LevelKey(
        other.warehouses[0] if foreign == "warehouse" else items.warehouses[0],
        other.variants[0] if foreign == "variant" else items.variants[0],
    )
    outcomes = post(conn, items.tenant, [command(Receive((Line(key, 1),))), receive(items, 1)])
    assert [code(outcome) for outcome in outcomes] == ["unknown_item", None]
    assert levels(engine, other.tenant) == {}


def test_a_batch_of_one_tenant_never_sees_the_stock_of_another(
    conn: Connection[Any], items: Items, new_items: Callable[..., Items]
) -> None:
    """Also when one ledger has seen the levels of both."""
    other, ledger = new_items(), Ledger(uuid7)
    post(conn, other.tenant, [receive(other, 10)], ledger)
    steal = command(Reserve((Line(other.key(), 1),), "order-1"))
    assert code(post(conn, items.tenant, [steal], ledger)[0]) == "unknown_item"
    assert code(post(conn, other.tenant, [steal], ledger)[0]) is None


def test_the_same_owner_of_two_tenants_is_two_owners(
    conn: Connection[Any], items: Items, new_items: Callable[..., Items]
) -> None:
    other = new_items()
    for shop in (items, other):
        reserve = command(Reserve((shop.line(2),), "order-1"))
        post(conn, shop.tenant, [receive(shop, 5), reserve])
    assert code(post(conn, items.tenant, [command(Ship("order-1", {1: 2}))])[0]) is None
    assert code(post(conn, other.tenant, [command(Ship("order-1", {1: 2}))])[0]) is None


def test_disabled_items_are_seen_at_once_by_a_ledger_that_knows_the_level(
    conn: Connection[Any], engine: Engine, items: Items
) -> None:
    ledger = Ledger(uuid7)
    post(conn, items.tenant, [receive(items, 5)], ledger)
    rows(engine, items.tenant, "UPDATE variants SET status = 'disabled' RETURNING 1")
    assert code(post(conn, items.tenant, [receive(items, 1)], ledger)[0]) == "variant_disabled"
    rows(engine, items.tenant, "UPDATE variants SET status = 'active' RETURNING 1")
    rows(engine, items.tenant, "UPDATE warehouses SET is_active = false RETURNING 1")
    assert code(post(conn, items.tenant, [receive(items, 1)], ledger)[0]) == "warehouse_inactive"
    assert code(post(conn, items.tenant, [command(Deduct((items.line(1),)))], ledger)[0]) is None


def test_apply_never_commits(conn: Connection[Any], engine: Engine, items: Items) -> None:
    with conn.transaction():
        Ledger(uuid7).apply(conn, items.tenant, [receive(items, 1)])
        assert levels(engine, items.tenant) == {}
    assert levels(engine, items.tenant)[items.key()].available == 1


def test_what_goes_with_a_command_is_written_on_each_of_its_movements(
    conn: Connection[Any], engine: Engine, items: Items
) -> None:
    one = command(
        Receive((items.line(1, 0), items.line(2, 1))),
        actor="Ada",
        reason="why",
        notes="más",
        reference_kind="order",
        reference_id="SO-1",
    )
    post(conn, items.tenant, [receive(items, 1, 5), one])
    found = rows(
        engine,
        items.tenant,
        "SELECT m.created_by, m.reason, m.notes, m.reference_kind, m.reference_id, m.occurred_at,"
        " m.business_date, m.warehouse_id, m.variant_id FROM stock_movements m"
        " JOIN operations o ON o.id = m.operation_id WHERE o.key = :key ORDER BY m.ordinal",
        key=one.key,
    )
    at = (one.origin.occurred_at, one.origin.business_date)
    text = ("Ada", "why", "más", "order", "SO-1")
    assert [tuple(row) for row in found] == [
        (*text, *at, items.warehouses[0], variant) for variant in items.variants[:2]
    ]


def test_the_database_itself_refuses_a_negative_level(engine: Engine, items: Items) -> None:
    """Whatever the rules would let through, a constraint holds against."""
    with pytest.raises(Exception, match="inventory_levels_available_check") as caught:
        rows(
            engine,
            items.tenant,
            "INSERT INTO inventory_levels (warehouse_id, variant_id, available)"
            " VALUES (:w, :v, -1) RETURNING 1",
            w=items.warehouses[0],
            v=items.variants[0],
        )
    assert isinstance(caught.value.__cause__, psycopg.errors.CheckViolation)
