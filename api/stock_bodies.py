"""What the stock commands take: bodies that are checked, and the actions that they mean."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from domain.stock import (
    Adjust,
    Bucket,
    Deduct,
    Kind,
    LevelKey,
    Line,
    Move,
    Receive,
    Release,
    Reserve,
    Reverse,
    Set,
    SetLine,
    Ship,
    Transfer,
    TransferLine,
)
from domain.units import (
    CountedQuantity,
    CountedWholeNumber,
    InUnits,
    SignedCountedQuantity,
)
from domain.values import Body, Code, Instant, LongText, Money, Name, Quantity, example

_LINE = {
    "warehouse_id": "01980000-0000-7000-8000-000000000001",
    "variant_id": "01980000-0000-7000-8000-000000000002",
}
_LINE_FIELDS = (
    "warehouse_id",
    "to_warehouse_id",
    "variant_id",
    "lot",
    "unit",
    "quantity",
    "expected_quantity",
    "unit_cost",
)
_MOVES = {"available": Kind.RESTOCK, "damaged": Kind.DAMAGE, "quarantine": Kind.QUARANTINE}
_OWNER = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$"


class Place(InUnits):
    """Which level a line is about, and perhaps in which unit it counts."""

    warehouse_id: UUID
    variant_id: UUID
    lot: Code | None = None

    def level(self) -> LevelKey:
        if self.unit is not None:
            raise RuntimeError("The line was not converted by in_base_units.")
        return LevelKey(self.warehouse_id, self.variant_id, self.lot)


class StockLine(Place):
    """Units of one variant in one warehouse."""

    quantity: CountedQuantity


class ReceiptLine(StockLine):
    """Units that come in, at a cost each: of one `unit` if that is named, else of a base unit."""

    unit_cost: Money


class AdjustmentLine(Place):
    """A signed correction; a gain may carry its cost, else it is valued at the average."""

    quantity: SignedCountedQuantity
    unit_cost: Money | None = None


class Reference(Body):
    """The business document behind a movement."""

    kind: Code
    id: Name


class StockBody(Body):
    """What every stock command may say: why, for which document, when it happened."""

    reason: Name | None = None
    notes: LongText | None = None
    reference: Reference | None = None
    occurred_at: Instant | None = Field(default=None, description="Business time; default: now.")

    @model_validator(mode="before")
    @classmethod
    def _one_line_at_the_top(cls, data: Any) -> Any:
        """A single line may stand at the top level instead of in ``lines``."""
        if not isinstance(data, dict) or "lines" in data or "lines" not in cls.model_fields:
            return data
        line = {name: data[name] for name in _LINE_FIELDS if name in data}
        rest = {name: value for name, value in data.items() if name not in line}
        return {**rest, "lines": [line]} if line else data


Lines = Field(min_length=1, max_length=1000, description="All or nothing.")


class AddStock(StockBody):
    """Goods come in."""

    model_config = example({"lines": [_LINE | {"quantity": 100, "unit_cost": "4.20"}]})

    kind: Literal["purchase", "production", "return", "opening"] = "purchase"
    lines: list[ReceiptLine] = Lines

    def action(self) -> Receive:
        return Receive(_lines(self.lines), Kind(self.kind))


class DeductStock(StockBody):
    """Goods leave from what is available."""

    model_config = example(
        {"kind": "write_off", "reason": "broken", "lines": [_LINE | {"quantity": 2}]}
    )

    kind: Literal["sale", "write_off"] = "sale"
    lines: list[StockLine] = Lines

    def action(self) -> Deduct:
        return Deduct(_lines(self.lines), Kind(self.kind))


class AdjustStock(StockBody):
    """A correction, with its reason."""

    model_config = example({"reason": "found behind the shelf", "lines": [_LINE | {"quantity": 3}]})

    reason: Name
    lines: list[AdjustmentLine] = Lines

    def action(self) -> Adjust:
        return Adjust(_lines(self.lines))


class SetStockLine(Place):
    """What is available shall be ``quantity``."""

    quantity: CountedWholeNumber
    expected_quantity: CountedWholeNumber | None = Field(
        description="What the sender saw, in the same unit; when it has changed, nothing is set."
        " Null sets anyway."
    )


class SetStock(StockBody):
    """Compare and set: what is available becomes a given quantity."""

    model_config = example(
        {"reason": "counted", "lines": [_LINE | {"quantity": 12, "expected_quantity": 10}]}
    )

    reason: Name
    lines: list[SetStockLine] = Lines

    def action(self) -> Set:
        return Set(
            tuple(
                SetLine(line.level(), line.quantity, line.expected_quantity, n)
                for n, line in enumerate(self.lines, start=1)
            )
        )


class MoveStock(StockBody):
    """Units change their bucket within a level, with a reason."""

    model_config = example(
        {
            "source": "available",
            "target": "damaged",
            "reason": "dropped",
            "lines": [_LINE | {"quantity": 1}],
        }
    )

    source: Literal["available", "damaged", "quarantine"]
    target: Literal["available", "damaged", "quarantine"]
    reason: Name
    lines: list[StockLine] = Lines

    def action(self) -> Move:
        lines = _lines(self.lines)
        return Move(lines, Bucket(self.source), Bucket(self.target), _MOVES[self.target])


class TransferStockLine(StockLine):
    """Units of one variant that go to another warehouse."""

    to_warehouse_id: UUID


class TransferStock(StockBody):
    """Goods change their warehouse at once; what needs a transit is a process of its own."""

    model_config = example(
        {
            "lines": [
                _LINE | {"quantity": 50, "to_warehouse_id": "01980000-0000-7000-8000-000000000004"}
            ]
        }
    )

    lines: list[TransferStockLine] = Lines

    def action(self) -> Transfer:
        return Transfer(
            tuple(
                TransferLine(
                    line.level(),
                    LevelKey(line.to_warehouse_id, line.variant_id, line.lot),
                    line.quantity,
                    n,
                )
                for n, line in enumerate(self.lines, start=1)
            )
        )


class ReverseStock(StockBody):
    """Undo an earlier command; its movements refer to it unless another reference is given."""

    model_config = example(
        {"operation_id": "01980000-0000-7000-8000-000000000005", "reason": "booked twice"}
    )

    operation_id: UUID
    reason: Name

    @model_validator(mode="after")
    def _refer_to_what_is_undone(self) -> Self:
        if self.reference is None:
            self.reference = Reference(kind="operation", id=str(self.operation_id))
        return self

    def action(self) -> Reverse:
        return Reverse(self.operation_id)


class ReserveStock(StockBody):
    """Units are held for an owner until a time; then they are freed by themselves."""

    model_config = example(
        {
            "owner": "basket-7731",
            "expires_at": "2030-01-01T12:00:00Z",
            "lines": [_LINE | {"quantity": 1}],
        }
    )

    owner: Annotated[str, Field(pattern=_OWNER)]
    expires_at: Instant
    lines: list[StockLine] = Lines

    def action(self, owner: str) -> Reserve:
        return Reserve(_lines(self.lines), owner, self.expires_at)


class HeldLine(Body):
    """Units of one line of the reservation; lines count from 1 as they were reserved."""

    line: Annotated[int, Field(strict=True, ge=1, le=1000)]
    quantity: Quantity


class ReleaseStock(Body):
    """Held units become available again: the named lines, or all."""

    model_config = example({"owner": "basket-7731"})

    owner: Annotated[str, Field(pattern=_OWNER)]
    lines: Annotated[list[HeldLine], Field(min_length=1, max_length=1000)] | None = None
    reason: Name | None = None

    def action(self, owner: str) -> Release:
        return Release(owner, None if self.lines is None else _held(self.lines))


class ConfirmSale(Body):
    """Held units are sold and leave the house."""

    model_config = example({"owner": "basket-7731", "lines": [{"line": 1, "quantity": 1}]})

    owner: Annotated[str, Field(pattern=_OWNER)]
    lines: Annotated[list[HeldLine], Field(min_length=1, max_length=1000)]
    reference: Reference | None = None
    occurred_at: Instant | None = None

    def action(self, owner: str) -> Ship:
        return Ship(owner, _held(self.lines))


def _lines(lines: list[Any]) -> tuple[Line, ...]:
    return tuple(
        Line(line.level(), line.quantity, n, getattr(line, "unit_cost", None))
        for n, line in enumerate(lines, start=1)
    )


def _held(lines: list[HeldLine]) -> dict[int, int]:
    sums: dict[int, int] = {}
    for line in lines:
        sums[line.line] = sums.get(line.line, 0) + line.quantity
    return sums
