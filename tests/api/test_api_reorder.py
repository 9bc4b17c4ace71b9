"""Reorder settings and suppliers of variants over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from db import reorder
from db.engine import transaction
from tests.api.api_helpers import Caller, code_of, new_key, pointers_of, product, warehouse
from tests.api.conftest import MakeCaller
from tests.support import side_by_side

PATH = "/v1/inventory/reorder-settings"


@pytest.fixture
def place(admin: Caller) -> dict[str, str]:
    """A warehouse and a variant of the admin's tenant, without a level."""
    variant = admin.made("/v1/products", product())["default_variant_id"]
    return {
        "warehouse_id": admin.made("/v1/warehouses", warehouse())["id"],
        "variant_id": variant,
    }


def _put(caller: Caller, *entries: dict[str, Any], match: str = "*", **more: Any) -> Any:
    return caller.put(PATH, {"settings": list(entries)}, match=match, **more)


def test_settings_of_a_level_that_does_not_exist_make_it_without_stock(
    admin: Caller, place: dict[str, str]
) -> None:
    given = {
        "reorder_point": 20,
        "reorder_quantity": 50,
        "max_stock_level": 200,
        "bin_location": "B-07",
        "aisle": "4",
        "shelf": "2",
    }
    answer = _put(admin, place | given, match='"v1"')
    assert answer.status_code == 200, answer.text
    (shown,) = answer.json()["data"]
    assert shown | given | place == shown
    assert shown["version"] == 2
    level = admin.get(f"/v1/inventory/levels/{shown['id']}").json()
    assert level | given | place == level
    assert (level["on_hand"], level["sequence"], level["in_transit"]) == (0, 0, 0)
    one = admin.get(f"{PATH}/{shown['id']}")
    assert (one.json(), one.headers["ETag"]) == (shown, '"v2"')
    again = admin.get(f"{PATH}/{shown['id']}", headers={"If-None-Match": '"v2"'})
    assert again.status_code == 304


def test_a_put_replaces_everything_and_a_single_level_may_stand_at_the_top(
    admin: Caller, place: dict[str, str]
) -> None:
    _put(admin, place | {"reorder_point": 20, "aisle": "4"})
    answer = admin.put(PATH, place | {"shelf": "9"}, match='"v2"')
    (shown,) = answer.json()["data"]
    assert (shown["reorder_point"], shown["aisle"], shown["shelf"]) == (None, None, "9")
    assert admin.get(PATH).json()["data"] == []


def test_movements_do_not_make_an_edit_stale_but_other_edits_do(
    admin: Caller, place: dict[str, str]
) -> None:
    line = place | {"quantity": 5, "unit_cost": "1.00"}
    assert admin.post("/v1/inventory/stock/add", {"lines": [line]}).status_code == 200
    (shown,) = _put(admin, place | {"reorder_point": 2}, match='"v1"').json()["data"]
    path = f"/v1/inventory/levels/{shown['id']}"
    before = admin.get(path).json()
    admin.post("/v1/inventory/stock/deduct", {"lines": [place | {"quantity": 1}]})
    assert admin.get(path).json()["version"] == before["version"] + 1
    assert _put(admin, place | {"reorder_point": 3}, match='"v2"').status_code == 200
    stale = _put(admin, place | {"reorder_point": 4}, match='"v2"')
    assert (stale.status_code, code_of(stale)) == (412, "stale_version")
    assert stale.json()["details"]["current_version"] == 3
    after = admin.get(path).json()
    assert (after["available"], after["reorder_point"]) == (4, 3)
    assert admin.send("PUT", PATH, json={"settings": [place]}).status_code == 428


def test_many_levels_are_set_together_each_with_its_own_version(
    admin: Caller, place: dict[str, str]
) -> None:
    other = place | {"lot": "L1"}
    both = _put(admin, place | {"reorder_point": 1}, other | {"reorder_point": 2, "version": 1})
    assert [row["reorder_point"] for row in both.json()["data"]] == [1, 2]
    stale = _put(admin, place | {"reorder_point": 7}, other | {"version": 1})
    assert stale.status_code == 412
    points = sorted(row["reorder_point"] for row in admin.get(PATH).json()["data"])
    assert points == [1, 2], "all or none"
    tagged = _put(admin, place, other, match='"v2"')
    assert (tagged.status_code, pointers_of(tagged)) == (422, {"/settings"})


