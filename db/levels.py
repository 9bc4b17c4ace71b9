"""Levels and reservations as clients read them; nothing here writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, case, literal_column, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from db import paging
from db.tables import InventoryLevel, Reservation, Variant
from domain.errors import NotFound


@dataclass(frozen=True, slots=True)
class LevelFilter:
    """What levels are asked for; None does not restrict.

    The first nine are looked up by indexes. The last three, like the sorts by quantity and value,
    are of columns that change with every movement and so have none: they are read from the levels
    that the others leave (decision 0009).
    """

    warehouse_id: UUID | None = None
    variant_id: UUID | None = None
    product_id: UUID | None = None
    sku: str | None = None
    barcode: str | None = None
    aisle: str | None = None
    shelf: str | None = None
    bin_location: str | None = None
    lot: str | None = None
    low_stock: bool | None = None
    out_of_stock: bool | None = None
    updated_from: datetime | None = None


def _or_empty(column: InstrumentedAttribute[str | None]) -> ColumnElement[str]:
    """Nulls have no place in an order; written as in the index, which coalesce could not use."""
    return case((column.is_(None), literal_column("''")), else_=column)


_AISLE = _or_empty(InventoryLevel.aisle)
_SHELF = _or_empty(InventoryLevel.shelf)
_BIN = _or_empty(InventoryLevel.bin_location)
#: By what levels can be sorted. The last two change while one pages: a level that moves meanwhile
#: may be seen twice or not at all.
ORDERS: Mapping[str, paging.Order] = {
    "id": (InventoryLevel.id,),
    "created_at": (InventoryLevel.id,),
    "place": (
        InventoryLevel.warehouse_id,
        paging.Key(_AISLE, lambda row: row.aisle or ""),
        paging.Key(_SHELF, lambda row: row.shelf or ""),
        paging.Key(_BIN, lambda row: row.bin_location or ""),
        InventoryLevel.id,
    ),
    "available": (InventoryLevel.available, InventoryLevel.id),
    "total_value": (InventoryLevel.total_value, InventoryLevel.id),
}


def levels(
    session: Session, window: paging.Window, wanted: LevelFilter, order: str = "id"
) -> paging.Page[InventoryLevel]:
    """A page of levels; ``order`` is one of ``ORDERS``, and ids are in order of creation."""
    found: Select[InventoryLevel] = select(InventoryLevel)
    for column, value in (
        (InventoryLevel.warehouse_id, wanted.warehouse_id),
        (InventoryLevel.variant_id, wanted.variant_id),
        (_AISLE, wanted.aisle),
        (_SHELF, wanted.shelf),
        (InventoryLevel.bin_location, wanted.bin_location),
        (InventoryLevel.lot, wanted.lot),
        (InventoryLevel.is_low_stock, wanted.low_stock),
        (InventoryLevel.is_out_of_stock, wanted.out_of_stock),
    ):
        if value is not None:
            found = found.where(column == value)
    named = _named_variants(wanted)
    if named is not None:
        found = found.where(InventoryLevel.variant_id.in_(named))
    if wanted.updated_from is not None:
        found = found.where(InventoryLevel.updated_at >= wanted.updated_from)
    return paging.fetch(session, found, ORDERS[order], window)


def _named_variants(wanted: LevelFilter) -> Select[Any] | None:
    given = [
        column == value
        for column, value in (
            (Variant.product_id, wanted.product_id),
            (Variant.sku, wanted.sku),
            (Variant.barcode, wanted.barcode),
        )
        if value is not None
    ]
    return select(Variant.id).where(*given) if given else None


def level(session: Session, level_id: UUID) -> InventoryLevel:
    """One level; raises NotFound."""
    row = session.scalars(select(InventoryLevel).where(InventoryLevel.id == level_id)).one_or_none()
    if row is None:
        raise NotFound("There is no such level.")
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
