"""Reads files of sales in the public Online Retail layout and its dialects, row by row.

A file is read three times: its bytes for hash and encoding, its text for what the dates and numbers
look like, and then for the rows. So how a row is read never depends on where in the file it stands,
and rows can be streamed without holding the file.
"""

import itertools
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, TypeVar, get_args

from importer.fields import (
    Refusal,
    read_code,
    read_customer,
    read_date,
    read_price,
    read_quantity,
    settle_date_order,
    settle_decimal_mark,
)
from importer.records import (
    Record,
    SalesInput,
    SourceBytes,
    physical_lines,
    records,
    survey_bytes,
)
from importer.rows import (
    COUNTRY,
    CUSTOMER,
    DESCRIPTION,
    INVOICE,
    INVOICE_DATE,
    QUANTITY,
    STOCK_CODE,
    UNIT_PRICE,
    BlankRow,
    DateOrder,
    DecimalMark,
    Note,
    ReadOptions,
    ReadResult,
    RowRefused,
    SaleRow,
    SalesFileError,
    SalesItem,
    SalesLayout,
    shown,
)

__all__ = [
    "Note",
    "ReadOptions",
    "ReadResult",
    "RowRefused",
    "SaleRow",
    "SalesFileError",
    "SalesLayout",
    "SalesReader",
    "open_sales",
    "read_sales",
]

DELIMITERS = (",", ";", "\t", "|")
NEEDED = (INVOICE, STOCK_CODE, QUANTITY, INVOICE_DATE, UNIT_PRICE)
OPTIONAL = (DESCRIPTION, CUSTOMER, COUNTRY)
# Headings in lower case without spaces, underscores and the like.
ALIASES = {
    "invoiceno": INVOICE,
    "invoice": INVOICE,
    "invoicenumber": INVOICE,
    "stockcode": STOCK_CODE,
    "description": DESCRIPTION,
    "quantity": QUANTITY,
    "invoicedate": INVOICE_DATE,
    "unitprice": UNIT_PRICE,
    "price": UNIT_PRICE,
    "customerid": CUSTOMER,
    "customer": CUSTOMER,
    "country": COUNTRY,
}
HEADER_WITHIN_LINES = 50
V = TypeVar("V")
# Values remembered per column: repeated texts are parsed once and kept once.
_MEMO_MAX = 500_000

_PROBLEMS = {
    "quote_broken": "A quoted field is not closed, or text follows its closing quote.",
    "field_too_long": "A field has more than 10,000 characters.",
    "nul_byte": "The row holds a NUL character.",
}


class _Header(NamedTuple):
    """Where the heading row is and which of its fields holds which column."""

    line: int
    delimiter: str
    width: int
    places: dict[str, int]
    columns: tuple[tuple[str, str], ...]
    notes: tuple[Note, ...]


class _Memo(dict[str, V]):
    """Parses each different text once: a file repeats its dates, prices and names many times."""

    def __init__(self, parse: Callable[[str], V]) -> None:
        super().__init__()
        self._parse = parse

    def __missing__(self, text: str) -> V:
        value = self._parse(text.strip())
        if len(self) < _MEMO_MAX:
            self[text] = value
        return value


def open_sales(source: SalesInput, options: ReadOptions = ReadOptions()) -> "SalesReader":
    """Find out how a file is written and make it ready to be streamed.

    A stream is read into memory from where it stands; a path is opened anew for every pass and has
    to stay unchanged meanwhile. Raises SalesFileError when the file as a whole can't be read:
    `unreadable`, `file_empty`, `file_too_large`, `line_too_long`, `encoding`, `quotes_broken`,
    `header_missing`, `column_missing`, `column_twice`, `option_invalid`.
    """
    _check_options(options)
    held = SourceBytes(source)
    facts = survey_bytes(held, options.encoding)
    header = _find_header(held, facts.encoding, options.delimiter)
    dates, numbers = _survey_values(held, facts.encoding, header)
    date_order, date_notes = settle_date_order(dates)
    decimal_mark, mark_notes = settle_decimal_mark(numbers)
    notes = list(header.notes)
    notes += date_notes if options.date_order is None else ()
    notes += mark_notes if options.decimal_mark is None else ()
    layout = SalesLayout(
        sha256=facts.sha256,
        size=facts.size,
        encoding=facts.encoding,
        delimiter=header.delimiter,
        decimal_mark=options.decimal_mark or decimal_mark,
        date_order=options.date_order or date_order,
        header_line=header.line,
        columns=header.columns,
    )
    return SalesReader(held, layout, header, tuple(notes))


