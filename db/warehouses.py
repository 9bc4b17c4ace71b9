"""Warehouses in SQL. A tenant with an active warehouse has a default one, and never two."""

from uuid import UUID

from sqlalchemy import ColumnElement, func, select, text, update
from sqlalchemy.orm import Session

from db import paging, records, usage
from db.tables import InventoryLevel, OrderLine, Warehouse
from domain.errors import Conflict
from domain.warehouses import WarehouseData


def _history() -> Conflict:
    return usage.in_use("Its history refers to it: deactivate it instead of deleting it.", [])


_CONSTRAINTS: records.Refusals = {
    "warehouses_code_key": lambda: Conflict("Another warehouse has this code.", code="code_taken"),
}
_REFERRED: records.Refusals = {
    "inventory_levels_warehouse_fkey": _history,
    "order_lines_warehouse_fkey": _history,
}
# The default moves from row to row: whoever may move it takes this lock first, so that no two
# do it at once and neither has to guess which row the other will touch.
_LOCK_DEFAULT = text(
    "SELECT pg_advisory_xact_lock("
    "hashtextextended('stockwright.default_warehouse/' || current_setting('app.tenant'), 0))"
)


def create(session: Session, new: WarehouseData) -> Warehouse:
    """A new active warehouse; the first one becomes the default.

    Raises:
        Conflict: the code is taken.
    """
    session.execute(_LOCK_DEFAULT)
    warehouse = Warehouse(is_default=not _has_default(session), **records.columns(new.model_dump()))
    return records.add(session, warehouse, _CONSTRAINTS)


def list_warehouses(
    session: Session,
    window: paging.Window,
    *,
    code: str | None = None,
    is_active: bool | None = None,
) -> paging.Page[Warehouse]:
    """Warehouses by code, or those that are active or not."""
    found = select(Warehouse)
    if code is not None:
        found = found.where(Warehouse.code == code)
    if is_active is not None:
        found = found.where(Warehouse.is_active == is_active)
    return paging.fetch(session, found, (Warehouse.id,), window)


def replace(
    session: Session, warehouse_id: UUID, versions: records.Versions, data: WarehouseData
) -> Warehouse:
    """Replace everything that is edited of a warehouse.

    Raises:
        NotFound, PreconditionFailed: see ``records.change``.
        Conflict: the code is taken.
    """
    values = data.model_dump()
    return records.change(session, Warehouse, warehouse_id, versions, values, _CONSTRAINTS)


def delete(session: Session, warehouse_id: UUID, versions: records.Versions) -> None:
    """Delete a warehouse that no order or level ever named.

    Raises:
        NotFound, PreconditionFailed: see ``records.lock``.
        Conflict: ``in_use``, or ``default_warehouse`` while others are active.
    """
    session.execute(_LOCK_DEFAULT)
    warehouse = records.lock(session, Warehouse, warehouse_id, versions)
    usage.refuse_any_use(session, *_uses(warehouse_id))
    _refuse_default(session, warehouse)
    records.remove(session, warehouse, _REFERRED)


def activate(session: Session, warehouse_id: UUID) -> Warehouse:
    """Put a warehouse back into use; it becomes the default when there is none.

    Raises:
        NotFound: there is no such warehouse.
    """
    session.execute(_LOCK_DEFAULT)
    warehouse = records.lock(session, Warehouse, warehouse_id)
    warehouse.is_active = True
    warehouse.is_default = warehouse.is_default or not _has_default(session)
    session.flush()
    return warehouse


def deactivate(session: Session, warehouse_id: UUID) -> Warehouse:
    """Take a warehouse out of use.

    Raises:
        NotFound: there is no such warehouse.
        Conflict: ``in_use`` by open orders or stock, or ``default_warehouse`` while others are
            active.
    """
    session.execute(_LOCK_DEFAULT)
    warehouse = records.lock(session, Warehouse, warehouse_id)
    usage.refuse_open_work(session, *_uses(warehouse_id))
    _refuse_default(session, warehouse)
    warehouse.is_active = warehouse.is_default = False
    session.flush()
    return warehouse


def set_default(session: Session, warehouse_id: UUID) -> Warehouse:
    """Make an active warehouse the default in the place of the one before.

    Raises:
        NotFound: there is no such warehouse.
        Conflict: it is not active.
    """
    session.execute(_LOCK_DEFAULT)
    warehouse = records.lock(session, Warehouse, warehouse_id)
    if not warehouse.is_active:
        raise Conflict("An inactive warehouse cannot be the default.", code="warehouse_inactive")
    session.execute(
        update(Warehouse)
        .where(Warehouse.is_default, Warehouse.id != warehouse_id)
        .values(is_default=False)
    )
    warehouse.is_default = True
    session.flush()
    return warehouse


def _uses(warehouse_id: UUID) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (
        usage.has_line(OrderLine.warehouse_id == warehouse_id),
        InventoryLevel.warehouse_id == warehouse_id,
    )


def _has_default(session: Session) -> bool:
    return session.scalars(select(func.bool_or(Warehouse.is_default))).one() or False


def _refuse_default(session: Session, warehouse: Warehouse) -> None:
    others = select(func.count()).where(Warehouse.is_active, Warehouse.id != warehouse.id)
    if warehouse.is_default and session.scalars(others).one() > 0:
        raise Conflict(
            "It is the default warehouse; make another one the default first.",
            code="default_warehouse",
        )
