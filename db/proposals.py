"""Reorder proposals in SQL: one draft a supplier, brought to today's need by every run.

A run is idempotent by nature: it writes what the levels need now over what the drafts said before.
Runs and dismissals of a tenant take turns by an advisory lock, and a partial unique index would
refuse a second draft of a supplier even without it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, insert, literal_column, select, text
from sqlalchemy.orm import Session

from db import events, paging
from db.reorder import need_of
from db.reorder_tables import LevelDemand, ReorderLine, ReorderProposal, VariantSupplier
from db.tables import InventoryLevel, Supplier, Variant, Warehouse
from domain.errors import Conflict, NotFound
from domain.permissions import Actor
from domain.reorder import (
    DEMAND_DAYS,
    DISMISSED_HOURS,
    Demand,
    Terms,
    order_quantity,
    target,
)

DRAFT, DISMISSED = "draft", "dismissed"
# Written out, not parameters: only so are they seen to be the conditions of the partial indexes.
_IS_DRAFT = ReorderProposal.status == literal_column("'draft'")
_IS_DISMISSED = ReorderProposal.status == literal_column("'dismissed'")
_CHUNK = 1000
_LOCK = text(
    "SELECT pg_advisory_xact_lock("
    "hashtextextended('stockwright.reorder/' || current_setting('app.tenant'), 0))"
)


@dataclass(frozen=True, slots=True)
class Run:
    """What a run found: levels in need, lines left out as dismissed, drafts as they are now."""

    needed: int
    dismissed: int
    withdrawn: int
    proposals: Sequence[ReorderProposal]


def list_proposals(
    session: Session,
    window: paging.Window,
    *,
    status: str | None = None,
    supplier_id: UUID | None = None,
) -> paging.Page[ReorderProposal]:
    """Proposals by status or supplier."""
    found = select(ReorderProposal)
    if status is not None:
        found = found.where(ReorderProposal.status == status)
    if supplier_id is not None:
        found = found.where(ReorderProposal.supplier_id == supplier_id)
    return paging.fetch(session, found, (ReorderProposal.id,), window)


def proposal(session: Session, proposal_id: UUID) -> ReorderProposal:
    """One proposal; raises NotFound."""
    row = session.scalars(
        select(ReorderProposal)
        .where(ReorderProposal.id == proposal_id)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        raise NotFound("There is no such object.")
    return row


def lines(session: Session, proposal_id: UUID, window: paging.Window) -> paging.Page[ReorderLine]:
    """The lines of a proposal, by level; raises NotFound."""
    proposal(session, proposal_id)
    found = select(ReorderLine).where(ReorderLine.proposal_id == proposal_id)
    return paging.fetch(session, found, (ReorderLine.level_id,), window)


def run(session: Session, actor: Actor) -> Run:
    """Bring the drafts of the tenant to today's need."""
    session.execute(_LOCK)
    now = session.scalars(select(func.clock_timestamp())).one()
    refused = _dismissed_lately(session, now)
    needed = dismissed = 0
    by_supplier: dict[UUID | None, list[dict[str, Any]]] = defaultdict(list)
    for levels in _levels_in_need(session):
        for supplier_id, line in _propose(session, levels, now):
            needed += 1
            # Asked for no more than what a person said no to: that no still holds.
            if line["quantity"] <= refused.get(line["level_id"], 0):
                dismissed += 1
            else:
                by_supplier[supplier_id].append(line)
    withdrawn = _withdraw(session, actor, by_supplier, now)
    drafts = _write(session, actor, by_supplier, now)
    return Run(needed, dismissed, withdrawn, drafts)


