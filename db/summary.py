"""Stock at a glance: counts, units and value of a tenant and of each warehouse, in one statement.

One statement sees one moment: however many movements commit meanwhile, the numbers agree. It reads
every level of the tenant (some 3 microseconds each) and no movement, so its cost grows with the
catalogue and not with the history.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from domain.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Totals:
    """Levels counted, units in base units, values in the tenant's currency."""

    products: int
    levels: int
    low_stock: int
    out_of_stock: int
    available: int
    reserved: int
    damaged: int
    quarantine: int
    in_transit: int
    on_hand_value: Decimal
    in_transit_value: Decimal


@dataclass(frozen=True, slots=True)
class WarehouseTotals:
    """The part of one warehouse."""

    id: UUID
    code: str
    name: str
    is_active: bool
    totals: Totals


@dataclass(frozen=True, slots=True)
class Summary:
    """All of it, and the warehouses that it is made of, by code."""

    totals: Totals
    warehouses: Sequence[WarehouseTotals]


_SUMMARY = text("""
SELECT w.id, w.code, w.name, w.is_active,
       count(DISTINCT v.product_id), count(l.id),
       count(*) FILTER (WHERE l.is_low_stock AND NOT l.is_out_of_stock),
       count(*) FILTER (WHERE l.is_out_of_stock),
       coalesce(sum(l.available), 0)::bigint, coalesce(sum(l.reserved), 0)::bigint,
       coalesce(sum(l.damaged), 0)::bigint, coalesce(sum(l.quarantine), 0)::bigint,
       coalesce(sum(l.in_transit), 0)::bigint,
       coalesce(sum(l.total_value), 0), coalesce(sum(l.in_transit_value), 0)
  FROM warehouses w
  LEFT JOIN inventory_levels l ON l.tenant_id = w.tenant_id AND l.warehouse_id = w.id
  LEFT JOIN variants v ON v.tenant_id = l.tenant_id AND v.id = l.variant_id
 WHERE CAST(:warehouse AS uuid) IS NULL OR w.id = CAST(:warehouse AS uuid)
 GROUP BY GROUPING SETS ((), (w.id, w.code, w.name, w.is_active))
 ORDER BY w.code NULLS FIRST
""")


def summary(session: Session, warehouse_id: UUID | None = None) -> Summary:
    """The totals of the tenant, or of one warehouse.

    Raises:
        InvalidInput: the tenant has no such warehouse.
    """
    found = session.execute(_SUMMARY, {"warehouse": warehouse_id}).all()
    parts = [WarehouseTotals(row[0], row[1], row[2], row[3], Totals(*row[4:])) for row in found[1:]]
    if warehouse_id is not None and not parts:
        raise InvalidInput.field("?warehouse_id", "not_found", "There is no such warehouse.")
    return Summary(Totals(*found[0][4:]), parts)
