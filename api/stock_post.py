"""Handing stock commands to the batch writer: the way of every route that changes stock at once."""

import asyncio
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from fastapi import Response
from pydantic_core import to_json

from api.answers import respond
from api.arrivals import arrivals
from api.idempotency import Command
from api.problems import render_problem
from api.services import Services
from api.stock_bodies import Reference
from db.operations import HTTP, Answer
from db.stock_commands import Outcome, StockBulk, StockCommand, describe
from domain.errors import Conflict, NotFound, Unavailable
from domain.permissions import Actor
from domain.stock import UNKNOWN, Accepted, Action, Origin, Refused
from domain.times import business_date

#: Longer than the writer resends a batch.
ANSWER_TIMEOUT_SECONDS = 35.0


async def post_stock(
    services: Services, actor: Actor, command: Command, action: Action, body: Any
) -> Response:
    """Hand the action to the writer and wait until its answer is durable."""
    stock_command = StockCommand(
        key=command.key or "",
        source=HTTP,
        fingerprint=command.print_,
        action=action,
        origin=origin_of(actor, action, body),
        encode=partial(_encode, command.instance),
    )
    return respond(await durable(services, actor, stock_command))


async def durable(services: Services, actor: Actor, command: StockCommand | StockBulk) -> Answer:
    """The answer of a command, once it is stored for good.

    Raises:
        Busy: more commands wait than the writer's bound allows.
        Unavailable: the answer is not known; the same request may be sent again.
    """
    if services.writer is None:
        raise Unavailable("This process has no stock writer.")
    future: Future[Outcome] = services.writer.submit(actor.tenant_id, command)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
            outcome = await arrivals().wait_for(future)
    except TimeoutError:
        raise Unavailable("The stock writer did not answer.", retry_after=2) from None
    return Answer(outcome.status, outcome.body, outcome.replayed)


def origin_of(actor: Actor, action: Action, body: Any) -> Origin:
    """Who, why and when, as a body says it."""
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
