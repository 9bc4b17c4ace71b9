"""Every error as one shape: RFC 9457 problem details with a stable code and the wrong fields."""

import json
import logging
from collections.abc import Sequence
from datetime import date
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from domain.errors import (
    FieldError,
    InvalidInput,
    NotFound,
    StockwrightError,
    Unauthenticated,
    Unavailable,
    Unreadable,
)

PROBLEM_JSON = "application/problem+json"
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
_log = logging.getLogger("stockwright.api")


class ProblemField(BaseModel):
    """One wrong field of a request."""

    pointer: str = Field(description="JSON pointer into the body, or `?name` of a parameter.")
    code: str
    message: str


class Problem(BaseModel):
    """What every refusal and failure answers; branch on `code`, never on text."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[ProblemField]
    details: dict[str, Any] = Field(description="The numbers or references that explain it.")
    trace_id: str | None = Field(
        default=None,
        description="Also in `X-Request-Id`. A refusal that is stored under an idempotency key"
        " has none, so that it can be repeated byte for byte.",
    )


class BodyTooLarge(StockwrightError):
    """The body has more bytes than a request may have."""

    status = 413
    default_code = "body_too_large"


def problem(error: StockwrightError, instance: str, *, status: int | None = None) -> dict[str, Any]:
    """The members of the problem, without a trace id; ``status`` replaces that of the error."""
    return {
        "type": f"urn:stockwright:problem:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": status or error.status,
        "detail": error.detail,
        "instance": instance,
        "code": error.code,
        "errors": [field.as_dict() for field in error.errors],
        "details": error.details,
    }


def render_problem(error: StockwrightError, instance: str) -> bytes:
    """The problem as bytes that are the same each time: what is stored under a key."""
    return _json(problem(error, instance))


def problem_response(
    error: StockwrightError, request: Request, *, status: int | None = None
) -> Response:
    """The problem as an answer, with the headers that belong to its status."""
    members = problem(error, instance_of(request), status=status)
    body = _json({**members, "trace_id": getattr(request.state, "trace_id", None)})
    headers = {}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return Response(body, members["status"], headers, PROBLEM_JSON)


def _json(members: dict[str, Any]) -> bytes:
    # Details may hold decimals, ids and times; half characters that a client sent are escaped.
    return json.dumps(members, default=_as_text, separators=(",", ":")).encode()


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def instance_of(request: Request) -> str:
    """The request's path, percent-encoded."""
    return quote(request.url.path)


def from_validation(errors: Sequence[Any]) -> StockwrightError:
    """Turn the framework's list of wrong fields into ours.

    Raises nothing. A path parameter that cannot be an id means that there is no such object.
    """
    if any(error["loc"][:1] == ("path",) for error in errors):
        return NotFound("There is no such object.")
    fields = [
        FieldError(
            _pointer(error["loc"]), error["type"], error["msg"].removeprefix("Value error, ")
        )
        for error in errors[:100]
    ]
    if any(error["type"] == "json_invalid" for error in errors):
        return Unreadable("The body is not JSON.", errors=fields)
    return InvalidInput("The request has fields that are not allowed.", errors=fields)


def _pointer(location: Sequence[str | int]) -> str:
    place, *rest = location
    if place == "body":
        return "".join(f"/{pointer_part(part)}" for part in rest)
    return "?" + ".".join(str(part) for part in rest)


def pointer_part(part: str | int) -> str:
    """One part of a JSON pointer, escaped; what is no text in UTF-8 is replaced."""
    text = str(part).encode("utf-8", "replace").decode()
    return text.replace("~", "~0").replace("/", "~1")[:80]


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, StockwrightError)  # noqa: S101  # Registered for this class only.
    return problem_response(error, request)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # As above.
    return problem_response(from_validation(error.errors()), request)


async def _framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # As above.
    phrase = HTTPStatus(error.status_code).phrase
    ours = StockwrightError(f"{phrase}.", code=_CODES.get(error.status_code, "http_error"))
    response = problem_response(ours, request, status=error.status_code)
    response.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = ", ".join(sorted(_methods_of(request)))
    return response


def _methods_of(request: Request) -> set[str]:
    # The framework names the methods of the first route with this path only.
    routes = [route for route in iter_route_contexts(request.app.routes) if route.methods]
    fitting = [route for route in routes if route.path_regex.match(request.url.path)]
    return {method for route in fitting for method in route.methods or ()}


async def _database_away(request: Request, error: Exception) -> Response:
    _log.warning("the database did not answer: %s", type(error).__name__, exc_info=error)
    away = Unavailable("The database did not answer; try again.", retry_after=1)
    return problem_response(away, request)


async def _unexpected(request: Request, error: Exception) -> Response:
    trace_id = getattr(request.state, "trace_id", None)
    _log.error("unexpected error in request %s", trace_id, exc_info=error)
    ours = StockwrightError("Something unexpected happened; it was recorded.", code="internal")
    response = problem_response(ours, request)
    response.headers["X-Request-Id"] = str(trace_id)
    return response


def install_handlers(app: FastAPI) -> None:
    """Let every exception of ``app`` become a problem."""
    app.add_exception_handler(StockwrightError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _framework)
    for away in (OperationalError, InterfaceError, PoolTimeout):
        app.add_exception_handler(away, _database_away)
    app.add_exception_handler(Exception, _unexpected)
