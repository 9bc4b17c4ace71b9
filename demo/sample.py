"""Writes the demo's own sales file: an invented wholesaler, the same bytes for the same seed."""

import csv
import random
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

HEADER = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
SMALLEST = 10
FIRST_INVOICE = 710_001
# Days above twelve, so that the file itself tells month/day from day/month.
FIRST_DAY = datetime.fromisoformat("2025-09-15")
DAYS = 5

# Code, name, price in the shop's currency, pieces in a box.
ARTICLES = (
    ("31001", "STONEWARE MUG OATMEAL 350ML", "3.95", 6),
    ("31002", "STONEWARE MUG INDIGO 350ML", "3.95", 6),
    ("31003", "STONEWARE BREAKFAST BOWL OATMEAL", "4.60", 6),
    ("31004", "STONEWARE DINNER PLATE INDIGO", "6.25", 4),
    ("31010", "ENAMEL PIE DISH 24CM CREAM", "5.40", 6),
    ("31011", "ENAMEL JUG 1L CREAM", "7.80", 3),
    ("31012", "ENAMEL COLANDER SAGE", "9.20", 2),
    ("31020", "BEECH WOODEN SPOON 30CM", "0.95", 24),
    ("31021", "BEECH SPATULA SET OF THREE", "2.75", 12),
    ("31022", "OLIVE WOOD SERVING BOARD SMALL", "11.50", 2),
    ("31023", "OLIVE WOOD SERVING BOARD LARGE", "18.75", 2),
    ("31030", "LINEN TEA TOWEL HERRINGBONE GREY", "3.10", 12),
    ("31031", "LINEN TEA TOWEL HERRINGBONE RUST", "3.10", 12),
    ("31032", "LINEN APRON CHARCOAL", "12.40", 3),
    ("31033", "COTTON OVEN GLOVE, DOUBLE", "5.65", 6),
    ("31040", "BEESWAX CANDLE TAPER PAIR", "2.20", 12),
    ("31041", "BEESWAX PILLAR CANDLE 10CM", "6.90", 4),
    ("31042A", "SOY CANDLE IN TIN FIG", "4.35", 6),
    ("31042B", "SOY CANDLE IN TIN CEDAR", "4.35", 6),
    ("31042C", "SOY CANDLE IN TIN CITRUS", "4.35", 6),
    ("31050", "BRASS CANDLESTICK LOW", "8.15", 4),
    ("31051", "BRASS PICTURE HOOKS PACK OF 10", "1.45", 20),
    ("31060", "WILLOW LOG BASKET", "21.00", 1),
    ("31061", "SEAGRASS STORAGE BASKET MEDIUM", "9.75", 2),
    ("31062", "JUTE SHOPPER NATURAL", "2.60", 10),
    ("31070", "SKETCHBOOK A5 KRAFT COVER", "2.15", 12),
    ("31071", "PENCIL SET OF 6 UNPAINTED CEDAR", "1.80", 12),
    ("31072", "GIFT WRAP ROLL BOTANICAL 5M", "2.40", 15),
    ("31073", "GIFT TAGS KRAFT PACK OF 20", "0.75", 30),
    ("31074", "JUTE TWINE SPOOL 100M", "1.25", 24),
    ("31080", "TERRACOTTA POT 12CM", "1.10", 24),
    ("31081", "TERRACOTTA POT 18CM", "2.30", 12),
    ("31082", "COPPER PLANT MISTER", "7.25", 4),
    ("31083", "GARDEN SNIPS, ASH HANDLE", "8.60", 4),
    ("31084", "WILDFLOWER SEED BALLS TUB", "3.35", 12),
    ("31090", "WOOL THROW HEATHER CHECK", "24.50", 1),
    ("31091", "CUSHION COVER BOUCLE ECRU", "8.95", 4),
    ("31092", "DRAUGHT EXCLUDER GREY FELT", "6.40", 4),
    ("31093", 'COAT HOOK RAIL 24" OAK', "14.20", 2),
    ("31094", "DOOR STOP ROPE KNOT", "5.15", 6),
)

# Number and country; the ids are of no one.
CUSTOMERS = (
    ("40011", "United Kingdom"),
    ("40018", "United Kingdom"),
    ("40023", "United Kingdom"),
    ("40027", "United Kingdom"),
    ("40034", "United Kingdom"),
    ("40042", "United Kingdom"),
    ("40056", "United Kingdom"),
    ("40061", "United Kingdom"),
    ("40070", "United Kingdom"),
    ("40083", "Ireland"),
    ("40088", "Ireland"),
    ("40095", "France"),
    ("40102", "Netherlands"),
    ("40117", "Germany"),
    ("40125", "Norway"),
)


