"""Sales files are read whatever dialect they are written in, and bad rows are named."""

import io
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from importer.layout import (
    ReadOptions,
    ReadResult,
    RowRefused,
    SaleRow,
    SalesFileError,
    open_sales,
    read_sales,
)

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
# The headings of the second edition of the data, and those of careless hands.
SECOND = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country"
SPELLED = (
    'invoice_no,stock code,DESCRIPTION,quantity, Invoice Date ,unit_price,customer_id,"Country"'
)
GOOD = "536365,85123A,LANTERN,6,12/13/10 8:26,2.55,17850,United Kingdom"
ROW = SaleRow(
    line=2,
    invoice="536365",
    stock_code="85123A",
    description="LANTERN",
    quantity=6,
    at=datetime.fromisoformat("2010-12-13T08:26"),
    unit_price=Decimal("2.55"),
    customer="17850",
    country="United Kingdom",
)

Read = Callable[..., ReadResult]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write text (or bytes) to a real file and read it."""

    def write_and_read(
        text: str | bytes, encoding: str = "utf-8", options: ReadOptions = ReadOptions()
    ) -> ReadResult:
        path = tmp_path / "sales.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return read_sales(path, options)

    return write_and_read


def notes_of(result: ReadResult) -> list[str]:
    return [note.code for note in result.notes]


def sale(**values: str) -> str:
    """A file of one row, some of its values replaced."""
    names = HEADER.split(",")
    row = dict(zip(names, GOOD.split(","), strict=True)) | values
    return f"{HEADER}\n{','.join(row[name] for name in names)}\n"


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        (f"{HEADER}\n{GOOD}\n", "ascii", "utf-8"),
        (f"{HEADER}\n{GOOD}", "utf-8-sig", "utf-8-sig"),
        (f"{HEADER}\r\n{GOOD}\r\n", "utf-16", "utf-16"),
        (f"\ufeff{HEADER}\r\n{GOOD}\r\n", "utf-16-be", "utf-16"),
        (f"{HEADER}\r{GOOD}\r", "utf-8", "utf-8"),
        (f"{HEADER}\r\n{GOOD}\r\n".replace(",", ";"), "utf-8", "utf-8"),
        (f"{HEADER}\n{GOOD}\n".replace(",", "\t"), "utf-8", "utf-8"),
        (f"{HEADER}\n{GOOD}\n".replace(",", "|"), "utf-8", "utf-8"),
        (f"{HEADER}\n{GOOD}\n".replace(",", ";").replace("2.55", "2,55"), "utf-8", "utf-8"),
        (f"{HEADER}\n{GOOD}\n".replace("2.55", '"2,55"'), "utf-8", "utf-8"),
        (f"{HEADER}\n{GOOD}\n".replace("12/13/10", "13/12/10"), "utf-8", "utf-8"),
        (f"{HEADER}\n{GOOD}\n".replace("12/13/10", "13.12.2010"), "utf-8", "utf-8"),
        (f"{HEADER}\n{GOOD}\n".replace("12/13/10 8:26", "2010-12-13 08:26:00"), "utf-8", "utf-8"),
        (f"{HEADER}\n{GOOD}\n".replace("12/13/10 8:26", "2010-12-13T08:26"), "utf-8", "utf-8"),
        (f"{HEADER}\n{GOOD}\n".replace("8:26", "08:26:00 AM"), "utf-8", "utf-8"),
        (f"{HEADER}\n{GOOD}\n".replace("17850", "17850.0"), "utf-8", "utf-8"),
        (f"{HEADER}\n{GOOD}\n".replace(",6,", ",6.0,"), "utf-8", "utf-8"),
        (f"{HEADER}\n{GOOD}\n".replace("LANTERN", " LANTERN "), "utf-8", "utf-8"),
        (f"{HEADER.upper()}\n{GOOD}\n", "utf-8", "utf-8"),
        (f"{SECOND}\n{GOOD}\n", "utf-8", "utf-8"),
        (f"{SPELLED}\n{GOOD}", "utf-8", "utf-8"),
    ],
)
def test_dialects_read_the_same_row(read: Read, text: str, encoding: str, found: str) -> None:
    result = read(text, encoding)

    assert result.rows == (ROW,)
    assert [*result.refused, *result.blank, *result.notes] == []
    assert result.layout.encoding == found
    assert result.layout.header_line == 1


@pytest.mark.parametrize(
    ("raw", "encoding", "name"),
    [
        ("CAFÉ £5 “SET”".encode("cp1252"), "cp1252", "CAFÉ £5 “SET”"),
        ("CAFÉ".encode(), "utf-8", "CAFÉ"),
        (b"CAF\xc9 \x81", "latin-1", "CAFÉ \x81"),
    ],
)
def test_the_encoding_is_the_first_that_fits(
    read: Read, raw: bytes, encoding: str, name: str
) -> None:
    result = read(f"{HEADER}\n{GOOD}\n".encode().replace(b"LANTERN", raw))

    assert result.layout.encoding == encoding
    assert result.rows[0].description == name


def test_columns_come_in_any_order_and_extra_ones_are_noted(read: Read) -> None:
    result = read(
        "Margin;Country;UnitPrice;InvoiceDate;CustomerID;Quantity;InvoiceNo;StockCode;Description;\n"
        "x;United Kingdom;2,55;13.12.10 8:26;17850;6;536365;85123A;LANTERN;\n"
    )

    assert result.rows == (ROW,)
    assert notes_of(result) == ["columns_ignored"]
    assert "'Margin'" in result.notes[0].text
    assert dict(result.layout.columns)["UnitPrice"] == "UnitPrice"


def test_optional_columns_may_be_absent(read: Read) -> None:
    result = read("Invoice,StockCode,Quantity,InvoiceDate,Price\n1,A,2,2011-01-02,3\n")

    assert [(row.description, row.customer, row.country) for row in result.rows] == [("", "", "")]
    assert result.rows[0].at == datetime.fromisoformat("2011-01-02T00:00")
    assert notes_of(result) == ["columns_absent"]


def test_a_line_that_names_the_delimiter_is_no_row(read: Read) -> None:
    result = read(f"sep=|\n\n{HEADER}\n{GOOD}\n".replace(",", "|"))

    assert [row.line for row in result.rows] == [4]
    assert result.layout.header_line == 3
    assert notes_of(result) == ["delimiter_line"]


def test_quoted_fields_hold_delimiters_quotes_and_line_ends(read: Read) -> None:
    text = f"{HEADER}\r\n{GOOD}\r\n\r\n,,,,,,,\r\n{GOOD}\r\n{GOOD}\r\n".replace(
        "LANTERN", '"RED, 12"" WIDE\r\nBOXED"', 1
    )
    result = read(text)

    assert [row.line for row in result.rows] == [2, 6, 7]
    assert result.rows[0].description == 'RED, 12" WIDE\r\nBOXED'
    assert [row.line for row in result.blank] == [4, 5]


def test_a_quote_never_closed_costs_one_row(read: Read) -> None:
    lines = [HEADER, GOOD, GOOD.replace("LANTERN", '"LANTERN'), *[GOOD] * 4000]
    result = read("\n".join(lines))

    assert [(row.line, row.code) for row in result.refused] == [(3, "quote_broken")]
    assert len(result.rows) == 4001
    assert result.rows[-1].line == len(lines)


def test_text_behind_a_closing_quote_is_refused(read: Read) -> None:
    result = read(f"{HEADER}\n{GOOD}\n{GOOD}\n".replace("LANTERN", '"12" CAKE TIN"', 1))

    assert [(row.line, row.code) for row in result.refused] == [(2, "quote_broken")]
    assert [row.line for row in result.rows] == [3]


@pytest.mark.parametrize(
    ("text", "column", "code", "value"),
    [
        (sale(Quantity="6.5"), "Quantity", "quantity_not_whole", "6.5"),
        (sale(Quantity=""), "Quantity", "quantity_invalid", ""),
        (sale(Quantity="six"), "Quantity", "quantity_invalid", "six"),
        (sale(Quantity="1e3"), "Quantity", "quantity_invalid", "1e3"),
        (sale(Quantity="٣"), "Quantity", "quantity_invalid", "٣"),
        (sale(Quantity="9007199254740993"), "Quantity", "quantity_too_large", "9007199254740993"),
        (sale(Quantity="-" + "9" * 5000), "Quantity", "quantity_too_large", "-" + "9" * 78 + "…"),
        (sale(UnitPrice="NaN"), "UnitPrice", "price_invalid", "NaN"),
        (sale(UnitPrice="-Infinity"), "UnitPrice", "price_invalid", "-Infinity"),
        (sale(UnitPrice=""), "UnitPrice", "price_invalid", ""),
        (sale(UnitPrice="."), "UnitPrice", "price_invalid", "."),
        (sale(UnitPrice="£2.55"), "UnitPrice", "price_invalid", "£2.55"),
        (sale(UnitPrice="-0.01"), "UnitPrice", "price_negative", "-0.01"),
        (sale(UnitPrice="1.2345678"), "UnitPrice", "price_too_precise", "1.2345678"),
        (sale(UnitPrice="1" * 13), "UnitPrice", "price_too_large", "1" * 13),
        (sale(InvoiceDate="13/13/10 8:26"), "InvoiceDate", "date_invalid", "13/13/10 8:26"),
        (sale(InvoiceDate="2/30/2011 8:26"), "InvoiceDate", "date_invalid", "2/30/2011 8:26"),
        (sale(InvoiceDate="12/13/10 25:00"), "InvoiceDate", "date_invalid", "12/13/10 25:00"),
        (sale(InvoiceDate="12/13/10 13:00 PM"), "InvoiceDate", "date_invalid", "12/13/10 13:00 PM"),
        (sale(InvoiceDate="12-13/10"), "InvoiceDate", "date_invalid", "12-13/10"),
        (sale(InvoiceDate="1.2.345"), "InvoiceDate", "date_invalid", "1.2.345"),
        (sale(InvoiceDate="0001-01-01"), "InvoiceDate", "date_invalid", "0001-01-01"),
        (sale(InvoiceDate="2010-12-13T08:26Z"), "InvoiceDate", "date_invalid", "2010-12-13T08:26Z"),
        (sale(InvoiceNo=" "), "InvoiceNo", "code_empty", ""),
        (sale(StockCode=""), "StockCode", "code_empty", ""),
        (sale(StockCode="X" * 65), "StockCode", "code_too_long", "X" * 65),
        (sale(CustomerID="1\x07"), "CustomerID", "code_invalid", "1\x07"),
        (sale(Country="UK,1"), "", "row_too_long", GOOD.replace("United Kingdom", "UK,1")),
        (f"{HEADER}\n536365,85123A\n", "", "row_too_short", "536365,85123A"),
        (sale(Description="A\0B"), "", "nul_byte", GOOD.replace("LANTERN", "A\0B")),
        (sale(Description="X" * 10_001), "", "field_too_long", "536365,85123A," + "X" * 65 + "…"),
        (sale(Description="X" * 200_000), "", "field_too_long", "536365,85123A," + "X" * 65 + "…"),
    ],
)  # fmt: skip
def test_a_bad_row_is_refused_alone(
    read: Read, text: str, column: str, code: str, value: str
) -> None:
    result = read(f"{text}{GOOD}\n")

    assert [row.line for row in result.rows] == [3]
    (refused,) = result.refused
    assert (refused.line, refused.column, refused.code, refused.value) == (2, column, code, value)
    assert refused.reason.endswith(".")
    knows_invoice = column not in {"", "InvoiceNo"}
    assert refused.invoice == ("536365" if knows_invoice else "")


@pytest.mark.parametrize(
    ("mark", "text", "price"),
    [
        ("point", "1,234.5", "1234.5"),
        ("point", "1,234", "1234"),
        ("point", "1'234.50", "1234.5"),
        ("point", "1\u00a0234.50", "1234.5"),
        ("point", ".5", "0.5"),
        ("point", "5.", "5"),
        ("point", "-0.00", "0"),
        ("point", "+2.550000000", "2.55"),
        ("comma", "1.234,5", "1234.5"),
        ("comma", "1.234", "1234"),
        ("comma", "1 234 567,000001", "1234567.000001"),
    ],
)
def test_numbers_under_a_given_mark(read: Read, mark: str, text: str, price: str) -> None:
    options = ReadOptions(decimal_mark="comma" if mark == "comma" else "point")
    result = read(sale(UnitPrice=f'"{text}"'), options=options)

    assert [row.unit_price for row in result.rows] == [Decimal(price)]


@pytest.mark.parametrize(
    ("prices", "mark", "notes"),
    [
        (["1,5", "1.234"], "comma", []),
        (["1.5", "1,234"], "point", []),
        (["0.125"], "point", []),
        (["0,125"], "comma", []),
        (["1.234.567"], "comma", []),
        (["1", "2"], "point", []),
        (["1,234", "2"], "point", ["decimal_mark_ambiguous"]),
        (["1.5", "2.5", "3,5"], "point", ["decimal_mark_mixed"]),
        (["1.5", "2,5", "3,5"], "comma", ["decimal_mark_mixed"]),
    ],
)
def test_the_whole_file_tells_the_decimal_mark(
    read: Read, prices: list[str], mark: str, notes: list[str]
) -> None:
    rows = [GOOD.replace(",", ";").replace("2.55", price) for price in prices]
    result = read("\n".join([HEADER.replace(",", ";"), *rows]))

    assert result.layout.decimal_mark == mark
    assert notes_of(result) == notes


@pytest.mark.parametrize(
    ("dates", "order", "notes"),
    [
        (["1/2/11", "1/13/11"], "month_first", []),
        (["1/2/11", "13/1/11"], "day_first", []),
        (["1/2/11", "2/2/11", "1/3/11"], "day_first", ["date_order_by_sequence"]),
        (["1/2/11", "1/3/11", "2/1/11"], "month_first", ["date_order_by_sequence"]),
        (["1/2/11"], "month_first", ["date_order_ambiguous"]),
        (["1/1/11", "2/2/11"], "month_first", []),
        (["2011-01-02"], "month_first", []),
        (["13/1/11", "14/1/11", "1/15/11"], "day_first", ["date_order_mixed"]),
        (["13/1/11", "1/15/11"], "month_first", ["date_order_mixed"]),
    ],
)
def test_the_whole_file_tells_the_date_order(
    read: Read, dates: list[str], order: str, notes: list[str]
) -> None:
    result = read("\n".join([HEADER, *(GOOD.replace("12/13/10", date) for date in dates)]))

    assert result.layout.date_order == order
    assert notes_of(result) == notes


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("12/1/10 12:05 am", "2010-12-01T00:05"),
        ("12/1/10 12:05PM", "2010-12-01T12:05"),
        ("12/1/2010 1:05:09 p.m.", "2010-12-01T13:05:09"),
        ("12/1/10 1:05\u202fPM", "2010-12-01T13:05"),
        ("12-1-68 8:26", "2068-12-01T08:26"),
        ("12/1/69 8:26", "1969-12-01T08:26"),
        ("2010/12/01 08:26:30.5", "2010-12-01T08:26:30.500000"),
    ],
)
def test_dates_of_many_spellings(read: Read, text: str, moment: str) -> None:
    result = read(sale(InvoiceDate=text), options=ReadOptions(date_order="month_first"))

    assert [row.at for row in result.rows] == [datetime.fromisoformat(moment)]
    assert result.notes == ()


def test_options_override_what_the_file_suggests(read: Read) -> None:
    text = sale(InvoiceDate="1/2/11 8:00", UnitPrice="1.234")
    options = ReadOptions(
        encoding="cp1252", delimiter=",", decimal_mark="comma", date_order="day_first"
    )

    result = read(text, options=options)

    assert result.rows[0].at == datetime.fromisoformat("2011-02-01T08:00")
    assert result.rows[0].unit_price == 1234
    assert result.layout.encoding == "cp1252"
    assert result.notes == ()


@pytest.mark.parametrize(
    ("raw", "options", "code", "words"),
    [
        (b"", ReadOptions(), "file_empty", "empty"),
        (b"\n \n", ReadOptions(), "header_missing", "heading"),
        (b"a,b\n1,2\n", ReadOptions(), "column_missing", "InvoiceNo, StockCode, .*found: 'a', 'b'"),
        (HEADER.replace("UnitPrice", "Cost").encode(), ReadOptions(), "column_missing",
         "UnitPrice is missing; found: .*'Cost'"),
        (HEADER.replace(",", ";").encode(), ReadOptions(delimiter="|"), "column_missing", "found"),
        (f"{HEADER},Price\n".encode(), ReadOptions(), "column_twice", "'UnitPrice' and 'Price'"),
        (b"\xef\xbb\xbf\xff", ReadOptions(), "encoding", "utf-8"),
        (b"\xff\xfea", ReadOptions(), "encoding", "utf-16"),
        (b"caf\xe9", ReadOptions(encoding="utf-8"), "encoding", "utf-8"),
        (b"x", ReadOptions(encoding="base64"), "option_invalid", "base64"),
        (b"x", ReadOptions(delimiter=":"), "option_invalid", "delimiter"),
        (b"x" * (3 << 20), ReadOptions(), "line_too_long", "longer"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_says_why(
    read: Read, raw: bytes, options: ReadOptions, code: str, words: str
) -> None:
    with pytest.raises(SalesFileError, match=words) as caught:
        read(raw, options=options)

    assert caught.value.code == code


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SalesFileError, match="can't be read") as caught:
        read_sales(tmp_path / "none.csv")

    assert caught.value.code == "unreadable"


def test_a_stream_reads_like_the_path_and_can_be_iterated_again(tmp_path: Path) -> None:
    raw = f"{HEADER}\n{GOOD}\nbad\n\n{GOOD}\n".encode()
    path = tmp_path / "sales.csv"
    path.write_bytes(raw)

    result = read_sales(path)
    reader = open_sales(io.BytesIO(raw))

    assert result == read_sales(str(path))
    assert reader.layout == result.layout
    items = list(reader)
    assert items == list(reader)
    assert sorted(items, key=lambda item: item.line) == items
    assert set(items) == set(result)
    assert [item.line for item in items if isinstance(item, RowRefused)] == [3]


def test_a_file_of_broken_quotes_ends_in_time(read: Read) -> None:
    # Every line opens a quote whatever came before, so each is tried as the start of a record.
    line = 'a",""" \n'

    with pytest.raises(SalesFileError) as caught:
        read(f"{HEADER}\n{line * 100_000}")

    assert caught.value.code == "quotes_broken"
