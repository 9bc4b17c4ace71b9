"""Late cost changes over HTTP: asking starts a process, reads show how far it is and the split."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from api.answers import respond, show
from api.auth import needs
from api.etag import IfNoneMatch
from api.idempotency import Command, KeyedCommand, let_go
from api.pages import ListOf, PageQuery, listing, window
from api.problems import render_problem
from api.routing import make_router
from api.services import Services, TheServices
from api.temporal import ANSWER_TIMEOUT, exists, is_away, temporal_of
from db import operations, revaluations
from db.engine import transaction
from db.operations import HTTP, Answer, Claim
from db.upkeep_tables import Revaluation as Row
from domain.errors import Conflict, Unavailable
from domain.permissions import Actor, Permission
from domain.revaluations import NUMBER_KIND, Opened, Revaluation, revaluation_workflow_id
from domain.values import Body, Money, Name, SignedMoney, decimal_text, example
from workflows import attributes
from workflows.revaluations import RevaluationWorkflow

router = make_router("/v1/inventory/revaluations", "stock")
Reader = Annotated[Actor, needs(Permission.STOCK_READ)]
Adjuster = Annotated[Actor, needs(Permission.STOCK_ADJUST)]
LOCATION = "/v1/inventory/revaluations/{id}"


class NewRevaluation(Body):
    """A receipt turned out to have cost more or less; all its units, at this cost each."""

    model_config = example(
        {
            "movement_id": "01980000-0000-7000-8000-000000000003",
            "unit_cost": "4.35",
            "reason": "invoice 4711 came in higher",
        }
    )

    movement_id: UUID
    unit_cost: Money
    reason: Name


class Part(BaseModel):
    """What of the difference went out, by kind of movement; ``variance`` could not be borne."""

    kind: str
    value: SignedMoney


class RevaluationView(BaseModel):
    """A revaluation. Once completed, ``stock_value`` and ``gone`` add up to ``difference``."""

    object: Literal["revaluation"] = "revaluation"
    id: UUID
    number: str
    workflow_id: str
    movement_id: UUID
    level_id: UUID
    quantity: int
    unit_cost_before: str
    unit_cost: Money
    difference: SignedMoney
    currency: str
    reason: str
    status: Literal["walking", "completed"]
    movements: int = Field(description="Later movements of the level that were followed so far.")
    stock_value: SignedMoney | None = Field(description="Posted to the level; null while walking.")
    gone: list[Part] = Field(
        description="What went out with goods, by kind; rounded when completed."
    )
    operation_id: UUID | None = Field(description="Of the posted movement, if one was needed.")
    created_by: str
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None
    version: int


class RevaluationQuery(PageQuery):
    """Filters of the list of revaluations."""

    movement_id: UUID | None = None


@router.post("", status_code=202, response_model=RevaluationView)
async def revalue(
    body: NewRevaluation, actor: Adjuster, services: TheServices, command: KeyedCommand
) -> Response:
    """Correct the unit cost of a past receipt: what is still in stock is revalued by a process."""
    client = temporal_of(services)
    claimed = await run_in_threadpool(_claim, services, actor, command, body)
    if isinstance(claimed, Answer):
        return respond(claimed, location=LOCATION)
    opened = Opened()
    try:
        opened = await asyncio.wait_for(
            _start(client, claimed, actor.currency, services.settings.task_queue),
            ANSWER_TIMEOUT.total_seconds(),
        )
    except WorkflowAlreadyStartedError:
        # It ran and ended before, for an answer that was lost on its way.
        handle = client.get_workflow_handle_for(RevaluationWorkflow.run, claimed.workflow_id)
        opened = Opened(refusal=(await handle.result()).refusal)
    except Exception as error:
        if not is_away(error):
            raise
        if not await exists(client, claimed.workflow_id):
            await run_in_threadpool(let_go, services, actor, _key(command))
            raise Unavailable("Temporal does not answer.", retry_after=2) from error
    answer = await run_in_threadpool(_settle, services, actor, command, claimed, opened)
    return respond(answer, location=LOCATION)


@router.get("", response_model=ListOf[RevaluationView])
def list_revaluations(
    request: Request,
    query: Annotated[RevaluationQuery, Query()],
    actor: Reader,
    services: TheServices,
) -> Response:
    """List revaluations."""
    with transaction(services.engine, actor.tenant_id) as session:
        page = revaluations.list_revaluations(
            session, window(request, query), movement_id=query.movement_id
        )
        return listing(request, page, [_view(row, actor.currency) for row in page.rows])


@router.get("/{revaluation_id}", response_model=RevaluationView)
def get_revaluation(
    revaluation_id: str, actor: Reader, services: TheServices, if_none_match: IfNoneMatch = None
) -> Response:
    """Show a revaluation, by id or number: how far it is, and where the difference went."""
    with transaction(services.engine, actor.tenant_id) as session:
        return show(
            _view(revaluations.find(session, revaluation_id), actor.currency), if_none_match
        )


def _view(row: Row, currency: str) -> RevaluationView:
    fields: dict[str, Any] = {
        name: getattr(row, name) for name in RevaluationView.model_fields if hasattr(row, name)
    }
    fields["gone"] = [
        Part(kind=kind, value=round(Decimal(value), 6)) for kind, value in sorted(row.gone.items())
    ]
    fields["unit_cost_before"] = decimal_text(round(row.unit_cost_before, 6))
    return RevaluationView.model_validate(fields | {"currency": currency})


def _claim(
    services: Services, actor: Actor, command: Command, body: NewRevaluation
) -> Answer | Revaluation:
    """Claim the key with the process's number, and check the receipt."""
    with transaction(services.engine, actor.tenant_id) as session:
        claim = operations.claim(
            session,
            key=_key(command),
            print_=command.print_,
            number=lambda: operations.next_number(session, NUMBER_KIND),
            workflow_id=lambda number: revaluation_workflow_id(actor.tenant_slug, number),
        )
        if isinstance(claim, Answer):
            return claim
        return _draft(session, actor, claim, command, body)


