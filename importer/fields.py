"""Reads the numbers and dates of a sales file and settles which of their spellings it uses."""

import itertools
import re
from collections.abc import Collection
from datetime import date, datetime, time
from decimal import Decimal
from typing import NamedTuple

from importer.rows import (
    INVOICE_DATE,
    QUANTITY,
    UNIT_PRICE,
    DateOrder,
    DecimalMark,
    Note,
)

MAX_QUANTITY = 2**53
MAX_PRICE_DIGITS = 12
MAX_PRICE_DECIMALS = 6
MAX_CODE_CHARS = 64
FIRST_YEAR = 1900
LAST_YEAR = 2199

_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " "})
# Thousands are grouped by the mark that isn't the decimal one, a space or an apostrophe.
_GROUPED = (
    r"(?P<whole>[0-9]{{1,3}}(?:(?P<sep>[{seps} '\u2019])[0-9]{{3}}(?:(?P=sep)[0-9]{{3}})*)?|[0-9]*)"
)
_NUMBER: dict[DecimalMark, re.Pattern[str]] = {
    "point": re.compile(
        r"(?P<sign>[-+\u2212]?)" + _GROUPED.format(seps=",") + r"(?:\.(?P<part>[0-9]*))?"
    ),
    "comma": re.compile(
        r"(?P<sign>[-+\u2212]?)" + _GROUPED.format(seps=".") + r"(?:,(?P<part>[0-9]*))?"
    ),
}
_DATE = re.compile(
    r"([0-9]{1,4})([-/.])([0-9]{1,2})\2([0-9]{1,4})"
    r"(?:[T ]+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?"
    r"(?: *([AP])\.?M\.?)?)?",
    re.IGNORECASE,
)
_WHOLE_FLOAT = re.compile(r"([0-9]+)\.0+")
# What other programs write where a customer is missing.
_MISSING = frozenset({"nan", "null", "none"})


class Refusal(NamedTuple):
    """Why a value can't be used."""

    column: str
    code: str
    reason: str


class _Digits(NamedTuple):
    negative: bool
    whole: str
    part: str


def _digits(text: str, mark: DecimalMark) -> _Digits | None:
    """The digits before and after the decimal mark, without zeros that carry nothing."""
    found = _NUMBER[mark].fullmatch(text.translate(_SPACES).strip())
    if found is None:
        return None
    whole, part = found["whole"] or "", found["part"] or ""
    if not whole and not part:
        return None
    if found["sep"]:
        whole = whole.replace(found["sep"], "")
    return _Digits(found["sign"] in {"-", "\u2212"}, whole.lstrip("0"), part.rstrip("0"))


def read_quantity(text: str, mark: DecimalMark) -> int | Refusal:
    """A whole number of pieces of either sign; "6.0" counts as 6."""
    digits = _digits(text, mark)
    if digits is None:
        return Refusal(QUANTITY, "quantity_invalid", "The quantity is not a number.")
    if digits.part:
        return Refusal(QUANTITY, "quantity_not_whole", "The quantity is not a whole number.")
    # Counting digits first keeps int() away from texts of thousands of them.
    if len(digits.whole) > 16 or int(digits.whole or "0") > MAX_QUANTITY:
        return Refusal(QUANTITY, "quantity_too_large", "The quantity is beyond 2^53.")
    value = int(digits.whole or "0")
    return -value if digits.negative else value


def read_price(text: str, mark: DecimalMark) -> Decimal | Refusal:
    """A price of at least zero with at most six decimals, in the file's currency."""
    digits = _digits(text, mark)
    if digits is None:
        return Refusal(UNIT_PRICE, "price_invalid", "The price is not a number.")
    if len(digits.part) > MAX_PRICE_DECIMALS:
        return Refusal(UNIT_PRICE, "price_too_precise", "The price has more than six decimals.")
    if len(digits.whole) > MAX_PRICE_DIGITS:
        return Refusal(UNIT_PRICE, "price_too_large", "The price has more than twelve digits.")
    if digits.negative and (digits.whole or digits.part):
        return Refusal(UNIT_PRICE, "price_negative", "The price is negative.")
    return Decimal(f"{digits.whole or '0'}.{digits.part}" if digits.part else digits.whole or "0")


def read_code(text: str, column: str) -> str | Refusal:
    """An identifier of 1 to 64 printable characters, runs of spaces inside taken as one."""
    code = " ".join(text.split())
    if not code:
        return Refusal(column, "code_empty", "The code is empty.")
    if len(code) > MAX_CODE_CHARS:
        return Refusal(column, "code_too_long", "The code has more than 64 characters.")
    if not code.isprintable():
        return Refusal(column, "code_invalid", "The code holds characters that can't be printed.")
    return code


def read_customer(text: str, column: str) -> str | Refusal:
    """A customer's id, or an empty text; "17850.0", as spreadsheets write it, becomes "17850"."""
    if not text or text.lower() in _MISSING:
        return ""
    whole = _WHOLE_FLOAT.fullmatch(text)
    return read_code(whole[1] if whole else text, column)


class _Stamp(NamedTuple):
    """A date as written: two numbers whose meaning the order decides, unless the year leads."""

    year_first: bool
    first: int
    second: int
    year: int
    clock: time


