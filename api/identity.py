"""API keys over HTTP: making one shows its secret, once; revoking takes effect within seconds."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import ConfigDict, Field
from sqlalchemy.orm import Session

from api.answers import RecordView, respond
from api.auth import needs
from api.idempotency import KeyedCommand, write
from api.pages import ListOf, PageQuery, listing, window
from api.routing import make_router
from api.services import TheServices
from db import tenants
from db.engine import transaction
from domain.errors import InvalidInput
from domain.permissions import Actor, Permission
from domain.values import Body, Instant, Name

router = make_router("/v1/api-keys", "identity")
KeyManager = Annotated[Actor, needs(Permission.KEYS_MANAGE)]


class NewApiKey(Body):
    """A key for a program or person."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"name": "Web shop", "role": "sales", "expires_at": "2030-01-01T00:00:00Z"}
            ]
        }
    )

    name: Name
    role: Literal["admin", "manager", "sales", "warehouse", "viewer"]
    expires_at: Instant | None = None


class ApiKeyView(RecordView):
    """A key without its secret, which nobody can show again."""

    name: str
    prefix: str
    role: str
    expires_at: Instant | None
    revoked_at: Instant | None
    last_used_at: Instant | None


class NewApiKeyView(ApiKeyView):
    """A key that was just made, with its secret."""

    secret: str | None = Field(description="Shown once: a repeated request gets null.")


@router.post("", status_code=201, response_model=NewApiKeyView)
def create_api_key(
    body: NewApiKey, actor: KeyManager, services: TheServices, command: KeyedCommand
) -> Response:
    """Make a key; the answer is the only place where its secret is shown."""
    if body.expires_at is not None and body.expires_at <= datetime.now(UTC):
        raise InvalidInput.field("/expires_at", "in_the_past", "expires_at lies in the future")

    made: list[NewApiKeyView] = []

    def effect(session: Session) -> NewApiKeyView:
        key, secret = tenants.create_api_key(
            session, name=body.name, role=body.role, expires_at=body.expires_at
        )
        made.append(NewApiKeyView.of(key, secret=secret))
        return NewApiKeyView.of(key, secret=None)

    answer = write(services, actor, command, effect, status=201)
    # The stored answer has no secret: of it the database keeps the hash, and nothing else.
    for view in made:
        answer = replace(answer, body=view.model_dump_json().encode())
    return respond(answer)


@router.get("", response_model=ListOf[ApiKeyView])
def list_api_keys(
    request: Request, query: Annotated[PageQuery, Query()], actor: KeyManager, services: TheServices
) -> Response:
    """List the keys, revoked ones included."""
    with transaction(services.engine, actor.tenant_id) as session:
        page = tenants.list_api_keys(session, window(request, query))
        return listing(request, page, [ApiKeyView.of(row) for row in page.rows])


@router.post("/{key_id}/revoke", response_model=ApiKeyView)
def revoke_api_key(
    key_id: UUID, actor: KeyManager, services: TheServices, command: KeyedCommand
) -> Response:
    """Revoke a key for good; every process refuses it within five seconds."""

    def effect(session: Session) -> ApiKeyView:
        return ApiKeyView.of(tenants.revoke_api_key(session, key_id))

    return respond(write(services, actor, command, effect))
