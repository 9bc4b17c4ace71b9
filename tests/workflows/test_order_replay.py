"""Running processes outlive deploys: the stored history of every ending replays on today's code."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHistory
from temporalio.workflow import NondeterminismError

from tests.workflows import histories
from tests.workflows.shop import Json, Shop
from tests.workflows.waiting import ended


async def _shipped(shop: Shop) -> Json:
    order = await shop.place({"A": 3, "B": 1})
    await shop.pay(order)
    await shop.tell(order, "pick")
    await shop.tell(order, "ship", lines=[{"line": 1, "quantity": 1}])
    await shop.tell(order, "ship")
    await shop.tell(order, "deliver")
    return await shop.tell(order, "close")


async def _cancelled(shop: Shop) -> Json:
    order = await shop.place({"A": 2})
    return await shop.tell(order, "cancel", reason="changed my mind")


async def _rest_cancelled(shop: Shop) -> Json:
    order = await shop.place({"A": 2}, payment_required=False)
    await shop.tell(order, "pick")
    await shop.tell(order, "ship", lines=[{"line": 1, "quantity": 1}])
    await shop.tell(order, "cancel")
    await shop.tell(order, "deliver")
    return await shop.tell(order, "close")


async def _expired(shop: Shop) -> Json:
    order = await shop.place({"A": 2}, payment_window=1)
    return await ended(shop, order, "expired")


async def _refused(shop: Shop) -> Json:
    response = await shop.send("/v1/orders", shop.order_body({"A": 1000}))
    number = response.json()["details"]["number"]
    return await shop.get(f"/v1/orders/{number}")


async def _compensated(shop: Shop) -> Json:
    order = await shop.place({"A": 2})
    handle = shop.temporal.get_workflow_handle(order["workflow_id"])
    await handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    return await ended(shop, order, "cancelled")


STORIES: dict[str, Callable[[Shop], Awaitable[Json]]] = {
    "shipped": _shipped,
    "cancelled": _cancelled,
    "rest_cancelled": _rest_cancelled,
    "expired": _expired,
    "refused": _refused,
    "compensated": _compensated,
}


@pytest.mark.parametrize("story", STORIES)
async def test_a_story_of_today_replays(
    story: str, shop: Shop, worker: None, temporal: Client
) -> None:
    await shop.receive("A", 10)
    await shop.receive("B", 10)
    order = await STORIES[story](shop)
    handle = temporal.get_workflow_handle(order["workflow_id"])
    history = await handle.fetch_history()
    await histories.replays(history)
    histories.keep("order", story, history)


def test_every_story_has_a_stored_history() -> None:
    assert histories.stories("order") == set(STORIES)
    assert histories.stories("reservation") == {"expired"}
    assert histories.stories("housekeeping") == {"done"}
    assert histories.stories("revaluation") == {"completed", "refused"}


@pytest.mark.parametrize("path", histories.stored(), ids=lambda path: path.stem)
async def test_every_stored_history_replays(path: Path) -> None:
    await histories.replays(histories.load(path))


@pytest.mark.parametrize("path", histories.stored(), ids=lambda path: path.stem)
async def test_an_altered_history_does_not_replay(path: Path) -> None:
    altered = json.loads(histories.load(path).to_json())
    renamed = _renamed(altered)
    history = WorkflowHistory.from_json(path.stem, json.dumps(renamed))
    with pytest.raises((NondeterminismError, RuntimeError)):
        await histories.replayer().replay_workflow(history)


def _renamed(history: Json) -> Json:
    """The same history, had its first step been another one."""
    for event in history["events"]:
        if event["eventType"] == "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED":
            event["activityTaskScheduledEventAttributes"]["activityType"]["name"] = "stock.other"
            return history
    markers = [e for e in history["events"] if e["eventType"] == "EVENT_TYPE_MARKER_RECORDED"]
    kept = [event for event in history["events"] if event not in (markers[:-1] or markers)]
    return {"events": [{**event, "eventId": str(n)} for n, event in enumerate(kept, start=1)]}
