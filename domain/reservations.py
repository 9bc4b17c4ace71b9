"""Reservations without an order: an owner of the client's choice, and an end that always comes."""

from datetime import datetime
from uuid import UUID

from domain.orders import Payload


def reservation_workflow_id(tenant_slug: str, owner: str) -> str:
    """The id of the process that ends a reservation; it is the owner of the held units.

    The prefix keeps clients from naming an order's process as their owner.
    """
    return f"reservation-{tenant_slug}-{owner}"


class KeepReservation(Payload):
    """The input of the process; ``until`` may be put off by ``extend``."""

    tenant_id: UUID
    tenant_slug: str
    time_zone: str
    owner: str
    until: datetime
    actor: str


class ReservationEnded(Payload):
    """How many units were still held, and are available again."""

    units: int
