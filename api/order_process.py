"""The two ways in which the API talks to an order's process: start it, and send it a command.

Both work in three steps, so that the API may die between any two of them: the key is claimed with
the order's number and workflow id; the process is asked under ids that derive from them; the
answer is stored under the key. A claim without an answer is taken over by the next repeat, which
asks the process under the same ids and so gets the same answer.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from fastapi import Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from api.answers import respond
from api.idempotency import Command as KeyedRequest
from api.idempotency import let_go
from api.problems import render_problem
from api.services import Services
from api.temporal import ANSWER_TIMEOUT, exists, is_away, is_closed, refusal_of, temporal_of
from db import operations, orders
from db.engine import transaction
from db.operations import HTTP, Answer, Claim
from db.order_drafts import Windows, draft
from db.tables import Order
from domain.errors import Conflict, NotFound, ProcessClosed, StockwrightError, Unavailable
from domain.order_requests import NewOrder
from domain.orders import Command, PlaceOrder, order_workflow_id
from domain.permissions import Actor
from workflows import attributes
from workflows.orders import OrderWorkflow

Render = Callable[[Session, Order], bytes]
LOCATION = "/v1/orders/{number}"


async def place(
    services: Services, actor: Actor, request: KeyedRequest, new: NewOrder, render: Render
) -> Response:
    """Place an order: 201 reserved, 409 refused with the numbers, 202 when it takes longer."""
    client = temporal_of(services)
    key = _key(request)
    claimed = await run_in_threadpool(_claim_order, services, actor, request, new)
    if isinstance(claimed, Answer):
        return respond(claimed, location=LOCATION)
    claim, order = claimed
    if order is not None:
        try:
            await asyncio.wait_for(
                _start(client, order, services.settings.task_queue), ANSWER_TIMEOUT.total_seconds()
            )
        except WorkflowAlreadyStartedError:
            pass  # It ran and ended before; what it recorded is the answer.
        except Exception as error:
            if not is_away(error):
                raise
            if not await exists(client, claim.workflow_id):
                await run_in_threadpool(let_go, services, actor, key)
                raise Unavailable("Temporal does not answer.", retry_after=2) from error
    answer = await run_in_threadpool(_settle, services, actor, request, claim, render)
    return respond(answer, location=LOCATION)


async def tell(
    services: Services,
    actor: Actor,
    request: KeyedRequest,
    reference: str,
    update: Any,
    command: Command,
    render: Render,
) -> Response:
    """Send a command to an order's process; 200 with the order, or the process's refusal."""
    client = temporal_of(services)
    key = _key(request)
    claim = await run_in_threadpool(_claim_command, services, actor, request, reference)
    if isinstance(claim, Answer):
        return respond(claim)
    refusal: StockwrightError | None = None
    try:
        await asyncio.wait_for(
            _update(client, claim.workflow_id, update, command, f"http/{key}"),
            ANSWER_TIMEOUT.total_seconds(),
        )
    except WorkflowUpdateFailedError as error:
        refusal = refusal_of(error)
    except Exception as error:
        if is_closed(error):
            refusal = ProcessClosed(f"Order {claim.number} has ended.")
        elif is_away(error):
            await run_in_threadpool(let_go, services, actor, key)
            raise Unavailable("The process does not answer.", retry_after=2) from error
        else:
            raise
    answer = await run_in_threadpool(_answer, services, actor, request, claim, refusal, render)
    return respond(answer)


def _key(request: KeyedRequest) -> str:
    if request.key is None:
        raise Unavailable("A process is only asked under a key.")
    return request.key


def _claim_order(
    services: Services, actor: Actor, request: KeyedRequest, new: NewOrder
) -> Answer | tuple[Claim, PlaceOrder | None]:
    """Claim the key and draft the order; no draft when its process has recorded it already."""
    settings = services.settings
    windows = Windows(
        settings.order_payment_window, settings.order_ship_window, settings.order_close_after
    )
    with transaction(services.engine, actor.tenant_id) as session:
        claim = operations.claim(
            session,
            key=_key(request),
            print_=request.print_,
            number=lambda: operations.next_number(session, "SO"),
            workflow_id=lambda number: order_workflow_id(actor.tenant_slug, number),
        )
        if isinstance(claim, Answer):
            return claim
        if orders.by_workflow(session, claim.workflow_id) is not None:
            return claim, None
        try:
            return claim, draft(session, actor, claim, new, windows)
        except Conflict as refusal:
            return _store(session, request, refusal.status, _problem(refusal, request))


async def _start(client: Client, order: PlaceOrder, task_queue: str) -> None:
    """Start the process and wait for its first settled state, in one round trip."""
    lines = f"{len(order.lines)} lines"
    operation = WithStartWorkflowOperation(
        OrderWorkflow.run,
        order,
        id=order.workflow_id,
        task_queue=task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        # After the order has ended, the same ids must not begin a second life.
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        # The first task of a killed worker is given to the next one after this time.
        task_timeout=timedelta(seconds=5),
        static_summary=f"{order.number} · {order.tenant_slug} · {lines} · "
        f"{order.total:.2f} {order.currency}",
        search_attributes=attributes.at_start(
            tenant=order.tenant_slug,
            kind="order",
            number=order.number,
            stage="placed",
            amount=order.total,
            currency=order.currency,
            actor=order.actor,
        ),
    )
    # mypy takes the overload for plain functions here; the call returns the update's result.
    await client.execute_update_with_start_workflow(  # type: ignore[unused-coroutine]
        OrderWorkflow.placed,
        start_workflow_operation=operation,
        id="placed",
        rpc_timeout=ANSWER_TIMEOUT,
    )


async def _update(
    client: Client, workflow_id: str, update: Any, command: Command, update_id: str
) -> None:
    handle = client.get_workflow_handle(workflow_id)
    try:
        await handle.execute_update(update, command, id=update_id, rpc_timeout=ANSWER_TIMEOUT)
    except RPCError as error:
        if not is_closed(error):
            raise
        # The process may have ended by this very command, whose answer was lost on the way.
        await handle.get_update_handle(update_id).result(rpc_timeout=ANSWER_TIMEOUT)


def _claim_command(
    services: Services, actor: Actor, request: KeyedRequest, reference: str
) -> Answer | Claim:
    with transaction(services.engine, actor.tenant_id) as session:
        order = orders.find(session, reference)
        if order is None:
            raise NotFound("There is no such order.")
        number, workflow_id = order.number, order.workflow_id
        return operations.claim(
            session,
            key=_key(request),
            print_=request.print_,
            number=lambda: number,
            workflow_id=lambda _: workflow_id,
        )


def _settle(
    services: Services, actor: Actor, request: KeyedRequest, claim: Claim, render: Render
) -> Answer:
    """Store what placing led to: the recorded order, its refusal, or "it goes on"."""
    with transaction(services.engine, actor.tenant_id) as session:
        order = orders.by_workflow(session, claim.workflow_id)
        if order is None:
            body = f'{{"object":"order","number":"{claim.number}","fulfilment":"placed"}}'
            return _store(session, request, 202, body.encode())
        if order.refusal is not None and order.fulfilment == "failed":
            refusal = Conflict(
                order.refusal["detail"],
                code=order.refusal["code"],
                details={**order.refusal["details"], "number": order.number},
            )
            return _store(session, request, refusal.status, _problem(refusal, request))
        return _store(session, request, 201, render(session, order))


def _answer(
    services: Services,
    actor: Actor,
    request: KeyedRequest,
    claim: Claim,
    refusal: StockwrightError | None,
    render: Render,
) -> Answer:
    with transaction(services.engine, actor.tenant_id) as session:
        if refusal is not None and not isinstance(refusal, Conflict):
            # Malformed for this order: mended, it may come again under the same key.
            operations.abandon(session, _key(request))
        elif refusal is not None:
            return _store(session, request, refusal.status, _problem(refusal, request))
        else:
            order = orders.by_workflow(session, claim.workflow_id)
            if order is None:
                raise NotFound("There is no such order.")
            return _store(session, request, 200, render(session, order))
    raise refusal


def _store(session: Session, request: KeyedRequest, status: int, body: bytes) -> Answer:
    operations.finish(session, source=HTTP, key=_key(request), status=status, body=body)
    return Answer(status, body)


def _problem(refusal: StockwrightError, request: KeyedRequest) -> bytes:
    return render_problem(refusal, request.instance)
