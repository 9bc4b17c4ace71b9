"""Nothing that a client sends gives a 5xx: every field, parameter and body, on every route."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from api.schema import operations
from tests.api.api_helpers import JSON, Caller, published_examples

SOME_ID = "0199d3a0-0000-7000-8000-000000000001"
BAD_VALUES: list[Any] = [
    0,
    -1,
    1.5,
    2**53 + 1,
    2**63,
    -(2**63) - 1,
    float("nan"),
    float("inf"),
    True,
    None,
    "",
    " ",
    "\0",
    "\ud800",
    "x" * 100_000,
    "9" * 400,
    "1e400",
    "-0.000001",
    [],
    {},
    [[]],
    {"": ""},
]
RAW_BODIES = [
    b"",
    b"{",
    b"nul",
    b"[]",
    b"7",
    b"\xff\xff",
    b"[" * 10_000,
    b'{"a":' * 10_000,
    b"[" * 10_000 + b"]" * 10_000,
    b'"' + b"x" * 10_000_000 + b'"',
    b"9" * 100_000,
]


def _with_body(schema: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for method, path, operation in operations(schema):
        if "requestBody" in operation:
            for example in published_examples(schema, operation)[:1]:
                yield method, _fill(path), example


def _fill(path: str) -> str:
    return "/".join(SOME_ID if part.startswith("{") else part for part in path.split("/"))


def _places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside an example, itself excluded."""
    items = value.items() if isinstance(value, dict) else ()
    for key, inner in [*items, *(enumerate(value) if isinstance(value, list) else ())]:
        yield (*way, key)
        yield from _places(inner, (*way, key))


def _replaced(example: Any, way: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(example)
    inside = changed
    for step in way[:-1]:
        inside = inside[step]
    inside[way[-1]] = value
    return changed


def _send(caller: Caller, method: str, path: str, content: bytes) -> int:
    match = None if method == "post" else "*"
    answer = caller.send(method, path, match=match, content=content, headers=JSON)
    assert answer.status_code < 500, (method, path, content[:200], answer.text)
    return answer.status_code


@pytest.mark.parametrize("bad", BAD_VALUES, ids=lambda value: repr(value)[:20])
def test_bad_values_in_any_field(admin: Caller, schema: dict[str, Any], bad: Any) -> None:
    sent = 0
    for method, path, example in _with_body(schema):
        for way in _places(example):
            content = json.dumps(_replaced(example, way, bad)).encode()
            _send(admin, method, path, content)
            sent += 1
    assert sent > 60


@pytest.mark.parametrize("body", RAW_BODIES, ids=lambda body: repr(body[:8]))
def test_bad_bodies(admin: Caller, schema: dict[str, Any], body: bytes) -> None:
    for method, path, _ in _with_body(schema):
        assert _send(admin, method, path, body) in {400, 404, 413, 422}


def test_fields_that_nobody_knows_are_refused(admin: Caller, schema: dict[str, Any]) -> None:
    for method, path, example in _with_body(schema):
        content = json.dumps({**example, "surprise": 1}).encode()
        assert _send(admin, method, path, content) == 422, path


@pytest.mark.parametrize("bad", ["0", "-1", "9223372036854775808", "%00", "%ED%A0%80", "x" * 3000])
def test_bad_values_in_any_parameter(admin: Caller, schema: dict[str, Any], bad: str) -> None:
    sent = 0
    for method, path, operation in operations(schema):
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "query":
                url = f"{_fill(path)}?{parameter['name']}={bad}"
                answer = admin.send(method, url)
                assert answer.status_code < 500, (url[:200], answer.text)
                sent += 1
    assert sent > 20


@pytest.mark.parametrize(
    "bad", ["0", "-1", "%00", "%ED%A0%80", "SO-%00", "SO-99999999999999999999", "x" * 3000, "'--"]
)
def test_bad_ids_in_any_path(admin: Caller, schema: dict[str, Any], bad: str) -> None:
    for method, path, operation in operations(schema):
        examples: list[Any] = [None]
        if "requestBody" in operation:
            examples = published_examples(schema, operation)[:1]
        for example in examples if "{" in path else ():
            before, _, after = path.partition("{")
            url = f"{before}{bad}{after.partition('}')[2]}"
            match = "*" if method in {"put", "patch", "delete"} else None
            content = {} if example is None else {"json": example}
            answer = admin.send(method, url, match=match, **content)
            assert answer.status_code == 404, (method, url[:200], answer.text)


@pytest.mark.parametrize("value", ["\xff" * 50, "x" * 3000, '"', "v1", ",,,", "W/", "*,*"])
def test_bad_headers(admin: Caller, schema: dict[str, Any], value: str) -> None:
    raw = value.encode("latin-1")
    headers: dict[str, Any] = {
        "If-Match": raw,
        "If-None-Match": raw,
        "X-Request-Id": raw,
        "traceparent": raw,
        "Idempotency-Key": raw,
        "Content-Type": raw,
    }
    for method, path, _ in operations(schema):
        answer = admin.send(method, _fill(path), headers=headers)
        assert answer.status_code < 500, (method, path, answer.text)
