"""Lists: every row once, in order, and cursors that belong to their list."""

import base64
import json
from itertools import chain
from typing import Any

import pytest

from tests.api.api_helpers import Caller, code_of, pointers_of, product


def _all(caller: Caller, path: str, **params: Any) -> list[list[str]]:
    pages: list[list[str]] = []
    cursor = None
    while True:
        answer = caller.get(path, params={**params, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        pages.append([row["id"] for row in page["data"]])
        assert page["object"] == "list"
        assert page["has_more"] is (page["next_cursor"] is not None)
        if not page["has_more"]:
            assert "Link" not in answer.headers
            return pages
        cursor = page["next_cursor"]
        link = answer.headers["Link"]
        assert link.endswith('>; rel="next"')
        assert f"cursor={cursor}" in link
        assert link.startswith(f"<{path}?")


def test_pages_give_every_row_once_in_either_order(admin: Caller) -> None:
    made = [admin.made("/v1/products", product())["id"] for _ in range(7)]
    pages = _all(admin, "/v1/products", limit=3)
    assert [len(page) for page in pages] == [3, 3, 1]
    assert list(chain(*pages)) == made
    newest_first = _all(admin, "/v1/products", limit=2, sort="-created_at")
    assert list(chain(*newest_first)) == made[::-1]
    assert _all(admin, "/v1/products", limit=7) == [made]
    assert _all(admin, "/v1/products") == [made]


def test_rows_added_behind_a_page_appear_and_none_is_repeated(admin: Caller) -> None:
    made = [admin.made("/v1/products", product())["id"] for _ in range(3)]
    first = admin.get("/v1/products", params={"limit": 2}).json()
    late = admin.made("/v1/products", product())["id"]
    then = admin.get("/v1/products", params={"limit": 9, "cursor": first["next_cursor"]}).json()
    assert [row["id"] for row in then["data"]] == [made[2], late]


def test_the_link_leads_to_the_next_page(admin: Caller) -> None:
    for _ in range(3):
        admin.made("/v1/products", product(name="Ünïcode & more"))
    answer = admin.get("/v1/products", params={"limit": 1, "q": "ünïcode & m"})
    target = answer.headers["Link"].removeprefix("<").split(">")[0]
    assert [r["id"] for r in admin.get(target).json()["data"]] != [
        r["id"] for r in answer.json()["data"]
    ]


def test_an_empty_list_is_a_list(admin: Caller) -> None:
    assert admin.get("/v1/customers").json() == {
        "object": "list",
        "data": [],
        "has_more": False,
        "next_cursor": None,
    }


def _cursor(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def test_a_cursor_of_another_list_filter_order_or_tenant_is_refused(
    admin: Caller, stranger: Caller
) -> None:
    for caller in (admin, stranger):
        for _ in range(2):
            caller.made("/v1/products", product())
    cursor = admin.get("/v1/products", params={"limit": 1}).json()["next_cursor"]
    for caller, path, params in [
        (admin, "/v1/variants", {}),
        (admin, "/v1/products", {"q": "x"}),
        (admin, "/v1/products", {"sort": "-created_at"}),
        (stranger, "/v1/products", {}),
    ]:
        answer = caller.get(path, params={**params, "cursor": cursor})
        assert (answer.status_code, code_of(answer)) == (400, "bad_cursor")
    assert admin.get("/v1/products", params={"cursor": cursor, "limit": 5}).status_code == 200


def test_a_broken_cursor_is_refused(admin: Caller) -> None:
    for _ in range(2):
        admin.made("/v1/products", product())
    good = admin.get("/v1/products", params={"limit": 1}).json()["next_cursor"]
    list_id, last = json.loads(base64.urlsafe_b64decode(good + "=" * (-len(good) % 4)))
    broken = [
        "x",
        "%%%",
        "ünï",
        good[:-3],
        good + "A",
        _cursor(),
        _cursor(list_id),
        _cursor(list_id, last, last),
        _cursor(list_id, "no id"),
        _cursor(list_id, 7),
        _cursor(list_id, None),
        _cursor(list_id, True),
        _cursor(list_id, [last]),
        base64.urlsafe_b64encode(b"[" * 700).decode(),
        base64.urlsafe_b64encode(b"7").decode(),
        base64.urlsafe_b64encode(b"\xff\xff").decode(),
    ]
    for cursor in broken:
        answer = admin.get("/v1/products", params={"cursor": cursor})
        assert (answer.status_code, code_of(answer)) == (400, "bad_cursor"), cursor


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "?limit"),
        ("limit=201", "?limit"),
        ("limit=x", "?limit"),
        ("limit=9223372036854775808", "?limit"),
        ("sort=price", "?sort"),
        ("sku=", "?sku"),
        ("colour=red", "?colour"),
        ("sku=%00", "?sku"),
        ("%00=1", "?"),
        ("q=" + "a" * 101, "?q"),
        ("cursor=" + "a" * 1001, "?cursor"),
    ],
)
def test_wrong_parameters_are_named(admin: Caller, query: str, pointer: str) -> None:
    answer = admin.get(f"/v1/products?{query}")
    assert (answer.status_code, code_of(answer)) == (422, "invalid_input")
    assert pointers_of(answer) == {pointer}


def test_routes_without_parameters_refuse_all(admin: Caller) -> None:
    made = admin.made("/v1/products", product())
    assert pointers_of(admin.get(f"/v1/products/{made['id']}?expand=x")) == {"?expand"}
    assert admin.post("/v1/products?dry_run=true", product()).status_code == 422
