"""The summary over HTTP: the fields of the first specification, their formula, their sums."""

from decimal import Decimal
from uuid import uuid4

from tests.api.api_helpers import Caller, pointers_of
from tests.api.stock_room import Room

SUMMARY = "/v1/inventory/summary"


def test_it_shows_what_lies_where_and_how_healthy_it_is(admin: Caller) -> None:
    room = Room(admin).open("cup", "jug", "pot", houses=("main", "side"))
    room.add("cup", 10, cost="2.50")
    room.add("jug", 4, cost="0.333333")
    room.add("cup", 3, house="side", cost="2.00")
    room.add("pot", 1, house="side", cost="9.00")
    room.take("pot", 1, house="side")
    shown = admin.get(SUMMARY).json()
    parts = {part["name"]: part for part in shown["warehouses"]}
    assert shown["object"] == "inventory_summary"
    assert shown["currency"] == "EUR"
    assert (shown["total_products"], shown["total_levels"]) == (3, 4)
    assert (shown["low_stock_count"], shown["out_of_stock_count"]) == (0, 1)
    assert shown["health_score"] == 75
    assert (shown["total_available_units"], shown["total_reserved_units"]) == (17, 0)
    assert shown["total_on_hand_units"] == 17
    assert shown["total_stock_value"] == "32.333332"
    assert shown["in_transit_value"] == "0.00"
    assert parts["main"]["total_stock_value"] == "26.333332"
    assert parts["main"]["health_score"] == 100
    assert (parts["side"]["total_products"], parts["side"]["health_score"]) == (2, 50)
    assert {part["warehouse_id"] for part in parts.values()} == {
        house["id"] for house in room.houses.values()
    }


def test_its_numbers_are_those_of_the_lists(admin: Caller) -> None:
    room = Room(admin).open("cup", "jug")
    room.add("cup", 7, cost="1.234567")
    room.add("jug", 2, cost="3.10")
    room.take("jug", 2)
    shown = admin.get(SUMMARY).json()
    levels = room.list("/v1/inventory/levels")
    moves = room.list("/v1/inventory/movements")
    value = Decimal(shown["total_stock_value"])
    assert value == sum(
        Decimal(row["total_value"]) + Decimal(row["in_transit_value"]) for row in levels
    )
    assert value == sum(Decimal(row["value_change"]) for row in moves)
    assert shown["total_on_hand_units"] == sum(row["quantity_change"] for row in moves)
    out = room.list("/v1/inventory/levels", out_of_stock="true")
    assert shown["out_of_stock_count"] == len(out) == 1


def test_one_warehouse(admin: Caller, stranger: Caller) -> None:
    room = Room(admin).open("cup", houses=("main", "side"))
    room.add("cup", 3, house="side")
    side = room.houses["side"]["id"]
    shown = admin.get(SUMMARY, params={"warehouse_id": side}).json()
    assert [part["warehouse_id"] for part in shown["warehouses"]] == [side]
    assert shown["total_available_units"] == 3
    for caller, id_ in ((admin, str(uuid4())), (stranger, side)):
        answer = caller.get(SUMMARY, params={"warehouse_id": id_})
        assert (answer.status_code, pointers_of(answer)) == (422, {"?warehouse_id"})
    empty = stranger.get(SUMMARY).json()
    assert (empty["total_levels"], empty["health_score"], empty["warehouses"]) == (0, 100, [])
    assert empty["total_stock_value"] == "0.00"
