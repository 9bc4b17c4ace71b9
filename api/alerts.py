"""Stock alerts over HTTP: what is the matter with which level, and who takes it on."""

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
from db import alerts
from db.engine import transaction
from domain.alerts import AlertStatus, AlertType, Severity, SnoozeAlert
from domain.permissions import Actor, Permission
from domain.values import Instant

router = make_router("/v1/inventory/alerts", "replenishment")
Reader = Annotated[Actor, needs(Permission.STOCK_READ)]
Handler = Annotated[Actor, needs(Permission.ALERTS_HANDLE)]


class AlertView(BaseModel):
    """A condition of one level.

    ``current_quantity`` is what the type compares: available, for REORDER_NEEDED what is projected,
    for OVERSTOCK what is on hand. ``opened_at`` is when the condition last began, ``created_at``
    when it first did, ``occurrences`` how often.
    """

    model_config = ConfigDict(from_attributes=True)

    object: Literal["stock_alert"] = "stock_alert"
    id: UUID
    type: AlertType
    severity: Severity
    status: AlertStatus
    level_id: UUID
    warehouse_id: UUID
    variant_id: UUID
    current_quantity: int
    reorder_point: int | None
    max_stock_level: int | None
    recommended_order_quantity: int | None
    occurrences: int
    opened_at: Instant
    acknowledged_at: Instant | None
    acknowledged_by: str | None
    snoozed_until: Instant | None
    notified_at: Instant | None
    resolved_at: Instant | None
    resolved_by: str | None
    created_at: Instant
    updated_at: Instant


class AlertQuery(PageQuery):
    """Filters of the list of alerts; ``open`` are all that are not resolved."""

    open: bool | None = None
    status: AlertStatus | None = None
    type: AlertType | None = None
    severity: Severity | None = None
    warehouse_id: UUID | None = None
    variant_id: UUID | None = None


@router.get("", response_model=ListOf[AlertView])
def list_alerts(
    request: Request, query: Annotated[AlertQuery, Query()], actor: Reader, services: TheServices
) -> Response:
    """List alerts."""
    with transaction(services.engine, actor.tenant_id) as session:
        page = alerts.list_alerts(
            session,
            window(request, query),
            is_open=query.open,
            status=query.status,
            type=query.type,
            severity=query.severity,
            warehouse_id=query.warehouse_id,
            variant_id=query.variant_id,
        )
        return listing(request, page, [AlertView.model_validate(row) for row in page.rows])


@router.get("/low-stock", response_model=ListOf[AlertView])
def list_low_stock(
    request: Request, query: Annotated[PageQuery, Query()], actor: Reader, services: TheServices
) -> Response:
    """List the open alerts that more goods would cure: low, out of stock, reorder needed."""
    with transaction(services.engine, actor.tenant_id) as session:
        page = alerts.list_shortages(session, window(request, query))
        return listing(request, page, [AlertView.model_validate(row) for row in page.rows])


@router.get("/{alert_id}", response_model=AlertView)
def get_alert(alert_id: UUID, actor: Reader, services: TheServices) -> AlertView:
    """Show an alert."""
    with transaction(services.engine, actor.tenant_id) as session:
        return AlertView.model_validate(alerts.alert(session, alert_id))


@router.post("/{alert_id}/acknowledge", response_model=AlertView)
def acknowledge_alert(
    alert_id: UUID, actor: Handler, services: TheServices, command: KeyedCommand
) -> Response:
    """Take an open alert on; it ends by itself when its condition has passed."""

    def effect(session: Session) -> AlertView:
        return AlertView.model_validate(alerts.acknowledge(session, actor, alert_id))

    return respond(write(services, actor, command, effect))


@router.post("/{alert_id}/snooze", response_model=AlertView)
def snooze_alert(
    alert_id: UUID,
    body: SnoozeAlert,
    actor: Handler,
    services: TheServices,
    command: KeyedCommand,
) -> Response:
    """Silence an open alert until a time; if it is still open then, it is as new again."""

    def effect(session: Session) -> AlertView:
        return AlertView.model_validate(alerts.snooze(session, actor, alert_id, body.until))

    return respond(write(services, actor, command, effect))
