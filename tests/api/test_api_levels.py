"""Levels over HTTP: filters, orders, cursors, and levels as they were."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from db.engine import transaction
from tests.api.api_helpers import Caller, code_of, pointers_of
from tests.api.stock_room import Room

LEVELS = "/v1/inventory/levels"


@pytest.fixture
def room(admin: Caller) -> Room:
    """Four products, two of them in both warehouses, one of them sold out in one."""
    room = Room(admin).open("cup", "jug", "pot", "pan", houses=("main", "side"))
    for n, name in enumerate(("cup", "jug", "pot", "pan")):
        room.add(name, 10 * (n + 1), cost=f"{4 - n}.50")
    for name in ("cup", "jug"):
        room.add(name, 3, house="side")
    room.take("jug", 3, house="side")
    return room


def _names(room: Room, rows: list[dict[str, Any]]) -> list[str]:
    """Product and warehouse of each level."""
    variants = {room.variant(name): name for name in room.products}
    houses = {house["id"]: name for name, house in room.houses.items()}
    return [f"{variants[row['variant_id']]} {houses[row['warehouse_id']]}" for row in rows]


def _put(engine: Engine, caller: Caller, level_id: str, **columns: Any) -> None:
    """Set what no command sets yet."""
    assignments = ", ".join(f"{name} = :{name}" for name in columns)
    with transaction(engine, caller.tenant_id) as session:
        session.execute(
            text(f"UPDATE inventory_levels SET {assignments} WHERE id = :id"),  # noqa: S608
            {"id": level_id, **columns},
        )


def test_filters_by_what_a_level_is_of(admin: Caller, room: Room) -> None:
    cup, main = room.products["cup"], room.houses["main"]["id"]
    variant = admin.get(f"/v1/variants/{room.variant('cup')}").json()
    barcode = {"barcode": f"B-{uuid4().hex[:12]}"}
    assert admin.patch(f"/v1/variants/{variant['id']}", barcode).status_code == 200
    for params, expected in [
        ({}, ["cup main", "jug main", "pot main", "pan main", "cup side", "jug side"]),
        ({"warehouse_id": room.houses["side"]["id"]}, ["cup side", "jug side"]),
        ({"variant_id": room.variant("cup")}, ["cup main", "cup side"]),
        ({"product_id": cup["id"]}, ["cup main", "cup side"]),
        ({"sku": variant["sku"]}, ["cup main", "cup side"]),
        (barcode, ["cup main", "cup side"]),
        ({"sku": variant["sku"], "warehouse_id": main}, ["cup main"]),
        ({"sku": variant["sku"], "product_id": room.products["jug"]["id"]}, []),
        ({"sku": "nobody-has-this"}, []),
        ({"out_of_stock": "true"}, ["jug side"]),
        ({"out_of_stock": "false", "warehouse_id": room.houses["side"]["id"]}, ["cup side"]),
        ({"lot": "L1"}, []),
    ]:
        assert _names(room, room.list(LEVELS, **params)) == expected, params


def test_low_stock_is_at_or_below_the_reorder_point(
    admin: Caller, engine: Engine, room: Room
) -> None:
    ids = {name: row["id"] for name, row in zip(
        _names(room, room.list(LEVELS)), room.list(LEVELS), strict=True
    )}  # fmt: skip
    for name, point in (("cup main", 10), ("pot main", 29), ("jug side", 5)):
        _put(engine, admin, ids[name], reorder_point=point)
    low = room.list(LEVELS, low_stock="true")
    assert _names(room, low) == ["cup main", "jug side"]
    assert _names(room, room.list(LEVELS, low_stock="true", out_of_stock="false")) == ["cup main"]
    assert len(room.list(LEVELS, low_stock="false")) == 4


def test_levels_that_changed_since(room: Room) -> None:
    before = max(row["updated_at"] for row in room.list(LEVELS))
    room.add("pan", 1)
    changed = room.list(LEVELS, updated_from=before)
    assert "pan main" in _names(room, changed)
    assert len(changed) == 2  # The one that was last before has exactly that time.


def _places(engine: Engine, admin: Caller, room: Room) -> list[str]:
    """Give every level a place, some of it missing; gives the ids in their order."""
    rows = room.list(LEVELS)
    places: list[tuple[str | None, str | None, str | None]] = [
        ("B", "2", "x"), ("A", "1", None), (None, None, None),
        ("A", "1", "b"), ("A", "0", "z"), ("A", "1", "b"),
    ]  # fmt: skip
    for row, (aisle, shelf, bin_) in zip(rows, places, strict=True):
        _put(engine, admin, row["id"], aisle=aisle, shelf=shelf, bin_location=bin_)
    keyed = [
        (row["warehouse_id"], *(part or "" for part in place), row["id"])
        for row, place in zip(rows, places, strict=True)
    ]
    return [key[-1] for key in sorted(keyed)]


def test_the_order_of_places_is_that_of_a_walk_through_the_warehouse(
    admin: Caller, engine: Engine, room: Room
) -> None:
    expected = _places(engine, admin, room)
    assert [row["id"] for row in room.list(LEVELS, sort="place")] == expected
    assert [row["id"] for row in room.list(LEVELS, sort="-place")] == expected[::-1]
    main = room.list(LEVELS, sort="place", warehouse_id=room.houses["main"]["id"])
    assert [row["aisle"] for row in main] == [None, "A", "A", "B"]


def test_filters_by_place(admin: Caller, engine: Engine, room: Room) -> None:
    _places(engine, admin, room)
    main = room.houses["main"]["id"]
    for params, expected in [
        ({"aisle": "A"}, ["jug main", "pan main", "cup side", "jug side"]),
        ({"aisle": "A", "warehouse_id": main}, ["jug main", "pan main"]),
        ({"aisle": "A", "shelf": "1"}, ["jug main", "pan main", "jug side"]),
        ({"shelf": "0"}, ["cup side"]),
        ({"bin_location": "b"}, ["pan main", "jug side"]),
        ({"bin_location": "b", "warehouse_id": main}, ["pan main"]),
        ({"aisle": "a"}, []),
    ]:
        assert _names(room, room.list(LEVELS, **params)) == expected, params


def test_long_places_still_have_a_next_page(admin: Caller, engine: Engine, room: Room) -> None:
    for row in room.list(LEVELS):
        _put(engine, admin, row["id"], aisle="ä" * 200, shelf="ö" * 200, bin_location="ü" * 200)
    assert len(room.list(LEVELS, sort="place")) == 6


def test_orders_by_quantity_and_value(room: Room) -> None:
    rows = room.list(LEVELS)
    for sort in ("available", "total_value"):
        expected = sorted(rows, key=lambda row, by=sort: (float(row[by]), row["id"]))  # type: ignore[misc]
        assert [r["id"] for r in room.list(LEVELS, sort=sort)] == [r["id"] for r in expected]
        newest = [r["id"] for r in room.list(LEVELS, sort=f"-{sort}")]
        assert newest == [r["id"] for r in expected[::-1]]
    assert [r["id"] for r in room.list(LEVELS, sort="-id")] == [r["id"] for r in rows[::-1]]
    assert room.list(LEVELS, sort="created_at") == rows


@pytest.mark.parametrize("sort", ["id", "place", "available", "total_value"])
def test_a_cursor_belongs_to_its_order_filter_and_moment(
    sort: str, admin: Caller, room: Room
) -> None:
    first = admin.get(LEVELS, params={"limit": 1, "sort": sort}).json()
    for params in (
        {"sort": f"-{sort}"},
        {"sort": "place" if sort != "place" else "id"},
        {"sort": sort, "out_of_stock": "false"},
        {"sort": sort, "warehouse_id": room.houses["main"]["id"]},
        {"sort": sort, "as_of": "2026-01-01"},
    ):
        if sort in {"available", "total_value"} and "as_of" in params:
            continue
        answer = admin.get(LEVELS, params={**params, "cursor": first["next_cursor"]})
        assert (answer.status_code, code_of(answer)) == (400, "bad_cursor"), params
    more = admin.get(LEVELS, params={"sort": sort, "cursor": first["next_cursor"]})
    assert more.status_code == 200


@pytest.mark.parametrize("sort", ["id", "place", "-place"])
def test_pages_are_stable_while_levels_come_and_move(sort: str, room: Room) -> None:
    """Stable orders: what was there at the start is seen exactly once."""
    there = [row["id"] for row in room.list(LEVELS, sort=sort)]
    seen: list[str] = []
    cursor: str | None = None
    for n in range(20):
        more = {"cursor": cursor} if cursor else {}
        page = room.caller.get(LEVELS, params={"limit": 1, "sort": sort, **more}).json()
        seen += [row["id"] for row in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        room.open(f"new {n}", houses=())
        if n < 3:
            room.add(f"new {n}", 5)
            room.add("cup", 1)
            room.take("pan", 1)
    assert [id_ for id_ in seen if id_ in there] == there
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"sort": "updated_at"}, "?sort"),
        ({"as_of": "yesterday"}, "?as_of"),
        ({"as_of": "2026-13-01"}, "?as_of"),
        ({"as_of": "-1"}, "?as_of"),
        ({"as_of": "99999999999999999999"}, "?as_of"),
        ({"as_of": str(2**53)}, "?as_of"),
        ({"as_of": "2026-01-01", "low_stock": "true"}, "?low_stock"),
        ({"as_of": "2026-01-01", "out_of_stock": "false"}, "?out_of_stock"),
        ({"as_of": "7", "updated_from": "2026-01-01T00:00:00Z"}, "?updated_from"),
        ({"as_of": "2026-01-01", "sort": "-available"}, "?sort"),
    ],
)
def test_wrong_parameters_are_named(admin: Caller, params: dict[str, str], pointer: str) -> None:
    answer = admin.get(LEVELS, params=params)
    assert (answer.status_code, pointers_of(answer)) == (422, {pointer}), answer.text


def test_levels_as_of_a_business_date(admin: Caller) -> None:
    room = Room(admin).open("cup", "jug")
    room.add("cup", 10, cost="2.00", occurred_at="2026-03-01T22:59:00Z")
    room.take("cup", 4, occurred_at="2026-03-01T23:30:00Z")  # The next day in Berlin.
    room.add("jug", 5, occurred_at="2026-03-05T10:00:00Z")

    def then(day: str) -> list[tuple[str, int, int, str, str | None]]:
        rows = room.list(LEVELS, as_of=day)
        assert {row["object"] for row in rows} <= {"inventory_level_as_of"}
        assert {row["as_of"] for row in rows} <= {day}
        variants = {room.variant(name): name for name in room.products}
        return [
            (
                variants[row["variant_id"]],
                row["movements"],
                row["on_hand"],
                row["total_value"],
                row["average_cost"],
            )
            for row in rows
        ]

    nothing = ("jug", 0, 0, "0.00", None)
    assert then("2026-02-28") == [("cup", 0, 0, "0.00", None), nothing]
    assert then("2026-03-01") == [("cup", 1, 10, "20.00", "2.00"), nothing]
    assert then("2026-03-02") == [("cup", 2, 6, "12.00", "2.00"), nothing]
    room.take("cup", 1, occurred_at="2026-02-28T10:00:00Z")  # Dated back, before goods came in.
    assert then("2026-02-28") == [("cup", 1, -1, "-2.00", None), nothing]
    assert then("2026-03-05") == [("cup", 3, 5, "10.00", "2.00"), ("jug", 1, 5, "10.00", "2.00")]


def test_levels_as_of_a_position(admin: Caller) -> None:
    room = Room(admin).open("cup")
    for units in (10, 5, 7):
        room.add("cup", units)
    room.take("cup", 2, occurred_at="2020-01-01T00:00:00Z")
    asked = admin.get(LEVELS, params={"as_of": "0"})  # Numbers what has no position yet.
    assert [row["on_hand"] for row in asked.json()["data"]] == [0]
    moves = room.list("/v1/inventory/movements")
    held = [10, 15, 22, 20]
    assert [move["quantity_after"] for move in moves] == held
    positions = [move["position"] for move in moves]
    assert positions == sorted(positions)
    for position, units in zip(positions, held, strict=True):
        (row,) = room.list(LEVELS, as_of=position)
        assert (row["on_hand"], row["as_of"], row["available"]) == (units, position, units)
        one = admin.get(f"{LEVELS}/{row['id']}", params={"as_of": position})
        assert one.json() == row
        assert "ETag" not in one.headers
        (before,) = room.list(LEVELS, as_of=position - 1)
        assert before["on_hand"] < units or units == held[-1]
    ahead = admin.get(LEVELS, params={"as_of": 2**53 - 1})
    assert (ahead.status_code, pointers_of(ahead)) == (422, {"?as_of"})
    assert ahead.json()["errors"][0]["code"] == "ahead_of_the_ledger"


def test_filters_and_pages_hold_for_levels_as_they_were(room: Room) -> None:
    side = room.houses["side"]["id"]
    rows = room.list(LEVELS, as_of="9000-01-01", warehouse_id=side)
    assert _names(room, rows) == ["cup side", "jug side"]
    assert [row["available"] for row in rows] == [3, 0]
    assert len(room.list(LEVELS, as_of="9000-01-01", sort="place")) == 6


def test_a_stranger_sees_no_level_as_it_was(stranger: Caller, room: Room) -> None:
    for as_of in ("0", "9000-01-01"):
        assert stranger.get(LEVELS, params={"as_of": as_of}).json()["data"] == []
        (row, *_) = room.list(LEVELS)
        answer = stranger.get(f"{LEVELS}/{row['id']}", params={"as_of": as_of})
        assert (answer.status_code, code_of(answer)) == (404, "not_found")
