"""Movements over HTTP: the audit trail of every unit and cent; reads only."""

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import needs
from api.pages import ListOf, SortedQuery, listing, window
from api.routing import make_router
from api.services import TheServices
from db import movements
from db.engine import transaction
from db.tables import StockMovement
from domain.errors import InvalidInput
from domain.permissions import Actor, Permission
from domain.values import Code, Day, Instant, Money, Name, SignedMoney, cost_text

router = make_router("/v1/inventory/movements", "stock")
Reader = Annotated[Actor, needs(Permission.STOCK_READ)]


class MovementView(BaseModel):
    """One change of one level; ``quantity_*`` are of on hand, the others of their bucket."""

    model_config = ConfigDict(from_attributes=True)

    object: Literal["stock_movement"] = "stock_movement"
    id: UUID
    position: int | None = Field(
        description="Its place in the whole ledger, for `as_of`; null until a moment after it."
    )
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

    @classmethod
    def of(cls, row: StockMovement, currency: str, position: int | None) -> Self:
        """The view of a row; its position is not in it."""
        columns: dict[str, Any] = {
            name: getattr(row, name) for name in cls.model_fields if hasattr(row, name)
        }
        for when in ("before", "change", "after"):
            columns[f"quantity_{when}"] = sum(
                columns[f"{bucket}_{when}"]
                for bucket in ("available", "reserved", "damaged", "quarantine")
            )
        columns["unit_cost"] = cost_text(row.unit_cost)
        return cls.model_validate({**columns, "currency": currency, "position": position})


class MovementQuery(SortedQuery):
    """Filters of the list of movements, and its orders.

    Kind, actor and kind of reference narrow another filter: alone, or with nothing but a warehouse,
    they would have the whole history read for a page.
    """

    level_id: UUID | None = None
    warehouse_id: UUID | None = None
    variant_id: UUID | None = None
    operation_id: UUID | None = None
    reference_id: Name | None = None
    reference_kind: Code | None = Field(default=None, description="Narrows another filter.")
    kind: Code | None = Field(default=None, description="Narrows another filter.")
    actor: Name | None = Field(default=None, description="`created_by`; narrows another filter.")
    occurred_from: Instant | None = None
    occurred_to: Instant | None = Field(default=None, description="Not included itself.")
    business_date_from: Day | None = None
    business_date_to: Day | None = Field(default=None, description="Included.")
    sort: (
        Literal["id", "-id", "created_at", "-created_at", "occurred_at", "-occurred_at"] | None
    ) = Field(
        default=None,
        description="`id` and `created_at` are the order of posting, `occurred_at` is when it"
        " happened. By default `id`, and `occurred_at` when a time or date bounds the list, which"
        " can then be sorted by nothing else.",
    )


@router.get("", response_model=ListOf[MovementView])
def list_movements(
    request: Request,
    query: Annotated[MovementQuery, Query()],
    actor: Reader,
    services: TheServices,
) -> Response:
    """List movements: the audit trail of every unit and cent."""
    wanted = movements.MovementFilter(**query.model_dump(exclude={"limit", "cursor", "sort"}))
    order = _order(query, wanted)
    with transaction(services.engine, actor.tenant_id) as session:
        page = movements.movements(session, window(request, query), wanted, order)
        positions = movements.positions(session, page.rows)
        views = [MovementView.of(row, actor.currency, positions.get(row.id)) for row in page.rows]
        return listing(request, page, views)


@router.get("/{movement_id}", response_model=MovementView)
def get_movement(movement_id: UUID, actor: Reader, services: TheServices) -> MovementView:
    """Show one movement."""
    with transaction(services.engine, actor.tenant_id) as session:
        row = movements.movement(session, movement_id)
        positions = movements.positions(session, [row])
        return MovementView.of(row, actor.currency, positions.get(row.id))


def _order(query: MovementQuery, wanted: movements.MovementFilter) -> str:
    """The order that is asked for, or the one that fits the filters."""
    if not wanted.bounded:
        for name in ("kind", "actor", "reference_kind"):
            if getattr(wanted, name) is not None:
                raise InvalidInput.field(
                    f"?{name}",
                    "too_wide",
                    f"{name} needs a level, variant, operation, reference_id or time as well.",
                )
    asked = (query.sort or "").lstrip("-")
    if not wanted.timed:
        return asked or "id"
    if asked not in {"", "occurred_at"}:
        raise InvalidInput.field(
            "?sort", "not_sortable", "A list bounded by time is sorted by occurred_at."
        )
    return "occurred_at"
