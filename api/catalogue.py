"""Products and variants over HTTP."""

from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from api.answers import RecordView, respond, show
from api.auth import needs
from api.etag import IfMatch, IfNoneMatch
from api.idempotency import KeyedCommand, OptionalCommand, write
from api.pages import ListOf, PageQuery, RecordQuery, listing, window
from api.routing import make_router
from api.services import TheServices
from db import attributes, catalogue, records, units
from db.engine import transaction
from db.tables import Product, Variant
from domain.attributes import Values
from domain.catalogue import NewProduct, NewVariant, ProductChanges, VariantChanges
from domain.permissions import Actor, Permission
from domain.values import Code, Money

products = make_router("/v1/products", "catalogue")
variants = make_router("/v1/variants", "catalogue")
ROUTERS = (products, variants)
Reader = Annotated[Actor, needs(Permission.CATALOGUE_READ)]
Writer = Annotated[Actor, needs(Permission.CATALOGUE_WRITE)]


class ProductView(RecordView):
    """A product; what lies in stock of it lies on its variants."""

    sku: str
    name: str
    description: str | None
    price: Money
    currency: str
    status: str
    default_variant_id: UUID | None
    attributes: Values


class ScannedUnit(BaseModel):
    """The unit that a barcode stands on: ``factor`` base units."""

    unit: str
    factor: int


class VariantView(RecordView):
    """A variant; without a price of its own it sells at its product's."""

    product_id: UUID
    sku: str
    name: str
    barcode: str | None
    price: Money | None
    currency: str
    is_default: bool
    status: str
    base_unit: str = Field(description="What the ledger counts.")
    scanned: ScannedUnit | None = Field(
        default=None, description="In a list by `barcode`: the unit that carries it."
    )
    attributes: Values


class ProductQuery(RecordQuery):
    """Filters of the list of products."""

    sku: Code | None = None
    status: Literal["active", "disabled"] | None = None
    q: str | None = Field(
        default=None, min_length=1, max_length=100, description="A part of name or SKU."
    )


class VariantQuery(RecordQuery):
    """Filters of the list of variants."""

    product_id: UUID | None = None
    sku: Code | None = None
    barcode: Code | None = Field(
        default=None, description="Of the variant, or of one of its packages: see `scanned`."
    )


@products.post("", status_code=201, response_model=ProductView)
def create_product(
    body: NewProduct, actor: Writer, services: TheServices, command: KeyedCommand
) -> Response:
    """Make a product with its variants; without any it gets one with the product's SKU."""

    def effect(session: Session) -> ProductView:
        return _show_product(session, actor, catalogue.create_product(session, body))

    answer = write(services, actor, command, effect, status=201)
    return respond(answer, location="/v1/products/{id}")


@products.get("", response_model=ListOf[ProductView])
def list_products(
    request: Request, query: Annotated[ProductQuery, Query()], actor: Reader, services: TheServices
) -> Response:
    """List products by SKU, status, attributes, or a part of name or SKU."""
    with transaction(services.engine, actor.tenant_id) as session:
        page = catalogue.list_products(
            session,
            window(request, query),
            sku=query.sku,
            status=query.status,
            q=query.q,
            having=query.attribute,
        )
        return listing(request, page, _show_products(session, actor, page.rows))


@products.get("/{product_id}", response_model=ProductView)
def get_product(
    product_id: UUID, actor: Reader, services: TheServices, if_none_match: IfNoneMatch = None
) -> Response:
    """Show a product."""
    with transaction(services.engine, actor.tenant_id) as session:
        product = records.get(session, Product, product_id)
        return show(_show_product(session, actor, product), if_none_match)


@products.patch("/{product_id}", response_model=ProductView)
def change_product(
    product_id: UUID,
    body: ProductChanges,
    versions: IfMatch,
    actor: Writer,
    services: TheServices,
    command: OptionalCommand,
) -> Response:
    """Edit a product."""

    def effect(session: Session) -> ProductView:
        product = catalogue.change_product(session, product_id, versions, body.sent())
        return _show_product(session, actor, product)

    return respond(write(services, actor, command, effect))


@products.delete("/{product_id}", status_code=204, response_model=None)
def delete_product(
    product_id: UUID,
    versions: IfMatch,
    actor: Writer,
    services: TheServices,
    command: OptionalCommand,
) -> Response:
    """Delete a product that no order or level ever referred to."""

    def effect(session: Session) -> None:
        catalogue.delete_product(session, product_id, versions)

    return respond(write(services, actor, command, effect))


@products.post("/{product_id}/disable", response_model=ProductView)
def disable_product(
    product_id: UUID, actor: Writer, services: TheServices, command: KeyedCommand
) -> Response:
    """Take a product and its variants out of use; refused while orders or stock use them."""

    def effect(session: Session) -> ProductView:
        return _show_product(session, actor, catalogue.disable_product(session, product_id))

    return respond(write(services, actor, command, effect))


