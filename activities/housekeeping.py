"""The steps of housekeeping, as maint: batches that are each a transaction, with a heartbeat."""

from collections.abc import Callable
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.orm import Session
from temporalio import activity

from db import retention
from db.engine import transaction
from db.retention import Gone
from domain.housekeeping import KeysExpired, TenantsAfter, TenantTurn

_EXPIRE: dict[str, Callable[[Session, UUID], Gone]] = {
    "http": retention.expire_http,
    "reservation": retention.expire_reservations,
    "process": retention.expire_processes,
}


class HousekeepingActivities:
    """Bound to the engine of the maint role, which alone may delete keys."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @activity.defn(name="housekeeping.tenants")
    def tenants(self, asked: TenantsAfter) -> list[TenantTurn]:
        """The next tenants in the order of their ids."""
        with Session(self._engine) as session:
            found = retention.tenants_after(session, asked.after, asked.at_most)
            return [TenantTurn(tenant_id=one.id, slug=one.slug) for one in found]

    @activity.defn(name="housekeeping.expire_keys")
    def expire_keys(self, turn: TenantTurn) -> KeysExpired:
        """Delete a tenant's old keys, batch by batch.

        What a killed attempt had deleted and told by its heartbeat is counted by the next one.
        """
        told = activity.info().heartbeat_details
        gone = KeysExpired.model_validate(told[0]) if told else KeysExpired()
        for kind, expire in _EXPIRE.items():
            more = True
            while more:
                with transaction(self._engine, turn.tenant_id) as session:
                    batch = expire(session, turn.tenant_id)
                gone = gone.plus(KeysExpired.model_validate({kind: batch.keys}))
                activity.heartbeat(gone.model_dump())
                more = batch.more
        return gone
