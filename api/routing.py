"""The routes' one order of judging: the credential, the query, the body, then the endpoint."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from api.auth import Needs
from api.bodies import BoundedRequest, check_text
from domain.errors import FieldError, InvalidInput, NotFound

_MAX_FIELD_ERRORS = 20


class Route(APIRoute):
    """A route that judges who asks before it reads what is asked."""

    @property
    def needs(self) -> Needs | None:
        """The permission that the endpoint declares, None on a public route."""
        calls = [dependency.call for dependency in self.dependant.dependencies]
        return next((call for call in calls if isinstance(call, Needs)), None)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()
        needs = self.needs
        known = _query_names(self.dependant)
        reads_body = self.body_field is not None

        async def handle(request: Request) -> Response:
            bounded = BoundedRequest(request.scope, request.receive)
            if needs is not None:
                await needs(bounded)
            _check_path(bounded)
            _check_query(bounded, known)
            if reads_body:
                await bounded.json()
            return await answer(bounded)

        return handle


def make_router(prefix: str, tag: str) -> APIRouter:
    """A router of one room; include it in ``api/app.py``."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=Route)


def _query_names(dependant: Dependant) -> frozenset[str]:
    names: set[str] = set()
    for field in dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names |= {inner.alias or name for name, inner in kind.model_fields.items()}
        else:
            names.add(field.alias)
    for dependency in dependant.dependencies:
        names |= _query_names(dependency)
    return frozenset(names)


def _check_path(request: Request) -> None:
    if any(check_text(str(value)) for value in request.path_params.values()):
        raise NotFound("There is no such object.")


def _check_query(request: Request, known: frozenset[str]) -> None:
    errors = []
    for name, value in request.query_params.multi_items():
        wrong = check_text(name) or check_text(value)
        if name not in known:
            wrong = "unknown_parameter", f"this route takes {', '.join(sorted(known)) or 'none'}"
        if wrong is not None:
            shown = name.replace("\0", "").encode("ascii", "replace").decode()[:80]
            errors.append(FieldError(f"?{shown}", *wrong))
    if errors:
        raise InvalidInput("A query parameter is not allowed.", errors=errors[:_MAX_FIELD_ERRORS])
