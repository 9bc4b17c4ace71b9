"""Versions as ETags: nobody overwrites what they did not read."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from tests.api.api_helpers import Caller, code_of, product, warehouse


def test_each_edit_needs_the_version_that_was_read(admin: Caller) -> None:
    made = admin.made("/v1/products", product())
    path = f"/v1/products/{made['id']}"
    assert admin.get(path).headers["ETag"] == '"v1"'
    for method in ("PATCH", "DELETE"):
        missing = admin.send(method, path, json={"name": "x"})
        assert (missing.status_code, code_of(missing)) == (428, "if_match_required")
    changed = admin.patch(path, {"name": "x"}, match='"v1"')
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"v2"')
    stale = admin.patch(path, {"name": "y"}, match='"v1"')
    assert (stale.status_code, code_of(stale)) == (412, "stale_version")
    assert stale.json()["details"] == {"current_version": 2}
    assert admin.delete(path, match='"v1"').status_code == 412
    assert admin.delete(path, match='"v2"').status_code == 204


def test_a_put_needs_it_too(admin: Caller) -> None:
    made = admin.made("/v1/warehouses", warehouse())
    path, data = f"/v1/warehouses/{made['id']}", warehouse()
    assert admin.send("PUT", path, json=data).status_code == 428
    assert admin.put(path, data, match='"v9"').status_code == 412
    assert admin.put(path, data, match='"v1"').headers["ETag"] == '"v2"'
    assert admin.put("/v1/organization", {"name": "New"}, match='"v1"').status_code == 200


@pytest.mark.parametrize(
    ("match", "status"),
    [
        ("*", 200),
        (' "v1" ', 200),
        ('"v0", "v1"', 200),
        ('W/"v1"', 412),
        ("v1", 412),
        ('"v1', 412),
        ('"v\u0661"', 412),
        ('"v99999999999999999999"', 412),
        ("", 428),
        (" ", 428),
    ],
)
def test_forms_of_if_match(admin: Caller, match: str, status: int) -> None:
    made = admin.made("/v1/products", product())
    headers: dict[str, Any] = {"If-Match": match.encode("utf-8")}
    answer = admin.send("PATCH", f"/v1/products/{made['id']}", json={"name": "x"}, headers=headers)
    assert answer.status_code == status


def test_an_unknown_record_is_not_found_whatever_the_version(admin: Caller) -> None:
    unknown = "/v1/products/0199d3a0-0000-7000-8000-000000000001"
    assert admin.patch(unknown, {"name": "x"}, match='"v1"').status_code == 404
    assert admin.delete(unknown, match='"v1"').status_code == 404


def test_a_reader_who_has_the_version_gets_304(admin: Caller) -> None:
    made = admin.made("/v1/products", product())
    path = f"/v1/products/{made['id']}"
    for known in ('"v1"', '"v0", "v1"', 'W/"v1"', "*"):
        answer = admin.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == '"v1"'
    admin.patch(path, {"name": "x"})
    assert admin.get(path, headers={"If-None-Match": '"v1"'}).status_code == 200


def test_of_two_racing_edits_exactly_one_wins(admin: Caller) -> None:
    made = admin.made("/v1/products", product())
    path, start = f"/v1/products/{made['id']}", Barrier(2)

    def edit(name: str, version: int) -> int:
        start.wait()
        return admin.patch(path, {"name": name}, match=f'"v{version}"').status_code

    with ThreadPoolExecutor(2) as threads:
        for version in range(1, 11):
            statuses = list(threads.map(edit, ("a", "b"), (version, version)))
            assert sorted(statuses) == [200, 412]
    assert admin.get(path).json()["version"] == 11
