"""The only timeouts and retry policies of the workflows."""

from datetime import timedelta
from typing import Any

from temporalio.common import RetryPolicy

#: Errors of the code or the data: trying again changes nothing, a person must look.
_FINAL = [
    "TypeError",
    "ValueError",
    "ValidationError",
    "LookupError",
    "KeyError",
    "IntegrityError",
    "ProgrammingError",
    "DataError",
]
#: Without a limit in attempts: the step of an accepted command must end, however long the database
#: is away. Refusals are results or non-retryable, bugs are listed above; both end it at once.
_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=10),
    maximum_attempts=0,
    non_retryable_error_types=_FINAL,
)
#: A keyed transaction. The timeout is also how long a step of a killed worker waits for the next
#: try; every step is keyed, so a try that still runs somewhere does no harm.
STEP: dict[str, Any] = {
    "start_to_close_timeout": timedelta(seconds=10),
    "retry_policy": _RETRY,
}
#: The first steps of a process, run beside its first workflow task, for a fast first answer.
#:
#: Only these may be local activities. A local activity takes effect before the decision that led
#: to it is durable: a worker killed in between forgets an update that it had acted upon, and the
#: next one may decide otherwise. What a process does right after its start is the same each time.
FIRST_STEP: dict[str, Any] = {
    "start_to_close_timeout": timedelta(seconds=30),
    "retry_policy": _RETRY,
    "local_retry_threshold": timedelta(seconds=5),
}
#: A long chore in batches, with a heartbeat after each: a killed worker is noticed by its silence.
#: It gives up after a while, so that one tenant's trouble does not keep the others waiting.
CHORE: dict[str, Any] = {
    "start_to_close_timeout": timedelta(hours=6),
    "heartbeat_timeout": timedelta(seconds=15),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=1),
        backoff_coefficient=2.0,
        maximum_interval=timedelta(minutes=1),
        maximum_attempts=8,
        non_retryable_error_types=_FINAL,
    ),
}
#: A long step of a process, with a heartbeat: it must end, like every step of an accepted command.
LONG_STEP: dict[str, Any] = {
    "start_to_close_timeout": timedelta(hours=1),
    "heartbeat_timeout": timedelta(seconds=15),
    "retry_policy": _RETRY,
}
