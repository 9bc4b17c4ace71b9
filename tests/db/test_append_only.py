"""What was recorded stays: no role may change or remove movements, events or postings."""

from itertools import product

import psycopg
import pytest
from sqlalchemy import text

from db.engine import APP, FOLLOWER, MAINT, OWNER, transaction
from db.events import NewFact, assign_positions, record
from domain.stock import Reverse
from tests.db.conftest import World
from tests.support import AT, answers, command, connected, receive, rows, writers

TABLES = ("stock_movements", "events", "postings", "reversals", "signed_breaks")
STATEMENTS = {
    "update": "UPDATE {} SET tenant_id = tenant_id",
    "update of a column": "UPDATE {} SET posting_id = posting_id",
    "delete": "DELETE FROM {}",
    "truncate": "TRUNCATE {} CASCADE",
}
#: For tables without a posting_id.
COLUMNS = {
    "postings": "facts = facts + 1",
    "reversals": "operation_id = operation_id",
    "signed_breaks": "reason = 'y'",
}


@pytest.fixture
def recorded(world: World) -> World:
    """A world with one fact in every table of the ledger."""
    with writers(world.database.conninfo(), 1) as (writer,):
        answers([writer.submit(world.tenant, receive(world.items, 1))])
        ((done,),) = rows(
            world.app,
            world.tenant,
            "SELECT operation_id FROM stock_movements",
        )
        answers([writer.submit(world.tenant, command(Reverse(done)))])
    with transaction(world.app, world.tenant) as session:
        record(session, [NewFact("thing.made", "thing", "1", 1, "tester", AT, {"a": 1})])
    with transaction(world.maint, world.tenant) as session:
        session.execute(
            text(
                "INSERT INTO signed_breaks (level_id, sequence, available, reserved, damaged,"
                " quarantine, in_transit, value, correction_id, signed_by, reason)"
                " SELECT level_id, sequence, 0, 0, 0, 0, 0, 0, id, 'x', 'x' FROM stock_movements"
            )
        )
    return world


def _state(world: World) -> list[object]:
    return [
        [tuple(row) for row in rows(world.app, world.tenant, f"SELECT * FROM {table}")]  # noqa: S608
        for table in TABLES
    ]


@pytest.mark.parametrize("role", [APP, FOLLOWER, MAINT, OWNER])
def test_nobody_changes_or_removes_what_was_recorded(role: str, recorded: World) -> None:
    before = _state(recorded)
    assert all(before)
    for table, (name, statement) in product(TABLES, STATEMENTS.items()):
        if name == "update of a column" and table in COLUMNS:
            statement = f"UPDATE {{}} SET {COLUMNS[table]}"  # noqa: PLW2901, S608
        with connected(recorded.database.conninfo(role)) as conn:
            conn.execute("SELECT set_config('app.tenant', %s, false)", (str(recorded.tenant),))
            # Without its own forced row security the owner would reach every row.
            with pytest.raises(
                (psycopg.errors.InsufficientPrivilege, psycopg.errors.RestrictViolation)
            ):
                conn.execute(statement.format(table).encode())
    assert _state(recorded) == before


def test_the_owner_is_stopped_by_the_triggers(recorded: World) -> None:
    with connected(recorded.database.conninfo(OWNER)) as conn:
        conn.execute("SELECT set_config('app.tenant', %s, false)", (str(recorded.tenant),))
        for table, name in product(TABLES, ["update", "delete", "truncate"]):
            with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
                conn.execute(STATEMENTS[name].format(table).encode())


def _positions(world: World) -> list[int | None]:
    found = rows(world.app, world.tenant, "SELECT first_position FROM postings ORDER BY id")
    return [row[0] for row in found]


def test_a_missing_position_is_set_once_and_never_moved(recorded: World) -> None:
    assert _positions(recorded) == [None, None, None]
    with transaction(recorded.app, recorded.tenant) as session:
        assert assign_positions(session) == 3
    assert _positions(recorded) == [1, 2, 3]
    with transaction(recorded.app, recorded.tenant) as session:
        assert assign_positions(session) == 3
    with (
        connected(recorded.database.conninfo(MAINT)) as conn,
        pytest.raises(psycopg.errors.RestrictViolation),
    ):
        conn.execute("UPDATE postings SET first_position = first_position + 10")
    assert _positions(recorded) == [1, 2, 3]


def test_maint_may_not_smuggle_a_change_in_with_a_position(recorded: World) -> None:
    with (
        connected(recorded.database.conninfo(MAINT)) as conn,
        pytest.raises(psycopg.errors.RestrictViolation),
    ):
        conn.execute("UPDATE postings SET first_position = 1, facts = 99 WHERE id = 1")
    assert _positions(recorded) == [None, None, None]


@pytest.mark.parametrize("role", [APP, FOLLOWER, MAINT])
def test_no_working_role_can_switch_the_guards_off(role: str, recorded: World) -> None:
    with connected(recorded.database.conninfo(role)) as conn:
        for statement in (
            b"ALTER TABLE stock_movements DISABLE TRIGGER ALL",
            b"SET session_replication_role = replica",
            b"DROP TABLE events",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement)


def test_the_guards_are_on_every_append_only_table(recorded: World) -> None:
    """Two enabled triggers each: rows may not change, the table may not be emptied."""
    with connected(recorded.database.conninfo(MAINT)) as conn:
        found = conn.execute(
            "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal"
            " AND tgenabled = 'O' AND tgname ~ '(_append_only|_no_truncate)$' ORDER BY 1, 2"
        ).fetchall()
    guards = ("append_only", "no_truncate")
    assert found == [(table, f"{table}_{guard}") for table in sorted(TABLES) for guard in guards]
