"""Custom attributes: fields that a company adds to its records, with types and limits.

A value has one form as text (``canonical``), in which it is stored and compared: two values are
equal when their texts are.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Protocol

from pydantic import (
    Field,
    PlainValidator,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, SchemaError

from domain.errors import FieldError, InvalidInput
from domain.values import (
    MAX_WHOLE,
    SIGNED_MONEY_PATTERN,
    Body,
    Changes,
    Flag,
    Metadata,
    Name,
    decimal_text,
    example,
    omitted,
)

#: Attributes of one kind of records; each is looked at whenever such a record is made.
ATTRIBUTES_MAX = 100
#: The longest text, in characters: an index takes no more than 2,700 bytes.
TEXT_MAX = 500
OPTIONS_MAX = 200
#: Attributes that one list may be filtered by.
FILTERS_MAX = 5
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"


class RecordKind(StrEnum):
    """Records that take attributes."""

    PRODUCT = "product"
    VARIANT = "variant"
    CUSTOMER = "customer"
    SUPPLIER = "supplier"
    WAREHOUSE = "warehouse"


class AttributeType(StrEnum):
    """What the values of an attribute are."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    CHOICE = "choice"


_RANGED = {AttributeType.INTEGER, AttributeType.DECIMAL, AttributeType.DATE}
#: Which limits belong to which types.
_LIMITS = {
    "options": {AttributeType.CHOICE},
    "minimum": _RANGED,
    "maximum": _RANGED,
    "max_length": {AttributeType.TEXT},
    "pattern": {AttributeType.TEXT},
}


def _scalar(value: object) -> object:
    if value is None or isinstance(value, bool | int | str):
        return value
    raise PydanticCustomError("attribute_type", "a value is text, a whole number, true or false")


