"""Keys of stock commands: one effect and one answer, however often and from wherever sent."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine
from uuid_utils.compat import uuid7

from db import operations
from db.engine import transaction
from db.stock import Ledger
from db.stock_commands import Outcome
from db.stock_writer import StockWriter
from domain.errors import InFlight, KeyReused
from domain.stock import Deduct, Receive, Reserve
from tests.conftest import Database
from tests.support import (
    Items,
    answers,
    body,
    code,
    command,
    connected,
    levels,
    post,
    receive,
    rows,
    together,
    writers,
)

Balanced = Callable[[Items], None]


def test_a_repeated_command_has_one_effect_and_the_same_bytes(
    engine: Engine, items: Items, writer: StockWriter, balanced: Balanced
) -> None:
    one = receive(items, 10)
    first, second = (answers([writer.submit(items.tenant, one)])[0] for _ in range(2))
    assert (second.status, second.body) == (first.status, first.body)
    assert (first.replayed, second.replayed) == (False, True)
    assert levels(engine, items.tenant)[items.key()].available == 10
    balanced(items)


def test_the_stored_answer_is_the_answer_that_was_given(
    engine: Engine, items: Items, writer: StockWriter
) -> None:
    one = receive(items, 10)
    outcome = answers([writer.submit(items.tenant, one)])[0]
    ((status, answer, operation),) = rows(
        engine,
        items.tenant,
        "SELECT status, answer, id FROM operations WHERE key = :key",
        key=one.key,
    )
    assert (status, bytes(answer)) == (outcome.status, outcome.body)
    assert body(outcome)["operation_id"] == str(operation)


@pytest.mark.parametrize("count", [1, 4])
def test_eight_senders_of_one_key_get_one_effect_and_one_answer(
    count: int, database: Database, engine: Engine, items: Items, balanced: Balanced
) -> None:
    with writers(database.conninfo(), count) as made:
        for round_ in range(10):
            one = command(Receive((items.line(3),)), key=f"round-{round_}")

            def send(n: int, one: object = one) -> Callable[[], Outcome]:
                return lambda: answers([made[n % count].submit(items.tenant, one)])[0]  # type: ignore[arg-type]

            outcomes = together([send(n) for n in range(8)])
            assert len({outcome.body for outcome in outcomes}) == 1
            assert sum(not outcome.replayed for outcome in outcomes) == 1
    assert levels(engine, items.tenant)[items.key()].available == 30
    balanced(items)


def test_repeats_within_one_batch_are_answered_from_the_first(
    database: Database, engine: Engine, items: Items, balanced: Balanced
) -> None:
    one = receive(items, 10)
    with connected(database.conninfo()) as conn:
        outcomes = post(conn, items.tenant, [one, receive(items, 1), one, one])
    assert all(isinstance(outcome, Outcome) for outcome in outcomes)
    first, _, third, fourth = outcomes
    assert isinstance(first, Outcome)
    assert third == fourth == Outcome(first.status, first.body, replayed=True)
    assert levels(engine, items.tenant)[items.key()].available == 11
    balanced(items)


def test_another_request_under_the_same_key_is_refused_and_its_neighbours_are_not(
    engine: Engine, items: Items, writer: StockWriter, balanced: Balanced
) -> None:
    first = receive(items, 10)
    answers([writer.submit(items.tenant, first)])
    futures = [
        writer.submit(items.tenant, one)
        for one in (
            receive(items, 1),
            command(Receive((items.line(99),)), key=first.key),
            receive(items, 2),
        )
    ]
    assert code(futures[0].result(10)) is None
    with pytest.raises(KeyReused) as caught:
        futures[1].result(10)
    assert caught.value.details == {"idempotency_key": first.key}
    assert code(futures[2].result(10)) is None
    assert levels(engine, items.tenant)[items.key()].available == 13
    balanced(items)


def test_another_request_under_a_key_of_the_same_batch_is_refused_too(
    database: Database, engine: Engine, items: Items
) -> None:
    one = receive(items, 10)
    with connected(database.conninfo()) as conn:
        outcomes = post(
            conn, items.tenant, [one, command(Receive((items.line(99),)), key=one.key), one]
        )
    assert [code(outcome) for outcome in outcomes] == [None, "idempotency_key_reuse", None]
    assert levels(engine, items.tenant)[items.key()].available == 10


def test_a_refusal_is_replayed_byte_for_byte_even_after_stock_came_in(
    engine: Engine, items: Items, writer: StockWriter, balanced: Balanced
) -> None:
    one = command(Reserve((items.line(5),), "order-1"))
    refused = answers([writer.submit(items.tenant, one)])[0]
    assert code(refused) == "insufficient_stock"
    answers([writer.submit(items.tenant, receive(items, 100))])
    again = answers([writer.submit(items.tenant, one)])[0]
    assert again == Outcome(refused.status, refused.body, replayed=True)
    assert levels(engine, items.tenant)[items.key()].reserved == 0
    balanced(items)


def test_what_names_an_unknown_item_may_be_sent_again_after_the_item_was_made(
    engine: Engine, items: Items, writer: StockWriter, new_items: Callable[..., Items]
) -> None:
    """It is a mistake in the request, not a refusal by the stock: nothing is stored."""
    foreign = new_items()
    one = command(Receive((foreign.line(1),)))
    assert code(answers([writer.submit(items.tenant, one)])[0]) == "unknown_item"
    assert code(answers([writer.submit(items.tenant, one)])[0]) == "unknown_item"
    assert rows(engine, items.tenant, "SELECT 1 FROM operations WHERE key = :k", k=one.key) == []
    assert code(answers([writer.submit(foreign.tenant, one)])[0]) is None


def test_a_client_cannot_occupy_the_key_of_a_process(
    engine: Engine, items: Items, writer: StockWriter, balanced: Balanced
) -> None:
    http, process = (
        command(Receive((items.line(quantity),)), key="order-1/reserve", source=source)
        for source, quantity in (("http", 1), ("process", 10))
    )
    outcomes = answers([writer.submit(items.tenant, one) for one in (http, process)])
    assert [(code(outcome), outcome.replayed) for outcome in outcomes] == [(None, False)] * 2
    assert levels(engine, items.tenant)[items.key()].available == 11
    balanced(items)


def test_the_same_key_of_two_tenants_is_two_keys(
    engine: Engine, new_items: Callable[..., Items], writer: StockWriter
) -> None:
    for shop in (new_items(), new_items()):
        outcome = answers(
            [writer.submit(shop.tenant, command(Receive((shop.line(1),)), key="the-key"))]
        )[0]
        assert not outcome.replayed
        assert levels(engine, shop.tenant)[shop.key()].available == 1


def test_a_key_that_a_process_start_has_claimed_is_in_flight_and_harms_nobody(
    engine: Engine, items: Items, writer: StockWriter
) -> None:
    with transaction(engine, items.tenant) as session:
        operations.claim(
            session,
            key="claimed",
            print_=b"print",
            number=lambda: "SO-1",
            workflow_id=lambda number: f"order-{number}",
        )
    claimed = command(Receive((items.line(1),)), key="claimed", source="http", print_=b"print")
    futures = [writer.submit(items.tenant, one) for one in (claimed, receive(items, 2))]
    with pytest.raises(InFlight):
        futures[0].result(10)
    assert code(futures[1].result(10)) is None
    assert levels(engine, items.tenant)[items.key()].available == 2


def test_a_replay_locks_no_item_and_asks_no_rule(
    database: Database, engine: Engine, items: Items
) -> None:
    """A repeat is answered although the command would be refused by now."""
    one = command(Deduct((items.line(5),)))
    with connected(database.conninfo()) as conn:
        ledger = Ledger(uuid7)
        post(conn, items.tenant, [receive(items, 5)], ledger)
        first, second = (post(conn, items.tenant, [one], ledger)[0] for _ in range(2))
    assert isinstance(first, Outcome)
    assert isinstance(second, Outcome)
    assert (code(first), second.body) == (None, first.body)
    assert levels(engine, items.tenant)[items.key()].available == 0
