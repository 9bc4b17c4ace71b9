"""The batch writer under faults: killed connections, poisonous commands, bugs in the rules."""

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import date, datetime
from typing import Any, cast

import pytest
from sqlalchemy import Engine

from db.stock_commands import Outcome, StockCommand
from db.stock_writer import StockWriter
from domain.errors import InvalidInput
from domain.stock import Action, Deduct, Kind, Receive, Release, Reserve
from tests.conftest import Database
from tests.support import (
    PATIENCE_SECONDS,
    Items,
    answers,
    code,
    command,
    connected,
    held,
    levels,
    receive,
    rows,
    stalled,
    wait_until,
    writers,
)

Balanced = Callable[[Items], None]


def _kill_a_writer(conninfo: str, dice: random.Random) -> bool:
    with connected(conninfo) as conn:
        found = conn.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'stock-writer'"
        ).fetchall()
        if found:
            conn.execute("SELECT pg_terminate_backend(%s)", dice.choice(found))
    return bool(found)


def _assert_stored(engine: Engine, items: Items, given: dict[str, Outcome]) -> None:
    """Every command is stored once, with exactly the answer that its caller got."""
    stored = {
        row.key: (row.status, bytes(row.answer))
        for row in rows(engine, items.tenant, "SELECT key, status, answer FROM operations")
    }
    assert stored == {key: (outcome.status, outcome.body) for key, outcome in given.items()}


def test_killed_connections_lose_nothing_and_do_nothing_twice(
    database: Database, engine: Engine, items: Items, balanced: Balanced
) -> None:
    dice = random.Random(11)
    kills = 0
    with writers(database.conninfo(), 2, batch_max=20) as made:
        commands = [
            receive(items, 1, n % 3)
            if n % 2
            else command(Reserve((items.line(1, n % 3),), f"order-{n}"))
            for n in range(2000)
        ]
        futures = [made[n % 2].submit(items.tenant, one) for n, one in enumerate(commands)]

        def done() -> int:
            return sum(future.done() for future in futures)

        for step in range(25, 2000, 75):
            wait_until(lambda step=step: done() >= step, "commands flow again")  # type: ignore[misc]
            kills += _kill_a_writer(database.conninfo(), dice)
        outcomes = answers(futures)
        assert sum(writer.stats.resent for writer in made) > 0
    assert kills > 10
    _assert_stored(
        engine, items, {one.key: out for one, out in zip(commands, outcomes, strict=True)}
    )
    received = sum(isinstance(one.action, Receive) for one in commands)
    reserved = sum(
        isinstance(one.action, Reserve) and code(out) is None
        for one, out in zip(commands, outcomes, strict=True)
    )
    state = levels(engine, items.tenant).values()
    assert sum(level.available + level.reserved for level in state) == received == 1000
    assert sum(held(engine, items.tenant).values()) == reserved > 0
    balanced(items)


class Trap(dict[int, int]):
    """Lines that pass the check and then break the rules."""

    def items(self) -> Any:
        raise RuntimeError("A bug in the rules.")


def _raises(*_: object) -> tuple[int, bytes]:
    raise RuntimeError("A bug in encode.")


def _poisons(items: Items) -> dict[str, StockCommand]:
    good = Receive((items.line(100),))
    never = cast("date", "the 31st of February")
    key = "k" * 300
    return {
        "NUL in the reason": command(good, reason="a\0b"),
        "lone surrogate in the notes": command(good, notes="a\ud800b"),
        "NUL in the actor": command(good, actor="\0"),
        "NUL in a lot": command(
            Receive((items.line(1)._replace(level=items.key(lot="a\0")),)),
        ),
        "no date": command(good, business_date=never),
        "key too long": command(good, key=key),
        "no key": command(good, key=""),
        "unknown source": command(good, source="somewhere"),
        "NUL in the key": command(good, key="a\0b"),
        "surrogate in the key": command(good, key="a\udfffb"),
        "encode raises": command(good, encode=_raises),
        "encode gives no status": command(good, encode=lambda *_: (10**6, b"")),
        "rules raise": command(Release("order-1", Trap({1: 1}))),
        "owner is no text": command(Reserve((items.line(1),), "\0")),
        "kind is none": command(Receive((items.line(100),), cast("Kind", None))),
        "line number too large": command(Reserve((items.line(1, n=2**40),), "order-9")),
    }


def _in_one_batch(
    database: Database, items: Items, writer: StockWriter, commands: list[StockCommand]
) -> list["Future[Outcome]"]:
    with stalled(database.conninfo(), items, writer):
        return [writer.submit(items.tenant, one) for one in commands]


