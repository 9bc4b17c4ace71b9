"""Levels as they were: at a position of the ledger, or by business date as known now.

By position is what the ledger had written: it never changes again. By date is the sum of all
movements with that business date or an earlier one, back-dated ones included, so it may change
when one comes in, and may be below zero where goods are dated out before they are dated in.

Each answer is one statement, so it is of one moment, and exact at that moment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from db.tables import InventoryLevel
from domain.stock import ZERO


@dataclass(frozen=True, slots=True)
class LevelThen:
    """What a level held: quantities in base units, values in the tenant's currency.

    ``movements`` is how many of its movements that is made of.
    """

    movements: int = 0
    available: int = 0
    reserved: int = 0
    damaged: int = 0
    quarantine: int = 0
    in_transit: int = 0
    total_value: Decimal = ZERO
    in_transit_value: Decimal = ZERO

    @property
    def on_hand(self) -> int:
        """Units in the warehouse."""
        return self.available + self.reserved + self.damaged + self.quarantine


#: A plan that was made and kept while a table was small would scan it when it has grown.
_NO_SCAN = text("SET LOCAL enable_seqscan = off")
# Positions rise with the sequence of a level (decision 0003), so the last movement at or below a
# position is found by halving: some twenty look-ups a level however long its history is. ``low``
# is at or below the position, ``high`` above; a posting that has no position yet is above. OFFSET 0
# keeps the planner from turning the look-ups round into a scan.
_AT_POSITION = text("""
WITH RECURSIVE halved AS (
    SELECT id AS level_id, CAST(0 AS bigint) AS low, sequence + 1 AS high
      FROM inventory_levels WHERE id = ANY(CAST(:ids AS uuid[]))
    UNION ALL
    SELECT h.level_id, CASE WHEN at.reached THEN at.sequence ELSE h.low END,
           CASE WHEN at.reached THEN h.high ELSE at.sequence END
      FROM halved h CROSS JOIN LATERAL (
          SELECT m.sequence, coalesce(p.first_position + m.ordinal - 1 <= :position, false)
                     AS reached
            FROM stock_movements m CROSS JOIN LATERAL (
                SELECT first_position FROM postings WHERE id = m.posting_id OFFSET 0) p
           WHERE m.level_id = h.level_id AND m.sequence = (h.low + h.high) / 2 OFFSET 0) at
     WHERE h.high - h.low > 1
)
SELECT h.level_id, m.sequence, m.available_after, m.reserved_after, m.damaged_after,
       m.quarantine_after, m.in_transit_after, m.value_after,
       (SELECT coalesce(sum(t.in_transit_value_change), 0) FROM stock_movements t
         WHERE t.level_id = h.level_id AND t.sequence <= h.low AND t.in_transit_value_change <> 0)
  FROM halved h CROSS JOIN LATERAL (
      SELECT * FROM stock_movements WHERE level_id = h.level_id AND sequence = h.low OFFSET 0) m
 WHERE h.high - h.low = 1
""")

# The days that are summed up already, and the movements above the level's mark. CASE instead of
# coalesce, which under row security is never a condition of an index.
_ON_DATE = text("""
SELECT k.level_id, (coalesce(d.movements, 0) + t.movements)::bigint,
       (coalesce(d.available, 0) + coalesce(t.available, 0))::bigint,
       (coalesce(d.reserved, 0) + coalesce(t.reserved, 0))::bigint,
       (coalesce(d.damaged, 0) + coalesce(t.damaged, 0))::bigint,
       (coalesce(d.quarantine, 0) + coalesce(t.quarantine, 0))::bigint,
       (coalesce(d.in_transit, 0) + coalesce(t.in_transit, 0))::bigint,
       coalesce(d.value, 0) + coalesce(t.value, 0),
       coalesce(d.in_transit_value, 0) + coalesce(t.in_transit_value, 0)
  FROM unnest(CAST(:ids AS uuid[])) AS k (level_id)
  LEFT JOIN level_day_marks r ON r.level_id = k.level_id
 CROSS JOIN LATERAL (
     SELECT sum(movements) AS movements, sum(available) AS available, sum(reserved) AS reserved,
            sum(damaged) AS damaged, sum(quarantine) AS quarantine, sum(in_transit) AS in_transit,
            sum(value) AS value, sum(in_transit_value) AS in_transit_value
       FROM level_days WHERE level_id = k.level_id AND business_date <= :day) d
 CROSS JOIN LATERAL (
     SELECT count(*) AS movements, sum(available_change) AS available,
            sum(reserved_change) AS reserved, sum(damaged_change) AS damaged,
            sum(quarantine_change) AS quarantine, sum(in_transit_change) AS in_transit,
            sum(value_change) AS value, sum(in_transit_value_change) AS in_transit_value
       FROM stock_movements
      WHERE level_id = k.level_id AND business_date <= :day
        AND sequence > CASE WHEN r.sequence IS NULL THEN 0 ELSE r.sequence END) t
""")


def at_position(
    session: Session, levels: Sequence[InventoryLevel], position: int
) -> Mapping[UUID, LevelThen]:
    """What each level held after the fact with this position; one without movements held nothing.

    The position must have been given already (``events.assign_positions``).
    """
    return _held(session, levels, _AT_POSITION.bindparams(position=position))


def on_date(
    session: Session, levels: Sequence[InventoryLevel], day: date
) -> Mapping[UUID, LevelThen]:
    """What each level held at the end of a business date, as known now."""
    return _held(session, levels, _ON_DATE.bindparams(day=day))


def _held(
    session: Session, levels: Sequence[InventoryLevel], question: TextClause
) -> Mapping[UUID, LevelThen]:
    ids = [level.id for level in levels]
    session.execute(_NO_SCAN)
    found = {row[0]: LevelThen(*row[1:]) for row in session.execute(question, {"ids": ids})}
    return {id_: found.get(id_, LevelThen()) for id_ in ids}
