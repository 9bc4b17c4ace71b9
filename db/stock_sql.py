"""The SQL of the stock ledger, one constant a statement."""

import re

SET_TENANT = "SELECT set_config('app.tenant', %s, true)"
#: For a connection that serves one tenant after the other: holds until it is set anew.
KEEP_TENANT = "SELECT set_config('app.tenant', %s, false)"

FIND_LEVELS = """
SELECT l.id, l.warehouse_id, l.variant_id, l.lot
  FROM unnest(%s::uuid[], %s::uuid[], %s::text[]) AS k (warehouse_id, variant_id, lot)
  JOIN inventory_levels l ON l.warehouse_id = k.warehouse_id AND l.variant_id = k.variant_id
                         AND l.lot IS NOT DISTINCT FROM k.lot
 WHERE l.tenant_id = %s
"""

CREATE_LEVELS = """
INSERT INTO inventory_levels (warehouse_id, variant_id, lot)
SELECT w.id, v.id, k.lot
  FROM unnest(%s::uuid[], %s::uuid[], %s::text[]) AS k (warehouse_id, variant_id, lot)
  JOIN warehouses w ON w.id = k.warehouse_id
  JOIN variants v ON v.id = k.variant_id
 ORDER BY w.id, v.id, k.lot
ON CONFLICT DO NOTHING
"""

KNOWN_ITEMS = """
SELECT w.id, v.id
  FROM unnest(%s::uuid[], %s::uuid[]) AS k (warehouse_id, variant_id)
  JOIN warehouses w ON w.id = k.warehouse_id
  JOIN variants v ON v.id = k.variant_id
"""

_LEVEL = """
SELECT l.id, l.warehouse_id, l.variant_id, l.lot, l.available, l.reserved, l.damaged, l.quarantine,
       l.in_transit, l.average_cost, l.total_value, l.sequence, v.status = 'active', w.is_active
  FROM inventory_levels l
  JOIN variants v ON v.tenant_id = l.tenant_id AND v.id = l.variant_id
  JOIN warehouses w ON w.tenant_id = l.tenant_id AND w.id = l.warehouse_id
 WHERE l.tenant_id = %s
"""
# Both are put together from constants above; nothing of a request is in them.
LOCK = _LEVEL + " AND l.id = ANY(%s::uuid[]) ORDER BY l.id FOR NO KEY UPDATE OF l"

LOCK_WITH_OWNERS = (
    _LEVEL  # noqa: S608  # Constants only.
    + """
   AND l.id IN (SELECT unnest(%s::uuid[])
                UNION SELECT r.level_id FROM reservations r
                       WHERE r.tenant_id = %s AND r.owner = ANY(%s::text[]) AND r.open > 0)
 ORDER BY l.id FOR NO KEY UPDATE OF l
"""
)

# One call locks the levels and compares them; see the migration that made it.
LOCK_AS_FORESEEN = """
SELECT lock_as_foreseen($1::uuid, $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[],
                        $6::bigint[], $7::bigint[], $8::bigint[], $9::numeric[], $10::numeric[],
                        $11::boolean[], $12::boolean[])
"""

HOLDS = """
SELECT id, level_id, owner, line, quantity, open, expires_at, operation_id FROM reservations
 WHERE tenant_id = %s AND owner = ANY(%s::text[]) AND open > 0 ORDER BY id
"""

# The movements of operations that are to be reversed; they never change, so no lock is needed.
ORIGINALS = """
SELECT m.operation_id, m.level_id, l.warehouse_id, l.variant_id, l.lot, m.kind, m.available_change,
       m.reserved_change, m.damaged_change, m.quarantine_change, m.in_transit_change,
       m.value_change
  FROM stock_movements m JOIN inventory_levels l ON l.tenant_id = m.tenant_id AND l.id = m.level_id
 WHERE m.tenant_id = %s AND m.operation_id = ANY(%s::uuid[])
 ORDER BY m.posting_id, m.ordinal
"""

REVERSALS = """
SELECT original_id, operation_id FROM reversals
 WHERE tenant_id = %s AND original_id = ANY(%s::uuid[])
"""

WRITE_REVERSALS = """
INSERT INTO reversals (tenant_id, original_id, operation_id)
SELECT %s, * FROM unnest(%s::uuid[], %s::uuid[])
"""

# OFFSET 0 keeps the planner from turning the look-ups round into a scan of all keys.
OPERATIONS = """
SELECT o.source, o.key, o.fingerprint, o.state, o.status, o.answer, o.id
  FROM unnest(%s::text[], %s::text[]) AS k (source, key)
 CROSS JOIN LATERAL (
     SELECT * FROM operations
      WHERE tenant_id = %s AND source = k.source AND key = k.key OFFSET 0) o
"""

