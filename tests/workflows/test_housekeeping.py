"""The night's chores: every tenant's turn, counters that survive a kill, one schedule."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from temporalio.client import Client, ScheduleActionStartWorkflow
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import schedules
from activities import housekeeping
from activities.housekeeping import HousekeepingActivities
from db import retention
from db.engine import MAINT, make_engine, transaction
from db.retention import Gone
from domain.housekeeping import Housekept
from tests.conftest import Database
from tests.support import new_tenant, rows
from tests.workflows import histories
from workflows import options
from workflows.housekeeping import HousekeepingWorkflow

Expire = Callable[[Session, UUID], Gone]


@pytest.fixture
def maint(own_database: Database) -> Any:
    """Maint of a database of its own: the chores go over all tenants."""
    made = make_engine(own_database.url(MAINT))
    yield made
    made.dispose()


@asynccontextmanager
async def housekeeper(temporal: Client, maint: Engine, queue: str) -> AsyncIterator[Worker]:
    """A worker that does nothing else."""
    does = HousekeepingActivities(maint)
    with ThreadPoolExecutor(4) as executor:
        async with Worker(
            temporal,
            task_queue=queue,
            workflows=[HousekeepingWorkflow],
            activities=[does.tenants, does.expire_keys],
            activity_executor=executor,
            # So that a test may shorten the timeouts of ``options``.
            workflow_runner=UnsandboxedWorkflowRunner(),
        ) as worker:
            yield worker


def _fill(maint: Engine, tenant: UUID, old: int, young: int) -> None:
    with transaction(maint, tenant) as session:
        session.execute(
            text(
                "INSERT INTO operations (source, key, fingerprint, state, status, answer,"
                " created_at) SELECT 'http', 'k-' || n, '\\x00', 'done', 200, '{}',"
                " now() - CASE WHEN n <= :old THEN interval '31 days' ELSE interval '29 days' END"
                " FROM generate_series(1, :all) n"
            ),
            {"old": old, "all": old + young},
        )


def _left(maint: Engine, tenant: UUID) -> int:
    ((count,),) = rows(
        maint,
        tenant,
        "SELECT count(*) FROM operations WHERE tenant_id = :id",
        id=tenant,
    )
    return int(count)


async def _run(temporal: Client, queue: str) -> Housekept:
    return await temporal.execute_workflow(
        HousekeepingWorkflow.run, Housekept(), id=f"housekeeping-{uuid4()}", task_queue=queue
    )


async def test_every_tenant_has_its_turn_and_the_result_tells_it(
    temporal: Client, maint: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = retention.tenants_after
    monkeypatch.setattr(
        retention, "tenants_after", lambda session, after, _: honest(session, after, 2)
    )
    found = [new_tenant(maint) for _ in range(5)]
    for n, tenant in enumerate(found):
        _fill(maint, tenant, old=n, young=3)
    queue = f"house-{uuid4()}"
    async with housekeeper(temporal, maint, queue):
        kept = await _run(temporal, queue)
        again = await _run(temporal, queue)
    assert (kept.tenants, kept.keys.http, kept.failed) == (5, 10, 0)
    assert (again.tenants, again.keys.http) == (5, 0)
    assert [_left(maint, tenant) for tenant in found] == [3] * 5


async def test_one_tenants_trouble_is_its_own(
    temporal: Client, maint: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = sorted(new_tenant(maint) for _ in range(3))
    for tenant in found:
        _fill(maint, tenant, old=2, young=0)
    honest = retention.expire_http

    def poisoned(session: Session, tenant: UUID) -> Gone:
        if tenant == found[1]:
            raise ValueError("poison")
        return honest(session, tenant)

    monkeypatch.setitem(_steps(), "http", poisoned)
    queue = f"house-{uuid4()}"
    async with housekeeper(temporal, maint, queue):
        kept = await _run(temporal, queue)
    assert (kept.tenants, kept.failed, len(kept.failed_tenants)) == (3, 1, 1)
    assert [_left(maint, tenant) for tenant in found] == [0, 2, 0]


def _steps() -> dict[str, Expire]:

    return housekeeping._EXPIRE


async def test_a_run_that_is_killed_in_the_middle_goes_on_and_counts_every_key_once(
    temporal: Client, maint: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The activity stops answering after its second batch, as a killed process does."""
    tenant = new_tenant(maint)
    _fill(maint, tenant, old=50, young=7)
    honest = retention.expire_http
    calls = 0
    hang = threading.Event()

    def stuck(session: Session, tenant: UUID) -> Gone:
        nonlocal calls
        calls += 1
        if calls == 3:
            hang.wait(60)
        return honest(session, tenant, 10)

    monkeypatch.setitem(_steps(), "http", stuck)
    monkeypatch.setitem(options.CHORE, "heartbeat_timeout", timedelta(seconds=2))
    queue = f"house-{uuid4()}"
    try:
        async with housekeeper(temporal, maint, queue):
            kept = await _run(temporal, queue)
            assert _left(maint, tenant) == 7
            hang.set()
    finally:
        hang.set()
    assert kept.keys.http == 50
    assert calls > 5


async def test_the_schedule_is_made_once_and_kept_as_the_operator_left_it(
    temporal: Client, maint: Engine
) -> None:
    _fill(maint, new_tenant(maint), old=1, young=1)
    name, queue = f"housekeeping-{uuid4()}", f"house-{uuid4()}"
    await asyncio.gather(*(schedules.ensure(temporal, queue, schedule_id=name) for _ in range(3)))
    handle = temporal.get_schedule_handle(name)
    try:
        found = await handle.describe()
        (soon, then, *_) = found.info.next_action_times
        assert (soon.hour, soon.minute) == (2, 30)
        assert (then - soon).total_seconds() == 24 * 3600
        assert soon > datetime.now(UTC)
        await handle.pause(note="moving house")
        created = (await handle.describe()).info.last_updated_at
        await schedules.ensure(temporal, queue, schedule_id=name)
        unchanged = await handle.describe()
        assert unchanged.info.last_updated_at == created
        await schedules.ensure(temporal, f"{queue}-2", schedule_id=name)
        moved = await handle.describe()
        assert isinstance(moved.schedule.action, ScheduleActionStartWorkflow)
        assert moved.schedule.action.task_queue == f"{queue}-2"
        assert (moved.schedule.state.paused, moved.schedule.state.note) == (True, "moving house")
        await schedules.ensure(temporal, queue, schedule_id=name)
        async with housekeeper(temporal, maint, queue):
            await handle.unpause()
            await handle.trigger()
            ran = await _ran(handle)
            result = await temporal.get_workflow_handle_for(HousekeepingWorkflow.run, ran).result()
            assert (result.tenants, result.keys.http, result.failed) == (1, 1, 0)
            history = await temporal.get_workflow_handle(ran).fetch_history()
            await histories.replays(history)
            histories.keep("housekeeping", "done", history)
    finally:
        await handle.delete()


async def _ran(handle: Any) -> str:
    for _ in range(200):
        recent = (await handle.describe()).info.recent_actions
        if recent:
            return str(recent[0].action.workflow_id)
        await asyncio.sleep(0.1)
    raise AssertionError("The schedule started nothing.")
