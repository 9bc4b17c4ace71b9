"""Plans an import: which customers, products, opening receipts and orders a sales file asks for."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from importer.accounts import EXACT, account
from importer.articles import Article
from importer.charges import charge_name, normal_code
from importer.layout import SalesReader
from importer.planned import (
    GUEST,
    Charge,
    Customer,
    DeferredInvoice,
    ImportPlan,
    Opening,
    PlannedLine,
    PlannedOrder,
    PlanOptions,
    Product,
    RefusedInvoice,
    Totals,
)
from importer.rows import QUANTITY, Note, ReadResult, RowRefused, SaleRow, SalesFileError, SalesItem

__all__ = [
    "GUEST",
    "Charge",
    "Customer",
    "DeferredInvoice",
    "ImportPlan",
    "Opening",
    "PlanOptions",
    "PlannedLine",
    "PlannedOrder",
    "Product",
    "RefusedInvoice",
    "Totals",
    "account",
    "plan_import",
]

_NOTE_LINES = 10


def plan_import(rows: SalesReader | ReadResult, options: PlanOptions = PlanOptions()) -> ImportPlan:
    """Turn the rows of a file into what has to be posted, by the rules of decision 30.

    - An invoice whose number starts with C is a cancellation: deferred. One of A and a digit is an
      adjustment of bad debt: refused. Numbers are compared in upper case.
    - A row of quantity 0, or below 0 without a C, is refused; so is an invoice without an article
      line, with the charges on it.
    - Codes in `importer.charges` are charges of the order, never stock. Other codes are articles,
      in upper case: the data has 85123A and 85123a for one thing.
    - A price of 0 is a sample or gift and stands. A row without customer belongs to `guest`.
    - Time and customer of an invoice are those of its first accepted row.

    Only customers and articles of orders are planned; what is deferred or refused brings none.
    The same file and options give the same plan. Raises SalesFileError for options out of range
    (`option_invalid`) and whatever reading raises.
    """
    _check_options(options)
    zone = _zone(options.time_zone)
    with localcontext(EXACT):
        return _Planner(rows, options, zone).plan()


def _check_options(options: PlanOptions) -> None:
    for name in ("cost_ratio", "opening_factor"):
        value: Decimal = getattr(options, name)
        if not value.is_finite() or not 0 <= value <= 1000:
            raise SalesFileError("option_invalid", f"{name} must be from 0 to 1000, not {value}.")
    if not 0 <= options.extra_units <= 10**9:
        raise SalesFileError("option_invalid", "extra_units must be from 0 to a thousand million.")
    if not options.source.strip():
        raise SalesFileError("option_invalid", "source must not be empty.")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SalesFileError("option_invalid", f"Unknown time zone {name!r}.") from error


@dataclass(slots=True)
class _Draft:
    """The rows of one invoice number, wherever they stand in the file."""

    first_line: int
    rows: list[SaleRow] = field(default_factory=list)
    refused: int = 0


class _Notes:
    """Counts what happens and remembers the first few places."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, list[int], int]] = {}

    def add(self, code: str, text: str, line: int) -> None:
        _, lines, count = self._found.get(code, (text, [], 0))
        if len(lines) < _NOTE_LINES:
            lines.append(line)
        self._found[code] = (text, lines, count + 1)

    def all(self) -> tuple[Note, ...]:
        return tuple(
            Note(code, text, count, tuple(sorted(lines)))
            for code, (text, lines, count) in self._found.items()
        )


