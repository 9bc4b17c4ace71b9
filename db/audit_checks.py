"""The checks of the audit: each is a query that gives the rows which break an invariant.

The columns are the tenant, the subject, what was expected, what was found, and the level that it is
about, where there is one. ``:tenant`` restricts a check to one tenant.
"""

BUCKETS = ("available", "reserved", "damaged", "quarantine", "in_transit")


def _concat(prefix: str, suffix: str = "") -> str:
    """``available=1 reserved=0 …`` as an SQL expression; ``{0}`` in a suffix is the bucket."""
    parts = (f"'{bucket}=' || {prefix}{bucket}{suffix.format(bucket)}" for bucket in BUCKETS)
    return " || ' ' || ".join(parts)


_SUMS = ", ".join(f"coalesce(sum(m.{b}_change), 0)::bigint AS {b}" for b in BUCKETS)
_LEVEL_IS_SUM = f"""
SELECT l.tenant_id, 'level ' || l.id,
       {_concat("s.")} || ' value=' || s.value || ' in_transit_value=' || s.transit_value
           || ' sequence=' || s.n || ' last movement=' || s.n,
       {_concat("l.")} || ' value=' || l.total_value || ' in_transit_value=' || l.in_transit_value
           || ' sequence=' || l.sequence || ' last movement=' || s.last, l.id
  FROM inventory_levels l CROSS JOIN LATERAL (
      SELECT {_SUMS}, coalesce(sum(m.value_change), 0)::numeric(38, 6) AS value,
             coalesce(sum(m.in_transit_value_change), 0)::numeric(38, 6) AS transit_value,
             count(*) AS n, coalesce(max(m.sequence), 0) AS last
        FROM stock_movements m WHERE m.tenant_id = l.tenant_id AND m.level_id = l.id) s
 WHERE (CAST(:tenant AS uuid) IS NULL OR l.tenant_id = CAST(:tenant AS uuid))
   AND ({" OR ".join(f"l.{b} <> s.{b}" for b in BUCKETS)} OR l.total_value <> s.value
        OR l.in_transit_value <> s.transit_value OR l.sequence <> s.n OR s.n <> s.last)
"""

# What a movement must begin with: what the one before it ended with, plus what a person signed.
_LAGS = ", ".join(
    f"lag({b}_after, 1, 0::bigint) OVER w + coalesce(s.{b}, 0) AS {b}_prior" for b in BUCKETS
)
_BROKEN = " OR ".join(
    f"{b}_before <> {b}_prior OR {b}_before + {b}_change <> {b}_after OR {b}_after < 0"
    for b in BUCKETS
)
_CHAIN = f"""
SELECT tenant_id, 'movement ' || id || ' of level ' || level_id || ' number ' || sequence,
       'number ' || sequence_prior + 1 || ' before ' || {_concat("", "_prior")}
           || ' after ' || {_concat("", "_prior + {0}_change")}
           || ' value_after=' || value_prior + value_change,
       'number ' || sequence || ' before ' || {_concat("", "_before")}
           || ' after ' || {_concat("", "_after")} || ' value_after=' || value_after, level_id
  FROM (SELECT m.*, {_LAGS}, lag(value_after, 1, 0::numeric) OVER w + coalesce(s.value, 0)
                   AS value_prior,
               lag(m.sequence, 1, 0::bigint) OVER w AS sequence_prior
          FROM stock_movements m
          LEFT JOIN signed_breaks s ON s.tenant_id = m.tenant_id AND s.level_id = m.level_id
                                   AND s.sequence = m.sequence
         WHERE (CAST(:tenant AS uuid) IS NULL OR m.tenant_id = CAST(:tenant AS uuid))
        WINDOW w AS (PARTITION BY m.tenant_id, m.level_id ORDER BY m.sequence)) chain
 WHERE {_BROKEN} OR value_after <> value_prior + value_change OR sequence <> sequence_prior + 1
"""

