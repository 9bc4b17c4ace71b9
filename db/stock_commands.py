"""A stock command with all that must happen in its transaction, and how it is answered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import to_json

from db.stock_batch import OperationKey
from domain.errors import Conflict
from domain.stock import Accepted, Action, Change, Origin, Refused

Encode = Callable[[UUID, Action, "Accepted | Refused"], tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class StockCommand:
    """One command with everything that must happen in its transaction.

    ``fingerprint`` is what the key stands for; ``encode`` renders the answer that is stored and
    given to every repeat of the key.
    """

    key: str
    source: str
    fingerprint: bytes
    action: Action
    origin: Origin
    encode: Encode

    @property
    def identity(self) -> OperationKey:
        return (self.source, self.key)

    @property
    def actions(self) -> tuple[Action, ...]:
        return (self.action,)


class BulkRow(NamedTuple):
    """One action of a bulk."""

    action: Action
    origin: Origin


class RowResult(NamedTuple):
    """What became of a row; its movements carry the id."""

    operation_id: UUID
    action: Action
    result: Accepted | Refused


@dataclass(frozen=True, slots=True)
class StockBulk:
    """Many actions under one key, in one transaction and with one answer.

    They are decided in order. ``all_or_nothing``: when one is refused, none is applied. Rows
    neither hold nor free units: what is held belongs to a process.
    """

    key: str
    source: str
    fingerprint: bytes
    rows: Sequence[BulkRow]
    all_or_nothing: bool
    encode: Callable[[Sequence[RowResult]], tuple[int, bytes]]

    @property
    def identity(self) -> OperationKey:
        return (self.source, self.key)

    @property
    def actions(self) -> tuple[Action, ...]:
        return tuple(row.action for row in self.rows)


Command = StockCommand | StockBulk


@dataclass(frozen=True, slots=True)
class Outcome:
    """The stored answer of a command: HTTP status and body."""

    status: int
    body: bytes
    replayed: bool = False


def plain_answer(
    operation_id: UUID, action: Action, result: Accepted | Refused
) -> tuple[int, bytes]:
    """The answer that processes store and read: a status and a small JSON object."""
    if isinstance(result, Refused):
        refusal = {"code": result.code, "detail": result.detail, "details": result.details}
        return Conflict.status, to_json(refusal)
    return 200, to_json(describe(operation_id, action, result))


def describe(operation_id: UUID, action: Action, result: Accepted) -> dict[str, Any]:
    """An accepted command as clients see it: each movement with before, change and after."""
    return {
        "object": "stock_operation",
        "operation_id": str(operation_id),
        "command": type(action).__name__.lower(),
        "movements": [_movement(change) for change in result.changes],
    }


def _movement(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind.value,
        "warehouse_id": str(change.level.warehouse_id),
        "variant_id": str(change.level.variant_id),
        "lot": change.level.lot,
        "sequence": change.sequence,
        "quantity_before": change.on_hand_after - change.on_hand,
        "quantity_change": change.on_hand,
        "quantity_after": change.on_hand_after,
        "available_change": change.available,
        "available_after": change.available_after,
        "reserved_change": change.reserved,
        "reserved_after": change.reserved_after,
        "damaged_change": change.damaged,
        "quarantine_change": change.quarantine,
        "value_change": str(change.value),
    }
