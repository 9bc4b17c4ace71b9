"""Any process may be killed at any moment: every order ends, the books balance, nothing twice."""

import asyncio
import os
import random
import signal

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import stack
from db.audit import audit
from tests.faults.conftest import House
from tests.faults.stories import ORDERS, check_demand, check_stock, drive, expected
from tests.support import wait_until
from tests.workflows.shop import Shop

SEED = random.randrange(10**6)


_UNLIKE = text("""
SELECT count(*) FROM (
    SELECT tenant_id, level_id, business_date, count(*) AS movements,
           sum(available_change) AS available, sum(reserved_change) AS reserved,
           sum(value_change) AS value FROM stock_movements GROUP BY 1, 2, 3) m
  FULL JOIN level_days d USING (tenant_id, level_id, business_date)
 WHERE (m.movements, m.available, m.reserved, m.value)
       IS DISTINCT FROM (d.movements, d.available, d.reserved, d.value)
""")


async def _daily_sums_are_the_ledger(house: House) -> None:
    """The worker's thread comes to the end of the ledger, with nothing missed or counted twice."""

    def unlike() -> int:
        with Session(house.maint_engine) as session:
            count: int = session.execute(_UNLIKE).scalar_one()
        return count

    await asyncio.to_thread(wait_until, lambda: unlike() == 0, "the daily sums are the ledger")


@pytest.mark.timeout(300)
async def test_kill_9_of_the_worker_in_the_middle_of_fifty_orders(house: House, shop: Shop) -> None:
    print(f"seed {SEED}")  # noqa: T201  # Shown when the test fails, to run it again.
    chance = random.Random(SEED)
    await shop.receive("A", 200)
    await shop.receive("B", 100)
    with house.worker() as worker:
        driving = asyncio.create_task(drive(shop))
        for _ in range(4):
            done, _ = await asyncio.wait({driving}, timeout=chance.uniform(1.5, 4))
            if done:
                break
            worker.kill()
            worker.start()
        endings = await driving
        assert worker.kills >= 2
        await asyncio.to_thread(check_demand, house.maint_engine)
        await _daily_sums_are_the_ledger(house)
    assert endings == expected()
    await check_stock(shop)
    assert audit(house.maint_engine) == []
    assert len((await shop.get("/v1/orders?limit=200"))["data"]) == ORDERS


@pytest.mark.timeout(300)
async def test_kill_9_of_postgresql_in_the_middle_of_fifty_orders(house: House, shop: Shop) -> None:
    await shop.receive("A", 200)
    await shop.receive("B", 100)
    with house.worker():
        driving = asyncio.create_task(drive(shop))
        for _ in range(2):
            await asyncio.wait({driving}, timeout=4)
            service = stack.status(house.settings.data_dir).service("postgres")
            assert service is not None
            if service.pid is not None and not driving.done():
                os.kill(service.pid, signal.SIGKILL)
        endings = await driving
        await _daily_sums_are_the_ledger(house)
    assert endings == expected()
    await check_stock(shop)
    assert audit(house.maint_engine) == []
    status = stack.status(house.settings.data_dir).service("postgres")
    assert status is not None
    assert status.restarts >= 1
