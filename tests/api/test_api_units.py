"""Units of measure over HTTP: what people count in, and base units behind the door."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, event

from tests.api.api_helpers import Caller, code_of, new_key, pointers_of, product, warehouse

BOX = "4006381333948"


@pytest.fixture
def item(admin: Caller) -> str:
    """A variant that is counted in pieces, boxes of 12 and pallets of 480."""
    for code in ("box", "pallet"):
        admin.made("/v1/units", {"code": code, "name": code.title()})
    variant: str = admin.made("/v1/products", product())["default_variant_id"]
    units = [
        {"unit": "box", "factor": 12, "barcode": BOX},
        {"unit": "pallet", "factor": 480},
    ]
    assert admin.put(f"/v1/variants/{variant}/units", {"units": units}).status_code == 200
    return variant


@pytest.fixture
def place(admin: Caller) -> str:
    """A warehouse."""
    made: str = admin.made("/v1/warehouses", warehouse())["id"]
    return made


def _line(place: str, item: str, quantity: object, unit: str | None = None, **more: Any) -> Any:
    return {
        "warehouse_id": place,
        "variant_id": item,
        "quantity": quantity,
        "unit": unit,
        **more,
    }


def _add(admin: Caller, *lines: Any) -> Any:
    answer = admin.post("/v1/inventory/stock/add", {"lines": lines})
    assert answer.status_code == 200, answer.text
    return answer.json()


def _level(admin: Caller, item: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = admin.get(
        "/v1/inventory/levels", params={"variant_id": item}
    ).json()["data"]
    return found[0]


def test_a_unit_is_made_read_edited_and_deleted(admin: Caller) -> None:
    made = admin.made("/v1/units", {"code": "kg", "name": "Kilo", "decimals": 3})
    path = f"/v1/units/{made['id']}"
    assert admin.get(path).json() == made
    changed = admin.patch(path, {"name": "Kilogram", "decimals": 2}, match='"v1"').json()
    assert (changed["name"], changed["decimals"], changed["version"]) == ("Kilogram", 2, 2)
    assert pointers_of(admin.patch(path, {"code": "g"})) == {"/code"}
    assert code_of(admin.post("/v1/units", {"code": "kg", "name": "x"})) == "code_taken"
    found = admin.get("/v1/units", params={"code": "kg"}).json()["data"]
    assert [unit["id"] for unit in found] == [made["id"]]
    assert admin.delete(path).status_code == 204
    assert admin.get("/v1/units").json()["data"] == []


def test_the_piece_is_built_in(admin: Caller) -> None:
    refused = admin.post("/v1/units", {"code": "piece", "name": "Piece"})
    assert (refused.status_code, pointers_of(refused)) == (422, {"/code"})
    variant = admin.made("/v1/products", product())["default_variant_id"]
    assert admin.get(f"/v1/variants/{variant}").json()["base_unit"] == "piece"
    shown = admin.get(f"/v1/variants/{variant}/units")
    assert shown.json() == {
        "variant_id": variant,
        "base_unit": "piece",
        "units": [],
        "version": 1,
    }
    assert shown.headers["ETag"] == '"v1"'


def test_the_units_of_a_variant_are_replaced_as_a_whole(admin: Caller, item: str) -> None:
    path = f"/v1/variants/{item}/units"
    before = admin.get(path)
    assert [(u["unit"], u["factor"]) for u in before.json()["units"]] == [
        ("box", 12),
        ("pallet", 480),
    ]
    data = {"units": [{"unit": "box", "factor": 10}]}
    assert admin.put(path, data, match='"v1"').status_code == 412
    after = admin.put(path, data, match=before.headers["ETag"])
    assert after.json()["units"] == [{"unit": "box", "factor": 10, "barcode": None}]
    assert after.headers["ETag"] == admin.get(f"/v1/variants/{item}").headers["ETag"]
    assert after.headers["ETag"] != before.headers["ETag"]


@pytest.mark.parametrize(
    ("data", "pointer"),
    [
        ({"units": [{"unit": "crate", "factor": 2}]}, "/units/0/unit"),
        ({"units": [{"unit": "piece", "factor": 2}], "base_unit": "box"}, "/units/0/unit"),
        ({"base_unit": "crate"}, "/base_unit"),
        ({"units": [{"unit": "box", "factor": 0}]}, "/units/0/factor"),
        ({"units": [{"unit": "box", "factor": 1.5}]}, "/units/0/factor"),
        ({"units": [{"unit": "box", "factor": 2, "barcode": "4006381333949"}]}, "/units/0/barcode"),
        ({"units": [{"unit": "box", "factor": 2}, {"unit": "box", "factor": 3}]}, ""),
    ],
)
def test_units_that_make_no_sense(admin: Caller, item: str, data: Any, pointer: str) -> None:
    refused = admin.put(f"/v1/variants/{item}/units", data)
    assert (refused.status_code, pointers_of(refused)) == (422, {pointer})


def test_a_unit_in_use_stays(admin: Caller, item: str) -> None:
    gram = admin.made("/v1/units", {"code": "g", "name": "Gram"})
    flour = {"sku": "FLOUR", "name": "Flour", "base_unit": "g"}
    made = admin.made("/v1/products", product(variants=[flour]))
    variant = made["default_variant_id"]
    assert admin.get(f"/v1/variants/{variant}").json()["base_unit"] == "g"
    box = admin.get("/v1/units", params={"code": "box"}).json()["data"][0]
    for unit, user in ((gram, variant), (box, item)):
        refused = admin.delete(f"/v1/units/{unit['id']}")
        assert (refused.status_code, code_of(refused)) == (409, "in_use")
        references = refused.json()["details"]["references"]
        assert references == [{"kind": "variant", "id": user}]
    assert admin.delete(f"/v1/products/{made['id']}").status_code == 204
    assert admin.delete(f"/v1/units/{gram['id']}").status_code == 204


def test_an_unknown_base_unit_is_named(admin: Caller) -> None:
    one, two = ({"sku": f"S{n}", "name": "x", "base_unit": u} for n, u in enumerate(["piece", "?"]))
    refused = admin.post("/v1/products", product(variants=[one, two]))
    assert (refused.status_code, pointers_of(refused)) == (422, {"/variants/1/base_unit"})


def test_every_stock_command_takes_units(admin: Caller, item: str, place: str) -> None:
    _add(admin, _line(place, item, 10, "box", unit_cost="6.00"))
    other = admin.made("/v1/warehouses", warehouse())["id"]
    commands: list[tuple[str, dict[str, Any]]] = [
        ("deduct", {"lines": [_line(place, item, "0.5", "box")]}),
        ("adjust", {"reason": "x", "lines": [_line(place, item, "-1.5", "box")]}),
        (
            "set",
            {
                "reason": "x",
                "lines": [_line(place, item, 7, "box", expected_quantity="8")],
            },
        ),
        (
            "move",
            {
                "source": "available",
                "target": "damaged",
                "reason": "x",
                "lines": [_line(place, item, 1, "box")],
            },
        ),
        ("transfer", {"lines": [_line(place, item, "0.25", "box", to_warehouse_id=other)]}),
    ]
    for name, body in commands:
        answer = admin.post(f"/v1/inventory/stock/{name}", body)
        assert answer.status_code == 200, (name, answer.text)
    rows = admin.get("/v1/inventory/levels", params={"variant_id": item}).json()["data"]
    left = {row["warehouse_id"]: (row["available"], row["damaged"]) for row in rows}
    assert left == {place: (69, 12), other: (3, 0)}


def test_a_line_at_the_top_may_name_its_unit(admin: Caller, item: str, place: str) -> None:
    body = _line(place, item, "2", "pallet", unit_cost="480.00")
    answer = admin.post("/v1/inventory/stock/add", body)
    assert answer.json()["movements"][0]["quantity_change"] == 960
    assert _level(admin, item)["average_cost"] == "1.00"


def test_a_cost_that_does_not_divide_loses_nothing(admin: Caller, item: str, place: str) -> None:
    _add(
        admin,
        _line(place, item, 10, "box", unit_cost="10.00"),
        _line(place, item, 1, unit_cost="1"),
    )
    level = _level(admin, item)
    assert (level["on_hand"], level["total_value"]) == (121, "101.00")


def test_what_does_not_convert_is_refused_and_leaves_nothing(
    admin: Caller, item: str, place: str
) -> None:
    fits = _line(place, item, 1, "box", unit_cost="1")
    for quantity, unit, pointer, code in (
        ("0.1", "box", "/lines/1/quantity", "not_whole"),
        (1, "crate", "/lines/1/unit", "unknown_unit"),
        ("1", None, "/lines/1/quantity", "int_type"),
    ):
        wrong = _line(place, item, quantity, unit, unit_cost="1")
        refused = admin.post("/v1/inventory/stock/add", {"lines": [fits, wrong]})
        assert refused.status_code == 422
        assert [(e["pointer"], e["code"]) for e in refused.json()["errors"]] == [(pointer, code)]
    assert admin.get("/v1/inventory/levels").json()["data"] == []


def test_grams_carry_kilograms(admin: Caller, place: str) -> None:
    for code in ("g", "kg"):
        admin.made("/v1/units", {"code": code, "name": code})
    flour = {"sku": "FLOUR", "name": "Flour", "base_unit": "g"}
    variant = admin.made("/v1/products", product(variants=[flour]))["default_variant_id"]
    data = {"base_unit": "g", "units": [{"unit": "kg", "factor": 1000}]}
    assert admin.put(f"/v1/variants/{variant}/units", data).status_code == 200
    _add(admin, _line(place, variant, "2.5", "kg", unit_cost="1.20"))
    level = _level(admin, variant)
    assert (level["available"], level["total_value"]) == (2500, "3.00")


def test_another_factor_changes_no_history_but_another_base_unit_is_refused(
    admin: Caller, item: str, place: str
) -> None:
    _add(admin, _line(place, item, 1, "box", unit_cost="12"))
    path = f"/v1/variants/{item}/units"
    ten = {"units": [{"unit": "box", "factor": 10}]}
    assert admin.put(path, ten).status_code == 200
    assert _level(admin, item)["available"] == 12
    _add(admin, _line(place, item, 1, "box", unit_cost="10"))
    assert _level(admin, item)["available"] == 22
    refused = admin.put(path, {"base_unit": "pallet"})
    assert (refused.status_code, code_of(refused)) == (409, "in_use")
    assert admin.get(path).json()["units"][0]["factor"] == 10


def test_a_repeat_after_another_factor_is_answered_as_before(
    admin: Caller, item: str, place: str
) -> None:
    key, body = new_key(), {"lines": [_line(place, item, 1, "box", unit_cost="1")]}
    first = admin.post("/v1/inventory/stock/add", body, key=key)
    admin.put(f"/v1/variants/{item}/units", {"units": [{"unit": "box", "factor": 10}]})
    again = admin.post("/v1/inventory/stock/add", body, key=key)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.content == first.content
    assert _level(admin, item)["available"] == 12


def test_lines_without_units_read_nothing_and_units_are_read_at_once(
    admin: Caller, engine: Engine, item: str, place: str
) -> None:
    statements: list[str] = []

    def note(*given: Any) -> None:
        if "variant_units" in given[2]:
            statements.append(given[2])

    event.listen(engine, "before_cursor_execute", note)
    try:
        _add(admin, *(_line(place, item, n, unit_cost="1") for n in range(1, 20)))
        assert statements == []
        _add(admin, *(_line(place, item, n, "box", unit_cost="1") for n in range(1, 20)))
        assert len(statements) == 1
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_the_barcode_of_a_box_finds_the_variant_and_the_box(admin: Caller, item: str) -> None:
    admin.patch(f"/v1/variants/{item}", {"barcode": "4006381333931"})
    for barcode, scanned in (
        (BOX, {"unit": "box", "factor": 12}),
        ("4006381333931", {"unit": "piece", "factor": 1}),
    ):
        (found,) = admin.get("/v1/variants", params={"barcode": barcode}).json()["data"]
        assert (found["id"], found["scanned"]) == (item, scanned)
    assert admin.get("/v1/variants").json()["data"][0]["scanned"] is None
    assert admin.get("/v1/variants", params={"barcode": "nobody"}).json()["data"] == []


def test_a_barcode_names_one_thing(admin: Caller, stranger: Caller, item: str) -> None:
    other = admin.made("/v1/products", product())
    variant = f"/v1/variants/{other['default_variant_id']}"
    more = {"sku": "MORE", "name": "More", "barcode": BOX}
    boxes = {"units": [{"unit": "box", "factor": 6, "barcode": BOX}]}
    for taken in (
        admin.patch(variant, {"barcode": BOX}),
        admin.post(f"/v1/products/{other['id']}/variants", more),
        admin.put(f"{variant}/units", boxes),
    ):
        assert (taken.status_code, code_of(taken)) == (409, "barcode_taken")
    assert admin.patch(variant, {"barcode": "FREE"}).status_code == 200
    own = {"units": [{"unit": "box", "factor": 6, "barcode": "FREE"}]}
    assert code_of(admin.put(f"/v1/variants/{item}/units", own)) == "barcode_taken"
    stranger.made("/v1/products", product(variants=[more]))


def test_of_two_who_take_a_barcode_at_once_one_gets_it(admin: Caller, item: str) -> None:
    """One for a variant, one for a package: no unique index sees both."""
    other = admin.made("/v1/products", product())["default_variant_id"]
    for n in range(15):
        code = f"RACE-{n}"
        package = {"units": [{"unit": "box", "factor": 12, "barcode": code}]}
        with ThreadPoolExecutor(2) as threads:
            one = threads.submit(admin.put, f"/v1/variants/{item}/units", package)
            two = threads.submit(admin.patch, f"/v1/variants/{other}", {"barcode": code})
        assert sorted((one.result().status_code, two.result().status_code)) == [200, 409]


def test_barcodes_are_looked_at_where_they_are_given(admin: Caller) -> None:
    wrong = {"sku": "W", "name": "W", "barcode": "4006381333932"}
    made = admin.made("/v1/products", product())
    for refused in (
        admin.post(f"/v1/products/{made['id']}/variants", wrong),
        admin.patch(f"/v1/variants/{made['default_variant_id']}", {"barcode": "4006381333932"}),
    ):
        assert refused.status_code == 422
        (error,) = refused.json()["errors"]
        assert (error["pointer"], error["code"]) == ("/barcode", "check_digit")
        assert "1" in error["message"]
