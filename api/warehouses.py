"""Warehouses over HTTP."""

from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import Field
from sqlalchemy.orm import Session

from api.answers import RecordView, respond, show
from api.auth import needs
from api.etag import IfMatch
from api.idempotency import KeyedCommand, OptionalCommand, write
from api.pages import ListOf, RecordQuery, listing, window
from api.routing import make_router
from api.services import TheServices
from db import attributes, records, warehouses
from db.engine import transaction
from db.tables import Warehouse
from domain.attributes import Values
from domain.permissions import Actor, Permission
from domain.values import Address, Code
from domain.warehouses import WarehouseData, Weekday

router = make_router("/v1/warehouses", "warehouses")
Reader = Annotated[Actor, needs(Permission.WAREHOUSES_READ)]
Writer = Annotated[Actor, needs(Permission.WAREHOUSES_WRITE)]


class WarehouseView(RecordView):
    """A warehouse."""

    code: str
    name: str
    address: Address
    contact_person: str | None
    contact_email: str | None
    contact_phone: str | None
    total_capacity: int | None
    used_capacity: int = Field(
        description="On hand and in transit to it, in base units, summed from its levels now;"
        " the version does not rise with it."
    )
    capacity_left: int | None = Field(
        description="Total minus used: negative when it is overfull, null without a total."
    )
    operating_hours: dict[Weekday, str]
    priority: int
    is_default: bool
    is_active: bool
    attributes: Values


class WarehouseQuery(RecordQuery):
    """Filters of the list of warehouses."""

    code: Code | None = None
    is_active: bool | None = None
    sort: Literal["created_at", "-created_at", "priority", "-priority"] = "created_at"  # type: ignore[assignment]  # More orders than other lists have.


@router.post("", status_code=201, response_model=WarehouseView)
def create_warehouse(
    body: WarehouseData, actor: Writer, services: TheServices, command: KeyedCommand
) -> Response:
    """Make a warehouse; the first active one becomes the default."""

    def effect(session: Session) -> WarehouseView:
        return _show(session, warehouses.create(session, body))

    answer = write(services, actor, command, effect, status=201)
    return respond(answer, location="/v1/warehouses/{id}")


@router.get("", response_model=ListOf[WarehouseView])
def list_warehouses(
    request: Request,
    query: Annotated[WarehouseQuery, Query()],
    actor: Reader,
    services: TheServices,
) -> Response:
    """List warehouses by code, attributes, or those that are active or not."""
    with transaction(services.engine, actor.tenant_id) as session:
        page = warehouses.list_warehouses(
            session,
            window(request, query),
            code=query.code,
            is_active=query.is_active,
            having=query.attribute,
            by_priority=query.sort.endswith("priority"),
        )
        return listing(request, page, _show_all(session, page.rows))


@router.get("/{warehouse_id}", response_model=WarehouseView)
def get_warehouse(warehouse_id: UUID, actor: Reader, services: TheServices) -> Response:
    """Show a warehouse, with its used capacity as it is now."""
    with transaction(services.engine, actor.tenant_id) as session:
        return show(_show(session, records.get(session, Warehouse, warehouse_id)))


@router.put("/{warehouse_id}", response_model=WarehouseView)
def replace_warehouse(
    warehouse_id: UUID,
    body: WarehouseData,
    versions: IfMatch,
    actor: Writer,
    services: TheServices,
    command: OptionalCommand,
) -> Response:
    """Replace everything that is edited of a warehouse."""

    def effect(session: Session) -> WarehouseView:
        return _show(session, warehouses.replace(session, warehouse_id, versions, body))

    return respond(write(services, actor, command, effect))


@router.delete("/{warehouse_id}", status_code=204, response_model=None)
def delete_warehouse(
    warehouse_id: UUID,
    versions: IfMatch,
    actor: Writer,
    services: TheServices,
    command: OptionalCommand,
) -> Response:
    """Delete a warehouse that no order or level ever referred to."""

    def effect(session: Session) -> None:
        warehouses.delete(session, warehouse_id, versions)

    return respond(write(services, actor, command, effect))


@router.post("/{warehouse_id}/activate", response_model=WarehouseView)
def activate_warehouse(
    warehouse_id: UUID, actor: Writer, services: TheServices, command: KeyedCommand
) -> Response:
    """Put a warehouse back into use."""

    def effect(session: Session) -> WarehouseView:
        return _show(session, warehouses.activate(session, warehouse_id))

    return respond(write(services, actor, command, effect))


@router.post("/{warehouse_id}/deactivate", response_model=WarehouseView)
def deactivate_warehouse(
    warehouse_id: UUID, actor: Writer, services: TheServices, command: KeyedCommand
) -> Response:
    """Take a warehouse out of use; refused while open orders, stock or reservations use it."""

    def effect(session: Session) -> WarehouseView:
        return _show(session, warehouses.deactivate(session, warehouse_id))

    return respond(write(services, actor, command, effect))


@router.post("/{warehouse_id}/set-default", response_model=WarehouseView)
def set_default_warehouse(
    warehouse_id: UUID, actor: Writer, services: TheServices, command: KeyedCommand
) -> Response:
    """Make an active warehouse the default."""

    def effect(session: Session) -> WarehouseView:
        return _show(session, warehouses.set_default(session, warehouse_id))

    return respond(write(services, actor, command, effect))


def _show(session: Session, warehouse: Warehouse) -> WarehouseView:
    return _show_all(session, [warehouse])[0]


def _show_all(session: Session, rows: Sequence[Warehouse]) -> list[WarehouseView]:
    ids = [row.id for row in rows]
    used = warehouses.used_capacity(session, ids)
    values = attributes.values_of(session, ids)
    return [
        WarehouseView.of(
            row,
            used_capacity=used[row.id],
            capacity_left=None if row.total_capacity is None else row.total_capacity - used[row.id],
            attributes=values[row.id],
        )
        for row in rows
    ]
