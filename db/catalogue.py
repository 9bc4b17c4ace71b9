"""Products and variants in SQL."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.orm import Session

from db import paging, records, usage
from db.tables import InventoryLevel, OrderLine, Product, Variant
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
    "variants_barcode_key": lambda: Conflict(
        "Another variant has this barcode.", code="barcode_taken"
    ),
}
#: What a level or order line that came in at the same moment answers to a DELETE.
_REFERRED: records.Refusals = {
    "inventory_levels_variant_fkey": _history,
    "order_lines_variant_fkey": _history,
}


def create_product(session: Session, new: NewProduct) -> Product:
    """A product with its variants; the first is the default.

    Raises:
        Conflict: a SKU or barcode is taken.
    """
    columns = records.columns(new.model_dump(exclude={"variants"}))
    product = records.add(session, Product(**columns), _CONSTRAINTS)
    for number, variant in enumerate(new.all_variants()):
        _add_variant(session, product.id, variant, is_default=number == 0)
    return product


def create_variant(session: Session, product_id: UUID, new: NewVariant) -> Variant:
    """One more variant of a product.

    Raises:
        NotFound: there is no such product.
        Conflict: the SKU or barcode is taken, or the product is disabled.
    """
    _refuse_disabled(records.lock(session, Product, product_id))
    return _add_variant(session, product_id, new, is_default=False)


def list_products(
    session: Session,
    window: paging.Window,
    *,
    sku: str | None = None,
    status: str | None = None,
    q: str | None = None,
) -> paging.Page[Product]:
    """Products by SKU, status, or a part of name or SKU in any case."""
    found = select(Product)
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
) -> paging.Page[Variant]:
    """Variants by product, SKU or barcode."""
    found = select(Variant)
    if product_id is not None:
        found = found.where(Variant.product_id == product_id)
    if sku is not None:
        found = found.where(Variant.sku == sku)
    if barcode is not None:
        found = found.where(Variant.barcode == barcode)
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
        Conflict: the SKU is taken.
    """
    return records.change(session, Product, product_id, versions, sent, _CONSTRAINTS)


def change_variant(
    session: Session, variant_id: UUID, versions: records.Versions, sent: Mapping[str, Any]
) -> Variant:
    """Edit a variant.

    Raises:
        NotFound, PreconditionFailed: see ``records.change``.
        Conflict: the SKU or barcode is taken.
    """
    return records.change(session, Variant, variant_id, versions, sent, _CONSTRAINTS)


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
        session.execute(delete(Variant).where(Variant.product_id == product_id))
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


def _add_variant(
    session: Session, product_id: UUID, new: NewVariant, *, is_default: bool
) -> Variant:
    columns = records.columns(new.model_dump())
    variant = Variant(product_id=product_id, is_default=is_default, **columns)
    return records.add(session, variant, _CONSTRAINTS)


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
