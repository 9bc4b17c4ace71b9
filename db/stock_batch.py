"""What a batch of stock commands writes, and its form as parameters of the one write statement."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from db import arrays
from domain.stock import Change, Hold, Origin

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
    """Collected while the commands are decided; holds are the view's own objects."""

    movements: list[tuple[UUID, Change, Origin]] = field(default_factory=list)
    operations: dict[OperationKey, Operation] = field(default_factory=dict)
    new_holds: dict[UUID, Hold] = field(default_factory=dict)
    used_holds: dict[UUID, Hold] = field(default_factory=dict)
    #: The operation that is taken back, to the one that did it.
    reversals: dict[UUID, UUID] = field(default_factory=dict)

    def parameters(self, tenant: UUID) -> dict[str, Any]:
        """Everything that ``stock_sql.WRITE`` takes."""
        return {
            "tenant": tenant,
            "facts": len(self.movements),
            **self._movements(),
            **self._operations(),
            **self._holds(),
        }

    def _movements(self) -> dict[str, arrays.Array | str]:
        moves = self.movements
        changes = [row[1] for row in moves]
        origins = [row[2] for row in moves]
        return {
            "level_ids": arrays.uuids(change.level_id for change in changes),
            "movement_operations": arrays.uuids(row[0] for row in moves),
            "kinds": arrays.words([change.kind.value for change in changes]),
            "available": arrays.integers([change.available for change in changes]),
            "reserved": arrays.integers([change.reserved for change in changes]),
            "damaged": arrays.integers([change.damaged for change in changes]),
            "quarantine": arrays.integers([change.quarantine for change in changes]),
            "in_transit": arrays.integers([change.in_transit for change in changes]),
            "values": arrays.decimals(change.value for change in changes),
            "unit_costs": arrays.decimals(change.unit_cost for change in changes),
            "averages": arrays.decimals(self._averages()),
            "reference_kinds": arrays.words([origin.reference_kind for origin in origins]),
            "reference_ids": arrays.texts([origin.reference_id for origin in origins]),
            "reasons": arrays.words([origin.reason for origin in origins]),
            "notes": arrays.words([origin.notes for origin in origins]),
            "actors": arrays.words([origin.actor for origin in origins]),
            "occurred_at": arrays.instants(origin.occurred_at for origin in origins),
            "business_dates": arrays.dates(origin.business_date for origin in origins),
        }

    def _averages(self) -> list[Decimal | None]:
        """The average cost of each level after all of the batch, at its last movement."""
        averages: list[Decimal | None] = [None] * len(self.movements)
        last = {change.level_id: n for n, (_, change, _) in enumerate(self.movements)}
        for n in last.values():
            averages[n] = self.movements[n][1].average_after
        return averages

    def _operations(self) -> dict[str, arrays.Array]:
        # Sorted, so that two batches with the same keys never wait in a circle.
        rows = [self.operations[identity] for identity in sorted(self.operations)]
        return {
            "sources": arrays.words([row.source for row in rows]),
            "keys": arrays.texts([row.key for row in rows]),
            "fingerprints": arrays.binaries(row.fingerprint for row in rows),
            "states": arrays.words([row.state for row in rows]),
            "statuses": arrays.numbers([row.status for row in rows]),
            "answers": arrays.binaries(row.answer for row in rows),
            "operations": arrays.uuids(row.id for row in rows),
        }

    def _holds(self) -> dict[str, arrays.Array]:
        new = list(self.new_holds.values())
        used = list(self.used_holds.values())
        return {
            "hold_ids": arrays.uuids(self.new_holds),
            "hold_levels": arrays.uuids(hold.level_id for hold in new),
            "owners": arrays.texts([hold.owner for hold in new]),
            "lines": arrays.numbers([hold.line for hold in new]),
            "quantities": arrays.integers([hold.quantity for hold in new]),
            "open": arrays.integers([hold.open for hold in new]),
            "hold_operations": arrays.uuids(hold.operation_id for hold in new),
            "expiries": arrays.instants(hold.expires_at for hold in new),
            "used_ids": arrays.uuids(hold.id for hold in used),
            "used_open": arrays.integers([hold.open for hold in used]),
        }
