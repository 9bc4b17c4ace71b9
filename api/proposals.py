"""Reorder proposals over HTTP: run, read, dismiss."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from api.answers import respond
from api.auth import needs
from api.idempotency import KeyedCommand, write
from api.pages import ListOf, PageQuery, listing, window
from api.routing import make_router
from api.services import TheServices
from db import proposals
from db.engine import transaction
from db.reorder_tables import ReorderLine
from domain.permissions import Actor, Permission
from domain.reorder import DismissProposal
from domain.values import Instant

router = make_router("/v1/inventory/reorder-proposals", "replenishment")
Reader = Annotated[Actor, needs(Permission.STOCK_READ)]
Planner = Annotated[Actor, needs(Permission.STOCK_PLAN)]
Status = Literal["draft", "dismissed", "ordered"]


class ProposalView(BaseModel):
    """What should be ordered from one supplier; without one, nobody is known to deliver it."""

    model_config = ConfigDict(from_attributes=True)

    object: Literal["reorder_proposal"] = "reorder_proposal"
    id: UUID
    supplier_id: UUID | None
    status: Status
    line_count: int
    total_quantity: int
    calculated_at: Instant
    dismissed_at: Instant | None
    dismissed_by: str | None
    dismissed_reason: str | None
    created_at: Instant


class ProposalLineView(BaseModel):
    """One level of a proposal with every number of its formula.

    projected = available + in_transit + incoming. target = max_stock_level, or reorder_point +
    demand_units * lead_time_days / demand_days, rounded up. quantity = the largest of
    reorder_quantity, target - projected, reorder_point + 1 - projected and minimum_quantity,
    rounded up to whole packs.
    """

    model_config = ConfigDict(from_attributes=True)

    object: Literal["reorder_line"] = "reorder_line"
    id: UUID
    proposal_id: UUID
    warehouse_id: UUID
    variant_id: UUID
    lot: str | None
    available: int
    in_transit: int
    incoming: int
    projected: int
    reorder_point: int
    reorder_quantity: int | None
    max_stock_level: int | None
    demand_units: int
    demand_days: int
    lead_time_days: int
    target: int
    minimum_quantity: int
    pack_size: int
    quantity: int


class RunView(BaseModel):
    """What a run found and left behind: levels in need, and the drafts that are open now."""

    object: Literal["reorder_run"] = "reorder_run"
    levels_in_need: int
    lines_dismissed: int
    drafts_withdrawn: int
    proposals: list[ProposalView]


class ProposalQuery(PageQuery):
    """Filters of the list of proposals."""

    status: Status | None = None
    supplier_id: UUID | None = None


@router.post("", response_model=RunView)
def run_reorder_proposals(actor: Planner, services: TheServices, command: KeyedCommand) -> Response:
    """Bring the drafts to today's need: one a supplier, however often and by whom it is asked."""

    def effect(session: Session) -> RunView:
        run = proposals.run(session, actor)
        return RunView(
            levels_in_need=run.needed,
            lines_dismissed=run.dismissed,
            drafts_withdrawn=run.withdrawn,
            proposals=[ProposalView.model_validate(row) for row in run.proposals],
        )

    return respond(write(services, actor, command, effect))


@router.get("", response_model=ListOf[ProposalView])
def list_reorder_proposals(
    request: Request,
    query: Annotated[ProposalQuery, Query()],
    actor: Reader,
    services: TheServices,
) -> Response:
    """List proposals by status or supplier."""
    with transaction(services.engine, actor.tenant_id) as session:
        page = proposals.list_proposals(
            session, window(request, query), status=query.status, supplier_id=query.supplier_id
        )
        return listing(request, page, [ProposalView.model_validate(row) for row in page.rows])


@router.get("/{proposal_id}", response_model=ProposalView)
def get_reorder_proposal(proposal_id: UUID, actor: Reader, services: TheServices) -> ProposalView:
    """Show a proposal; its lines are a list of their own."""
    with transaction(services.engine, actor.tenant_id) as session:
        return ProposalView.model_validate(proposals.proposal(session, proposal_id))


@router.get("/{proposal_id}/lines", response_model=ListOf[ProposalLineView])
def list_lines_of_proposal(
    request: Request,
    proposal_id: UUID,
    query: Annotated[PageQuery, Query()],
    actor: Reader,
    services: TheServices,
) -> Response:
    """List the lines of a proposal, each with the numbers of its formula."""
    with transaction(services.engine, actor.tenant_id) as session:
        page = proposals.lines(session, proposal_id, window(request, query))
        return listing(request, page, [_line(row) for row in page.rows])


@router.post("/{proposal_id}/dismiss", response_model=ProposalView)
def dismiss_reorder_proposal(
    proposal_id: UUID,
    body: DismissProposal,
    actor: Planner,
    services: TheServices,
    command: KeyedCommand,
) -> Response:
    """Say no to a draft: its lines come back after a day, or as soon as more is needed."""

    def effect(session: Session) -> ProposalView:
        return ProposalView.model_validate(
            proposals.dismiss(session, actor, proposal_id, body.reason)
        )

    return respond(write(services, actor, command, effect))


def _line(row: ReorderLine) -> ProposalLineView:
    """A line is known by its level, which stands in a proposal once."""
    columns = {n: getattr(row, n) for n in ProposalLineView.model_fields if hasattr(row, n)}
    return ProposalLineView.model_validate(columns | {"id": row.level_id})
