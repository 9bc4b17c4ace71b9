"""The direct stock commands over HTTP: each goes to the batch writer, answered once durable."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Response
from pydantic import Field, model_validator
from pydantic_core import to_json
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from api.answers import respond
from api.auth import needs
from api.idempotency import Command, KeyedCommand
from api.problems import render_problem
from api.routing import make_router
from api.services import Services, TheServices
from api.temporal import temporal_of
from db.operations import HTTP, Answer
from db.stock_commands import StockCommand, describe
from db.stock_writer import StockWriter
from domain.errors import Conflict, InvalidInput, NotFound, Unavailable
from domain.permissions import Actor, Permission
from domain.reservations import KeepReservation, reservation_workflow_id
from domain.stock import (
    UNKNOWN,
    Accepted,
    Action,
    Adjust,
    Bucket,
    Deduct,
    Kind,
    LevelKey,
    Line,
    Move,
    Origin,
    Receive,
    Refused,
    Release,
    Reserve,
    Set,
    SetLine,
    Ship,
    Transfer,
    TransferLine,
)
from domain.times import business_date
from domain.values import (
    Body,
    Code,
    Instant,
    LongText,
    Money,
    Name,
    Quantity,
    SignedQuantity,
    WholeNumber,
    example,
)
from workflows.reservations import ReservationWorkflow

router = make_router("/v1/inventory/stock", "stock")
#: Longer than the writer resends a batch.
ANSWER_TIMEOUT_SECONDS = 35.0
#: How long units may be held without an order.
RESERVATION_MAX = timedelta(days=30)

Receiver = Annotated[Actor, needs(Permission.STOCK_RECEIVE)]
Deducter = Annotated[Actor, needs(Permission.STOCK_DEDUCT)]
Adjuster = Annotated[Actor, needs(Permission.STOCK_ADJUST)]
Reserver = Annotated[Actor, needs(Permission.STOCK_RESERVE)]
Shipper = Annotated[Actor, needs(Permission.STOCK_SHIP)]
_LINE = {
    "warehouse_id": "01980000-0000-7000-8000-000000000001",
    "variant_id": "01980000-0000-7000-8000-000000000002",
}
_LINE_FIELDS = (
    "warehouse_id",
    "to_warehouse_id",
    "variant_id",
    "lot",
    "quantity",
    "expected_quantity",
    "unit_cost",
)
_MOVES = {"available": Kind.RESTOCK, "damaged": Kind.DAMAGE, "quarantine": Kind.QUARANTINE}
_OWNER = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$"


class Place(Body):
    """Which level a line is about."""

    warehouse_id: UUID
    variant_id: UUID
    lot: Code | None = None

    def level(self) -> LevelKey:
        return LevelKey(self.warehouse_id, self.variant_id, self.lot)


class StockLine(Place):
    """Units of one variant in one warehouse."""

    quantity: Quantity


class ReceiptLine(StockLine):
    """Units that come in, at a cost each."""

    unit_cost: Money


class AdjustmentLine(Place):
    """A signed correction; a gain may carry its cost, else it is valued at the average."""

    quantity: SignedQuantity
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


class DeductStock(StockBody):
    """Goods leave from what is available."""

    model_config = example(
        {"kind": "write_off", "reason": "broken", "lines": [_LINE | {"quantity": 2}]}
    )

    kind: Literal["sale", "write_off"] = "sale"
    lines: list[StockLine] = Lines


class AdjustStock(StockBody):
    """A correction, with its reason."""

    model_config = example({"reason": "found behind the shelf", "lines": [_LINE | {"quantity": 3}]})

    reason: Name
    lines: list[AdjustmentLine] = Lines


class SetStockLine(Place):
    """What is available shall be ``quantity``."""

    quantity: WholeNumber
    expected_quantity: WholeNumber | None = Field(
        description="What the sender saw; when it has changed, nothing is set. Null sets anyway."
    )


class SetStock(StockBody):
    """Compare and set: what is available becomes a given quantity."""

    model_config = example(
        {"reason": "counted", "lines": [_LINE | {"quantity": 12, "expected_quantity": 10}]}
    )

    reason: Name
    lines: list[SetStockLine] = Lines


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


class ConfirmSale(Body):
    """Held units are sold and leave the house."""

    model_config = example({"owner": "basket-7731", "lines": [{"line": 1, "quantity": 1}]})

    owner: Annotated[str, Field(pattern=_OWNER)]
    lines: Annotated[list[HeldLine], Field(min_length=1, max_length=1000)]
    reference: Reference | None = None
    occurred_at: Instant | None = None


@router.post("/add")
async def add_stock(
    body: AddStock, actor: Receiver, services: TheServices, command: KeyedCommand
) -> Response:
    """Add goods at their cost; the average cost follows."""
    action = Receive(_lines(body.lines), Kind(body.kind))
    return await post_stock(services, actor, command, action, body)


@router.post("/deduct")
async def deduct_stock(
    body: DeductStock, actor: Deducter, services: TheServices, command: KeyedCommand
) -> Response:
    """Take goods out at average cost: a sale over the counter, a write-off."""
    action = Deduct(_lines(body.lines), Kind(body.kind))
    return await post_stock(services, actor, command, action, body)


@router.post("/adjust")
async def adjust_stock(
    body: AdjustStock, actor: Adjuster, services: TheServices, command: KeyedCommand
) -> Response:
    """Correct what is available by a signed quantity, with a reason."""
    return await post_stock(services, actor, command, Adjust(_lines(body.lines)), body)


@router.post("/set")
async def set_stock(
    body: SetStock, actor: Adjuster, services: TheServices, command: KeyedCommand
) -> Response:
    """Set what is available, if it still is what was expected; the difference is a movement."""
    lines = tuple(
        SetLine(line.level(), line.quantity, line.expected_quantity, n)
        for n, line in enumerate(body.lines, start=1)
    )
    return await post_stock(services, actor, command, Set(lines), body)


@router.post("/move")
async def move_stock(
    body: MoveStock, actor: Adjuster, services: TheServices, command: KeyedCommand
) -> Response:
    """Move units between buckets: damage, quarantine, back to the shelf."""
    action = Move(_lines(body.lines), Bucket(body.source), Bucket(body.target), _MOVES[body.target])
    return await post_stock(services, actor, command, action, body)


@router.post("/transfer")
async def transfer_stock(
    body: TransferStock, actor: Adjuster, services: TheServices, command: KeyedCommand
) -> Response:
    """Transfer goods to another warehouse at once: two movements, the value goes along."""
    lines = tuple(
        TransferLine(
            line.level(),
            LevelKey(line.to_warehouse_id, line.variant_id, line.lot),
            line.quantity,
            n,
        )
        for n, line in enumerate(body.lines, start=1)
    )
    return await post_stock(services, actor, command, Transfer(lines), body)


@router.post("/reserve")
async def reserve_stock(
    body: ReserveStock, actor: Reserver, services: TheServices, command: KeyedCommand
) -> Response:
    """Hold units for an owner; what is neither sold nor released in time is freed by itself."""
    now = datetime.now(UTC)
    if not now < body.expires_at <= now + RESERVATION_MAX:
        raise InvalidInput.field(
            "/expires_at",
            "expires_at",
            f"It lies in the future, at most {RESERVATION_MAX.days} days ahead.",
        )
    owner = reservation_workflow_id(actor.tenant_slug, body.owner)
    # The process that frees the units is started first: whatever dies after this, they are freed.
    await temporal_of(services).start_workflow(
        ReservationWorkflow.run,
        KeepReservation(
            tenant_id=actor.tenant_id,
            tenant_slug=actor.tenant_slug,
            time_zone=actor.time_zone,
            owner=body.owner,
            until=body.expires_at,
            actor=actor.name,
        ),
        id=owner,
        task_queue=services.settings.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        start_signal="extend",
        start_signal_args=[body.expires_at],
        static_summary=f"Reservation {body.owner} · {actor.tenant_slug}",
    )
    action = Reserve(_lines(body.lines), owner, body.expires_at)
    return await post_stock(services, actor, command, action, body)


@router.post("/release")
async def release_stock(
    body: ReleaseStock, actor: Reserver, services: TheServices, command: KeyedCommand
) -> Response:
    """Free held units before their time."""
    owner = reservation_workflow_id(actor.tenant_slug, body.owner)
    lines = None if body.lines is None else _held(body.lines)
    return await post_stock(services, actor, command, Release(owner, lines), body)


@router.post("/confirm-sale")
async def confirm_sale(
    body: ConfirmSale, actor: Shipper, services: TheServices, command: KeyedCommand
) -> Response:
    """Sell held units: they leave reserved and on hand together."""
    owner = reservation_workflow_id(actor.tenant_slug, body.owner)
    return await post_stock(services, actor, command, Ship(owner, _held(body.lines)), body)


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


async def post_stock(
    services: Services, actor: Actor, command: Command, action: Action, body: Any
) -> Response:
    """Hand the action to the writer and wait until its answer is durable."""
    writer: StockWriter | None = services.writer
    if writer is None or command.key is None:
        raise Unavailable("This process has no stock writer.")
    future = writer.submit(
        actor.tenant_id,
        StockCommand(
            key=command.key,
            source=HTTP,
            fingerprint=command.print_,
            action=action,
            origin=_origin(actor, action, body),
            encode=partial(_encode, command.instance),
        ),
    )
    try:
        outcome = await asyncio.wait_for(asyncio.wrap_future(future), ANSWER_TIMEOUT_SECONDS)
    except TimeoutError:
        raise Unavailable("The stock writer did not answer.", retry_after=2) from None
    return respond(Answer(outcome.status, outcome.body, outcome.replayed))


def _origin(actor: Actor, action: Action, body: Any) -> Origin:
    occurred_at = getattr(body, "occurred_at", None) or datetime.now(UTC)
    reference: Reference | None = getattr(body, "reference", None)
    owner = getattr(action, "owner", None)
    return Origin(
        actor=actor.name,
        occurred_at=occurred_at,
        business_date=business_date(occurred_at, actor.time_zone),
        reference_kind=reference.kind if reference else ("reservation" if owner else None),
        reference_id=reference.id if reference else owner,
        reason=body.reason if hasattr(body, "reason") else None,
        notes=getattr(body, "notes", None),
    )


def _encode(
    instance: str, operation_id: UUID, action: Action, result: Accepted | Refused
) -> tuple[int, bytes]:
    """The HTTP answer that is stored with the effect, byte for byte."""
    if isinstance(result, Refused):
        kind = NotFound if result.code in UNKNOWN else Conflict
        error = kind(result.detail, code=result.code, details=result.details)
        return error.status, render_problem(error, instance)
    return 200, to_json(describe(operation_id, action, result))
