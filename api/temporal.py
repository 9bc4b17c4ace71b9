"""Messages to processes over Temporal: bounded waits, and refusals turned back into our errors."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio.client import (
    Client,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from api.services import Services
from domain.errors import (
    Conflict,
    FieldError,
    InvalidInput,
    ProcessClosed,
    StockwrightError,
    Unavailable,
)

#: How long a person waits for a process before the answer is "it goes on, look there".
ANSWER_TIMEOUT = timedelta(seconds=10)


def temporal_of(services: Services) -> Client:
    """The client; raises Unavailable in a process that has none."""
    client: Client | None = services.temporal
    if client is None:
        raise Unavailable("This process has no connection to Temporal.")
    return client


def refusal_of(error: WorkflowUpdateFailedError) -> StockwrightError:
    """The domain error behind a refused or failed update."""
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        return Unavailable("The process did not answer.", retry_after=2)
    given: dict[str, Any] = cause.details[0] if cause.details else {}
    fields = [FieldError(**field) for field in given.get("errors", ())]
    code = cause.type or "conflict"
    kind: type[StockwrightError] = InvalidInput if fields else Conflict
    if code == ProcessClosed.default_code:
        kind = ProcessClosed
    return kind(cause.message, code=code, details=given.get("details"), errors=fields)


def is_away(error: Exception) -> bool:
    """Whether Temporal or its workers did not answer in time: the outcome is unknown."""
    if isinstance(error, WorkflowUpdateRPCTimeoutOrCancelledError | TimeoutError):
        return True
    return isinstance(error, RPCError) and error.status in (
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        # The process's last task failed, as when its worker was killed: it is about to be repeated.
        RPCStatusCode.FAILED_PRECONDITION,
    )


def is_closed(error: Exception) -> bool:
    """Whether the process has ended, or never was."""
    return isinstance(error, RPCError) and error.status is RPCStatusCode.NOT_FOUND


async def exists(client: Client, workflow_id: str) -> bool:
    """Whether the start went through although its answer did not."""
    try:
        await asyncio.wait_for(client.get_workflow_handle(workflow_id).describe(), 2)
    except (RPCError, TimeoutError):
        return False
    return True
