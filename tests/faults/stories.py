"""Fifty orders that are driven to their ends by clients that never give up."""

import asyncio
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from tests.support import wait_until
from tests.workflows.shop import Json, Shop

ORDERS = 50


async def insist(shop: Shop, path: str, body: Json, key: str) -> Json:
    """Send until it is answered for good: the same key, so that nothing happens twice."""
    for _ in range(600):
        response = await shop.send(path, body, key)
        code = response.json().get("code") if response.status_code >= 400 else None
        if response.status_code < 300:
            answer: Json = response.json()
            return answer
        if response.status_code != 503 and code != "in_flight":
            raise AssertionError(f"{path} {key}: {response.status_code} {response.text}")
        await asyncio.sleep(0.2)
    raise AssertionError(f"{path} {key}: no answer")


async def recorded(shop: Shop, number: str) -> Json:
    """The order once its process has recorded it: an accepted order is never lost."""
    for _ in range(600):
        response = await shop.http.get(f"/v1/orders/{number}")
        if response.status_code == 200:
            found: Json = response.json()
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"{number} was accepted and is lost")


async def live(shop: Shop, n: int) -> str:
    """One order's life; every third is cancelled, the others are shipped in two parcels."""
    body = shop.order_body({"A": 2, "B": 1}, payment_required=False, reference=f"R{n}")
    placed = await insist(shop, "/v1/orders", body, f"place-{n}")
    order = await recorded(shop, placed["number"])
    path = f"/v1/orders/{order['number']}"

    async def tell(command: str, **more: Any) -> Json:
        return await insist(shop, f"{path}/{command}", more, f"{command}-{n}-{len(more)}")

    if n % 3 == 0:
        return str((await tell("cancel"))["fulfilment"])
    await tell("pick")
    await tell("ship", lines=[{"line": 1, "quantity": 1}])
    await tell("ship")
    await tell("deliver")
    return str((await tell("close"))["fulfilment"])


async def drive(shop: Shop) -> list[str]:
    """All orders at once, ten at a time; the ending of each."""
    gate = asyncio.Semaphore(10)

    async def one(n: int) -> str:
        async with gate:
            return await live(shop, n)

    return list(await asyncio.gather(*(one(n) for n in range(ORDERS))))


def expected() -> list[str]:
    """How the orders must end."""
    return ["cancelled" if n % 3 == 0 else "closed" for n in range(ORDERS)]


async def check_stock(shop: Shop) -> None:
    """What was not cancelled has left; nothing is held any more."""
    sold = sum(ending == "closed" for ending in expected())
    a, b = await shop.level("A"), await shop.level("B")
    assert (a["on_hand"], a["available"], a["reserved"]) == (200 - 2 * sold, 200 - 2 * sold, 0)
    assert (b["on_hand"], b["available"], b["reserved"]) == (100 - sold, 100 - sold, 0)


def check_demand(engine: Engine) -> None:
    """The alerts' follower, killed with its worker, has counted every unit that left once."""

    def followed() -> bool:
        with Session(engine) as session:
            return bool(session.scalars(_FOLLOWED).one())

    wait_until(followed, "the alerts have followed the whole ledger")
    sold = sum(ending == "closed" for ending in expected())
    with Session(engine) as session:
        units = session.scalars(text(_DEMAND)).all()
    assert units == [sold, 2 * sold]


# What the alerts did in turn are facts that they pass over, so the last movement is what counts.
_FOLLOWED = text("""
    SELECT (SELECT position FROM follower_cursors WHERE name = 'alerts')
        >= (SELECT max(p.first_position + m.ordinal - 1)
              FROM stock_movements m JOIN postings p ON p.id = m.posting_id)
       AND NOT EXISTS (SELECT FROM postings WHERE first_position IS NULL)
""")
_DEMAND = "SELECT sum(units)::bigint FROM level_demand GROUP BY level_id ORDER BY 1"
