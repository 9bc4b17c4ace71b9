"""Custom attributes over HTTP: defined once, checked on every edit, searched by an index."""

from typing import Any

import pytest
from sqlalchemy import Engine, text

from db.engine import transaction
from tests.api.api_helpers import Caller, code_of, pointers_of, product, warehouse

#: How each kind of records is made; a product's variant is made with its product.
_PATHS = {
    "product": "/v1/products",
    "customer": "/v1/customers",
    "supplier": "/v1/suppliers",
    "warehouse": "/v1/warehouses",
}


def _body(kind: str, **more: Any) -> dict[str, Any]:
    if kind == "product":
        return product(**more)
    return warehouse(**more) if kind == "warehouse" else {"name": "Ada", **more}


def _define(admin: Caller, kind: str = "product", **fields: Any) -> dict[str, Any]:
    given = {"kind": kind, "key": "colour", "label": "Colour", "type": "text", **fields}
    return admin.made("/v1/attributes", given)


def _values(engine: Engine, admin: Caller) -> int:
    with transaction(engine, admin.tenant_id) as session:
        return int(session.execute(text("SELECT count(*) FROM attribute_values")).scalar_one())


def test_a_definition_is_made_read_edited_and_deleted(admin: Caller) -> None:
    made = _define(admin, type="decimal", minimum="0.50", required=True)
    assert (made["minimum"], made["maximum"], made["options"]) == ("0.5", None, [])
    path = f"/v1/attributes/{made['id']}"
    assert admin.get(path).json() == made
    changed = admin.patch(path, {"label": "Hue", "maximum": "9", "required": False}).json()
    assert (changed["label"], changed["minimum"], changed["maximum"]) == ("Hue", "0.5", "9")
    assert changed["version"] == 2
    assert admin.patch(path, {}, match='"v2"').json() == changed
    for fixed in ({"key": "x"}, {"type": "text"}, {"kind": "variant"}):
        assert admin.patch(path, fixed).status_code == 422
    assert pointers_of(admin.patch(path, {"minimum": "10"})) == {"/minimum"}
    again = {"kind": "product", "key": "colour", "label": "x", "type": "text"}
    assert code_of(admin.post("/v1/attributes", again)) == "key_taken"
    _define(admin, "variant")
    listed = admin.get("/v1/attributes", params={"kind": "product"}).json()["data"]
    assert [row["id"] for row in listed] == [made["id"]]
    assert admin.delete(path).status_code == 204
    assert admin.get(path).status_code == 404


@pytest.mark.parametrize("key", ["", "Colour", "1st", "a-b", "a" * 41, "a:b"])
def test_keys_are_plain_words(admin: Caller, key: str) -> None:
    refused = admin.post(
        "/v1/attributes", {"kind": "product", "key": key, "label": "x", "type": "text"}
    )
    assert pointers_of(refused) == {"/key"}


@pytest.mark.parametrize("kind", sorted(_PATHS))
def test_records_carry_their_attributes(admin: Caller, kind: str, engine: Engine) -> None:
    _define(admin, kind)
    _define(admin, kind, key="size", type="integer")
    path = _PATHS[kind]
    admin.made(path, _body(kind))
    made = admin.made(path, _body(kind, attributes={"colour": "red", "size": 4}))
    assert made["attributes"] == {"colour": "red", "size": 4}
    mine = f"{path}/{made['id']}"
    assert admin.get(mine).json()["attributes"] == made["attributes"]
    listed = admin.get(path, params={"attribute": ["colour:red", "size:4"]}).json()["data"]
    assert [row["id"] for row in listed] == [made["id"]]
    assert admin.get(path, params={"attribute": "colour:blue"}).json()["data"] == []
    assert len(admin.get(path).json()["data"]) == 2
    refused = admin.post(path, _body(kind, attributes={"size": "4", "shade": 1}))
    assert pointers_of(refused) == {"/attributes/size", "/attributes/shade"}
    assert admin.delete(mine).status_code == 204
    assert _values(engine, admin) == 0


