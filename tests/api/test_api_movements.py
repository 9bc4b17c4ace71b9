"""Movements over HTTP: filters, the two orders, and pages that stay whole while others write."""

from typing import Any
from uuid import uuid4

import pytest

from tests.api.api_helpers import Caller, code_of, pointers_of
from tests.api.stock_room import Room

MOVES = "/v1/inventory/movements"


@pytest.fixture
def room(admin: Caller) -> Room:
    """Five movements: dated in another order than posted, on three levels, by two people."""
    room = Room(admin).open("cup", "jug", houses=("main", "side"))
    room.add("cup", 10, occurred_at="2026-03-02T10:00:00Z")
    room.add("jug", 20, occurred_at="2026-03-04T10:00:00Z")
    room.take(
        "cup", 1, occurred_at="2026-03-03T23:30:00Z", reference={"kind": "order", "id": "SO-7"}
    )
    room.add("cup", 5, house="side", occurred_at="2026-03-01T10:00:00Z", kind="production")
    room.take(
        "jug", 2, kind="write_off", reason="broken", occurred_at="2026-03-03T22:30:00Z",
        reference={"kind": "claim", "id": "SO-7"},
    )  # fmt: skip
    return room


def _changes(rows: list[dict[str, Any]]) -> list[int]:
    return [row["quantity_change"] for row in rows]


def test_filters(room: Room) -> None:
    cup = room.variant("cup")
    main, side = (room.houses[name]["id"] for name in ("main", "side"))
    rows = room.list(MOVES)
    actor = rows[0]["created_by"]
    for params, expected in [
        ({}, [10, 20, -1, 5, -2]),
        ({"level_id": rows[0]["level_id"]}, [10, -1]),
        ({"variant_id": cup}, [10, -1, 5]),
        ({"warehouse_id": side}, [5]),
        ({"warehouse_id": main, "variant_id": cup}, [10, -1]),
        ({"operation_id": rows[1]["operation_id"]}, [20]),
        ({"reference_id": "SO-7"}, [-1, -2]),
        ({"reference_id": "SO-7", "reference_kind": "claim"}, [-2]),
        ({"reference_id": "SO-7", "kind": "sale"}, [-1]),
        ({"variant_id": cup, "kind": "production"}, [5]),
        ({"variant_id": cup, "actor": actor}, [10, -1, 5]),
        ({"variant_id": cup, "actor": "nobody"}, []),
        ({"operation_id": str(uuid4())}, []),
    ]:
        assert _changes(room.list(MOVES, **params)) == expected, params
        for newest in ("-id", "-created_at"):
            reverse = _changes(room.list(MOVES, sort=newest, **params))
            assert reverse == expected[::-1], (params, newest)


def test_times_and_dates_are_in_order_of_when_it_happened(room: Room) -> None:
    """The tenant's zone is Berlin: 23:30 in UTC is half past midnight of the next day."""
    for params, expected in [
        ({"sort": "occurred_at"}, [5, 10, -2, -1, 20]),
        ({"occurred_from": "2026-03-03T22:30:00Z"}, [-2, -1, 20]),
        ({"occurred_to": "2026-03-03T22:30:00Z"}, [5, 10]),
        ({"occurred_from": "2026-03-02T00:00:00Z", "occurred_to": "2026-03-04T00:00:00Z"},
         [10, -2, -1]),
        ({"business_date_from": "2026-03-04"}, [-1, 20]),
        ({"business_date_to": "2026-03-03"}, [5, 10, -2]),
        ({"business_date_from": "2026-03-03", "business_date_to": "2026-03-03"}, [-2]),
        ({"business_date_from": "2026-03-04", "kind": "purchase"}, [20]),
        ({"business_date_to": "2026-03-04", "kind": "write_off"}, [-2]),
        ({"business_date_from": "2026-03-01", "reference_kind": "order"}, [-1]),
        ({"occurred_from": "2026-03-02T00:00:00Z", "variant_id": room.variant("cup")}, [10, -1]),
    ]:  # fmt: skip
        assert _changes(room.list(MOVES, **params)) == expected, params
        back = room.list(MOVES, **{**params, "sort": "-occurred_at"})
        assert _changes(back) == expected[::-1], params


