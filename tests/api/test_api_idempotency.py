"""Keys: one effect and one answer, however often a request is sent."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api.api_helpers import Caller, code_of, new_key, product, warehouse

CREATES = [
    ("/v1/products", product),
    ("/v1/customers", lambda: {"name": "Ada", "code": new_key()}),
    ("/v1/suppliers", lambda: {"name": "Bob", "code": new_key()}),
    ("/v1/warehouses", warehouse),
    ("/v1/departments", lambda: {"name": new_key()}),
]


@pytest.mark.parametrize(("path", "body"), CREATES)
def test_a_repeated_creation_is_answered_byte_for_byte(admin: Caller, path: str, body: Any) -> None:
    key, sent = new_key(), body()
    first = admin.post(path, sent, key=key)
    again = admin.post(path, sent, key=key)
    assert first.status_code == 201
    assert (again.status_code, again.content) == (first.status_code, first.content)
    for name in ("Location", "ETag", "Content-Type"):
        assert again.headers[name] == first.headers[name]
    assert first.headers["Location"] == f"{path}/{first.json()['id']}"
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(admin.get(path).json()["data"]) == 1


@pytest.mark.parametrize(("path", "body"), CREATES)
def test_the_key_with_another_body_is_refused(admin: Caller, path: str, body: Any) -> None:
    key = new_key()
    assert admin.post(path, body(), key=key).status_code == 201
    other = admin.post(path, body(), key=key)
    assert (other.status_code, code_of(other)) == (422, "idempotency_key_reuse")
    assert len(admin.get(path).json()["data"]) == 1


def test_a_repeated_employee_is_one_employee(admin: Caller) -> None:
    department = admin.made("/v1/departments", {"name": "Stock"})
    body = {
        "department_id": department["id"],
        "first_name": "Grace",
        "last_name": "Hopper",
        "email": "grace@example.com",
    }
    key = new_key()
    first, again = (admin.post("/v1/employees", body, key=key) for _ in range(2))
    assert again.content == first.content
    other = admin.post("/v1/employees", {**body, "first_name": "G"}, key=key)
    assert code_of(other) == "idempotency_key_reuse"


def test_the_key_with_another_path_or_query_is_refused(admin: Caller) -> None:
    made = admin.made("/v1/products", product())
    key = new_key()
    assert admin.post(f"/v1/products/{made['id']}/disable", key=key).status_code == 200
    other = admin.post(f"/v1/products/{made['id']}/enable", key=key)
    assert code_of(other) == "idempotency_key_reuse"


def test_refusals_of_the_state_are_replayed_and_others_are_not(admin: Caller) -> None:
    admin.made("/v1/products", product(sku="ONE"))
    key, body = new_key(), product(sku="ONE")
    first, again = (admin.post("/v1/products", body, key=key) for _ in range(2))
    assert (first.status_code, code_of(first)) == (409, "sku_taken")
    assert again.content == first.content
    assert again.headers["content-type"] == "application/problem+json"
    assert again.headers["Idempotent-Replayed"] == "true"

    key = new_key()
    assert admin.post("/v1/products", product(price=1), key=key).status_code == 422
    assert admin.post("/v1/products", product(), key=key).status_code == 201


@pytest.mark.parametrize("key", ["", "a" * 201, "tab\there", "n\xf6", "\x7f"])
def test_other_keys_are_refused(admin: Caller, key: str) -> None:
    bearer = f"Bearer {admin.token}"
    raw = {b"Authorization": bearer.encode(), b"Idempotency-Key": key.encode("latin-1")}
    answer = admin.client.post("/v1/products", headers=raw, json=product())
    assert (answer.status_code, code_of(answer)) == (400, "bad_idempotency_key")


def test_the_longest_and_oddest_keys_are_fine(admin: Caller) -> None:
    for key in ("a" * 200, "a b", "~!@#$%^&*()\"'\\;,"):
        assert admin.post("/v1/products", product(), key=key).status_code == 201


def test_a_post_without_a_key_is_refused_and_a_patch_is_not(admin: Caller) -> None:
    bearer = {"Authorization": f"Bearer {admin.token}"}
    answer = admin.client.post("/v1/products", headers=bearer, json=product())
    assert (answer.status_code, code_of(answer)) == (400, "idempotency_key_required")
    made = admin.made("/v1/products", product())
    assert admin.patch(f"/v1/products/{made['id']}", {"name": "New"}).status_code == 200


def test_a_keyed_patch_and_delete_are_replayed_although_the_version_went_on(
    admin: Caller,
) -> None:
    made = admin.made("/v1/products", product())
    path = f"/v1/products/{made['id']}"
    key = new_key()
    first, again = (admin.patch(path, {"name": "New"}, match='"v1"', key=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again.headers["ETag"] == '"v2"'
    key = new_key()
    gone, again = (admin.delete(path, match='"v2"', key=key) for _ in range(2))
    assert (gone.status_code, again.status_code) == (204, 204)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_key_belongs_to_its_tenant(admin: Caller, stranger: Caller) -> None:
    key, body = new_key(), product()
    ours, theirs = (caller.post("/v1/products", body, key=key) for caller in (admin, stranger))
    assert (ours.status_code, theirs.status_code) == (201, 201)
    assert ours.json()["id"] != theirs.json()["id"]


def test_of_many_at_once_one_has_an_effect(admin: Caller) -> None:
    key, body = new_key(), product()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: admin.post("/v1/products", body, key=key), range(16)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
