"""Every refusal and failure has one shape, says where, and tells nothing of the inside."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from api.bodies import MAX_BODY
from api.problems import from_validation, render_problem
from domain.errors import Conflict, FieldError, Unavailable
from tests.api.api_helpers import JSON, Caller, code_of, new_key, pointers_of, product


def test_unknown_paths_and_methods_are_problems(admin: Caller) -> None:
    assert code_of(admin.get("/v1/nothing")) == "not_found"
    assert code_of(admin.get("/v1/products/")) == "not_found"
    wrong = admin.send("PUT", "/v1/products", json={})
    assert (wrong.status_code, code_of(wrong)) == (405, "method_not_allowed")
    assert wrong.headers["Allow"] == "GET, POST"


@pytest.mark.parametrize("id_", ["nope", "1", "0199d3a0-0000-7000-8000-00000000000g", "%00", "%ff"])
def test_what_is_no_id_is_not_found(admin: Caller, id_: str) -> None:
    assert code_of(admin.get(f"/v1/products/{id_}")) == "not_found"


def test_each_wrong_field_is_named(admin: Caller) -> None:
    body = {
        "sku": "",
        "price": 7.5,
        "variants": [{"sku": "A", "name": "A"}, {"sku": 7, "name": "B"}],
        "colour": "red",
        "metadata": {"k": 1},
    }
    answer = admin.post("/v1/products", body)
    assert (answer.status_code, code_of(answer)) == (422, "invalid_input")
    assert pointers_of(answer) == {
        "/sku",
        "/name",
        "/price",
        "/variants/1/sku",
        "/colour",
        "/metadata/k",
    }
    messages = {error["pointer"]: error["message"] for error in answer.json()["errors"]}
    assert "string of decimal digits" in messages["/price"]


def test_pointers_are_escaped() -> None:
    errors = [{"loc": ("body", "a/b", "c~d", 0), "type": "x", "msg": "no"}]
    assert from_validation(errors).errors == (FieldError("/a~1b/c~0d/0", "x", "no"),)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "invalid_input"),
        (b"{", 400, "not_json"),
        (b"\xff\xfe{\x00}\x00", 400, "not_json"),
        ("{}".encode("utf-16"), 400, "not_json"),
        (b"\xef\xbb\xbf{}", 400, "not_json"),
        (b'{"a": "\x00"}', 400, "not_json"),
        (b"[" * 10_000 + b"]" * 10_000, 400, "too_deep"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, 400, "too_deep"),
        (b"null", 422, "invalid_input"),
        (b"[]", 422, "invalid_input"),
        (b'"text"', 422, "invalid_input"),
    ],
)
def test_bodies_that_cannot_be_read(admin: Caller, content: bytes, status: int, code: str) -> None:
    answer = admin.send("POST", "/v1/products", content=content, headers=JSON)
    assert (answer.status_code, code_of(answer)) == (status, code)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("NaN", "number_out_of_range"),
        ("Infinity", "number_out_of_range"),
        ("-Infinity", "number_out_of_range"),
        ("1e400", "number_out_of_range"),
        ("9007199254740993", "number_out_of_range"),
        ("-9223372036854775808", "number_out_of_range"),
        ("1" * 5000, "number_out_of_range"),
        (r'"a\u0000b"', "nul_character"),
        (r'"\ud800"', "lone_surrogate"),
        (r'"\udfff x"', "lone_surrogate"),
        (r'{"\ud800": 1}', "lone_surrogate"),
        (r'{"\u0000": 1}', "nul_character"),
    ],
)
def test_values_that_no_field_may_have(admin: Caller, value: str, code: str) -> None:
    content = f'{{"metadata": [1, {value}]}}'.encode()
    answer = admin.send("POST", "/v1/products", content=content, headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == code
    assert answer.json()["errors"][0]["pointer"].startswith("/metadata/1")


def test_a_whole_character_beyond_the_basic_plane_is_fine(admin: Caller) -> None:
    content = json.dumps(product(name="Mug \N{HOT BEVERAGE} \N{PARTY POPPER}")).encode()
    answer = admin.send("POST", "/v1/products", content=content, headers=JSON)
    assert answer.json()["name"] == "Mug \N{HOT BEVERAGE} \N{PARTY POPPER}"


def test_other_media_types_are_refused(admin: Caller) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = admin.send("POST", "/v1/products", content=b"{}", headers={"Content-Type": kind})
        assert (answer.status_code, code_of(answer)) == (400, "not_json")
    merge = {"Content-Type": "application/merge-patch+json; charset=utf-8"}
    made = admin.made("/v1/products", product())
    path = f"/v1/products/{made['id']}"
    answer = admin.send("PATCH", path, match="*", content=b'{"name":"x"}', headers=merge)
    assert answer.status_code == 200


def test_large_bodies_are_refused_announced_or_not(admin: Caller) -> None:
    def streamed(size: int) -> Iterator[bytes]:
        for _ in range(size // 65536):
            yield b" " * 65536

    for content in (b" " * (MAX_BODY + 1), streamed(MAX_BODY + 65536)):
        answer = admin.send("POST", "/v1/products", content=content, headers=JSON)
        assert (answer.status_code, code_of(answer)) == (413, "body_too_large")
        assert answer.json()["details"] == {"max_bytes": MAX_BODY}
    content = json.dumps(product()).encode().ljust(MAX_BODY)
    assert admin.send("POST", "/v1/products", content=content, headers=JSON).status_code == 201


def test_a_large_body_is_refused_where_none_is_expected(admin: Caller) -> None:
    made = admin.made("/v1/products", product())
    answer = admin.send("POST", f"/v1/products/{made['id']}/disable", content=b"x" * (MAX_BODY + 1))
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Request-Id": "req-42.a_B"}, "req-42.a_B"),
        ({"traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"}, "ab" * 16),
        ({"traceparent": "00-" + "0" * 32 + "-" + "cd" * 8 + "-01"}, None),
        ({"X-Request-Id": "no spaces"}, None),
        ({"X-Request-Id": "a" * 129}, None),
        ({}, None),
    ],
)
def test_the_trace_id_is_taken_or_made(
    client: TestClient, headers: dict[str, str], expected: str | None
) -> None:
    answer = client.get("/v1/products", headers=headers)
    given = answer.headers["X-Request-Id"]
    assert answer.json()["trace_id"] == given
    assert given == expected if expected else len(given) == 32
    assert client.get("/healthz", headers=headers).headers["X-Request-Id"]


def test_a_stored_refusal_is_the_same_bytes_each_time() -> None:
    refusal = Conflict("Too few.", code="insufficient_stock", details={"available": 3})
    first = render_problem(refusal, "/v1/orders")
    assert first == render_problem(refusal, "/v1/orders")
    assert json.loads(first) == {
        "type": "urn:stockwright:problem:insufficient_stock",
        "title": "Insufficient stock",
        "status": 409,
        "detail": "Too few.",
        "instance": "/v1/orders",
        "code": "insufficient_stock",
        "errors": [],
        "details": {"available": 3},
    }


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (RuntimeError("secret path /etc"), 500, "internal", None),
        (OperationalError("SELECT secret", {}, Exception("secret")), 503, "unavailable", "1"),
        (Unavailable("Later.", retry_after=7), 503, "unavailable", "7"),
    ],
)
def test_failures_tell_nothing_of_the_inside(
    app: FastAPI,
    admin: Caller,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    code: str,
    retry_after: str | None,
) -> None:
    def fail(*_args: Any, **_named: Any) -> None:
        raise error

    monkeypatch.setattr("db.catalogue.create_product", fail)
    answer = admin.post("/v1/products", product(), headers={"X-Request-Id": "trace-me"})
    assert (answer.status_code, code_of(answer)) == (status, code)
    assert "secret" not in answer.text
    assert answer.json()["trace_id"] == answer.headers["X-Request-Id"] == "trace-me"
    assert answer.headers.get("Retry-After") == retry_after


def test_a_failure_leaves_the_key_free(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    key, body = new_key(), product()
    with monkeypatch.context() as patch:
        patch.setattr("db.catalogue._add_variants", lambda *_a, **_k: 1 / 0)
        assert admin.post("/v1/products", body, key=key).status_code == 500
    assert admin.post("/v1/products", body, key=key).status_code == 201
