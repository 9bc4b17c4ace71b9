"""The audit trail as clients read it: movements by filters, in pages; nothing here writes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from db import paging
from db.tables import Posting, StockMovement
from domain.errors import NotFound

#: Times lie between the years 1901 and 8999 (``domain/values.py``).
_FIRST_DAY, _LAST_DAY = date(1900, 1, 1), date(9000, 12, 31)


@dataclass(frozen=True, slots=True)
class MovementFilter:
    """What movements are asked for; None does not restrict.

    ``occurred_from`` is included, ``occurred_to`` is not; both ends of the business dates are.
    """

    level_id: UUID | None = None
    warehouse_id: UUID | None = None
    variant_id: UUID | None = None
    operation_id: UUID | None = None
    reference_id: str | None = None
    reference_kind: str | None = None
    kind: str | None = None
    actor: str | None = None
    occurred_from: datetime | None = None
    occurred_to: datetime | None = None
    business_date_from: date | None = None
    business_date_to: date | None = None

    @property
    def timed(self) -> bool:
        """Whether a time or date bounds the list; then it is in order of time."""
        bounds = (self.occurred_from, self.occurred_to)
        return any(b is not None for b in (*bounds, self.business_date_from, self.business_date_to))

    @property
    def bounded(self) -> bool:
        """Whether more than a warehouse, kind or actor is asked for.

        Those alone may leave a few of millions of movements, and reading them all to find the few
        is no page.
        """
        found = (self.level_id, self.variant_id, self.operation_id, self.reference_id)
        return self.timed or any(value is not None for value in found)


def movements(
    session: Session, window: paging.Window, wanted: MovementFilter, order: str = "id"
) -> paging.Page[StockMovement]:
    """A page of movements: as they were posted (``id``) or by when it happened (``occurred_at``).

    Ids are in order of posting; within a level that is the order of its sequence, which has the
    index.
    """
    found: Select[StockMovement] = select(StockMovement)
    for column, value in (
        (StockMovement.level_id, wanted.level_id),
        (StockMovement.warehouse_id, wanted.warehouse_id),
        (StockMovement.variant_id, wanted.variant_id),
        (StockMovement.operation_id, wanted.operation_id),
        (StockMovement.kind, wanted.kind),
        (StockMovement.reference_kind, wanted.reference_kind),
        (StockMovement.reference_id, wanted.reference_id),
        (StockMovement.created_by, wanted.actor),
    ):
        if value is not None:
            found = found.where(column == value)
    found = found.where(*_times(wanted))
    keys: paging.Order = (StockMovement.id,)
    if order == "occurred_at":
        keys = (StockMovement.occurred_at, StockMovement.id)
    elif wanted.level_id is not None:
        keys = (StockMovement.sequence,)
    return paging.fetch(session, found, keys, window)


def _times(wanted: MovementFilter) -> Iterable[ColumnElement[bool]]:
    """A business date is the calendar day of ``occurred_at`` in the tenant's zone.

    So it is at most a day off the day in UTC, which a constraint of the table promises, and the
    index on ``occurred_at`` finds dates too.
    """
    at, day = StockMovement.occurred_at, StockMovement.business_date
    if wanted.occurred_from is not None:
        yield at >= wanted.occurred_from
    if wanted.occurred_to is not None:
        yield at < wanted.occurred_to
    if wanted.business_date_from is not None:
        yield day >= wanted.business_date_from
        yield at >= _midnight(wanted.business_date_from, -1)
    if wanted.business_date_to is not None:
        yield day <= wanted.business_date_to
        yield at < _midnight(wanted.business_date_to, 2)


def _midnight(day: date, days_later: int) -> datetime:
    """Some days after a date, which is taken for the nearest that any time of ours can have."""
    possible = min(max(day, _FIRST_DAY), _LAST_DAY)
    return datetime.combine(possible + timedelta(days=days_later), time(), UTC)


def movement(session: Session, movement_id: UUID) -> StockMovement:
    """One movement; raises NotFound."""
    row = session.scalars(
        select(StockMovement).where(StockMovement.id == movement_id)
    ).one_or_none()
    if row is None:
        raise NotFound("There is no such movement.")
    return row


def positions(session: Session, rows: Iterable[StockMovement]) -> Mapping[UUID, int]:
    """The places in the whole ledger of those movements that have theirs already."""
    placed = {row.id: (row.posting_id, row.ordinal) for row in rows}
    postings = {posting_id for posting_id, _ in placed.values()}
    found = session.execute(
        select(Posting.id, Posting.first_position).where(
            Posting.id.in_(postings), Posting.first_position.is_not(None)
        )
    )
    firsts = {row.id: row.first_position for row in found}
    return {
        id_: firsts[posting] + ordinal - 1
        for id_, (posting, ordinal) in placed.items()
        if posting in firsts
    }
