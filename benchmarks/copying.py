"""The limit of the database: COPY of the rows that a batch of reservations comes to, and no more.

Postings, movements, operations and reservations with all their indexes and triggers, one
transaction a batch. The rows are made and encoded before the time counts, their keys are not looked
up, nothing is decided, row security is bypassed, and the levels are brought up to date after the
time.
"""

import random
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection
from uuid_utils.compat import uuid7

from benchmarks.baselines import change_of_one
from benchmarks.contenders import FINGERPRINT, Contender, new_key, new_owner, reservations
from benchmarks.lab import Lab
from benchmarks.measure import Round, Usage, summed
from db.engine import MAINT
from db.stock_commands import plain_answer
from domain.stock import Accepted, LevelKey, Line, Reserve

#: Commands a second that are made ready; a round in which they run out is that much shorter.
_RATE_MAX = 25_000
_MOVEMENT_COLUMNS = (
    "tenant_id, posting_id, ordinal, operation_id, level_id, sequence, warehouse_id, variant_id,"
    " kind, available_before, available_change, available_after, reserved_before, reserved_change,"
    " reserved_after, damaged_before, damaged_change, damaged_after, quarantine_before,"
    " quarantine_change, quarantine_after, in_transit_before, in_transit_change, in_transit_after,"
    " unit_cost, value_change, value_after, created_by, occurred_at, business_date"
)
_COPIES = [
    f"COPY {table} ({columns}) FROM STDIN"
    for table, columns in {
        "postings": "id, tenant_id, facts",
        "stock_movements": _MOVEMENT_COLUMNS,
        "operations": "tenant_id, source, key, fingerprint, state, status, answer, id",
        "reservations": "tenant_id, id, level_id, owner, line, quantity, open, operation_id",
    }.items()
]
_LEVELS = """
SELECT id, warehouse_id, variant_id, available, reserved, total_value, average_cost, sequence
  FROM inventory_levels WHERE tenant_id = %s
"""
_NEXT_POSTINGS = """
SELECT nextval(pg_get_serial_sequence('postings', 'id')) FROM generate_series(1, %s)
"""
_CATCH_UP = """
UPDATE inventory_levels l
   SET available = l.available + m.available, reserved = l.reserved + m.reserved,
       sequence = l.sequence + m.n
  FROM (SELECT level_id, sum(available_change) AS available, sum(reserved_change) AS reserved,
               count(*) AS n
          FROM stock_movements WHERE posting_id = ANY(%s) GROUP BY level_id) m
 WHERE l.tenant_id = %s AND l.id = m.level_id
"""


@dataclass(slots=True)
class _Level:
    """A level as the rows leave it."""

    id: UUID
    warehouse_id: UUID
    variant_id: UUID
    available: int
    reserved: int
    value: Any
    average: Any
    sequence: int


def copying(lab: Lab, batch: int, postmaster: int) -> Contender:
    """COPY of ``batch`` commands a transaction over all levels, on one connection."""

    def measure(seconds: float) -> Round:
        count = max(1, int(seconds * _RATE_MAX / batch))
        with lab.admin() as admin:
            levels = [_Level(*row) for row in admin.execute(_LEVELS, (lab.tenant,))]
            postings = [row[0] for row in admin.execute(_NEXT_POSTINGS, (count,))]
        blocks = [_block(lab, levels, posting, batch) for posting in postings]
        with psycopg.connect(lab.conninfo(MAINT), autocommit=True) as conn:
            done, used, latencies = _copy(conn, blocks, seconds, postmaster)
        with lab.admin() as admin:
            admin.execute(_CATCH_UP, (postings[:done], lab.tenant))
        return summed([took for took in latencies for _ in range(batch)], used)

    return Contender("COPY in batches", batch, lab, measure, reservations)


def _copy(
    conn: Connection[Any], blocks: list[list[bytes]], seconds: float, postmaster: int
) -> tuple[int, Usage, list[float]]:
    """Transactions done, what they took, and the time of each."""
    latencies = []
    before = Usage.now(postmaster)
    for block in blocks:
        begun = time.perf_counter()
        if begun >= before.clock + seconds:
            break
        with conn.transaction(), conn.cursor() as cursor:
            for statement, rows in zip(_COPIES, block, strict=True):
                with cursor.copy(statement) as copy:
                    copy.write(rows)
            cursor.execute("NOTIFY stockwright_facts")
        latencies.append(time.perf_counter() - begun)
    return len(latencies), Usage.now(postmaster).since(before), latencies


def _block(lab: Lab, levels: list[_Level], posting: int, batch: int) -> list[bytes]:
    """The rows of one transaction in COPY's text form, a block a table."""
    movements, operations, holds = [], [], []
    origin = lab.origin
    end = f"{origin.actor}\t{origin.occurred_at}\t{origin.business_date}"
    for ordinal in range(1, batch + 1):
        level, operation, owner = random.choice(levels), uuid7(), new_owner()
        level.available, level.reserved = level.available - 1, level.reserved + 1
        level.sequence += 1
        movements.append(
            f"{lab.tenant}\t{posting}\t{ordinal}\t{operation}\t{level.id}\t{level.sequence}"
            f"\t{level.warehouse_id}\t{level.variant_id}\treserve\t{level.available + 1}\t-1"
            f"\t{level.available}\t{level.reserved - 1}\t1\t{level.reserved}"
            f"\t0\t0\t0\t0\t0\t0\t0\t0\t0\t{level.average}\t0\t{level.value}\t{end}\n"
        )
        answer = _answer(operation, level, owner).hex()
        operations.append(
            f"{lab.tenant}\thttp\t{new_key('reserve')}\t\\\\x{FINGERPRINT.hex()}\tdone\t200"
            f"\t\\\\x{answer}\t{operation}\n"
        )
        holds.append(f"{lab.tenant}\t{uuid7()}\t{level.id}\t{owner}\t1\t1\t1\t{operation}\n")
    posted = f"{posting}\t{lab.tenant}\t{batch}\n"
    return [posted.encode(), *("".join(rows).encode() for rows in (movements, operations, holds))]


def _answer(operation: UUID, level: _Level, owner: str) -> bytes:
    key = LevelKey(level.warehouse_id, level.variant_id)
    quantities = (level.available + 1, level.reserved - 1, 0, 0, 0)
    before = (level.id, *quantities, level.average, level.value, level.sequence - 1)
    action = Reserve((Line(key, 1),), owner)
    return plain_answer(operation, action, Accepted([change_of_one(key, before)]))[1]
