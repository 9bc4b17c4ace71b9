"""The arithmetic of corrections: what is kept is kept, and the steps lead there without a gap."""

from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from domain.corrections import Keep, Settled, Standing, settle
from domain.errors import Conflict
from domain.stock_steps import value_of

_units = st.integers(min_value=-5, max_value=10**6)
_held = st.integers(min_value=0, max_value=10**6)
_value = st.decimals(min_value=-10, max_value=10**9, places=6)
_average = st.decimals(min_value=0, max_value=10**6, places=24)
_ledger = st.builds(Standing, _units, _units, _units, _units, _units, _value, _value)
_row = st.builds(
    Standing,
    _held,
    _held,
    _held,
    _held,
    _held,
    st.decimals(min_value=0, max_value=10**9, places=6),
    st.decimals(min_value=0, max_value=10**9, places=6),
)


def _numbers(standing: Standing) -> list[Decimal]:
    return [Decimal(number) for number in standing]


def _settled(
    keep: Keep, row: Standing, ledger: Standing, average: Decimal, holds: int
) -> Settled | None:
    try:
        return settle(keep, row, ledger, average, holds)
    except Conflict:
        return None


@given(st.sampled_from(Keep), _row, _ledger, _average, st.integers(0, 10**6))
def test_a_correction_leads_from_the_ledger_to_a_standing_that_may_be(
    keep: Keep, row: Standing, ledger: Standing, average: Decimal, holds: int
) -> None:
    kept = ledger if keep is Keep.LEDGER else row
    settled = _settled(keep, row, ledger, average, holds)
    if settled is None:
        # Only what is below zero cannot be kept.
        freed = kept.available + kept.reserved - holds
        assert freed < 0 or any(number < 0 for number in _numbers(kept)[2:])
        return
    standing = settled.standing
    assert all(number >= 0 for number in _numbers(standing))
    assert standing.reserved == holds
    assert standing.on_hand == kept.on_hand
    assert standing[2:5] == kept[2:5]
    assert standing.value == value_of(settled.average_cost, standing.on_hand)
    assert standing.in_transit_value == (kept.in_transit_value if kept.in_transit else 0)
    if keep is Keep.LEDGER and standing.on_hand:
        assert standing.value == ledger.value
    if keep is Keep.LEVEL:
        assert settled.average_cost == average
    states = [ledger, *(after for _, after in settled.steps)]
    assert [before for before, _ in settled.steps] == states[:-1]
    assert states[-1] == standing
    assert all(before != after for before, after in pairwise(states))
    # The row is what the first step leads to, so that nothing of the damage is hidden.
    assert row in states or row == ledger


@given(_row, _average)
def test_what_balances_needs_no_step(row: Standing, average: Decimal) -> None:
    value = value_of(average, row.on_hand)
    sound = row._replace(
        value=value, in_transit_value=row.in_transit_value if row.in_transit else Decimal(0)
    )
    for keep in Keep:
        settled = settle(keep, sound, sound, average, sound.reserved)
        assert (settled.steps, settled.average_cost) == ((), average)
