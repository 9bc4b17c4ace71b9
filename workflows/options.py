"""The only timeouts and retry policies of the workflows."""

from datetime import timedelta

from temporalio.common import RetryPolicy

#: One short transaction beside the workflow task. It is repeated without a limit in attempts:
#: the stock step of an accepted order must end, however long the database is away; refusals and
#: bugs are non-retryable and end it at once. Waits above 10 s become durable timers.
LOCAL_STEP_TIMEOUT = timedelta(seconds=60)
LOCAL_STEP_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=10),
    maximum_attempts=0,
    non_retryable_error_types=[
        "TypeError",
        "ValueError",
        "ValidationError",
        "LookupError",
        "KeyError",
        "IntegrityError",
        "ProgrammingError",
        "DataError",
    ],
)
LOCAL_RETRY_THRESHOLD = timedelta(seconds=5)
