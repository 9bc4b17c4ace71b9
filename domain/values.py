"""Field types that every room shares: text, money, quantities, instants, addresses, metadata.

They are strict on purpose: a number is never taken for text, text never for a number, and money
travels as a decimal string, because a JSON number loses cents in many readers.
"""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

#: The largest whole number anywhere: beyond it a JSON reader may lose units.
MAX_WHOLE = 2**53
#: Money has at most this many digits before and behind the decimal point.
INTEGER_DIGITS, DECIMALS = 14, 6
MONEY_PATTERN = rf"^[0-9]{{1,{INTEGER_DIGITS}}}(\.[0-9]{{1,{DECIMALS}}})?$"
SIGNED_MONEY_PATTERN = MONEY_PATTERN.replace("^", "^-?")
#: As scanners read them: UPC-A, EAN-13, ITF-14.
_GTIN_LENGTHS = (12, 13, 14)
_ONE_LINE = r"^[^\x00-\x1f\x7f]*$"


class Body(BaseModel):
    """Base of everything that a client sends: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


def example(*bodies: dict[str, Any]) -> ConfigDict:
    """The config of a body that publishes examples in the API's description."""
    return ConfigDict(json_schema_extra={"examples": list(bodies)})


class Changes(Body):
    """Base of a partial update: only fields that were sent count.

    A field that may be cleared has ``| None`` in its type, and only then null is accepted.
    Fields are declared with ``= omitted()``.
    """

    def sent(self) -> dict[str, Any]:
        """The fields that were sent, by name."""
        return self.model_dump(exclude_unset=True)


def omitted() -> Any:
    """Marks a field of a partial update as one that may be left out.

    The default is never read, and a factory keeps it out of the published schema.
    """
    return Field(default_factory=lambda: None)


def decimal_text(value: Decimal, *, at_least: int = 2) -> str:
    """``value`` without exponent and trailing zeros, but with ``at_least`` decimals."""
    whole, _, decimals = f"{value:f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(at_least, '0')}" if at_least or decimals else whole


def cost_text(cost: Decimal) -> str:
    """A cost per unit at six decimals, as people read it; the ledger keeps 24."""
    return decimal_text(round(cost, 6))


def _decimal_from(pattern: str) -> BeforeValidator:
    def read(value: object) -> Decimal:
        if isinstance(value, Decimal):
            return value
        if not isinstance(value, str):
            raise ValueError('money is a string of decimal digits, such as "12.50", not a number')  # noqa: TRY004  # pydantic turns only ValueError into a field error.
        if not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(
                f"money is a decimal string with at most {INTEGER_DIGITS} digits before"
                f" and {DECIMALS} behind the point"
            )
        return Decimal(value)

    return BeforeValidator(read)


def _money(pattern: str) -> tuple[Any, ...]:
    return (
        _decimal_from(pattern),
        PlainSerializer(decimal_text, return_type=str, when_used="json"),
        WithJsonSchema({"type": "string", "pattern": pattern, "examples": ["12.50"]}),
    )


def _text_only(value: object) -> object:
    if not isinstance(value, str | date):
        raise ValueError("a date or time is a string")  # noqa: TRY004  # See above.
    return value


def in_utc(value: datetime) -> datetime:
    """The same instant in UTC.

    Raises:
        ValueError: the instant has no zone, or lies outside the years 1901 to 8999, in which every
            zone of every tenant has a calendar day for it.
    """
    if value.tzinfo is None:
        raise ValueError("a time needs its zone, such as 2026-11-21T09:00:00Z")
    if not 1900 < value.year < 9000:
        raise ValueError("a time lies between the years 1901 and 8999")
    return value.astimezone(UTC)


def _metadata(value: dict[str, str]) -> dict[str, str]:
    if len(value) > 50:
        raise ValueError("metadata has at most 50 keys")
    return value


def _checked_barcode(value: str) -> str:
    """Refuse a GTIN-12, -13 or -14 whose check digit is wrong: no scanner would ever read it.

    Eight digits are not looked at: house numbers of that length are as common as GTIN-8.
    """
    if len(value) in _GTIN_LENGTHS and value.isascii() and value.isdecimal():
        digits = [int(digit) for digit in reversed(value)]
        right = -(3 * sum(digits[1::2]) + sum(digits[2::2])) % 10
        if digits[0] != right:
            raise PydanticCustomError(
                "check_digit",
                "a barcode of {length} digits is a GTIN, and the last digit of this one would"
                " be {right}",
                {"length": len(value), "right": right},
            )
    return value


Money = Annotated[Decimal, *_money(MONEY_PATTERN)]
SignedMoney = Annotated[Decimal, *_money(SIGNED_MONEY_PATTERN)]

#: Quantities are whole base units. ``strict`` refuses 1.0, "1" and true.
Quantity = Annotated[int, Field(strict=True, ge=1, le=MAX_WHOLE)]
SignedQuantity = Annotated[int, Field(strict=True, ge=-MAX_WHOLE, le=MAX_WHOLE)]
WholeNumber = Annotated[int, Field(strict=True, ge=0, le=MAX_WHOLE)]
Flag = Annotated[bool, Field(strict=True)]

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_ONE_LINE)
]
ShortText = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=200, pattern=_ONE_LINE)
]
LongText = Annotated[str, StringConstraints(max_length=5000)]
#: SKUs, barcodes and codes of partners and warehouses: one line, compared to the letter.
Code = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64, pattern=_ONE_LINE)
]
Barcode = Annotated[Code, AfterValidator(_checked_barcode)]
Email = Annotated[
    str, StringConstraints(max_length=254, pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+\.[^@\s.]+$")
]
Phone = Annotated[str, StringConstraints(max_length=40, pattern=r"^[0-9+()./ -]+$")]
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=40)],
        Annotated[str, StringConstraints(max_length=500)],
    ],
    Field(json_schema_extra={"maxProperties": 50}),
    AfterValidator(_metadata),
]

Instant = Annotated[datetime, BeforeValidator(_text_only), AfterValidator(in_utc)]
Day = Annotated[date, BeforeValidator(_text_only)]


class Address(Body):
    """A postal address; every part may be left out."""

    line1: ShortText | None = None
    line2: ShortText | None = None
    city: ShortText | None = None
    region: ShortText | None = None
    postal_code: ShortText | None = None
    country: Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")] | None = Field(
        default=None, description="ISO 3166-1, two letters."
    )
