"""Whatever a file holds, reading is faithful, planning adds up, and only our errors are raised."""

import io
import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.layout import (
    ReadOptions,
    SaleRow,
    SalesFileError,
    open_sales,
    read_sales,
)
from importer.plan import PlanOptions, account, plan_import

NAMES = (
    ("InvoiceNo", "Invoice", "invoice_no", " INVOICE NO "),
    ("StockCode", "stock code"),
    ("Description", "DESCRIPTION"),
    ("Quantity", "quantity"),
    ("InvoiceDate", "Invoice Date"),
    ("UnitPrice", "Price", "unit_price"),
    ("CustomerID", "Customer ID", "customer_id"),
    ("Country", "COUNTRY"),
)
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
# The years that two digits can tell.
EARLIEST = datetime.fromisoformat("1970-01-01")
LATEST = datetime.fromisoformat("2068-12-31")
LINE_END = re.compile("\r\n|\r|\n")

codes = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 _-]{0,8}[A-Za-z0-9]", fullmatch=True).map(
    lambda text: " ".join(text.split())
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
western = st.text("aZ é£“ü,;|\t\"'\r\n", max_size=30)


@dataclass(frozen=True)
class Dialect:
    """How a file is written."""

    encoding: str
    delimiter: str
    line_end: str
    comma: bool
    grouped: bool
    quoted: bool
    date: str
    order: tuple[int, ...]
    headings: tuple[str, ...]

    def number(self, value: Decimal | int) -> str:
        text = f"{value:,f}" if self.grouped else f"{value:f}"
        swap = str.maketrans(",.", ".,") if self.comma else {}
        return text.translate(swap)

    def moment(self, at: datetime) -> str:
        return at.strftime(self.date)

    def line(self, cells: tuple[str, ...]) -> str:
        ordered = [cells[place] for place in self.order]
        return self.delimiter.join(map(self.cell, ordered)) + self.line_end

    def cell(self, text: str) -> str:
        if self.quoted or any(mark in text for mark in ('"', "\r", "\n", self.delimiter)):
            return '"' + text.replace('"', '""') + '"'
        return text


dialects = st.builds(
    Dialect,
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    delimiter=st.sampled_from(",;\t|"),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    comma=st.booleans(),
    grouped=st.booleans(),
    quoted=st.booleans(),
    date=st.sampled_from(
        ["%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%d.%m.%y %H:%M:%S", "%m-%d-%y %I:%M:%S %p",
         "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"]
    ),
    order=st.permutations(range(8)).map(tuple),
    headings=st.tuples(*map(st.sampled_from, NAMES)),
)  # fmt: skip


@st.composite
def files(draw: st.DrawFn) -> tuple[Dialect, list[SaleRow]]:
    """A dialect and rows, the first of which tells dates, decimals and encoding apart."""
    dialect = draw(dialects)
    words = western if dialect.encoding == "cp1252" else texts
    row = st.builds(
        SaleRow,
        line=st.just(0),
        invoice=codes,
        stock_code=codes,
        description=words.map(str.strip),
        quantity=st.integers(-(2**53), 2**53),
        at=st.datetimes(EARLIEST, LATEST).map(lambda at: at.replace(microsecond=0, second=0)),
        unit_price=st.decimals(0, 10**11, places=6),
        customer=st.from_regex(r"[0-9]{0,6}", fullmatch=True),
        country=words.map(str.strip),
    )
    anchor = SaleRow(
        0,
        "1",
        "A",
        "caf\u00e9 x",
        1,
        datetime.fromisoformat("2011-01-28T09:00"),
        Decimal("0.5"),
        "",
        "",
    )
    return dialect, [anchor, *draw(st.lists(row, max_size=6))]


def written(dialect: Dialect, rows: list[SaleRow]) -> tuple[bytes, list[int]]:
    """The file, and the physical line on which each row starts."""
    text = dialect.line(dialect.headings)
    lines = []
    for row in rows:
        lines.append(len(LINE_END.findall(text)) + 1)
        text += dialect.line(
            (
                row.invoice,
                row.stock_code,
                row.description,
                dialect.number(row.quantity),
                dialect.moment(row.at),
                dialect.number(row.unit_price),
                row.customer,
                row.country,
            )
        )
    return text.encode(dialect.encoding), lines


