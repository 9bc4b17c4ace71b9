"""What Temporal starts by itself, at fixed times: made by every worker that starts, once."""

from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from domain.housekeeping import WORKFLOW, Housekept
from workflows.housekeeping import HousekeepingWorkflow

#: When the night's chores begin, in UTC.
_HOUR, _MINUTE = 2, 30


async def ensure(client: Client, task_queue: str, *, schedule_id: str = WORKFLOW) -> None:
    """Make the schedule of the housekeeping, or bring it up to date.

    A schedule that is as it should be is left alone: an update would move the time from which
    missed runs are made up for. What an operator paused stays paused.
    """
    wanted = _housekeeping(task_queue, schedule_id)
    try:
        await client.create_schedule(schedule_id, wanted)
    except ScheduleAlreadyRunningError:
        handle = client.get_schedule_handle(schedule_id)
        if not _same((await handle.describe()).schedule, wanted):
            await handle.update(lambda found: _changed(found, wanted))


def _housekeeping(task_queue: str, workflow_id: str) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(
            HousekeepingWorkflow.run,
            Housekept(),
            id=workflow_id,
            task_queue=task_queue,
            static_summary="Housekeeping of all tenants",
        ),
        spec=ScheduleSpec(
            calendars=[
                ScheduleCalendarSpec(
                    hour=[ScheduleRange(_HOUR, _HOUR, 1)],
                    minute=[ScheduleRange(_MINUTE, _MINUTE, 1)],
                )
            ]
        ),
        policy=SchedulePolicy(
            # A run takes whatever is due, so one at a time is enough, and one missed night too.
            overlap=ScheduleOverlapPolicy.SKIP,
            catchup_window=timedelta(days=2),
        ),
    )


def _same(found: Schedule, wanted: Schedule) -> bool:
    return _essence(found) == _essence(wanted)


def _essence(schedule: Schedule) -> tuple[object, ...]:
    action = schedule.action
    queue = action.task_queue if isinstance(action, ScheduleActionStartWorkflow) else None
    times = [(tuple(one.hour), tuple(one.minute)) for one in schedule.spec.calendars]
    return queue, times, schedule.policy.overlap, schedule.policy.catchup_window


def _changed(found: ScheduleUpdateInput, wanted: Schedule) -> ScheduleUpdate:
    wanted.state = found.description.schedule.state
    return ScheduleUpdate(schedule=wanted)
