"""The undo of a reserve: it frees exactly what the reserve held, before, after and during it."""

from collections.abc import Callable
from typing import Any

import pytest
from psycopg import Connection, errors
from sqlalchemy import Engine
from uuid_utils.compat import uuid7

from db.stock import Ledger, StaleBatch, retryable
from db.stock_commands import Outcome, StockCommand
from db.stock_writer import StockWriter
from domain.stock import Release, Reserve
from tests.conftest import Database
from tests.support import (
    Items,
    answers,
    body,
    code,
    command,
    held,
    levels,
    receive,
    rows,
    together,
    writers,
)

Balanced = Callable[[Items], None]


def do(items: Items, owner: str, *quantities: int, key: str | None = None) -> StockCommand:
    lines = tuple(items.line(q, v, n=v + 1) for v, q in enumerate(quantities))
    return command(Reserve(lines, owner), key=key or f"{owner}/reserve")


def undo(owner: str, *, voids: str | None = None) -> StockCommand:
    voids = voids or f"{owner}/reserve"
    return command(Release(owner, voids=voids), key=f"{voids}/undo")


def send(writer: StockWriter, items: Items, one: StockCommand) -> Outcome:
    return answers([writer.submit(items.tenant, one)])[0]


def stock(writer: StockWriter, items: Items, quantity: int = 100, variants: int = 2) -> None:
    for variant in range(variants):
        assert code(send(writer, items, receive(items, quantity, variant))) is None


def test_an_undo_after_the_reserve_frees_exactly_what_it_held(
    engine: Engine, items: Items, writer: StockWriter, balanced: Balanced
) -> None:
    stock(writer, items)
    send(writer, items, do(items, "order-1", 4, 5))
    send(writer, items, do(items, "order-2", 6, 7))
    outcome = send(writer, items, undo("order-1"))
    assert [move["available_change"] for move in body(outcome)["movements"]] == [4, 5]
    assert held(engine, items.tenant) == {"order-2": 13}
    balanced(items)


def test_an_undo_frees_nothing_that_another_step_of_the_same_order_holds(
    engine: Engine, items: Items, writer: StockWriter, balanced: Balanced
) -> None:
    """A compensation undoes what its own step did and nothing else (G10)."""
    stock(writer, items)
    send(writer, items, do(items, "order-1", 4))
    send(writer, items, do(items, "order-1", 9, key="order-1/amend"))
    send(writer, items, undo("order-1", voids="order-1/amend"))
    assert held(engine, items.tenant) == {"order-1": 4}
    balanced(items)


def test_a_repeated_undo_frees_nothing_more(
    engine: Engine, items: Items, writer: StockWriter, balanced: Balanced
) -> None:
    stock(writer, items)
    send(writer, items, do(items, "order-1", 4))
    first, second = (send(writer, items, undo("order-1")) for _ in range(2))
    assert (second.body, second.replayed) == (first.body, True)
    assert levels(engine, items.tenant)[items.key()].available == 100
    balanced(items)


def test_a_reserve_that_comes_after_its_undo_is_refused_and_holds_nothing(
    engine: Engine, items: Items, writer: StockWriter, balanced: Balanced
) -> None:
    stock(writer, items)
    early = send(writer, items, undo("order-1"))
    assert (code(early), body(early)["movements"]) == (None, [])
    late = [send(writer, items, do(items, "order-1", 4)) for _ in range(2)]
    assert [code(outcome) for outcome in late] == ["voided"] * 2
    assert late[0].body == late[1].body
    assert held(engine, items.tenant) == {}
    balanced(items)


def test_do_and_undo_in_one_batch_hold_nothing_in_either_order(
    engine: Engine, items: Items, writer: StockWriter, balanced: Balanced
) -> None:
    stock(writer, items)
    batch = [
        do(items, "order-1", 4),
        undo("order-1"),
        undo("order-2"),
        do(items, "order-2", 4),
        do(items, "order-3", 4),
    ]
    outcomes = answers([writer.submit(items.tenant, one) for one in batch])
    assert [code(outcome) for outcome in outcomes] == [None, None, None, "voided", None]
    assert held(engine, items.tenant) == {"order-3": 4}
    balanced(items)


def test_the_undo_of_a_refused_reserve_leaves_its_refusal_as_it_was(
    engine: Engine, items: Items, writer: StockWriter
) -> None:
    refused = send(writer, items, do(items, "order-1", 1))
    send(writer, items, undo("order-1"))
    assert send(writer, items, do(items, "order-1", 1)).body == refused.body
    states = rows(
        engine, items.tenant, "SELECT state FROM operations WHERE key = 'order-1/reserve'"
    )
    assert [row.state for row in states] == ["done"]


def test_racing_do_and_undo_never_leave_anything_held(
    database: Database, engine: Engine, items: Items, balanced: Balanced
) -> None:
    """Fifty rounds through two writers; each winner must have occurred, else nothing raced."""
    won = {"do": 0, "undo": 0}
    with writers(database.conninfo(), 2) as made:
        stock(made[0], items)
        for n in range(50):
            owner = f"order-{n}"
            # Take turns at who is nearer, so that both orders come up.
            first, second = (made[0], made[1]) if n % 2 else (made[1], made[0])

            def reserve(owner: str = owner, writer: StockWriter = first) -> Outcome:
                return send(writer, items, do(items, owner, 3, 4))

            def release(owner: str = owner, writer: StockWriter = second) -> Outcome:
                return send(writer, items, undo(owner))

            done, undone = together([reserve, release] if n % 3 else [release, reserve])
            done, undone = (done, undone) if n % 3 else (undone, done)
            assert code(undone) is None
            assert code(done) in (None, "voided")
            won["undo" if code(done) else "do"] += 1
            moved = [move["available_change"] for move in body(undone)["movements"]]
            assert moved == ([] if code(done) else [3, 4])
            assert held(engine, items.tenant) == {}
    assert levels(engine, items.tenant)[items.key()].available == 100
    assert min(won.values()) > 0, won
    balanced(items)


class Meddled(Connection[Any]):
    """A connection that lets somebody in just before its ``left``-th statement from now."""

    left = 1_000
    meddle: Callable[[], None]

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        if self.left == 0:
            self.meddle()
        self.left -= 1
        return super().execute(*args, **kwargs)


@pytest.mark.parametrize("at", range(4))
def test_a_reserve_that_commits_between_two_statements_of_its_undo_leaves_nothing_held(
    database: Database,
    engine: Engine,
    items: Items,
    writer: StockWriter,
    balanced: Balanced,
    at: int,
) -> None:
    """Each statement sees another moment; whichever of them the reserve slips between."""
    stock(writer, items)

    def meddle() -> None:
        assert code(send(writer, items, do(items, "order-1", 3, 4))) is None

    with Meddled.connect(database.conninfo(), autocommit=True) as conn:
        ledger = Ledger(uuid7)
        conn.left, conn.meddle = at, meddle
        again: list[bool] = []
        for _ in range(2):
            try:
                with conn.transaction():
                    ledger.apply(conn, items.tenant, [undo("order-1")])
                break
            except (StaleBatch, errors.UniqueViolation) as error:
                again.append(retryable(error))
        assert conn.left < 0
        assert again in ([], [True])
    assert held(engine, items.tenant) == {}
    assert levels(engine, items.tenant)[items.key()].available == 100
    balanced(items)