def _draft(
    session: Session, actor: Actor, claim: Claim, command: Command, body: NewRevaluation
) -> Answer | Revaluation:
    row = revaluations.by_id(session, claim.id)
    if row is not None:
        return _store(session, command, 202, _view(row, actor.currency).model_dump_json().encode())
    try:
        return revaluations.draft(
            session,
            actor,
            claim,
            movement_id=body.movement_id,
            unit_cost=body.unit_cost,
            reason=body.reason,
            at=datetime.now(UTC),
        )
    except Conflict as refusal:
        return _refuse(session, command, refusal)


async def _start(client: Client, asked: Revaluation, currency: str, task_queue: str) -> Opened:
    """Start the process and wait until it is known whether it begins, in one round trip."""
    operation = WithStartWorkflowOperation(
        RevaluationWorkflow.run,
        asked,
        id=asked.workflow_id,
        task_queue=task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        task_timeout=timedelta(seconds=5),
        static_summary=f"{asked.number} · {asked.tenant_slug} · {asked.difference:f} {currency}",
        search_attributes=attributes.at_start(
            tenant=asked.tenant_slug,
            kind="revaluation",
            number=asked.number,
            stage="walking",
            amount=asked.difference,
            currency=currency,
            actor=asked.actor,
        ),
    )
    # mypy takes the overload for plain functions here; the call returns the update's result.
    opened: Opened = await client.execute_update_with_start_workflow(
        RevaluationWorkflow.opened,  # type: ignore[arg-type]
        start_workflow_operation=operation,
        id="opened",
        rpc_timeout=ANSWER_TIMEOUT,
    )
    return opened


def _settle(
    services: Services, actor: Actor, command: Command, asked: Revaluation, opened: Opened
) -> Answer:
    """Store the answer: the row as it is, the refusal, or that it is on its way."""
    with transaction(services.engine, actor.tenant_id) as session:
        row = revaluations.by_id(session, asked.id)
        if row is not None:
            body = _view(row, actor.currency).model_dump_json().encode()
            return _store(session, command, 202, body)
        if opened.refusal is not None:
            return _refuse(session, command, Conflict(**opened.refusal))
        body = f'{{"object":"revaluation","id":"{asked.id}","number":"{asked.number}"}}'.encode()
        return _store(session, command, 202, body)


def _refuse(session: Session, command: Command, refusal: Conflict) -> Answer:
    body = render_problem(refusal, command.instance)
    return _store(session, command, refusal.status, body)


def _store(session: Session, command: Command, status: int, body: bytes) -> Answer:
    operations.finish(session, source=HTTP, key=_key(command), status=status, body=body)
    return Answer(status, body)


def _key(command: Command) -> str:
    if command.key is None:
        raise Unavailable("A process is only asked under a key.")
    return command.key