POISONS = tuple(_poisons(Items(*[cast("Any", ("",))] * 3)))


@pytest.mark.parametrize("name", POISONS)
def test_a_poisonous_command_fails_alone(
    name: str, database: Database, engine: Engine, items: Items, balanced: Balanced
) -> None:
    """Its neighbours bring in the first goods of new levels and take from them."""
    with writers(database.conninfo(), 1) as (writer,):
        batch = [
            *[receive(items, 10, variant) for variant in range(5)],
            _poisons(items)[name],
            *[command(Deduct((items.line(4, variant),))) for variant in range(5)],
        ]
        futures = _in_one_batch(database, items, writer, batch)
        poisonous = futures.pop(5)
        assert [code(outcome) for outcome in answers(futures)] == [None] * 10
        with pytest.raises(Exception) as caught:  # noqa: PT011  # Each poison has its own.
            poisonous.result(PATIENCE_SECONDS)
        assert not isinstance(caught.value, TimeoutError)
        assert writer.stats.halved > 0
        assert code(answers([writer.submit(items.tenant, receive(items, 1))])[0]) is None
    state = levels(engine, items.tenant)
    assert [state[items.key(variant)].available for variant in range(5)] == [7, 6, 6, 6, 6]
    assert held(engine, items.tenant) == {}
    balanced(items)


def test_a_time_without_its_zone_is_refused_before_it_waits(
    database: Database, items: Items
) -> None:
    with writers(database.conninfo(), 1) as (writer,):
        naive = command(Receive((items.line(1),)), occurred_at=datetime(2026, 1, 1))  # noqa: DTZ001  # The fault.
        with pytest.raises(InvalidInput):
            writer.submit(items.tenant, naive)


def test_a_value_that_cannot_be_stored_is_the_caller_s_fault(
    database: Database, items: Items
) -> None:
    with writers(database.conninfo(), 1) as (writer,):
        future = writer.submit(items.tenant, command(Receive((items.line(1),)), reason="a\0b"))
        with pytest.raises(InvalidInput):
            future.result(PATIENCE_SECONDS)


def test_several_poisonous_commands_fail_and_all_others_succeed(
    database: Database, engine: Engine, items: Items, balanced: Balanced
) -> None:
    poisons = list(_poisons(items).values())
    batch = [receive(items, 1, n % 7) for n in range(100)]
    for n, poison in enumerate(poisons):
        batch.insert(5 * n, poison)
    with writers(database.conninfo(), 1) as (writer,):
        futures = _in_one_batch(database, items, writer, batch)
        wait_until(lambda: all(future.done() for future in futures), "every command is answered")
    failed = [one for one, future in zip(batch, futures, strict=True) if future.exception()]
    assert failed == poisons
    good = [n for n, one in enumerate(batch) if one not in poisons]
    assert Counter(code(futures[n].result()) for n in good) == {None: 100}
    assert sum(level.available for level in levels(engine, items.tenant).values()) == 102
    balanced(items)


def test_a_command_that_was_mended_may_be_sent_again_under_its_key(
    engine: Engine, items: Items, writer: StockWriter
) -> None:
    """A failure is no answer: nothing is stored under the key."""
    poison = command(Receive((items.line(3),)), encode=_raises)
    with pytest.raises(RuntimeError):
        writer.submit(items.tenant, poison).result(PATIENCE_SECONDS)
    mended = replace(poison, encode=receive(items, 1).encode)
    assert code(answers([writer.submit(items.tenant, mended)])[0]) is None
    assert levels(engine, items.tenant)[items.key()].available == 3


@pytest.mark.parametrize(
    "action",
    [Receive, Deduct, lambda lines: Reserve(lines, "order-1")],
    ids=["receive", "deduct", "reserve"],
)
def test_stock_that_came_in_the_batch_of_a_bug_is_there_afterwards(
    action: Callable[[Any], Action],
    database: Database,
    engine: Engine,
    items: Items,
    balanced: Balanced,
) -> None:
    """The bug strikes after the rules changed the level in memory, so the batch must start anew."""
    with writers(database.conninfo(), 1) as (writer,):
        bug = command(action((items.line(10),)), encode=_raises)
        futures = _in_one_batch(
            database, items, writer, [receive(items, 10), bug, receive(items, 1)]
        )
        assert [code(out) for out in answers([futures[0], futures[2]])] == [None, None]
    level = levels(engine, items.tenant)[items.key()]
    assert (level.available, level.reserved, level.sequence) == (11, 0, 2)
    balanced(items)
