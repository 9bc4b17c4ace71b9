"""Stock alerts in SQL: evaluating levels, and what people do with an alert.

``evaluate`` compares what a level's row says now with the alerts that are open, so that any number
of movements costs one look, and a repeated look changes nothing. Its callers hold the tenant's
alert cursor, hence no two evaluate the same level at once.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, func, literal_column, select
from sqlalchemy.orm import Session

from db import events, paging
from db.reorder import need_of
from db.reorder_tables import StockAlert
from db.tables import InventoryLevel, Variant, Warehouse
from domain.alerts import (
    KEEPER,
    REOPEN_WINDOW,
    SEVERITIES,
    SHORTAGES,
    AlertStatus,
    AlertType,
    Watched,
    check_open,
    check_snooze,
    conditions,
    reopened_status,
)
from domain.errors import NotFound
from domain.permissions import Actor
from domain.reorder import Demand, Terms, order_quantity

# Written out, not a parameter: only so is it seen to be the condition of the partial indexes.
_OPEN: ColumnElement[bool] = StockAlert.status != literal_column("'resolved'")
_Key = tuple[UUID, AlertType]


def list_alerts(
    session: Session,
    window: paging.Window,
    *,
    is_open: bool | None = None,
    **columns: Any,
) -> paging.Page[StockAlert]:
    """Alerts whose ``columns`` (by name) have the given values; None does not restrict."""
    found = select(StockAlert)
    if columns.get("status") not in {None, AlertStatus.RESOLVED}:
        # Said twice, so that the index of what is open serves each of its states.
        is_open = True if is_open is None else is_open
    if is_open is not None:
        found = found.where(_OPEN if is_open else StockAlert.status == AlertStatus.RESOLVED)
    for name, value in columns.items():
        if value is not None:
            found = found.where(getattr(StockAlert, name) == value)
    return paging.fetch(session, found, (StockAlert.id,), window)


def list_shortages(session: Session, window: paging.Window) -> paging.Page[StockAlert]:
    """Open alerts that more goods would cure."""
    found = select(StockAlert).where(_OPEN, StockAlert.type.in_(SHORTAGES))
    return paging.fetch(session, found, (StockAlert.id,), window)


def alert(session: Session, alert_id: UUID, *, lock: bool = False) -> StockAlert:
    """One alert, locked until the transaction ends if asked for; raises NotFound."""
    found = select(StockAlert).where(StockAlert.id == alert_id)
    row = session.scalars(found.with_for_update() if lock else found).one_or_none()
    if row is None:
        raise NotFound("There is no such object.")
    return row


def acknowledge(session: Session, actor: Actor, alert_id: UUID) -> StockAlert:
    """Somebody takes the alert on; who did so first stays, and a snooze ends.

    Raises:
        NotFound: there is no such alert.
        Conflict: ``alert_resolved``.
    """
    row = alert(session, alert_id, lock=True)
    check_open(row.status)
    if row.status != AlertStatus.ACKNOWLEDGED:
        now = _now(session)
        _take_on(row, actor, now)
        row.snoozed_until = None
        _change(session, [row], AlertStatus.ACKNOWLEDGED, "alert.acknowledged", actor.name, now)
    return row


def snooze(session: Session, actor: Actor, alert_id: UUID, until: datetime) -> StockAlert:
    """Silence the alert until a time, from which on it is as new again.

    Raises:
        NotFound: there is no such alert.
        Conflict: ``alert_resolved``.
        InvalidInput: the time is past or too far ahead.
    """
    row = alert(session, alert_id, lock=True)
    check_open(row.status)
    now = _now(session)
    check_snooze(until, now)
    if (row.status, row.snoozed_until) != (AlertStatus.SNOOZED, until):
        _take_on(row, actor, now)
        row.snoozed_until = until
        _change(session, [row], AlertStatus.SNOOZED, "alert.snoozed", actor.name, now)
    return row


def wake(session: Session, alert_ids: Collection[UUID]) -> None:
    """Make those alerts new again whose snooze is over; others stay as they are."""
    now = _now(session)
    rows = session.scalars(
        select(StockAlert)
        .where(
            StockAlert.id.in_(alert_ids),
            StockAlert.status == AlertStatus.SNOOZED,
            StockAlert.snoozed_until <= now,
        )
        .order_by(StockAlert.id)
        .with_for_update()
    ).all()
    for row in rows:
        _forget(row)
    _change(session, rows, AlertStatus.CREATED, "alert.woken", KEEPER, now)


def evaluate(session: Session, level_ids: Collection[UUID]) -> None:
    """Open, reopen, refresh and resolve the alerts of these levels as their rows now demand."""
    now = _now(session)
    open_ = {_key(row): row for row in _locked(session, level_ids, _OPEN)}
    found = {row.id: row for row in _levels(session, level_ids)}
    holding = {
        (level_id, kind): quantity
        for level_id, row in found.items()
        for kind, quantity in conditions(_watched(row)).items()
    }
    new = holding.keys() - open_.keys()
    recent = _recently_resolved(session, {level_id for level_id, _ in new}, now)
    back = [recent[key] for key in new if key in recent]
    fresh = [
        StockAlert(
            level_id=level_id,
            warehouse_id=found[level_id].warehouse_id,
            variant_id=found[level_id].variant_id,
            type=kind,
            severity=SEVERITIES[kind],
            opened_at=now,
        )
        for level_id, kind in sorted(new - recent.keys())
    ]
    for row in [*fresh, *back, *(open_[key] for key in holding.keys() & open_.keys())]:
        _refresh(row, holding[_key(row)], found[row.level_id])
        if row.id is not None and session.is_modified(row):
            row.updated_at = now
    _add(session, fresh, now)
    _reopen(session, back, now)
    gone = [row for key, row in open_.items() if key not in holding]
    for row in gone:
        row.resolved_at, row.resolved_by = now, KEEPER
    _change(session, gone, AlertStatus.RESOLVED, "alert.resolved", KEEPER, now)


def _now(session: Session) -> datetime:
    now: datetime = session.scalars(select(func.clock_timestamp())).one()
    return now


def _key(row: StockAlert) -> _Key:
    return row.level_id, AlertType(row.type)


def _locked(
    session: Session, level_ids: Collection[UUID], condition: ColumnElement[bool]
) -> Sequence[StockAlert]:
    return session.scalars(
        select(StockAlert)
        .where(StockAlert.level_id.in_(level_ids), condition)
        .order_by(StockAlert.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()


def _recently_resolved(
    session: Session, level_ids: Collection[UUID], now: datetime
) -> dict[_Key, StockAlert]:
    """The last alert of each kind that was resolved within the window in which it may come back."""
    if not level_ids:
        return {}
    recent = StockAlert.resolved_at > now - REOPEN_WINDOW
    rows = _locked(session, level_ids, recent)
    return {_key(row): row for row in sorted(rows, key=lambda row: str(row.resolved_at))}


def _levels(session: Session, level_ids: Collection[UUID]) -> Sequence[Row[Any]]:
    level = InventoryLevel
    found: Any = (
        select(
            level.id,
            level.warehouse_id,
            level.variant_id,
            level.lot,
            level.available,
            level.in_transit,
            (level.available + level.reserved + level.damaged + level.quarantine).label("on_hand"),
            level.sequence,
            level.reorder_point,
            level.reorder_quantity,
            level.max_stock_level,
            ((Variant.status == "active") & Warehouse.is_active).label("in_use"),
        )
        .join(Variant, Variant.id == level.variant_id)
        .join(Warehouse, Warehouse.id == level.warehouse_id)
        .where(level.id.in_(level_ids))
    )
    rows: Sequence[Row[Any]] = session.execute(found).all()
    return rows


def _watched(level: Row[Any]) -> Watched:
    return Watched(
        need=need_of(level),
        on_hand=level.on_hand,
        lot=level.lot,
        stocked=level.sequence > 0,
        in_use=level.in_use,
    )


def _refresh(row: StockAlert, quantity: int, level: Row[Any]) -> None:
    """Bring the numbers of an alert up to date; equal ones cost no update."""
    row.current_quantity = quantity
    row.reorder_point = level.reorder_point
    row.max_stock_level = level.max_stock_level
    row.recommended_order_quantity = (
        None
        if row.type == AlertType.OVERSTOCK
        else order_quantity(need_of(level), Terms(), Demand())
    )


def _take_on(row: StockAlert, actor: Actor, now: datetime) -> None:
    if row.acknowledged_at is None:
        row.acknowledged_at, row.acknowledged_by = now, actor.name


def _forget(row: StockAlert) -> None:
    """Whoever had silenced the alert has had their time: it is nobody's again."""
    row.acknowledged_at = row.acknowledged_by = row.snoozed_until = None


