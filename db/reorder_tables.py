"""Alerts, demand, suppliers of variants and proposals as classes; see ``db/tables.py``."""

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import FetchedValue, Numeric
from sqlalchemy.orm import Mapped, mapped_column

from db.tables import Base, Count, Id, TenantId


class StockAlert(Base):
    """A condition of a level that somebody should know of; ``sequence`` counts its events."""

    __tablename__ = "stock_alerts"
    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    level_id: Mapped[UUID]
    warehouse_id: Mapped[UUID]
    variant_id: Mapped[UUID]
    type: Mapped[str]
    severity: Mapped[str]
    status: Mapped[str]
    current_quantity: Mapped[Count]
    reorder_point: Mapped[Count | None]
    max_stock_level: Mapped[Count | None]
    recommended_order_quantity: Mapped[Count | None]
    occurrences: Mapped[int] = mapped_column(default=1)
    opened_at: Mapped[datetime]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None]
    snoozed_until: Mapped[datetime | None]
    notified_at: Mapped[datetime | None]
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[str | None]
    sequence: Mapped[Count] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())
    updated_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012  # Read by SQLAlchemy.


class AlertCursor(Base):
    """How far the alerts and the demand of a tenant have followed the ledger."""

    __tablename__ = "alert_cursors"
    tenant_id: Mapped[TenantId]
    position: Mapped[Count]
    updated_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())


class LevelDemand(Base):
    """Units of a level that were sold on one day (UTC)."""

    __tablename__ = "level_demand"
    tenant_id: Mapped[TenantId]
    level_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    units: Mapped[Count]


class VariantSupplier(Base):
    """Who delivers a variant, how fast and in which quantities."""

    __tablename__ = "variant_suppliers"
    tenant_id: Mapped[TenantId]
    variant_id: Mapped[UUID] = mapped_column(primary_key=True)
    supplier_id: Mapped[UUID] = mapped_column(primary_key=True)
    is_preferred: Mapped[bool]
    lead_time_days: Mapped[int]
    minimum_quantity: Mapped[Count]
    pack_size: Mapped[Count]


class ReorderProposal(Base):
    """What should be ordered from one supplier (or from nobody known); a draft is kept current."""

    __tablename__ = "reorder_proposals"
    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    supplier_id: Mapped[UUID | None]
    status: Mapped[str] = mapped_column(default="draft")
    line_count: Mapped[int]
    total_quantity: Mapped[Decimal] = mapped_column(Numeric(30, 0))
    calculated_at: Mapped[datetime]
    dismissed_at: Mapped[datetime | None]
    dismissed_by: Mapped[str | None]
    dismissed_reason: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())


class ReorderLine(Base):
    """One level of a proposal with every number of the formula."""

    __tablename__ = "reorder_lines"
    tenant_id: Mapped[TenantId]
    proposal_id: Mapped[UUID] = mapped_column(primary_key=True)
    level_id: Mapped[UUID] = mapped_column(primary_key=True)
    warehouse_id: Mapped[UUID]
    variant_id: Mapped[UUID]
    lot: Mapped[str | None]
    available: Mapped[Count]
    in_transit: Mapped[Count]
    incoming: Mapped[Count]
    projected: Mapped[Count]
    reorder_point: Mapped[Count]
    reorder_quantity: Mapped[Count | None]
    max_stock_level: Mapped[Count | None]
    demand_units: Mapped[Count]
    demand_days: Mapped[int]
    lead_time_days: Mapped[int]
    target: Mapped[Count]
    minimum_quantity: Mapped[Count]
    pack_size: Mapped[Count]
    quantity: Mapped[Count]
