"""What a batch of stock commands writes, and its form as parameters of the one write statement."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from db import arrays
from domain.stock import Change, Hold, Level, Origin

OperationKey = tuple[str, str]


class Operation(NamedTuple):
    """A key with what it asked for and how it was answered; ``void`` is a tombstone."""

    source: str
    key: str
    fingerprint: bytes
    state: str
    status: int | None
    answer: bytes | None
    id: UUID


@dataclass(slots=True)
class Batch:
    """Collected while the commands are decided; holds and levels are the view's own objects."""

    movements: list[tuple[UUID, UUID, Change, int]] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    levels: dict[UUID, Level] = field(default_factory=dict)
    operations: dict[OperationKey, Operation] = field(default_factory=dict)
    new_holds: dict[UUID, tuple[Hold, UUID]] = field(default_factory=dict)
    used_holds: dict[UUID, Hold] = field(default_factory=dict)
    #: The operation that is taken back, to the one that did it.
    reversals: dict[UUID, UUID] = field(default_factory=dict)

    def add(self, level: Level, operation_id: UUID, change: Change) -> None:
        """A movement of the command whose origin was added last."""
        self.levels[level.id] = level
        self.movements.append((level.id, operation_id, change, len(self.origins)))

    def parameters(self, tenant: UUID) -> dict[str, Any]:
        """Everything that ``stock_sql.WRITE`` takes."""
        return {
            "tenant": tenant,
            "facts": len(self.movements),
            **self._movements(),
            **self._origins(),
            **self._operations(),
            **self._holds(),
        }

    def _movements(self) -> dict[str, str]:
        changes = [change for _, _, change, _ in self.movements]
        levels = list(self.levels.values())
        return {
            "level_ids": arrays.plain(row[0] for row in self.movements),
            "movement_operations": arrays.plain(row[1] for row in self.movements),
            "origins": arrays.plain(row[3] for row in self.movements),
            "kinds": arrays.plain(change.kind.value for change in changes),
            "available": arrays.plain(change.available for change in changes),
            "reserved": arrays.plain(change.reserved for change in changes),
            "damaged": arrays.plain(change.damaged for change in changes),
            "quarantine": arrays.plain(change.quarantine for change in changes),
            "in_transit": arrays.plain(change.in_transit for change in changes),
            "values": arrays.plain(change.value for change in changes),
            "unit_costs": arrays.plain(change.unit_cost for change in changes),
            "touched": arrays.plain(level.id for level in levels),
            "averages": arrays.plain(level.average_cost for level in levels),
        }

    def _origins(self) -> dict[str, str]:
        origins = self.origins
        return {
            "reference_kinds": arrays.texts(origin.reference_kind for origin in origins),
            "reference_ids": arrays.texts(origin.reference_id for origin in origins),
            "reasons": arrays.texts(origin.reason for origin in origins),
            "notes": arrays.texts(origin.notes for origin in origins),
            "actors": arrays.texts(origin.actor for origin in origins),
            "occurred_at": arrays.instants(origin.occurred_at for origin in origins),
            "business_dates": arrays.plain(origin.business_date for origin in origins),
        }

    def _operations(self) -> dict[str, str]:
        # Sorted, so that two batches with the same keys never wait in a circle.
        rows = [self.operations[identity] for identity in sorted(self.operations)]
        return {
            "sources": arrays.plain(row.source for row in rows),
            "keys": arrays.texts(row.key for row in rows),
            "fingerprints": arrays.binaries(row.fingerprint for row in rows),
            "states": arrays.plain(row.state for row in rows),
            "statuses": arrays.numbers(row.status for row in rows),
            "answers": arrays.binaries(row.answer for row in rows),
            "operations": arrays.plain(row.id for row in rows),
        }

    def _holds(self) -> dict[str, str]:
        new = [hold for hold, _ in self.new_holds.values()]
        used = list(self.used_holds.values())
        expiries: list[datetime | None] = [hold.expires_at for hold in new]
        return {
            "hold_ids": arrays.plain(hold.id for hold in new),
            "hold_levels": arrays.plain(level for _, level in self.new_holds.values()),
            "owners": arrays.texts(hold.owner for hold in new),
            "lines": arrays.plain(hold.line for hold in new),
            "quantities": arrays.plain(hold.quantity for hold in new),
            "open": arrays.plain(hold.open for hold in new),
            "hold_operations": arrays.plain(hold.operation_id for hold in new),
            "expiries": arrays.instants(expiries),
            "used_ids": arrays.plain(hold.id for hold in used),
            "used_open": arrays.plain(hold.open for hold in used),
        }
