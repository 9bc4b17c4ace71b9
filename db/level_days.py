"""Sums of each level by business date, kept by a follower of the ledger.

A fold takes the postings behind its cursor, adds what their movements changed to the rows of their
levels and dates, and moves the cursor and each level's mark, all in one transaction. A movement is
folded when its sequence is above its level's mark, so none counts twice, whatever is repeated; a
back-dated one adds to its own, older date. Readers add the movements above the mark themselves
(``db/as_of.py``): how far the follower came is a matter of speed, never of the answer.
"""

import logging
import threading

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db import events

logger = logging.getLogger(__name__)
NAME = "level_days"
_LOOK_SECONDS = 1.0
_PAGE = 20_000

#: A plan that was made and kept while a table was small would scan it when it has grown.
_NO_SCAN = text("SET LOCAL enable_seqscan = off")
_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended('stockwright.level_days', 0))")
# Positions are dense, so that a range of them bounds the facts of a page (the last posting may
# reach beyond it). OFFSET 0 keeps the look-up of each posting's movements from becoming a scan.
_FOLD = text("""
WITH posted AS MATERIALIZED (
    SELECT id, first_position + facts - 1 AS last_position FROM postings
     WHERE first_position > :after AND first_position <= :until
), moved AS MATERIALIZED (
    SELECT m.* FROM posted p
     CROSS JOIN LATERAL (
         SELECT * FROM stock_movements WHERE posting_id = p.id OFFSET 0) m
      LEFT JOIN level_day_marks k ON k.tenant_id = m.tenant_id AND k.level_id = m.level_id
     WHERE m.sequence > coalesce(k.sequence, 0)
), marked AS (
    INSERT INTO level_day_marks AS k (tenant_id, level_id, sequence)
    SELECT tenant_id, level_id, max(sequence) FROM moved
     GROUP BY tenant_id, level_id ORDER BY tenant_id, level_id
    ON CONFLICT (tenant_id, level_id) DO UPDATE SET sequence = excluded.sequence
), summed AS (
    INSERT INTO level_days AS d (tenant_id, level_id, business_date, movements, available, reserved,
                                 damaged, quarantine, in_transit, value, in_transit_value)
    SELECT tenant_id, level_id, business_date, count(*), sum(available_change),
           sum(reserved_change), sum(damaged_change), sum(quarantine_change),
           sum(in_transit_change), sum(value_change), sum(in_transit_value_change)
      FROM moved GROUP BY tenant_id, level_id, business_date
     ORDER BY tenant_id, level_id, business_date
    ON CONFLICT (tenant_id, level_id, business_date) DO UPDATE
       SET movements = d.movements + excluded.movements,
           available = d.available + excluded.available,
           reserved = d.reserved + excluded.reserved,
           damaged = d.damaged + excluded.damaged,
           quarantine = d.quarantine + excluded.quarantine,
           in_transit = d.in_transit + excluded.in_transit,
           value = d.value + excluded.value,
           in_transit_value = d.in_transit_value + excluded.in_transit_value
)
SELECT max(last_position) FROM posted
""")


def fold(session: Session, at_most: int = _PAGE) -> int | None:
    """Fold the next postings with a position, about ``at_most`` facts, as the follower role.

    Returns the position that it came to, or None when nothing is left or another one folds. Needs
    READ COMMITTED: who waited for nothing must see what the one before has committed.
    """
    session.execute(_NO_SCAN)
    if not session.execute(_LOCK).scalar_one():
        return None
    after = events.cursor(session, NAME)
    page = {"after": after, "until": after + at_most}
    reached = session.execute(_FOLD, page).scalar_one_or_none()
    if reached is None:
        return None
    events.advance(session, NAME, reached)
    return int(reached)


class DailySums:
    """A thread that folds what has a position, until ``close``; any number of them may run.

    It is in no hurry: it looks every second, so that one row a level and second is written, not
    one a batch.
    """

    def __init__(self, engine: Engine, *, look_seconds: float = _LOOK_SECONDS) -> None:
        self._engine = engine
        self._look_seconds = look_seconds
        self._stop = threading.Event()
        self.position = 0
        self._thread = threading.Thread(target=self._run, name="daily-sums", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop after the page that is being folded."""
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.is_set():
            before = self.position
            try:
                with Session(self._engine) as session, session.begin():
                    self.position = fold(session) or before
            except SQLAlchemyError as error:
                logger.warning("The daily sums wait for their database: %s", error)
            if self.position - before < _PAGE:
                self._stop.wait(self._look_seconds)
