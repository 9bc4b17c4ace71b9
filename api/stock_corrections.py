"""Taking an operation back over HTTP: nothing is edited, the opposite is posted beside it."""

from uuid import UUID

from fastapi import Response

from api.idempotency import KeyedCommand
from api.routing import make_router
from api.services import TheServices
from api.stock import Adjuster, Reference, StockBody, post_stock
from domain.stock import Reverse
from domain.values import Name, example

router = make_router("/v1/inventory/stock", "stock")


class ReverseStock(StockBody):
    """Undo an earlier command; the answer's movements refer to it unless a reference is given."""

    model_config = example(
        {"operation_id": "01980000-0000-7000-8000-000000000005", "reason": "booked twice"}
    )

    operation_id: UUID
    reason: Name


@router.post("/reverse")
async def reverse_stock(
    body: ReverseStock, actor: Adjuster, services: TheServices, command: KeyedCommand
) -> Response:
    """Take back every movement of an operation, once, at the value it was moved at.

    Units must still be where the operation put them. What is reserved is released instead; what
    was shipped comes back by a return.
    """
    if body.reference is None:
        body.reference = Reference(kind="operation", id=str(body.operation_id))
    return await post_stock(services, actor, command, Reverse(body.operation_id), body)