def dismiss(session: Session, actor: Actor, proposal_id: UUID, reason: str) -> ReorderProposal:
    """Say no to a draft; the next runs remember it.

    Raises:
        NotFound: there is no such proposal.
        Conflict: ``not_a_draft``.
    """
    session.execute(_LOCK)
    row = proposal(session, proposal_id)
    if row.status != DRAFT:
        raise Conflict(
            f"The proposal is {row.status}; only a draft can be dismissed.",
            code="not_a_draft",
            details={"status": row.status},
        )
    now = session.scalars(select(func.clock_timestamp())).one()
    row.status, row.dismissed_at = DISMISSED, now
    row.dismissed_by, row.dismissed_reason = actor.name, reason
    session.flush()
    events.record(session, [_fact(row, 2, "proposal.dismissed", actor, now)])
    return row


def _levels_in_need(session: Session) -> Iterator[Sequence[Row[Any]]]:
    """Levels whose projection is at or below their reorder point, in chunks."""
    level = InventoryLevel
    after = UUID(int=0)
    statement: Any = (
        select(
            level.id,
            level.warehouse_id,
            level.variant_id,
            level.lot,
            level.available,
            level.in_transit,
            level.reorder_point,
            level.reorder_quantity,
            level.max_stock_level,
            level.created_at,
        )
        .join(Variant, Variant.id == level.variant_id)
        .join(Warehouse, Warehouse.id == level.warehouse_id)
        .where(
            level.reorder_point.is_not(None),
            level.available + level.in_transit <= level.reorder_point,
            Variant.status == "active",
            Warehouse.is_active,
        )
        .order_by(level.id)
        .limit(_CHUNK)
    )
    while True:
        rows = session.execute(statement.where(level.id > after)).all()
        if rows:
            yield rows
        if len(rows) < _CHUNK:
            return
        after = rows[-1].id


def _propose(
    session: Session, levels: Sequence[Row[Any]], now: datetime
) -> Iterator[tuple[UUID | None, dict[str, Any]]]:
    """The supplier and the line of each level, with every number of the formula."""
    suppliers = _preferred(session, {level.variant_id for level in levels})
    demands = _demand(session, levels, now)
    for level in levels:
        supplier = suppliers.get(level.variant_id)
        terms = Terms() if supplier is None else _terms(supplier)
        need = need_of(level)
        demand = demands[level.id]
        yield (
            None if supplier is None else supplier.supplier_id,
            {
                "level_id": level.id,
                "warehouse_id": level.warehouse_id,
                "variant_id": level.variant_id,
                "lot": level.lot,
                "available": need.available,
                "in_transit": need.in_transit,
                "incoming": need.incoming,
                "projected": need.projected,
                "reorder_point": need.reorder_point,
                "reorder_quantity": need.reorder_quantity,
                "max_stock_level": need.max_stock_level,
                "demand_units": demand.units,
                "demand_days": demand.days,
                "lead_time_days": terms.lead_time_days,
                "target": target(need, terms, demand),
                "minimum_quantity": terms.minimum_quantity,
                "pack_size": terms.pack_size,
                "quantity": order_quantity(need, terms, demand),
            },
        )


def _preferred(session: Session, variants: set[UUID]) -> dict[UUID, VariantSupplier]:
    """The preferred supplier of each variant, unless it is disabled."""
    rows = session.scalars(
        select(VariantSupplier)
        .join(Supplier, Supplier.id == VariantSupplier.supplier_id)
        .where(
            VariantSupplier.variant_id.in_(variants),
            VariantSupplier.is_preferred,
            Supplier.status == "active",
        )
    )
    return {row.variant_id: row for row in rows}


def _terms(supplier: VariantSupplier) -> Terms:
    return Terms(supplier.lead_time_days, supplier.minimum_quantity, supplier.pack_size)


