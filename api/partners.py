"""Customers and suppliers over HTTP: the same routes for both."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from sqlalchemy.orm import Session

from api.answers import RecordView, respond, show
from api.auth import needs
from api.etag import IfMatch, IfNoneMatch
from api.idempotency import KeyedCommand, OptionalCommand, write
from api.pages import ListOf, PageQuery, listing, window
from api.routing import make_router
from api.services import TheServices
from db import partners, records
from db.engine import transaction
from db.tables import Customer, Supplier
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


class PartnerQuery(PageQuery):
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
        """List by code, mail address, or a part of name, mail address, phone or code."""
        with transaction(services.engine, actor.tenant_id) as session:
            page = partners.list_partners(
                session,
                kind,
                window(request, query),
                code=query.code,
                email=query.email,
                q=query.q,
            )
            return listing(request, page, [PartnerView.of(row) for row in page.rows])

    @router.get("/{partner_id}", response_model=PartnerView, name=f"get_{noun}")
    def get(
        partner_id: UUID, actor: Reader, services: TheServices, if_none_match: IfNoneMatch = None
    ) -> Response:
        """Show one."""
        with transaction(services.engine, actor.tenant_id) as session:
            return show(PartnerView.of(records.get(session, kind, partner_id)), if_none_match)


def _add_edits(router: APIRouter, kind: Kind, noun: str) -> None:
    @router.post("", status_code=201, response_model=PartnerView, name=f"create_{noun}")
    def create(
        body: NewPartner, actor: Writer, services: TheServices, command: KeyedCommand
    ) -> Response:
        """Make one."""

        def effect(session: Session) -> PartnerView:
            return PartnerView.of(partners.create(session, kind, body))

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
            return PartnerView.of(partners.change(session, kind, partner_id, versions, body.sent()))

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
            return PartnerView.of(partners.disable(session, kind, partner_id))

        return respond(write(services, actor, command, effect))

    @router.post("/{partner_id}/enable", response_model=PartnerView, name=f"enable_{noun}")
    def enable(
        partner_id: UUID, actor: Writer, services: TheServices, command: KeyedCommand
    ) -> Response:
        """Put one back into use."""

        def effect(session: Session) -> PartnerView:
            return PartnerView.of(partners.enable(session, kind, partner_id))

        return respond(write(services, actor, command, effect))


ROUTERS = (_router(Customer, "customer"), _router(Supplier, "supplier"))