_RESERVED = """
SELECT l.tenant_id, 'level ' || l.id, 'open reservations ' || coalesce(h.open, 0),
       'reserved ' || l.reserved, l.id
  FROM inventory_levels l LEFT JOIN (
      SELECT tenant_id, level_id, sum(open)::bigint AS open FROM reservations
       WHERE open > 0 GROUP BY 1, 2) h ON h.tenant_id = l.tenant_id AND h.level_id = l.id
 WHERE (CAST(:tenant AS uuid) IS NULL OR l.tenant_id = CAST(:tenant AS uuid))
   AND l.reserved <> coalesce(h.open, 0)
"""

_VALUE = """
SELECT tenant_id, 'level ' || id, 'value ' || round(average_cost * (available + reserved + damaged
           + quarantine), 6), 'value ' || total_value, id
  FROM inventory_levels
 WHERE (CAST(:tenant AS uuid) IS NULL OR tenant_id = CAST(:tenant AS uuid))
   AND total_value <> round(average_cost * (available + reserved + damaged + quarantine), 6)
"""

_ONCE = """
SELECT tenant_id, 'operation ' || operation_id || ' on level ' || level_id, '1 movement',
       count(*) || ' movements', level_id
  FROM stock_movements WHERE (CAST(:tenant AS uuid) IS NULL OR tenant_id = CAST(:tenant AS uuid))
 GROUP BY tenant_id, operation_id, level_id HAVING count(*) > 1
"""

_POSTINGS = """
SELECT coalesce(p.tenant_id, f.tenant_id), 'posting ' || coalesce(p.id, f.posting_id),
       coalesce(p.facts, 0) || ' facts', coalesce(f.n, 0) || ' facts', NULL
  FROM postings p FULL JOIN (
      SELECT tenant_id, posting_id, count(*) AS n FROM (
          SELECT tenant_id, posting_id FROM stock_movements
          UNION ALL SELECT tenant_id, posting_id FROM events) both_kinds
       GROUP BY 1, 2) f ON f.posting_id = p.id AND f.tenant_id = p.tenant_id
 WHERE (CAST(:tenant AS uuid) IS NULL
        OR coalesce(p.tenant_id, f.tenant_id) = CAST(:tenant AS uuid))
   AND coalesce(p.facts, 0) <> coalesce(f.n, 0)
"""

_POSITIONS = """
SELECT tenant_id, 'posting ' || id, 'first position ' || due, 'first position ' || first_position,
       NULL
  FROM (SELECT tenant_id, id, first_position,
               lag(first_position + facts, 1, 1::bigint) OVER (ORDER BY first_position) AS due
          FROM postings WHERE first_position IS NOT NULL) numbered
 WHERE due <> first_position
   AND (CAST(:tenant AS uuid) IS NULL OR tenant_id = CAST(:tenant AS uuid))
"""

# A process's reserved lines are exactly its open holds, and its shipped lines what it moved out.
# While a step is between its movement and its record the two may differ for a moment; then the
# workflow is running, and the check is for a ledger at rest.
_ORDERS = """
SELECT o.tenant_id, 'order ' || o.number,
       'reserved ' || o.reserved || ' shipped ' || o.shipped,
       'held ' || coalesce(h.open, 0) || ' moved out ' || coalesce(m.shipped, 0), NULL
  FROM (SELECT o.tenant_id, o.number, o.workflow_id, sum(l.reserved) AS reserved,
               sum(l.shipped) AS shipped
          FROM orders o JOIN order_lines l ON l.tenant_id = o.tenant_id AND l.order_id = o.id
         WHERE (CAST(:tenant AS uuid) IS NULL OR o.tenant_id = CAST(:tenant AS uuid))
         GROUP BY 1, 2, 3) o
  LEFT JOIN (SELECT tenant_id, owner, sum(open) AS open FROM reservations GROUP BY 1, 2) h
    ON h.tenant_id = o.tenant_id AND h.owner = o.workflow_id
  LEFT JOIN (SELECT tenant_id, reference_id, -sum(reserved_change) AS shipped FROM stock_movements
              WHERE kind = 'ship' AND reference_kind = 'order' GROUP BY 1, 2) m
    ON m.tenant_id = o.tenant_id AND m.reference_id = o.number
 WHERE o.reserved <> coalesce(h.open, 0) OR o.shipped <> coalesce(m.shipped, 0)
"""