def _demand(session: Session, levels: Sequence[Row[Any]], now: datetime) -> dict[UUID, Demand]:
    """What each level sold lately; a young level is averaged over the days that it has lived."""
    today = now.astimezone(UTC).date()
    found = session.execute(
        select(
            LevelDemand.level_id,
            func.sum(LevelDemand.units).label("units"),
            func.min(LevelDemand.day).label("first"),
        )
        .where(
            LevelDemand.level_id.in_([level.id for level in levels]),
            LevelDemand.day.between(today - timedelta(days=DEMAND_DAYS - 1), today),
        )
        .group_by(LevelDemand.level_id)
    )
    sold = {row.level_id: row for row in found}
    demands = {}
    for level in levels:
        since = level.created_at.astimezone(UTC).date()
        units = 0
        if level.id in sold:
            # Imported sales are older than the level that they were imported to.
            since, units = min(since, sold[level.id].first), int(sold[level.id].units)
        days = max(1, min(DEMAND_DAYS, (today - since).days + 1))
        demands[level.id] = Demand(units, days)
    return demands


def _dismissed_lately(session: Session, now: datetime) -> dict[UUID, int]:
    """The largest quantity of each level that was dismissed within the hours that count."""
    found = session.execute(
        select(ReorderLine.level_id, func.max(ReorderLine.quantity))
        .join(ReorderProposal, ReorderProposal.id == ReorderLine.proposal_id)
        .where(
            _IS_DISMISSED,
            ReorderProposal.dismissed_at > now - timedelta(hours=DISMISSED_HOURS),
        )
        .group_by(ReorderLine.level_id)
    )
    return {row[0]: row[1] for row in found}


def _withdraw(
    session: Session,
    actor: Actor,
    wanted: Mapping[UUID | None, Sequence[object]],
    now: datetime,
) -> int:
    """Remove drafts of which nothing is needed any more; returns how many."""
    drafts = session.scalars(select(ReorderProposal).where(_IS_DRAFT)).all()
    gone = [draft for draft in drafts if draft.supplier_id not in wanted]
    facts = [_fact(draft, 2, "proposal.withdrawn", actor, now) for draft in gone]
    for draft in gone:
        session.delete(draft)
    session.flush()
    events.record(session, facts)
    return len(gone)


def _write(
    session: Session,
    actor: Actor,
    wanted: Mapping[UUID | None, Sequence[dict[str, Any]]],
    now: datetime,
) -> list[ReorderProposal]:
    """One draft for each supplier with exactly the wanted lines."""
    drafts = {
        draft.supplier_id: draft
        for draft in session.scalars(select(ReorderProposal).where(_IS_DRAFT))
    }
    new = [
        ReorderProposal(supplier_id=supplier_id, line_count=0, total_quantity=0, calculated_at=now)
        for supplier_id in wanted
        if supplier_id not in drafts
    ]
    session.add_all(new)
    session.flush()
    drafts |= {draft.supplier_id: draft for draft in new}
    written = []
    for supplier_id, rows in wanted.items():
        draft = drafts[supplier_id]
        draft.line_count, draft.calculated_at = len(rows), now
        draft.total_quantity = sum(row["quantity"] for row in rows)
        written.append(draft)
    session.flush()
    ids = [draft.id for draft in written]
    if ids:
        session.execute(delete(ReorderLine).where(ReorderLine.proposal_id.in_(ids)))
        session.execute(
            insert(ReorderLine),
            [
                {"proposal_id": drafts[supplier_id].id, **row}
                for supplier_id, rows in wanted.items()
                for row in rows
            ],
        )
    events.record(session, [_fact(draft, 1, "proposal.drafted", actor, now) for draft in new])
    return written


def _fact(
    row: ReorderProposal, sequence: int, kind: str, actor: Actor, now: datetime
) -> events.NewFact:
    return events.NewFact(
        kind=kind,
        subject_kind="reorder_proposal",
        subject_id=str(row.id),
        sequence=sequence,
        actor=actor.name,
        occurred_at=now,
        data={
            "supplier_id": None if row.supplier_id is None else str(row.supplier_id),
            "line_count": row.line_count,
            "total_quantity": str(row.total_quantity),
            "reason": row.dismissed_reason,
        },
    )
