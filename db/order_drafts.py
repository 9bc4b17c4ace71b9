"""Turns a client's order into the input of its process: checks every reference, freezes prices."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import orders, units
from db.operations import Claim
from db.tables import Customer, Warehouse
from domain.errors import Conflict, FieldError, InvalidInput
from domain.order_requests import NewOrder
from domain.orders import Charge, OrderLine, PlaceOrder, Policy
from domain.permissions import Actor

_TOTAL_MAX = Decimal(10) ** 17


@dataclass(frozen=True, slots=True)
class Windows:
    """The installation's time limits of orders, in seconds; an order may ask for shorter ones."""

    payment: int
    ship: int
    close_after: int


def draft(
    session: Session, actor: Actor, claim: Claim, new: NewOrder, windows: Windows
) -> PlaceOrder:
    """The order as its process gets it.

    Raises:
        InvalidInput: a reference that does not exist, no default warehouse, a quantity that does
            not convert to base units, a total below zero; each wrong field is named.
        Conflict: the customer, a variant or a warehouse is disabled.
    """
    errors: list[FieldError] = []
    _check_customer(session, new, errors)
    places = _warehouses(session, new, errors)
    prices = _prices(session, new, errors)
    if errors:
        raise InvalidInput("The order names things that do not exist.", errors=errors[:100])
    lines = units.converted(session, new.lines)
    placed = PlaceOrder(
        tenant_id=actor.tenant_id,
        tenant_slug=actor.tenant_slug,
        order_id=claim.id,
        number=claim.number,
        customer_id=new.customer_id,
        currency=actor.currency,
        lines=tuple(
            OrderLine(
                line=n,
                variant_id=line.variant_id,
                warehouse_id=places[line.warehouse_id],
                quantity=line.quantity,
                unit_price=prices[line.variant_id] if line.unit_price is None else line.unit_price,
            )
            for n, line in enumerate(lines, start=1)
        ),
        charges=tuple(Charge(**charge.model_dump()) for charge in new.charges),
        policy=Policy(new.policy),
        payment_required=new.payment_required,
        payment_window=min(new.payment_window or windows.payment, windows.payment),
        ship_window=min(new.ship_window or windows.ship, windows.ship),
        close_after=windows.close_after,
        occurred_at=new.occurred_at or datetime.now(UTC),
        time_zone=actor.time_zone,
        actor=actor.name,
        reference=new.reference,
        metadata=new.metadata,
    )
    if not 0 <= placed.total < _TOTAL_MAX:
        raise InvalidInput.field("/charges", "total", "The total must be zero or more, and sane.")
    return placed


def _check_customer(session: Session, new: NewOrder, errors: list[FieldError]) -> None:
    status = session.execute(
        select(Customer.status).where(Customer.id == new.customer_id).with_for_update(read=True)
    ).scalar_one_or_none()
    if status is None:
        errors.append(FieldError("/customer_id", "unknown_customer", "There is no such customer."))
    elif status != "active":
        raise Conflict("The customer is disabled.", code="customer_disabled")


def _warehouses(
    session: Session, new: NewOrder, errors: list[FieldError]
) -> Mapping[UUID | None, UUID]:
    """The warehouse of each line; None stands for the default one."""
    wanted = {line.warehouse_id for line in new.lines}
    rows = session.execute(
        select(Warehouse.id, Warehouse.is_active, Warehouse.is_default).where(
            Warehouse.id.in_(wanted - {None}) | Warehouse.is_default
        )
    ).all()
    found: dict[UUID | None, UUID] = {row.id: row.id for row in rows}
    default = next((row.id for row in rows if row.is_default), None)
    if default is not None:
        found[None] = default
    inactive = {row.id for row in rows if not row.is_active}
    for n, line in enumerate(new.lines):
        if line.warehouse_id not in found:
            text = "There is no such warehouse." if line.warehouse_id else "There is no default."
            errors.append(FieldError(f"/lines/{n}/warehouse_id", "unknown_warehouse", text))
        elif found[line.warehouse_id] in inactive:
            raise Conflict(
                "The warehouse is not active.",
                code="warehouse_inactive",
                details={"line": n + 1, "warehouse_id": str(line.warehouse_id)},
            )
    return found


def _prices(session: Session, new: NewOrder, errors: list[FieldError]) -> dict[UUID, Decimal]:
    known = orders.sellable(session, list({line.variant_id for line in new.lines}))
    for n, line in enumerate(new.lines):
        if line.variant_id not in known:
            errors.append(
                FieldError(f"/lines/{n}/variant_id", "unknown_variant", "There is no such variant.")
            )
        elif not known[line.variant_id].active:
            raise Conflict(
                "The variant is disabled.",
                code="variant_disabled",
                details={"line": n + 1, "variant_id": str(line.variant_id)},
            )
    return {variant_id: item.price for variant_id, item in known.items()}
