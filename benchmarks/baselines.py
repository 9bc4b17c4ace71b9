"""The writers that ours is measured against, both doing the full work of a reservation.

Full work: row security, operation row with fingerprint and true outcome, posting, movement with all
buckets before, change and after, level, reservation, cost, one NOTIFY a commit.
"""

import json
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection
from uuid_utils.compat import uuid7

from benchmarks.lab import Lab
from domain.stock import LevelKey

RETRIES_MAX = 10_000
#: The level's next sequence number was taken meanwhile, or PostgreSQL saw the conflict itself.
_LOST_RACE = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.UniqueViolation,
)

_LEVEL = """
SELECT id, available, reserved, damaged, quarantine, in_transit, average_cost, total_value, sequence
  FROM inventory_levels
 WHERE tenant_id = %s AND warehouse_id = %s AND variant_id = %s AND lot IS NULL
"""
_MOVEMENT = """
INSERT INTO stock_movements (
    tenant_id, id, posting_id, ordinal, operation_id, level_id, sequence, warehouse_id, variant_id,
    kind, available_before, available_change, available_after, reserved_before, reserved_change,
    reserved_after, damaged_before, damaged_change, damaged_after, quarantine_before,
    quarantine_change, quarantine_after, in_transit_before, in_transit_change, in_transit_after,
    unit_cost, value_change, value_after, created_by, occurred_at, business_date)
VALUES (%s, %s, %s, 1, %s, %s, %s, %s, %s, 'reserve', %s, %s, %s, %s, %s, %s,
        %s, 0, %s, %s, 0, %s, %s, 0, %s, %s, 0, %s, %s, %s, %s)
"""


def connect(lab: Lab) -> Connection[Any]:
    """A connection of the app role with the tenant set once, for both baselines."""
    conn = psycopg.connect(lab.conninfo(), autocommit=True)
    conn.execute("SELECT set_config('app.tenant', %s, false)", (str(lab.tenant),))
    return conn


def naive(conn: Connection[Any], lab: Lab, key: str, level: LevelKey, owner: str) -> int:
    """Read, check, write absolute values, SERIALIZABLE, try again when refused. Returns the tries.

    The writer of seed 004: correct, but one command's round trips long on every hot row.
    """
    for attempt in range(1, RETRIES_MAX):
        try:
            with conn.transaction():
                conn.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
                _naive_once(conn, lab, key, level, owner)
        except _LOST_RACE:
            continue
        return attempt
    raise RuntimeError("The naive writer did not get through.")


def _naive_once(conn: Connection[Any], lab: Lab, key: str, level: LevelKey, owner: str) -> None:
    known = conn.execute(
        "SELECT fingerprint, answer FROM operations"
        " WHERE tenant_id = %s AND source = 'http' AND key = %s",
        (lab.tenant, key),
    ).fetchone()
    if known is not None:
        return
    row = conn.execute(_LEVEL, (lab.tenant, level.warehouse_id, level.variant_id)).fetchone()
    operation, accepted = uuid7(), row is not None and row[1] >= 1
    if row is not None and accepted:
        _naive_write(conn, lab, level, owner, operation, row)
    answer = json.dumps({"accepted": accepted, "operation_id": str(operation)}).encode()
    conn.execute(
        "INSERT INTO operations (source, key, id, fingerprint, state, status, answer)"
        " VALUES ('http', %s, %s, %s, 'done', %s, %s)",
        (key, operation, b"f" * 32, 200 if accepted else 409, answer),
    )


