"""Where a difference goes: against the same history played again with the corrected cost."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.revaluation_rules import Passed, Split, Walk, borne, cost_difference, split
from domain.stock import (
    MICRO,
    ZERO,
    Accepted,
    Action,
    Adjust,
    Bucket,
    Change,
    Deduct,
    Kind,
    Line,
    Move,
    Receive,
    Refused,
    Release,
    Reserve,
    Revalue,
    RevalueLine,
    Ship,
    Transfer,
    TransferLine,
    View,
)
from domain.stock_rules import decide
from tests.domain.stock_strategies import empty_view, ids, keys

HERE, _, THERE, _ = keys()
_costs = st.decimals(min_value=0, max_value=200, places=6)
_quantities = st.integers(1, 60)


def _line(quantity: int, cost: Decimal | None = None) -> tuple[Line, ...]:
    return (Line(HERE, quantity, 1, cost),)


_action: st.SearchStrategy[Action] = st.one_of(
    st.builds(lambda q, c: Receive(_line(q, c)), _quantities, _costs),
    st.builds(lambda q: Deduct(_line(q)), _quantities),
    st.builds(lambda q: Deduct(_line(q), Kind.WRITE_OFF), _quantities),
    st.builds(lambda q: Adjust(_line(-q)), _quantities),
    st.builds(lambda q: Adjust(_line(q)), _quantities),
    st.builds(lambda q, c: Adjust(_line(q, c + MICRO)), _quantities, _costs),
    st.builds(lambda q: Move(_line(q), Bucket.AVAILABLE, Bucket.DAMAGED, Kind.DAMAGE), _quantities),
    st.builds(lambda q: Transfer((TransferLine(HERE, THERE, q),)), _quantities),
    st.builds(lambda q: Reserve(_line(q), "o"), _quantities),
    st.builds(lambda q: Ship("o", {1: q}), _quantities),
    st.just(Release("o")),
)
histories = st.lists(_action, min_size=1, max_size=40)


def _play(cost: Decimal, quantity: int, history: Sequence[Action]) -> tuple[View, list[Change]]:
    """The history behind a receipt at a cost: the levels, and what happened to the first."""
    view, new_id = empty_view([HERE, THERE]), ids()
    changes: list[Change] = []
    for action in (Receive(_line(7, Decimal("3.10"))), Receive(_line(quantity, cost)), *history):
        result = decide(view, action, new_id)
        if isinstance(result, Accepted):
            changes += [change for change in result.changes if change.level == HERE]
    return view, changes


def _passed(change: Change, **more: Any) -> Passed:
    return Passed(
        change.kind.value,
        change.on_hand_after - change.on_hand,
        change.on_hand,
        change.unit_cost,
        change.value,
        change.value_after,
        **more,
    )


@given(_costs, _costs, _quantities, histories)
def test_the_level_has_the_value_of_a_history_with_the_corrected_cost(
    old: Decimal, new: Decimal, quantity: int, history: list[Action]
) -> None:
    view, changes = _play(old, quantity, history)
    oracle, _ = _play(new, quantity, history)
    receipt, later = changes[1], changes[2:]
    difference = cost_difference(quantity, new, receipt.value)
    walk = Walk(difference, difference)
    walk.over(map(_passed, later))
    parts = split(walk)
    assert parts.stock + sum(parts.gone.values()) == difference
    # Each receipt and each issue rounds a value to the millionth in both histories, and the walk
    # rounds once more.
    ends = view.levels[HERE], oracle.levels[HERE]
    tolerance = MICRO * (len(later) + 2)
    assert abs(ends[0].total_value + parts.stock - ends[1].total_value) <= tolerance
    # And so for every kind of movement by itself.
    _, others = _play(new, quantity, history)
    for kind in {change.kind.value for change in later}:
        was = sum((c.value for c in later if c.kind == kind and not _priced(c)), ZERO)
        would = sum((c.value for c in others[2:] if c.kind == kind and not _priced(c)), ZERO)
        assert abs(was - would - parts.gone.get(kind, ZERO)) <= tolerance


def _priced(change: Change) -> bool:
    return change.kind is Kind.PURCHASE


@given(_costs, _costs, _quantities, histories)
def test_what_is_posted_is_accepted_by_the_ledger(
    old: Decimal, new: Decimal, quantity: int, history: list[Action]
) -> None:
    view, changes = _play(old, quantity, history)
    difference = cost_difference(quantity, new, changes[1].value)
    walk = Walk(difference, difference)
    walk.over(map(_passed, changes[2:]))
    level = view.levels[HERE]
    parts = borne(split(walk), level.total_value)
    assert parts.stock + sum(parts.gone.values()) == difference
    if level.on_hand == 0:
        assert parts.stock == 0
    if parts.stock:
        before = level.total_value
        result = decide(view, Revalue((RevalueLine(HERE, parts.stock),)), ids())
        assert not isinstance(result, Refused)
        assert level.total_value == before + parts.stock


@given(_costs, _costs, _quantities, histories, st.integers(1, 7))
def test_chunks_do_not_matter(
    old: Decimal, new: Decimal, quantity: int, history: list[Action], size: int
) -> None:
    _, changes = _play(old, quantity, history)
    passed = [_passed(change) for change in changes[2:]]
    difference = cost_difference(quantity, new, changes[1].value)
    whole, pieces = Walk(difference, difference), Walk(difference, difference)
    whole.over(passed)
    for start in range(0, len(passed), size):
        pieces.over(passed[start : start + size])
    assert (whole.remaining, whole.gone) == (pieces.remaining, pieces.gone)


@pytest.mark.parametrize(
    ("parts", "rounded"),
    [
        ({"": "0.0000005", "sale": "0.0000005"}, {"": "0.000001"}),
        ({"": "0.0000003", "sale": "0.0000007"}, {"sale": "0.000001"}),
        ({"": "-0.0000007", "sale": "-0.0000003"}, {"": "-0.000001"}),
        ({"": "1", "sale": "2", "ship": "3"}, {"": "1", "sale": "2", "ship": "3"}),
        ({"": "1.0000004", "sale": "-0.0000004"}, {"": "1"}),
    ],
)
def test_rounded_parts_add_up(parts: dict[str, str], rounded: dict[str, str]) -> None:
    given_ = {name: Decimal(part) for name, part in parts.items()}
    difference = sum(given_.values(), ZERO)
    remaining = given_.pop("")
    stock, gone = split(Walk(difference, remaining, given_))
    wanted = {name: Decimal(part) for name, part in rounded.items()}
    assert {k: v for k, v in {"": stock, **gone}.items() if v} == wanted


def test_a_reversal_of_the_receipt_takes_the_whole_difference_back() -> None:
    walk = Walk(Decimal(10), Decimal(10))
    sold = Passed("sale", 20, -5, Decimal(1), Decimal(-5), Decimal(15))
    back = Passed("reversal", 15, -10, Decimal(1), Decimal(-10), Decimal(5), takes_back=True)
    walk.over([sold, back])
    assert walk.gone == {"sale": Decimal("2.5"), "reversal": Decimal(10)}
    assert walk.remaining == Decimal("-2.5")


def test_other_reversals_and_corrections_leave_it_alone_until_nothing_is_left() -> None:
    walk = Walk(Decimal(10), Decimal(10))
    walk.over(
        [
            Passed("reversal", 20, -5, Decimal(1), Decimal(-5), Decimal(15)),
            Passed("correction", 15, 3, Decimal(1), Decimal(3), Decimal(18)),
            Passed("reserve", 18, 0, Decimal(1), ZERO, Decimal(18)),
        ]
    )
    assert (walk.remaining, walk.gone) == (Decimal(10), {})
    walk.over([Passed("correction", 18, -18, Decimal(1), Decimal(-18), ZERO)])
    assert (walk.remaining, walk.gone) == (ZERO, {"correction": Decimal(10)})


def test_a_level_bears_no_more_than_it_has() -> None:
    parts = borne(Split(Decimal(-7), {"sale": Decimal(-1)}), Decimal(5))
    assert parts == Split(Decimal(-5), {"sale": Decimal(-1), "variance": Decimal(-2)})
