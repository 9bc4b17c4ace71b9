"""Converts our errors for Temporal, once: type = code, and whether a retry can help."""

from typing import Any

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from domain.errors import StockwrightError


def application_error(error: StockwrightError) -> ApplicationError:
    """The same error as Temporal carries it; expected refusals stay out of the error logs."""
    return ApplicationError(
        error.detail,
        {"details": error.details, "errors": [field.as_dict() for field in error.errors]},
        type=error.code,
        non_retryable=not error.retryable,
        category=ApplicationErrorCategory.BENIGN,
    )


class _Activities(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002  # SDK's name.
        try:
            return await self.next.execute_activity(input)
        except StockwrightError as error:
            raise application_error(error) from error


class DomainErrors(Interceptor):
    """Put on every worker, so that activities may raise the errors of the domain."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002  # SDK's name.
        return _Activities(next)
