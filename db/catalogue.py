"""Products and variants in SQL."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.orm import Session

from db import attributes, paging, records, units, usage
from db.tables import InventoryLevel, OrderLine, Product, Record, Variant
from domain.catalogue import NewProduct, NewVariant
from domain.errors import Conflict

ACTIVE, DISABLED = "active", "disabled"


def _sku_taken() -> Conflict:
    return Conflict("Another product or variant has this SKU.", code="sku_taken")


def _history() -> Conflict:
    return usage.in_use("Its history refers to it: disable it instead of deleting it.", [])


_CONSTRAINTS: records.Refusals = {
    "products_sku_key": _sku_taken,
    "variants_sku_key": _sku_taken,
    **units.BARCODE_TAKEN,
}
#: What a level or order line that came in at the same moment answers to a DELETE.
_REFERRED: records.Refusals = {
    "inventory_levels_variant_fkey": _history,
    "order_lines_variant_fkey": _history,
}


def create_product(session: Session, new: NewProduct) -> Product:
    """A product with its variants; the first is the default.

    Raises:
        InvalidInput: an attribute does not fit, or there is no such unit.
        Conflict: a SKU or barcode is taken.
    """
    columns = records.columns(new.model_dump(exclude={"variants", "attributes"}))
    product = records.add(session, Product(**columns), _CONSTRAINTS)
    attributes.add(session, {product: ("", new.attributes)})
    described = {f"/variants/{n}": variant for n, variant in enumerate(new.all_variants())}
    _add_variants(session, product.id, described, with_default=True)
    return product


def create_variant(session: Session, product_id: UUID, new: NewVariant) -> Variant:
    """One more variant of a product.

    Raises:
        NotFound: there is no such product.
        InvalidInput: an attribute does not fit, or there is no such unit.
        Conflict: the SKU or barcode is taken, or the product is disabled.
    """
    _refuse_disabled(records.lock(session, Product, product_id))
    return _add_variants(session, product_id, {"": new}, with_default=False)[0]


def list_products(
    session: Session,
    window: paging.Window,
    *,
    sku: str | None = None,
    status: str | None = None,
    q: str | None = None,
    having: Sequence[str] = (),
) -> paging.Page[Product]:
    """Products by SKU, status, attributes, or a part of name or SKU in any case.

    Raises:
        InvalidInput: see ``attributes.having``.
    """
    found = attributes.having(session, Product, having, window)
    if sku is not None:
        found = found.where(Product.sku == sku)
    if status is not None:
        found = found.where(Product.status == status)
    if q is not None:
        found = found.where(
            or_(
                Product.name.icontains(q, autoescape=True),
                Product.sku.icontains(q, autoescape=True),
            )
        )
    return paging.fetch(session, found, (Product.id,), window)


def list_variants(
    session: Session,
    window: paging.Window,
    *,
    product_id: UUID | None = None,
    sku: str | None = None,
    barcode: str | None = None,
    having: Sequence[str] = (),
) -> paging.Page[Variant]:
    """Variants by product, SKU, attributes, or the barcode of the variant or one of its packages.

    Raises:
        InvalidInput: see ``attributes.having``.
    """
    found = attributes.having(session, Variant, having, window)
    if product_id is not None:
        found = found.where(Variant.product_id == product_id)
    if sku is not None:
        found = found.where(Variant.sku == sku)
    if barcode is not None:
        package = units.package_with(session, barcode)
        same = Variant.barcode == barcode if package is None else Variant.id == package[0]
        found = found.where(same)
    return paging.fetch(session, found, (Variant.id,), window)


def default_variants(session: Session, products: Sequence[Product]) -> dict[UUID, UUID]:
    """The default variant of each product, by product."""
    ids = [product.id for product in products]
    found = select(Variant.product_id, Variant.id).where(
        Variant.product_id.in_(ids), Variant.is_default
    )
    return {row.product_id: row.id for row in session.execute(found)}


def change_product(
    session: Session, product_id: UUID, versions: records.Versions, sent: Mapping[str, Any]
) -> Product:
    """Edit a product.

    Raises:
        NotFound, PreconditionFailed: see ``records.change``.
        InvalidInput: an attribute does not fit.
        Conflict: the SKU is taken.
    """
    return attributes.change_record(session, Product, product_id, versions, sent, _CONSTRAINTS)


def change_variant(
    session: Session, variant_id: UUID, versions: records.Versions, sent: Mapping[str, Any]
) -> Variant:
    """Edit a variant.

    Raises:
        NotFound, PreconditionFailed: see ``records.change``.
        InvalidInput: an attribute does not fit.
        Conflict: the SKU or barcode is taken.
    """
    return attributes.change_record(session, Variant, variant_id, versions, sent, _CONSTRAINTS)


def delete_product(session: Session, product_id: UUID, versions: records.Versions) -> None:
    """Delete a product and its variants, if no order or level ever referred to them.

    Raises:
        NotFound, PreconditionFailed: see ``records.lock``.
        Conflict: ``in_use``.
    """
    product = records.lock(session, Product, product_id, versions)
    _lock_variants(session, product_id)
    usage.refuse_any_use(session, *_uses(_variants_of(product_id)))
    with records.refusing(_REFERRED):
        gone = session.scalars(
            delete(Variant).where(Variant.product_id == product_id).returning(Variant.id)
        )
    attributes.forget(session, [product_id, *gone])
    records.remove(session, product, {})


def disable_product(session: Session, product_id: UUID) -> Product:
    """Take a product and all its variants out of use.

    Raises:
        NotFound: there is no such product.
        Conflict: ``in_use`` by open orders or stock of any of its variants.
    """
    product = records.lock(session, Product, product_id)
    _lock_variants(session, product_id)
    usage.refuse_open_work(session, *_uses(_variants_of(product_id)))
    return _set_product_status(session, product, DISABLED)


def enable_product(session: Session, product_id: UUID) -> Product:
    """Put a product and all its variants back into use.

    Raises:
        NotFound: there is no such product.
    """
    return _set_product_status(session, records.lock(session, Product, product_id), ACTIVE)


def disable_variant(session: Session, variant_id: UUID) -> Variant:
    """Take a variant out of use.

    Raises:
        NotFound: there is no such variant.
        Conflict: ``in_use`` by open orders or stock.
    """
    variant = records.lock(session, Variant, variant_id)
    usage.refuse_open_work(
        session,
        usage.has_line(OrderLine.variant_id == variant_id),
        InventoryLevel.variant_id == variant_id,
    )
    return _set_status(session, variant, DISABLED)


def enable_variant(session: Session, variant_id: UUID) -> Variant:
    """Put a variant back into use.

    Raises:
        NotFound: there is no such variant.
        Conflict: its product is disabled.
    """
    variant = records.lock(session, Variant, variant_id)
    _refuse_disabled(records.get(session, Product, variant.product_id))
    return _set_status(session, variant, ACTIVE)


def _add_variants(
    session: Session, product_id: UUID, described: Mapping[str, NewVariant], *, with_default: bool
) -> list[Variant]:
    """New variants by the pointers to their bodies, the default first if there is to be one."""
    codes = {new.base_unit: f"{pointer}/base_unit" for pointer, new in described.items()}
    bases = units.ids_of(session, codes)
    made: dict[Record, tuple[str, Mapping[str, object]]] = {}
    for pointer, new in described.items():
        columns = records.columns(new.model_dump(exclude={"base_unit", "attributes"}))
        variant = Variant(
            product_id=product_id,
            is_default=with_default and not made,
            base_unit_id=bases[new.base_unit],
            **columns,
        )
        made[records.add(session, variant, _CONSTRAINTS)] = (pointer, new.attributes)
    attributes.add(session, made)
    return [row for row in made if isinstance(row, Variant)]


def _variants_of(product_id: UUID) -> Any:
    return select(Variant.id).where(Variant.product_id == product_id).scalar_subquery()


def _lock_variants(session: Session, product_id: UUID) -> None:
    # A new order line or level locks its variant for key share: it waits for us, or we see it.
    session.execute(
        select(Variant.id)
        .where(Variant.product_id == product_id)
        .order_by(Variant.id)
        .with_for_update()
    )


def _uses(variants: Any) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (
        usage.has_line(OrderLine.variant_id.in_(variants)),
        InventoryLevel.variant_id.in_(variants),
    )


def _set_product_status(session: Session, product: Product, status: str) -> Product:
    # Stock commands look at the variant alone, so that a product's status must reach its variants.
    session.execute(
        update(Variant)
        .where(Variant.product_id == product.id, Variant.status != status)
        .values(status=status)
    )
    product.status = status
    session.flush()
    return product


def _set_status(session: Session, variant: Variant, status: str) -> Variant:
    variant.status = status
    session.flush()
    return variant


def _refuse_disabled(product: Product) -> None:
    if product.status != ACTIVE:
        raise Conflict("The product is disabled; enable it first.", code="product_disabled")
