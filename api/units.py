"""Units of measure over HTTP, and the units that each variant is counted in."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel
from sqlalchemy.orm import Session

from api.answers import RecordView, respond, show
from api.auth import needs
from api.etag import IfMatch, IfNoneMatch
from api.idempotency import KeyedCommand, OptionalCommand, write
from api.pages import ListOf, PageQuery, listing, window
from api.routing import make_router
from api.services import TheServices
from db import records, units
from db.engine import transaction
from db.tables import Unit, Variant
from domain.permissions import Actor, Permission
from domain.units import NewUnit, UnitChanges, VariantUnits
from domain.values import Code

router = make_router("/v1/units", "catalogue")
of_variants = make_router("/v1/variants", "catalogue")
ROUTERS = (router, of_variants)
Reader = Annotated[Actor, needs(Permission.CATALOGUE_READ)]
Writer = Annotated[Actor, needs(Permission.CATALOGUE_WRITE)]


class UnitView(RecordView):
    """A unit of measure; the piece is built in and not among them."""

    code: str
    name: str
    decimals: int


class UnitQuery(PageQuery):
    """Filters of the list of units."""

    code: Code | None = None


class VariantUnitView(BaseModel):
    """A unit in which a variant is counted: ``factor`` base units."""

    unit: str
    factor: int
    barcode: str | None


class VariantUnitsView(BaseModel):
    """All units of a variant; the version is the variant's."""

    variant_id: UUID
    base_unit: str
    units: list[VariantUnitView]
    version: int


@router.post("", status_code=201, response_model=UnitView)
def create_unit(
    body: NewUnit, actor: Writer, services: TheServices, command: KeyedCommand
) -> Response:
    """Make a unit of measure."""

    def effect(session: Session) -> UnitView:
        return UnitView.of(units.create(session, body))

    answer = write(services, actor, command, effect, status=201)
    return respond(answer, location="/v1/units/{id}")


@router.get("", response_model=ListOf[UnitView])
def list_units(
    request: Request, query: Annotated[UnitQuery, Query()], actor: Reader, services: TheServices
) -> Response:
    """List the units of measure."""
    with transaction(services.engine, actor.tenant_id) as session:
        page = units.list_units(session, window(request, query), code=query.code)
        return listing(request, page, [UnitView.of(row) for row in page.rows])


@router.get("/{unit_id}", response_model=UnitView)
def get_unit(
    unit_id: UUID, actor: Reader, services: TheServices, if_none_match: IfNoneMatch = None
) -> Response:
    """Show a unit of measure."""
    with transaction(services.engine, actor.tenant_id) as session:
        return show(UnitView.of(records.get(session, Unit, unit_id)), if_none_match)


@router.patch("/{unit_id}", response_model=UnitView)
def change_unit(
    unit_id: UUID,
    body: UnitChanges,
    versions: IfMatch,
    actor: Writer,
    services: TheServices,
    command: OptionalCommand,
) -> Response:
    """Edit a unit of measure; its code is fixed."""

    def effect(session: Session) -> UnitView:
        return UnitView.of(units.change(session, unit_id, versions, body.sent()))

    return respond(write(services, actor, command, effect))


@router.delete("/{unit_id}", status_code=204, response_model=None)
def delete_unit(
    unit_id: UUID, versions: IfMatch, actor: Writer, services: TheServices, command: OptionalCommand
) -> Response:
    """Delete a unit of measure that no variant is counted in."""

    def effect(session: Session) -> None:
        units.delete_unit(session, unit_id, versions)

    return respond(write(services, actor, command, effect))


@of_variants.get("/{variant_id}/units", response_model=VariantUnitsView)
def get_units_of_variant(
    variant_id: UUID, actor: Reader, services: TheServices, if_none_match: IfNoneMatch = None
) -> Response:
    """Show what a variant is counted in: its base unit and its packages."""
    with transaction(services.engine, actor.tenant_id) as session:
        variant = records.get(session, Variant, variant_id)
        return show(_show(session, variant), if_none_match)


@of_variants.put("/{variant_id}/units", response_model=VariantUnitsView)
def replace_units_of_variant(
    variant_id: UUID,
    body: VariantUnits,
    versions: IfMatch,
    actor: Writer,
    services: TheServices,
    command: OptionalCommand,
) -> Response:
    """Replace what a variant is counted in.

    The ledger holds base units only: another factor counts from now on and changes no history. The
    base unit itself is fixed once the variant had stock or an order.
    """

    def effect(session: Session) -> VariantUnitsView:
        return _show(session, units.replace(session, variant_id, versions, body))

    return respond(write(services, actor, command, effect))


def _show(session: Session, variant: Variant) -> VariantUnitsView:
    rows = units.units_of(session, variant.id)
    return VariantUnitsView(
        variant_id=variant.id,
        base_unit=next(row.code for row in rows if row.is_base),
        units=[
            VariantUnitView(unit=row.code, factor=row.factor, barcode=row.barcode)
            for row in rows
            if not row.is_base
        ],
        version=variant.version,
    )
