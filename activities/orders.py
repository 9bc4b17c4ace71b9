"""The steps of an order: each one transaction, keyed, with its undo beneath it."""

import hashlib
import json
from typing import Any

from sqlalchemy import Engine
from temporalio import activity

from db import orders as rows
from db.engine import transaction
from db.operations import PROCESS
from db.stock_commands import Outcome, StockCommand, plain_answer
from db.stock_writer import StockWriter
from domain.orders import (
    OrderRecorded,
    RecordOrder,
    ReleaseStock,
    ReserveStock,
    ShipStock,
    StockReleased,
    StockReserved,
    StockShipped,
    StockStep,
)
from domain.stock import Action, LevelKey, Line, Origin, Release, Reserve, Ship
from domain.times import business_date

#: Longer than the writer resends, shorter than an activity may take.
WRITER_TIMEOUT_SECONDS = 40


class OrderActivities:
    """Bound to one engine (app role) and one batch writer."""

    def __init__(self, engine: Engine, writer: StockWriter) -> None:
        self._engine = engine
        self._writer = writer

    @activity.defn(name="stock.reserve")
    def reserve_stock(self, step: ReserveStock) -> StockReserved:
        """Reserve every line, or none and say why."""
        lines = tuple(
            Line(LevelKey(line.warehouse_id, line.variant_id), line.quantity, line.line)
            for line in step.lines
        )
        outcome = self._post(step, Reserve(lines, owner=step.owner))
        return StockReserved(refusal=_refusal(outcome))

    @activity.defn(name="stock.release")
    def release_stock(self, step: ReleaseStock) -> StockReleased:
        """Free what the order holds: the undo of a reserve, a cancellation, an expiry.

        Harmless when repeated, and when the reserve never happened: its key is buried then.
        """
        outcome = self._post(step, Release(step.owner, lines=step.lines, voids=step.voids))
        movements = json.loads(outcome.body).get("movements", [])
        return StockReleased(units=sum(row["available_change"] for row in movements))

    @activity.defn(name="stock.ship")
    def ship_stock(self, step: ShipStock) -> StockShipped:
        """Let reserved units leave the house. Its undo is a return, which is a process."""
        outcome = self._post(step, Ship(step.owner, lines=step.lines))
        return StockShipped(refusal=_refusal(outcome))

    @activity.defn(name="order.record")
    def record_order(self, record: RecordOrder) -> OrderRecorded:
        """Write the state and its new facts; a version that is not newer changes nothing."""
        with transaction(self._engine, record.tenant_id) as session:
            return OrderRecorded(version=rows.record(session, record))

    def _post(self, step: StockStep, action: Action) -> Outcome:
        command = StockCommand(
            key=step.key,
            source=PROCESS,
            fingerprint=_fingerprint(step),
            action=action,
            origin=Origin(
                actor=step.actor,
                occurred_at=step.occurred_at,
                business_date=business_date(step.occurred_at, step.time_zone),
                reference_kind=step.reference_kind,
                reference_id=step.number,
                reason=step.reason,
            ),
            encode=plain_answer,
        )
        return self._writer.submit(step.tenant_id, command).result(WRITER_TIMEOUT_SECONDS)


def _fingerprint(step: StockStep) -> bytes:
    """What the key stands for. When it happened is left out: a retry may carry another clock."""
    asked = step.model_dump_json(exclude={"occurred_at"})
    return hashlib.sha256(asked.encode()).digest()


def _refusal(outcome: Outcome) -> dict[str, Any] | None:
    if outcome.status < 400:
        return None
    refusal: dict[str, Any] = json.loads(outcome.body)
    return refusal