@dataclass(frozen=True, slots=True)
class SampleFacts:
    """What the file holds, counted while writing it.

    `lines` are all rows below the heading; `units` and `value` those of the articles sold, charges
    and cancellations aside; `refused_rows` is how many rows an import has to turn down.
    """

    invoices: int
    sales: int
    cancellations: int
    lines: int
    charge_lines: int
    cancelled_lines: int
    refused_rows: int
    articles: int
    customers: int
    units: int
    value: Decimal


@dataclass(frozen=True, slots=True)
class _Row:
    invoice: str
    code: str
    name: str
    quantity: int
    at: datetime
    price: str
    customer: str
    country: str

    def cells(self) -> tuple[str | int, ...]:
        """The row as the public layout writes it, the date as month/day/year."""
        at = f"{self.at.month}/{self.at.day}/{self.at:%y} {self.at.hour}:{self.at:%M}"
        return (
            self.invoice,
            self.code,
            self.name,
            self.quantity,
            at,
            self.price,
            self.customer,
            self.country,
        )


def write_sample(path: Path, seed: int = 20_250_915, invoices: int = 60) -> SampleFacts:
    """Write a sales file in the layout that `stockwright import sales` reads.

    Among the invoices, about one in twelve is a cancellation of something sold before, one sale
    carries postage, and one row is a stock correction without a cancellation, which an import has
    to refuse. Raises ValueError below ten invoices: there would be no room for all of that.
    """
    if invoices < SMALLEST:
        raise ValueError(f"A sample has at least {SMALLEST} invoices, not {invoices}.")
    rng = random.Random(seed)
    sold: list[_Row] = []
    cancelled: list[_Row] = []
    rows: list[_Row] = []
    given_back: set[tuple[str, str]] = set()
    charges = 0
    postage_from, broken_at = invoices // 3, invoices // 2
    for place, at in enumerate(_times(rng, invoices)):
        number = str(FIRST_INVOICE + place)
        if place == broken_at:
            rows.append(_correction(rng, number, at))
        elif place > 3 and place % 12 == 8:
            fresh = _cancellation(rng, f"C{number}", at, sold, given_back)
            cancelled += fresh
            rows += fresh
        else:
            fresh = _sale(rng, number, at)
            sold += fresh
            rows += fresh
            if place >= postage_from and not charges:
                rows.append(_postage(fresh[0]))
                charges += 1
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(HEADER)
        writer.writerows(row.cells() for row in rows)
    return SampleFacts(
        invoices=invoices,
        sales=len({row.invoice for row in sold}),
        cancellations=len({row.invoice for row in cancelled}),
        lines=len(rows),
        charge_lines=charges,
        cancelled_lines=len(cancelled),
        refused_rows=1,
        articles=len({row.code for row in sold}),
        customers=len({row.customer for row in sold}),
        units=sum(row.quantity for row in sold),
        value=sum((row.quantity * Decimal(row.price) for row in sold), Decimal(0)),
    )


def _times(rng: random.Random, invoices: int) -> list[datetime]:
    """Minutes within the opening hours of a few days, in order."""
    moments = (
        FIRST_DAY
        + timedelta(days=rng.randrange(DAYS), hours=rng.randrange(8, 18), minutes=rng.randrange(60))
        for _ in range(invoices)
    )
    return sorted(moments)


def _sale(rng: random.Random, number: str, at: datetime) -> list[_Row]:
    customer, country = rng.choice(CUSTOMERS)
    rows = []
    for code, name, price, box in rng.sample(ARTICLES, rng.randint(2, 9)):
        # Most buy a box, some single pieces, a few a stack of boxes.
        quantity = rng.choice((box, box, box, 2 * box, 5 * box, max(1, box // 2)))
        rows.append(_Row(number, code, name, quantity, at, price, customer, country))
    return rows


def _postage(row: _Row) -> _Row:
    return _Row(row.invoice, "POST", "POSTAGE", 1, row.at, "12.50", row.customer, row.country)


def _cancellation(
    rng: random.Random,
    number: str,
    at: datetime,
    sold: list[_Row],
    given_back: set[tuple[str, str]],
) -> list[_Row]:
    """Give back part of one or two lines of an earlier invoice; no line comes back twice."""
    left = [row for row in sold if (row.invoice, row.code) not in given_back]
    invoice = rng.choice(left).invoice
    lines = [row for row in left if row.invoice == invoice]
    chosen = rng.sample(lines, min(len(lines), rng.randint(1, 2)))
    given_back.update((row.invoice, row.code) for row in chosen)
    return [
        replace(row, invoice=number, quantity=-rng.randint(1, row.quantity), at=at)
        for row in chosen
    ]


def _correction(rng: random.Random, number: str, at: datetime) -> _Row:
    """Breakage that somebody booked as a sale: a negative quantity without a C."""
    code, _, _, box = rng.choice(ARTICLES)
    return _Row(number, code, "broken in store", -box, at, "0", "", "United Kingdom")