@pytest.mark.parametrize("missing", ["warehouse_id", "variant_id"])
def test_unknown_and_foreign_items_are_not_found_and_nothing_is_set(
    admin: Caller, stranger: Caller, place: dict[str, str], missing: str
) -> None:
    for caller, bad in ((admin, {missing: str(uuid4())}), (stranger, {})):
        answer = _put(caller, place | bad | {"reorder_point": 1})
        assert (answer.status_code, code_of(answer)) == (404, "unknown_item")
    both = _put(admin, place | {"reorder_point": 1}, place | {missing: str(uuid4())})
    assert both.status_code == 404
    assert admin.get("/v1/inventory/levels").json()["data"] == []


@pytest.mark.parametrize(
    ("entry", "pointer"),
    [
        ({"reorder_point": 10, "max_stock_level": 9}, "/settings/0/max_stock_level"),
        ({"reorder_point": -1}, "/settings/0/reorder_point"),
        ({"reorder_quantity": 0}, "/settings/0/reorder_quantity"),
        ({"reorder_point": "5"}, "/settings/0/reorder_point"),
        ({"reorder_point": 2**53 + 1}, "/settings/0/reorder_point"),
        ({"colour": "red"}, "/settings/0/colour"),
    ],
)
def test_wrong_fields_are_named(
    admin: Caller, place: dict[str, str], entry: dict[str, Any], pointer: str
) -> None:
    answer = _put(admin, place | entry)
    assert (answer.status_code, pointers_of(answer)) == (422, {pointer})


def test_a_level_stands_in_a_request_once(admin: Caller, place: dict[str, str]) -> None:
    assert _put(admin, place, place).status_code == 422
    assert _put(admin, *(place | {"lot": str(n)} for n in range(501))).status_code == 422


