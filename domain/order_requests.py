"""What clients send about orders."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from domain.orders import LINES_MAX, Decision
from domain.units import CountedQuantity, InUnits
from domain.values import (
    Body,
    Code,
    Flag,
    Instant,
    Metadata,
    Money,
    Name,
    Quantity,
    ShortText,
    SignedMoney,
    example,
)

LineNumber = Annotated[int, Field(strict=True, ge=1, le=LINES_MAX)]
Seconds = Annotated[int, Field(strict=True, ge=1, le=366 * 24 * 3600)]


class NewOrderLine(InUnits):
    """What is ordered; the price is the catalogue's unless it was agreed otherwise."""

    variant_id: UUID
    quantity: CountedQuantity
    unit_price: Money | None = Field(
        default=None,
        description="Of one `unit` if that is named, else of a base unit. What does not divide"
        " into a price of a base unit with six decimals is refused (`not_exact`).",
    )
    warehouse_id: UUID | None = Field(default=None, description="Default: the default warehouse.")


class NewCharge(Body):
    """An amount that is no stock: postage, a fee, a discount (negative)."""

    code: Code
    description: ShortText = ""
    amount: SignedMoney


class NewOrder(Body):
    """An order to place. Prices and windows are frozen with it."""

    model_config = example(
        {
            "customer_id": "01980000-0000-7000-8000-000000000003",
            "reference": "web-7731",
            "lines": [{"variant_id": "01980000-0000-7000-8000-000000000002", "quantity": 3}],
        }
    )

    customer_id: UUID
    lines: list[NewOrderLine] = Field(min_length=1, max_length=LINES_MAX)
    charges: list[NewCharge] = Field(default_factory=list, max_length=100)
    policy: Literal["complete"] = Field(
        default="complete", description="On a shortage the order is refused whole."
    )
    payment_required: Flag = Field(default=True, description="Must be paid before picking.")
    reference: Name | None = Field(default=None, description="The client's own number.")
    occurred_at: Instant | None = Field(default=None, description="Business time; default: now.")
    payment_window: Seconds | None = Field(
        default=None, description="Seconds that an unpaid order may hold stock."
    )
    ship_window: Seconds | None = Field(
        default=None, description="Seconds that an unshipped reservation may live."
    )
    metadata: Metadata = Field(default_factory=dict)


class PayOrder(Body):
    """Money that was received."""

    model_config = example({"method": "bank_transfer", "amount": "41.70", "currency": "EUR"})

    method: Code
    amount: Money
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    reference: Name | None = None
    occurred_at: Instant | None = None


class PickOrder(Body):
    """Nothing to say: the goods are being gathered."""

    model_config = example({})


class ParcelLine(Body):
    """Units of an order line in a parcel."""

    line: LineNumber
    quantity: Quantity


class ShipOrder(Body):
    """A parcel; without lines it takes all that is still reserved."""

    model_config = example(
        {"lines": [{"line": 1, "quantity": 2}], "carrier": "Parcel post", "tracking": "1Z"}
    )

    lines: Annotated[list[ParcelLine], Field(min_length=1, max_length=LINES_MAX)] | None = None
    carrier: Name | None = None
    tracking: Name | None = None
    occurred_at: Instant | None = None


class DeliverOrder(Body):
    """The goods have arrived."""

    model_config = example({})

    occurred_at: Instant | None = None


class CloseOrder(Body):
    """Nothing to say: the order is finished."""

    model_config = example({})


class CancelOrder(Body):
    """What has not left the house is given up."""

    model_config = example({"reason": "ordered twice"})

    reason: Name | None = None


class ResolveOrder(Body):
    """The decision about a step that failed."""

    model_config = example({"decision": "retry"})

    decision: Decision
