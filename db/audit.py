"""The oracle: rebuilds every level from its movements and compares all that must agree.

Tests, the demo, the bench and ``stockwright audit`` use this one. Each check is a query that gives
the rows which break an invariant, with what was expected and what was found; no row means that it
holds. Run as maint, which sees every tenant, inside one repeatable-read transaction.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

_BUCKETS = ("available", "reserved", "damaged", "quarantine", "in_transit")
#: Findings reported per check; a broken ledger may break everywhere.
FINDINGS_MAX = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken invariant with its evidence."""

    check: str
    tenant_id: str
    subject: str
    expected: str
    found: str

    def as_dict(self) -> dict[str, str]:
        return {
            "check": self.check,
            "tenant_id": self.tenant_id,
            "subject": self.subject,
            "expected": self.expected,
            "found": self.found,
        }


def _concat(prefix: str, suffix: str = "") -> str:
    """``available=1 reserved=0 …`` as an SQL expression; ``{0}`` in a suffix is the bucket."""
    parts = (f"'{bucket}=' || {prefix}{bucket}{suffix.format(bucket)}" for bucket in _BUCKETS)
    return " || ' ' || ".join(parts)


_SUMS = ", ".join(f"coalesce(sum(m.{b}_change), 0)::bigint AS {b}" for b in _BUCKETS)
_LEVEL_IS_SUM = f"""
SELECT l.tenant_id, 'level ' || l.id,
       {_concat("s.")} || ' value=' || s.value || ' in_transit_value=' || s.transit_value
           || ' sequence=' || s.n || ' last movement=' || s.n,
       {_concat("l.")} || ' value=' || l.total_value || ' in_transit_value=' || l.in_transit_value
           || ' sequence=' || l.sequence || ' last movement=' || s.last
  FROM inventory_levels l CROSS JOIN LATERAL (
      SELECT {_SUMS}, coalesce(sum(m.value_change), 0)::numeric(38, 6) AS value,
             coalesce(sum(m.in_transit_value_change), 0)::numeric(38, 6) AS transit_value,
             count(*) AS n, coalesce(max(m.sequence), 0) AS last
        FROM stock_movements m WHERE m.tenant_id = l.tenant_id AND m.level_id = l.id) s
 WHERE (CAST(:tenant AS uuid) IS NULL OR l.tenant_id = CAST(:tenant AS uuid))
   AND ({" OR ".join(f"l.{b} <> s.{b}" for b in _BUCKETS)} OR l.total_value <> s.value
        OR l.in_transit_value <> s.transit_value OR l.sequence <> s.n OR s.n <> s.last)
"""

_LAGS = ", ".join(f"lag({b}_after, 1, 0::bigint) OVER w AS {b}_prior" for b in _BUCKETS)
_BROKEN = " OR ".join(
    f"{b}_before <> {b}_prior OR {b}_before + {b}_change <> {b}_after OR {b}_after < 0"
    for b in _BUCKETS
)
_CHAIN = f"""
SELECT tenant_id, 'movement ' || id || ' of level ' || level_id || ' number ' || sequence,
       'number ' || sequence_prior + 1 || ' before ' || {_concat("", "_prior")}
           || ' after ' || {_concat("", "_prior + {0}_change")}
           || ' value_after=' || value_prior + value_change,
       'number ' || sequence || ' before ' || {_concat("", "_before")}
           || ' after ' || {_concat("", "_after")} || ' value_after=' || value_after
  FROM (SELECT m.*, {_LAGS}, lag(value_after, 1, 0::numeric) OVER w AS value_prior,
               lag(sequence, 1, 0::bigint) OVER w AS sequence_prior
          FROM stock_movements m
         WHERE (CAST(:tenant AS uuid) IS NULL OR m.tenant_id = CAST(:tenant AS uuid))
        WINDOW w AS (PARTITION BY tenant_id, level_id ORDER BY sequence)) chain
 WHERE {_BROKEN} OR value_after <> value_prior + value_change OR sequence <> sequence_prior + 1
"""

_RESERVED = """
SELECT l.tenant_id, 'level ' || l.id, 'open reservations ' || coalesce(h.open, 0),
       'reserved ' || l.reserved
  FROM inventory_levels l LEFT JOIN (
      SELECT tenant_id, level_id, sum(open)::bigint AS open FROM reservations
       WHERE open > 0 GROUP BY 1, 2) h ON h.tenant_id = l.tenant_id AND h.level_id = l.id
 WHERE (CAST(:tenant AS uuid) IS NULL OR l.tenant_id = CAST(:tenant AS uuid))
   AND l.reserved <> coalesce(h.open, 0)
"""