def test_a_keyed_put_is_replayed(admin: Caller, place: dict[str, str]) -> None:
    key = new_key()
    first, again = (
        _put(admin, place | {"reorder_point": 1}, match='"v1"', key=key) for _ in range(2)
    )
    assert (first.status_code, again.content) == (200, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    other = _put(admin, place | {"reorder_point": 2}, key=key)
    assert code_of(other) == "idempotency_key_reuse"


@pytest.mark.parametrize("exists", [True, False])
def test_of_racing_edits_exactly_one_wins(
    admin: Caller, place: dict[str, str], monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    if exists:
        _put(admin, place)
    match = '"v2"' if exists else '"v1"'
    monkeypatch.setattr("db.reorder._check_version", side_by_side(reorder._check_version))

    def edit(point: int) -> int:
        return int(_put(admin, place | {"reorder_point": point}, match=match).status_code)

    with ThreadPoolExecutor(3) as threads:
        assert sorted(threads.map(edit, range(3))) == [200, 412, 412]


def test_every_change_is_an_event_with_what_was_set(
    admin: Caller, place: dict[str, str], engine: Engine
) -> None:
    for point in (1, 2):
        _put(admin, place | {"reorder_point": point})
    with transaction(engine, admin.tenant_id) as session:
        found = session.execute(
            text(
                "SELECT kind, subject_sequence, data->>'reorder_point' FROM events"
                " WHERE subject_kind = 'level_settings' ORDER BY subject_sequence"
            )
        ).all()
    expected = [("level.settings_changed", n, str(n)) for n in (1, 2)]
    assert [tuple(row) for row in found] == expected


def test_only_planners_set(
    admin: Caller, make_caller: MakeCaller, tenant: Any, place: dict[str, str]
) -> None:
    assert _put(make_caller(tenant, "manager"), place).status_code == 200
    for role in ("viewer", "sales", "warehouse"):
        assert code_of(_put(make_caller(tenant, role), place)) == "permission_denied"


def _suppliers(caller: Caller, count: int) -> list[str]:
    return [caller.made("/v1/suppliers", {"name": f"S{n}"})["id"] for n in range(count)]


def test_suppliers_of_a_variant_are_replaced_with_the_variants_version(
    admin: Caller, place: dict[str, str]
) -> None:
    path = f"/v1/variants/{place['variant_id']}/suppliers"
    first, second = _suppliers(admin, 2)
    assert admin.get(path).json()["suppliers"] == []
    given = [
        {
            "supplier_id": first,
            "is_preferred": False,
            "lead_time_days": 3,
            "minimum_quantity": 10,
            "pack_size": 5,
        },
        {
            "supplier_id": second,
            "is_preferred": True,
            "lead_time_days": 7,
            "minimum_quantity": 1,
            "pack_size": 12,
        },
    ]
    put = admin.put(path, {"suppliers": given}, match='"v1"')
    assert (put.status_code, put.headers["ETag"]) == (200, '"v2"')
    assert put.json()["suppliers"] == [given[1], given[0]]
    assert admin.get(path).json() == put.json()
    assert admin.put(path, {"suppliers": []}, match='"v1"').status_code == 412
    assert admin.get(path).json() == put.json()
    assert admin.put(path, {"suppliers": given[:1]}, match='"v2"').json()["suppliers"] == given[:1]


def test_wrong_suppliers_are_refused(
    admin: Caller, stranger: Caller, place: dict[str, str]
) -> None:
    path = f"/v1/variants/{place['variant_id']}/suppliers"
    first, second = _suppliers(admin, 2)
    for entries in (
        [{"supplier_id": first}, {"supplier_id": first}],
        [{"supplier_id": id_, "is_preferred": True} for id_ in (first, second)],
        [{"supplier_id": first, "pack_size": 0}],
        [{"supplier_id": first, "lead_time_days": -1}],
    ):
        assert admin.put(path, {"suppliers": entries}).status_code == 422
    for id_ in (str(uuid4()), _suppliers(stranger, 1)[0]):
        answer = admin.put(path, {"suppliers": [{"supplier_id": id_}]})
        assert (answer.status_code, code_of(answer)) == (404, "unknown_item")
        supplier = {"supplier": {"supplier_id": id_, "lead_time_days": 1}}
        assert code_of(_put(admin, place | supplier)) == "unknown_item"
    assert admin.get(path).json()["suppliers"] == []


def test_settings_may_name_the_preferred_supplier(admin: Caller, place: dict[str, str]) -> None:
    path = f"/v1/variants/{place['variant_id']}/suppliers"
    first, second = _suppliers(admin, 2)
    known = {"supplier_id": first, "is_preferred": True, "pack_size": 6, "lead_time_days": 1}
    admin.put(path, {"suppliers": [known]})
    for id_, days in ((second, 4), (first, 9)):
        supplier = {"supplier": {"supplier_id": id_, "lead_time_days": days}}
        assert _put(admin, place | supplier).status_code == 200
        shown = admin.get(path).json()["suppliers"]
        assert [s["is_preferred"] for s in shown] == [True] + [False] * (len(shown) - 1)
        assert (shown[0]["supplier_id"], shown[0]["lead_time_days"]) == (id_, days)
    assert shown[0]["pack_size"] == 6
    _put(admin, place)
    assert admin.get(path).json()["suppliers"] == shown
    two = [
        place | {"lot": lot, "supplier": {"supplier_id": first, "lead_time_days": days}}
        for lot, days in (("a", 1), ("b", 2))
    ]
    assert _put(admin, *two).status_code == 422


def test_a_supplier_of_a_variant_is_disabled_not_deleted_and_a_variant_takes_its_suppliers_along(
    admin: Caller,
) -> None:
    made = admin.made("/v1/products", product())
    (supplier,) = _suppliers(admin, 1)
    path = f"/v1/variants/{made['default_variant_id']}/suppliers"
    admin.put(path, {"suppliers": [{"supplier_id": supplier}]})
    refused = admin.delete(f"/v1/suppliers/{supplier}")
    assert (refused.status_code, code_of(refused)) == (409, "in_use")
    assert admin.delete(f"/v1/products/{made['id']}").status_code == 204
    assert admin.delete(f"/v1/suppliers/{supplier}").status_code == 204
