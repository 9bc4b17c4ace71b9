"""Products and variants over HTTP."""

from typing import Any

import pytest
from sqlalchemy import Engine

from tests.api.api_helpers import (
    Caller,
    close_order,
    code_of,
    empty_level,
    pointers_of,
    product,
    put_level,
    put_order,
    warehouse,
)


def test_a_plain_product_gets_one_default_variant_with_its_sku(admin: Caller) -> None:
    made = admin.made("/v1/products", product(sku="MUG", price="7.5", description="White\nmug"))
    assert made["price"] == "7.50"
    assert made["currency"] == "EUR"
    assert made["status"] == "active"
    assert made["version"] == 1
    listed = admin.get(f"/v1/products/{made['id']}/variants").json()["data"]
    assert [(v["id"], v["sku"], v["is_default"]) for v in listed] == [
        (made["default_variant_id"], "MUG", True)
    ]
    assert listed[0]["price"] is None
    assert listed[0]["currency"] == "EUR"


def test_given_variants_replace_the_default_one(admin: Caller) -> None:
    sizes = [{"sku": f"SHIRT-{size}", "name": f"Shirt {size}"} for size in "SML"]
    made = admin.made("/v1/products", product(sku="SHIRT", variants=sizes))
    listed = admin.get("/v1/variants", params={"product_id": made["id"]}).json()["data"]
    assert [v["sku"] for v in listed] == ["SHIRT-S", "SHIRT-M", "SHIRT-L"]
    assert [v["is_default"] for v in listed] == [True, False, False]
    assert made["default_variant_id"] == listed[0]["id"]


def test_two_given_variants_with_one_sku_are_refused(admin: Caller) -> None:
    twice = [{"sku": "S", "name": "S"}, {"sku": "S", "name": "S"}]
    assert admin.post("/v1/products", product(variants=twice)).status_code == 422


def test_a_sku_is_taken_within_its_tenant_only(admin: Caller, stranger: Caller) -> None:
    admin.made("/v1/products", product(sku="SAME"))
    again = admin.post("/v1/products", product(sku="SAME"))
    assert (again.status_code, code_of(again)) == (409, "sku_taken")
    assert admin.post("/v1/products", product(variants=[{"sku": "SAME", "name": "x"}])).is_error
    stranger.made("/v1/products", product(sku="SAME"))


def test_a_refused_product_leaves_nothing_behind(admin: Caller) -> None:
    admin.made("/v1/products", product(sku="TAKEN"))
    fields = product(sku="NEW", variants=[{"sku": "TAKEN", "name": "x"}])
    assert code_of(admin.post("/v1/products", fields)) == "sku_taken"
    assert admin.get("/v1/products", params={"sku": "NEW"}).json()["data"] == []


def test_a_barcode_is_found_and_taken_once(admin: Caller) -> None:
    one = admin.made("/v1/products", product())
    path = f"/v1/variants/{one['default_variant_id']}"
    assert admin.patch(path, {"barcode": "4006381333931"}).json()["barcode"] == "4006381333931"
    found = admin.get("/v1/variants", params={"barcode": "4006381333931"}).json()["data"]
    assert [v["id"] for v in found] == [one["default_variant_id"]]
    more = {"sku": "OTHER", "name": "Other", "barcode": "4006381333931"}
    taken = admin.post(f"/v1/products/{one['id']}/variants", more)
    assert (taken.status_code, code_of(taken)) == (409, "barcode_taken")


@pytest.mark.parametrize("q", ["50%", "a_b", "a\\b", "MÜSLI", "x-12"])
def test_q_finds_parts_literally(admin: Caller, q: str) -> None:
    for name in ("Save 50% now", "a_b", "a\\b", "müsli", "500 now", "aXb"):
        admin.made("/v1/products", product(name=name))
    admin.made("/v1/products", product(sku="X-1234"))
    found = admin.get("/v1/products", params={"q": q}).json()["data"]
    assert len(found) == 1
    assert q.lower() in f"{found[0]['name']} {found[0]['sku']}".lower()


def test_filters_by_sku_and_status(admin: Caller) -> None:
    on, off = (admin.made("/v1/products", product()) for _ in range(2))
    assert admin.post(f"/v1/products/{off['id']}/disable").json()["status"] == "disabled"
    listed = admin.get("/v1/products", params={"status": "disabled"}).json()["data"]
    assert [p["id"] for p in listed] == [off["id"]]
    listed = admin.get("/v1/products", params={"sku": on["sku"]}).json()["data"]
    assert [p["id"] for p in listed] == [on["id"]]
    assert admin.get("/v1/products", params={"status": "gone"}).status_code == 422


def test_patch_changes_only_what_was_sent(admin: Caller) -> None:
    made = admin.made("/v1/products", product(description="old", metadata={"a": "1"}))
    changed = admin.patch(f"/v1/products/{made['id']}", {"description": None}).json()
    kept = ("sku", "name", "price", "metadata")
    assert {k: changed[k] for k in kept} == {k: made[k] for k in kept}
    assert changed["description"] is None
    assert changed["version"] == 2
    refused = admin.patch(f"/v1/products/{made['id']}", {"name": None, "status": "disabled"})
    assert pointers_of(refused) == {"/name", "/status"}


