"""The arithmetic of stock by property: what holds after any sequence of any commands."""

from collections import Counter
from copy import deepcopy
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from domain.stock import (
    MAX_QUANTITY,
    ZERO,
    Accepted,
    Action,
    Adjust,
    Deduct,
    LevelKey,
    Line,
    Move,
    Receive,
    Refused,
    Release,
    Reserve,
    Reverse,
    Set,
    Ship,
    View,
)
from domain.stock_rules import decide
from domain.stock_steps import value_of
from tests.domain.stock_strategies import (
    actions,
    empty_view,
    every_action,
    ids,
    keys,
    latest,
    step,
)

KEYS = keys()
BUCKETS = ("available", "reserved", "damaged", "quarantine", "in_transit")
WIDE = Context(prec=120, rounding=ROUND_HALF_UP)
#: A bucket of a level, or a line of the owner that the command names.
Place = tuple[LevelKey, str] | tuple[str, int]
plain_histories = st.lists(actions(KEYS), min_size=1, max_size=25)
histories = st.lists(every_action(KEYS), min_size=1, max_size=25)


def _need(action: Action) -> dict[Place, int]:
    """What the command takes, added up the naive way."""
    if isinstance(action, Release | Ship):
        return {("line", line): units for line, units in (action.lines or {}).items()}
    bucket = action.source.value if isinstance(action, Move | Deduct) else "available"
    need: Counter[Place] = Counter()
    if isinstance(action, Receive):
        return {}
    assert isinstance(action, Deduct | Adjust | Move | Reserve)
    for line in action.lines:
        need[line.level, bucket] += -line.quantity if isinstance(action, Adjust) else line.quantity
    return {place: units for place, units in need.items() if units > 0}


def _have(action: Action, view: View) -> dict[Place, int]:
    if isinstance(action, Release | Ship):
        held: Counter[Place] = Counter()
        for hold in view.holds.get(action.owner, []):
            held["line", hold.line] += hold.open
        return dict(held)
    return {(k, b): getattr(level, b) for k, level in view.levels.items() for b in BUCKETS}


@given(plain_histories)
def test_a_command_is_accepted_exactly_when_there_is_enough(history: list[Action]) -> None:
    view, new_id = empty_view(KEYS), ids()
    for action in history:
        have = _have(action, view)
        enough = all(units <= have.get(at, 0) for at, units in _need(action).items())
        result = decide(view, action, new_id)
        assert isinstance(result, Accepted) == enough, (action, result)


@given(histories)
def test_a_refused_command_leaves_everything_as_it_was(history: list[Action]) -> None:
    view, new_id = empty_view(KEYS), ids()
    for action in history:
        before = deepcopy(view)
        if isinstance(step(view, action, new_id), Refused):
            assert view == before


@given(histories)
def test_no_bucket_is_ever_negative_and_holds_add_up_to_reserved(history: list[Action]) -> None:
    view, new_id = empty_view(KEYS), ids()
    for action in history:
        step(view, action, new_id)
        held: Counter[LevelKey] = Counter()
        for hold in (hold for holds in view.holds.values() for hold in holds):
            assert 0 <= hold.open <= hold.quantity
            held[hold.level] += hold.open
        for key, level in view.levels.items():
            assert min(getattr(level, bucket) for bucket in BUCKETS) >= 0
            assert level.reserved == held[key]


@given(histories)
def test_value_is_average_times_on_hand_after_every_command(history: list[Action]) -> None:
    view, new_id = empty_view(KEYS), ids()
    for action in history:
        step(view, action, new_id)
        for level in view.levels.values():
            exact = WIDE.multiply(level.average_cost, Decimal(level.on_hand))
            assert level.total_value == exact.quantize(Decimal("0.000001"), context=WIDE)
            assert level.total_value >= 0
            assert level.on_hand or not level.total_value


