"""The arithmetic of stock by example: what each command does, and the numbers of each refusal."""

from copy import deepcopy
from decimal import Decimal

import pytest

from domain.stock import (
    MAX_QUANTITY,
    Accepted,
    Action,
    Adjust,
    Bucket,
    Deduct,
    Kind,
    Level,
    LevelKey,
    Line,
    Move,
    Receive,
    Refused,
    Release,
    Reserve,
    Ship,
    View,
)
from domain.stock_rules import decide
from tests.domain.stock_strategies import empty_view, hold, ids, keys, view_of

KEY, OTHER = keys(1, 2)


def accept(view: View, action: Action) -> Accepted:
    result = decide(view, action, ids())
    assert isinstance(result, Accepted), result
    return result


def refuse(view: View, action: Action) -> Refused:
    """The refusal, after making sure that it left no trace."""
    before = deepcopy(view)
    result = decide(view, action, ids())
    assert isinstance(result, Refused), result
    assert view == before
    return result


def cost(amount: str, quantity: int, key: LevelKey = KEY) -> Line:
    return Line(key, quantity, 1, Decimal(amount))


def test_goods_received_become_available_at_their_cost() -> None:
    view = empty_view([KEY])
    (change,) = accept(view, Receive((cost("2.50", 4),), Kind.OPENING)).changes
    assert (change.kind, change.available, change.value) == (Kind.OPENING, 4, Decimal("10.00"))
    assert (change.sequence, change.available_after, change.on_hand_after) == (1, 4, 4)
    level = view.levels[KEY]
    assert (level.average_cost, level.total_value) == (Decimal("2.5"), Decimal(10))


def test_the_weighted_average_loses_no_cent() -> None:
    view = empty_view([KEY])
    accept(view, Receive((cost("1.00", 2), cost("1.01", 1))))
    assert view.levels[KEY].total_value == Decimal("3.01")
    view.holds["order-1"] = []
    accept(view, Reserve((Line(KEY, 3),), "order-1"))
    (change,) = accept(view, Ship("order-1", {1: 3})).changes
    assert change.value == Decimal("-3.01")
    assert view.levels[KEY].on_hand == 0
    assert view.levels[KEY].total_value == 0


def test_issues_leave_the_average_as_it_is() -> None:
    view = empty_view([KEY])
    accept(view, Receive((cost("1.00", 2), cost("1.01", 1))))
    average = view.levels[KEY].average_cost
    values = [accept(view, Deduct((Line(KEY, 1),))).changes[0].value for _ in range(3)]
    assert view.levels[KEY].average_cost == average
    assert sum(values) == Decimal("-3.01")


def test_a_receipt_after_a_stock_out_starts_with_its_own_cost() -> None:
    view = empty_view([KEY])
    accept(view, Receive((cost("9.00", 5),)))
    accept(view, Deduct((Line(KEY, 5),)))
    accept(view, Receive((cost("1.00", 2),)))
    assert view.levels[KEY].average_cost == Decimal(1)
    assert view.levels[KEY].total_value == Decimal(2)


def test_two_receipt_lines_of_one_variant_make_one_movement_of_both_values() -> None:
    view = empty_view([KEY])
    (change,) = accept(view, Receive((cost("1.00", 1), cost("4.00", 2)))).changes
    assert (change.available, change.value, change.sequence) == (3, Decimal("9.00"), 1)
    assert change.unit_cost == Decimal(3)


@pytest.mark.parametrize(
    "action",
    [
        Deduct((Line(KEY, 6, 1), Line(KEY, 5, 2))),
        Reserve((Line(KEY, 6, 1), Line(KEY, 5, 2)), "order-1"),
        Move((Line(KEY, 6, 1), Line(KEY, 5, 2)), Bucket.AVAILABLE, Bucket.DAMAGED, Kind.DAMAGE),
        Adjust((Line(KEY, -6, 1), Line(KEY, -5, 2))),
    ],
    ids=lambda action: type(action).__name__,
)
def test_two_lines_of_one_variant_are_summed_before_the_check(action: Action) -> None:
    refusal = refuse(view_of(KEY, available=10), action)
    assert refusal.code == "insufficient_stock"
    rows = refusal.details["lines"]
    assert [(r["line"], r["requested"], r["requested_in_all"], r["available"]) for r in rows] == [
        (1, 6, 11, 10),
        (2, 5, 11, 10),
    ]


def test_a_refusal_names_only_the_lines_that_are_short() -> None:
    view = empty_view([KEY, OTHER])
    view.levels[KEY].available = 10
    view.levels[OTHER].available = 2
    refusal = refuse(view, Reserve((Line(KEY, 10, 1), Line(OTHER, 3, 2)), "order-1"))
    assert refusal.details["lines"] == [
        {
            "line": 2,
            "variant_id": str(OTHER.variant_id),
            "warehouse_id": str(OTHER.warehouse_id),
            "requested": 3,
            "requested_in_all": 3,
            "available": 2,
        }
    ]


