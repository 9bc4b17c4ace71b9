"""Idempotency keys: a changing request has one effect and one answer, however often it is sent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic import BaseModel
from sqlalchemy.orm import Session

from api.problems import instance_of, render_problem
from api.services import Services
from db.engine import transaction
from db.operations import Answer, fingerprint, once, release_claim
from domain.errors import Unreadable
from domain.permissions import Actor

_KEY_HEADER = Header(
    alias="Idempotency-Key",
    description="1 to 200 printable ASCII characters. The same key and request give the same"
    " answer, with `Idempotent-Replayed: true`; kept for 30 days.",
)


@dataclass(frozen=True, slots=True)
class Command:
    """What identifies a changing request: its key, a fingerprint of it, and its path.

    ``key`` is None only where the header is optional (PUT, PATCH, DELETE).
    """

    key: str | None
    print_: bytes
    instance: str


async def _checked(key: Annotated[str | None, _KEY_HEADER] = None) -> str | None:
    if key is not None and not (1 <= len(key) <= 200 and key.isascii() and key.isprintable()):
        raise Unreadable(
            "Idempotency-Key has 1 to 200 printable ASCII characters.", code="bad_idempotency_key"
        )
    return key


async def _present(key: Annotated[str | None, Depends(_checked)]) -> str:
    if key is None:
        raise _missing()
    return key


def _missing() -> Unreadable:
    return Unreadable("Send Idempotency-Key with every POST.", code="idempotency_key_required")


async def _optional(request: Request, key: Annotated[str | None, Depends(_checked)]) -> Command:
    query = f"?{request.url.query}" if request.url.query else ""
    target = instance_of(request) + query
    return Command(
        key, fingerprint(request.method, target, await request.body()), instance_of(request)
    )


async def _required(command: Annotated[Command, Depends(_optional)]) -> Command:
    if command.key is None:
        raise _missing()
    return command


#: For POST: 400 when the header is missing.
KeyedCommand = Annotated[Command, Depends(_required)]
#: For a POST whose body is a stream: only the key, as the body is not read at once.
StreamKey = Annotated[str, Depends(_present)]
#: For PUT, PATCH and DELETE, which If-Match already protects.
OptionalCommand = Annotated[Command, Depends(_optional)]


def write(
    services: Services,
    actor: Actor,
    command: Command,
    effect: Callable[[Session], BaseModel | None],
    *,
    status: int = 200,
) -> Answer:
    """Run ``effect`` in one transaction of the actor's tenant, once under the command's key.

    The answer is the effect's view as JSON, or 204 when it gives None. A Conflict is stored as
    the answer of its key; every other error leaves no trace.
    """

    def run(session: Session) -> tuple[int, bytes]:
        view = effect(session)
        session.flush()
        return (204, b"") if view is None else (status, view.model_dump_json().encode())

    with transaction(services.engine, actor.tenant_id) as session:
        if command.key is None:
            return Answer(*run(session))
        return once(
            session,
            key=command.key,
            print_=command.print_,
            effect=lambda: run(session),
            refuse=lambda refusal: render_problem(refusal, command.instance),
        )


def let_go(services: Services, actor: Actor, key: str) -> None:
    """Nothing came of a claimed key: its next repeat may take it over at once."""
    with transaction(services.engine, actor.tenant_id) as session:
        release_claim(session, key)
