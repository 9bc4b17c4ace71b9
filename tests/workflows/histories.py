"""Stored histories: one for every way in which a process can end, kept for each release.

``STOCKWRIGHT_RECORD_HISTORIES=1 pytest tests/workflows`` writes new ones; old ones stay, because
processes that began under them may still run.
"""

import os
import re
from pathlib import Path

from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from workflows.housekeeping import HousekeepingWorkflow
from workflows.orders import OrderWorkflow
from workflows.reservations import ReservationWorkflow
from workflows.revaluations import RevaluationWorkflow

_FOLDER = Path(__file__).parents[1] / "histories"
_RECORDING = os.environ.get("STOCKWRIGHT_RECORD_HISTORIES") == "1"
#: The release that first has the story in this form.
RELEASE = "0.1.0"


def replayer() -> Replayer:
    """A replayer over the workflows of today."""
    return Replayer(
        workflows=[OrderWorkflow, ReservationWorkflow, RevaluationWorkflow, HousekeepingWorkflow],
        data_converter=pydantic_data_converter,
    )


def stored() -> list[Path]:
    """Every stored history, of every kind of process."""
    return sorted(_FOLDER.glob("*/*.json"))


def stories(kind: str) -> set[str]:
    """The endings of a kind of process that have a stored history."""
    return {path.stem.rpartition("-")[0] for path in (_FOLDER / kind).glob("*.json")}


def load(path: Path) -> WorkflowHistory:
    """A stored history."""
    return WorkflowHistory.from_json(path.stem, path.read_text(encoding="utf-8"))


async def replays(history: WorkflowHistory) -> None:
    """Fail when today's code would decide otherwise than this history did."""
    result = await replayer().replay_workflow(history, raise_on_replay_failure=False)
    assert result.replay_failure is None


def keep(kind: str, story: str, history: WorkflowHistory) -> None:
    """Store a history when recording was asked for."""
    if _RECORDING:
        # Who ran it is nobody's business, and differs from machine to machine.
        text = re.sub(r'"identity": "[^"]*"', '"identity": "worker"', history.to_json())
        (_FOLDER / kind).mkdir(parents=True, exist_ok=True)
        (_FOLDER / kind / f"{story}-{RELEASE}.json").write_text(text + "\n", encoding="utf-8")
