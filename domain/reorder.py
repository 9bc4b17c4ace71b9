"""Reorder settings of levels, suppliers of variants, and how much should be ordered."""

from dataclasses import dataclass
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field, ValidationInfo, field_validator, model_validator

from domain.stock import LevelKey
from domain.values import (
    MAX_WHOLE,
    Body,
    Code,
    Flag,
    Name,
    Quantity,
    ShortText,
    WholeNumber,
    example,
)

#: Levels of one request: they are locked together.
SETTINGS_MAX = 500
SUPPLIERS_MAX = 50
#: Sales of this many days, the present one included, make the average.
DEMAND_DAYS = 30
#: A dismissed line is not proposed again within this many hours, unless more is needed.
DISMISSED_HOURS = 24

_LEVEL = {
    "warehouse_id": "01980000-0000-7000-8000-000000000001",
    "variant_id": "01980000-0000-7000-8000-000000000002",
}
_SUPPLIER = "01980000-0000-7000-8000-000000000003"
Days = Annotated[int, Field(strict=True, ge=0, le=3650)]
Pack = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]


class PreferredSupplier(Body):
    """From whom the variant is ordered, and how many days that takes."""

    supplier_id: UUID
    lead_time_days: Days


class LevelSettings(Body):
    """Everything that is set of one level; what is left out is cleared.

    ``supplier`` belongs to the variant, not to the level: left out, it stays as it is.
    """

    warehouse_id: UUID
    variant_id: UUID
    lot: Code | None = None
    reorder_point: WholeNumber | None = None
    reorder_quantity: Quantity | None = None
    max_stock_level: WholeNumber | None = Field(
        default=None, description="Not below the reorder point."
    )
    bin_location: ShortText | None = None
    aisle: ShortText | None = None
    shelf: ShortText | None = None
    supplier: PreferredSupplier | None = None
    version: Quantity | None = Field(
        default=None,
        description="The version of these settings that was read; 1 where nothing was set yet."
        " Left out, whatever is there is replaced. For one level If-Match may say it instead.",
    )

    @field_validator("max_stock_level")
    @classmethod
    def _room_for_the_reorder_point(cls, value: int | None, info: ValidationInfo) -> int | None:
        point = info.data.get("reorder_point")
        if value is not None and point is not None and value < point:
            raise ValueError("the maximum lies below the reorder point")
        return value

    def level(self) -> LevelKey:
        return LevelKey(self.warehouse_id, self.variant_id, self.lot)


class ReorderSettings(Body):
    """Settings of one level (at the top) or of many (in ``settings``): all or none."""

    model_config = example(
        {
            "settings": [
                _LEVEL
                | {
                    "reorder_point": 20,
                    "reorder_quantity": 50,
                    "max_stock_level": 200,
                    "bin_location": "B-07",
                    "aisle": "4",
                    "shelf": "2",
                    "supplier": {"supplier_id": _SUPPLIER, "lead_time_days": 7},
                }
            ]
        },
    )

    settings: Annotated[list[LevelSettings], Field(min_length=1, max_length=SETTINGS_MAX)]

    @model_validator(mode="before")
    @classmethod
    def _one_level_at_the_top(cls, data: Any) -> Any:
        if isinstance(data, dict) and "settings" not in data and "variant_id" in data:
            return {"settings": [data]}
        return data

    @model_validator(mode="after")
    def _each_level_once(self) -> Self:
        if len({one.level() for one in self.settings}) < len(self.settings):
            raise ValueError("each level stands in the list once")
        return self

    @model_validator(mode="after")
    def _one_supplier_a_variant(self) -> Self:
        given = {
            (o.variant_id, o.supplier.supplier_id, o.supplier.lead_time_days)
            for o in self.settings
            if o.supplier is not None
        }
        if len({variant for variant, *_ in given}) < len(given):
            raise ValueError("a variant has one preferred supplier, with one lead time")
        return self


class SupplierOfVariant(Body):
    """One supplier of a variant."""

    supplier_id: UUID
    is_preferred: Flag = False
    lead_time_days: Days = 0
    minimum_quantity: Quantity = Field(default=1, description="The least that is delivered.")
    pack_size: Pack = Field(default=1, description="Orders are multiples of it.")


class SuppliersOfVariant(Body):
    """Who delivers a variant; a PUT replaces all of them."""

    model_config = example(
        {
            "suppliers": [
                {
                    "supplier_id": _SUPPLIER,
                    "is_preferred": True,
                    "lead_time_days": 7,
                    "minimum_quantity": 24,
                    "pack_size": 12,
                }
            ]
        }
    )

    suppliers: Annotated[list[SupplierOfVariant], Field(max_length=SUPPLIERS_MAX)]

    @model_validator(mode="after")
    def _each_once_and_one_preferred(self) -> Self:
        if len({one.supplier_id for one in self.suppliers}) < len(self.suppliers):
            raise ValueError("each supplier stands in the list once")
        if sum(one.is_preferred for one in self.suppliers) > 1:
            raise ValueError("at most one supplier is preferred")
        return self


class DismissProposal(Body):
    """Why a draft is not ordered."""

    model_config = example({"reason": "The season is over."})

    reason: Name


@dataclass(frozen=True, slots=True)
class Need:
    """What a level has, what is on its way, and what was set for it; in base units.

    ``incoming`` are units on open purchase orders.
    """

    available: int
    in_transit: int
    reorder_point: int | None
    reorder_quantity: int | None
    max_stock_level: int | None
    incoming: int = 0

    @property
    def projected(self) -> int:
        """What will be available when all that is on its way has arrived."""
        return self.available + self.in_transit + self.incoming

    @property
    def is_needed(self) -> bool:
        """Whether the reorder point is reached, counting what is on its way."""
        return self.reorder_point is not None and self.projected <= self.reorder_point


@dataclass(frozen=True, slots=True)
class Terms:
    """How a supplier delivers; the default is the variant without a known one."""

    lead_time_days: int = 0
    minimum_quantity: int = 1
    pack_size: int = 1


@dataclass(frozen=True, slots=True)
class Demand:
    """Units sold within the last ``days`` days."""

    units: int = 0
    days: int = DEMAND_DAYS

    def during(self, days: int) -> int:
        """Units to expect in ``days`` days at the average, rounded up."""
        return -(-self.units * days // self.days)


def target(need: Need, terms: Terms, demand: Demand) -> int:
    """Up to where to fill: the maximum, or the reorder point plus what sells until delivery."""
    if need.max_stock_level is not None:
        return need.max_stock_level
    return min((need.reorder_point or 0) + demand.during(terms.lead_time_days), MAX_WHOLE)


def order_quantity(need: Need, terms: Terms, demand: Demand) -> int:
    """How much to order; 0 while nothing is needed.

    The largest of the reorder quantity, target - projected, the supplier's minimum and what lifts
    the level above its reorder point (or it would be needed again at once), in whole packs.
    """
    if need.reorder_point is None or not need.is_needed:
        return 0
    wanted = max(
        need.reorder_quantity or 0,
        target(need, terms, demand) - need.projected,
        need.reorder_point + 1 - need.projected,
        terms.minimum_quantity,
    )
    return -(-wanted // terms.pack_size) * terms.pack_size