#: A value as JSON: text, whole number, decimal string, true or false, ISO date; null for none.
Scalar = Annotated[
    bool | int | str | None,
    PlainValidator(_scalar),
    WithJsonSchema(
        {"anyOf": [{"type": kind} for kind in ("string", "integer", "boolean", "null")]}
    ),
]
Key = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,39}$")]
Values = Annotated[
    dict[Annotated[str, StringConstraints(min_length=1, max_length=40)], Scalar],
    Field(
        max_length=ATTRIBUTES_MAX,
        description="Custom attributes by key; what they may hold is defined under"
        " `/v1/attributes`.",
    ),
]
ValueFilter = Annotated[str, StringConstraints(min_length=3, max_length=TEXT_MAX + 41)]
Option = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Options = Annotated[list[Option], Field(max_length=OPTIONS_MAX)]
MaxLength = Annotated[int, Field(strict=True, ge=1, le=TEXT_MAX)]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Definition(Protocol):
    """What is known of an attribute."""

    @property
    def key(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def required(self) -> bool: ...
    @property
    def options(self) -> Sequence[str]: ...
    @property
    def minimum(self) -> str | None: ...
    @property
    def maximum(self) -> str | None: ...
    @property
    def max_length(self) -> int | None: ...
    @property
    def pattern(self) -> str | None: ...


class NewAttribute(Body):
    """A field for one kind of records. Kind, key and type are fixed."""

    model_config = example(
        {
            "kind": "product",
            "key": "colour",
            "label": "Colour",
            "type": "choice",
            "options": ["red", "blue"],
        },
        {"kind": "variant", "key": "weight", "label": "Weight", "type": "decimal", "minimum": "0"},
    )

    kind: RecordKind
    key: Key
    label: Name
    type: AttributeType
    required: Flag = Field(
        default=False,
        description="Whether it has to be there when a record is made, or its attributes are"
        " edited. Records from before keep without it until then.",
    )
    options: Options = Field(default_factory=list, description="What a `choice` chooses from.")
    minimum: Scalar = Field(default=None, description="Of integer, decimal and date.")
    maximum: Scalar = Field(default=None, description="Of integer, decimal and date.")
    max_length: MaxLength | None = Field(default=None, description="Of text.")
    pattern: Pattern | None = Field(
        default=None,
        description="Of text: a regular expression (without look-around and back-references) that"
        " the whole text must match.",
    )
    metadata: Metadata = Field(default_factory=dict)


class AttributeChanges(Changes):
    """What of an attribute may be edited; refused while values exist that would not fit."""

    model_config = example({"label": "Colour", "options": ["red", "blue", "green"]})

    label: Name = omitted()
    required: Flag = omitted()
    options: Options = omitted()
    minimum: Scalar = omitted()
    maximum: Scalar = omitted()
    max_length: MaxLength | None = omitted()
    pattern: Pattern | None = omitted()
    metadata: Metadata = omitted()


def check_limits(type_: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The limits of an attribute by name, each in the form in which it is stored.

    Raises:
        InvalidInput: a limit that does not belong to the type, or contradicts another.
    """
    for name, types in _LIMITS.items():
        if given[name] not in (None, []) and type_ not in types:
            raise _misfit(name, f"{name} is no limit of the type {type_}.")
    options = given["options"]
    if type_ == AttributeType.CHOICE and not options:
        raise _misfit("options", "A choice has options.")
    if len(set(options)) < len(options):
        raise _misfit("options", "Each option stands once.")
    if given["pattern"] is not None and _matcher(given["pattern"]) is None:
        raise _misfit("pattern", "It is no regular expression that is understood here.")
    ends = {name: _end(type_, name, given[name]) for name in ("minimum", "maximum")}
    least, most = ends.values()
    if least is not None and most is not None and _rank(type_, least) > _rank(type_, most):
        raise _misfit("minimum", "The minimum lies above the maximum.")
    return {**{name: given[name] for name in _LIMITS}, **ends}


def _end(type_: str, name: str, value: object) -> str | None:
    if value is None:
        return None
    try:
        return canonical(type_, value)
    except _Unfit as unfit:
        raise _misfit(name, str(unfit)) from None


def _misfit(name: str, message: str) -> InvalidInput:
    return InvalidInput.field(f"/{name}", "limit", message)


def canonical(type_: str, value: object) -> str:
    """The one text of a value of this type.

    Raises:
        ValueError: the value is not of the type.
    """
    right = {
        AttributeType.TEXT: isinstance(value, str) and 1 <= len(value) <= TEXT_MAX,
        AttributeType.CHOICE: isinstance(value, str),
        AttributeType.INTEGER: isinstance(value, int) and not isinstance(value, bool),
        AttributeType.BOOLEAN: isinstance(value, bool),
        AttributeType.DECIMAL: isinstance(value, str)
        and re.fullmatch(SIGNED_MONEY_PATTERN[1:-1], value, re.ASCII) is not None,
        AttributeType.DATE: isinstance(value, str) and _is_date(value),
    }[AttributeType(type_)]
    if not right or (isinstance(value, int) and abs(value) > MAX_WHOLE):
        raise _Unfit("attribute_type", _MEANT[AttributeType(type_)])
    if type_ == AttributeType.DECIMAL:
        # Without trailing zeros, and zero without a sign.
        return decimal_text(Decimal(str(value)) + 0, at_least=0).removesuffix(".")
    return str(value).lower() if isinstance(value, bool) else str(value)


def shown(type_: str, text: str) -> bool | int | str:
    """A stored value as JSON."""
    if type_ == AttributeType.BOOLEAN:
        return text == "true"
    return int(text) if type_ == AttributeType.INTEGER else text


def sought(definition: Definition, text: str) -> str:
    """What a filter such as ``weight:1.50`` compares with; raises ValueError when it is none."""
    value: object = text
    if definition.type == AttributeType.INTEGER and re.fullmatch("-?[0-9]{1,16}", text, re.ASCII):
        value = int(text)
    elif definition.type == AttributeType.BOOLEAN and text in {"true", "false"}:
        value = text == "true"
    return canonical(definition.type, value)


def merged(
    definitions: Iterable[Definition],
    current: Mapping[str, str],
    sent: Mapping[str, object],
    pointer: str = "",
) -> dict[str, str]:
    """The record's values, as text by key, after what was sent; null takes a value away.

    ``pointer`` leads to the record in the request's body.

    Raises:
        InvalidInput: a key that is not defined, a value that does not fit its definition, a
            required one that is missing; each with its pointer.
    """
    known = {definition.key: definition for definition in definitions}
    values = dict(current)
    errors = []
    place = f"{pointer}/attributes"
    for key, value in sent.items():
        try:
            if key not in known:
                raise _Unfit("unknown_attribute", "There is no such attribute.")  # noqa: TRY301  # Collected.
            values.pop(key, None)
            if value is not None:
                text = canonical(known[key].type, value)
                check_value(known[key], text)
                values[key] = text
        except _Unfit as unfit:
            errors.append(FieldError(f"{place}/{_part(key)}", unfit.code, str(unfit)))
    wrong = {error.pointer for error in errors}
    for key, definition in known.items():
        if definition.required and key not in values and f"{place}/{key}" not in wrong:
            errors.append(FieldError(f"{place}/{key}", "required", "This attribute is required."))
    if errors:
        raise InvalidInput("The attributes do not fit their definitions.", errors=errors[:100])
    return values


def check_value(definition: Definition, text: str) -> None:
    """Whether a value of the right type keeps the attribute's limits.

    Raises:
        ValueError: it does not.
    """
    type_ = definition.type
    if type_ == AttributeType.CHOICE and text not in definition.options:
        raise _Unfit("option", f"It is one of: {', '.join(definition.options)}.")
    if definition.minimum is not None and _rank(type_, text) < _rank(type_, definition.minimum):
        raise _Unfit("minimum", f"It is at least {definition.minimum}.")
    if definition.maximum is not None and _rank(type_, text) > _rank(type_, definition.maximum):
        raise _Unfit("maximum", f"It is at most {definition.maximum}.")
    if definition.max_length is not None and len(text) > definition.max_length:
        raise _Unfit("max_length", f"It has at most {definition.max_length} characters.")
    if definition.pattern is not None:
        matcher = _matcher(definition.pattern)
        try:
            if matcher is not None:
                matcher.validate_python(text)
        except ValidationError:
            raise _Unfit("pattern", f"It does not match {definition.pattern}.") from None


class _Unfit(ValueError):
    """A value that is not allowed, with the code of the reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


_MEANT = {
    AttributeType.TEXT: f"It is text of 1 to {TEXT_MAX} characters.",
    AttributeType.CHOICE: "It is one of the options, as text.",
    AttributeType.INTEGER: "It is a whole number.",
    AttributeType.BOOLEAN: "It is true or false.",
    AttributeType.DECIMAL: "It is a decimal string with at most six decimals.",
    AttributeType.DATE: "It is a date such as 2026-11-21.",
}


def _rank(type_: str, text: str) -> Decimal:
    """Where a number or a day lies among its kind."""
    return Decimal(date.fromisoformat(text).toordinal() if type_ == AttributeType.DATE else text)


def _is_date(text: str) -> bool:
    try:
        return re.fullmatch(_DATE, text, re.ASCII) is not None and bool(date.fromisoformat(text))
    except ValueError:
        return False


@lru_cache(maxsize=1000)
def _matcher(pattern: str) -> TypeAdapter[str] | None:
    """Matches whole texts in linear time, whatever the pattern; None when it is no pattern."""
    try:
        # Alone first: a bracket too many must not change what the anchors around it mean.
        TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])
        return TypeAdapter(Annotated[str, StringConstraints(pattern=f"^(?:{pattern})$")])
    except SchemaError:
        return None


def _part(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
