"""What a reversal takes back and what a revaluation changes."""

from copy import deepcopy
from decimal import Decimal
from uuid import UUID

from hypothesis import assume, given
from hypothesis import strategies as st

from domain.stock import (
    UNKNOWN_OPERATION,
    Accepted,
    Action,
    Bucket,
    Deduct,
    Kind,
    Line,
    Move,
    Receive,
    Refused,
    Reserve,
    Revalue,
    RevalueLine,
    Reverse,
    Transfer,
    TransferLine,
    View,
)
from domain.stock_rules import decide
from tests.domain.stock_strategies import (
    actions,
    corrections,
    empty_view,
    every_action,
    ids,
    keys,
    remember,
    step,
)

KEYS = keys()
HERE, THERE = KEYS[0], KEYS[2]
MICRO = Decimal("0.000001")
histories = st.lists(every_action(KEYS), max_size=15)
_NEVER = {Kind.RESERVE, Kind.RELEASE, Kind.SHIP, Kind.REVERSAL, Kind.REVALUATION}


def _value(view: View) -> Decimal:
    return sum((level.total_value for level in view.levels.values()), Decimal(0))


def _do(view: View, action: Action, operation_id: UUID) -> Accepted:
    done = decide(view, action, ids(700_000))
    assert isinstance(done, Accepted), done
    remember(view, operation_id, action, done)
    return done


def _refusal(view: View, operation_id: UUID) -> Refused:
    refused = decide(view, Reverse(operation_id), ids())
    assert isinstance(refused, Refused), refused
    return refused


@given(histories, st.one_of(actions(KEYS), corrections(KEYS)))
def test_a_reversal_at_once_leaves_units_and_values_as_they_were(
    history: list[Action], last: Action
) -> None:
    view, new_id = empty_view(KEYS), ids()
    for action in history:
        step(view, action, new_id)
    before = deepcopy(view)
    done = decide(view, last, new_id)
    assume(isinstance(done, Accepted) and done.changes)
    assert isinstance(done, Accepted)
    remember(view, UUID(int=1), last, done)
    result = decide(view, Reverse(UUID(int=1)), new_id)
    if {change.kind for change in done.changes} & _NEVER:
        assert isinstance(result, Refused)
        assert result.code == "not_reversible"
        return
    assert isinstance(result, Accepted), result
    for key, level in before.levels.items():
        now = view.levels[key]
        assert [getattr(now, b) for b in Bucket] == [getattr(level, b) for b in Bucket]
        assert now.total_value == level.total_value


@given(histories, st.integers(1, 20), st.lists(actions(KEYS), max_size=6))
def test_a_late_reversal_of_a_transfer_changes_no_companys_value(
    history: list[Action], units: int, later: list[Action]
) -> None:
    view, new_id = empty_view(KEYS), ids()
    stock = (Line(HERE, 40, 1, Decimal("1.37")), Line(KEYS[1], 40, 1, Decimal("0.333333")))
    for action in [Receive(stock), *history, Receive(stock)]:
        step(view, action, new_id)
    transfer = Transfer((TransferLine(HERE, THERE, units), TransferLine(KEYS[1], KEYS[3], 1)))
    done = decide(view, transfer, new_id)
    assume(isinstance(done, Accepted))
    assert isinstance(done, Accepted)
    remember(view, UUID(int=1), transfer, done)
    for action in later:
        step(view, action, new_id)
    before = _value(view)
    if isinstance(decide(view, Reverse(UUID(int=1)), new_id), Accepted):
        assert _value(view) == before


def test_a_receipt_is_taken_back_at_its_own_cost() -> None:
    view = empty_view(KEYS)
    _do(view, Receive((Line(HERE, 10, 1, Decimal(1)),)), UUID(int=1))
    _do(view, Receive((Line(HERE, 10, 1, Decimal(3)),)), UUID(int=2))
    back = _do(view, Reverse(UUID(int=2)), UUID(int=3))
    assert [(c.kind, c.available, c.value) for c in back.changes] == [
        (Kind.REVERSAL, -10, Decimal(-30))
    ]
    assert view.levels[HERE].average_cost == 1