def _naive_write(
    conn: Connection[Any],
    lab: Lab,
    level: LevelKey,
    owner: str,
    operation: UUID,
    row: tuple[Any, ...],
) -> None:
    level_id, available, reserved, damaged, quarantine, transit, average, value, sequence = row
    posting = conn.execute("INSERT INTO postings (facts) VALUES (1) RETURNING id").fetchone()
    place = (lab.tenant, uuid7(), posting[0] if posting else 0, operation, level_id, sequence + 1)
    buckets = (available, -1, available - 1, reserved, 1, reserved + 1)
    rest = (damaged, damaged, quarantine, quarantine, transit, transit, average, value)
    origin = lab.origin
    conn.execute(
        _MOVEMENT,
        (
            *place,
            level.warehouse_id,
            level.variant_id,
            *buckets,
            *rest,
            origin.actor,
            origin.occurred_at,
            origin.business_date,
        ),
    )
    conn.execute(
        "UPDATE inventory_levels SET available = %s, reserved = %s, sequence = %s,"
        " updated_at = clock_timestamp() WHERE tenant_id = %s AND id = %s",
        (available - 1, reserved + 1, sequence + 1, lab.tenant, level_id),
    )
    conn.execute(
        "INSERT INTO reservations (id, level_id, owner, line, quantity, open, operation_id)"
        " VALUES (%s, %s, %s, 1, 1, 1, %s)",
        (uuid7(), level_id, owner, operation),
    )
    conn.execute("NOTIFY stockwright_facts")


_SINGLE = """
WITH moved AS (
    UPDATE inventory_levels l
       SET available = available - 1, reserved = reserved + 1, sequence = sequence + 1,
           updated_at = clock_timestamp()
     WHERE l.tenant_id = %(tenant)s AND l.warehouse_id = %(warehouse)s
       AND l.variant_id = %(variant)s AND l.lot IS NULL AND l.available >= 1
       AND NOT EXISTS (SELECT FROM operations o WHERE o.tenant_id = %(tenant)s
                          AND o.source = 'http' AND o.key = %(key)s)
    RETURNING l.*
), posted AS (
    INSERT INTO postings (tenant_id, facts) SELECT tenant_id, 1 FROM moved RETURNING id
), movement AS (
    INSERT INTO stock_movements (
        tenant_id, id, posting_id, ordinal, operation_id, level_id, sequence, warehouse_id,
        variant_id, kind, available_before, available_change, available_after, reserved_before,
        reserved_change, reserved_after, damaged_before, damaged_change, damaged_after,
        quarantine_before, quarantine_change, quarantine_after, in_transit_before,
        in_transit_change, in_transit_after, unit_cost, value_change, value_after, created_by,
        occurred_at, business_date)
    SELECT m.tenant_id, %(movement)s, posted.id, 1, %(operation)s, m.id, m.sequence,
           m.warehouse_id, m.variant_id, 'reserve', m.available + 1, -1, m.available,
           m.reserved - 1, 1, m.reserved, m.damaged, 0, m.damaged, m.quarantine, 0, m.quarantine,
           m.in_transit, 0, m.in_transit, m.average_cost, 0, m.total_value, %(actor)s,
           %(occurred_at)s, %(business_date)s
      FROM moved m, posted
), hold AS (
    INSERT INTO reservations (tenant_id, id, level_id, owner, line, quantity, open, operation_id)
    SELECT tenant_id, %(hold)s, id, %(owner)s, 1, 1, 1, %(operation)s FROM moved
), answered AS (
    INSERT INTO operations (source, key, id, fingerprint, state, status, answer)
    SELECT 'http', %(key)s, %(operation)s, %(fingerprint)s, 'done',
           CASE WHEN EXISTS (SELECT FROM moved) THEN 200 ELSE 409 END,
           convert_to(json_build_object('accepted', EXISTS (SELECT FROM moved),
                      'operation_id', %(operation)s::text,
                      'after', (SELECT available FROM moved))::text, 'UTF8')
    ON CONFLICT DO NOTHING
)
SELECT pg_notify('stockwright_facts', '') FROM moved
"""


def single(conn: Connection[Any], lab: Lab, key: str, level: LevelKey, owner: str) -> int:
    """The best single statement: one round trip, one row lock, READ COMMITTED. Returns 1."""
    conn.execute(
        _SINGLE,
        {
            "tenant": lab.tenant,
            "warehouse": level.warehouse_id,
            "variant": level.variant_id,
            "key": key,
            "movement": uuid7(),
            "operation": uuid7(),
            "hold": uuid7(),
            "owner": owner,
            "fingerprint": b"f" * 32,
            "actor": lab.origin.actor,
            "occurred_at": lab.origin.occurred_at,
            "business_date": lab.origin.business_date,
        },
    )
    return 1