def test_a_variant_has_its_own(admin: Caller, engine: Engine) -> None:
    _define(admin, "variant", type="choice", options=["red", "blue"], required=True)
    sizes = [{"sku": c, "name": c, "attributes": {"colour": c}} for c in ("red", "blue")]
    made = admin.made("/v1/products", product(variants=sizes))
    found = admin.get("/v1/variants", params={"attribute": "colour:blue"}).json()["data"]
    assert [(row["sku"], row["attributes"]) for row in found] == [("blue", {"colour": "blue"})]
    wrong = [{"sku": f"S{c}", "name": c, "attributes": {"colour": c}} for c in ("red", "green")]
    refused = admin.post("/v1/products", product(variants=wrong))
    assert pointers_of(refused) == {"/variants/1/attributes/colour"}
    refused = admin.post("/v1/products", product())
    assert pointers_of(refused) == {"/variants/0/attributes/colour"}
    more = {"sku": "x", "name": "x"}
    refused = admin.post(f"/v1/products/{made['id']}/variants", more)
    assert [(e["pointer"], e["code"]) for e in refused.json()["errors"]] == [
        ("/attributes/colour", "required")
    ]
    assert admin.delete(f"/v1/products/{made['id']}").status_code == 204
    assert _values(engine, admin) == 0


def test_a_patch_changes_what_it_names_and_raises_the_version(admin: Caller) -> None:
    for key in ("colour", "size", "shape"):
        _define(admin, key=key)
    given = {"colour": "red", "size": "L"}
    made = admin.made("/v1/products", product(attributes=given))
    path = f"/v1/products/{made['id']}"
    sent = {"attributes": {"size": None, "shape": "round"}}
    changed = admin.patch(path, sent, match='"v1"').json()
    assert (changed["attributes"], changed["version"]) == ({"colour": "red", "shape": "round"}, 2)
    assert admin.patch(path, sent, match='"v1"').status_code == 412
    same = admin.patch(path, {"attributes": {"colour": "red"}}, match='"v2"').json()
    assert same["version"] == 2
    both = admin.patch(path, {"name": "New", "attributes": {"colour": "blue"}}).json()
    assert (both["name"], both["attributes"]["colour"], both["version"]) == ("New", "blue", 3)
    refused = admin.patch(path, {"name": "Newer", "attributes": {"nope": 1}})
    assert pointers_of(refused) == {"/attributes/nope"}
    assert admin.get(path).json() == both


def test_a_put_replaces_the_attributes_too(admin: Caller) -> None:
    for key in ("colour", "size"):
        _define(admin, "warehouse", key=key)
    body = warehouse(attributes={"colour": "red", "size": "L"})
    made = admin.made("/v1/warehouses", body)
    path = f"/v1/warehouses/{made['id']}"
    replaced = admin.put(path, {**body, "attributes": {"size": "M"}}).json()
    assert (replaced["attributes"], replaced["version"]) == ({"size": "M"}, 2)


def test_what_became_required_is_asked_for_at_the_next_edit(admin: Caller) -> None:
    made = admin.made("/v1/products", product())
    _define(admin, required=True)
    path = f"/v1/products/{made['id']}"
    assert pointers_of(admin.post("/v1/products", product())) == {"/attributes/colour"}
    assert admin.patch(path, {"price": "8.00"}).status_code == 200
    assert pointers_of(admin.patch(path, {"attributes": {}})) == {"/attributes/colour"}
    assert admin.patch(path, {"attributes": {"colour": "red"}}).status_code == 200
    assert pointers_of(admin.patch(path, {"attributes": {"colour": None}})) == {
        "/attributes/colour"
    }


