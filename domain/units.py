"""Units of measure: the ledger counts base units, people count boxes and kilograms.

A quantity in another unit is converted exactly at the door, or refused; nothing behind it knows
units. So a factor may be changed at any time: what was posted stays as many base units as it was.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Annotated, Any, Protocol, Self, TypeVar
from uuid import UUID

from pydantic import Field, PlainValidator, ValidationInfo, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError, PydanticKnownError

from domain.errors import FieldError, InvalidInput
from domain.values import (
    MAX_WHOLE,
    Barcode,
    Body,
    Changes,
    Code,
    Metadata,
    Name,
    Quantity,
    example,
    omitted,
)

#: The built-in unit: the base of every variant that names no other.
PIECE = "piece"
#: A quantity in any unit has at most this many decimals.
DECIMALS = 6
#: Units of one variant beside its base unit.
VARIANT_UNITS_MAX = 20
_MICRO: int = 10**DECIMALS
_DECIMAL_QUANTITY = rf"[0-9]{{1,16}}(\.[0-9]{{1,{DECIMALS}}})?"
_CTX = Context(prec=64, rounding=ROUND_HALF_UP)

Decimals = Annotated[int, Field(strict=True, ge=0, le=DECIMALS)]


class NewUnit(Body):
    """A unit of measure. Its code stands beside quantities, so it is fixed."""

    model_config = example({"code": "kg", "name": "Kilogram", "decimals": 3})

    code: Code
    name: Name
    decimals: Decimals = Field(
        default=DECIMALS, description="How many decimals a quantity in this unit may have."
    )
    metadata: Metadata = Field(default_factory=dict)


class UnitChanges(Changes):
    """What of a unit may be edited."""

    model_config = example({"name": "Kilogram", "decimals": 3})

    name: Name = omitted()
    decimals: Decimals = omitted()
    metadata: Metadata = omitted()


class PackageUnit(Body):
    """A unit in which a variant is counted as well."""

    unit: Code
    factor: Quantity = Field(description="How many base units it is, exactly.")
    barcode: Barcode | None = Field(default=None, description="On the package.")


class VariantUnits(Body):
    """All units of a variant; a PUT replaces them."""

    model_config = example(
        {"units": [{"unit": "box", "factor": 12, "barcode": "4006381333948"}]},
        {"base_unit": "g", "units": [{"unit": "kg", "factor": 1000}]},
    )

    base_unit: Code = Field(
        default=PIECE,
        description="What the ledger counts; fixed once there was stock or an order.",
    )
    units: list[PackageUnit] = Field(default_factory=list, max_length=VARIANT_UNITS_MAX)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        named = [self.base_unit, *(package.unit for package in self.units)]
        if len(set(named)) < len(named):
            raise ValueError("each unit of a variant is named once")
        return self


@dataclass(frozen=True, slots=True)
class Conversion:
    """A unit of one variant: how many base units it is, and how finely it is counted."""

    factor: int
    decimals: int


class InUnits(Body):
    """A line that may name the unit of its quantity."""

    unit: Code | None = Field(
        default=None,
        description="One of the variant's units; default: its base unit. Then `quantity` may be"
        ' a decimal string, as in `"2.5"`, and a cost or price of the line is for one such unit.'
        " What is no whole number of base units is refused (`not_whole`). Answers are in base"
        " units.",
    )


def _counted(least: int) -> tuple[Any, ...]:
    """A quantity that may be a decimal string when its line names a unit.

    It is a Decimal until ``in_base_units`` has converted the line, and an int from then on.
    """
    sign = "-?" if least < 0 else ""

    def read(value: object, info: ValidationInfo) -> object:
        if isinstance(value, str) and info.data.get("unit") is not None:
            if not re.fullmatch(sign + _DECIMAL_QUANTITY, value, re.ASCII):
                raise PydanticCustomError("quantity", "a quantity in a unit is a decimal string")
            value = Decimal(value)
        elif not isinstance(value, int) or isinstance(value, bool):
            raise PydanticCustomError(
                "int_type",
                "a quantity is a whole number, or a decimal string when its unit is named",
            )
        if value <= 0 if least == 1 else value < least:
            raise PydanticKnownError("greater_than_equal", {"ge": least})
        if value > MAX_WHOLE:
            raise PydanticKnownError("less_than_equal", {"le": MAX_WHOLE})
        return value

    whole = {"type": "integer", "minimum": least, "maximum": MAX_WHOLE}
    text = {"type": "string", "pattern": f"^{sign}{_DECIMAL_QUANTITY}$", "examples": ["2.5"]}
    return PlainValidator(read), WithJsonSchema({"anyOf": [whole, text]})


CountedQuantity = Annotated[int, *_counted(1)]
CountedWholeNumber = Annotated[int, *_counted(0)]
SignedCountedQuantity = Annotated[int, *_counted(-MAX_WHOLE)]


class CountedLine(Protocol):
    """What is converted: a line of a request with a variant, a quantity and perhaps a unit."""

    @property
    def variant_id(self) -> UUID: ...
    @property
    def unit(self) -> str | None: ...

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Self: ...


L = TypeVar("L", bound=CountedLine)
Conversions = Mapping[UUID, Mapping[str, Conversion]]
_QUANTITIES = ("quantity", "expected_quantity")


def wanted_variants(lines: Sequence[CountedLine]) -> list[UUID]:
    """The variants whose units have to be known."""
    return list({line.variant_id for line in lines if line.unit is not None})


def in_base_units(lines: Sequence[L], known: Conversions) -> list[L]:
    """The lines with quantities in base units and without units.

    A unit cost becomes one per base unit without losing a millionth of the line's worth: when it
    does not divide evenly, a second line at the end carries the units that cost a millionth more.

    Raises:
        InvalidInput: a unit that its variant does not have, a quantity finer than its unit or no
            whole number of base units, a price that does not divide; each with its pointer.
    """
    errors: list[FieldError] = []
    converted: list[L] = []
    rests: list[L] = []
    for n, line in enumerate(lines):
        if line.unit is None:
            converted.append(line)
            continue
        unit = known.get(line.variant_id, {}).get(line.unit)
        if unit is None:
            text = f"The variant has no unit {line.unit!r}, or does not exist."
            errors.append(FieldError(f"/lines/{n}/unit", "unknown_unit", text))
            continue
        changes, rest, wrong = _converted(line, unit, f"/lines/{n}")
        errors += wrong
        converted.append(line.model_copy(update={**changes, "unit": None}))
        if rest is not None:
            rests.append(line.model_copy(update={**changes, **rest, "unit": None}))
    if errors:
        raise InvalidInput("A quantity cannot be converted to base units.", errors=errors[:100])
    return [*converted, *rests]


def _converted(
    line: CountedLine, unit: Conversion, pointer: str
) -> tuple[dict[str, Any], dict[str, Any] | None, list[FieldError]]:
    """The fields that change, those of a second line if one is needed, and what is wrong."""
    changes: dict[str, Any] = {}
    errors = []
    for name in _QUANTITIES:
        given = getattr(line, name, None)
        if given is not None:
            changed = _whole(given, unit, f"{pointer}/{name}")
            if isinstance(changed, FieldError):
                errors.append(changed)
            else:
                changes[name] = changed
    if errors:
        return changes, None, errors
    price = getattr(line, "unit_price", None)
    if price is not None:
        each = _CTX.divide(price, Decimal(unit.factor))
        if _CTX.multiply(each.quantize(Decimal(1).scaleb(-DECIMALS)), unit.factor) != price:
            text = f"It does not divide by {unit.factor}: name no unit and the price of one."
            return changes, None, [FieldError(f"{pointer}/unit_price", "not_exact", text)]
        changes["unit_price"] = each
    cost = getattr(line, "unit_cost", None)
    if cost is None or changes["quantity"] <= 0:
        return changes, None, []
    low, dearer = _costs(cost, Decimal(line.quantity), changes["quantity"])  # type: ignore[attr-defined]  # Whatever has a cost has a quantity.
    rest = None
    if dearer:
        rest = {"quantity": dearer, "unit_cost": _money(low + 1)}
        changes["quantity"] -= dearer
    return {**changes, "unit_cost": _money(low)}, rest, []


def _whole(given: int | Decimal, unit: Conversion, pointer: str) -> int | FieldError:
    """``given`` units as base units, or what is wrong with it."""
    # Millionths as an integer: exact, whatever the factor.
    scaled = int(_CTX.scaleb(Decimal(given), DECIMALS))
    if scaled % 10 ** (DECIMALS - unit.decimals):
        text = f"A quantity in this unit has at most {unit.decimals} decimals."
        return FieldError(pointer, "too_precise", text)
    whole, part = divmod(scaled * unit.factor, _MICRO)
    if part:
        text = f"{given} times {unit.factor} is no whole number of base units."
        return FieldError(pointer, "not_whole", text)
    if abs(whole) > MAX_WHOLE:
        return FieldError(pointer, "quantity", f"It is more than {MAX_WHOLE} base units.")
    return whole


def _costs(cost: Decimal, quantity: Decimal, units: int) -> tuple[int, int]:
    """The cost of a base unit in millionths, rounded down, and how many units cost one more."""
    worth = _CTX.multiply(cost, quantity).quantize(Decimal(1).scaleb(-DECIMALS), context=_CTX)
    return divmod(int(worth.scaleb(DECIMALS, context=_CTX)), units)


def _money(millionths: int) -> Decimal:
    return Decimal(millionths).scaleb(-DECIMALS, context=_CTX)
