"""The words of stock: buckets, levels, holds, commands and what comes of them.

The rules that work on them are in ``domain/stock_rules.py``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from domain.errors import InvalidInput

#: The largest quantity anywhere: beyond it a JSON reader may lose units.
MAX_QUANTITY = 2**53
#: Lines of one command: as many as an order may have.
MAX_LINES = 2000
MAX_COST = Decimal(10) ** 14
#: What one revaluation may add to a level.
MAX_VALUE = Decimal(10) ** 20
MICRO = Decimal("0.000001")
ZERO = Decimal(0)


class Bucket(StrEnum):
    """Where units of a level are. All but in_transit are on hand."""

    AVAILABLE = "available"
    RESERVED = "reserved"
    DAMAGED = "damaged"
    QUARANTINE = "quarantine"
    IN_TRANSIT = "in_transit"


class Kind(StrEnum):
    """What a movement is; stored with it."""

    PURCHASE = "purchase"
    PRODUCTION = "production"
    OPENING = "opening"
    RETURN = "return"
    SALE = "sale"
    WRITE_OFF = "write_off"
    ADJUSTMENT = "adjustment"
    RESERVE = "reserve"
    RELEASE = "release"
    SHIP = "ship"
    DAMAGE = "damage"
    QUARANTINE = "quarantine"
    RESTOCK = "restock"
    TRANSFER_OUT = "transfer_out"
    TRANSFER_IN = "transfer_in"
    REVERSAL = "reversal"
    REVALUATION = "revaluation"
    CORRECTION = "correction"


class LevelKey(NamedTuple):
    """What identifies a level within a tenant."""

    warehouse_id: UUID
    variant_id: UUID
    lot: str | None = None


@dataclass(slots=True)
class Level:
    """The working state of one locked level; quantities in base units, values in currency."""

    id: UUID
    key: LevelKey
    available: int = 0
    reserved: int = 0
    damaged: int = 0
    quarantine: int = 0
    in_transit: int = 0
    average_cost: Decimal = ZERO
    total_value: Decimal = ZERO
    sequence: int = 0
    variant_active: bool = True
    warehouse_active: bool = True

    @property
    def on_hand(self) -> int:
        return self.available + self.reserved + self.damaged + self.quarantine

    def copy(self) -> "Level":
        """The same level, to be changed by itself."""
        return Level(
            self.id,
            self.key,
            self.available,
            self.reserved,
            self.damaged,
            self.quarantine,
            self.in_transit,
            self.average_cost,
            self.total_value,
            self.sequence,
            self.variant_active,
            self.warehouse_active,
        )


@dataclass(slots=True)
class Hold:
    """Units of a level held for an owner's line; ``open`` is what is still held."""

    id: UUID
    level: LevelKey
    level_id: UUID
    owner: str
    line: int
    quantity: int
    open: int
    expires_at: datetime | None = None
    operation_id: UUID | None = None


class Line(NamedTuple):
    """One line of a command. ``quantity`` is signed only in an adjustment."""

    level: LevelKey
    quantity: int
    line: int = 1
    unit_cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Receive:
    """Goods come in at a cost; available rises."""

    lines: tuple[Line, ...]
    kind: Kind = Kind.PURCHASE


@dataclass(frozen=True, slots=True)
class Deduct:
    """Goods leave from available at average cost: a direct sale, a write-off."""

    lines: tuple[Line, ...]
    kind: Kind = Kind.SALE


@dataclass(frozen=True, slots=True)
class Adjust:
    """A signed correction of available, at average cost, or a gain at a given cost."""

    lines: tuple[Line, ...]
    kind: Kind = Kind.ADJUSTMENT


@dataclass(frozen=True, slots=True)
class Move:
    """Units change their bucket within a level; nothing comes or goes."""

    lines: tuple[Line, ...]
    source: Bucket
    target: Bucket
    kind: Kind


class SetLine(NamedTuple):
    """What is available shall be ``quantity``; ``expected`` is what the sender saw, or None."""

    level: LevelKey
    quantity: int
    expected: int | None
    line: int = 1


@dataclass(frozen=True, slots=True)
class Set:
    """Compare and set: refused when what was expected has changed; valued like an adjustment."""

    lines: tuple[SetLine, ...]


class TransferLine(NamedTuple):
    """Units that go from one warehouse to another at once."""

    level: LevelKey
    target: LevelKey
    quantity: int
    line: int = 1


@dataclass(frozen=True, slots=True)
class Transfer:
    """Goods change their warehouse in one step and take their value along."""

    lines: tuple[TransferLine, ...]


@dataclass(frozen=True, slots=True)
class Reserve:
    """Available units become held for an owner: all lines or none."""

    lines: tuple[Line, ...]
    owner: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """Held units become available again: of ``lines`` (line number to quantity), or all.

    ``voids`` is the key of the reserve that this undoes: only what that reserve holds is freed.
    When it never happened, its key is buried, so that a late attempt of it is refused.
    """

    owner: str
    lines: Mapping[int, int] | None = None
    voids: str | None = None


@dataclass(frozen=True, slots=True)
class Ship:
    """Held units leave the house: reserved and on hand fall together."""

    owner: str
    lines: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Reverse:
    """Undo an operation by the opposite movements; it is named by its id."""

    operation_id: UUID


class RevalueLine(NamedTuple):
    """What the value of a level rises or falls by; its units stay."""

    level: LevelKey
    value: Decimal
    line: int = 1


@dataclass(frozen=True, slots=True)
class Revalue:
    """The goods on hand turn out to have cost more or less: the average cost follows."""

    lines: tuple[RevalueLine, ...]


