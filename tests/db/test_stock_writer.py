"""The batch writer's queue: its bound, its fairness, its end, and callers who gave up."""

import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import CancelledError, Future

import pytest
from sqlalchemy import Engine

from db.stock_commands import Outcome
from db.stock_writer import StockWriter
from domain.errors import Busy, InvalidInput, Unavailable
from domain.stock import Receive
from tests.conftest import Database
from tests.support import (
    Items,
    answers,
    code,
    command,
    levels,
    receive,
    rows,
    stalled,
    wait_until,
    writers,
)

Balanced = Callable[[Items], None]


def test_commands_that_come_during_a_batch_form_the_next_one(
    database: Database, items: Items, balanced: Balanced
) -> None:
    with writers(database.conninfo(), 1, batch_max=50) as (writer,):
        with stalled(database.conninfo(), items, writer):
            futures = [writer.submit(items.tenant, receive(items, 1)) for _ in range(120)]
            before = writer.stats.batches
        answers(futures)
        assert writer.stats.batches - before == 1 + 3
        assert writer.stats.largest_batch == 50
    balanced(items)


def test_a_command_that_comes_alone_is_a_batch_of_one(items: Items, writer: StockWriter) -> None:
    for _ in range(3):
        answers([writer.submit(items.tenant, receive(items, 1))])
    assert (writer.stats.batches, writer.stats.commands, writer.stats.largest_batch) == (3, 3, 1)


def test_a_malformed_command_is_refused_before_it_waits(items: Items, writer: StockWriter) -> None:
    with pytest.raises(InvalidInput):
        writer.submit(items.tenant, command(Receive(())))
    assert writer.stats.commands == 0


def test_a_full_queue_answers_busy_and_loses_nothing_that_it_took(
    database: Database, engine: Engine, items: Items, balanced: Balanced
) -> None:
    with writers(database.conninfo(), 1, queue_max=10) as (writer,):
        with stalled(database.conninfo(), items, writer):
            futures = [writer.submit(items.tenant, receive(items, 1)) for _ in range(10)]
            refused = receive(items, 1)
            for _ in range(3):
                with pytest.raises(Busy) as caught:
                    writer.submit(items.tenant, refused)
        assert (caught.value.status, caught.value.retry_after) == (429, 1)
        assert [code(outcome) for outcome in answers(futures)] == [None] * 10
        assert writer.stats.refused_busy == 3
        assert not answers([writer.submit(items.tenant, refused)])[0].replayed
    assert levels(engine, items.tenant)[items.key()].available == 11
    balanced(items)


def test_closing_finishes_what_waits_and_takes_nothing_new(
    database: Database, engine: Engine, items: Items, balanced: Balanced
) -> None:
    writer = StockWriter(database.conninfo(), batch_max=20)
    closer = threading.Thread(target=writer.close)

    def is_closing() -> bool:
        try:
            futures.append(writer.submit(items.tenant, receive(items, 1)))
        except Unavailable:
            return True
        return False

    with stalled(database.conninfo(), items, writer):
        futures = [writer.submit(items.tenant, receive(items, 1)) for _ in range(50)]
        closer.start()
        wait_until(is_closing, "the writer refuses new commands")
        assert not any(future.done() for future in futures)
    closer.join()
    assert all(future.done() for future in futures)
    assert [code(outcome) for outcome in answers(futures)] == [None] * len(futures)
    assert levels(engine, items.tenant)[items.key()].available == len(futures)
    balanced(items)


def test_what_a_close_has_no_time_for_fails_and_was_not_done(
    database: Database, engine: Engine, items: Items, balanced: Balanced
) -> None:
    writer = StockWriter(database.conninfo())
    with stalled(database.conninfo(), items, writer) as in_flight:
        futures = [writer.submit(items.tenant, receive(items, 1)) for _ in range(5)]
        assert futures[2].cancel()
        writer.close(timeout=0.05)
        for n in (0, 1, 3, 4):
            with pytest.raises(Unavailable):
                futures[n].result(0)
    assert code(answers([in_flight])[0]) is None
    writer.close()
    assert items.key() not in levels(engine, items.tenant)
    balanced(items)


def test_a_caller_who_gave_up_disturbs_nobody_and_may_ask_again(
    database: Database, engine: Engine, items: Items, balanced: Balanced
) -> None:
    with writers(database.conninfo(), 1) as (writer,):
        commands = [receive(items, 1) for _ in range(30)]
        with stalled(database.conninfo(), items, writer):
            futures = [writer.submit(items.tenant, one) for one in commands]
            assert all(future.cancel() for future in futures[::3])
        others = [future for n, future in enumerate(futures) if n % 3]
        assert [code(outcome) for outcome in answers(others)] == [None] * 20
        with pytest.raises(CancelledError):
            futures[0].result(1)
        again = answers([writer.submit(items.tenant, one) for one in commands[::3]])
        assert [outcome.replayed for outcome in again] == [True] * 10
    assert levels(engine, items.tenant)[items.key()].available == 30
    balanced(items)


def test_a_tenant_with_thousands_of_commands_does_not_delay_another(
    database: Database, engine: Engine, new_items: Callable[..., Items], balanced: Balanced
) -> None:
    big, small, third = (new_items(variants=2) for _ in range(3))
    with writers(database.conninfo(), 1, batch_max=100) as (writer,):
        seen: list[int] = []

        def note(_: "Future[Outcome]") -> None:
            seen.append(writer.stats.batches)

        with stalled(database.conninfo(), big, writer):
            futures = [writer.submit(big.tenant, receive(big, 1)) for _ in range(5000)]
            before = writer.stats.batches
            for shop in (small, third):
                futures.append(writer.submit(shop.tenant, receive(shop, 1)))
                futures[-1].add_done_callback(note)
        answers(futures)
    # The batch in flight, one of the big tenant, then one of each other tenant.
    assert [count - before for count in seen] == [3, 4]
    assert levels(engine, big.tenant)[big.key()].available == 5000
    balanced(big)
    balanced(small)


def test_one_ring_of_the_bell_and_one_posting_a_batch(
    database: Database, engine: Engine, items: Items
) -> None:
    with writers(database.conninfo(), 1) as (writer,):
        with stalled(database.conninfo(), items, writer):
            futures = [writer.submit(items.tenant, receive(items, 1)) for _ in range(40)]
        answers(futures)
    found = rows(engine, items.tenant, "SELECT facts FROM postings ORDER BY id")
    assert [row.facts for row in found] == [1, 1, 40]


def test_memory_stays_flat_at_ten_times_the_bound(
    database: Database, items: Items, balanced: Balanced
) -> None:
    bound = 500
    with writers(database.conninfo(), 1, queue_max=bound) as (writer,):
        with stalled(database.conninfo(), items, writer):
            futures = [writer.submit(items.tenant, receive(items, 1)) for _ in range(bound)]
            tracemalloc.start()
            try:
                before, _ = tracemalloc.get_traced_memory()
                refused = 0
                for _ in range(9 * bound):
                    try:
                        futures.append(writer.submit(items.tenant, receive(items, 1)))
                    except Busy:
                        refused += 1
                grown = tracemalloc.get_traced_memory()[0] - before
            finally:
                tracemalloc.stop()
        assert refused == 9 * bound
        assert grown < 200_000, grown
        assert [code(outcome) for outcome in answers(futures)] == [None] * bound
    balanced(items)
