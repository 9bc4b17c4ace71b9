"""Late changes of a receipt's cost: ids, payloads of the process and its steps."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from domain.orders import Payload

NUMBER_KIND = "RV"
#: Kinds of movements that brought goods in at a cost of their own.
RECEIPTS = frozenset({"purchase", "production", "opening", "return", "transfer_in"})
WALKING, COMPLETED = "walking", "completed"


def revaluation_workflow_id(tenant_slug: str, number: str) -> str:
    """The id of a revaluation's process."""
    return f"revaluation-{tenant_slug}-{number}"


class Revaluation(Payload):
    """The input of the process: which receipt cost how much more or less, says who and why.

    ``difference`` is what all its units together cost more; ``sequence`` is the receipt's number
    on its level, ``operation_id`` the command that brought the goods in.
    """

    tenant_id: UUID
    tenant_slug: str
    time_zone: str
    id: UUID
    number: str
    movement_id: UUID
    operation_id: UUID
    level_id: UUID
    sequence: int
    quantity: int
    unit_cost_before: Decimal
    unit_cost: Decimal
    difference: Decimal
    reason: str
    actor: str
    occurred_at: datetime

    @property
    def workflow_id(self) -> str:
        return revaluation_workflow_id(self.tenant_slug, self.number)


class Opened(Payload):
    """The first answer of the process: it walks, or it was refused."""

    refusal: dict[str, Any] | None = None


class Walked(Payload):
    """How far the walk has come; ``caught_up`` says that only a short tail is left."""

    movements: int
    caught_up: bool


class Posted(Payload):
    """What was added to the level's value; None when too much had happened meanwhile.

    As the result of the process it carries the refusal of one that never began.
    """

    stock_value: Decimal | None
    refusal: dict[str, Any] | None = None