def read_sales(source: SalesInput, options: ReadOptions = ReadOptions()) -> ReadResult:
    """Read a whole file into memory; raises SalesFileError like `open_sales`, never for a row."""
    reader = open_sales(source, options)
    rows: list[SaleRow] = []
    refused: list[RowRefused] = []
    blank: list[BlankRow] = []
    for item in reader:
        if isinstance(item, SaleRow):
            rows.append(item)
        elif isinstance(item, RowRefused):
            refused.append(item)
        else:
            blank.append(item)
    return ReadResult(reader.layout, tuple(rows), tuple(refused), tuple(blank), reader.notes)


class SalesReader:
    """Streams the rows of one file, as often as it is iterated; `layout` and `notes` are settled.

    Every record below the heading comes out exactly once: read, refused or blank.
    """

    def __init__(
        self, source: SourceBytes, layout: SalesLayout, header: _Header, notes: tuple[Note, ...]
    ) -> None:
        self.layout = layout
        self.notes = notes
        self._source = source
        self._header = header

    def __iter__(self) -> Iterator[SalesItem]:
        parse = _RowParser(self._header, self.layout.decimal_mark, self.layout.date_order)
        for record in _data_records(self._source, self.layout.encoding, self._header):
            yield parse(record)


class _RowParser:
    """Turns records into rows or refusals; the first fault in the order of the columns counts."""

    def __init__(self, header: _Header, mark: DecimalMark, order: DateOrder) -> None:
        self._width = header.width
        self._delimiter = header.delimiter
        self._places = header.places
        self._invoices: _Memo[str | Refusal] = _Memo(lambda text: read_code(text, INVOICE))
        self._codes: _Memo[str | Refusal] = _Memo(lambda text: read_code(text, STOCK_CODE))
        self._texts: _Memo[str] = _Memo(str)
        self._quantities: _Memo[int | Refusal] = _Memo(lambda text: read_quantity(text, mark))
        self._dates: _Memo[datetime | Refusal] = _Memo(lambda text: read_date(text, order))
        self._prices: _Memo[Decimal | Refusal] = _Memo(lambda text: read_price(text, mark))
        self._customers: _Memo[str | Refusal] = _Memo(lambda text: read_customer(text, CUSTOMER))

    def __call__(self, record: Record) -> SalesItem:
        fields = record.fields
        if record.problem:
            return self._refused(record, "", record.problem, _PROBLEMS[record.problem])
        if not any(map(str.strip, fields)):
            return BlankRow(record.line)
        if len(fields) != self._width:
            code = "row_too_short" if len(fields) < self._width else "row_too_long"
            reason = f"The row has {len(fields)} fields, the heading {self._width}."
            return self._refused(record, "", code, reason)
        return self._row(record)

    def _row(self, record: Record) -> SalesItem:
        invoice = self._invoices[self._text(record, INVOICE)]
        if isinstance(invoice, Refusal):
            return self._refused(record, *invoice)
        code = self._codes[self._text(record, STOCK_CODE)]
        if isinstance(code, Refusal):
            return self._refused(record, *code, invoice)
        quantity = self._quantities[self._text(record, QUANTITY)]
        if isinstance(quantity, Refusal):
            return self._refused(record, *quantity, invoice)
        at = self._dates[self._text(record, INVOICE_DATE)]
        if isinstance(at, Refusal):
            return self._refused(record, *at, invoice)
        price = self._prices[self._text(record, UNIT_PRICE)]
        if isinstance(price, Refusal):
            return self._refused(record, *price, invoice)
        customer = self._customers[self._text(record, CUSTOMER)]
        if isinstance(customer, Refusal):
            return self._refused(record, *customer, invoice)
        return SaleRow(
            line=record.line,
            invoice=invoice,
            stock_code=code,
            description=self._texts[self._text(record, DESCRIPTION)],
            quantity=quantity,
            at=at,
            unit_price=price,
            customer=customer,
            country=self._texts[self._text(record, COUNTRY)],
        )

    def _text(self, record: Record, column: str) -> str:
        place = self._places.get(column)
        return "" if place is None else record.fields[place]

    def _refused(
        self, record: Record, column: str, code: str, reason: str, invoice: str = ""
    ) -> RowRefused:
        value = self._text(record, column) if column else self._delimiter.join(record.fields)
        return RowRefused(record.line, column, code, reason, shown(value.strip()), invoice)


