"""Conversion into base units: exact in quantity and in worth, or refused."""

from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from api.stock_bodies import AdjustmentLine, ReceiptLine, SetStockLine, StockLine
from domain.errors import InvalidInput
from domain.order_requests import NewOrderLine
from domain.units import Conversion, in_base_units
from domain.values import MAX_WHOLE

V, W = UUID(int=1), UUID(int=2)
PLACE: dict[str, Any] = {"variant_id": V, "warehouse_id": W}
KNOWN = {
    V: {
        "piece": Conversion(1, 0),
        "box": Conversion(12, 6),
        "kg": Conversion(1000, 3),
        "t": Conversion(MAX_WHOLE, 6),
    }
}


def _line(quantity: object, unit: str | None = "kg") -> StockLine:
    return StockLine.model_validate({**PLACE, "quantity": quantity, "unit": unit})


def _refusal(line: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidInput) as refused:
        in_base_units([line], KNOWN)
    return [(error.pointer, error.code) for error in refused.value.errors]


@pytest.mark.parametrize(
    ("quantity", "unit", "units"),
    [
        ("2.5", "kg", 2500),
        ("0.001", "kg", 1),
        ("2.500", "kg", 2500),
        (3, "kg", 3000),
        ("0.5", "box", 6),
        ("7", "piece", 7),
        (7, None, 7),
        ("1", "t", MAX_WHOLE),
    ],
)
def test_what_converts(quantity: object, unit: str | None, units: int) -> None:
    (line,) = in_base_units([_line(quantity, unit)], KNOWN)
    assert (line.quantity, type(line.quantity), line.unit) == (units, int, None)


@pytest.mark.parametrize(
    ("quantity", "unit", "code"),
    [
        ("0.3", "box", "not_whole"),
        ("0.0005", "kg", "too_precise"),
        ("1.5", "piece", "too_precise"),
        (2, "t", "quantity"),
    ],
)
def test_what_does_not(quantity: object, unit: str, code: str) -> None:
    assert _refusal(_line(quantity, unit)) == [("/lines/0/quantity", code)]


def test_a_unit_that_the_variant_has_not() -> None:
    assert _refusal(_line(1, "crate")) == [("/lines/0/unit", "unknown_unit")]
    with pytest.raises(InvalidInput):
        in_base_units([_line(1)], {})


@pytest.mark.parametrize(
    "quantity", [0, -1, "0", "-1", "", "1e3", "1.", ".5", " 1", "1.1234567", 1.5, True, None]
)
def test_what_is_no_quantity_in_a_unit(quantity: object) -> None:
    with pytest.raises(ValidationError) as refused:
        _line(quantity)
    assert [error["loc"] for error in refused.value.errors()] == [("quantity",)]


@pytest.mark.parametrize("quantity", ["1", "1.0", 1.0, True, 0, MAX_WHOLE + 1])
def test_without_a_unit_only_whole_numbers_count(quantity: object) -> None:
    with pytest.raises(ValidationError):
        _line(quantity, None)


def test_a_line_that_was_not_converted_reaches_no_level() -> None:
    with pytest.raises(RuntimeError):
        _line(2).level()
    in_base_units([_line(2)], KNOWN)[0].level()


def test_both_quantities_of_a_set_are_in_the_unit() -> None:
    given_ = {**PLACE, "unit": "kg", "quantity": "0", "expected_quantity": "1.25"}
    (line,) = in_base_units([SetStockLine.model_validate(given_)], KNOWN)
    assert (line.quantity, line.expected_quantity) == (0, 1250)
    bypass = SetStockLine.model_validate({**given_, "expected_quantity": None})
    assert in_base_units([bypass], KNOWN)[0].expected_quantity is None


def test_a_correction_may_be_negative_and_only_a_gain_has_a_cost() -> None:
    less = {**PLACE, "unit": "kg", "quantity": "-0.5", "unit_cost": "0.01"}
    (line,) = in_base_units([AdjustmentLine.model_validate(less)], KNOWN)
    assert line.quantity == -500


@given(
    cost=st.decimals(0, 10**9, places=6),
    quantity=st.integers(1, 10**9),
    factor=st.integers(1, 10**6),
)
def test_no_millionth_of_a_receipt_is_lost(cost: Decimal, quantity: int, factor: int) -> None:
    known = {V: {"box": Conversion(factor, 6)}}
    given_ = {**PLACE, "unit": "box", "quantity": quantity, "unit_cost": f"{cost:f}"}
    lines = in_base_units([ReceiptLine.model_validate(given_)], known)
    assert sum(line.quantity for line in lines) == quantity * factor
    worth = sum(Fraction(line.unit_cost) * line.quantity for line in lines)
    assert worth == Fraction(cost) * quantity
    assert len(lines) <= 2
    assert all(line.unit_cost == round(line.unit_cost, 6) for line in lines)


def test_the_second_line_of_a_cost_stands_behind_all_others() -> None:
    """So that a pointer to a line is still right."""
    box = ReceiptLine.model_validate({**PLACE, "unit": "box", "quantity": 1, "unit_cost": "10"})
    one = ReceiptLine.model_validate({**PLACE, "quantity": 5, "unit_cost": "1"})
    lines = in_base_units([box, one], KNOWN)
    assert [(line.quantity, str(line.unit_cost)) for line in lines] == [
        (8, "0.833333"),
        (5, "1"),
        (4, "0.833334"),
    ]


@pytest.mark.parametrize(
    ("price", "each"), [("12.00", "1"), ("0.6", "0.05"), ("10.00", None), ("0.000001", None)]
)
def test_a_price_divides_or_is_refused(price: str, each: str | None) -> None:
    given_ = {"variant_id": V, "unit": "box", "quantity": 2, "unit_price": price}
    line = NewOrderLine.model_validate(given_)
    if each is None:
        assert _refusal(line) == [("/lines/0/unit_price", "not_exact")]
    else:
        assert in_base_units([line], KNOWN)[0].unit_price == Decimal(each)