def test_a_cost_that_left_with_other_goods_is_not_taken_out_twice() -> None:
    """Ten at 1, ten at 3, fifteen sold at 2: of the ten at 3 only what is left can go back."""
    view = empty_view(KEYS)
    _do(view, Receive((Line(HERE, 10, 1, Decimal(1)),)), UUID(int=1))
    _do(view, Receive((Line(HERE, 10, 1, Decimal(3)),)), UUID(int=2))
    _do(view, Deduct((Line(HERE, 9),)), UUID(int=3))
    back = _do(view, Reverse(UUID(int=2)), UUID(int=4))
    level = view.levels[HERE]
    assert (back.changes[0].value, level.on_hand) == (Decimal(-22), 1)
    assert level.total_value == 0


def test_a_sale_taken_back_returns_at_the_value_it_left_at() -> None:
    view = empty_view(KEYS)
    _do(view, Receive((Line(HERE, 3, 1, Decimal("1.10")),)), UUID(int=1))
    _do(view, Deduct((Line(HERE, 3),)), UUID(int=2))
    _do(view, Receive((Line(HERE, 1, 1, Decimal(9)),)), UUID(int=3))
    _do(view, Reverse(UUID(int=2)), UUID(int=4))
    assert view.levels[HERE].total_value == Decimal("12.30")


def test_an_operation_is_reversed_once() -> None:
    view = empty_view(KEYS)
    _do(view, Receive((Line(HERE, 5, 1, Decimal(1)),)), UUID(int=1))
    assert _refusal(view, UUID(int=9)).code == UNKNOWN_OPERATION
    _do(view, Reverse(UUID(int=1)), UUID(int=2))
    again = _refusal(view, UUID(int=1))
    assert (again.code, again.details["reversed_by"]) == ("already_reversed", str(UUID(int=2)))
    assert _refusal(view, UUID(int=2)).code == "not_reversible"


def test_units_that_are_held_or_gone_are_not_taken_back() -> None:
    view = empty_view(KEYS)
    _do(view, Receive((Line(HERE, 5, 1, Decimal(1)),)), UUID(int=1))
    move = Move((Line(HERE, 2),), Bucket.AVAILABLE, Bucket.DAMAGED, Kind.DAMAGE)
    _do(view, move, UUID(int=2))
    _do(view, Reserve((Line(HERE, 3),), "order-1"), UUID(int=3))
    refused = _refusal(view, UUID(int=1))
    assert refused.code == "insufficient_stock"
    assert refused.details["lines"][0]["requested"] == 5
    assert refused.details["lines"][0]["available"] == 0
    _do(view, Reverse(UUID(int=2)), UUID(int=4))
    assert view.levels[HERE].damaged == 0


def test_nothing_is_brought_back_into_a_closed_warehouse() -> None:
    view = empty_view(KEYS)
    _do(view, Receive((Line(HERE, 5, 1, Decimal(1)),)), UUID(int=1))
    _do(view, Deduct((Line(HERE, 5),)), UUID(int=2))
    view.levels[HERE].warehouse_active = False
    assert _refusal(view, UUID(int=2)).code == "warehouse_inactive"


@given(st.integers(1, 2**53), st.decimals(min_value=0, max_value=100, places=6), st.data())
def test_a_revaluation_moves_value_and_no_units(
    units: int, cost: Decimal, data: st.DataObject
) -> None:
    view = empty_view(KEYS)
    _do(view, Receive((Line(HERE, units, 1, cost),)), UUID(int=1))
    total = view.levels[HERE].total_value
    worth = data.draw(st.decimals(min_value=-200, max_value=200, places=6))
    result = decide(view, Revalue((RevalueLine(HERE, worth),)), ids())
    level = view.levels[HERE]
    if total + worth < 0:
        assert isinstance(result, Refused)
        assert (result.code, level.total_value) == ("value_below_zero", total)
        return
    assert isinstance(result, Accepted)
    assert (level.on_hand, level.total_value) == (units, total + worth)
    assert result.changes[0].kind is Kind.REVALUATION
    assert result.changes[0].on_hand == 0


def test_no_units_have_no_value_to_change() -> None:
    refused = decide(empty_view(KEYS), Revalue((RevalueLine(HERE, Decimal(1)),)), ids())
    assert isinstance(refused, Refused)
    assert refused.code == "value_below_zero"


def test_an_average_beyond_its_column_is_refused() -> None:
    view = empty_view(KEYS)
    _do(view, Receive((Line(HERE, 1, 1, Decimal(1)),)), UUID(int=1))
    worth = Decimal(10) ** 18
    refused = decide(view, Revalue((RevalueLine(HERE, worth),)), ids())
    assert isinstance(refused, Refused)
    assert refused.code == "value_limit"