_ORPHANS = """
SELECT r.tenant_id, 'reservation ' || r.id || ' of ' || r.owner, 'an open owner',
       'held ' || r.open || ' for order ' || o.number || ', ' || o.fulfilment, NULL
  FROM reservations r JOIN orders o ON o.tenant_id = r.tenant_id AND o.workflow_id = r.owner
 WHERE r.open > 0 AND o.closed_at IS NOT NULL
   AND (CAST(:tenant AS uuid) IS NULL OR r.tenant_id = CAST(:tenant AS uuid))
"""

_ORDER = """
SELECT m.tenant_id, 'level ' || m.level_id || ' number ' || m.sequence,
       'a position above ' || m.prior, 'position ' || m.position, m.level_id
  FROM (SELECT m.tenant_id, m.level_id, m.sequence, p.first_position + m.ordinal - 1 AS position,
               lag(p.first_position + m.ordinal - 1) OVER (
                   PARTITION BY m.tenant_id, m.level_id ORDER BY m.sequence) AS prior
          FROM stock_movements m JOIN postings p ON p.id = m.posting_id
         WHERE p.first_position IS NOT NULL AND (CAST(:tenant AS uuid) IS NULL
                OR m.tenant_id = CAST(:tenant AS uuid))) m
 WHERE m.position <= m.prior
"""

_PLACES = """
SELECT m.tenant_id, 'movement ' || m.id,
       'variant ' || l.variant_id || ' in warehouse ' || l.warehouse_id,
       'variant ' || m.variant_id || ' in warehouse ' || m.warehouse_id, m.level_id
  FROM stock_movements m JOIN inventory_levels l ON l.tenant_id = m.tenant_id AND l.id = m.level_id
 WHERE (m.variant_id, m.warehouse_id) <> (l.variant_id, l.warehouse_id)
   AND (CAST(:tenant AS uuid) IS NULL
                OR m.tenant_id = CAST(:tenant AS uuid))
"""

# Keys from clients are kept for thirty days, keys of processes longer (db/retention.py), so the
# operation of a younger movement must be there. A day less leaves room for the clean-up's clock.
# The rows of a bulk have operations of their own under its one key: it was written in the same
# transaction. A transaction that wrote several postings' movements restored them from a dump; then
# nobody can tell which rows were written together.
_OPERATIONS = """
WITH known AS MATERIALIZED (
    SELECT tenant_id, id, xmin::text AS written FROM operations
     WHERE CAST(:tenant AS uuid) IS NULL OR tenant_id = CAST(:tenant AS uuid)
), lost AS MATERIALIZED (
    SELECT m.tenant_id, m.id, m.level_id, m.operation_id, m.xmin::text AS written
      FROM stock_movements m
      LEFT JOIN known k ON (k.tenant_id, k.id) = (m.tenant_id, m.operation_id)
     WHERE (CAST(:tenant AS uuid) IS NULL OR m.tenant_id = CAST(:tenant AS uuid))
       AND m.recorded_at > clock_timestamp() - interval '29 days' AND k.id IS NULL
), bulks AS (
    SELECT DISTINCT k.tenant_id, k.written FROM known k
      JOIN (SELECT DISTINCT tenant_id, written FROM lost) l USING (tenant_id, written)
      LEFT JOIN stock_movements its
        ON (its.tenant_id, its.operation_id) = (k.tenant_id, k.id)
     WHERE its.id IS NULL
), restored AS (
    SELECT m.xmin::text AS written FROM stock_movements m
     WHERE EXISTS (SELECT FROM lost)
     GROUP BY 1 HAVING min(m.posting_id) < max(m.posting_id)
)
SELECT l.tenant_id, 'movement ' || l.id || ' of level ' || l.level_id, 'operation '
           || l.operation_id, 'no such operation', l.level_id
  FROM lost l
  LEFT JOIN bulks b USING (tenant_id, written)
  LEFT JOIN restored r USING (written)
 WHERE b.written IS NULL AND r.written IS NULL
"""

