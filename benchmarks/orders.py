"""Orders of one to ten lines over a Zipf-distributed catalogue, all lines or none.

Beside the writer: one transaction an order, which locks its levels in their order, checks all lines
and writes the same rows as sets. It is one prepared statement and one round trip.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate, cycle, islice
from typing import Any, NamedTuple

from psycopg import Connection
from uuid_utils.compat import uuid7

from benchmarks.baselines import ANSWER_JSON, MOVEMENT_JSON, REFUSAL_JSON, connect
from benchmarks.contenders import (
    FINGERPRINT,
    Contender,
    closed_loop,
    new_key,
    new_owner,
    reservations,
)
from benchmarks.lab import Lab
from benchmarks.measure import Round, run
from db.stock_commands import StockCommand, plain_answer
from db.stock_writer import StockWriter
from domain.stock import LevelKey, Line, Reserve

VARIANTS = 2_000
LINES_MAX = 10
#: The n-th most wanted variant is wanted 1 / n ** ZIPF as often as the first.
ZIPF = 1.0
_SEED, _DRAWN = 20_261_121, 20_000


class OrderLine(NamedTuple):
    """Units of one variant."""

    level: LevelKey
    quantity: int


Order = tuple[OrderLine, ...]


def draw_orders(levels: Sequence[LevelKey], count: int = _DRAWN) -> list[Order]:
    """The same orders in every run: different variants in each, one to three units of them."""
    draw = random.Random(_SEED)
    weights = list(accumulate(1 / n**ZIPF for n in range(1, len(levels) + 1)))
    orders = []
    for _ in range(count):
        wanted: dict[LevelKey, int] = {}
        size = draw.randint(1, min(LINES_MAX, len(levels)))
        while len(wanted) < size:
            wanted[draw.choices(levels, cum_weights=weights)[0]] = draw.randint(1, 3)
        orders.append(tuple(OrderLine(*one) for one in wanted.items()))
    return orders


# MATERIALIZED, so that all rows are locked, in the order of their ids, before anything is written.
# A locking read gives the newest version of a row, so the sums below are of what is locked.
_ROW_LOCKS = f"""
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest(%(variants)s::uuid[], %(quantities)s::bigint[], %(holds)s::uuid[])
        WITH ORDINALITY AS a (variant_id, quantity, hold_id, line)
), locked AS MATERIALIZED (
    SELECT l.*, v.status = 'active' AND w.is_active AS is_active
      FROM inventory_levels l
      JOIN variants v ON v.tenant_id = l.tenant_id AND v.id = l.variant_id
      JOIN warehouses w ON w.tenant_id = l.tenant_id AND w.id = l.warehouse_id
     WHERE l.tenant_id = %(tenant)s AND l.warehouse_id = %(warehouse)s
       AND l.variant_id = ANY(%(variants)s::uuid[]) AND l.lot IS NULL
     ORDER BY l.id FOR NO KEY UPDATE OF l
), checked AS MATERIALIZED (
    SELECT count(l.id) = count(*) AND bool_and(l.available >= a.quantity AND l.is_active)
           AND NOT EXISTS (SELECT FROM operations o WHERE o.tenant_id = %(tenant)s
                              AND o.source = 'http' AND o.key = %(key)s) AS is_accepted
      FROM asked a LEFT JOIN locked l USING (variant_id)
), line AS MATERIALIZED (
    SELECT l.tenant_id, l.id, l.warehouse_id, l.variant_id, l.available - a.quantity AS available,
           l.reserved + a.quantity AS reserved, l.damaged, l.quarantine, l.in_transit,
           l.average_cost, l.total_value, l.sequence + 1 AS sequence, a.quantity, a.hold_id, a.line
      FROM asked a JOIN locked l USING (variant_id)
     WHERE (SELECT is_accepted FROM checked)
), posted AS (
    INSERT INTO postings (tenant_id, facts)
    SELECT %(tenant)s, count(*) FROM line HAVING count(*) > 0 RETURNING id
), moved AS (
    INSERT INTO stock_movements (
        tenant_id, posting_id, ordinal, operation_id, level_id, sequence, warehouse_id, variant_id,
        kind, available_before, available_change, available_after, reserved_before,
        reserved_change, reserved_after, damaged_before, damaged_change, damaged_after,
        quarantine_before, quarantine_change, quarantine_after, in_transit_before,
        in_transit_change, in_transit_after, unit_cost, value_change, value_after, created_by,
        occurred_at, business_date)
    SELECT m.tenant_id, posted.id, m.line, %(operation)s, m.id, m.sequence, m.warehouse_id,
           m.variant_id, 'reserve', m.available + m.quantity, -m.quantity, m.available,
           m.reserved - m.quantity, m.quantity, m.reserved, m.damaged, 0, m.damaged, m.quarantine,
           0, m.quarantine, m.in_transit, 0, m.in_transit, m.average_cost, 0, m.total_value,
           %(actor)s, %(occurred_at)s, %(business_date)s
      FROM posted, line m
), leveled AS (
    UPDATE inventory_levels l
       SET available = m.available, reserved = m.reserved, sequence = m.sequence,
           updated_at = clock_timestamp()
      FROM line m WHERE l.tenant_id = %(tenant)s AND l.id = m.id
), held AS (
    INSERT INTO reservations (tenant_id, id, level_id, owner, line, quantity, open, operation_id)
    SELECT m.tenant_id, m.hold_id, m.id, %(owner)s, m.line, m.quantity, m.quantity, %(operation)s
      FROM line m
), answered AS (
    INSERT INTO operations (source, key, id, fingerprint, state, status, answer)
    SELECT 'http', %(key)s, %(operation)s, %(fingerprint)s, 'done',
           CASE WHEN is_accepted THEN 200 ELSE 409 END,
           convert_to(CASE WHEN is_accepted THEN format({ANSWER_JSON}, %(operation)s::text, (
               SELECT string_agg({MOVEMENT_JSON.format("m", "m.quantity")}, ',' ORDER BY m.line)
                 FROM line m)) ELSE {REFUSAL_JSON} END, 'UTF8')
      FROM checked
    ON CONFLICT DO NOTHING
)
SELECT (SELECT is_accepted FROM checked), pg_notify('stockwright_facts', '') FROM posted
"""  # noqa: S608  # Constants only.


def reserve_with_row_locks(
    conn: Connection[Any], lab: Lab, key: str, order: Order, owner: str
) -> bool:
    """Reserve all lines of an order, or none; whether there was enough of all."""
    row = conn.execute(
        _ROW_LOCKS,
        {
            "tenant": lab.tenant,
            "warehouse": order[0].level.warehouse_id,
            "variants": [line.level.variant_id for line in order],
            "quantities": [line.quantity for line in order],
            "holds": [uuid7() for _ in order],
            "key": key,
            "operation": uuid7(),
            "owner": owner,
            "fingerprint": FINGERPRINT,
            "actor": lab.origin.actor,
            "occurred_at": lab.origin.occurred_at,
            "business_date": lab.origin.business_date,
        },
    ).fetchone()
    return row is not None and bool(row[0])


def row_locks(lab: Lab, callers: int, orders: Sequence[Order], postmaster: int) -> Contender:
    """The row-locking transaction at a number of callers, each on its own connection."""

    def measure(seconds: float) -> Round:
        connections = [connect(lab) for _ in range(callers)]
        lines = [0] * callers

        def make(caller: int) -> Callable[[int], object]:
            conn = connections[caller]
            mine = islice(cycle(orders), len(orders) * caller // callers, None)

            def call(_: int) -> None:
                order = next(mine)
                if not reserve_with_row_locks(conn, lab, new_key("reserve"), order, new_owner()):
                    raise RuntimeError("An order was refused.")
                lines[caller] += len(order)

            return call

        try:
            done = run(make, callers, seconds, postmaster)
        finally:
            for conn in connections:
                conn.close()
        return replace(done, lines=sum(lines))

    return Contender("row locks", callers, lab, measure, reservations)


def batch_writer(
    lab: Lab, post: StockWriter, callers: int, orders: Sequence[Order], postmaster: int
) -> Contender:
    """The same orders as commands of the batch writer."""
    endless = cycle(orders)

    def make() -> tuple[StockCommand, int]:
        order = next(endless)
        lines = tuple(Line(line.level, line.quantity, n) for n, line in enumerate(order, start=1))
        action, key = Reserve(lines, new_owner()), new_key("reserve")
        command = StockCommand(key, "http", FINGERPRINT, action, lab.origin, plain_answer)
        return command, len(order)

    def measure(seconds: float) -> Round:
        return closed_loop(post, lab, callers, make, seconds, postmaster)

    return Contender("batch writer", callers, lab, measure, reservations)
