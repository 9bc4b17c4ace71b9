"""Customers and suppliers over HTTP: the same routes for both."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from sqlalchemy.orm import Session

from api.answers import RecordView, respond, show
from api.auth import needs
from api.etag import IfMatch, IfNoneMatch
from api.idempotency import KeyedCommand, OptionalCommand, write
from api.pages import ListOf, RecordQuery, listing, window
from api.routing import make_router
from api.services import TheServices
from db import attributes, partners, records
from db.engine import transaction
from db.tables import Customer, Partner, Supplier
from domain.attributes import Values
from domain.partners import NewPartner, PartnerChanges
from domain.permissions import Actor, Permission
from domain.values import Address, Code, Email

Reader = Annotated[Actor, needs(Permission.PARTNERS_READ)]
Writer = Annotated[Actor, needs(Permission.PARTNERS_WRITE)]
Kind = type[Customer] | type[Supplier]


class PartnerView(RecordView):
    """A customer or supplier."""

    code: str | None
    name: str
    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    address: Address
    status: str
    attributes: Values


class PartnerQuery(RecordQuery):
    """Filters of the lists of customers and suppliers."""

    code: Code | None = None
    email: Email | None = None
    q: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="A part of name, mail address, phone or code.",
    )


def _router(kind: Kind, noun: str) -> APIRouter:
    """The routes of one of the two, under ``/v1/<noun>s``."""
    router = make_router(f"/v1/{noun}s", "partners")
    _add_reads(router, kind, noun)
    _add_edits(router, kind, noun)
    _add_switches(router, kind, noun)
    return router


def _add_reads(router: APIRouter, kind: Kind, noun: str) -> None:
    @router.get("", response_model=ListOf[PartnerView], name=f"list_{noun}s")
    def list_partners(
        request: Request,
        query: Annotated[PartnerQuery, Query()],
        actor: Reader,
        services: TheServices,
    ) -> Response:
        """List by code, mail address, attributes, or a part of name, mail, phone or code."""
        with transaction(services.engine, actor.tenant_id) as session:
            page = partners.list_partners(
                session,
                kind,
                window(request, query),
                code=query.code,
                email=query.email,
                q=query.q,
                having=query.attribute,
            )
            return listing(request, page, _show_all(session, page.rows))

    @router.get("/{partner_id}", response_model=PartnerView, name=f"get_{noun}")
    def get(
        partner_id: UUID, actor: Reader, services: TheServices, if_none_match: IfNoneMatch = None
    ) -> Response:
        """Show one."""
        with transaction(services.engine, actor.tenant_id) as session:
            row = records.get(session, kind, partner_id)
            return show(_show(session, row), if_none_match)


def _add_edits(router: APIRouter, kind: Kind, noun: str) -> None:
    @router.post("", status_code=201, response_model=PartnerView, name=f"create_{noun}")
    def create(
        body: NewPartner, actor: Writer, services: TheServices, command: KeyedCommand
    ) -> Response:
        """Make one."""

        def effect(session: Session) -> PartnerView:
            return _show(session, partners.create(session, kind, body))

        answer = write(services, actor, command, effect, status=201)
        return respond(answer, location=f"/v1/{noun}s/{{id}}")

    @router.patch("/{partner_id}", response_model=PartnerView, name=f"change_{noun}")
    def change(
        partner_id: UUID,
        body: PartnerChanges,
        versions: IfMatch,
        actor: Writer,
        services: TheServices,
        command: OptionalCommand,
    ) -> Response:
        """Edit one."""

        def effect(session: Session) -> PartnerView:
            row = partners.change(session, kind, partner_id, versions, body.sent())
            return _show(session, row)

        return respond(write(services, actor, command, effect))

    @router.delete("/{partner_id}", status_code=204, response_model=None, name=f"delete_{noun}")
    def delete(
        partner_id: UUID,
        versions: IfMatch,
        actor: Writer,
        services: TheServices,
        command: OptionalCommand,
    ) -> Response:
        """Delete one that nothing ever referred to."""

        def effect(session: Session) -> None:
            partners.delete(session, kind, partner_id, versions)

        return respond(write(services, actor, command, effect))


def _add_switches(router: APIRouter, kind: Kind, noun: str) -> None:
    @router.post("/{partner_id}/disable", response_model=PartnerView, name=f"disable_{noun}")
    def disable(
        partner_id: UUID, actor: Writer, services: TheServices, command: KeyedCommand
    ) -> Response:
        """Take one out of use; refused while open orders use it."""

        def effect(session: Session) -> PartnerView:
            return _show(session, partners.disable(session, kind, partner_id))

        return respond(write(services, actor, command, effect))

    @router.post("/{partner_id}/enable", response_model=PartnerView, name=f"enable_{noun}")
    def enable(
        partner_id: UUID, actor: Writer, services: TheServices, command: KeyedCommand
    ) -> Response:
        """Put one back into use."""

        def effect(session: Session) -> PartnerView:
            return _show(session, partners.enable(session, kind, partner_id))

        return respond(write(services, actor, command, effect))


def _show(session: Session, row: Partner) -> PartnerView:
    return _show_all(session, [row])[0]


def _show_all(session: Session, rows: Sequence[Partner]) -> list[PartnerView]:
    values = attributes.values_of(session, [row.id for row in rows])
    return [PartnerView.of(row, attributes=values[row.id]) for row in rows]


ROUTERS = (_router(Customer, "customer"), _router(Supplier, "supplier"))
