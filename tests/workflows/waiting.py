"""Waits for what a process will have recorded."""

import asyncio

from tests.workflows.shop import Json, Shop


async def ended(shop: Shop, order: Json, fulfilment: str) -> Json:
    """The order once its process has recorded that it is in this state."""
    found = order
    for _ in range(200):
        found = await shop.get(f"/v1/orders/{order['number']}")
        if found["fulfilment"] == fulfilment:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"{order['number']} is {found['fulfilment']}, not {fulfilment}")