# A reserve may have put the end off and then been refused: then the process lives on for a while.
_OVERDUE = """
SELECT r.tenant_id, 'reservations of ' || r.owner, 'freed at ' || max(r.expires_at),
       'still held ' || sum(r.open), NULL
  FROM reservations r
 WHERE r.owner LIKE 'reservation-%'
   AND (CAST(:tenant AS uuid) IS NULL OR r.tenant_id = CAST(:tenant AS uuid))
 GROUP BY r.tenant_id, r.owner
HAVING sum(r.open) > 0 AND max(r.expires_at) < clock_timestamp() - interval '1 hour'
"""

# Everything of one operation: what leaves one level must arrive at others, on hand or on the way.
_TRANSFERS = """
SELECT tenant_id, 'operation ' || operation_id, 'units 0 value 0.000000',
       'units ' || units || ' value ' || value, NULL
  FROM (SELECT tenant_id, operation_id,
               sum(available_change + reserved_change + damaged_change + quarantine_change
                   + in_transit_change) AS units,
               sum(value_change + in_transit_value_change) AS value
          FROM stock_movements
         WHERE (CAST(:tenant AS uuid) IS NULL OR tenant_id = CAST(:tenant AS uuid))
         GROUP BY tenant_id, operation_id HAVING bool_or(kind = 'transfer_out')) moved
 WHERE units <> 0 OR value <> 0
"""

CHECKS: dict[str, str] = {
    "level_is_the_sum_of_its_movements": _LEVEL_IS_SUM,
    "chain_is_unbroken": _CHAIN,
    "reserved_is_the_sum_of_open_reservations": _RESERVED,
    "value_is_average_times_on_hand": _VALUE,
    "one_movement_per_level_and_command": _ONCE,
    "postings_count_their_facts": _POSTINGS,
    "positions_are_dense": _POSITIONS,
    "positions_follow_each_level": _ORDER,
    "movements_are_of_their_level": _PLACES,
    "orders_agree_with_the_ledger": _ORDERS,
    "no_reservation_outlives_its_order": _ORPHANS,
    "no_reservation_outlives_its_time": _OVERDUE,
    "young_movements_have_their_operation": _OPERATIONS,
    "transfers_cancel_out": _TRANSFERS,
}

_RESTORE = (
    "The ledger is append-only, so no new row makes this good. Restore the row from a backup, as a"
    " superuser; until then the finding stays."
)
#: What to do about a finding of a check, where no correction can be proposed.
ADVICE: dict[str, str] = {
    "level_is_the_sum_of_its_movements": _RESTORE,
    "chain_is_unbroken": _RESTORE,
    "reserved_is_the_sum_of_open_reservations": _RESTORE,
    "value_is_average_times_on_hand": _RESTORE,
    "one_movement_per_level_and_command": _RESTORE,
    "postings_count_their_facts": _RESTORE,
    "positions_are_dense": _RESTORE
    + " Readers that follow the ledger may have missed facts: let them read from the start.",
    "positions_follow_each_level": _RESTORE,
    "movements_are_of_their_level": _RESTORE,
    "orders_agree_with_the_ledger": "A step may be on its way: look again in a minute. If it stays,"
    " look at the order's process in the Temporal UI; cancelling the order frees what it holds.",
    "no_reservation_outlives_its_order": "The order's process ended without freeing these units:"
    " `stockwright audit --release OWNER` frees them by a signed release.",
    "no_reservation_outlives_its_time": "The process with this id did not end, or a refused reserve"
    " put its end off: look at it in the Temporal UI. POST /v1/inventory/stock/release with the"
    " owner's name frees the units.",
    "young_movements_have_their_operation": "Somebody wrote the movement without a command, or"
    " removed the key of its command before its time: find out who. The movement itself stands.",
    "transfers_cancel_out": "One of the transfer's movements was changed or removed. " + _RESTORE,
}
