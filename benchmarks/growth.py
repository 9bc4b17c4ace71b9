"""Does a command cost more in full tables? The writer on a full database beside an empty one.

The history is of orders that were reserved and shipped: pairs of movements spread evenly over all
levels and over a year, each with its operation, a reservation a pair; the audit agrees with it.
"""

import random
import sys
from datetime import timedelta

from psycopg import Connection

from benchmarks.baselines import ANSWER_JSON, MOVEMENT_JSON
from benchmarks.contenders import WARM_SECONDS, Contender, Results, UnequalWork
from benchmarks.lab import Lab, Rows, settle

#: Movements of one posting, as a full batch of the writer has them.
_FACTS = 500
_YEAR = timedelta(days=365)

_SLOTS = """
CREATE TEMPORARY TABLE slots AS
SELECT row_number() OVER (ORDER BY random()) - 1 AS n, id, tenant_id, warehouse_id, variant_id,
       available, reserved, damaged, quarantine, in_transit, average_cost, total_value, sequence
  FROM inventory_levels WHERE tenant_id = %s
"""
# One pair a level: reserved in the first half of the postings, shipped in the second.
_PAIRS = f"""
WITH made AS MATERIALIZED (
    SELECT s.tenant_id, s.n, half.h, s.id, s.warehouse_id, s.variant_id,
           s.available - %(done)s - 1 AS available, 1 - half.h AS reserved, s.damaged,
           s.quarantine, s.in_transit, s.average_cost,
           s.sequence + %(done)s * 2 + 1 + half.h AS sequence,
           s.total_value - (%(done)s + half.h) * s.average_cost AS total_value,
           %(posting)s + half.h * %(postings)s + s.n / %(facts)s AS posting_id,
           1 + s.n %% %(facts)s AS ordinal, uuidv7() AS operation_id
      FROM (VALUES (0), (1)) AS half (h) CROSS JOIN slots s
     ORDER BY half.h, s.n
), posted AS (
    INSERT INTO postings (id, tenant_id, facts) OVERRIDING SYSTEM VALUE
    SELECT posting_id, tenant_id, count(*) FROM made GROUP BY posting_id, tenant_id
), moved AS (
    INSERT INTO stock_movements (
        tenant_id, posting_id, ordinal, operation_id, level_id, sequence, warehouse_id, variant_id,
        kind, available_before, available_change, available_after, reserved_before,
        reserved_change, reserved_after, damaged_before, damaged_change, damaged_after,
        quarantine_before, quarantine_change, quarantine_after, in_transit_before,
        in_transit_change, in_transit_after, unit_cost, value_change, value_after, created_by,
        occurred_at, business_date)
    SELECT tenant_id, posting_id, ordinal, operation_id, id, sequence, warehouse_id, variant_id,
           CASE h WHEN 0 THEN 'reserve' ELSE 'ship' END, available + 1 - h, h - 1, available,
           h, 1 - 2 * h, reserved, damaged, 0, damaged, quarantine, 0, quarantine, in_transit, 0,
           in_transit, average_cost, -h * average_cost, total_value, 'bench', %(at)s,
           CAST(%(at)s AT TIME ZONE 'UTC' AS date)
      FROM made
), answered AS (
    INSERT INTO operations (tenant_id, source, key, fingerprint, state, status, answer, id)
    SELECT m.tenant_id, 'http',
           CASE n %% 2 WHEN 0 THEN 'order-history-SO-' || %(done)s || '-' || n || '/' || h
                ELSE substr(md5(operation_id::text), 1, 24) END,
           %(fingerprint)s, 'done', 200,
           convert_to(format({ANSWER_JSON}, operation_id, {MOVEMENT_JSON.format("m", 1)}), 'UTF8'),
           operation_id
      FROM made m
)
INSERT INTO reservations (tenant_id, level_id, owner, line, quantity, open, operation_id)
SELECT tenant_id, id, 'order-history-SO-' || %(done)s || '-' || n, 1, 1, 0, operation_id
  FROM made WHERE h = 0
"""  # noqa: S608  # Constants only.
_CATCH_UP = """
UPDATE inventory_levels l
   SET available = s.available - %(pairs)s, sequence = s.sequence + 2 * %(pairs)s,
       total_value = s.total_value - %(pairs)s * s.average_cost
  FROM slots s WHERE l.tenant_id = s.tenant_id AND l.id = s.id
"""
_POSTING_IDS = "pg_get_serial_sequence('postings', 'id')"


def fill(lab: Lab, movements: int) -> int:
    """Give the lab a history of about so many movements; returns how many they are.

    They have ledger positions, as a follower would have given them by then.
    """
    pairs = max(1, round(movements / 2 / len(lab.levels)))
    postings = -(-len(lab.levels) // _FACTS)
    with lab.admin() as admin:
        admin.execute("SET synchronous_commit = off")
        admin.execute(_SLOTS, (lab.tenant,))
        for done in range(pairs):
            posting = admin.execute(f"SELECT nextval({_POSTING_IDS})").fetchone()
            first = posting[0] if posting else 1
            values = {
                "done": done,
                "posting": first,
                "postings": postings,
                "facts": _FACTS,
                "fingerprint": b"f" * 32,
                "at": lab.origin.occurred_at - _YEAR * (pairs - done) / pairs,
            }
            with admin.transaction():
                admin.execute(_PAIRS, values)
                last = first + 2 * postings - 1
                admin.execute(f"SELECT setval({_POSTING_IDS}, %s)", (last,))
            if done % -(-pairs // 10) == 0:
                print(f"  history: {done / pairs:.0%}", file=sys.stderr, flush=True)
        admin.execute(_CATCH_UP, {"pairs": pairs})
        _number(admin)
    settle(lab)
    return 2 * pairs * len(lab.levels)


def _number(admin: Connection) -> None:
    """Give positions to all postings."""
    head = -1
    while True:
        row = admin.execute("SELECT assign_positions()").fetchone()
        if row is None or row[0] == head:
            return
        head = row[0]


def pairs(empty: Contender, full: Contender, rounds: int, seconds: float) -> Results:
    """Interleaved rounds of the same contender on both databases, the first by lot.

    Raises:
        UnequalWork: rows are missing; they are counted once, for the tables are large.
    """
    results: Results = {empty.title: [], full.title: []}
    before = {one.title: one.lab.rows() for one in (empty, full)}
    for one in (empty, full):
        results[one.title].append(one.measure(min(seconds, WARM_SECONDS)))
    for _ in range(rounds):
        for one in random.sample((empty, full), 2):
            results[one.title].append(one.measure(seconds))
    for one in (empty, full):
        wrote = one.lab.rows().since(before[one.title])
        works = [one.work(done) for done in results[one.title]]
        due = Rows(*(sum(column) for column in zip(*works, strict=True)))
        if wrote != due:
            raise UnequalWork(f"{one.title} wrote {wrote} instead of {due}.")
        del results[one.title][0]
    return results
