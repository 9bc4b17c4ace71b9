"""Levels, movements and reservations as clients read them; nothing here writes."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from db import paging
from db.tables import InventoryLevel, Reservation, StockMovement
from domain.errors import NotFound


@dataclass(frozen=True, slots=True)
class MovementFilter:
    """What movements are asked for; None does not restrict."""

    level_id: UUID | None = None
    warehouse_id: UUID | None = None
    variant_id: UUID | None = None
    operation_id: UUID | None = None
    kind: str | None = None
    reference_kind: str | None = None
    reference_id: str | None = None
    occurred_from: datetime | None = None
    occurred_to: datetime | None = None


def levels(
    session: Session,
    window: paging.Window,
    *,
    warehouse_id: UUID | None = None,
    variant_id: UUID | None = None,
    out_of_stock: bool | None = None,
) -> paging.Page[InventoryLevel]:
    """A page of levels in the order in which they came to be."""
    found: Select[InventoryLevel] = select(InventoryLevel)
    if warehouse_id is not None:
        found = found.where(InventoryLevel.warehouse_id == warehouse_id)
    if variant_id is not None:
        found = found.where(InventoryLevel.variant_id == variant_id)
    if out_of_stock is not None:
        found = found.where(InventoryLevel.is_out_of_stock.is_(out_of_stock))
    return paging.fetch(session, found, (InventoryLevel.id,), window)


def level(session: Session, level_id: UUID) -> InventoryLevel:
    """One level; raises NotFound."""
    row = session.scalars(select(InventoryLevel).where(InventoryLevel.id == level_id)).one_or_none()
    if row is None:
        raise NotFound("There is no such level.")
    return row


def movements(
    session: Session, window: paging.Window, wanted: MovementFilter
) -> paging.Page[StockMovement]:
    """A page of movements in the order in which they were posted."""
    found: Select[StockMovement] = select(StockMovement)
    for column, value in (
        (StockMovement.level_id, wanted.level_id),
        (StockMovement.warehouse_id, wanted.warehouse_id),
        (StockMovement.variant_id, wanted.variant_id),
        (StockMovement.operation_id, wanted.operation_id),
        (StockMovement.kind, wanted.kind),
        (StockMovement.reference_kind, wanted.reference_kind),
        (StockMovement.reference_id, wanted.reference_id),
    ):
        if value is not None:
            found = found.where(column == value)
    if wanted.occurred_from is not None:
        found = found.where(StockMovement.occurred_at >= wanted.occurred_from)
    if wanted.occurred_to is not None:
        found = found.where(StockMovement.occurred_at < wanted.occurred_to)
    return paging.fetch(session, found, (StockMovement.id,), window)


def movement(session: Session, movement_id: UUID) -> StockMovement:
    """One movement; raises NotFound."""
    row = session.scalars(
        select(StockMovement).where(StockMovement.id == movement_id)
    ).one_or_none()
    if row is None:
        raise NotFound("There is no such movement.")
    return row


def reservations(
    session: Session, window: paging.Window, *, owner: str | None, level_id: UUID | None
) -> paging.Page[Reservation]:
    """A page of reservations that still hold units."""
    found: Select[Reservation] = select(Reservation).where(Reservation.open > 0)
    if owner is not None:
        found = found.where(Reservation.owner == owner)
    if level_id is not None:
        found = found.where(Reservation.level_id == level_id)
    return paging.fetch(session, found, (Reservation.id,), window)
