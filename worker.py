"""The worker's entrance: settings, engine, writer, Temporal client, worker; nothing else."""

import asyncio
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

import schedules
from activities.errors import DomainErrors
from activities.housekeeping import HousekeepingActivities
from activities.orders import OrderActivities
from activities.revaluations import RevaluationActivities
from db.alert_keeper import AlertKeeper
from db.engine import conninfo, make_engine
from db.follower import Follower
from db.level_days import DailySums
from db.stock_writer import StockWriter
from entrance import addresses, configure_logging, connect
from settings import Settings
from workflows.housekeeping import HousekeepingWorkflow
from workflows.orders import OrderWorkflow
from workflows.reservations import ReservationWorkflow
from workflows.revaluations import RevaluationWorkflow


def build(
    client: Client,
    activities: OrderActivities,
    executor: Executor,
    *,
    revaluations: RevaluationActivities | None = None,
    housekeeping: HousekeepingActivities | None = None,
    activities_max: int = 16,
    task_queue: str,
) -> Worker:
    """A worker with every workflow and activity of the project.

    Steps of rooms that are not given (``housekeeping`` needs the maint role) are left to others.
    """
    more: list[Callable[..., Any]] = []
    if revaluations is not None:
        more += [revaluations.open_revaluation, revaluations.walk, revaluations.post]
    if housekeeping is not None:
        more += [housekeeping.tenants, housekeeping.expire_keys]
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[OrderWorkflow, ReservationWorkflow, RevaluationWorkflow, HousekeepingWorkflow],
        activities=[
            activities.reserve_stock,
            activities.release_stock,
            activities.ship_stock,
            activities.record_order,
            *more,
        ],
        activity_executor=executor,
        interceptors=[DomainErrors()],
        max_cached_workflows=2000,
        # How long a process waits for a worker that had it in its cache and was killed.
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=3),
        max_concurrent_activities=activities_max,
        max_concurrent_local_activities=activities_max,
        graceful_shutdown_timeout=timedelta(seconds=10),
    )


async def serve(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM; what is running then finishes or is taken up by the next."""
    where = addresses(settings)
    # One connection more than activities: the alerts must not wait for them.
    engine = make_engine(where.app, pool_size=settings.worker_activities_max + 1)
    # Only the housekeeping uses it, for one tenant at a time.
    maint = make_engine(where.maint, pool_size=2)
    writer = StockWriter(
        conninfo(where.app),
        batch_max=settings.writer_batch_max,
        queue_max=settings.writer_queue_max,
    )
    follower = Follower(conninfo(where.follower))
    following = make_engine(where.follower, pool_size=2)
    keeper = AlertKeeper(following, engine)
    daily_sums = DailySums(following)
    client = await connect(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with ThreadPoolExecutor(settings.worker_activities_max) as executor:
        worker = build(
            client,
            OrderActivities(engine, writer),
            executor,
            revaluations=RevaluationActivities(engine),
            housekeeping=HousekeepingActivities(maint),
            activities_max=settings.worker_activities_max,
            task_queue=settings.task_queue,
        )
        await schedules.ensure(client, settings.task_queue)
        async with worker:
            await stop.wait()
    keeper.close()
    daily_sums.close()
    follower.close()
    writer.close()
    following.dispose()
    engine.dispose()
    maint.dispose()


def main() -> None:
    """``python -m worker``."""
    settings = Settings()
    configure_logging(settings)
    try:
        asyncio.run(serve(settings))
    except RuntimeError as error:
        # The SDK raises this when nobody listens where Temporal should be.
        sys.exit(f"The worker cannot start: {error}. Is Temporal running? Try `stockwright up`.")


if __name__ == "__main__":
    main()