_VALUE = """
SELECT tenant_id, 'level ' || id, 'value ' || round(average_cost * (available + reserved + damaged
           + quarantine), 6), 'value ' || total_value
  FROM inventory_levels
 WHERE (CAST(:tenant AS uuid) IS NULL OR tenant_id = CAST(:tenant AS uuid))
   AND total_value <> round(average_cost * (available + reserved + damaged + quarantine), 6)
"""

_ONCE = """
SELECT tenant_id, 'operation ' || operation_id || ' on level ' || level_id, '1 movement',
       count(*) || ' movements'
  FROM stock_movements WHERE (CAST(:tenant AS uuid) IS NULL OR tenant_id = CAST(:tenant AS uuid))
 GROUP BY tenant_id, operation_id, level_id HAVING count(*) > 1
"""

_POSTINGS = """
SELECT coalesce(p.tenant_id, f.tenant_id), 'posting ' || coalesce(p.id, f.posting_id),
       coalesce(p.facts, 0) || ' facts', coalesce(f.n, 0) || ' facts'
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
SELECT tenant_id, 'posting ' || id, 'first position ' || due, 'first position ' || first_position
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
       'held ' || coalesce(h.open, 0) || ' moved out ' || coalesce(m.shipped, 0)
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
       'held ' || r.open || ' for order ' || o.number || ', ' || o.fulfilment
  FROM reservations r JOIN orders o ON o.tenant_id = r.tenant_id AND o.workflow_id = r.owner
 WHERE r.open > 0 AND o.closed_at IS NOT NULL
   AND (CAST(:tenant AS uuid) IS NULL OR r.tenant_id = CAST(:tenant AS uuid))
"""

_ORDER = """
SELECT m.tenant_id, 'level ' || m.level_id || ' number ' || m.sequence,
       'a position above ' || m.prior, 'position ' || m.position
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
       'variant ' || m.variant_id || ' in warehouse ' || m.warehouse_id
  FROM stock_movements m JOIN inventory_levels l ON l.tenant_id = m.tenant_id AND l.id = m.level_id
 WHERE (m.variant_id, m.warehouse_id) <> (l.variant_id, l.warehouse_id)
   AND (CAST(:tenant AS uuid) IS NULL
                OR m.tenant_id = CAST(:tenant AS uuid))
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
}


def audit(engine: Engine, tenant_id: UUID | None = None) -> list[Finding]:
    """Run every check for one tenant, or for all; an empty list means the books balance."""
    findings: list[Finding] = []
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        parameters: dict[str, Any] = {"tenant": str(tenant_id) if tenant_id else None}
        for name, query in CHECKS.items():
            rows = connection.execute(text(f"{query} LIMIT {FINDINGS_MAX}"), parameters)
            findings += [
                Finding(name, str(row[0]), row[1], str(row[2]), str(row[3])) for row in rows
            ]
    return findings


_SUMMARY = text("""
SELECT kind, sum(available_change + reserved_change + damaged_change + quarantine_change)::bigint,
       sum(value_change)
  FROM stock_movements WHERE tenant_id = :tenant GROUP BY kind ORDER BY kind
""")
_HELD = text("""
SELECT coalesce(sum(available), 0)::bigint, coalesce(sum(reserved), 0)::bigint,
       coalesce(sum(damaged), 0)::bigint, coalesce(sum(quarantine), 0)::bigint,
       coalesce(sum(in_transit), 0)::bigint,
       coalesce(sum(total_value + in_transit_value), 0)
  FROM inventory_levels WHERE tenant_id = :tenant
""")


def balance(session: Session, tenant_id: UUID) -> dict[str, Any]:
    """Units and value by kind of movement beside what the levels hold; ``balanced`` compares both.

    The sum that must hold: what came in = what is on hand + what left, in units and in value.
    """
    moved = session.execute(_SUMMARY, {"tenant": tenant_id}).all()
    held = session.execute(_HELD, {"tenant": tenant_id}).one()
    units = sum(row[1] for row in moved)
    value = sum((row[2] for row in moved), start=0 * held[5])
    on_hand = held[0] + held[1] + held[2] + held[3]
    return {
        "units_by_kind": {row[0]: row[1] for row in moved if row[1]},
        "value_by_kind": {row[0]: str(row[2]) for row in moved if row[2]},
        "on_hand": on_hand,
        "available": held[0],
        "reserved": held[1],
        "damaged": held[2],
        "quarantine": held[3],
        "in_transit": held[4],
        "value_on_hand": str(held[5]),
        "balanced": units == on_hand and value == held[5],
    }
