"""Orders over HTTP: placing starts a process, commands are messages to it, reads read SQL."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.answers import RecordView, show
from api.auth import needs
from api.etag import IfNoneMatch
from api.idempotency import KeyedCommand
from api.order_process import place, tell
from api.pages import ListOf, PageQuery, listing, window
from api.routing import make_router
from api.services import TheServices
from db import orders
from db.engine import transaction
from db.tables import Order, OrderLine
from domain.errors import NotFound
from domain.order_requests import (
    CancelOrder,
    CloseOrder,
    DeliverOrder,
    NewOrder,
    PayOrder,
    PickOrder,
    ResolveOrder,
    ShipOrder,
)
from domain.orders import Cancel, Close, Deliver, Fulfilment, Pay, Pick, Resolve, Ship, ShipLine
from domain.permissions import Actor, Permission
from domain.values import Money, Name, SignedMoney
from workflows.orders import OrderWorkflow

router = make_router("/v1/orders", "orders")
Reader = Annotated[Actor, needs(Permission.ORDERS_READ)]
Placer = Annotated[Actor, needs(Permission.ORDERS_PLACE)]
Payer = Annotated[Actor, needs(Permission.ORDERS_PAY)]
Fulfiller = Annotated[Actor, needs(Permission.ORDERS_FULFIL)]
Canceller = Annotated[Actor, needs(Permission.ORDERS_CANCEL)]
Resolver = Annotated[Actor, needs(Permission.ORDERS_RESOLVE)]


class OrderLineView(BaseModel):
    """One line; ordered = reserved + backordered + shipped + cancelled."""

    model_config = ConfigDict(from_attributes=True)

    line: int
    variant_id: UUID
    warehouse_id: UUID
    description: str
    ordered: int
    reserved: int
    backordered: int
    shipped: int
    cancelled: int
    returned: int
    unit_price: Money
    amount: Money


class ChargeView(BaseModel):
    """An amount that is no stock."""

    code: str
    description: str
    amount: SignedMoney


class ParcelView(BaseModel):
    """A shipment that happened."""

    model_config = ConfigDict(from_attributes=True)

    n: int
    lines: list[dict[str, int]]
    carrier: str | None
    tracking: str | None
    shipped_at: datetime
    shipped_by: str


class PaymentView(BaseModel):
    """Money that was received."""

    model_config = ConfigDict(from_attributes=True)

    n: int
    method: str
    amount: Money
    currency: str
    reference: str | None
    received_at: datetime
    recorded_by: str


class OrderView(RecordView):
    """An order as its process last recorded it, and what it waits for."""

    object: Literal["order"] = "order"
    number: str
    workflow_id: str
    customer_id: UUID
    reference: str | None
    currency: str
    total_amount: Money
    paid_amount: Money
    balance: SignedMoney = Field(description="Paid minus total: negative is still owed.")
    policy: str
    payment_required: bool
    fulfilment: str
    payment: str
    return_status: str
    waiting_for: str | None
    since: datetime | None
    until: datetime | None
    then_what: str | None
    actions: list[str]
    needs_attention: bool
    attention: str | None
    refusal: dict[str, Any] | None
    occurred_at: datetime
    business_date: date
    closed_at: datetime | None
    charges: list[ChargeView]
    lines: list[OrderLineView]


class OrderDetails(OrderView):
    """An order with its parcels and payments."""

    shipments: list[ParcelView]
    payments: list[PaymentView]


class TimelineEntry(BaseModel):
    """A step of an order: what became true, by whom, when; the wait that followed is in data."""

    sequence: int
    kind: str
    actor: str
    occurred_at: datetime
    recorded_at: datetime
    data: dict[str, Any]


class Timeline(BaseModel):
    """The steps of an order, first to last."""

    object: Literal["list"] = "list"
    data: list[TimelineEntry]
    has_more: bool
    next_cursor: str | None


class OrderQuery(PageQuery):
    """Filters of the list of orders."""

    status: Fulfilment | None = None
    customer_id: UUID | None = None
    reference: Name | None = None


class TimelineQuery(BaseModel):
    """Which steps of a timeline are wanted."""

    model_config = ConfigDict(extra="forbid")

    after: int = Field(default=0, ge=0, le=2**53, description="Steps after this sequence.")
    limit: int = Field(default=200, ge=1, le=200)


@router.post("", status_code=201, response_model=OrderDetails)
async def place_order(
    body: NewOrder, actor: Placer, services: TheServices, command: KeyedCommand
) -> Response:
    """Place an order and reserve its stock; a shortage refuses it whole, with the numbers."""
    return await place(services, actor, command, body, _render)


@router.get("", response_model=ListOf[OrderView])
def list_orders(
    request: Request, query: Annotated[OrderQuery, Query()], actor: Reader, services: TheServices
) -> Response:
    """List orders."""
    with transaction(services.engine, actor.tenant_id) as session:
        page = orders.list_orders(
            session,
            window(request, query),
            status=query.status,
            customer_id=query.customer_id,
            reference=query.reference,
        )
        lines = orders.lines_of(session, [order.id for order in page.rows])
        views = [OrderView.of(order, **_more(order, lines[order.id])) for order in page.rows]
        return listing(request, page, views)


@router.get("/{order_id}", response_model=OrderDetails)
def get_order(
    order_id: str, actor: Reader, services: TheServices, if_none_match: IfNoneMatch = None
) -> Response:
    """Show an order, by id or number."""
    with transaction(services.engine, actor.tenant_id) as session:
        return show(_details(session, _find(session, order_id)), if_none_match)


@router.get("/{order_id}/timeline", response_model=Timeline)
def get_timeline(
    order_id: str, query: Annotated[TimelineQuery, Query()], actor: Reader, services: TheServices
) -> Timeline:
    """Every step of an order: what, by whom, when, and what it then waited for."""
    with transaction(services.engine, actor.tenant_id) as session:
        order = _find(session, order_id)
        facts = orders.timeline(session, order.number, query.after, query.limit + 1)
    more = len(facts) > query.limit
    entries = [
        TimelineEntry(
            sequence=fact.subject_sequence,
            kind=fact.kind,
            actor=fact.actor,
            occurred_at=fact.occurred_at,
            recorded_at=fact.recorded_at,
            data=fact.data,
        )
        for fact in facts[: query.limit]
    ]
    following = str(entries[-1].sequence) if more else None
    return Timeline(data=entries, has_more=more, next_cursor=following)


@router.post("/{order_id}/pay", response_model=OrderDetails)
async def pay_order(
    order_id: str, body: PayOrder, actor: Payer, services: TheServices, command: KeyedCommand
) -> Response:
    """Record money that was received."""
    message = Pay(actor=actor.name, **body.model_dump())
    return await tell(services, actor, command, order_id, OrderWorkflow.pay, message, _render)


@router.post("/{order_id}/pick", response_model=OrderDetails)
async def pick_order(
    order_id: str, body: PickOrder, actor: Fulfiller, services: TheServices, command: KeyedCommand
) -> Response:
    """Start to gather the goods."""
    message = Pick(actor=actor.name, **body.model_dump())
    return await tell(services, actor, command, order_id, OrderWorkflow.pick, message, _render)


@router.post("/{order_id}/ship", response_model=OrderDetails)
async def ship_order(
    order_id: str, body: ShipOrder, actor: Fulfiller, services: TheServices, command: KeyedCommand
) -> Response:
    """Send a parcel off, with some lines or with all that is still reserved."""
    message = Ship(
        actor=actor.name,
        occurred_at=body.occurred_at,
        lines=tuple(ShipLine(line=x.line, quantity=x.quantity) for x in body.lines or ()),
        carrier=body.carrier,
        tracking=body.tracking,
    )
    return await tell(services, actor, command, order_id, OrderWorkflow.ship, message, _render)


@router.post("/{order_id}/deliver", response_model=OrderDetails)
async def deliver_order(
    order_id: str,
    body: DeliverOrder,
    actor: Fulfiller,
    services: TheServices,
    command: KeyedCommand,
) -> Response:
    """The goods have reached the customer."""
    message = Deliver(actor=actor.name, **body.model_dump())
    return await tell(services, actor, command, order_id, OrderWorkflow.deliver, message, _render)


@router.post("/{order_id}/close", response_model=OrderDetails)
async def close_order(
    order_id: str, body: CloseOrder, actor: Fulfiller, services: TheServices, command: KeyedCommand
) -> Response:
    """Close a delivered order before it closes by itself."""
    message = Close(actor=actor.name, **body.model_dump())
    return await tell(services, actor, command, order_id, OrderWorkflow.close, message, _render)


@router.post("/{order_id}/cancel", response_model=OrderDetails)
async def cancel_order(
    order_id: str,
    body: CancelOrder,
    actor: Canceller,
    services: TheServices,
    command: KeyedCommand,
) -> Response:
    """Give up what has not left the house; its stock is free at once."""
    message = Cancel(actor=actor.name, **body.model_dump())
    return await tell(services, actor, command, order_id, OrderWorkflow.cancel, message, _render)


@router.post("/{order_id}/resolve", response_model=OrderDetails)
async def resolve_order(
    order_id: str,
    body: ResolveOrder,
    actor: Resolver,
    services: TheServices,
    command: KeyedCommand,
) -> Response:
    """Decide about a step that failed: try it again, or cancel the order."""
    message = Resolve(actor=actor.name, decision=body.decision)
    return await tell(services, actor, command, order_id, OrderWorkflow.resolve, message, _render)


def _find(session: Session, order_id: str) -> Order:
    order = orders.find(session, order_id)
    if order is None:
        raise NotFound("There is no such order.")
    return order


def _more(order: Order, lines: Sequence[OrderLine]) -> dict[str, Any]:
    """What the row of an order does not hold itself."""
    return {
        "object": "order",
        "balance": order.paid_amount - order.total_amount,
        "lines": [
            {
                **{name: getattr(row, name, None) for name in OrderLineView.model_fields},
                "amount": row.ordered * row.unit_price,
            }
            for row in lines
        ],
    }


def _details(session: Session, order: Order) -> OrderDetails:
    return OrderDetails.of(
        order,
        **_more(order, orders.lines_of(session, [order.id])[order.id]),
        shipments=[ParcelView.model_validate(x) for x in orders.shipments_of(session, order.id)],
        payments=[PaymentView.model_validate(x) for x in orders.payments_of(session, order.id)],
    )


def _render(session: Session, order: Order) -> bytes:
    return _details(session, order).model_dump_json().encode()