def test_no_definition_changes_against_its_values(admin: Caller) -> None:
    for key, limits, narrower, wider in (
        ("a", {"type": "integer"}, {"maximum": 2}, {"maximum": 3}),
        ("b", {"type": "choice", "options": ["x", "y"]}, {"options": ["y"]}, {"options": ["x"]}),
        ("c", {"type": "text"}, {"pattern": "[0-9]+"}, {"pattern": "[a-z]+"}),
        ("d", {"type": "text"}, {"max_length": 2}, {"max_length": 3}),
        ("e", {"type": "date"}, {"minimum": "2026-01-02"}, {"minimum": "2026-01-01"}),
        ("f", {"type": "decimal", "minimum": "0"}, {"minimum": "9.6"}, {"minimum": "9.5"}),
    ):
        made = _define(admin, key=key, **limits)
        path = f"/v1/attributes/{made['id']}"
        value = {"a": 3, "b": "x", "c": "abc", "d": "abc", "e": "2026-01-01", "f": "9.5"}[key]
        users = [admin.made("/v1/products", product(attributes={key: value}))["id"] for _ in "12"]
        refused = admin.patch(path, narrower)
        assert (refused.status_code, code_of(refused)) == (409, "in_use"), key
        details = refused.json()["details"]
        assert details["records"] == 2
        assert {(r["kind"], r["id"]) for r in details["references"]} == {
            ("product", user) for user in users
        }
        assert admin.get(path).json() == made
        assert admin.patch(path, wider).status_code == 200, key
        assert admin.patch(path, {"label": "New"}).status_code == 200, key


def test_a_definition_with_values_is_not_deleted(admin: Caller) -> None:
    made = _define(admin)
    user = admin.made("/v1/products", product(attributes={"colour": "red"}))["id"]
    path = f"/v1/attributes/{made['id']}"
    refused = admin.delete(path)
    assert (refused.status_code, code_of(refused)) == (409, "in_use")
    details = refused.json()["details"]
    assert (details["records"], details["references"]) == (1, [{"kind": "product", "id": user}])
    admin.patch(f"/v1/products/{user}", {"attributes": {"colour": None}})
    assert admin.delete(path).status_code == 204


def test_a_kind_of_records_has_so_many_attributes_and_no_more(
    admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.attributes.ATTRIBUTES_MAX", 2)
    for key in "ab":
        _define(admin, key=key)
    more = {"kind": "product", "key": "c", "label": "C", "type": "text"}
    refused = admin.post("/v1/attributes", more)
    assert (refused.status_code, code_of(refused)) == (409, "too_many_attributes")
    _define(admin, "variant", key="c")


@pytest.mark.parametrize(
    "wanted", ["colour", "colour:", "nope:1", "size:x", "size:1.5", ":", "a:b:c"]
)
def test_filters_that_name_nothing(admin: Caller, wanted: str) -> None:
    _define(admin)
    _define(admin, key="size", type="integer")
    refused = admin.get("/v1/products", params={"attribute": wanted})
    assert refused.status_code == 422
    assert all(pointer.startswith("?attribute") for pointer in pointers_of(refused))


def test_filters_compare_values_not_spellings(admin: Caller) -> None:
    _define(admin, key="weight", type="decimal")
    _define(admin, key="fragile", type="boolean")
    _define(admin, key="note")
    values = {"weight": "1.50", "fragile": True, "note": "a:b"}
    made = admin.made("/v1/products", product(attributes=values))
    assert made["attributes"] == {"weight": "1.5", "fragile": True, "note": "a:b"}
    for wanted in ("weight:1.5", "weight:1.500", "fragile:true", "note:a:b"):
        found = admin.get("/v1/products", params={"attribute": wanted}).json()["data"]
        assert [row["id"] for row in found] == [made["id"]], wanted
    assert admin.get("/v1/products", params={"attribute": "note:A:B"}).json()["data"] == []


def test_pages_of_a_filtered_list(admin: Caller) -> None:
    _define(admin)
    made = [
        admin.made("/v1/products", product(attributes={"colour": c}))["id"]
        for c in ("red", "blue") * 5
    ]
    for sort, wanted in (("created_at", made[::2]), ("-created_at", made[::2][::-1])):
        seen, query = [], {"attribute": "colour:red", "limit": "2", "sort": sort}
        for _ in range(3):
            page = admin.get("/v1/products", params=query).json()
            seen += [row["id"] for row in page["data"]]
            query["cursor"] = page["next_cursor"]
        assert seen == wanted
        assert query["cursor"] is None


def test_another_tenants_attributes_do_not_exist(admin: Caller, stranger: Caller) -> None:
    _define(admin, required=True)
    stranger.made("/v1/products", product())
    refused = stranger.post("/v1/products", product(attributes={"colour": "red"}))
    assert pointers_of(refused) == {"/attributes/colour"}
