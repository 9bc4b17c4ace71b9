"""Orders: ids, statuses, payloads of the process and its messages."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from domain.times import business_date

NUMBER_KIND = "SO"
#: More lines than the longest invoice of a wholesale shop that we have seen (1,114).
LINES_MAX = 2000


def order_workflow_id(tenant_slug: str, number: str) -> str:
    """The id of an order's process; it is also the lock and the owner of its reservations."""
    return f"order-{tenant_slug}-{number}"


class Fulfilment(StrEnum):
    """Where the goods of an order are."""

    PLACED = "placed"
    RESERVING = "reserving"
    RESERVED = "reserved"
    AWAITING_CUSTOMER = "awaiting_customer"
    BACKORDERED = "backordered"
    PICKING = "picking"
    PARTIALLY_SHIPPED = "partially_shipped"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"


#: States that an order never leaves.
ENDED = frozenset({Fulfilment.CLOSED, Fulfilment.CANCELLED, Fulfilment.EXPIRED, Fulfilment.FAILED})


class PaymentStatus(StrEnum):
    """Where the money of an order is."""

    NONE = "none"
    PENDING = "pending"
    AUTHORIZED = "authorized"
    PAID = "paid"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Policy(StrEnum):
    """What a shortage does to an order."""

    COMPLETE = "complete"


class Payload(BaseModel):
    """Base of everything that travels through Temporal: frozen, later fields with defaults."""

    model_config = ConfigDict(frozen=True)


class OrderLine(Payload):
    """One line as it was ordered; the price is frozen at placing."""

    line: int
    variant_id: UUID
    warehouse_id: UUID
    quantity: int
    unit_price: Decimal


class Charge(Payload):
    """An amount that is no stock: postage, a discount (negative), a fee."""

    code: str
    description: str
    amount: Decimal


class PlaceOrder(Payload):
    """The input of the process. Windows are in seconds from the reservation or delivery on."""

    tenant_id: UUID
    tenant_slug: str
    order_id: UUID
    number: str
    customer_id: UUID
    currency: str
    lines: tuple[OrderLine, ...]
    charges: tuple[Charge, ...] = ()
    policy: Policy = Policy.COMPLETE
    payment_required: bool = True
    payment_window: int
    ship_window: int
    close_after: int
    occurred_at: datetime
    time_zone: str
    actor: str
    reference: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)

    @property
    def workflow_id(self) -> str:
        return order_workflow_id(self.tenant_slug, self.number)

    @property
    def business_date(self) -> date:
        return business_date(self.occurred_at, self.time_zone)

    @property
    def total(self) -> Decimal:
        """Lines and charges together, in the order's currency."""
        goods = sum((line.quantity * line.unit_price for line in self.lines), Decimal(0))
        return goods + sum((charge.amount for charge in self.charges), Decimal(0))


class LineState(Payload):
    """ordered = reserved + backordered + shipped + cancelled, at every moment."""

    line: int
    ordered: int
    reserved: int = 0
    backordered: int = 0
    shipped: int = 0
    cancelled: int = 0


class Command(Payload):
    """What every message of a person carries: who sends it, and when it happened if not now."""

    actor: str
    occurred_at: datetime | None = None


class Pay(Command):
    """Money that was received, recorded by hand."""

    method: str
    amount: Decimal
    currency: str
    reference: str | None = None


class Pick(Command):
    """Somebody starts to gather the goods."""


class ShipLine(Payload):
    """Units of one order line that go into a parcel."""

    line: int
    quantity: int


class Ship(Command):
    """A parcel leaves the house; without lines it takes all that is still reserved."""

    lines: tuple[ShipLine, ...] = ()
    carrier: str | None = None
    tracking: str | None = None


class Deliver(Command):
    """The goods have reached the customer."""


class Close(Command):
    """The order is finished before its time for closing by itself."""


class Cancel(Command):
    """What has not left the house is given up."""

    reason: str | None = None


class Decision(StrEnum):
    """What a person decides about a step that failed."""

    RETRY = "retry"
    CANCEL = "cancel"


class Resolve(Command):
    """A person's decision about a process that needs attention."""

    decision: Decision