@given(files())
def test_what_is_written_in_any_dialect_is_read_back(file: tuple[Dialect, list[SaleRow]]) -> None:
    dialect, rows = file
    raw, lines = written(dialect, rows)

    result = read_sales(io.BytesIO(raw))

    assert result.refused == ()
    assert result.blank == ()
    assert result.layout.encoding == dialect.encoding
    assert result.layout.delimiter == dialect.delimiter
    assert [
        SaleRow(line, *(getattr(row, name) for name in SaleRow.__slots__[1:]))
        for line, row in zip(lines, rows, strict=True)
    ] == list(result.rows)


cells = st.tuples(
    st.sampled_from(["1", "2", "3", "x3", "X3", "C4", "c5", "A6", "", "\t", '"']),
    st.sampled_from(["A", "a", "B1", "POST", "D", "gift_01", "", "BANK CHARGES", "\0"]),
    st.sampled_from(["", "A THING", "ANOTHER", '"quoted, thing"', '"open', "x" * 11_000]),
    st.sampled_from(["1", "2", "-1", "0", "6.0", "6.5", "", "NaN", "1,5", "99999999999999999"]),
    st.sampled_from(["1/2/11 9:00", "13/2/11 9:00", "2011-03-27 01:30", "", "never", "2/14/11"]),
    st.sampled_from(["1", "0", "2.5", "-3", "Infinity", "1.2345678", "0.333333", "1e5"]),
    st.sampled_from(["", "17850", "17850.0", "nan", "9"]),
    st.sampled_from(["UK", "", "France"]),
).map(",".join)
lines = st.one_of(cells, cells, cells, st.sampled_from(["", ",,,,,,,", "short,row", '"', "\x00"]))
garbage = st.tuples(st.lists(lines, max_size=25), st.sampled_from(["\n", "\r\n", "\r"])).map(
    lambda drawn: drawn[1].join([HEADER, *drawn[0]]).encode()
)


@given(garbage, st.sampled_from(["Europe/London", "America/New_York"]))
def test_every_row_and_invoice_of_garbage_is_accounted_for(raw: bytes, zone: str) -> None:
    reader = open_sales(io.BytesIO(raw))
    items = list(reader)
    plan = plan_import(reader, PlanOptions(time_zone=zone))

    assert account(plan)["lines_read"] == len(items)
    assert [item.line for item in items] == sorted({item.line for item in items})
    assert all(len(row.value) <= 80 for row in plan.refused_rows)
    assert plan == plan_import(read_sales(io.BytesIO(raw)), PlanOptions(time_zone=zone))


raw_files = st.one_of(
    st.binary(max_size=400),
    st.binary(max_size=400).map(lambda tail: HEADER.encode() + b"\n" + tail),
    st.binary(max_size=200).map(lambda tail: b"\xff\xfe" + tail),
    texts.map(lambda tail: f"\ufeff{HEADER}\r\n{tail}".encode("utf-16-le")),
    garbage,
)
options = st.builds(
    ReadOptions,
    encoding=st.sampled_from([None, "utf-8", "utf-16", "utf-16-be", "latin-1", "cp1252", "zip"]),
    delimiter=st.sampled_from([None, ",", ";", "\t", "|", "\n", '"']),
    decimal_mark=st.sampled_from([None, "point", "comma"]),
    date_order=st.sampled_from([None, "month_first", "day_first"]),
)


@given(raw_files, options)
def test_arbitrary_bytes_raise_nothing_but_our_own_error(raw: bytes, chosen: ReadOptions) -> None:
    try:
        plan = plan_import(read_sales(io.BytesIO(raw), chosen))
    except SalesFileError:
        return
    assert account(plan)["lines_read"] == plan.totals.lines_read


@pytest.mark.parametrize("column", range(3, 6))
@given(text=texts)
def test_any_text_in_a_value_is_read_or_refused(column: int, text: str) -> None:
    values = ["1", "A", "THING", "1", "2011-01-02", "1", "7", "UK"]
    values[column] = '"' + text.replace('"', '""') + '"'

    result = read_sales(io.BytesIO(f"{HEADER}\n{','.join(values)}".encode()))

    assert len(result.rows) + len(result.refused) == 1