@given(histories)
def test_changes_are_exactly_the_difference_between_before_and_after(
    history: list[Action],
) -> None:
    view, new_id = empty_view(KEYS), ids()
    for action in history:
        before = deepcopy(view.levels)
        result = step(view, action, new_id)
        changes = result.changes if isinstance(result, Accepted) else []
        assert len({change.level for change in changes}) == len(changes)
        for change in changes:
            old, level = before.pop(change.level), view.levels[change.level]
            for bucket in BUCKETS:
                moved = getattr(level, bucket) - getattr(old, bucket)
                assert moved == getattr(change, bucket)
            assert level.total_value - old.total_value == change.value
            assert (change.sequence, level.sequence) == (old.sequence + 1, old.sequence + 1)
            assert change.available_after == level.available
            assert change.reserved_after == level.reserved
            assert (change.on_hand_after, change.value_after) == (level.on_hand, level.total_value)
        for key, old in before.items():
            assert view.levels[key] == old


@given(plain_histories)
def test_only_goods_that_come_in_at_a_cost_change_the_average(history: list[Action]) -> None:
    view, new_id = empty_view(KEYS), ids()
    for action in history:
        before = {key: level.average_cost for key, level in view.levels.items()}
        decide(view, action, new_id)
        priced = isinstance(action, Receive) or (
            isinstance(action, Adjust) and any(line.unit_cost is not None for line in action.lines)
        )
        if not priced:
            assert before == {key: level.average_cost for key, level in view.levels.items()}


@given(histories)
def test_units_come_and_go_only_by_commands_that_say_so(history: list[Action]) -> None:
    view, new_id = empty_view(KEYS), ids()
    for drawn in history:
        before = sum(level.on_hand for level in view.levels.values())
        available = {key: level.available for key, level in view.levels.items()}
        action = latest(view, drawn)
        expected = 0
        if isinstance(step(view, action, new_id), Accepted):
            if isinstance(action, Receive | Adjust):
                expected = sum(line.quantity for line in action.lines)
            elif isinstance(action, Deduct):
                expected = -sum(line.quantity for line in action.lines)
            elif isinstance(action, Ship):
                expected = -sum(action.lines.values())
            elif isinstance(action, Set):
                expected = sum(x.quantity - available[x.level] for x in action.lines)
            elif isinstance(action, Reverse):
                moved = view.originals[action.operation_id].movements
                expected = -sum(x.available + x.damaged + x.quarantine for x in moved)
        assert sum(level.on_hand for level in view.levels.values()) - before == expected


receipts = st.lists(
    st.tuples(
        st.integers(1, MAX_QUANTITY // 8),
        st.decimals(min_value=0, max_value=Decimal("99999999999999.999999"), places=6),
    ),
    min_size=1,
    max_size=8,
)


@given(receipts, st.data())
def test_inbound_value_is_conserved_to_the_millionth_up_to_the_largest_level(
    goods: list[tuple[int, Decimal]], data: st.DataObject
) -> None:
    """What came in equals what is there plus what left, whatever left in between."""
    view, new_id = empty_view(KEYS[:1]), ids()
    level = view.levels[KEYS[0]]
    came = left = Fraction(0)
    for units, cost in goods:
        result = decide(view, Receive((Line(KEYS[0], units, 1, cost),)), new_id)
        assert isinstance(result, Accepted)
        came += Fraction(cost) * units
        out = data.draw(st.integers(0, level.available))
        if out:
            result = decide(view, Deduct((Line(KEYS[0], out),)), new_id)
            assert isinstance(result, Accepted)
            left -= Fraction(result.changes[0].value)
        assert came == Fraction(level.total_value) + left
        assert level.total_value == value_of(level.average_cost, level.on_hand)
    if level.available:
        decide(view, Deduct((Line(KEYS[0], level.available),)), new_id)
    assert level.on_hand == 0
    assert level.total_value == 0


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=20))
def test_reserve_and_release_are_each_others_undo(orders: list[tuple[int, int]]) -> None:
    view, new_id = empty_view(KEYS[:1]), ids()
    decide(view, Receive((Line(KEYS[0], 500, 1, Decimal("1.37")),)), new_id)
    before = deepcopy(view.levels[KEYS[0]])
    for n, (first, second) in enumerate(orders):
        reserve = Reserve((Line(KEYS[0], first, 1), Line(KEYS[0], second, 2)), f"order-{n}")
        decide(view, reserve, new_id)
    for n, _ in enumerate(orders):
        assert isinstance(decide(view, Release(f"order-{n}"), new_id), Accepted)
    after = view.levels[KEYS[0]]
    assert (after.available, after.reserved) == (before.available, 0)
    assert (after.total_value, after.average_cost) == (before.total_value, before.average_cost)
    assert before.total_value != ZERO
