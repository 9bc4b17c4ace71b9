"""What Temporal's errors mean to a client: come again, or not."""

import pytest
from temporalio.service import RPCError, RPCStatusCode

from api.temporal import is_away, is_closed


@pytest.mark.parametrize(
    "status",
    [
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        # "Workflow Task in failed state", after a worker was killed.
        RPCStatusCode.FAILED_PRECONDITION,
    ],
)
def test_what_passes_is_asked_again(status: RPCStatusCode) -> None:
    error = RPCError("it passes", status, b"")
    assert is_away(error)
    assert not is_closed(error)


def test_a_wrong_message_is_not_asked_again() -> None:
    assert not is_away(RPCError("wrong", RPCStatusCode.INVALID_ARGUMENT, b""))
