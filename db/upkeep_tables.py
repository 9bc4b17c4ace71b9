"""Signed breaks, marks of what is cleared away, revaluations as classes; see ``db/tables.py``."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import FetchedValue, Numeric
from sqlalchemy.orm import Mapped, mapped_column

from db.tables import Average, Base, Count, Price, TenantId, Value


class SignedBreak(Base):
    """By how much a level's chain breaks at a movement, accepted by a person who signed it."""

    __tablename__ = "signed_breaks"
    tenant_id: Mapped[TenantId]
    level_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[Count] = mapped_column(primary_key=True)
    available: Mapped[Count]
    reserved: Mapped[Count]
    damaged: Mapped[Count]
    quarantine: Mapped[Count]
    in_transit: Mapped[Count]
    value: Mapped[Value]
    correction_id: Mapped[UUID]
    signed_by: Mapped[str]
    reason: Mapped[str]
    signed_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())


class RetentionMark(Base):
    """Up to which ended process of a kind the keys are gone."""

    __tablename__ = "retention_marks"
    tenant_id: Mapped[TenantId]
    kind: Mapped[str] = mapped_column(primary_key=True)
    closed_at: Mapped[datetime]
    process_id: Mapped[UUID]


class Revaluation(Base):
    """A late change of a receipt's cost: how far its process has come, and where the money went."""

    __tablename__ = "revaluations"
    tenant_id: Mapped[TenantId]
    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[str]
    workflow_id: Mapped[str]
    movement_id: Mapped[UUID]
    level_id: Mapped[UUID]
    quantity: Mapped[Count]
    unit_cost_before: Mapped[Average]
    unit_cost: Mapped[Price]
    difference: Mapped[Value]
    reason: Mapped[str]
    status: Mapped[str]
    cursor_sequence: Mapped[Count]
    movements: Mapped[Count] = mapped_column(server_default=FetchedValue())
    remaining: Mapped[Decimal] = mapped_column(Numeric)
    gone: Mapped[dict[str, Any]] = mapped_column(server_default=FetchedValue())
    stock_value: Mapped[Value | None]
    operation_id: Mapped[UUID | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())
    updated_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())
    closed_at: Mapped[datetime | None]
    version: Mapped[Count] = mapped_column(server_default=FetchedValue())
