"""The published schema: complete, current, and shown without another host's help."""

import hashlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.docs import STATIC
from api.openapi import SNAPSHOT, snapshot
from api.schema import VERSION, operations
from tests.api.api_helpers import published_examples

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_the_committed_snapshot_is_current(app: FastAPI) -> None:
    assert SNAPSHOT.read_text() == snapshot(app), "run: python -m api.openapi"


def test_head_and_version(schema: dict[str, Any]) -> None:
    assert schema["openapi"].startswith("3.1")
    assert schema["info"]["title"] == "Stockwright"
    assert tomllib.loads(PROJECT.read_text())["project"]["version"] == VERSION
    known = {tag["name"] for tag in schema["tags"]}
    for _, path, operation in operations(schema):
        assert set(operation["tags"]) <= known, path


def test_security_is_declared(schema: dict[str, Any]) -> None:
    assert schema["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"
    public = {path for _, path, operation in operations(schema) if operation.get("security") == []}
    assert public == {"/healthz", "/readyz"}


def test_every_answer_of_an_error_is_a_problem(schema: dict[str, Any]) -> None:
    responses = schema["components"]["responses"]
    for method, path, operation in operations(schema):
        errors = {s: r for s, r in operation["responses"].items() if int(s) >= 400}
        assert errors, path
        for response in errors.values():
            shape = responses[response["$ref"].rsplit("/", 1)[1]]["content"]
            assert shape["application/problem+json"]["schema"]["$ref"].endswith("/Problem")
        if "{" in path:
            assert "404" in errors
        if method in {"put", "patch", "delete"}:
            assert {"412", "428"} <= set(errors)
    assert not any("ValidationError" in name for name in schema["components"]["schemas"])


def test_required_headers_are_required(schema: dict[str, Any]) -> None:
    needed = {
        "post": "idempotency-key",
        "put": "if-match",
        "patch": "if-match",
        "delete": "if-match",
    }
    for method, path, operation in operations(schema):
        required = {p["name"].lower() for p in operation.get("parameters", ()) if p["required"]}
        if method in needed:
            assert needed[method] in required, (method, path)


def test_no_model_is_split_by_direction(schema: dict[str, Any]) -> None:
    assert not [name for name in schema["components"]["schemas"] if re.search("-(In|Out)put", name)]


def test_every_route_with_a_body_publishes_an_example(schema: dict[str, Any]) -> None:
    bare = [
        f"{method} {path}"
        for method, path, operation in operations(schema)
        if "requestBody" in operation and not published_examples(schema, operation)
    ]
    assert bare == []


def test_operation_ids_and_summaries_are_unique_and_given(schema: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(schema)]
    assert len(set(ids)) == len(ids)
    assert all(operation.get("description") for _, _, operation in operations(schema))


def test_vendored_files_are_what_the_manifest_says() -> None:
    vendor = STATIC / "vendor"
    listed: dict[str, str] = {}
    for package in json.loads((vendor / "manifest.json").read_text()):
        assert {"name", "version", "licence"} <= set(package)
        listed |= package["files"]
    present = {
        str(path.relative_to(vendor)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in vendor.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert present == listed


def test_the_reference_page_loads_from_here_only(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["Content-Security-Policy"]
    scripts = next(rule for rule in policy.split("; ") if rule.startswith("script-src"))
    assert scripts == "script-src 'self'"
    assert "http" not in policy
    assert "//" not in page.text.replace("<!doctype html>", "")
    assert "<script>" not in page.text
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    local = [source for source in sources if source != "data:,"]
    assert len(local) == 3
    for source in local:
        assert source.startswith("/docs/static/")
        assert client.get(source).status_code == 200
    assert "validatorUrl: null" in client.get("/docs/static/docs/init.js").text


def test_the_schema_is_served_without_a_key(client: TestClient, schema: dict[str, Any]) -> None:
    assert client.get("/openapi.json").json() == schema


@pytest.mark.parametrize(
    "path", ["/docs/static/../app.py", "/docs/static/%2e%2e/app.py", "/docs/x"]
)
def test_nothing_else_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_every_answer_has_an_example_that_fits_its_schema(app: FastAPI) -> None:
    schema = app.openapi()
    checked = 0
    for method, path, operation in operations(schema):
        for status, response in operation["responses"].items():
            for kind, content in response.get("content", {}).items():
                if not status.startswith("2") or kind != "application/json":
                    continue
                resolver = {"components": schema["components"], **content["schema"]}
                fits = jsonschema_rs.validator_for(resolver)
                problems = [error.message for error in fits.iter_errors(content["example"])]
                assert problems == [], (method, path)
                checked += 1
    assert checked > 40