def _check_options(options: ReadOptions) -> None:
    checks = (
        ("delimiter", options.delimiter, DELIMITERS),
        ("decimal_mark", options.decimal_mark, get_args(DecimalMark)),
        ("date_order", options.date_order, get_args(DateOrder)),
    )
    for name, value, known in checks:
        if value is not None and value not in known:
            raise SalesFileError(
                "option_invalid", f"Unknown {name} {value!r}; known: {', '.join(map(repr, known))}."
            )


def _find_header(source: SourceBytes, encoding: str, wanted: str | None) -> _Header:
    """The heading row under the delimiter that makes most of it, or an error saying what lacks."""
    head = list(itertools.islice(physical_lines(source, encoding), HEADER_WITHIN_LINES))
    notes: list[Note] = []
    if head and (told := _told_delimiter(head[0])):
        # Spreadsheets write such a first line for themselves; it is no row.
        head[0] = "\n"
        wanted = wanted or told
        notes.append(Note("delimiter_line", f"The first line names the delimiter {told!r}."))
    best: tuple[Record, str] | None = None
    most = -1
    for delimiter in (wanted,) if wanted else DELIMITERS:
        for record in records(iter(head), delimiter):
            if any(map(str.strip, record.fields)):
                known = 0 if record.problem else len(set(_columns(record.fields).values()))
                if known > most:
                    best, most = (record, delimiter), known
                break
    if best is None:
        raise SalesFileError(
            "header_missing", f"The first {HEADER_WITHIN_LINES} lines hold no heading row."
        )
    record, delimiter = best
    return _header(record, delimiter, notes)


def _told_delimiter(line: str) -> str:
    told = line.rstrip("\r\n").lower().removeprefix("sep=")
    return told if told in DELIMITERS and line.lower().startswith("sep=") else ""


def _columns(headings: list[str]) -> dict[int, str]:
    """The published name of each recognised heading by its place."""
    plain = ("".join(filter(str.isalnum, heading.lower())) for heading in headings)
    return {place: ALIASES[name] for place, name in enumerate(plain) if name in ALIASES}


def _header(record: Record, delimiter: str, notes: list[Note]) -> _Header:
    headings = [shown(heading.strip()) for heading in record.fields]
    columns = _columns(record.fields)
    places: dict[str, int] = {}
    for place, column in columns.items():
        if column in places:
            raise SalesFileError(
                "column_twice",
                f"Both {headings[places[column]]!r} and {headings[place]!r} could be the column "
                f"{column}; leave one of them out.",
            )
        places[column] = place
    found = ", ".join(repr(heading) for heading in headings[:20])
    if missing := [column for column in NEEDED if column not in places]:
        raise SalesFileError(
            "column_missing",
            f"Line {record.line} should name the columns, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing; found: {found}.",
        )
    if absent := [column for column in OPTIONAL if column not in places]:
        text = f"The file has no column {', '.join(absent)}."
        notes.append(Note("columns_absent", text, len(absent)))
    extra = [heading for place, heading in enumerate(headings) if place not in columns]
    if extra:
        text = f"Columns without a use are ignored: {', '.join(map(repr, extra[:20]))}."
        notes.append(Note("columns_ignored", text, len(extra)))
    pairs = tuple((column, headings[place]) for column, place in places.items())
    return _Header(record.line, delimiter, len(headings), places, pairs, tuple(notes))


def _data_records(source: SourceBytes, encoding: str, header: _Header) -> Iterator[Record]:
    """The records below the heading."""
    for record in records(physical_lines(source, encoding), header.delimiter):
        if record.line > header.line:
            yield record


def _survey_values(
    source: SourceBytes, encoding: str, header: _Header
) -> tuple[dict[str, None], dict[str, None]]:
    """All different dates, and all different numbers, in order of appearance."""
    dates: dict[str, None] = {}
    numbers: dict[str, None] = {}
    at, price, quantity = (header.places[name] for name in (INVOICE_DATE, UNIT_PRICE, QUANTITY))
    for record in _data_records(source, encoding, header):
        fields = record.fields
        if record.problem or len(fields) != header.width:
            continue
        dates[fields[at]] = None
        numbers[fields[price]] = None
        numbers[fields[quantity]] = None
    return dates, numbers
