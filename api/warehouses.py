"""Warehouses over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response
from sqlalchemy.orm import Session

from api.answers import RecordView, respond, show
from api.auth import needs
from api.etag import IfMatch, IfNoneMatch
from api.idempotency import KeyedCommand, OptionalCommand, write
from api.pages import ListOf, PageQuery, listing, window
from api.routing import make_router
from api.services import TheServices
from db import records, warehouses
from db.engine import transaction
from db.tables import Warehouse
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
    operating_hours: dict[Weekday, str]
    priority: int
    is_default: bool
    is_active: bool


class WarehouseQuery(PageQuery):
    """Filters of the list of warehouses."""

    code: Code | None = None
    is_active: bool | None = None


@router.post("", status_code=201, response_model=WarehouseView)
def create_warehouse(
    body: WarehouseData, actor: Writer, services: TheServices, command: KeyedCommand
) -> Response:
    """Make a warehouse; the first active one becomes the default."""

    def effect(session: Session) -> WarehouseView:
        return WarehouseView.of(warehouses.create(session, body))

    answer = write(services, actor, command, effect, status=201)
    return respond(answer, location="/v1/warehouses/{id}")


@router.get("", response_model=ListOf[WarehouseView])
def list_warehouses(
    request: Request,
    query: Annotated[WarehouseQuery, Query()],
    actor: Reader,
    services: TheServices,
) -> Response:
    """List warehouses by code, or those that are active or not."""
    with transaction(services.engine, actor.tenant_id) as session:
        page = warehouses.list_warehouses(
            session, window(request, query), code=query.code, is_active=query.is_active
        )
        return listing(request, page, [WarehouseView.of(row) for row in page.rows])


@router.get("/{warehouse_id}", response_model=WarehouseView)
def get_warehouse(
    warehouse_id: UUID, actor: Reader, services: TheServices, if_none_match: IfNoneMatch = None
) -> Response:
    """Show a warehouse."""
    with transaction(services.engine, actor.tenant_id) as session:
        warehouse = records.get(session, Warehouse, warehouse_id)
        return show(WarehouseView.of(warehouse), if_none_match)


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
        return WarehouseView.of(warehouses.replace(session, warehouse_id, versions, body))

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
        return WarehouseView.of(warehouses.activate(session, warehouse_id))

    return respond(write(services, actor, command, effect))


@router.post("/{warehouse_id}/deactivate", response_model=WarehouseView)
def deactivate_warehouse(
    warehouse_id: UUID, actor: Writer, services: TheServices, command: KeyedCommand
) -> Response:
    """Take a warehouse out of use; refused while open orders or stock use it."""

    def effect(session: Session) -> WarehouseView:
        return WarehouseView.of(warehouses.deactivate(session, warehouse_id))

    return respond(write(services, actor, command, effect))


@router.post("/{warehouse_id}/set-default", response_model=WarehouseView)
def set_default_warehouse(
    warehouse_id: UUID, actor: Writer, services: TheServices, command: KeyedCommand
) -> Response:
    """Make an active warehouse the default."""

    def effect(session: Session) -> WarehouseView:
        return WarehouseView.of(warehouses.set_default(session, warehouse_id))

    return respond(write(services, actor, command, effect))