UNKNOWN_ITEM = "unknown_item"
UNKNOWN_OPERATION = "unknown_operation"
#: Refusals for what does not exist; their answers are not stored, as it may come to exist.
UNKNOWN = frozenset({UNKNOWN_ITEM, UNKNOWN_OPERATION})
NewId = Callable[[], UUID]
Action = (
    Receive | Deduct | Adjust | Move | Set | Transfer | Reserve | Release | Ship | Reverse | Revalue
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Who, why, for what and when: stored with every movement of a command."""

    actor: str
    occurred_at: datetime
    business_date: date
    reference_kind: str | None = None
    reference_id: str | None = None
    reason: str | None = None
    notes: str | None = None


class Change(NamedTuple):
    """What a command does to one level, and the level right after it."""

    level: LevelKey
    level_id: UUID
    kind: Kind
    available: int
    reserved: int
    damaged: int
    quarantine: int
    in_transit: int
    value: Decimal
    unit_cost: Decimal
    sequence: int
    available_after: int
    reserved_after: int
    on_hand_after: int
    value_after: Decimal
    average_after: Decimal

    @property
    def on_hand(self) -> int:
        return self.available + self.reserved + self.damaged + self.quarantine


@dataclass(slots=True)
class Accepted:
    """The command was applied to the view."""

    changes: list[Change] = field(default_factory=list)
    new_holds: list[Hold] = field(default_factory=list)
    used_holds: list[Hold] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Refused:
    """The state of the stock refuses the command; nothing was changed."""

    code: str
    detail: str
    details: dict[str, Any]


class Moved(NamedTuple):
    """What a movement of an earlier operation did: what its reversal takes back."""

    level: LevelKey
    kind: Kind
    available: int
    reserved: int
    damaged: int
    quarantine: int
    in_transit: int
    value: Decimal


@dataclass(slots=True)
class Original:
    """An operation that is to be reversed: its movements, and the operation that did it before."""

    movements: list[Moved]
    reversed_by: UUID | None = None


@dataclass(slots=True)
class View:
    """The locked levels, the open holds of the owners and the operations that a batch touches.

    ``unknown`` are keys whose variant or warehouse does not exist.
    """

    levels: dict[LevelKey, Level]
    holds: dict[str, list[Hold]]
    unknown: frozenset[LevelKey] = frozenset()
    originals: dict[UUID, Original] = field(default_factory=dict)


def check(action: Action) -> None:
    """Refuse a malformed command before it waits for anybody.

    Raises:
        InvalidInput: no line, too many, a quantity out of 1..2^53, an adjustment by nothing, a
            cost below zero or finer than a millionth, a move between buckets that allow none.
    """
    rows = _quantities(action)
    if isinstance(action, Move):
        _check_move(action)
    if isinstance(action, Set | Transfer):
        _check_levels(action)
    signed, least = isinstance(action, Adjust), 0 if isinstance(action, Set) else 1
    for n, quantity in enumerate(rows):
        size = abs(quantity) if signed else quantity
        if not least <= size <= MAX_QUANTITY:
            raise InvalidInput.field(
                f"/lines/{n}/quantity", "quantity", f"It must be {least} to {MAX_QUANTITY}."
            )


def _quantities(action: Action) -> list[int]:
    """The quantities of the lines, after their number and their costs were looked at."""
    if isinstance(action, Reverse):
        return []
    if isinstance(action, Release | Ship):
        rows = list((action.lines or {}).values())
        if isinstance(action, Ship) and not rows:
            raise InvalidInput.field("/lines", "empty", "At least one line is needed.")
        return rows
    if not 1 <= len(action.lines) <= MAX_LINES:
        raise InvalidInput.field("/lines", "length", f"1 to {MAX_LINES} lines are allowed.")
    if isinstance(action, Revalue):
        for n, worth in enumerate(action.lines):
            if not abs(worth.value) < MAX_VALUE or worth.value != worth.value.quantize(MICRO):
                raise InvalidInput.field(f"/lines/{n}/value", "value", "The value is no amount.")
        return []
    for n, line in enumerate(action.lines):
        cost = getattr(line, "unit_cost", None)
        if cost is not None and (
            not cost.is_finite() or not ZERO <= cost < MAX_COST or cost != cost.quantize(MICRO)
        ):
            raise InvalidInput.field(f"/lines/{n}/unit_cost", "cost", "The cost is no amount.")
    return [line.quantity for line in action.lines]


def _check_levels(action: Set | Transfer) -> None:
    """A level is set once; a transfer changes the warehouse only, and no level both ways."""
    if isinstance(action, Set):
        if len({line.level for line in action.lines}) < len(action.lines):
            raise InvalidInput.field("/lines", "level_twice", "A level can be set only once.")
        return
    for n, line in enumerate(action.lines):
        if line.level[1:] != line.target[1:] or line.level == line.target:
            raise InvalidInput.field(
                f"/lines/{n}", "transfer", "A transfer goes to another warehouse."
            )
    if {line.level for line in action.lines} & {line.target for line in action.lines}:
        raise InvalidInput.field("/lines", "both_ways", "A level cannot give and take at once.")


def _check_move(action: Move) -> None:
    """Reserved belongs to holds and in transit to transfers; a bucket is not moved onto itself."""
    for pointer, bucket in (("/source", action.source), ("/target", action.target)):
        if bucket in (Bucket.RESERVED, Bucket.IN_TRANSIT):
            raise InvalidInput.field(pointer, "bucket", f"Units are not moved by hand: {bucket}.")
    if action.source is action.target:
        raise InvalidInput.field("/target", "bucket", "The two buckets must differ.")
