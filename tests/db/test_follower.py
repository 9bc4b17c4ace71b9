"""Readers of facts: what a consumer gets that was away, that is slow, that dies, that races."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from db.engine import FOLLOWER, transaction
from db.events import Fact, NewFact, advance, assign_positions, cursor, read, record
from db.follower import Follower, facts
from db.stock import Ledger, StaleBatch
from db.stock_commands import Outcome
from db.stock_writer import StockWriter
from domain.stock import Action, Deduct, Receive, Release, Reserve
from tests.db.conftest import World
from tests.support import (
    AT,
    Items,
    answers,
    books,
    command,
    connected,
    levels,
    make_items,
    new_tenant,
    receive,
    rows,
    together,
    wait_until,
    writers,
)

BUCKETS = ("available", "reserved", "damaged", "quarantine", "in_transit")


class Rebuilt:
    """Levels rebuilt from facts alone; every fact must fit on what came before it."""

    def __init__(self) -> None:
        self.levels: dict[str, dict[str, int]] = {}
        self.sequences: Counter[str] = Counter()
        self.position = 0

    def add(self, fact: Fact) -> None:
        assert fact.position == self.position + 1
        self.position = fact.position
        if fact.subject_kind != "level":
            return
        state = self.levels.setdefault(fact.subject_id, dict.fromkeys(BUCKETS, 0))
        self.sequences[fact.subject_id] += 1
        assert fact.sequence == self.sequences[fact.subject_id]
        for bucket in BUCKETS:
            before, change, after = fact.data[bucket]
            assert before == state[bucket]
            assert before + change == after
            state[bucket] = after


def _states(world: World, items: Items) -> dict[str, dict[str, int]]:
    return {
        str(level.id): {bucket: getattr(level, bucket) for bucket in BUCKETS}
        for level in levels(world.app, items.tenant).values()
    }


def _action(items: Items, dice: random.Random) -> Action:
    lines = tuple(items.line(dice.randint(1, 3), dice.randrange(6)) for _ in range(3))
    actions: list[Action] = [Receive(lines), Receive(lines), Deduct(lines), Reserve(lines, "o")]
    return dice.choice([*actions, Release("o")])


def _flow(
    made: list[StockWriter], shops: list[Items], count: int, seed: int
) -> list["Future[Outcome]"]:
    dice = random.Random(seed)
    futures = []
    for n in range(count):
        shop = dice.choice(shops)
        futures.append(made[n % len(made)].submit(shop.tenant, command(_action(shop, dice))))
    return futures


@pytest.fixture
def shops(world: World) -> list[Items]:
    """Three tenants that trade at once."""
    more = [make_items(world.app, new_tenant(world.maint), variants=6) for _ in range(2)]
    return [world.items, *more]


@pytest.mark.parametrize("page", [1, 7, 1000])
def test_a_reader_that_was_away_rebuilds_every_level_while_others_write(
    page: int, world: World, shops: list[Items]
) -> None:
    rebuilt = Rebuilt()
    with writers(world.database.conninfo(), 4, batch_max=8) as made:
        futures = _flow(made, shops, 120 if page == 1 else 800, page)
        while not all(future.done() for future in futures):
            for fact in facts(world.follower, "away", page=page):
                rebuilt.add(fact)
        answers(futures)
    for fact in facts(world.follower, "away", page=page):
        rebuilt.add(fact)
    expected: dict[str, dict[str, int]] = {}
    for shop in shops:
        expected |= _states(world, shop)
    changed = {id_: state for id_, state in expected.items() if id_ in rebuilt.levels}
    assert rebuilt.levels == changed
    untouched = [state for id_, state in expected.items() if id_ not in rebuilt.levels]
    assert all(not any(state.values()) for state in untouched)
    assert books(world.maint) == []


def _late_batches(world: World, items: Items, stop: threading.Event, seed: int) -> int:
    """Batches whose transactions stay open for a while, and every third is rolled back."""
    dice = random.Random(seed)
    ledger, count = Ledger(uuid7), 0
    with connected(world.database.conninfo()) as conn:
        while not stop.is_set():
            count += 1
            try:
                with conn.transaction(force_rollback=count % 3 == 0):
                    batch = [command(_action(items, dice)) for _ in range(dice.randint(1, 4))]
                    ledger.apply(conn, items.tenant, batch)
                    conn.execute("SELECT pg_sleep(%s)", (dice.random() / 100,))
            except StaleBatch:
                continue
    return count


def _number_for_ever(world: World, stop: threading.Event) -> int:
    """One of several sequencers that compete, in steps of a few postings."""
    with connected(world.database.conninfo(FOLLOWER)) as conn:
        count = 0
        while not stop.is_set():
            conn.execute("SELECT assign_positions(3)")
            count += 1
    return count


def test_competing_sequencers_and_late_commits_never_break_the_order(world: World) -> None:
    """The attempt to refute that no gate on transaction ids is needed."""
    stop, rebuilt = threading.Event(), Rebuilt()

    def reading() -> int:
        try:
            while len(rebuilt.sequences) < 6 or rebuilt.position < 1000:
                with Session(world.follower) as session, session.begin():
                    for fact in read(session, rebuilt.position, 50):
                        rebuilt.add(fact)
        finally:
            stop.set()
        return rebuilt.position

    jobs: list[Callable[[], int]] = [reading]
    jobs += [lambda: _number_for_ever(world, stop) for _ in range(2)]
    jobs += [lambda n=n: _late_batches(world, world.items, stop, n) for n in range(4)]  # type: ignore[misc]
    assert min(together(jobs)) > 1
    for fact in facts(world.follower, "rest"):
        if fact.position > rebuilt.position:
            rebuilt.add(fact)
    expected = _states(world, world.items)
    assert rebuilt.levels == {id_: expected[id_] for id_ in rebuilt.levels}
    assert books(world.maint) == []


def _stock(world: World, count: int) -> None:
    with writers(world.database.conninfo(), 1) as (writer,):
        answers([writer.submit(world.tenant, receive(world.items, 1)) for _ in range(count)])


def test_a_consumer_that_dies_gets_its_last_page_again(world: World) -> None:
    _stock(world, 10)
    dying: Iterator[Fact] = facts(world.follower, "dies", page=4)
    seen = [next(dying).position for _ in range(6)]
    assert seen == [1, 2, 3, 4, 5, 6]
    again = [fact.position for fact in facts(world.follower, "dies", page=4)]
    assert again == [5, 6, 7, 8, 9, 10]
    assert list(facts(world.follower, "dies", page=4)) == []


def test_each_consumer_has_a_cursor_of_its_own_that_never_goes_back(world: World) -> None:
    with Session(world.follower) as session, session.begin():
        assert cursor(session, "one") == 0
        for position in (5, 9, 7):
            advance(session, "one", position)
        assert (cursor(session, "one"), cursor(session, "other")) == (9, 0)


def test_a_tenant_reads_its_own_facts_only_at_their_places_in_the_whole_ledger(
    world: World, shops: list[Items]
) -> None:
    with writers(world.database.conninfo(), 1) as (writer,):
        for n in range(9):
            answers([writer.submit(shops[n % 3].tenant, receive(shops[n % 3], 1))])
    with Session(world.follower) as session, session.begin():
        assert assign_positions(session) == 9
    for n, shop in enumerate(shops):
        with transaction(world.app, shop.tenant) as session:
            found = read(session, 0)
            assert [fact.position for fact in found] == [n + 1, n + 4, n + 7]
            assert {fact.tenant_id for fact in found} == {shop.tenant}
            assert [fact.position for fact in read(session, n + 1, 1)] == [n + 4]


def _new_fact(n: int, subject: str = "1") -> NewFact:
    return NewFact("thing.changed", "thing", subject, n, "tester", AT, {"n": n, "text": "é"})


def test_events_and_movements_share_one_order(world: World) -> None:
    _stock(world, 1)
    with transaction(world.app, world.tenant) as session:
        record(session, [_new_fact(1), _new_fact(2)])
    _stock(world, 1)
    found = list(facts(world.follower, "all"))
    kinds = ["stock.purchase", "thing.changed", "thing.changed", "stock.purchase"]
    assert [fact.kind for fact in found] == kinds
    assert [fact.position for fact in found] == [1, 2, 3, 4]
    assert (found[2].sequence, found[2].data) == (2, {"n": 2, "text": "é"})
    assert (found[2].actor, found[2].occurred_at, found[2].tenant_id) == (
        "tester",
        AT,
        world.tenant,
    )


def test_a_subject_has_each_sequence_once(world: World) -> None:
    with transaction(world.app, world.tenant) as session:
        record(session, [_new_fact(1)])
    with (
        pytest.raises(Exception, match="events_subject_key"),
        transaction(world.app, world.tenant) as session,
    ):
        record(session, [_new_fact(1)])
    assert len(list(facts(world.follower, "all"))) == 1


def test_recording_nothing_leaves_no_posting(world: World) -> None:
    with transaction(world.app, world.tenant) as session:
        record(session, [])
    assert rows(world.app, world.tenant, "SELECT 1 FROM postings") == []


@pytest.fixture
def follower(world: World) -> Iterator[Follower]:
    """The thread that every worker runs."""
    made = Follower(world.database.conninfo(FOLLOWER))
    yield made
    made.close()


def _unnumbered(world: World) -> int:
    query = "SELECT count(*) FROM postings WHERE first_position IS NULL"
    count: int = rows(world.app, world.tenant, query)[0][0]
    return count


def test_the_follower_numbers_what_is_posted(world: World, follower: Follower) -> None:
    _stock(world, 3)
    wait_until(lambda: follower.position == 3, "the follower has numbered three facts")
    assert _unnumbered(world) == 0


def test_the_follower_goes_on_after_its_connection_was_killed(
    world: World, follower: Follower
) -> None:
    _stock(world, 1)
    wait_until(lambda: follower.position == 1, "the follower has numbered the first fact")
    with connected(world.database.conninfo(FOLLOWER)) as conn:
        killed = conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'follower'"
        ).fetchall()
    assert killed == [(True,)]
    _stock(world, 2)
    wait_until(lambda: follower.position == 3, "the follower has numbered all facts")


def test_two_followers_number_every_fact_once(world: World, follower: Follower) -> None:
    other = Follower(world.database.conninfo(FOLLOWER))
    try:
        with writers(world.database.conninfo(), 2, batch_max=3) as made:
            answers(_flow(made, [world.items], 100, 3))
        wait_until(lambda: _unnumbered(world) == 0, "all is numbered")
    finally:
        other.close()
    assert books(world.maint) == []


def test_a_stopped_follower_leaves_no_thread(world: World) -> None:
    made = Follower(world.database.conninfo(FOLLOWER))
    made.close()
    assert "follower" not in {thread.name for thread in threading.enumerate()}


def _ids(found: list[Any]) -> set[UUID]:
    return {fact.id for fact in found}


def test_every_fact_has_an_id_of_its_own(world: World) -> None:
    _stock(world, 20)
    found = list(facts(world.follower, "all"))
    assert len(_ids(found)) == 20
