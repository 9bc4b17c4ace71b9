"""Ends a reservation that belongs to no order: waits for its time, then frees what is left."""

import asyncio
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.orders import OrderActivities
    from domain.orders import ReleaseStock
    from domain.reservations import KeepReservation, ReservationEnded
    from workflows import options


@workflow.defn(name="reservation")
class ReservationWorkflow:
    """One owner. The process is started before the units are held, so none can be left behind."""

    @workflow.init
    def __init__(self, keep: KeepReservation) -> None:
        self._until = keep.until

    @workflow.run
    async def run(self, keep: KeepReservation) -> ReservationEnded:
        try:
            while (left := self._until - workflow.now()) > timedelta(0):
                await workflow.sleep(left, summary="reservation expires")
        except asyncio.CancelledError:
            await asyncio.shield(asyncio.ensure_future(self._free(keep, "cancelled")))
            raise
        return ReservationEnded(units=await self._free(keep, "expired"))

    @workflow.signal(description="Puts the end off, never forward.")
    def extend(self, until: datetime) -> None:
        self._until = max(self._until, until)

    async def _free(self, keep: KeepReservation, reason: str) -> int:
        owner = workflow.info().workflow_id
        # The run's own time is part of the key: an owner may come back after its end.
        released = await workflow.execute_activity_method(
            OrderActivities.release_stock,
            ReleaseStock(
                tenant_id=keep.tenant_id,
                key=f"{owner}/{reason}/{workflow.info().start_time.timestamp():.6f}",
                owner=owner,
                number=keep.owner,
                reference_kind="reservation",
                actor="stockwright",
                occurred_at=workflow.now(),
                time_zone=keep.time_zone,
                reason=reason,
            ),
            **options.STEP,
        )
        return released.units
