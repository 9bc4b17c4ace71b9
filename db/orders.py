"""Orders in SQL: what their processes record, and the reads of the API."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from db import events, paging
from db.tables import Event, Order, OrderLine, Payment, Shipment, Variant
from domain.orders import PlaceOrder, RecordOrder


def record(session: Session, change: RecordOrder) -> int:
    """Write a newer state of an order with its lines, parcel, payment and facts.

    A version that is not newer than the stored one changes nothing (an activity that is repeated
    after an unknown commit). Returns the version that is stored now.
    """
    stored = session.execute(
        select(Order.version).where(Order.id == change.order_id).with_for_update()
    ).scalar_one_or_none()
    if stored is not None and stored >= change.version:
        return stored
    if stored is None:
        if change.placed is None:
            raise LookupError(f"Order {change.number} was never recorded as placed.")
        _insert(session, change, change.placed)
    else:
        session.execute(update(Order).where(Order.id == change.order_id).values(**_state(change)))
    _lines(session, change, new=stored is None)
    if change.parcel is not None:
        parcel = change.parcel
        session.execute(
            insert(Shipment).values(
                order_id=change.order_id,
                n=parcel.n,
                lines=[line.model_dump() for line in parcel.lines],
                carrier=parcel.carrier,
                tracking=parcel.tracking,
                shipped_at=parcel.shipped_at,
                shipped_by=parcel.shipped_by,
            )
        )
    if change.receipt is not None:
        session.execute(
            insert(Payment).values(order_id=change.order_id, **change.receipt.model_dump())
        )
    repeated = stored is not None and change.placed is not None
    known = _facts_known(session, change) if repeated else 0
    events.record(session, [fact for fact in _facts(change) if fact.sequence > known])
    return change.version


def _facts_known(session: Session, change: RecordOrder) -> int:
    """The last fact of the order: a run that was killed may have recorded more than it knew."""
    last = select(func.max(Event.subject_sequence)).where(
        Event.subject_kind == "order", Event.subject_id == change.number
    )
    return session.execute(last).scalar_one() or 0


def _state(change: RecordOrder) -> dict[str, Any]:
    waiting = change.waiting
    return {
        "version": change.version,
        "fulfilment": change.fulfilment.value,
        "payment": change.payment.value,
        "paid_amount": change.paid,
        "waiting_for": waiting.what if waiting else None,
        "since": waiting.since if waiting else None,
        "until": waiting.until if waiting else None,
        "then_what": waiting.then_what if waiting else None,
        "actions": list(change.actions),
        "needs_attention": change.attention is not None,
        "attention": change.attention,
        "refusal": change.refusal,
        "closed_at": change.at if waiting is None else None,
        "updated_at": change.at,
    }


def _insert(session: Session, change: RecordOrder, placed: PlaceOrder) -> None:
    session.execute(
        insert(Order).values(
            id=change.order_id,
            number=change.number,
            workflow_id=placed.workflow_id,
            customer_id=placed.customer_id,
            reference=placed.reference,
            currency=placed.currency,
            total_amount=placed.total,
            charges=[charge.model_dump(mode="json") for charge in placed.charges],
            policy=placed.policy.value,
            payment_required=placed.payment_required,
            occurred_at=placed.occurred_at,
            business_date=placed.business_date,
            metadata_=placed.metadata,
            created_at=change.at,
            **_state(change),
        )
    )


def _lines(session: Session, change: RecordOrder, *, new: bool) -> None:
    """Insert the lines the first time; later set the quantities of those that changed."""
    if not change.lines:
        return
    if change.placed is None or not new:
        for line in change.lines:
            session.execute(
                update(OrderLine)
                .where(OrderLine.order_id == change.order_id, OrderLine.line == line.line)
                .values(
                    reserved=line.reserved,
                    backordered=line.backordered,
                    shipped=line.shipped,
                    cancelled=line.cancelled,
                )
            )
        return
    state = {line.line: line for line in change.lines}
    variants = {line.variant_id for line in change.placed.lines}
    found = session.execute(select(Variant.id, Variant.name).where(Variant.id.in_(variants)))
    names: dict[UUID, str] = {row.id: row.name for row in found}
    session.execute(
        upsert(OrderLine),
        [
            {
                "order_id": change.order_id,
                "line": line.line,
                "variant_id": line.variant_id,
                "warehouse_id": line.warehouse_id,
                "description": names.get(line.variant_id, ""),
                "ordered": line.quantity,
                "reserved": state[line.line].reserved,
                "backordered": state[line.line].backordered,
                "shipped": state[line.line].shipped,
                "cancelled": state[line.line].cancelled,
                "returned": 0,
                "unit_price": line.unit_price,
            }
            for line in change.placed.lines
        ],
    )


def _facts(change: RecordOrder) -> list[events.NewFact]:
    return [
        events.NewFact(
            kind=fact.kind,
            subject_kind="order",
            subject_id=change.number,
            sequence=fact.sequence,
            actor=fact.actor,
            occurred_at=fact.at,
            data=fact.data,
        )
        for fact in change.facts
    ]


def find(session: Session, id_or_number: str) -> Order | None:
    """An order by its id or its human number; None when the tenant has no such order."""
    try:
        wanted = Order.id == UUID(id_or_number)
    except ValueError:
        wanted = Order.number == id_or_number
    return session.execute(select(Order).where(wanted)).scalar_one_or_none()


def list_orders(
    session: Session,
    window: paging.Window,
    *,
    status: str | None = None,
    customer_id: UUID | None = None,
    reference: str | None = None,
) -> paging.Page[Order]:
    """A page of orders in the order in which they were placed."""
    found: Select[Order] = select(Order)
    if status is not None:
        found = found.where(Order.fulfilment == status)
    if customer_id is not None:
        found = found.where(Order.customer_id == customer_id)
    if reference is not None:
        found = found.where(Order.reference == reference)
    return paging.fetch(session, found, (Order.id,), window)


def by_workflow(session: Session, workflow_id: str) -> Order | None:
    """The order that a process recorded, if it has recorded one."""
    return session.execute(
        select(Order).where(Order.workflow_id == workflow_id)
    ).scalar_one_or_none()


def lines_of(session: Session, order_ids: list[UUID]) -> dict[UUID, list[OrderLine]]:
    """The lines of several orders, by order id, in line order."""
    found: dict[UUID, list[OrderLine]] = {order_id: [] for order_id in order_ids}
    rows = session.scalars(
        select(OrderLine).where(OrderLine.order_id.in_(order_ids)).order_by(OrderLine.line)
    )
    for row in rows:
        found[row.order_id].append(row)
    return found


def shipments_of(session: Session, order_id: UUID) -> list[Shipment]:
    """The parcels of an order, first to last."""
    return list(
        session.scalars(select(Shipment).where(Shipment.order_id == order_id).order_by(Shipment.n))
    )


def payments_of(session: Session, order_id: UUID) -> list[Payment]:
    """The payments of an order, first to last."""
    return list(
        session.scalars(select(Payment).where(Payment.order_id == order_id).order_by(Payment.n))
    )


def timeline(session: Session, number: str, after: int, at_most: int) -> list[Event]:
    """The facts of an order in order, those after sequence ``after``."""
    return list(
        session.scalars(
            select(Event)
            .where(
                Event.subject_kind == "order",
                Event.subject_id == number,
                Event.subject_sequence > after,
            )
            .order_by(Event.subject_sequence)
            .limit(at_most)
        )
    )


_PRICES = text("""
SELECT v.id, v.sku, coalesce(v.price, p.price) AS price, v.status = 'active' AND p.status = 'active'
  FROM variants v JOIN products p ON p.tenant_id = v.tenant_id AND p.id = v.product_id
 WHERE v.id = ANY(:ids)
""")


@dataclass(frozen=True, slots=True)
class Sellable:
    """What placing needs to know of a variant; its price is its own or its product's."""

    sku: str
    price: Decimal
    active: bool


def sellable(session: Session, variant_ids: list[UUID]) -> dict[UUID, Sellable]:
    """Those of the variants that exist."""
    rows = session.execute(_PRICES, {"ids": variant_ids})
    return {row[0]: Sellable(row[1], row[2], row[3]) for row in rows}