def test_a_patch_that_changes_nothing_keeps_the_version(admin: Caller) -> None:
    made = admin.made("/v1/products", product())
    answer = admin.patch(f"/v1/products/{made['id']}", {}, match='"v1"')
    assert answer.json() == made
    assert admin.patch(f"/v1/products/{made['id']}", {}, match='"v2"').status_code == 412


@pytest.mark.parametrize(
    ("price", "shown"),
    [("0", "0.00"), ("99999999999999.999999", "99999999999999.999999"), ("0.1250", "0.125")],
)
def test_prices_are_exact(admin: Caller, price: str, shown: str) -> None:
    made = admin.made("/v1/products", product(price=price))
    assert made["price"] == shown
    path = f"/v1/products/{made['id']}"
    assert admin.get(path).json()["price"] == shown
    assert admin.get("/v1/products").json()["data"][0]["price"] == shown


@pytest.mark.parametrize(
    "price",
    [7.5, 7, True, None, "", "-1", "1e3", "1.1234567", "123456789012345", "NaN", "\uff11", " 1"],
)
def test_other_prices_are_refused(admin: Caller, price: object) -> None:
    refused = admin.post("/v1/products", product(price=price))
    assert refused.status_code == 422
    assert pointers_of(refused) == {"/price"}


def _in_stock(admin: Caller) -> tuple[dict[str, Any], str]:
    made = admin.made("/v1/products", product())
    place = admin.made("/v1/warehouses", warehouse())
    return made, place["id"]


def test_stock_keeps_a_product_in_use(admin: Caller, engine: Engine) -> None:
    made, place = _in_stock(admin)
    level = put_level(engine, admin.tenant_id, place, made["default_variant_id"], 5)
    paths = [f"/v1/products/{made['id']}", f"/v1/variants/{made['default_variant_id']}"]
    for path in paths:
        refused = admin.post(f"{path}/disable")
        assert (refused.status_code, code_of(refused)) == (409, "in_use")
        assert refused.json()["details"]["references"] == [
            {
                "kind": "level",
                "warehouse_id": place,
                "variant_id": made["default_variant_id"],
                "on_hand": 5,
                "in_transit": 0,
            }
        ]
    empty_level(engine, admin.tenant_id, level)
    for path in paths:
        assert admin.post(f"{path}/disable").json()["status"] == "disabled"
    assert code_of(admin.delete(paths[0])) == "in_use"


def test_open_orders_keep_a_product_in_use_and_closed_ones_keep_it_from_deletion(
    admin: Caller, engine: Engine
) -> None:
    made, place = _in_stock(admin)
    buyer = admin.made("/v1/customers", {"name": "Ada"})
    order = put_order(
        engine,
        admin.tenant_id,
        customer_id=buyer["id"],
        variant_id=made["default_variant_id"],
        warehouse_id=place,
    )
    path = f"/v1/products/{made['id']}"
    refused = admin.post(f"{path}/disable")
    assert code_of(refused) == "in_use"
    assert [r["id"] for r in refused.json()["details"]["references"]] == [order]
    close_order(engine, admin.tenant_id, order)
    assert admin.post(f"{path}/disable").status_code == 200
    refused = admin.delete(path)
    assert code_of(refused) == "in_use"
    assert "disable" in refused.json()["detail"]


def test_disabling_a_product_reaches_its_variants(admin: Caller) -> None:
    made = admin.made("/v1/products", product())
    variant = f"/v1/variants/{made['default_variant_id']}"
    admin.post(f"/v1/products/{made['id']}/disable")
    assert admin.get(variant).json()["status"] == "disabled"
    assert code_of(admin.post(f"{variant}/enable")) == "product_disabled"
    refused = admin.post(f"/v1/products/{made['id']}/variants", {"sku": "LATE", "name": "Late"})
    assert code_of(refused) == "product_disabled"
    admin.post(f"/v1/products/{made['id']}/enable")
    assert admin.get(variant).json()["status"] == "active"


def test_an_unused_product_goes_with_its_variants(admin: Caller) -> None:
    made = admin.made("/v1/products", product())
    assert admin.delete(f"/v1/products/{made['id']}", match='"v1"').status_code == 204
    assert admin.get(f"/v1/products/{made['id']}").status_code == 404
    assert admin.get(f"/v1/variants/{made['default_variant_id']}").status_code == 404


def test_variants_of_an_unknown_product_are_not_an_empty_list(admin: Caller) -> None:
    unknown = "/v1/products/0199d3a0-0000-7000-8000-000000000001/variants"
    assert admin.get(unknown).status_code == 404
    assert admin.post(unknown, {"sku": "X", "name": "X"}).status_code == 404
