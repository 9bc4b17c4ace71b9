"""Tenants and the keys of their API clients: creating both, and finding the owner of a key."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.orm import Session

from db import paging, records
from db.tables import ApiKey, Organization, Tenant
from domain.errors import Conflict, InvalidInput
from domain.permissions import ROLES

_CONSTRAINTS: records.Refusals = {
    "tenants_slug_key": lambda: Conflict("The slug is taken.", code="slug_taken"),
    "tenants_slug_check": lambda: InvalidInput.field(
        "/slug", "slug", "A slug is 2 to 31 lower-case letters and digits, a letter first."
    ),
    "tenants_currency_check": lambda: InvalidInput.field(
        "/currency", "currency", "A currency is an ISO 4217 code of three capital letters."
    ),
}
_FIND_KEY = text("SELECT * FROM find_api_key(:prefix)")
_SET_TENANT = text("SELECT set_config('app.tenant', :tenant, true)")


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """What is known of a key by its prefix, before its secret is compared."""

    tenant_id: UUID
    tenant_slug: str
    tenant_status: str
    currency: str
    time_zone: str
    id: UUID
    name: str
    role: str
    secret_hash: bytes
    expires_at: datetime | None
    revoked_at: datetime | None


def create_tenant(session: Session, slug: str, name: str, currency: str, time_zone: str) -> Tenant:
    """A new tenant with its organization; ``session`` belongs to the maint role.

    The transaction acts for the new tenant afterwards, so that its first key can follow at once.

    Raises:
        Conflict: the slug is taken.
        InvalidInput: the slug or the currency has a wrong form.
    """
    tenant = Tenant(slug=slug, name=name, currency=currency, time_zone=time_zone)
    with records.refusing(_CONSTRAINTS):
        session.add(tenant)
        session.flush()
    session.execute(_SET_TENANT, {"tenant": str(tenant.id)})
    session.add(Organization(name=name, address={}))
    session.flush()
    return tenant


def create_api_key(
    session: Session, name: str, role: str, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """A new key of the transaction's tenant, and its plain text, which is kept nowhere.

    Raises:
        InvalidInput: there is no such role.
    """
    if role not in ROLES:
        raise InvalidInput.field("/role", "unknown_role", f"Roles are {', '.join(sorted(ROLES))}.")
    prefix, secret = f"sw_live_{secrets.token_hex(6)}", secrets.token_hex(24)
    key = ApiKey(
        prefix=prefix,
        secret_hash=hash_secret(secret),
        name=name,
        role=role,
        expires_at=expires_at,
    )
    session.add(key)
    session.flush()
    return key, f"{prefix}_{secret}"


def hash_secret(secret: str) -> bytes:
    """SHA-256 is enough here: a secret has 192 random bits, there is nothing to guess."""
    return hashlib.sha256(secret.encode()).digest()


def find_key(connection: Connection, prefix: str) -> KeyOwner | None:
    """The key with this prefix, of whichever tenant: the one look-up before a tenant is known."""
    row = connection.execute(_FIND_KEY, {"prefix": prefix}).mappings().one_or_none()
    return None if row is None else KeyOwner(**row)


def note_use(session: Session, key_id: UUID) -> None:
    """Remember that the key was used, at most once a minute, so that reads do not become writes."""
    session.execute(
        update(ApiKey)
        .where(
            ApiKey.id == key_id,
            func.coalesce(ApiKey.last_used_at, ApiKey.created_at)
            < func.now() - text("interval '1 minute'"),
        )
        .values(last_used_at=func.now())
    )


def list_api_keys(session: Session, window: paging.Window) -> paging.Page[ApiKey]:
    """The tenant's keys, revoked ones included."""
    return paging.fetch(session, select(ApiKey), (ApiKey.id,), window)


def revoke_api_key(session: Session, key_id: UUID) -> ApiKey:
    """Revoke a key; revoking it again changes nothing.

    Raises:
        NotFound: the tenant has no such key.
    """
    key = records.lock(session, ApiKey, key_id)
    if key.revoked_at is None:
        key.revoked_at = session.scalars(select(func.now())).one()
        session.flush()
    return key
