"""Definitions of custom attributes over HTTP; values are read and edited with their records."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request, Response
from sqlalchemy.orm import Session

from api.answers import RecordView, respond, show
from api.auth import needs
from api.etag import IfMatch, IfNoneMatch
from api.idempotency import KeyedCommand, OptionalCommand, write
from api.pages import ListOf, PageQuery, listing, window
from api.routing import make_router
from api.services import TheServices
from db import attributes, records
from db.engine import transaction
from db.tables import Attribute
from domain.attributes import (
    AttributeChanges,
    AttributeType,
    NewAttribute,
    RecordKind,
    Scalar,
    shown,
)
from domain.permissions import Actor, Permission

router = make_router("/v1/attributes", "catalogue")
Reader = Annotated[Actor, needs(Permission.CATALOGUE_READ)]
Writer = Annotated[Actor, needs(Permission.CATALOGUE_WRITE)]


class AttributeView(RecordView):
    """A field of the company's own on one kind of records."""

    kind: RecordKind
    key: str
    label: str
    type: AttributeType
    required: bool
    options: list[str]
    minimum: Scalar
    maximum: Scalar
    max_length: int | None
    pattern: str | None


class AttributeQuery(PageQuery):
    """Filters of the list of attributes."""

    kind: RecordKind | None = None


@router.post("", status_code=201, response_model=AttributeView)
def create_attribute(
    body: NewAttribute, actor: Writer, services: TheServices, command: KeyedCommand
) -> Response:
    """Define a custom attribute."""

    def effect(session: Session) -> AttributeView:
        return _show(attributes.create(session, body))

    answer = write(services, actor, command, effect, status=201)
    return respond(answer, location="/v1/attributes/{id}")


@router.get("", response_model=ListOf[AttributeView])
def list_attributes(
    request: Request,
    query: Annotated[AttributeQuery, Query()],
    actor: Reader,
    services: TheServices,
) -> Response:
    """List the custom attributes, all or those of one kind of records."""
    with transaction(services.engine, actor.tenant_id) as session:
        page = attributes.list_attributes(session, window(request, query), kind=query.kind)
        return listing(request, page, [_show(row) for row in page.rows])


@router.get("/{attribute_id}", response_model=AttributeView)
def get_attribute(
    attribute_id: UUID, actor: Reader, services: TheServices, if_none_match: IfNoneMatch = None
) -> Response:
    """Show the definition of a custom attribute."""
    with transaction(services.engine, actor.tenant_id) as session:
        return show(_show(records.get(session, Attribute, attribute_id)), if_none_match)


@router.patch("/{attribute_id}", response_model=AttributeView)
def change_attribute(
    attribute_id: UUID,
    body: AttributeChanges,
    versions: IfMatch,
    actor: Writer,
    services: TheServices,
    command: OptionalCommand,
) -> Response:
    """Edit a definition; refused while records have values that would not be allowed any more."""

    def effect(session: Session) -> AttributeView:
        return _show(attributes.change(session, attribute_id, versions, body.sent()))

    return respond(write(services, actor, command, effect))


@router.delete("/{attribute_id}", status_code=204, response_model=None)
def delete_attribute(
    attribute_id: UUID,
    versions: IfMatch,
    actor: Writer,
    services: TheServices,
    command: OptionalCommand,
) -> Response:
    """Delete the definition of an attribute of which no record has a value."""

    def effect(session: Session) -> None:
        attributes.delete_attribute(session, attribute_id, versions)

    return respond(write(services, actor, command, effect))


def _show(row: Attribute) -> AttributeView:
    ends: dict[str, Any] = {"minimum": row.minimum, "maximum": row.maximum}
    return AttributeView.of(
        row,
        **{name: None if end is None else shown(row.type, end) for name, end in ends.items()},
    )
