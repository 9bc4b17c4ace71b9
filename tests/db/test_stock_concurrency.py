"""Exactness under concurrency: no unit is lost or sold twice, whoever writes at the same time."""

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from sqlalchemy import Engine
from uuid_utils.compat import uuid7

from db.stock import Ledger
from db.stock_commands import StockCommand
from db.stock_writer import StockWriter
from domain.stock import Action, Adjust, Bucket, Deduct, Kind, Move, Receive, Release, Reserve, Ship
from tests.conftest import Database
from tests.support import (
    PATIENCE_SECONDS,
    Items,
    answers,
    body,
    code,
    command,
    connected,
    held,
    levels,
    post,
    receive,
    together,
    wait_until,
    waiting,
    writers,
)

Balanced = Callable[[Items], None]


def race(made: list[StockWriter], items: Items, commands: list[StockCommand]) -> list[str | None]:
    """Every command from a thread of its own, dealt out to the writers; the codes of answers."""

    def job(n: int, one: StockCommand) -> Callable[[], str | None]:
        return lambda: code(answers([made[n % len(made)].submit(items.tenant, one)])[0])

    return together([job(n, one) for n, one in enumerate(commands)])


@pytest.mark.parametrize("count", [1, 4])
def test_a_hundred_parallel_adds_of_ten_are_exactly_a_thousand(
    count: int, database: Database, engine: Engine, items: Items, balanced: Balanced
) -> None:
    with writers(database.conninfo(), count) as made:
        codes = race(made, items, [receive(items, 10) for _ in range(100)])
    assert codes == [None] * 100
    assert levels(engine, items.tenant)[items.key()].available == 1000
    assert levels(engine, items.tenant)[items.key()].sequence == 100
    balanced(items)


@pytest.mark.parametrize("count", [1, 4])
def test_two_hundred_buyers_of_a_hundred_units_make_a_hundred_sales(
    count: int, database: Database, engine: Engine, items: Items, balanced: Balanced
) -> None:
    with writers(database.conninfo(), count) as made:
        answers([made[0].submit(items.tenant, receive(items, 100))])
        wanted = [command(Reserve((items.line(1),), f"order-{n}")) for n in range(200)]
        codes = Counter(race(made, items, wanted))
    assert codes == {None: 100, "insufficient_stock": 100}
    level = levels(engine, items.tenant)[items.key()]
    assert (level.available, level.reserved) == (0, 100)
    assert set(held(engine, items.tenant).values()) == {1}
    balanced(items)


def test_every_answer_of_a_race_tells_a_different_moment(
    database: Database, items: Items, balanced: Balanced
) -> None:
    """Before and after of all answers form one chain: nobody saw a state twice."""
    with writers(database.conninfo(), 4) as made:
        jobs = [made[n % 4].submit(items.tenant, receive(items, 7)) for n in range(120)]
        moves = [body(outcome)["movements"][0] for outcome in answers(jobs)]
    moves.sort(key=lambda move: move["sequence"])
    assert [m["sequence"] for m in moves] == list(range(1, 121))
    assert [m["quantity_before"] for m in moves] == [7 * n for n in range(120)]
    balanced(items)


def deadlocks(database: Database) -> int:
    """How often PostgreSQL had to break a circle of waits. A retry would hide it from callers."""
    with connected(database.conninfo()) as conn:
        conn.execute("SELECT pg_stat_force_next_flush()")
        row = conn.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    return int(row[0]) if row else 0