@pytest.mark.parametrize("days", [("0001-01-01", "9999-12-31"), ("9999-12-31", "0001-01-01")])
def test_dates_at_the_ends_of_the_calendar(room: Room, days: tuple[str, str]) -> None:
    found = room.list(MOVES, business_date_from=days[0], business_date_to=days[1])
    assert len(found) == (5 if days[0] < days[1] else 0)


@pytest.mark.parametrize(
    ("params", "pointer", "code"),
    [
        ({"kind": "sale"}, "?kind", "too_wide"),
        ({"actor": "x"}, "?actor", "too_wide"),
        ({"reference_kind": "order"}, "?reference_kind", "too_wide"),
        ({"kind": "sale", "warehouse_id": str(uuid4())}, "?kind", "too_wide"),
        ({"business_date_from": "2026-01-01", "sort": "id"}, "?sort", "not_sortable"),
        ({"occurred_to": "2026-01-01T00:00:00Z", "sort": "-created_at"}, "?sort", "not_sortable"),
    ],
)
def test_a_list_that_nothing_bounds_is_refused(
    admin: Caller, params: dict[str, str], pointer: str, code: str
) -> None:
    answer = admin.get(MOVES, params=params)
    assert (answer.status_code, pointers_of(answer)) == (422, {pointer}), answer.text
    assert answer.json()["errors"][0]["code"] == code


@pytest.mark.parametrize("sort", ["id", "-id", "occurred_at", "-occurred_at"])
def test_pages_are_stable_while_movements_are_written(sort: str, room: Room) -> None:
    """What was there at the start comes exactly once and in order, whatever is posted meanwhile."""
    for wanted in ({}, {"level_id": room.list(MOVES)[0]["level_id"]}):
        there = [row["id"] for row in room.list(MOVES, sort=sort, **wanted)]
        seen: list[str] = []
        cursor: str | None = None
        for n in range(50):
            more = {"cursor": cursor} if cursor else {}
            params = {"limit": 1, "sort": sort, **wanted, **more}
            page = room.caller.get(MOVES, params=params).json()
            seen += [row["id"] for row in page["data"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
            if n < 4:
                day = ("01", "03", "05")[n % 3]
                room.add("cup", 1, occurred_at=f"2026-03-{day}T10:00:00Z")
        assert [id_ for id_ in seen if id_ in there] == there
        assert len(set(seen)) == len(seen)


def test_a_cursor_belongs_to_its_order_and_filter(admin: Caller, room: Room) -> None:
    level = room.list(MOVES)[0]["level_id"]
    lists: list[dict[str, Any]] = [
        {},
        {"sort": "-id"},
        {"sort": "occurred_at"},
        {"level_id": level},
        {"level_id": level, "sort": "-id"},
        {"occurred_from": "2026-03-01T00:00:00Z"},
    ]
    for one in lists:
        cursor = admin.get(MOVES, params={"limit": 1, **one}).json()["next_cursor"]
        for other in lists:
            answer = admin.get(MOVES, params={**other, "cursor": cursor})
            if one == other:
                assert answer.status_code == 200, one
            else:
                assert (answer.status_code, code_of(answer)) == (400, "bad_cursor"), (one, other)


def test_one_movement_is_what_the_list_says(admin: Caller, room: Room) -> None:
    admin.get("/v1/inventory/levels", params={"as_of": "0"})  # Gives positions.
    rows = room.list(MOVES)
    assert len({row["position"] for row in rows}) == 5
    for row in rows:
        assert admin.get(f"{MOVES}/{row['id']}").json() == row
        total = sum(
            row[f"{bucket}_change"] for bucket in ("available", "reserved", "damaged", "quarantine")
        )
        assert row["quantity_before"] + row["quantity_change"] == row["quantity_after"]
        assert row["quantity_change"] == total