class Parcel(Payload):
    """A shipment that happened; ``n`` counts from 1 within the order."""

    n: int
    lines: tuple[ShipLine, ...]
    carrier: str | None = None
    tracking: str | None = None
    shipped_at: datetime
    shipped_by: str


class Receipt(Payload):
    """A payment that was recorded; ``n`` counts from 1 within the order."""

    n: int
    method: str
    amount: Decimal
    currency: str
    reference: str | None = None
    received_at: datetime
    recorded_by: str


class Waiting(Payload):
    """What a process waits for, on which deadline, and what happens then."""

    what: str
    since: datetime
    until: datetime | None = None
    then_what: str | None = None


class OrderState(BaseModel):
    """Everything that an order's process knows; one argument of continue-as-new."""

    order: PlaceOrder
    fulfilment: Fulfilment = Fulfilment.PLACED
    payment: PaymentStatus = PaymentStatus.PENDING
    lines: list[LineState] = Field(default_factory=list)
    paid: Decimal = Decimal(0)
    receipts: int = 0
    parcels: int = 0
    steps: int = 0
    version: int = 0
    facts: int = 0
    reserved_at: datetime | None = None
    shipped_at: datetime | None = None
    delivered_at: datetime | None = None
    since: datetime | None = None
    refusal: dict[str, Any] | None = None
    attention: str | None = None

    @property
    def ended(self) -> bool:
        return self.fulfilment in ENDED

    @property
    def reserved(self) -> int:
        return sum(line.reserved for line in self.lines)

    @property
    def shipped(self) -> int:
        return sum(line.shipped for line in self.lines)

    @property
    def ship_deadline(self) -> datetime | None:
        """Until when an unshipped reservation lives."""
        if self.reserved_at is None:
            return None
        return self.reserved_at + timedelta(seconds=self.order.ship_window)

    @property
    def payment_deadline(self) -> datetime | None:
        """Until when an unpaid order may hold stock."""
        if self.reserved_at is None:
            return None
        return self.reserved_at + timedelta(seconds=self.order.payment_window)


class Settled(Payload):
    """The first answer of the process: reserved, or refused with the numbers."""

    number: str
    fulfilment: Fulfilment
    refusal: dict[str, Any] | None = None


class Done(Payload):
    """The answer to a command: the state that it led to; the record in SQL has this version."""

    number: str
    fulfilment: Fulfilment
    payment: PaymentStatus
    version: int


class OrderFact(Payload):
    """A step of the timeline."""

    kind: str
    sequence: int
    actor: str
    at: datetime
    data: dict[str, Any] = Field(default_factory=dict)


class RecordOrder(Payload):
    """What changed since the last record; ``placed`` only the first time."""

    tenant_id: UUID
    order_id: UUID
    number: str
    version: int
    fulfilment: Fulfilment
    payment: PaymentStatus
    paid: Decimal
    lines: tuple[LineState, ...] = ()
    waiting: Waiting | None = None
    actions: tuple[str, ...] = ()
    attention: str | None = None
    refusal: dict[str, Any] | None = None
    placed: PlaceOrder | None = None
    parcel: Parcel | None = None
    receipt: Receipt | None = None
    facts: tuple[OrderFact, ...] = ()
    at: datetime


class OrderRecorded(Payload):
    """The version that the record now has."""

    version: int


class StockStep(Payload):
    """What the stock activities of an order share. ``key`` is workflow id + step."""

    tenant_id: UUID
    key: str
    owner: str
    number: str
    reference_kind: str = "order"
    actor: str
    occurred_at: datetime
    time_zone: str
    reason: str | None = None


class ReserveStock(StockStep):
    """All lines or none."""

    lines: tuple[OrderLine, ...]


class StockReserved(Payload):
    """``refusal`` has code, detail and the numbers when the stock refused."""

    refusal: dict[str, Any] | None = None


class ReleaseStock(StockStep):
    """``lines`` (line to quantity), or everything; ``voids`` is the key of the reserve undone."""

    lines: dict[int, int] | None = None
    voids: str | None = None


class StockReleased(Payload):
    """How many units became available again."""

    units: int


class ShipStock(StockStep):
    """Reserved units leave the house."""

    lines: dict[int, int]


class StockShipped(Payload):
    """``refusal`` is set when the units are not held (any more)."""

    refusal: dict[str, Any] | None = None
