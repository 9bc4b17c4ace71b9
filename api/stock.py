"""The direct stock commands over HTTP: each goes to the batch writer, answered once durable."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Response
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from api.auth import needs
from api.idempotency import KeyedCommand
from api.quantities import in_base_units
from api.routing import make_router
from api.services import TheServices
from api.stock_bodies import (
    AddStock,
    AdjustStock,
    ConfirmSale,
    DeductStock,
    MoveStock,
    ReleaseStock,
    ReserveStock,
    ReverseStock,
    SetStock,
    TransferStock,
)
from api.stock_post import post_stock
from api.temporal import temporal_of
from domain.errors import InvalidInput
from domain.permissions import Actor, Permission
from domain.reservations import KeepReservation, reservation_workflow_id
from workflows.reservations import ReservationWorkflow

router = make_router("/v1/inventory/stock", "stock")
#: How long units may be held without an order.
RESERVATION_MAX = timedelta(days=30)

Receiver = Annotated[Actor, needs(Permission.STOCK_RECEIVE)]
Deducter = Annotated[Actor, needs(Permission.STOCK_DEDUCT)]
Adjuster = Annotated[Actor, needs(Permission.STOCK_ADJUST)]
Reserver = Annotated[Actor, needs(Permission.STOCK_RESERVE)]
Shipper = Annotated[Actor, needs(Permission.STOCK_SHIP)]


@router.post("/add")
async def add_stock(
    body: AddStock, actor: Receiver, services: TheServices, command: KeyedCommand
) -> Response:
    """Add goods at their cost; the average cost follows."""
    body.lines = await in_base_units(services, actor, body.lines)
    return await post_stock(services, actor, command, body.action(), body)


@router.post("/deduct")
async def deduct_stock(
    body: DeductStock, actor: Deducter, services: TheServices, command: KeyedCommand
) -> Response:
    """Take goods out at average cost: a sale over the counter, a write-off."""
    body.lines = await in_base_units(services, actor, body.lines)
    return await post_stock(services, actor, command, body.action(), body)


@router.post("/adjust")
async def adjust_stock(
    body: AdjustStock, actor: Adjuster, services: TheServices, command: KeyedCommand
) -> Response:
    """Correct what is available by a signed quantity, with a reason."""
    body.lines = await in_base_units(services, actor, body.lines)
    return await post_stock(services, actor, command, body.action(), body)


@router.post("/set")
async def set_stock(
    body: SetStock, actor: Adjuster, services: TheServices, command: KeyedCommand
) -> Response:
    """Set what is available, if it still is what was expected; the difference is a movement."""
    body.lines = await in_base_units(services, actor, body.lines)
    return await post_stock(services, actor, command, body.action(), body)


@router.post("/move")
async def move_stock(
    body: MoveStock, actor: Adjuster, services: TheServices, command: KeyedCommand
) -> Response:
    """Move units between buckets: damage, quarantine, back to the shelf."""
    body.lines = await in_base_units(services, actor, body.lines)
    return await post_stock(services, actor, command, body.action(), body)


@router.post("/transfer")
async def transfer_stock(
    body: TransferStock, actor: Adjuster, services: TheServices, command: KeyedCommand
) -> Response:
    """Transfer goods to another warehouse at once: two movements, the value goes along."""
    body.lines = await in_base_units(services, actor, body.lines)
    return await post_stock(services, actor, command, body.action(), body)


@router.post("/reverse")
async def reverse_stock(
    body: ReverseStock, actor: Adjuster, services: TheServices, command: KeyedCommand
) -> Response:
    """Take back every movement of an operation, once, at the value it was moved at.

    Units must still be where the operation put them. What is reserved is released instead; what
    was shipped comes back by a return.
    """
    return await post_stock(services, actor, command, body.action(), body)


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
    body.lines = await in_base_units(services, actor, body.lines)
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
    return await post_stock(services, actor, command, body.action(owner), body)


@router.post("/release")
async def release_stock(
    body: ReleaseStock, actor: Reserver, services: TheServices, command: KeyedCommand
) -> Response:
    """Free held units before their time."""
    owner = reservation_workflow_id(actor.tenant_slug, body.owner)
    return await post_stock(services, actor, command, body.action(owner), body)


@router.post("/confirm-sale")
async def confirm_sale(
    body: ConfirmSale, actor: Shipper, services: TheServices, command: KeyedCommand
) -> Response:
    """Sell held units: they leave reserved and on hand together."""
    owner = reservation_workflow_id(actor.tenant_slug, body.owner)
    return await post_stock(services, actor, command, body.action(owner), body)