def _add(session: Session, rows: Sequence[StockAlert], now: datetime) -> None:
    for row in rows:
        row.status, row.sequence, row.occurrences = AlertStatus.CREATED, 1, 1
    session.add_all(rows)
    session.flush()
    events.record(session, [_fact(row, "alert.opened", KEEPER, now) for row in rows])


def _reopen(session: Session, rows: Sequence[StockAlert], now: datetime) -> None:
    for row in rows:
        row.status = reopened_status(row.acknowledged_at, row.snoozed_until, now)
        if row.status == AlertStatus.CREATED:
            _forget(row)
        row.opened_at, row.resolved_at, row.resolved_by = now, None, None
        row.occurrences += 1
    _change(session, rows, None, "alert.reopened", KEEPER, now)


def _change(
    session: Session,
    rows: Sequence[StockAlert],
    status: AlertStatus | None,
    kind: str,
    actor: str,
    now: datetime,
) -> None:
    """Write a step of the alerts' life with its event; a None status is set already."""
    for row in rows:
        row.status = row.status if status is None else status
        row.sequence += 1
        row.updated_at = now
    session.flush()
    events.record(session, [_fact(row, kind, actor, now) for row in rows])


def _fact(row: StockAlert, kind: str, actor: str, now: datetime) -> events.NewFact:
    return events.NewFact(
        kind=kind,
        subject_kind="alert",
        subject_id=str(row.id),
        sequence=row.sequence,
        actor=actor,
        occurred_at=now,
        data={
            "type": row.type,
            "severity": row.severity,
            "status": row.status,
            "level_id": str(row.level_id),
            "warehouse_id": str(row.warehouse_id),
            "variant_id": str(row.variant_id),
            "current_quantity": row.current_quantity,
            "reorder_point": row.reorder_point,
            "max_stock_level": row.max_stock_level,
            "recommended_order_quantity": row.recommended_order_quantity,
            "occurrences": row.occurrences,
            "snoozed_until": None if row.snoozed_until is None else row.snoozed_until.isoformat(),
        },
    )
