"""Housekeeping: what is cleared away in the night, and what the process tells of it."""

from uuid import UUID

from pydantic import Field

from domain.orders import Payload

WORKFLOW = "housekeeping"
#: Names of tenants whose turn failed that are told; all are counted.
FAILED_TOLD_MAX = 100


class KeysExpired(Payload):
    """How many keys went: of clients, of ended reservations, of other ended processes."""

    http: int = 0
    reservation: int = 0
    process: int = 0

    def plus(self, more: "KeysExpired") -> "KeysExpired":
        return KeysExpired(
            http=self.http + more.http,
            reservation=self.reservation + more.reservation,
            process=self.process + more.process,
        )


class TenantsAfter(Payload):
    """Ask for tenants in the order of their ids, behind one."""

    after: UUID | None
    at_most: int


class TenantTurn(Payload):
    """A tenant whose turn it is."""

    tenant_id: UUID
    slug: str


class Housekept(Payload):
    """The counters of a run; carried over when it continues as new."""

    tenants: int = 0
    keys: KeysExpired = Field(default_factory=KeysExpired)
    failed: int = 0
    failed_tenants: tuple[str, ...] = ()
    last: UUID | None = None
