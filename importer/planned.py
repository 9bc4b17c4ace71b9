"""Holds what an import will do: plain values, complete before the first call is made."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal
from urllib.parse import quote

from importer.rows import Note, RowRefused, SalesLayout

# The customer of every invoice that names none.
GUEST = "guest"

ObjectKind = Literal["customer", "product", "opening", "order"]


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What the tenant decides about an import.

    `time_zone` is the zone in which the file's times are meant. An article's opening receipt is
    its accepted sales times `opening_factor`, rounded up, plus `extra_units` pieces, at
    `cost_ratio` of its median price. `source` is the middle of every key: imports of different
    sources don't know of each other.
    """

    time_zone: str = "Europe/London"
    cost_ratio: Decimal = Decimal("0.60")
    opening_factor: Decimal = Decimal(1)
    extra_units: int = 0
    source: str = "online-retail"


@dataclass(frozen=True, slots=True)
class Customer:
    """A buyer by the file's id; `country` is the first one seen, empty when none was."""

    code: str
    country: str


@dataclass(frozen=True, slots=True)
class Product:
    """An article; `name` and `price` are the most frequent ones of its accepted sales."""

    sku: str
    name: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class Opening:
    """The receipt from which an article's sales are served.

    `units` are received at `unit_cost` each (six decimals), `sold` of them leave by this plan;
    `occurred_at` is in UTC.
    """

    sku: str
    units: int
    unit_cost: Decimal
    sold: int
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """Pieces of one article at a price each; `source_line` is the physical line of the file."""

    sku: str
    quantity: int
    unit_price: Decimal
    source_line: int


@dataclass(frozen=True, slots=True)
class Charge:
    """What an order costs beyond goods; `amount` is quantity times price, exact."""

    code: str
    description: str
    amount: Decimal
    source_line: int


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """One sale; lines and charges in file order, `occurred_at` in UTC."""

    number: str
    customer: str
    occurred_at: datetime
    lines: tuple[PlannedLine, ...]
    charges: tuple[Charge, ...]


@dataclass(frozen=True, slots=True)
class DeferredInvoice:
    """A cancellation, kept for a version that books returns; quantities as in the file."""

    number: str
    customer: str
    occurred_at: datetime
    lines: tuple[PlannedLine, ...]


@dataclass(frozen=True, slots=True)
class RefusedInvoice:
    """An invoice that becomes nothing; `rows` of it are among the refused rows."""

    number: str
    code: str
    reason: str
    line: int
    rows: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts taken while reading, against which `account` holds the lists of the plan.

    `lines_read` are the records below the heading, blank ones included; `units` and `value` those
    of the order lines, `charge_value` that of the charges.
    """

    lines_read: int
    usable_lines: int
    charge_lines: int
    deferred_lines: int
    refused_lines: int
    blank_lines: int
    invoices: int
    orders: int
    deferred_invoices: int
    refused_invoices: int
    units: int
    value: Decimal
    charge_value: Decimal


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """Everything one file asks for, in the order in which it should be posted.

    Orders stand by business time, then by first line; refused rows by line.
    """

    layout: SalesLayout
    options: PlanOptions
    customers: tuple[Customer, ...]
    products: tuple[Product, ...]
    openings: tuple[Opening, ...]
    orders: tuple[PlannedOrder, ...]
    deferred: tuple[DeferredInvoice, ...]
    refused_invoices: tuple[RefusedInvoice, ...]
    refused_rows: tuple[RowRefused, ...]
    notes: tuple[Note, ...]
    totals: Totals

    @property
    def sha256(self) -> str:
        """The hash of the file the plan was made from."""
        return self.layout.sha256

    def key_of(self, kind: ObjectKind, code: str) -> str:
        """The idempotency key of one object, such as `import/online-retail/order/536365`.

        The key holds no hash of what is posted, on purpose: the API compares bodies, replays an
        equal one and answers 422 `idempotency_key_reuse` to another. So the same file twice does
        nothing twice, and another file with other contents under the same number is a conflict
        that can be reported. Characters outside the unreserved ones are percent-encoded.
        """
        return f"import/{quote(self.options.source, safe='')}/{kind}/{quote(code, safe='')}"
