"""Reorder settings of levels and suppliers of variants over HTTP."""

from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from api.answers import respond, show
from api.auth import needs
from api.etag import IfMatch, IfNoneMatch
from api.idempotency import OptionalCommand, write
from api.pages import ListOf, PageQuery, listing, window
from api.routing import make_router
from api.services import TheServices
from db import levels, reorder
from db.engine import transaction
from db.reorder_tables import VariantSupplier
from db.tables import Variant
from domain.permissions import Actor, Permission
from domain.reorder import ReorderSettings, SuppliersOfVariant
from domain.values import Instant

settings = make_router("/v1/inventory/reorder-settings", "replenishment")
suppliers = make_router("/v1/variants", "replenishment")
ROUTERS = (settings, suppliers)
Reader = Annotated[Actor, needs(Permission.STOCK_READ)]
Planner = Annotated[Actor, needs(Permission.STOCK_PLAN)]
CatalogueReader = Annotated[Actor, needs(Permission.CATALOGUE_READ)]
CatalogueWriter = Annotated[Actor, needs(Permission.CATALOGUE_WRITE)]


class ReorderSettingsView(BaseModel):
    """What is set of one level, by the level's id.

    ``version`` counts the changes of the settings alone: movements do not make an edit stale.
    """

    model_config = ConfigDict(from_attributes=True)

    object: Literal["reorder_settings"] = "reorder_settings"
    id: UUID
    version: int
    warehouse_id: UUID
    variant_id: UUID
    lot: str | None
    reorder_point: int | None
    reorder_quantity: int | None
    max_stock_level: int | None
    bin_location: str | None
    aisle: str | None
    shelf: str | None
    updated_at: Instant


class ChangedSettings(BaseModel):
    """The settings of a request as they are now, in its order."""

    object: Literal["list"] = "list"
    data: list[ReorderSettingsView]


class SupplierOfVariantView(BaseModel):
    """One supplier of a variant."""

    model_config = ConfigDict(from_attributes=True)

    supplier_id: UUID
    is_preferred: bool
    lead_time_days: int
    minimum_quantity: int
    pack_size: int


class SuppliersView(BaseModel):
    """Who delivers a variant; ``version`` is the variant's own."""

    object: Literal["variant_suppliers"] = "variant_suppliers"
    variant_id: UUID
    version: int
    suppliers: list[SupplierOfVariantView]


class SettingsQuery(PageQuery):
    """Filters of the list of reorder settings."""

    warehouse_id: UUID | None = None
    variant_id: UUID | None = None


@settings.put("", response_model=ChangedSettings)
def put_reorder_settings(
    body: ReorderSettings,
    versions: IfMatch,
    actor: Planner,
    services: TheServices,
    command: OptionalCommand,
) -> Response:
    """Replace what is set of one level or of many, all or none.

    If-Match is the ETag of one level's settings, or `*`; each of several levels carries the version
    that was read in its own entry. A level that does not exist comes to be with no stock.
    """

    def effect(session: Session) -> ChangedSettings:
        changed = reorder.put_settings(session, actor, body.settings, versions)
        return ChangedSettings(data=[ReorderSettingsView.model_validate(row) for row in changed])

    return respond(write(services, actor, command, effect))


@settings.get("", response_model=ListOf[ReorderSettingsView])
def list_reorder_settings(
    request: Request,
    query: Annotated[SettingsQuery, Query()],
    actor: Reader,
    services: TheServices,
) -> Response:
    """List the settings of all levels that have a reorder point."""
    with transaction(services.engine, actor.tenant_id) as session:
        page = reorder.list_settings(
            session,
            window(request, query),
            warehouse_id=query.warehouse_id,
            variant_id=query.variant_id,
        )
        views = [ReorderSettingsView.model_validate(row) for row in page.rows]
        return listing(request, page, views)


@settings.get("/{level_id}", response_model=ReorderSettingsView)
def get_reorder_settings(
    level_id: UUID, actor: Reader, services: TheServices, if_none_match: IfNoneMatch = None
) -> Response:
    """Show what is set of a level, whether anything is or not."""
    with transaction(services.engine, actor.tenant_id) as session:
        view = ReorderSettingsView.model_validate(levels.level(session, level_id))
        return show(view, if_none_match)


@suppliers.get("/{variant_id}/suppliers", response_model=SuppliersView)
def get_suppliers_of_variant(
    variant_id: UUID,
    actor: CatalogueReader,
    services: TheServices,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Show who delivers a variant, the preferred supplier first."""
    with transaction(services.engine, actor.tenant_id) as session:
        return show(_suppliers(*reorder.suppliers_of(session, variant_id)), if_none_match)


@suppliers.put("/{variant_id}/suppliers", response_model=SuppliersView)
def replace_suppliers_of_variant(
    variant_id: UUID,
    body: SuppliersOfVariant,
    versions: IfMatch,
    actor: CatalogueWriter,
    services: TheServices,
    command: OptionalCommand,
) -> Response:
    """Replace all suppliers of a variant."""

    def effect(session: Session) -> SuppliersView:
        return _suppliers(*reorder.replace_suppliers(session, variant_id, versions, body))

    return respond(write(services, actor, command, effect))


def _suppliers(variant: Variant, rows: Sequence[VariantSupplier]) -> SuppliersView:
    return SuppliersView(
        variant_id=variant.id,
        version=variant.version,
        suppliers=[SupplierOfVariantView.model_validate(row) for row in rows],
    )