# One statement writes the whole batch: posting, movements, levels, operations, holds, wake-up.
# Python hands over the change of each line and the final average of each level; sequence, before
# and after are running sums from the locked rows, so they cannot disagree with the levels.
_WRITE = """
WITH posting AS (
    INSERT INTO postings (tenant_id, facts)
    SELECT %(tenant)s, %(facts)s WHERE %(facts)s > 0 RETURNING id
), given AS MATERIALIZED (
    SELECT * FROM unnest(
        %(level_ids)s::uuid[], %(movement_operations)s::uuid[], %(kinds)s::text[],
        %(available)s::bigint[], %(reserved)s::bigint[], %(damaged)s::bigint[],
        %(quarantine)s::bigint[], %(in_transit)s::bigint[], %(values)s::numeric[],
        %(unit_costs)s::numeric[], %(averages)s::numeric[], %(reference_kinds)s::text[],
        %(reference_ids)s::text[], %(reasons)s::text[], %(notes)s::text[], %(actors)s::text[],
        %(occurred_at)s::timestamptz[], %(business_dates)s::date[]) WITH ORDINALITY
        AS g (level_id, operation_id, kind, available, reserved, damaged, quarantine,
              in_transit, value, unit_cost, average, reference_kind, reference_id, reason, notes,
              created_by, occurred_at, business_date, ordinal)
), summed AS (
    SELECT level_id, count(*) AS n, total(available) AS available,
           total(reserved) AS reserved, total(damaged) AS damaged,
           total(quarantine) AS quarantine, total(in_transit) AS in_transit,
           sum(value) AS value, max(average) AS average
      FROM given GROUP BY level_id
), moved AS (
    INSERT INTO stock_movements (
        tenant_id, posting_id, ordinal, operation_id, level_id, sequence, warehouse_id, variant_id,
        kind,
        available_before, available_change, available_after,
        reserved_before, reserved_change, reserved_after,
        damaged_before, damaged_change, damaged_after,
        quarantine_before, quarantine_change, quarantine_after,
        in_transit_before, in_transit_change, in_transit_after,
        unit_cost, value_change, value_after, reference_kind, reference_id, reason, notes,
        created_by, occurred_at, business_date)
    SELECT l.tenant_id, posting.id, g.ordinal, g.operation_id, g.level_id,
           l.sequence + row_number() OVER running, l.warehouse_id, l.variant_id, g.kind,
           l.available + total(g.available) OVER running - g.available, g.available,
           l.available + total(g.available) OVER running,
           l.reserved + total(g.reserved) OVER running - g.reserved, g.reserved,
           l.reserved + total(g.reserved) OVER running,
           l.damaged + total(g.damaged) OVER running - g.damaged, g.damaged,
           l.damaged + total(g.damaged) OVER running,
           l.quarantine + total(g.quarantine) OVER running - g.quarantine, g.quarantine,
           l.quarantine + total(g.quarantine) OVER running,
           l.in_transit + total(g.in_transit) OVER running - g.in_transit, g.in_transit,
           l.in_transit + total(g.in_transit) OVER running,
           g.unit_cost, g.value, l.total_value + sum(g.value) OVER running,
           g.reference_kind, g.reference_id, g.reason, g.notes,
           g.created_by, g.occurred_at, g.business_date
      FROM posting, given g CROSS JOIN LATERAL (
           SELECT * FROM inventory_levels
            WHERE tenant_id = %(tenant)s AND id = g.level_id OFFSET 0) l
    WINDOW running AS (PARTITION BY g.level_id ORDER BY g.ordinal ROWS UNBOUNDED PRECEDING)
     ORDER BY g.ordinal
), leveled AS (
    UPDATE inventory_levels l
       SET available = l.available + s.available, reserved = l.reserved + s.reserved,
           damaged = l.damaged + s.damaged, quarantine = l.quarantine + s.quarantine,
           in_transit = l.in_transit + s.in_transit, total_value = l.total_value + s.value,
           average_cost = s.average, sequence = l.sequence + s.n, updated_at = clock_timestamp()
      FROM summed s CROSS JOIN LATERAL (
           SELECT ctid FROM inventory_levels
            WHERE tenant_id = %(tenant)s AND id = s.level_id OFFSET 0) found
     WHERE l.tenant_id = %(tenant)s AND l.ctid = found.ctid
), answered AS (
    INSERT INTO operations (tenant_id, source, key, fingerprint, state, status, answer, id)
    SELECT %(tenant)s, o.*
      FROM unnest(%(sources)s::text[], %(keys)s::text[], %(fingerprints)s::bytea[],
                  %(states)s::text[], %(statuses)s::int[], %(answers)s::bytea[],
                  %(operations)s::uuid[]) AS o
), held AS (
    INSERT INTO reservations (tenant_id, id, level_id, owner, line, quantity, open, operation_id,
                              expires_at)
    SELECT %(tenant)s, h.*
      FROM unnest(%(hold_ids)s::uuid[], %(hold_levels)s::uuid[], %(owners)s::text[],
                  %(lines)s::int[], %(quantities)s::bigint[], %(open)s::bigint[],
                  %(hold_operations)s::uuid[], %(expiries)s::timestamptz[]) AS h
), used AS (
    UPDATE reservations r SET open = h.open
      FROM unnest(%(used_ids)s::uuid[], %(used_open)s::bigint[]) AS h (id, open)
     WHERE r.tenant_id = %(tenant)s AND r.id = h.id
)
SELECT pg_notify('stockwright_facts', '') FROM posting
"""

#: The names of WRITE's parameters, in the order of their numbers.
WRITE_PARAMETERS = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", _WRITE)))
#: With numbers instead of names, as PostgreSQL itself takes it: the driver need not read it through
#: for every batch.
WRITE = re.sub(r"%\((\w+)\)s", lambda m: f"${WRITE_PARAMETERS.index(m[1]) + 1}", _WRITE)
