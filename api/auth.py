"""Who asks and whether they may: from the Authorization header to an Actor with permissions.

A credential is read in two steps, so that others can join API keys later: ``identify`` picks the
reader by the token's form, the reader gives an Actor. Verified API keys are remembered for
KEY_MEMORY seconds in each process; a revoked key is refused everywhere after that time.
"""

import hashlib
import hmac
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from fastapi import Depends, Request
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from db import tenants
from db.engine import transaction
from domain.errors import Forbidden, Unauthenticated
from domain.permissions import Actor, Permission, authorize

KEY_MEMORY = 5.0
_KEYS_MAX = 1024
_API_KEY = re.compile(r"(sw_live_[0-9a-f]{12})_([0-9a-f]{48})", re.ASCII)
_NOBODY = tenants.hash_secret("")


@dataclass(frozen=True, slots=True)
class Needs:
    """A dependency that gives the Actor, or refuses one without the permission."""

    permission: Permission

    async def __call__(self, request: Request) -> Actor:
        """Raises Unauthenticated without a valid credential, Forbidden without the permission."""
        actor = await _actor_of(request)
        authorize(actor, self.permission)
        return actor


def needs(permission: Permission) -> Any:
    """Declare a route's permission: ``actor: Annotated[Actor, needs(Permission.ORDERS_READ)]``."""
    return Depends(Needs(permission))


class KeyRing:
    """Looks API keys up and remembers the verified ones for a short time."""

    def __init__(self, engine: Engine, memory: float = KEY_MEMORY) -> None:
        self._engine = engine
        self._memory = memory
        self._known: OrderedDict[bytes, tuple[float, Actor]] = OrderedDict()
        self._lock = Lock()

    def remembered(self, token: str) -> Actor | None:
        """The owner of a token that was verified within the last KEY_MEMORY seconds."""
        with self._lock:
            known = self._known.get(_digest(token))
        return known[1] if known is not None and time.monotonic() < known[0] else None

    def identify(self, token: str) -> Actor:
        """The actor behind a token; asks the database.

        Raises:
            Unauthenticated: malformed, unknown, revoked or expired; the answer is the same.
            Forbidden: the tenant is suspended.
        """
        actor = self._by_api_key(token)
        with self._lock:
            self._known[_digest(token)] = (time.monotonic() + self._memory, actor)
            self._known.move_to_end(_digest(token))
            while len(self._known) > _KEYS_MAX:
                self._known.popitem(last=False)
        return actor

    def _by_api_key(self, token: str) -> Actor:
        form = _API_KEY.fullmatch(token)
        if form is None:
            raise _unauthenticated()
        prefix, secret = form.groups()
        with self._engine.connect() as connection:
            owner = tenants.find_key(connection, prefix)
        # An unknown prefix is compared as well, so that it takes as long as a wrong secret.
        expected = _NOBODY if owner is None else owner.secret_hash
        fits = hmac.compare_digest(tenants.hash_secret(secret), expected)
        if owner is None or not fits or owner.revoked_at is not None or _is_past(owner.expires_at):
            raise _unauthenticated()
        if owner.tenant_status == "suspended":
            raise Forbidden("The tenant is suspended.", code="tenant_suspended")
        with transaction(self._engine, owner.tenant_id) as session:
            tenants.note_use(session, owner.id)
        return Actor(
            tenant_id=owner.tenant_id,
            tenant_slug=owner.tenant_slug,
            name=owner.name,
            role=owner.role,
            currency=owner.currency,
            time_zone=owner.time_zone,
        )


async def _actor_of(request: Request) -> Actor:
    known: Actor | None = getattr(request.state, "actor", None)
    if known is not None:
        return known
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise _unauthenticated()
    keys: KeyRing = request.app.state.keys
    request.state.actor = keys.remembered(token)
    if request.state.actor is None:
        request.state.actor = await run_in_threadpool(keys.identify, token)
    actor: Actor = request.state.actor
    return actor


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _is_past(moment: datetime | None) -> bool:
    return moment is not None and moment <= datetime.now(UTC)


def _unauthenticated() -> Unauthenticated:
    return Unauthenticated("Send a valid key: Authorization: Bearer sw_live_….")
