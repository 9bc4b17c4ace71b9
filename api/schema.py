"""How the API describes itself: OpenAPI 3.1 with our problems, security and required headers."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api.auth import Needs
from api.examples import add_examples
from api.problems import PROBLEM_JSON, Problem, ProblemField
from api.routing import Route

TITLE, VERSION = "Stockwright", "0.1.0"
DESCRIPTION = """Inventory and order operations as durable processes.

Send `Authorization: Bearer sw_live_…`; the tenant is the key's. Every POST needs an
`Idempotency-Key`, every PUT, PATCH and DELETE an `If-Match`. Every refusal is a problem with a
stable `code`. Money is a decimal string, a quantity a whole number of base units."""
TAGS = [
    {"name": "catalogue", "description": "Products and their variants: what is sold."},
    {"name": "partners", "description": "Customers and suppliers."},
    {"name": "warehouses", "description": "Places that hold stock."},
    {"name": "stock", "description": "Levels, movements and the commands that change them."},
    {"name": "replenishment", "description": "Alerts, reorder settings and what to order."},
    {"name": "orders", "description": "Orders as processes: place, pay, pick, ship, return."},
    {"name": "organization", "description": "The company, its departments and people."},
    {"name": "identity", "description": "API keys."},
    {"name": "operations", "description": "Is it alive, can it serve."},
]
_REQUIRED_HEADERS = {
    "post": {"idempotency-key"},
    "put": {"if-match"},
    "patch": {"if-match"},
    "delete": {"if-match"},
}
_MEANINGS = {
    400: "The request cannot be read, or a required header is missing.",
    401: "No valid credential.",
    403: "The permission is missing, or the tenant is suspended.",
    404: "There is no such object in this tenant.",
    409: "The state of the record, process or stock refuses.",
    412: "The record was changed since it was read.",
    413: "The body is too large.",
    422: "A field or parameter is not allowed, or the key was used for another request.",
    428: "If-Match is missing.",
    503: "A server of ours does not answer; try again.",
}


class Api(FastAPI):
    """A FastAPI application whose schema is ours."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = _refined(super().openapi(), declared_needs(self))
        return self.openapi_schema


def declared_needs(app: FastAPI) -> dict[tuple[str, str], Needs | None]:
    """What each route of the API needs, by method (lower case) and path; None is public."""
    return {
        (method.lower(), context.path_format or ""): context.original_route.needs
        if isinstance(context.original_route, Route)
        else None
        for context in iter_route_contexts(app.routes)
        for method in context.methods or ()
    }


def _refined(schema: dict[str, Any], needs: dict[tuple[str, str], Needs | None]) -> dict[str, Any]:
    schemas = schema["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for model in (ProblemField, Problem):
        published = model.model_json_schema(ref_template="#/components/schemas/{model}")
        published.pop("$defs", None)
        schemas[model.__name__] = published
    schema["components"]["responses"] = {
        HTTPStatus(status).phrase.replace(" ", ""): _problem(meaning)
        for status, meaning in _MEANINGS.items()
    }
    schema["components"]["securitySchemes"] = {
        "apiKey": {"type": "http", "scheme": "bearer", "bearerFormat": "sw_live_<id>_<secret>"}
    }
    schema["security"] = [{"apiKey": []}]
    for method, path, operation in operations(schema):
        needed = needs.get((method, path))
        if needed is None:
            operation["security"] = []
        else:
            operation["x-permission"] = needed.permission.value
        _mark_required(method, operation)
        _add_problems(method, path, operation)
        add_examples(schema, operation)
    return schema


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation of every route in an OpenAPI schema."""
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def _problem(meaning: str) -> dict[str, Any]:
    shape = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {"description": meaning, "content": {PROBLEM_JSON: shape}}


def _mark_required(method: str, operation: dict[str, Any]) -> None:
    # The headers are optional for the framework, so that their absence gets its own status.
    for parameter in operation.get("parameters", ()):
        if parameter["name"].lower() in _REQUIRED_HEADERS.get(method, set()):
            parameter["required"] = True
            parameter["schema"] = {"type": "string"}


def _add_problems(method: str, path: str, operation: dict[str, Any]) -> None:
    operation["responses"].pop("422", None)
    statuses = {503}
    if "x-permission" in operation:
        statuses |= {400, 401, 403, 422}
    if "{" in path or method != "get":
        statuses.add(404)  # A body may name what does not exist, too.
    if method != "get":
        statuses |= {409, 413}
    if _REQUIRED_HEADERS.get(method) == {"if-match"}:
        statuses |= {412, 428}
    for status in sorted(statuses):
        name = HTTPStatus(status).phrase.replace(" ", "")
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/{name}"}
