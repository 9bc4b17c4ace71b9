"""How much is ordered, by hand and by properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.reorder import Demand, Need, Terms, order_quantity, target


def _need(available: int, point: int, quantity: int | None = None, most: int | None = None) -> Need:
    return Need(available, 0, point, quantity, most)


@pytest.mark.parametrize(
    ("need", "terms", "demand", "expected"),
    [
        (_need(11, 10), Terms(), Demand(), 0),
        # Nothing but a point: one unit above it, or it would be needed again at once.
        (_need(10, 10), Terms(), Demand(), 1),
        (_need(4, 10), Terms(), Demand(), 7),
        (_need(4, 10, 50), Terms(), Demand(), 50),
        (_need(4, 10, 50, 100), Terms(), Demand(), 96),
        # 90 in 30 days are 3 a day; 7 days of delivery sell 21: target 31.
        (_need(4, 10), Terms(lead_time_days=7), Demand(90), 27),
        # A third of a unit a day is rounded up once, at the end.
        (_need(10, 10), Terms(lead_time_days=7), Demand(10), 3),
        (_need(4, 10, 50, 100), Terms(lead_time_days=7), Demand(900), 96),
        (_need(4, 10), Terms(pack_size=12), Demand(), 12),
        (_need(4, 10, 50), Terms(pack_size=12), Demand(), 60),
        (_need(4, 10), Terms(minimum_quantity=20, pack_size=12), Demand(), 24),
        (Need(2, 3, 10, None, 30, incoming=4), Terms(), Demand(), 21),
    ],
)
def test_quantities(need: Need, terms: Terms, demand: Demand, expected: int) -> None:
    assert order_quantity(need, terms, demand) == expected


_units = st.integers(0, 10**6)
_needs = st.builds(
    Need,
    available=_units,
    in_transit=_units,
    reorder_point=_units,
    reorder_quantity=st.none() | st.integers(1, 10**6),
    max_stock_level=st.none(),
    incoming=_units,
)
_terms = st.builds(Terms, st.integers(0, 400), st.integers(1, 10**4), st.integers(1, 10**3))
_demands = st.builds(Demand, _units, st.integers(1, 30))


@given(_needs, _terms, _demands)
def test_an_order_ends_the_need_and_is_no_larger_than_it_must_be(
    need: Need, terms: Terms, demand: Demand
) -> None:
    quantity = order_quantity(need, terms, demand)
    assert (quantity > 0) == need.is_needed
    if quantity:
        assert need.reorder_point is not None
        assert quantity % terms.pack_size == 0
        assert quantity >= max(terms.minimum_quantity, need.reorder_quantity or 0)
        assert need.projected + quantity >= max(need.reorder_point + 1, target(need, terms, demand))
        fewer = quantity - terms.pack_size
        enough = need.projected + fewer > max(need.reorder_point, target(need, terms, demand) - 1)
        assert not (enough and fewer >= max(terms.minimum_quantity, need.reorder_quantity or 0))
