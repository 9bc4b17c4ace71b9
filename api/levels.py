"""Levels, movements and reservations over HTTP: reads only."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict

from api.answers import show
from api.auth import needs
from api.etag import IfNoneMatch
from api.pages import ListOf, PageQuery, listing, window
from api.routing import make_router
from api.services import TheServices
from db import levels
from db.engine import transaction
from db.tables import InventoryLevel
from domain.permissions import Actor, Permission
from domain.values import Code, Instant, Money, Name, SignedMoney, decimal_text

router = make_router("/v1/inventory", "stock")
Reader = Annotated[Actor, needs(Permission.STOCK_READ)]


class LevelView(BaseModel):
    """What lies of one variant (and lot) in one warehouse; money in the tenant's currency."""

    model_config = ConfigDict(from_attributes=True)

    object: Literal["inventory_level"] = "inventory_level"
    id: UUID
    version: int
    warehouse_id: UUID
    variant_id: UUID
    lot: str | None
    on_hand: int
    available: int
    reserved: int
    damaged: int
    quarantine: int
    in_transit: int
    average_cost: str
    total_value: Money
    in_transit_value: Money
    currency: str
    sequence: int
    reorder_point: int | None
    reorder_quantity: int | None
    max_stock_level: int | None
    bin_location: str | None
    aisle: str | None
    shelf: str | None
    is_low_stock: bool
    is_out_of_stock: bool
    created_at: datetime
    updated_at: datetime


class MovementView(BaseModel):
    """One change of one level; ``quantity_*`` are of on hand, the others of their bucket."""

    model_config = ConfigDict(from_attributes=True)

    object: Literal["stock_movement"] = "stock_movement"
    id: UUID
    operation_id: UUID
    level_id: UUID
    sequence: int
    warehouse_id: UUID
    variant_id: UUID
    kind: str
    quantity_before: int
    quantity_change: int
    quantity_after: int
    available_before: int
    available_change: int
    available_after: int
    reserved_before: int
    reserved_change: int
    reserved_after: int
    damaged_before: int
    damaged_change: int
    damaged_after: int
    quarantine_before: int
    quarantine_change: int
    quarantine_after: int
    in_transit_before: int
    in_transit_change: int
    in_transit_after: int
    unit_cost: str
    value_change: SignedMoney
    value_after: Money
    currency: str
    reference_kind: str | None
    reference_id: str | None
    reason: str | None
    notes: str | None
    created_by: str
    occurred_at: datetime
    business_date: date
    recorded_at: datetime


class ReservationView(BaseModel):
    """Units of a level that are held; ``open`` is what is still held."""

    model_config = ConfigDict(from_attributes=True)

    object: Literal["reservation"] = "reservation"
    id: UUID
    level_id: UUID
    owner: str
    line: int
    quantity: int
    open: int
    operation_id: UUID
    expires_at: datetime | None
    created_at: datetime


class LevelQuery(PageQuery):
    """Filters of the list of levels."""

    warehouse_id: UUID | None = None
    variant_id: UUID | None = None
    out_of_stock: bool | None = None


class MovementQuery(PageQuery):
    """Filters of the list of movements."""

    level_id: UUID | None = None
    warehouse_id: UUID | None = None
    variant_id: UUID | None = None
    operation_id: UUID | None = None
    kind: Code | None = None
    reference_kind: Code | None = None
    reference_id: Name | None = None
    occurred_from: Instant | None = None
    occurred_to: Instant | None = None


class ReservationQuery(PageQuery):
    """Filters of the list of reservations."""

    owner: Name | None = None
    level_id: UUID | None = None


@router.get("/levels", response_model=ListOf[LevelView])
def list_levels(
    request: Request, query: Annotated[LevelQuery, Query()], actor: Reader, services: TheServices
) -> Response:
    """List levels."""
    with transaction(services.engine, actor.tenant_id) as session:
        page = levels.levels(
            session,
            window(request, query),
            warehouse_id=query.warehouse_id,
            variant_id=query.variant_id,
            out_of_stock=query.out_of_stock,
        )
        return listing(request, page, [_level(row, actor.currency) for row in page.rows])


@router.get("/levels/{level_id}", response_model=LevelView)
def get_level(
    level_id: UUID, actor: Reader, services: TheServices, if_none_match: IfNoneMatch = None
) -> Response:
    """Show one level."""
    with transaction(services.engine, actor.tenant_id) as session:
        return show(_level(levels.level(session, level_id), actor.currency), if_none_match)


@router.get("/movements", response_model=ListOf[MovementView])
def list_movements(
    request: Request,
    query: Annotated[MovementQuery, Query()],
    actor: Reader,
    services: TheServices,
) -> Response:
    """List movements: the audit trail of every unit and cent."""
    wanted = levels.MovementFilter(
        **query.model_dump(exclude={"limit", "cursor", "sort"}),
    )
    with transaction(services.engine, actor.tenant_id) as session:
        page = levels.movements(session, window(request, query), wanted)
        return listing(request, page, [_movement(row, actor.currency) for row in page.rows])


@router.get("/movements/{movement_id}", response_model=MovementView)
def get_movement(movement_id: UUID, actor: Reader, services: TheServices) -> MovementView:
    """Show one movement."""
    with transaction(services.engine, actor.tenant_id) as session:
        return _movement(levels.movement(session, movement_id), actor.currency)


@router.get("/reservations", response_model=ListOf[ReservationView])
def list_reservations(
    request: Request,
    query: Annotated[ReservationQuery, Query()],
    actor: Reader,
    services: TheServices,
) -> Response:
    """List what is held, for whom and until when."""
    with transaction(services.engine, actor.tenant_id) as session:
        page = levels.reservations(
            session, window(request, query), owner=query.owner, level_id=query.level_id
        )
        return listing(request, page, [ReservationView.model_validate(r) for r in page.rows])


def _level(row: InventoryLevel, currency: str) -> LevelView:
    columns = {n: getattr(row, n) for n in LevelView.model_fields if hasattr(row, n)}
    columns["on_hand"] = row.available + row.reserved + row.damaged + row.quarantine
    columns["average_cost"] = _cost(row.average_cost)
    columns["currency"] = currency
    columns["version"] = row.sequence + row.version
    return LevelView.model_validate(columns)


def _movement(row: object, currency: str) -> MovementView:
    columns = {name: getattr(row, name) for name in MovementView.model_fields if hasattr(row, name)}
    for when in ("before", "change", "after"):
        columns[f"quantity_{when}"] = sum(
            columns[f"{bucket}_{when}"]
            for bucket in ("available", "reserved", "damaged", "quarantine")
        )
    columns["unit_cost"] = _cost(columns["unit_cost"])
    columns["currency"] = currency
    return MovementView.model_validate(columns)


def _cost(cost: Decimal) -> str:
    """A cost per unit at six decimals, as people read it; the ledger keeps 24."""
    return decimal_text(round(cost, 6))