def test_a_move_is_short_by_its_source_bucket() -> None:
    view = view_of(KEY, available=10, damaged=1)
    refusal = refuse(view, Move((Line(KEY, 2),), Bucket.DAMAGED, Bucket.AVAILABLE, Kind.RESTOCK))
    assert refusal.details["lines"][0]["damaged"] == 1
    assert "available" not in refusal.details["lines"][0]


def test_a_move_changes_two_buckets_and_no_value() -> None:
    view = view_of(KEY, available=5, average_cost=Decimal(2), total_value=Decimal(10))
    action = Move((Line(KEY, 2),), Bucket.AVAILABLE, Bucket.QUARANTINE, Kind.QUARANTINE)
    (change,) = accept(view, action).changes
    assert (change.available, change.quarantine, change.on_hand) == (-2, 2, 0)
    assert change.value == 0
    assert (change.available_after, change.on_hand_after) == (3, 5)


def test_a_move_back_to_available_works_on_a_full_level() -> None:
    view = view_of(KEY, available=MAX_QUANTITY - 5, damaged=5)
    accept(view, Move((Line(KEY, 5),), Bucket.DAMAGED, Bucket.AVAILABLE, Kind.RESTOCK))
    assert view.levels[KEY].available == MAX_QUANTITY


def test_an_adjustment_corrects_at_the_average() -> None:
    view = view_of(KEY, available=4, average_cost=Decimal(3), total_value=Decimal(12))
    (change,) = accept(view, Adjust((Line(KEY, 2, 1), Line(KEY, -5, 2)))).changes
    assert (change.available, change.value) == (-3, Decimal(-9))
    assert view.levels[KEY].average_cost == 3


def test_a_gain_at_a_cost_sets_a_new_average() -> None:
    view = view_of(KEY, available=4, average_cost=Decimal(3), total_value=Decimal(12))
    accept(view, Adjust((cost("6.00", 2),)))
    assert view.levels[KEY].total_value == 24
    assert view.levels[KEY].average_cost == 4


def test_gains_of_one_level_at_two_costs_count_both() -> None:
    view = empty_view([KEY])
    (change,) = accept(view, Adjust((cost("2.00", 5), cost("4.00", 5)))).changes
    assert change.value == Decimal(30)


def test_an_adjustment_that_cancels_itself_moves_nothing() -> None:
    view = view_of(KEY, available=4)
    assert accept(view, Adjust((Line(KEY, 2, 1), Line(KEY, -2, 2)))).changes == []
    assert view.levels[KEY].sequence == 0


def test_nobody_may_take_what_is_reserved() -> None:
    view = view_of(KEY, available=1, reserved=9)
    assert refuse(view, Deduct((Line(KEY, 2),))).details["lines"][0]["available"] == 1
    assert refuse(view, Adjust((Line(KEY, -2),))).code == "insufficient_stock"


def test_a_reservation_holds_units_line_by_line() -> None:
    view = view_of(KEY, available=10)
    accepted = accept(view, Reserve((Line(KEY, 4, 1), Line(KEY, 3, 2)), "order-1"))
    assert [(h.line, h.quantity, h.open) for h in accepted.new_holds] == [(1, 4, 4), (2, 3, 3)]
    (change,) = accepted.changes
    assert (change.available, change.reserved, change.on_hand) == (-7, 7, 0)
    assert change.value == 0


def test_all_lines_are_reserved_or_none() -> None:
    view = empty_view([KEY, OTHER])
    view.levels[KEY].available = 5
    refuse(view, Reserve((Line(KEY, 5), Line(OTHER, 1)), "order-1"))
    assert view.holds == {}


def test_a_release_without_lines_frees_all_that_the_owner_holds() -> None:
    view = empty_view([KEY, OTHER])
    for key in (KEY, OTHER):
        view.levels[key].available = 5
    accept(view, Reserve((Line(KEY, 3, 1), Line(OTHER, 2, 2)), "order-1"))
    accept(view, Reserve((Line(KEY, 2, 1),), "order-2"))
    accepted = accept(view, Release("order-1"))
    assert {c.level: c.available for c in accepted.changes} == {KEY: 3, OTHER: 2}
    assert view.levels[KEY].reserved == 2
    assert accept(view, Release("order-1")).changes == []


def test_a_release_by_line_frees_exactly_that() -> None:
    view = view_of(KEY, available=10)
    accept(view, Reserve((Line(KEY, 4, 1), Line(KEY, 3, 2)), "order-1"))
    accepted = accept(view, Release("order-1", {1: 3}))
    assert [(h.line, h.open) for h in accepted.used_holds] == [(1, 1)]
    assert (view.levels[KEY].available, view.levels[KEY].reserved) == (6, 4)


@pytest.mark.parametrize("kind", [Release, Ship])
def test_more_than_is_held_is_refused_with_what_is_held(kind: type[Release] | type[Ship]) -> None:
    view = view_of(KEY, available=10)
    accept(view, Reserve((Line(KEY, 4, 1), Line(KEY, 3, 2)), "order-1"))
    refusal = refuse(view, kind("order-1", {1: 5, 2: 3, 7: 1}))
    assert refusal.code == "not_reserved"
    assert refusal.details == {
        "owner": "order-1",
        "lines": [
            {"line": 1, "requested": 5, "reserved": 4},
            {"line": 7, "requested": 1, "reserved": 0},
        ],
    }


