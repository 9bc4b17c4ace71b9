"""Warehouses in SQL. A tenant with an active warehouse has a default one, and never two."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, text, update
from sqlalchemy.orm import Session

from db import attributes, paging, records, usage
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
        InvalidInput: an attribute does not fit.
        Conflict: the code is taken.
    """
    session.execute(_LOCK_DEFAULT)
    columns = records.columns(new.model_dump(exclude={"attributes"}))
    warehouse = Warehouse(is_default=not _has_default(session), **columns)
    records.add(session, warehouse, _CONSTRAINTS)
    attributes.add(session, {warehouse: ("", new.attributes)})
    return warehouse


def list_warehouses(
    session: Session,
    window: paging.Window,
    *,
    code: str | None = None,
    is_active: bool | None = None,
    having: Sequence[str] = (),
    by_priority: bool = False,
) -> paging.Page[Warehouse]:
    """Warehouses by code, by attributes, or those that are active or not.

    Raises:
        InvalidInput: see ``attributes.having``.
    """
    found = attributes.having(session, Warehouse, having)
    if code is not None:
        found = found.where(Warehouse.code == code)
    if is_active is not None:
        found = found.where(Warehouse.is_active == is_active)
    order = (Warehouse.priority, Warehouse.id) if by_priority else (Warehouse.id,)
    return paging.fetch(session, found, order, window)


def used_capacity(session: Session, ids: Collection[UUID]) -> dict[UUID, int]:
    """What lies in each warehouse and is on its way there, in base units; one query for all.

    It is summed anew from the levels each time: a stored sum would be one hot row beside them.
    """
    level = InventoryLevel
    units = level.available + level.reserved + level.damaged + level.quarantine + level.in_transit
    found = (
        select(level.warehouse_id, func.sum(units).label("used"))
        .where(level.warehouse_id.in_(ids))
        .group_by(level.warehouse_id)
    )
    sums = {row.warehouse_id: int(row.used) for row in session.execute(found)}
    return {id_: sums.get(id_, 0) for id_ in ids}


def replace(
    session: Session, warehouse_id: UUID, versions: records.Versions, data: WarehouseData
) -> Warehouse:
    """Replace everything that is edited of a warehouse.

    Raises:
        NotFound, PreconditionFailed: see ``records.change``.
        InvalidInput: an attribute does not fit.
        Conflict: the code is taken.
    """
    values = data.model_dump()
    return attributes.change_record(
        session, Warehouse, warehouse_id, versions, values, _CONSTRAINTS, whole=True
    )


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
    attributes.forget(session, [warehouse_id])


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
        Conflict: ``in_use`` by open orders, stock or reservations, or ``default_warehouse`` while
            others are active.
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
