"""Positions of facts: dense, never missed by a reader, never against the order of a level."""

from collections.abc import Sequence
from contextlib import ExitStack

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from db.engine import FOLLOWER, OWNER
from db.events import Fact, assign_positions
from db.events import read as read_facts
from db.stock import Ledger
from db.stock_commands import StockCommand
from tests.conftest import Database
from tests.db.conftest import World
from tests.support import answers, books, connected, post, receive, writers


def number(world: World) -> int:
    """Give positions to what is committed, as the follower does."""
    with Session(world.follower) as session, session.begin():
        return assign_positions(session)


def facts_of(world: World, after: int = 0, at_most: int = 1000) -> list[Fact]:
    with Session(world.follower) as session, session.begin():
        return read_facts(session, after, at_most)


class Open:
    """A batch that was written and whose transaction stays open until ``commit``."""

    def __init__(self, world: World, commands: Sequence[StockCommand]) -> None:
        self._stack = ExitStack()
        self.conn = self._stack.enter_context(connected(world.database.conninfo()))
        self._stack.enter_context(self.conn.transaction())
        Ledger(uuid7).apply(self.conn, world.tenant, commands)

    def commit(self) -> None:
        self._stack.close()


def test_positions_are_dense_and_start_at_one(world: World) -> None:
    with connected(world.database.conninfo()) as conn:
        for quantity in range(1, 6):
            batch = [receive(world.items, quantity, v) for v in range(quantity)]
            post(conn, world.tenant, batch)
    assert number(world) == 15
    assert [fact.position for fact in facts_of(world)] == list(range(1, 16))
    assert number(world) == 15
    assert books(world.maint) == []


def test_a_late_commit_is_never_missed(world: World) -> None:
    """A posts first and stays open; B posts later, commits and is read; then A commits."""
    with connected(world.database.conninfo()) as conn:
        post(conn, world.tenant, [receive(world.items, 1, 0), receive(world.items, 1, 1)])
        late = Open(world, [receive(world.items, 10, 0)])
        post(conn, world.tenant, [receive(world.items, 20, 1)])
    assert number(world) == 3
    seen = facts_of(world)
    late.commit()
    assert number(world) == 4
    (missed,) = facts_of(world, after=seen[-1].position)
    assert missed.data["available"] == [1, 10, 11]
    assert [fact.position for fact in [*seen, missed]] == [1, 2, 3, 4]
    assert books(world.maint) == []


def test_a_late_commit_never_reorders_the_movements_of_one_level(world: World) -> None:
    """Whoever writes to the same level waits for the late one, and takes a later posting."""
    with connected(world.database.conninfo()) as conn:
        post(conn, world.tenant, [receive(world.items, 1)])
    late = Open(world, [receive(world.items, 10)])
    with writers(world.database.conninfo(), 1) as (writer,):
        waiting = writer.submit(world.tenant, receive(world.items, 100))
        number(world)
        late.commit()
        answers([waiting])
    number(world)
    assert [fact.data["available"] for fact in facts_of(world)] == [
        [0, 1, 1],
        [1, 10, 11],
        [11, 100, 111],
    ]


def test_a_posting_that_was_rolled_back_leaves_no_gap_in_positions(world: World) -> None:
    with connected(world.database.conninfo()) as conn:
        post(conn, world.tenant, [receive(world.items, 1)])
        with conn.transaction() as transaction_:
            Ledger(uuid7).apply(conn, world.tenant, [receive(world.items, 1)])
            raise psycopg.Rollback(transaction_)
        post(conn, world.tenant, [receive(world.items, 1)])
    assert number(world) == 2
    assert [fact.position for fact in facts_of(world)] == [1, 2]


def test_an_open_write_in_another_database_hides_nothing(world: World, database: Database) -> None:
    """A gate on the oldest open transaction would: xids are shared by the whole cluster."""
    with connected(database.conninfo(OWNER)) as elsewhere, elsewhere.transaction():
        elsewhere.execute("CREATE TABLE blocker (n int)")
        xid = elsewhere.execute("SELECT pg_current_xact_id_if_assigned()::text").fetchone()
        assert xid is not None
        assert xid[0] is not None
        with connected(world.database.conninfo()) as conn:
            post(conn, world.tenant, [receive(world.items, 1)])
        assert number(world) == 1
        assert len(facts_of(world)) == 1
        elsewhere.execute("DROP TABLE blocker")


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_numbering_refuses_a_snapshot_that_cannot_see_new_commits(level: str, world: World) -> None:
    engine = world.follower.execution_options(isolation_level=level)
    with (
        Session(engine) as session,
        session.begin(),
        pytest.raises(DBAPIError, match="needs read committed"),
    ):
        assign_positions(session)


def test_numbering_in_small_steps_gives_the_same_positions(world: World) -> None:
    with connected(world.database.conninfo()) as conn:
        for n in range(7):
            post(conn, world.tenant, [receive(world.items, 1, v) for v in range(n % 3 + 1)])
    with connected(world.database.conninfo(FOLLOWER)) as conn:
        steps = [conn.execute("SELECT assign_positions(2)").fetchone() for _ in range(5)]
    assert [step[0] for step in steps if step] == [3, 7, 12, 13, 13]
    assert [fact.position for fact in facts_of(world)] == list(range(1, number(world) + 1))
    assert books(world.maint) == []
