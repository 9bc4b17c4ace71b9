"""Clears away in the night what is kept long enough: one tenant after the other, each by itself."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.housekeeping import HousekeepingActivities
    from domain.housekeeping import (
        FAILED_TOLD_MAX,
        WORKFLOW,
        Housekept,
        KeysExpired,
        TenantsAfter,
        TenantTurn,
    )
    from workflows import options

_PAGE = 100


@workflow.defn(name=WORKFLOW)
class HousekeepingWorkflow:
    """One run over all tenants; its counters are its result and its argument when it continues."""

    @workflow.run
    async def run(self, so_far: Housekept) -> Housekept:
        while True:
            turns = await workflow.execute_activity_method(
                HousekeepingActivities.tenants,
                TenantsAfter(after=so_far.last, at_most=_PAGE),
                **options.STEP,
            )
            if not turns:
                return so_far
            for turn in turns:
                so_far = _counted(so_far, turn, await self._clear(turn))
                workflow.set_current_details(_details(so_far))
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(so_far)

    async def _clear(self, turn: TenantTurn) -> KeysExpired | None:
        """One tenant's turn; None when it failed, which is no reason to skip the others."""
        try:
            return await workflow.execute_activity_method(
                HousekeepingActivities.expire_keys,
                turn,
                summary=turn.slug,
                **options.CHORE,
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.warning("Housekeeping failed for %s: %s", turn.slug, error.cause)
            return None


def _counted(so_far: Housekept, turn: TenantTurn, gone: KeysExpired | None) -> Housekept:
    failed = () if gone is not None else (turn.slug,)
    return Housekept(
        tenants=so_far.tenants + 1,
        keys=so_far.keys if gone is None else so_far.keys.plus(gone),
        failed=so_far.failed + len(failed),
        failed_tenants=(so_far.failed_tenants + failed)[:FAILED_TOLD_MAX],
        last=turn.tenant_id,
    )


def _details(so_far: Housekept) -> str:
    keys = so_far.keys
    return (
        f"{so_far.tenants} tenants, {so_far.failed} failed; keys gone: {keys.http} of clients,"
        f" {keys.reservation} of reservations, {keys.process} of other processes"
    )
