"""Levels and reservations over HTTP: reads only."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.answers import show
from api.as_of import DESCRIPTION, AsOf, LevelThenView, require_known, shown
from api.auth import needs
from api.etag import IfNoneMatch
from api.pages import ListOf, PageQuery, SortedQuery, listing, window
from api.routing import make_router
from api.services import TheServices
from db import levels
from db.engine import transaction
from db.paging import Page
from db.tables import InventoryLevel
from domain.errors import FieldError, InvalidInput
from domain.permissions import Actor, Permission
from domain.values import Code, Instant, Money, Name, cost_text

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


class LevelQuery(SortedQuery):
    """Filters of the list of levels, and its orders."""

    warehouse_id: UUID | None = None
    variant_id: UUID | None = None
    product_id: UUID | None = Field(default=None, description="Of any variant of the product.")
    sku: Code | None = Field(default=None, description="The variant's.")
    barcode: Code | None = Field(default=None, description="The variant's.")
    aisle: Name | None = None
    shelf: Name | None = None
    bin_location: Name | None = None
    lot: Code | None = None
    low_stock: bool | None = Field(
        default=None, description="At or below the reorder point, which nothing available is too."
    )
    out_of_stock: bool | None = Field(default=None, description="Nothing available.")
    updated_from: Instant | None = Field(default=None, description="Changed then or later.")
    as_of: AsOf | None = Field(default=None, description=DESCRIPTION)
    # A place is three texts, each of which may be long.
    cursor: str | None = Field(
        default=None, max_length=4000, description="`next_cursor` of the page before."
    )
    sort: Literal[
        "id",
        "-id",
        "created_at",
        "-created_at",
        "place",
        "-place",
        "available",
        "-available",
        "total_value",
        "-total_value",
    ] = Field(
        default="id",
        description="`id` and `created_at` are the order in which levels came to be, `place` is"
        " warehouse, aisle, shelf, bin. `available` and `total_value` change while one pages: a"
        " level that moves meanwhile may come twice or not at all.",
    )


class ReservationQuery(PageQuery):
    """Filters of the list of reservations."""

    owner: Name | None = None
    level_id: UUID | None = None


@router.get("/levels", response_model=ListOf[LevelView] | ListOf[LevelThenView])
def list_levels(
    request: Request, query: Annotated[LevelQuery, Query()], actor: Reader, services: TheServices
) -> Response:
    """List levels, as they are or as they were (`as_of`)."""
    if query.as_of is not None:
        _refuse_today(query)
        require_known(services.engine, actor, query.as_of)
    wanted = levels.LevelFilter(**query.model_dump(exclude={"limit", "cursor", "sort", "as_of"}))
    with transaction(services.engine, actor.tenant_id) as session:
        page = levels.levels(session, window(request, query), wanted, query.sort.lstrip("-"))
        if query.as_of is not None:
            return listing(request, page, shown(session, actor, page, query.as_of))
        return listing(request, page, [_level(row, actor.currency) for row in page.rows])


@router.get("/levels/{level_id}", response_model=LevelView | LevelThenView)
def get_level(
    level_id: UUID,
    actor: Reader,
    services: TheServices,
    if_none_match: IfNoneMatch = None,
    as_of: Annotated[AsOf | None, Query(description=DESCRIPTION)] = None,
) -> Response:
    """Show one level, as it is or as it was (`as_of`, without an ETag)."""
    if as_of is not None:
        require_known(services.engine, actor, as_of)
    with transaction(services.engine, actor.tenant_id) as session:
        row = levels.level(session, level_id)
        if as_of is not None:
            (view,) = shown(session, actor, Page([row], None), as_of)
            return Response(view.model_dump_json(), media_type="application/json")
        return show(_level(row, actor.currency), if_none_match)


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
    columns["average_cost"] = cost_text(row.average_cost)
    columns["currency"] = currency
    columns["version"] = row.sequence + row.version
    return LevelView.model_validate(columns)


def _refuse_today(query: LevelQuery) -> None:
    """What is only known of levels as they are cannot choose or order levels as they were."""
    today = [
        name
        for name in ("low_stock", "out_of_stock", "updated_from")
        if getattr(query, name) is not None
    ]
    if query.sort.lstrip("-") in {"available", "total_value"}:
        today.append("sort")
    if today:
        raise InvalidInput(
            "Levels as they were are not chosen or sorted by what they are now.",
            errors=[
                FieldError(f"?{name}", "not_as_of", "It is known of today only.") for name in today
            ],
        )
