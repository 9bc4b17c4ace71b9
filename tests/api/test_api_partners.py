"""Customers and suppliers over HTTP: one behaviour, tested on both."""

import pytest
from sqlalchemy import Engine

from tests.api.api_helpers import (
    Caller,
    close_order,
    code_of,
    pointers_of,
    product,
    put_order,
    warehouse,
)

both = pytest.mark.parametrize("path", ["/v1/customers", "/v1/suppliers"])
ADA = {
    "code": "C-1",
    "name": "Ada Lovelace",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "email": "Ada@Example.com",
    "phone": "+44 20 7946 0000",
    "address": {"line1": "12 St James's Square", "city": "London", "country": "GB"},
    "metadata": {"segment": "gold"},
}


@both
def test_a_life(admin: Caller, path: str) -> None:
    made = admin.made(path, ADA)
    for name, value in ADA.items():
        shown = made[name]
        kept = {k: v for k, v in shown.items() if v is not None} if name == "address" else shown
        assert kept == value, name
    one = f"{path}/{made['id']}"
    assert admin.get(one).json() == made
    changed = admin.patch(one, {"address": {"city": "Paris"}, "email": None}, match='"v1"').json()
    assert changed["address"]["city"] == "Paris"
    assert changed["address"]["line1"] is None
    assert changed["email"] is None
    assert changed["name"] == ADA["name"]
    assert admin.post(f"{one}/disable").json()["status"] == "disabled"
    again = admin.post(f"{one}/disable").json()
    assert (again["status"], again["version"]) == ("disabled", 3)
    assert admin.post(f"{one}/enable").json()["status"] == "active"
    assert admin.delete(one).status_code == 204
    assert admin.get(one).status_code == 404


@both
def test_found_by_code_mail_and_parts(admin: Caller, path: str) -> None:
    ada = admin.made(path, ADA)["id"]
    bob = admin.made(path, {"name": "Bob 100%", "email": "bob@example.org"})["id"]
    for params, expected in [
        ({"code": "C-1"}, [ada]),
        ({"code": "c-1"}, []),
        ({"email": "ada@example.COM"}, [ada]),
        ({"email": "%@example.com"}, []),
        ({"q": "lovel"}, [ada]),
        ({"q": "7946"}, [ada]),
        ({"q": "0%"}, [bob]),
        ({"q": "example"}, [ada, bob]),
        ({}, [ada, bob]),
    ]:
        found = admin.get(path, params=params).json()["data"]
        assert [row["id"] for row in found] == expected, params


@both
def test_a_code_is_taken_once_and_none_is_no_code(admin: Caller, path: str) -> None:
    admin.made(path, {"name": "A", "code": "X"})
    second = admin.made(path, {"name": "B"})
    admin.made(path, {"name": "C"})
    taken = admin.post(path, {"name": "D", "code": "X"})
    assert (taken.status_code, code_of(taken)) == (409, "code_taken")
    taken = admin.patch(f"{path}/{second['id']}", {"code": "X"})
    assert (taken.status_code, code_of(taken)) == (409, "code_taken")


@both
def test_wrong_fields_are_named(admin: Caller, path: str) -> None:
    body = {
        "name": "line\nbreak",
        "email": "no mail",
        "phone": "call me",
        "address": {"country": "Germany", "planet": "Earth"},
        "metadata": {"k" * 41: "v", "k": "v" * 501},
    }
    assert pointers_of(admin.post(path, body)) == {
        "/name",
        "/email",
        "/phone",
        "/address/country",
        "/address/planet",
        f"/metadata/{'k' * 41}/[key]",
        "/metadata/k",
    }
    many = {"name": "A", "metadata": {str(n): "" for n in range(51)}}
    assert pointers_of(admin.post(path, many)) == {"/metadata"}


def test_a_customer_with_open_orders_stays(admin: Caller, engine: Engine) -> None:
    buyer = admin.made("/v1/customers", {"name": "Ada"})
    item = admin.made("/v1/products", product())
    order = put_order(
        engine,
        admin.tenant_id,
        customer_id=buyer["id"],
        variant_id=item["default_variant_id"],
        warehouse_id=admin.made("/v1/warehouses", warehouse())["id"],
    )
    path = f"/v1/customers/{buyer['id']}"
    for refused in (admin.post(f"{path}/disable"), admin.delete(path)):
        assert (refused.status_code, code_of(refused)) == (409, "in_use")
        (reference,) = refused.json()["details"]["references"]
        assert (reference["kind"], reference["id"]) == ("order", order)
    close_order(engine, admin.tenant_id, order)
    assert admin.post(f"{path}/disable").status_code == 200
    assert code_of(admin.delete(path)) == "in_use"
