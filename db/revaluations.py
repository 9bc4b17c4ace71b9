"""Revaluations in SQL: drafted from a receipt, walked in chunks, posted as one movement.

A chunk and its effect on the row are one transaction, so a killed process goes on behind the last
chunk that was committed. Movements of a level get their numbers under the level's lock, so what is
committed behind the cursor has no gaps. The posting locks the level, walks the short tail and posts
in the same transaction: between the last movement walked and the posting nothing can happen.
"""

import hashlib
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from db import events, paging
from db.operations import PROCESS, Claim
from db.stock import Ledger
from db.stock_commands import Outcome, StockCommand, plain_answer
from db.tables import Reversal, StockMovement
from db.upkeep_tables import Revaluation as Row
from domain.errors import Conflict, NotFound
from domain.permissions import Actor
from domain.revaluation_rules import (
    Passed,
    Split,
    Walk,
    as_text,
    borne,
    cost_difference,
    from_text,
    split,
)
from domain.revaluations import COMPLETED, RECEIPTS, WALKING, Opened, Posted, Revaluation, Walked
from domain.stock import LevelKey, Origin, Revalue, RevalueLine
from domain.times import business_date

CHUNK = 5_000
#: The longest tail that is walked while the level is locked.
TAIL_MAX = 2_000
SUBJECT = "revaluation"


def draft(
    session: Session,
    actor: Actor,
    claim: Claim,
    *,
    movement_id: UUID,
    unit_cost: Decimal,
    reason: str,
    at: Any,
) -> Revaluation:
    """The process's input for a receipt's new cost.

    Raises:
        NotFound: there is no such movement.
        Conflict: it brought no goods in (``not_a_receipt``), was taken back (``receipt_reversed``),
            or costs exactly that already (``same_cost``).
    """
    receipt = session.scalars(
        select(StockMovement).where(StockMovement.id == movement_id)
    ).one_or_none()
    if receipt is None:
        raise NotFound("There is no such movement.")
    quantity = (
        receipt.available_change
        + receipt.reserved_change
        + receipt.damaged_change
        + receipt.quarantine_change
    )
    if receipt.kind not in RECEIPTS or quantity <= 0:
        raise Conflict(
            f"A movement of kind {receipt.kind} has no cost of its own.",
            code="not_a_receipt",
            details={"kind": receipt.kind},
        )
    if _reversed_by(session, receipt.operation_id) is not None:
        raise Conflict("The receipt was taken back.", code="receipt_reversed")
    before = session.scalars(
        select(Row.unit_cost)
        .where(Row.movement_id == movement_id, Row.closed_at.is_not(None))
        .order_by(Row.closed_at.desc())
        .limit(1)
    ).one_or_none()
    value = (
        receipt.value_change if before is None else cost_difference(quantity, before, Decimal(0))
    )
    difference = cost_difference(quantity, unit_cost, value)
    if difference == 0:
        raise Conflict("The receipt has this cost already.", code="same_cost")
    return Revaluation(
        tenant_id=actor.tenant_id,
        tenant_slug=actor.tenant_slug,
        time_zone=actor.time_zone,
        id=claim.id,
        number=claim.number,
        movement_id=movement_id,
        operation_id=receipt.operation_id,
        level_id=receipt.level_id,
        sequence=receipt.sequence,
        quantity=quantity,
        unit_cost_before=receipt.unit_cost if before is None else before,
        unit_cost=unit_cost,
        difference=difference,
        reason=reason,
        actor=actor.name,
        occurred_at=at,
    )


def open_(session: Session, asked: Revaluation) -> Opened:
    """Begin the walk behind the receipt; one revaluation of a receipt at a time."""
    session.execute(
        insert(Row)
        .values(
            id=asked.id,
            number=asked.number,
            workflow_id=asked.workflow_id,
            movement_id=asked.movement_id,
            level_id=asked.level_id,
            quantity=asked.quantity,
            unit_cost_before=asked.unit_cost_before,
            unit_cost=asked.unit_cost,
            difference=asked.difference,
            reason=asked.reason,
            status=WALKING,
            cursor_sequence=asked.sequence,
            remaining=asked.difference,
            created_by=asked.actor,
        )
        .on_conflict_do_nothing()
    )
    if by_id(session, asked.id) is not None:
        return Opened()
    return Opened(
        refusal={
            "code": "revaluation_open",
            "detail": "Another revaluation of this receipt is at work.",
            "details": {"movement_id": str(asked.movement_id)},
        }
    )


def walk(session: Session, asked: Revaluation, at_most: int = CHUNK) -> Walked:
    """Walk one chunk."""
    row = _locked(session, asked.id)
    passed = 0 if row.closed_at is not None else _walk(session, row, asked, at_most)
    return Walked(movements=row.movements, caught_up=passed < min(at_most, TAIL_MAX))


def post(session: Session, asked: Revaluation) -> Posted:
    """Lock the level, walk the tail, add what is still in stock to the level's value."""
    level = session.execute(_LEVEL, {"level": asked.level_id}).mappings().one()
    row = _locked(session, asked.id)
    if row.closed_at is not None:
        return Posted(stock_value=row.stock_value)
    if _walk(session, row, asked, TAIL_MAX) == TAIL_MAX:
        return Posted(stock_value=None)
    parts = borne(split(_state(row)), level["total_value"])
    if parts.stock:
        key = LevelKey(level["warehouse_id"], level["variant_id"], level["lot"])
        row.operation_id = _revalue(session, asked, key, parts.stock)
    _close(session, row, asked, parts)
    return Posted(stock_value=parts.stock)


