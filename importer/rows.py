"""Holds the plain values that reading a sales file and planning its import have in common."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

DateOrder = Literal["month_first", "day_first"]
DecimalMark = Literal["point", "comma"]

# The columns under the names of the published file: refusals and errors use them in every dialect.
INVOICE = "InvoiceNo"
STOCK_CODE = "StockCode"
DESCRIPTION = "Description"
QUANTITY = "Quantity"
INVOICE_DATE = "InvoiceDate"
UNIT_PRICE = "UnitPrice"
CUSTOMER = "CustomerID"
COUNTRY = "Country"

SHOWN_CHARS = 80


class SalesFileError(Exception):
    """The file as a whole can't be read or planned; a bad row alone never raises this.

    `code` is stable and meant for programs, the message for the person who chose the file.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class SaleRow:
    """One readable line of an invoice, values as written but for surrounding space.

    `line` is the physical line in the file on which the row starts, the file's first line being 1.
    `quantity` is in pieces and negative for what came back; `unit_price` is in the file's currency;
    `at` is the local time of the shop, without a zone, which the file doesn't tell.
    """

    line: int
    invoice: str
    stock_code: str
    description: str
    quantity: int
    at: datetime
    unit_price: Decimal
    customer: str
    country: str


@dataclass(frozen=True, slots=True)
class RowRefused:
    """One row that takes no part in the import, and why.

    `column` is the published name of the column at fault, empty when it is the row as a whole;
    `invoice` is empty when it can't be told which invoice the row belongs to.
    """

    line: int
    column: str
    code: str
    reason: str
    value: str
    invoice: str = ""


@dataclass(frozen=True, slots=True)
class BlankRow:
    """A row without any text, counted so that every row of the file is accounted for."""

    line: int


SalesItem = SaleRow | RowRefused | BlankRow


@dataclass(frozen=True, slots=True)
class Note:
    """Something the reader should know and nobody has to act on.

    `count` says how often it happened, `lines` where: the first few physical lines.
    """

    code: str
    text: str
    count: int = 1
    lines: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the caller knows better than the detection; None leaves it to the file.

    `encoding` is one of `importer.records.ENCODINGS`, `delimiter` one of comma, semicolon, tab, |.
    """

    encoding: str | None = None
    delimiter: str | None = None
    decimal_mark: DecimalMark | None = None
    date_order: DateOrder | None = None


@dataclass(frozen=True, slots=True)
class SalesLayout:
    """How a file is written: given, found, or the documented default where the file is silent.

    `columns` pairs the published name of each column present with its heading in this file.
    `sha256` is that of the file's bytes, `size` their number.
    """

    sha256: str
    size: int
    encoding: str
    delimiter: str
    decimal_mark: DecimalMark
    date_order: DateOrder
    header_line: int
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ReadResult:
    """A whole file in memory: what could be read, what could not, and what to know about it."""

    layout: SalesLayout
    rows: tuple[SaleRow, ...]
    refused: tuple[RowRefused, ...]
    blank: tuple[BlankRow, ...]
    notes: tuple[Note, ...]

    def __iter__(self) -> Iterator[SalesItem]:
        """Every row below the header once: the readable ones first, each kind in file order."""
        yield from self.rows
        yield from self.refused
        yield from self.blank


def shown(value: str) -> str:
    """The value as a report shows it: at most 80 characters, the last one a mark when cut."""
    return value if len(value) <= SHOWN_CHARS else value[: SHOWN_CHARS - 1] + "…"