def test_a_line_that_was_reserved_twice_is_shipped_from_both_holds() -> None:
    view = view_of(KEY, available=0, reserved=7)
    view.holds["order-1"] = [hold(KEY, 4), hold(KEY, 3)]
    accepted = accept(view, Ship("order-1", {1: 6}))
    assert [h.open for h in accepted.used_holds] == [0, 1]
    assert view.levels[KEY].on_hand == 1


def test_nobody_ships_what_another_owner_holds() -> None:
    view = view_of(KEY, available=5)
    accept(view, Reserve((Line(KEY, 5),), "order-2"))
    assert refuse(view, Ship("order-1", {1: 1})).code == "not_reserved"


@pytest.mark.parametrize("action", [Receive((cost("1", 1),)), Adjust((Line(KEY, 1),))])
def test_a_level_holds_at_most_the_largest_quantity(action: Action) -> None:
    refusal = refuse(view_of(KEY, available=MAX_QUANTITY), action)
    assert refusal.code == "quantity_limit"
    assert refusal.details["limit"] == MAX_QUANTITY


def test_the_limit_refuses_every_line_of_the_command() -> None:
    view = empty_view([KEY, OTHER])
    view.levels[OTHER].available = MAX_QUANTITY
    refusal = refuse(view, Receive((cost("1", 1), cost("1", 1, OTHER))))
    assert refusal.code == "quantity_limit"


def test_a_full_level_is_valued_to_the_millionth() -> None:
    view = empty_view([KEY])
    accept(view, Receive((cost("0.333333", MAX_QUANTITY - 1), cost("0.000001", 1))))
    level = view.levels[KEY]
    assert level.total_value == Decimal("0.333333") * (MAX_QUANTITY - 1) + Decimal("0.000001")
    accept(view, Deduct((Line(KEY, MAX_QUANTITY),)))
    assert level.total_value == 0


INBOUND = [Receive((cost("1", 1),)), Adjust((Line(KEY, 1),))]


@pytest.mark.parametrize("action", [*INBOUND, Reserve((Line(KEY, 1),), "order-1")])
@pytest.mark.parametrize(
    ("flag", "code"),
    [("variant_active", "variant_disabled"), ("warehouse_active", "warehouse_inactive")],
)
def test_what_is_disabled_takes_no_goods_and_no_promises(
    action: Action, flag: str, code: str
) -> None:
    refusal = refuse(view_of(KEY, available=5, **{flag: False}), action)
    assert refusal.code == code
    assert refusal.details["variant_id"] == str(KEY.variant_id)


@pytest.mark.parametrize("flag", ["variant_active", "warehouse_active"])
def test_what_is_disabled_can_still_be_emptied(flag: str) -> None:
    view = view_of(KEY, available=5, reserved=2, **{flag: False})
    view.holds["order-1"] = [hold(KEY, 2)]
    accept(view, Deduct((Line(KEY, 1),)))
    accept(view, Adjust((Line(KEY, -1),)))
    accept(view, Ship("order-1", {1: 1}))
    accept(view, Release("order-1"))
    accept(view, Move((Line(KEY, 1),), Bucket.AVAILABLE, Bucket.DAMAGED, Kind.DAMAGE))
    assert view.levels[KEY].on_hand == 4


@pytest.mark.parametrize(
    "action",
    [
        *INBOUND,
        Deduct((Line(KEY, 1),)),
        Reserve((Line(KEY, 1),), "order-1"),
        Move((Line(KEY, 1),), Bucket.AVAILABLE, Bucket.DAMAGED, Kind.DAMAGE),
    ],
    ids=lambda action: type(action).__name__,
)
def test_an_unknown_item_is_refused_as_such(action: Action) -> None:
    refusal = refuse(View({}, {}, frozenset({KEY})), action)
    assert refusal.code == "unknown_item"
    assert refusal.details == {
        "variant_id": str(KEY.variant_id),
        "warehouse_id": str(KEY.warehouse_id),
    }


def test_where_nothing_ever_lay_there_is_nothing_to_take() -> None:
    refusal = refuse(View({}, {}), Reserve((Line(KEY, 1),), "order-1"))
    assert (refusal.code, refusal.details["lines"][0]["available"]) == ("insufficient_stock", 0)


def test_lots_of_one_variant_are_levels_of_their_own() -> None:
    lot = LevelKey(KEY.warehouse_id, KEY.variant_id, "L1")
    view = View({key: Level(ids()(), key, available=3) for key in (KEY, lot)}, {})
    refuse(view, Deduct((Line(lot, 4),)))
    accept(view, Deduct((Line(lot, 3), Line(KEY, 3))))
    assert (view.levels[lot].available, view.levels[KEY].available) == (0, 0)
