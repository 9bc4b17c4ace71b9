"""Running orders outlive deploys: the stored history of every ending replays on today's code.

``STOCKWRIGHT_RECORD_HISTORIES=1 pytest tests/workflows/test_order_replay.py`` writes new ones; old
ones stay, because processes that began under them may still run.
"""

import json
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from tests.workflows.shop import Json, Shop
from tests.workflows.waiting import ended
from workflows.orders import OrderWorkflow

HISTORIES = Path(__file__).parents[1] / "histories" / "order"
RECORDING = os.environ.get("STOCKWRIGHT_RECORD_HISTORIES") == "1"
#: Recorded with the release that first had the story.
RELEASE = "0.1.0"


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


def _replayer() -> Replayer:
    return Replayer(workflows=[OrderWorkflow], data_converter=pydantic_data_converter)


def _stored() -> list[Path]:
    return sorted(HISTORIES.glob("*.json"))


def _load(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("story", STORIES)
async def test_a_story_of_today_replays(
    story: str, shop: Shop, worker: None, temporal: Client
) -> None:
    await shop.receive("A", 10)
    await shop.receive("B", 10)
    order = await STORIES[story](shop)
    handle = temporal.get_workflow_handle(order["workflow_id"])
    history = await handle.fetch_history()
    result = await _replayer().replay_workflow(history, raise_on_replay_failure=False)
    assert result.replay_failure is None
    if RECORDING:
        # Who ran it is nobody's business, and differs from machine to machine.
        text = re.sub(r'"identity": "[^"]*"', '"identity": "worker"', history.to_json())
        (HISTORIES / f"{story}-{RELEASE}.json").write_text(text + "\n", encoding="utf-8")


def test_every_story_has_a_stored_history() -> None:
    assert {path.stem.rpartition("-")[0] for path in _stored()} == set(STORIES)


@pytest.mark.parametrize("path", _stored(), ids=lambda path: path.stem)
async def test_every_stored_history_replays(path: Path) -> None:
    result = await _replayer().replay_workflow(_load(path), raise_on_replay_failure=False)
    assert result.replay_failure is None


@pytest.mark.parametrize("path", _stored(), ids=lambda path: path.stem)
async def test_an_altered_history_does_not_replay(path: Path) -> None:
    altered = json.loads(_load(path).to_json())
    kept = [
        event
        for event in altered["events"]
        if event["eventType"] != "EVENT_TYPE_MARKER_RECORDED" or _is_last_marker(altered, event)
    ]
    assert len(kept) < len(altered["events"])
    history = WorkflowHistory.from_json(path.stem, json.dumps({"events": _renumbered(kept)}))
    with pytest.raises((NondeterminismError, RuntimeError)):
        await _replayer().replay_workflow(history)


def _is_last_marker(history: Json, event: Json) -> bool:
    markers = [e for e in history["events"] if e["eventType"] == "EVENT_TYPE_MARKER_RECORDED"]
    return bool(event is markers[-1])


def _renumbered(events: list[Json]) -> list[Json]:
    return [{**event, "eventId": str(n)} for n, event in enumerate(events, start=1)]