def _random_action(items: Items, dice: random.Random, owner: str) -> Action:
    """A command of one to six lines over twenty levels, in any order."""
    picked = [dice.randrange(20) for _ in range(dice.randint(1, 6))]
    lines = tuple(items.line(dice.randint(1, 4), v, n=n) for n, v in enumerate(picked, start=1))
    choices: list[Action] = [
        Receive(lines),
        Deduct(lines),
        Adjust(tuple(line._replace(quantity=dice.choice([-2, 2])) for line in lines)),
        Move(lines, Bucket.AVAILABLE, Bucket.DAMAGED, Kind.DAMAGE),
        Move(lines, Bucket.DAMAGED, Bucket.AVAILABLE, Kind.RESTOCK),
        Reserve(lines, owner),
        Reserve(lines, owner),
        Release(owner),
        Ship(owner, {1: 1}),
    ]
    return dice.choice(choices)


def test_random_commands_over_twenty_levels_neither_deadlock_nor_err(
    database: Database, engine: Engine, items: Items, balanced: Balanced
) -> None:
    dice = random.Random(20260302)
    before = deadlocks(database)
    with writers(database.conninfo(), 4, batch_max=20) as made:
        stock = tuple(items.line(50, v, n=v + 1, cost="2.00") for v in range(20))
        answers([made[0].submit(items.tenant, command(Receive(stock)))])
        futures = [
            made[n % 4].submit(
                items.tenant,
                command(_random_action(items, dice, f"order-{dice.randrange(60)}"), key=f"k{n}"),
            )
            for n in range(1600)
        ]
        outcomes = answers(futures)
        halved = sum(writer.stats.halved for writer in made)
        batches = [writer.stats.batches for writer in made]
    assert deadlocks(database) == before
    assert len(outcomes) == 1600
    assert halved == 0
    assert min(batches) > 1
    codes = Counter(map(code, outcomes))
    assert codes[None] > 500
    assert set(codes) <= {None, "insufficient_stock", "not_reserved"}
    balanced(items)


def test_levels_that_four_writers_create_at_once_exist_once(
    database: Database, engine: Engine, items: Items, balanced: Balanced
) -> None:
    """Each writer's receipts name the same twenty new levels, in an order of its own."""
    dice = random.Random(7)
    before = deadlocks(database)
    commands = []
    for _ in range(40):
        order = dice.sample(range(20), 20)
        commands.append(command(Receive(tuple(items.line(1, v) for v in order))))
    with writers(database.conninfo(), 4, batch_max=5) as made:
        assert race(made, items, commands) == [None] * 40
    assert deadlocks(database) == before
    assert [level.available for level in levels(engine, items.tenant).values()] == [40] * 20
    balanced(items)


def test_batches_with_the_same_keys_in_opposite_orders_do_not_wait_in_a_circle(
    database: Database, items: Items, balanced: Balanced
) -> None:
    """Both wait for a key in the middle; when it comes free, each has a part of the keys.

    Their levels differ, so only the keys can make them wait for each other.
    """
    before, middle = deadlocks(database), receive(items, 1)
    keys = [f"key-{n}" for n in range(10)]
    keys[5] = middle.key
    batches = [
        [command(Receive((items.line(1, side),)), key=key) for key in keys[:: 1 - 2 * side]]
        for side in (0, 1)
    ]

    def run(batch: list[StockCommand]) -> bool:
        with connected(database.conninfo()) as conn:
            try:
                post(conn, items.tenant, batch)
            except psycopg.errors.UniqueViolation:
                return False
        return True

    with connected(database.conninfo()) as conn:
        # The levels exist already, so that only keys can be waited for.
        post(conn, items.tenant, [receive(items, 1, variant) for variant in (0, 1, 2)])
        with ThreadPoolExecutor(2) as pool:
            with conn.transaction(force_rollback=True):
                Ledger(uuid7).apply(conn, items.tenant, [replace(middle, action=_third(items))])
                done = [pool.submit(run, batch) for batch in batches]
                wait_until(lambda: waiting(database.conninfo(), "") == 2, "both batches wait")
            outcomes = [future.result(PATIENCE_SECONDS) for future in done]
    assert sorted(outcomes) == [False, True]
    assert deadlocks(database) == before
    balanced(items)


def _third(items: Items) -> Action:
    return Receive((items.line(1, 2),))
