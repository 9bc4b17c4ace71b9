"""Who may do what: permission strings, roles, and the one function that decides."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from domain.errors import Forbidden, NotFound


class Permission(StrEnum):
    """What a route or command needs; ``<room>.<verb>``."""

    CATALOGUE_READ = "catalogue.read"
    CATALOGUE_WRITE = "catalogue.write"
    PARTNERS_READ = "partners.read"
    PARTNERS_WRITE = "partners.write"
    ORGANIZATION_READ = "organization.read"
    ORGANIZATION_WRITE = "organization.write"
    WAREHOUSES_READ = "warehouses.read"
    WAREHOUSES_WRITE = "warehouses.write"
    STOCK_READ = "stock.read"
    STOCK_RECEIVE = "stock.receive"
    STOCK_DEDUCT = "stock.deduct"
    STOCK_ADJUST = "stock.adjust"
    STOCK_RESERVE = "stock.reserve"
    STOCK_SHIP = "stock.ship"
    STOCK_PLAN = "stock.plan"
    ALERTS_HANDLE = "alerts.handle"
    ORDERS_READ = "orders.read"
    ORDERS_PLACE = "orders.place"
    ORDERS_PAY = "orders.pay"
    ORDERS_FULFIL = "orders.fulfil"
    ORDERS_CANCEL = "orders.cancel"
    ORDERS_RESOLVE = "orders.resolve"
    EVENTS_READ = "events.read"
    KEYS_MANAGE = "keys.manage"


_READ = frozenset(p for p in Permission if p.value.endswith(".read"))
_SALES = frozenset({Permission.ORDERS_PLACE, Permission.ORDERS_PAY, Permission.ORDERS_CANCEL})
_FLOOR = frozenset(
    {
        Permission.STOCK_RECEIVE,
        Permission.STOCK_RESERVE,
        Permission.STOCK_SHIP,
        Permission.ALERTS_HANDLE,
        Permission.ORDERS_FULFIL,
    }
)

#: Built-in roles. A role is a name and a set of permissions, nothing else.
ROLES: dict[str, frozenset[Permission]] = {
    "admin": frozenset(Permission),
    "manager": frozenset(Permission) - {Permission.KEYS_MANAGE},
    "sales": _READ | _SALES | {Permission.PARTNERS_WRITE},
    "warehouse": _READ | _FLOOR,
    "viewer": _READ,
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, for which tenant: from the credential, never from the request's body."""

    tenant_id: UUID
    tenant_slug: str
    name: str
    role: str
    currency: str
    time_zone: str

    @property
    def permissions(self) -> frozenset[Permission]:
        return ROLES.get(self.role, frozenset())


def authorize(actor: Actor, permission: Permission, owner_tenant: UUID | None = None) -> None:
    """Decide whether ``actor`` may use ``permission`` on an object of ``owner_tenant``.

    Raises:
        NotFound: the object belongs to another tenant; its existence is not told.
        Forbidden: the actor's role lacks the permission.
    """
    if owner_tenant is not None and owner_tenant != actor.tenant_id:
        raise NotFound("There is no such object.")
    if permission not in actor.permissions:
        raise Forbidden(
            f"The role {actor.role!r} lacks the permission {permission.value!r}.",
            details={"permission": permission.value, "role": actor.role},
        )