class _Planner:
    """Gathers the rows by invoice, judges each invoice once, and adds up as it goes."""

    def __init__(
        self, rows: SalesReader | ReadResult, options: PlanOptions, zone: ZoneInfo
    ) -> None:
        self._source = rows
        self._options = options
        self._zone = zone
        self._notes = _Notes()
        self._drafts: dict[str, _Draft] = {}
        self._articles: dict[str, Article] = {}
        self._countries: dict[str, str] = {}
        self._orders: list[tuple[int, PlannedOrder]] = []
        self._deferred: list[DeferredInvoice] = []
        self._refused_invoices: list[RefusedInvoice] = []
        self._refused: list[RowRefused] = []
        self._first_day: date | None = None
        self._units = 0
        self._value = Decimal(0)
        self._charge_value = Decimal(0)

    def plan(self) -> ImportPlan:
        """Read, judge, and put everything into the order in which it is posted."""
        lines_read, blank = self._gather(self._source)
        for number, draft in self._drafts.items():
            self._judge(number, draft)
            # Frees the rows while the plan grows.
            draft.rows = []
        self._orders.sort(key=lambda item: (item[1].occurred_at, item[0]))
        orders = tuple(order for _, order in self._orders)
        articles = self._known_articles()
        return ImportPlan(
            layout=self._source.layout,
            options=self._options,
            customers=tuple(Customer(code, land) for code, land in self._countries.items()),
            products=tuple(article.product() for article in articles),
            openings=self._openings(articles),
            orders=orders,
            deferred=tuple(self._deferred),
            refused_invoices=tuple(sorted(self._refused_invoices, key=lambda item: item.line)),
            refused_rows=tuple(sorted(self._refused, key=lambda row: row.line)),
            notes=self._source.notes + self._notes.all(),
            totals=Totals(
                lines_read=lines_read,
                usable_lines=sum(len(order.lines) for order in orders),
                charge_lines=sum(len(order.charges) for order in orders),
                deferred_lines=sum(len(invoice.lines) for invoice in self._deferred),
                refused_lines=len(self._refused),
                blank_lines=blank,
                invoices=len(self._drafts),
                orders=len(orders),
                deferred_invoices=len(self._deferred),
                refused_invoices=len(self._refused_invoices),
                units=self._units,
                value=self._value,
                charge_value=self._charge_value,
            ),
        )

    def _gather(self, items: Iterable[SalesItem]) -> tuple[int, int]:
        """Sort the rows by invoice; returns how many rows there were, and how many blank ones."""
        lines_read = blank = 0
        for item in items:
            lines_read += 1
            if isinstance(item, SaleRow):
                self._draft(item.invoice, item.line).rows.append(item)
            elif isinstance(item, RowRefused):
                self._refused.append(item)
                if item.invoice:
                    self._draft(item.invoice, item.line).refused += 1
            else:
                blank += 1
        return lines_read, blank

    def _draft(self, invoice: str, line: int) -> _Draft:
        number = invoice.upper()
        draft = self._drafts.get(number)
        if draft is None:
            draft = self._drafts[number] = _Draft(line)
        draft.first_line = min(draft.first_line, line)
        return draft

    def _judge(self, number: str, draft: _Draft) -> None:
        """Make one invoice an order, a deferred one or a refused one."""
        if number[0] == "A" and number[1:2].isdigit():
            reason = "An adjustment of bad debt, not a sale."
            self._refuse_rows(draft, draft.rows, "bad_debt_adjustment", reason)
            self._refuse_invoice(number, draft, "bad_debt_adjustment", reason)
            return
        cancelled = number.startswith("C")
        kept: list[SaleRow] = []
        for row in draft.rows:
            if row.quantity == 0:
                self._refuse_rows(draft, [row], "quantity_zero", "The quantity is zero.", QUANTITY)
            elif row.quantity < 0 and not cancelled:
                reason = "A negative quantity on an invoice that is no cancellation."
                self._refuse_rows(draft, [row], "adjustment_without_invoice", reason, QUANTITY)
            else:
                kept.append(row)
        goods = kept if cancelled else [row for row in kept if charge_name(row.stock_code) is None]
        if not goods:
            reason = "The invoice has charges but no article."
            self._refuse_rows(draft, kept, "charge_without_goods", reason)
            self._refuse_invoice(
                number, draft, "no_usable_line", "The invoice has no line that can be sold."
            )
        elif cancelled:
            self._defer(number, kept)
        else:
            self._place(number, draft, kept)

    def _refuse_rows(
        self, draft: _Draft, rows: list[SaleRow], code: str, reason: str, column: str = ""
    ) -> None:
        for row in rows:
            value = str(row.quantity) if column == QUANTITY else row.stock_code
            self._refused.append(RowRefused(row.line, column, code, reason, value, row.invoice))
        draft.refused += len(rows)

    def _refuse_invoice(self, number: str, draft: _Draft, code: str, reason: str) -> None:
        self._refused_invoices.append(
            RefusedInvoice(number, code, reason, draft.first_line, draft.refused)
        )

    def _defer(self, number: str, kept: list[SaleRow]) -> None:
        self._deferred.append(
            DeferredInvoice(
                number=number,
                customer=kept[0].customer or GUEST,
                occurred_at=self._business_time(kept[0]),
                lines=tuple(_line(row) for row in kept),
            )
        )

    def _place(self, number: str, draft: _Draft, kept: list[SaleRow]) -> None:
        lines: list[PlannedLine] = []
        charges: list[Charge] = []
        for row in kept:
            name = charge_name(row.stock_code)
            if name is None:
                lines.append(self._sell(row))
            else:
                amount = row.quantity * row.unit_price
                self._charge_value += amount
                code = normal_code(row.stock_code)
                description = " ".join(row.description.split()) or name
                charges.append(Charge(code, description, amount, row.line))
        order = PlannedOrder(
            number=number,
            customer=self._customer_of(kept),
            occurred_at=self._business_time(kept[0]),
            lines=tuple(lines),
            charges=tuple(charges),
        )
        self._orders.append((draft.first_line, order))

    def _sell(self, row: SaleRow) -> PlannedLine:
        """Count an article line with its article and the totals."""
        line = _line(row)
        article = self._articles.get(line.sku)
        if article is None:
            article = self._articles[line.sku] = Article(line.sku, row.line)
        article.add(row)
        self._units += row.quantity
        self._value += row.quantity * row.unit_price
        if not row.unit_price:
            self._notes.add("price_zero", "Lines sold at a price of zero stand.", row.line)
        return line

    def _customer_of(self, kept: list[SaleRow]) -> str:
        """The customer of an order, its country remembered; later rows that differ are noted."""
        first = kept[0]
        code = first.customer or GUEST
        if not first.customer:
            self._notes.add("customer_guest", f"Orders without customer go to {GUEST}.", first.line)
        if any(row.customer != first.customer for row in kept):
            text = "Invoices name several customers; the first one counts."
            self._notes.add("invoice_customers", text, first.line)
        if any(row.at != first.at for row in kept):
            text = "Invoices carry several times; the first one counts."
            self._notes.add("invoice_times", text, first.line)
        known = self._countries.get(code, "")
        if first.country and known and first.country != known and code != GUEST:
            text = "Orders of a customer come from several countries; the first one counts."
            self._notes.add("customer_countries", text, first.line)
        self._countries[code] = known or first.country
        return code

    def _business_time(self, row: SaleRow) -> datetime:
        """The row's local time as an instant, always the same one where clocks are changed.

        A time in the hour that is skipped counts as if clocks had not been changed yet; of a time
        that comes twice the first one is meant.
        """
        day = row.at.date()
        if self._first_day is None or day < self._first_day:
            self._first_day = day
        local = row.at.replace(tzinfo=self._zone, fold=0)
        instant = local.astimezone(UTC)
        if instant.astimezone(self._zone).replace(tzinfo=None, fold=0) != row.at:
            text = "Times that clocks skip in spring count as if they had not been changed yet."
            self._notes.add("clock_gap", text, row.line)
        elif local.utcoffset() != local.replace(fold=1).utcoffset():
            text = "Of times that come twice in autumn the first one is meant."
            self._notes.add("clock_fold", text, row.line)
        return instant

    def _known_articles(self) -> list[Article]:
        """The articles in order of appearance, with what is remarkable about them noted."""
        articles = list(self._articles.values())
        for article in articles:
            if len(article.spellings) > 1:
                text = "Stock codes that differ in case or spaces only are one article."
                self._notes.add("sku_spellings", text, article.line)
            if not article.names:
                text = "Articles without any description are named by their code."
                self._notes.add("article_unnamed", text, article.line)
            if not article.prices:
                text = "Articles without any price are opened at no cost."
                self._notes.add("article_unpriced", text, article.line)
        return articles

    def _openings(self, articles: list[Article]) -> tuple[Opening, ...]:
        """One receipt per article, at midnight of the day before the file's first business day."""
        if self._first_day is None:
            return ()
        eve = datetime.combine(self._first_day - timedelta(days=1), time(), self._zone)
        occurred_at = eve.astimezone(UTC)
        return tuple(article.opening(self._options, occurred_at) for article in articles)


def _line(row: SaleRow) -> PlannedLine:
    return PlannedLine(normal_code(row.stock_code), row.quantity, row.unit_price, row.line)
