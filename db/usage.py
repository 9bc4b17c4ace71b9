"""What still refers to a record: open work keeps it in use, any history keeps it from deletion."""

from typing import Any

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session

from db.tables import InventoryLevel, Order, OrderLine, Reservation
from domain.errors import Conflict

_SHOWN = 20
_FILLED = or_(
    InventoryLevel.available > 0,
    InventoryLevel.reserved > 0,
    InventoryLevel.damaged > 0,
    InventoryLevel.quarantine > 0,
    InventoryLevel.in_transit > 0,
)


def has_line(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """An order of which at least one line meets ``condition``."""
    return exists().where(OrderLine.order_id == Order.id, condition)


def refuse_open_work(
    session: Session, orders: ColumnElement[bool], levels: ColumnElement[bool] | None = None
) -> None:
    """Refuse while open orders meet ``orders`` or levels with units in any bucket meet ``levels``.

    The caller has locked the record. When nothing refers to it, its levels are locked and looked at
    again, so that until the transaction ends none of them can be filled: a stock command that
    waits for one of them, and still believes in the record, is decided anew by the database
    (decision 0011).

    Raises:
        Conflict: ``in_use``, with the references in ``details``.
    """
    references = _open_work(session, orders, levels)
    if not references and levels is not None:
        # In the order of the stock writer, whose batches wait for the same rows.
        session.execute(
            select(InventoryLevel.id)
            .where(levels)
            .order_by(InventoryLevel.id)
            .with_for_update(key_share=True)
        )
        references = _open_work(session, orders, levels)
    _refuse(references, "It is in use by open orders, stock or reservations.")


def refuse_any_use(
    session: Session, orders: ColumnElement[bool], levels: ColumnElement[bool] | None = None
) -> None:
    """Refuse when any order or level, however old, refers to the record: history keeps its names.

    Raises:
        Conflict: ``in_use``, with the references in ``details``.
    """
    references = _orders(session, orders)
    if levels is not None:
        references += _levels(session, levels)
    _refuse(references, "Its history refers to it: disable it instead of deleting it.")


def in_use(detail: str, references: list[dict[str, Any]]) -> Conflict:
    """The refusal itself, for rooms whose references are no orders and levels."""
    return Conflict(detail, code="in_use", details={"references": references})


def _open_work(
    session: Session, orders: ColumnElement[bool], levels: ColumnElement[bool] | None
) -> list[dict[str, Any]]:
    references = _orders(session, orders, Order.closed_at.is_(None))
    if levels is not None:
        references += _levels(session, levels, _FILLED)
        references += _reservations(session, levels)
    return references


def _refuse(references: list[dict[str, Any]], detail: str) -> None:
    if references:
        raise in_use(detail, references)


def _orders(session: Session, *conditions: ColumnElement[bool]) -> list[dict[str, Any]]:
    found = select(Order.id, Order.number, Order.fulfilment).where(*conditions)
    rows = session.execute(found.order_by(Order.id).limit(_SHOWN))
    return [
        {"kind": "order", "id": str(row.id), "number": row.number, "fulfilment": row.fulfilment}
        for row in rows
    ]


def _levels(session: Session, *conditions: ColumnElement[bool]) -> list[dict[str, Any]]:
    level = InventoryLevel
    on_hand = func.sum(level.available + level.reserved + level.damaged + level.quarantine)
    found = (
        select(
            level.warehouse_id,
            level.variant_id,
            on_hand.label("on_hand"),
            func.sum(level.in_transit).label("in_transit"),
        )
        .where(*conditions)
        .group_by(level.warehouse_id, level.variant_id)
        .order_by(level.warehouse_id, level.variant_id)
        .limit(_SHOWN)
    )
    return [
        {
            "kind": "level",
            "warehouse_id": str(row.warehouse_id),
            "variant_id": str(row.variant_id),
            "on_hand": int(row.on_hand),
            "in_transit": int(row.in_transit),
        }
        for row in session.execute(found)
    ]


def _reservations(session: Session, levels: ColumnElement[bool]) -> list[dict[str, Any]]:
    """Open reservations without an order, by owner: those of orders stand for themselves."""
    found = (
        select(
            Reservation.owner,
            func.sum(Reservation.open).label("open"),
            func.max(Reservation.expires_at).label("expires_at"),
        )
        .join(InventoryLevel, InventoryLevel.id == Reservation.level_id)
        .where(
            levels,
            InventoryLevel.reserved > 0,
            Reservation.open > 0,
            Reservation.expires_at.is_not(None),
        )
        .group_by(Reservation.owner)
        .order_by(Reservation.owner)
        .limit(_SHOWN)
    )
    return [
        {
            "kind": "reservation",
            "owner": row.owner,
            "open": int(row.open),
            "expires_at": row.expires_at.isoformat(),
        }
        for row in session.execute(found)
    ]