@products.post("/{product_id}/enable", response_model=ProductView)
def enable_product(
    product_id: UUID, actor: Writer, services: TheServices, command: KeyedCommand
) -> Response:
    """Put a product and all its variants back into use."""

    def effect(session: Session) -> ProductView:
        return _show_product(session, actor, catalogue.enable_product(session, product_id))

    return respond(write(services, actor, command, effect))


@products.post("/{product_id}/variants", status_code=201, response_model=VariantView)
def create_variant(
    product_id: UUID, body: NewVariant, actor: Writer, services: TheServices, command: KeyedCommand
) -> Response:
    """Add a variant to a product."""

    def effect(session: Session) -> VariantView:
        return _show_variant(session, actor, catalogue.create_variant(session, product_id, body))

    answer = write(services, actor, command, effect, status=201)
    return respond(answer, location="/v1/variants/{id}")


@products.get("/{product_id}/variants", response_model=ListOf[VariantView])
def list_variants_of_product(
    request: Request,
    product_id: UUID,
    query: Annotated[PageQuery, Query()],
    actor: Reader,
    services: TheServices,
) -> Response:
    """List the variants of a product."""
    with transaction(services.engine, actor.tenant_id) as session:
        records.get(session, Product, product_id)
        page = catalogue.list_variants(session, window(request, query), product_id=product_id)
        return listing(request, page, _show_variants(session, actor, page.rows))


@variants.get("", response_model=ListOf[VariantView])
def list_variants(
    request: Request, query: Annotated[VariantQuery, Query()], actor: Reader, services: TheServices
) -> Response:
    """List variants by product, SKU, attributes or barcode."""
    with transaction(services.engine, actor.tenant_id) as session:
        page = catalogue.list_variants(
            session,
            window(request, query),
            product_id=query.product_id,
            sku=query.sku,
            barcode=query.barcode,
            having=query.attribute,
        )
        return listing(
            request, page, _show_variants(session, actor, page.rows, barcode=query.barcode)
        )


@variants.get("/{variant_id}", response_model=VariantView)
def get_variant(
    variant_id: UUID, actor: Reader, services: TheServices, if_none_match: IfNoneMatch = None
) -> Response:
    """Show a variant."""
    with transaction(services.engine, actor.tenant_id) as session:
        variant = records.get(session, Variant, variant_id)
        return show(_show_variant(session, actor, variant), if_none_match)


@variants.patch("/{variant_id}", response_model=VariantView)
def change_variant(
    variant_id: UUID,
    body: VariantChanges,
    versions: IfMatch,
    actor: Writer,
    services: TheServices,
    command: OptionalCommand,
) -> Response:
    """Edit a variant."""

    def effect(session: Session) -> VariantView:
        variant = catalogue.change_variant(session, variant_id, versions, body.sent())
        return _show_variant(session, actor, variant)

    return respond(write(services, actor, command, effect))


@variants.post("/{variant_id}/disable", response_model=VariantView)
def disable_variant(
    variant_id: UUID, actor: Writer, services: TheServices, command: KeyedCommand
) -> Response:
    """Take a variant out of use; refused while orders or stock use it."""

    def effect(session: Session) -> VariantView:
        return _show_variant(session, actor, catalogue.disable_variant(session, variant_id))

    return respond(write(services, actor, command, effect))


@variants.post("/{variant_id}/enable", response_model=VariantView)
def enable_variant(
    variant_id: UUID, actor: Writer, services: TheServices, command: KeyedCommand
) -> Response:
    """Put a variant back into use."""

    def effect(session: Session) -> VariantView:
        return _show_variant(session, actor, catalogue.enable_variant(session, variant_id))

    return respond(write(services, actor, command, effect))


def _show_product(session: Session, actor: Actor, product: Product) -> ProductView:
    return _show_products(session, actor, [product])[0]


def _show_products(session: Session, actor: Actor, rows: Sequence[Product]) -> list[ProductView]:
    defaults = catalogue.default_variants(session, rows)
    values = attributes.values_of(session, [row.id for row in rows])
    return [
        ProductView.of(
            row,
            currency=actor.currency,
            default_variant_id=defaults.get(row.id),
            attributes=values[row.id],
        )
        for row in rows
    ]


def _show_variant(session: Session, actor: Actor, variant: Variant) -> VariantView:
    return _show_variants(session, actor, [variant])[0]


def _show_variants(
    session: Session, actor: Actor, rows: Sequence[Variant], *, barcode: str | None = None
) -> list[VariantView]:
    """The variants; ``barcode`` is the one by which they were found."""
    bases = units.base_units(session, rows)
    values = attributes.values_of(session, [row.id for row in rows])
    package = None if barcode is None else units.package_with(session, barcode)
    views = []
    for row in rows:
        base = bases[row.base_unit_id]
        scanned = None
        if barcode is not None:
            unit, factor = package[1:] if package is not None else (base, 1)
            scanned = ScannedUnit(unit=unit, factor=factor)
        views.append(
            VariantView.of(
                row,
                currency=actor.currency,
                base_unit=base,
                scanned=scanned,
                attributes=values[row.id],
            )
        )
    return views