def by_id(session: Session, revaluation_id: UUID) -> Row | None:
    """A revaluation, if the tenant has one of this id."""
    return session.scalars(select(Row).where(Row.id == revaluation_id)).one_or_none()


def find(session: Session, id_or_number: str) -> Row:
    """A revaluation by its id or its human number; raises NotFound."""
    try:
        wanted = Row.id == UUID(id_or_number)
    except ValueError:
        wanted = Row.number == id_or_number
    row = session.scalars(select(Row).where(wanted)).one_or_none()
    if row is None:
        raise NotFound("There is no such revaluation.")
    return row


def list_revaluations(
    session: Session, window: paging.Window, *, movement_id: UUID | None
) -> paging.Page[Row]:
    """A page of revaluations in the order in which they were asked for."""
    found: Select[Row] = select(Row)
    if movement_id is not None:
        found = found.where(Row.movement_id == movement_id)
    return paging.fetch(session, found, (Row.id,), window)


def _locked(session: Session, revaluation_id: UUID) -> Row:
    return session.scalars(select(Row).where(Row.id == revaluation_id).with_for_update()).one()


def _state(row: Row) -> Walk:
    return Walk(row.difference, row.remaining, from_text(row.gone))


def _walk(session: Session, row: Row, asked: Revaluation, at_most: int) -> int:
    """Pass the next movements and remember it on the row; returns how many there were."""
    found = session.execute(
        _CHUNK,
        {"level": asked.level_id, "cursor": row.cursor_sequence, "at_most": at_most},
    ).all()
    if not found:
        return 0
    taken_back_by = _reversed_by(session, asked.operation_id)
    state = _state(row)
    state.over(
        Passed(
            one.kind,
            one.before,
            one.change,
            one.unit_cost,
            one.value_change,
            one.value_after,
            takes_back=one.operation_id == taken_back_by,
        )
        for one in found
    )
    row.remaining, row.gone = state.remaining, as_text(state.gone)
    row.cursor_sequence = found[-1].sequence
    row.movements += len(found)
    session.flush()
    return len(found)


def _revalue(session: Session, asked: Revaluation, level: LevelKey, value: Decimal) -> UUID:
    """Post through the ledger, in this very transaction."""
    key = f"{asked.workflow_id}/post"
    command = StockCommand(
        key=key,
        source=PROCESS,
        fingerprint=hashlib.sha256(key.encode()).digest(),
        action=Revalue((RevalueLine(level, value),)),
        origin=Origin(
            actor=asked.actor,
            occurred_at=asked.occurred_at,
            business_date=business_date(asked.occurred_at, asked.time_zone),
            reference_kind=SUBJECT,
            reference_id=asked.number,
            reason=asked.reason,
        ),
        encode=plain_answer,
    )
    driver: Any = session.connection().connection.driver_connection
    (outcome,) = Ledger(uuid7).apply(driver, asked.tenant_id, [command])
    if not isinstance(outcome, Outcome):
        raise outcome
    if outcome.status >= 400:
        raise LookupError(f"{asked.number} was refused by the ledger: {outcome.body!r}")
    posted: UUID = session.execute(_OPERATION, {"key": key}).scalar_one()
    return posted


def _close(session: Session, row: Row, asked: Revaluation, parts: Split) -> None:
    now = session.execute(text("SELECT clock_timestamp()")).scalar_one()
    row.status, row.closed_at = COMPLETED, now
    row.stock_value, row.remaining, row.gone = parts.stock, parts.stock, as_text(parts.gone)
    session.flush()
    events.record(
        session,
        [
            events.NewFact(
                kind="stock.revalued",
                subject_kind=SUBJECT,
                subject_id=asked.number,
                sequence=1,
                actor=asked.actor,
                occurred_at=asked.occurred_at,
                data={
                    "movement_id": str(asked.movement_id),
                    "level_id": str(asked.level_id),
                    "unit_cost_before": f"{asked.unit_cost_before:f}",
                    "unit_cost": f"{asked.unit_cost:f}",
                    "difference": f"{asked.difference:f}",
                    "stock_value": f"{parts.stock:f}",
                    "gone": as_text(parts.gone),
                    "reason": asked.reason,
                },
            )
        ],
    )


def _reversed_by(session: Session, operation_id: UUID) -> UUID | None:
    return session.scalars(
        select(Reversal.operation_id).where(Reversal.original_id == operation_id)
    ).one_or_none()


_LEVEL = text("""
SELECT warehouse_id, variant_id, lot, total_value FROM inventory_levels
 WHERE id = :level FOR NO KEY UPDATE
""")
_CHUNK = text("""
SELECT sequence, kind, operation_id, unit_cost, value_change, value_after,
       available_before + reserved_before + damaged_before + quarantine_before AS before,
       available_change + reserved_change + damaged_change + quarantine_change AS change
  FROM stock_movements WHERE level_id = :level AND sequence > :cursor
 ORDER BY sequence LIMIT :at_most
""")
_OPERATION = text("SELECT id FROM operations WHERE source = 'process' AND key = :key")
