"""The summary over HTTP: counts, units, value and health of the stock at one moment."""

from typing import Annotated, Literal, Self
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from api.auth import needs
from api.routing import make_router
from api.services import TheServices
from db import summary
from db.engine import transaction
from domain.permissions import Actor, Permission
from domain.summary import health_score
from domain.values import Money

router = make_router("/v1/inventory/summary", "stock")
Reader = Annotated[Actor, needs(Permission.STOCK_READ)]


class StockTotals(BaseModel):
    """Units are whole base units; values are in the tenant's currency."""

    total_products: int = Field(description="Products of which a level exists.")
    total_levels: int = Field(description="Variants (and lots) times the warehouses they were in.")
    total_stock_value: Money = Field(description="`on_hand_value` and `in_transit_value` together.")
    on_hand_value: Money
    in_transit_value: Money
    low_stock_count: int = Field(
        description="Levels at or below their reorder point with something available: the list"
        " `levels?low_stock=true&out_of_stock=false`."
    )
    out_of_stock_count: int = Field(
        description="Levels with nothing available: the list `levels?out_of_stock=true`."
    )
    total_on_hand_units: int
    total_available_units: int
    total_reserved_units: int
    total_damaged_units: int
    total_quarantine_units: int
    total_in_transit_units: int
    health_score: int = Field(
        ge=0,
        le=100,
        description="100 * (total_levels - low_stock_count - out_of_stock_count) / total_levels,"
        " rounded down; 100 without levels.",
    )

    @classmethod
    def of(cls, totals: summary.Totals, **more: object) -> Self:
        """The view of totals, and ``more`` that a subclass shows."""
        on_hand = totals.available + totals.reserved + totals.damaged + totals.quarantine
        known = {
            "total_products": totals.products,
            "total_levels": totals.levels,
            "total_stock_value": totals.on_hand_value + totals.in_transit_value,
            "on_hand_value": totals.on_hand_value,
            "in_transit_value": totals.in_transit_value,
            "low_stock_count": totals.low_stock,
            "out_of_stock_count": totals.out_of_stock,
            "total_on_hand_units": on_hand,
            "total_available_units": totals.available,
            "total_reserved_units": totals.reserved,
            "total_damaged_units": totals.damaged,
            "total_quarantine_units": totals.quarantine,
            "total_in_transit_units": totals.in_transit,
            "health_score": health_score(totals.levels, totals.low_stock, totals.out_of_stock),
        }
        return cls.model_validate({**known, **more})


class WarehouseSummary(StockTotals):
    """The part of one warehouse."""

    warehouse_id: UUID
    code: str
    name: str
    is_active: bool


class SummaryView(StockTotals):
    """The stock of a tenant, or of one warehouse, at one moment."""

    object: Literal["inventory_summary"] = "inventory_summary"
    currency: str
    warehouses: list[WarehouseSummary] = Field(description="What it is made of, by code.")


@router.get("", response_model=SummaryView)
def get_summary(
    actor: Reader,
    services: TheServices,
    warehouse_id: Annotated[
        UUID | None, Query(description="Only this warehouse; by default all of them.")
    ] = None,
) -> SummaryView:
    """Show counts, units, value and health of the stock, all of one moment.

    The values are the sums of the levels and of the ledger, to the last decimal. The health score
    is the share of levels that are neither low nor out of stock:
    100 * (total_levels - low_stock_count - out_of_stock_count) / total_levels, rounded down.
    """
    with transaction(services.engine, actor.tenant_id) as session:
        found = summary.summary(session, warehouse_id)
    parts = [
        WarehouseSummary.of(
            part.totals,
            warehouse_id=part.id,
            code=part.code,
            name=part.name,
            is_active=part.is_active,
        )
        for part in found.warehouses
    ]
    return SummaryView.of(found.totals, currency=actor.currency, warehouses=parts)