def _stamp(text: str) -> _Stamp | None:
    found = _DATE.fullmatch(text.translate(_SPACES).strip())
    if found is None:
        return None
    one, _, two, three, hour, minute, second, fraction, half = found.groups()
    clock = _clock(int(hour or 0), int(minute or 0), int(second or 0), fraction or "", half or "")
    if clock is None:
        return None
    if len(one) == 4 and len(three) <= 2:
        return _Stamp(
            year_first=True, first=int(two), second=int(three), year=int(one), clock=clock
        )
    if len(one) <= 2 and len(three) in {2, 4}:
        year = int(three)
        if len(three) == 2:
            # The usual pivot (POSIX): 69 to 99 are of the last century.
            year += 1900 if year >= 69 else 2000
        return _Stamp(year_first=False, first=int(one), second=int(two), year=year, clock=clock)
    return None


def _clock(hour: int, minute: int, second: int, fraction: str, half: str) -> time | None:
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half in "pP" else 0)
    if hour > 23 or minute > 59 or second > 59:
        return None
    return time(hour, minute, second, int(fraction.ljust(6, "0")))


def _moment(stamp: _Stamp, order: DateOrder) -> datetime | None:
    month, day = stamp.first, stamp.second
    if not stamp.year_first and order == "day_first":
        month, day = day, month
    if not FIRST_YEAR <= stamp.year <= LAST_YEAR:
        return None
    try:
        return datetime.combine(date(stamp.year, month, day), stamp.clock)
    except ValueError:
        return None


def read_date(text: str, order: DateOrder) -> datetime | Refusal:
    """A local date and time without zone; a date alone is its midnight; years 1900 to 2199."""
    stamp = _stamp(text)
    moment = None if stamp is None else _moment(stamp, order)
    if moment is None:
        way = "month/day/year" if order == "month_first" else "day/month/year"
        return Refusal(
            INVOICE_DATE, "date_invalid", f"Not a date of the order {way} or year-month-day."
        )
    return moment


def settle_date_order(texts: Collection[str]) -> tuple[DateOrder, tuple[Note, ...]]:
    """Tell month/day from day/month by all different dates of a file, in order of appearance.

    A number above twelve is evidence; where there is none, the reading under which the dates run
    backwards less often wins; where that is equal too it is month/day, as published, with a note.
    """
    open_dates = [
        stamp
        for stamp in map(_stamp, texts)
        if stamp is not None and not stamp.year_first and stamp.first <= 31 and stamp.second <= 31
    ]
    day_first = sum(stamp.first > 12 >= stamp.second for stamp in open_dates)
    month_first = sum(stamp.second > 12 >= stamp.first for stamp in open_dates)
    if day_first or month_first:
        order: DateOrder = "day_first" if day_first > month_first else "month_first"
        if not (day_first and month_first):
            return order, ()
        text = (
            f"Dates are written both ways: {month_first} different ones need month/day, "
            f"{day_first} need day/month; all are read as {_way(order)}."
        )
        return order, (Note("date_order_mixed", text, min(day_first, month_first)),)
    if all(stamp.first == stamp.second for stamp in open_dates):
        return "month_first", ()
    steps_month = _steps_back(open_dates, "month_first")
    steps_day = _steps_back(open_dates, "day_first")
    if steps_month == steps_day:
        text = "No date tells month/day from day/month; read as month/day, as published."
        return "month_first", (Note("date_order_ambiguous", text, len(open_dates)),)
    order = "day_first" if steps_day < steps_month else "month_first"
    text = f"No day is above 12; read as {_way(order)}, under which the dates run forward."
    return order, (Note("date_order_by_sequence", text, len(open_dates)),)


def _way(order: DateOrder) -> str:
    return "month/day" if order == "month_first" else "day/month"


def _steps_back(stamps: list[_Stamp], order: DateOrder) -> int:
    moments = [moment for stamp in stamps if (moment := _moment(stamp, order)) is not None]
    return sum(after < before for before, after in itertools.pairwise(moments))


def settle_decimal_mark(texts: Collection[str]) -> tuple[DecimalMark, tuple[Note, ...]]:
    """Tell decimal point from decimal comma by all different numbers of a file.

    "1,5" and "1.234,5" speak for the comma, "1.5" and "1,234.5" for the point; "1,234" and "1.234"
    could be either. Without evidence it is the point, as published, with a note if it mattered.
    """
    votes = [_mark_of(text) for text in texts]
    comma, point = votes.count("comma"), votes.count("point")
    mark: DecimalMark = "comma" if comma > point else "point"
    if comma and point:
        text = (
            f"Numbers are written both ways: {point} different ones need a decimal point, "
            f"{comma} a decimal comma; all are read with a decimal {mark}."
        )
        return mark, (Note("decimal_mark_mixed", text, min(comma, point)),)
    unclear = votes.count("either")
    if unclear and not comma and not point:
        text = "No number tells decimal point from comma; read with a point, as published."
        return mark, (Note("decimal_mark_ambiguous", text, unclear),)
    return mark, ()


def _mark_of(text: str) -> str:
    """Which mark a number needs: "comma", "point", "either", or an empty text for no matter."""
    if "," not in text and "." not in text:
        return ""
    as_point, as_comma = _digits(text, "point"), _digits(text, "comma")
    if as_point == as_comma:
        return ""
    if as_comma is None or (as_point is not None and _leads_with_zero(text)):
        # "0.125": nobody groups thousands after a lone zero; the mark present is the decimal one.
        return "point" if as_comma is None or "." in text else "comma"
    if as_point is None:
        return "comma"
    return "either"


def _leads_with_zero(text: str) -> bool:
    return text.strip(" -+\u2212").startswith("0")
