"""The writers of one unit that ours is measured against, both doing its full work.

Full work: row security, key looked up, variant and warehouse known to be active, operation row with
fingerprint and the whole answer, posting, movement with all buckets before, change and after,
level, reservation, cost, one NOTIFY a commit. They plan as the writer does (``SESSION_OPTIONS``).
"""

from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection, IsolationLevel
from uuid_utils.compat import uuid7

from benchmarks.contenders import FINGERPRINT
from benchmarks.lab import Lab
from db.stock_commands import plain_answer
from db.stock_writer import SESSION_OPTIONS
from domain.stock import Accepted, Change, Kind, LevelKey, Line, Refused, Reserve

RETRIES_MAX = 10_000
#: The level's next sequence number was taken meanwhile, or PostgreSQL saw the conflict itself.
_LOST_RACE = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.UniqueViolation,
)

_LEVEL = """
SELECT l.id, l.available, l.reserved, l.damaged, l.quarantine, l.in_transit, l.average_cost,
       l.total_value, l.sequence, v.status = 'active' AND w.is_active
  FROM inventory_levels l
  JOIN variants v ON v.tenant_id = l.tenant_id AND v.id = l.variant_id
  JOIN warehouses w ON w.tenant_id = l.tenant_id AND w.id = l.warehouse_id
 WHERE l.tenant_id = %s AND l.warehouse_id = %s AND l.variant_id = %s AND l.lot IS NULL
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


def connect(lab: Lab, level: IsolationLevel | None = None) -> Connection[Any]:
    """A connection of the app role with the tenant set once, for all baselines."""
    conn = psycopg.connect(
        lab.conninfo(), autocommit=True, options=SESSION_OPTIONS, prepare_threshold=0
    )
    conn.isolation_level = level
    conn.execute("SELECT set_config('app.tenant', %s, false)", (str(lab.tenant),))
    return conn


def naive(conn: Connection[Any], lab: Lab, key: str, level: LevelKey, owner: str) -> None:
    """Read, check, write absolute values, SERIALIZABLE, try again when refused.

    The writer of seed 004: correct, but one command's round trips long on every hot row.
    """
    for _ in range(RETRIES_MAX):
        try:
            with conn.transaction():
                _naive_once(conn, lab, key, level, owner)
        except _LOST_RACE:
            continue
        return
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
    operation = uuid7()
    result: Accepted | Refused = Refused("short", "There is not enough.", {})
    if row is not None and row[1] >= 1 and row[9]:
        _naive_write(conn, lab, level, owner, operation, row[:9])
        result = Accepted([change_of_one(level, row[:9])])
    status, answer = plain_answer(operation, Reserve((Line(level, 1),), owner), result)
    conn.execute(
        "INSERT INTO operations (source, key, id, fingerprint, state, status, answer)"
        " VALUES ('http', %s, %s, %s, 'done', %s, %s)",
        (key, operation, FINGERPRINT, status, answer),
    )


def change_of_one(level: LevelKey, row: tuple[Any, ...]) -> Change:
    """What reserving one unit does to a level; ``row`` is the level before, from its id on."""
    level_id, available, reserved, damaged, quarantine, _, average, value, sequence = row
    on_hand = available + reserved + damaged + quarantine
    return Change(
        level=level,
        level_id=level_id,
        kind=Kind.RESERVE,
        available=-1,
        reserved=1,
        damaged=0,
        quarantine=0,
        in_transit=0,
        value=0 * value,
        unit_cost=average,
        sequence=sequence + 1,
        available_after=available - 1,
        reserved_after=reserved + 1,
        on_hand_after=on_hand,
        value_after=value,
        average_after=average,
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


#: One movement of an answer, as ``db.stock_commands.describe`` has it, of a row ``{0}`` with the
#: values after the movement and ``{1}`` units moved.
MOVEMENT_JSON = """
format('{{"kind":"reserve","warehouse_id":"%%s","variant_id":"%%s","lot":null,"sequence":%%s,'
       '"quantity_before":%%s,"quantity_change":0,"quantity_after":%%s,"available_change":%%s,'
       '"available_after":%%s,"reserved_change":%%s,"reserved_after":%%s,"damaged_change":0,'
       '"quarantine_change":0,"value_change":"0.000000"}}',
       {0}.warehouse_id, {0}.variant_id, {0}.sequence,
       {0}.available + {0}.reserved + {0}.damaged + {0}.quarantine,
       {0}.available + {0}.reserved + {0}.damaged + {0}.quarantine,
       -{1}, {0}.available, {1}, {0}.reserved)
"""
#: The rest of an answer; its two parameters are the operation's id and the movements.
ANSWER_JSON = (
    """'{"object":"stock_operation","operation_id":"%%s","command":"reserve","movements":[%%s]}'"""
)
REFUSAL_JSON = """'{"code":"insufficient_stock","detail":"There is not enough.","details":{}}'"""
_SINGLE = f"""
WITH moved AS (
    UPDATE inventory_levels l
       SET available = available - 1, reserved = reserved + 1, sequence = sequence + 1,
           updated_at = clock_timestamp()
     WHERE l.tenant_id = %(tenant)s AND l.warehouse_id = %(warehouse)s
       AND l.variant_id = %(variant)s AND l.lot IS NULL AND l.available >= 1
       AND EXISTS (SELECT FROM variants v WHERE v.tenant_id = %(tenant)s
                      AND v.id = %(variant)s AND v.status = 'active')
       AND EXISTS (SELECT FROM warehouses w WHERE w.tenant_id = %(tenant)s
                      AND w.id = %(warehouse)s AND w.is_active)
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
           CASE WHEN m.id IS NULL THEN 409 ELSE 200 END,
           convert_to(CASE WHEN m.id IS NULL THEN {REFUSAL_JSON}
                      ELSE format({ANSWER_JSON}, %(operation)s::text,
                                  {MOVEMENT_JSON.format("m", 1)}) END, 'UTF8')
      FROM (SELECT) AS always LEFT JOIN moved m ON true
    ON CONFLICT DO NOTHING
)
SELECT pg_notify('stockwright_facts', '') FROM moved
"""  # noqa: S608  # Constants only.


def single(conn: Connection[Any], lab: Lab, key: str, level: LevelKey, owner: str) -> None:
    """The best single statement: one round trip, one row lock, READ COMMITTED."""
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
            "fingerprint": FINGERPRINT,
            "actor": lab.origin.actor,
            "occurred_at": lab.origin.occurred_at,
            "business_date": lab.origin.business_date,
        },
    )
