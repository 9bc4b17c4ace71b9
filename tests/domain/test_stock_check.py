"""Malformed commands are refused before they wait for anybody."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from domain.errors import InvalidInput
from domain.stock import (
    MAX_COST,
    MAX_LINES,
    MAX_QUANTITY,
    Action,
    Adjust,
    Bucket,
    Deduct,
    Kind,
    Line,
    Move,
    Receive,
    Release,
    Reserve,
    Ship,
    check,
)
from tests.domain.stock_strategies import keys

KEY = keys(1, 1)[0]


def _move(lines: tuple[Line, ...]) -> Action:
    return Move(lines, Bucket.AVAILABLE, Bucket.DAMAGED, Kind.DAMAGE)


WITH_LINES: dict[str, Callable[[tuple[Line, ...]], Action]] = {
    "receive": Receive,
    "deduct": Deduct,
    "adjust": Adjust,
    "move": _move,
    "reserve": lambda lines: Reserve(lines, "order-1"),
}
FROM_HOLDS: dict[str, Callable[[dict[int, int]], Action]] = {
    "release": lambda lines: Release("order-1", lines),
    "ship": lambda lines: Ship("order-1", lines),
}


def _pointer(action: Action) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as caught:
        check(action)
    (error,) = caught.value.errors
    return error.pointer, error.code


@pytest.mark.parametrize("make", WITH_LINES.values(), ids=WITH_LINES)
def test_a_command_without_lines_is_malformed(make: Callable[..., Action]) -> None:
    assert _pointer(make(())) == ("/lines", "length")


@pytest.mark.parametrize("make", WITH_LINES.values(), ids=WITH_LINES)
def test_more_lines_than_the_limit_are_malformed(make: Callable[..., Action]) -> None:
    line = Line(KEY, 1)
    check(make((line,) * MAX_LINES))
    assert _pointer(make((line,) * (MAX_LINES + 1))) == ("/lines", "length")


@pytest.mark.parametrize("make", WITH_LINES.values(), ids=WITH_LINES)
@pytest.mark.parametrize("quantity", [0, MAX_QUANTITY + 1, -MAX_QUANTITY - 1])
def test_a_quantity_out_of_bounds_is_malformed(make: Callable[..., Action], quantity: int) -> None:
    action = make((Line(KEY, 1), Line(KEY, quantity)))
    assert _pointer(action) == ("/lines/1/quantity", "quantity")


@pytest.mark.parametrize("name", [name for name in WITH_LINES if name != "adjust"])
def test_only_an_adjustment_may_be_negative(name: str) -> None:
    check(Adjust((Line(KEY, -1),)))
    assert _pointer(WITH_LINES[name]((Line(KEY, -1),))) == ("/lines/0/quantity", "quantity")


@pytest.mark.parametrize("make", FROM_HOLDS.values(), ids=FROM_HOLDS)
@pytest.mark.parametrize("quantity", [0, -1, MAX_QUANTITY + 1])
def test_held_lines_have_bounds_too(make: Callable[..., Action], quantity: int) -> None:
    check(make({1: 1, 2: MAX_QUANTITY}))
    assert _pointer(make({1: 1, 2: quantity}))[1] == "quantity"


def test_a_shipment_names_its_lines_and_a_release_may_mean_all() -> None:
    assert _pointer(Ship("order-1", {})) == ("/lines", "empty")
    check(Release("order-1"))


@pytest.mark.parametrize(
    "cost", ["-0.000001", "NaN", "sNaN", "Infinity", "0.0000001", str(MAX_COST), "1E-400"]
)
def test_a_cost_that_is_no_amount_is_malformed(cost: str) -> None:
    action = Receive((Line(KEY, 1, 1, Decimal("1.00")), Line(KEY, 1, 2, Decimal(cost))))
    assert _pointer(action) == ("/lines/1/unit_cost", "cost")


@pytest.mark.parametrize("cost", ["0", "-0", "0.000001", "99999999999999.999999", "1E+3", "1.50"])
def test_every_amount_to_the_millionth_is_a_cost(cost: str) -> None:
    check(Receive((Line(KEY, 1, 1, Decimal(cost)),)))


@pytest.mark.parametrize("bucket", [Bucket.AVAILABLE, Bucket.DAMAGED, Bucket.QUARANTINE])
def test_a_move_needs_two_different_buckets(bucket: Bucket) -> None:
    action = Move((Line(KEY, 1),), bucket, bucket, Kind.DAMAGE)
    assert _pointer(action) == ("/target", "bucket")


@pytest.mark.parametrize("bucket", [Bucket.RESERVED, Bucket.IN_TRANSIT])
def test_reserved_and_in_transit_are_no_ends_of_a_move(bucket: Bucket) -> None:
    line = (Line(KEY, 1),)
    assert _pointer(Move(line, bucket, Bucket.AVAILABLE, Kind.RESTOCK)) == ("/source", "bucket")
    assert _pointer(Move(line, Bucket.AVAILABLE, bucket, Kind.DAMAGE)) == ("/target", "bucket")
