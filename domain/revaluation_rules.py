"""The arithmetic of a late cost change: where the difference of a receipt is now.

Under a weighted average nobody can say which units of a level came with which receipt; but what a
receipt's cost changes in the level's value can be followed. When u of N units leave at the average,
they take the share u/N of the remaining difference along; goods that come in at a cost of their own
leave it as it is; goods that are found and valued at the average take part in it, which raises it
by u/N. Who leaves last takes all.

What a reversal gives back or takes out has the value that it was moved at, so it leaves the
difference alone; only the reversal of the receipt itself takes the whole difference out. The same
holds for signed corrections.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from typing import NamedTuple

from domain.stock import MICRO, ZERO, Kind
from domain.stock_steps import CTX, value_of

#: Shares are kept finer than money until the end, so that a hundred thousand of them lose nothing.
_SHARE = Decimal(1).scaleb(-40)
#: Movements whose value is no average.
_AT_OWN_VALUE = frozenset({Kind.REVERSAL.value, Kind.CORRECTION.value})
#: What the level could not bear: its value would have fallen below zero.
VARIANCE = "variance"


class Passed(NamedTuple):
    """A movement that the walk passes: units on hand before it, and its change of units and value.

    ``takes_back`` marks the reversal of the receipt itself.
    """

    kind: str
    before: int
    change: int
    unit_cost: Decimal
    value_change: Decimal
    value_after: Decimal
    takes_back: bool = False


@dataclass(slots=True)
class Walk:
    """A difference on its way: what is still in stock, and what went out, by kind of movement."""

    difference: Decimal
    remaining: Decimal
    gone: dict[str, Decimal] = field(default_factory=dict)

    def over(self, movements: Iterable[Passed]) -> None:
        """Pass movements in the order of their numbers."""
        for movement in movements:
            part = self._part(movement)
            if part:
                self.remaining = CTX.subtract(self.remaining, part)
                self.gone[movement.kind] = CTX.add(self.gone.get(movement.kind, ZERO), part)

    def _part(self, movement: Passed) -> Decimal:
        """What of the remaining difference goes with a movement; below zero when it rises."""
        before, change = movement.before, movement.change
        if change == 0:
            return ZERO
        if before + change == 0:
            return self.remaining
        if movement.takes_back:
            return self.difference
        if movement.kind in _AT_OWN_VALUE or (change > 0 and not _at_average(movement)):
            return ZERO
        share = CTX.divide(CTX.multiply(self.remaining, Decimal(-change)), Decimal(before))
        return share.quantize(_SHARE, context=CTX)


def _at_average(movement: Passed) -> bool:
    """Whether units that came in left the average as it was: found again without a cost."""
    if movement.kind != Kind.ADJUSTMENT or movement.before == 0:
        return False
    value_before = CTX.subtract(movement.value_after, movement.value_change)
    units = movement.before + movement.change
    return (
        value_of(movement.unit_cost, movement.before) == value_before
        and value_of(movement.unit_cost, units) == movement.value_after
    )


class Split(NamedTuple):
    """Where a difference is, to the millionth: ``stock`` and ``gone`` add up to it."""

    stock: Decimal
    gone: dict[str, Decimal]


def split(walk: Walk) -> Split:
    """Round every part so that they add up to the difference: the largest remainders go up."""
    parts = {"": walk.remaining, **walk.gone}
    floors = {
        name: part.quantize(MICRO, rounding=ROUND_FLOOR, context=CTX)
        for name, part in parts.items()
    }
    missing = CTX.subtract(walk.difference, sum(floors.values(), ZERO))
    by_remainder = sorted(parts, key=lambda name: (floors[name] - parts[name], name))
    for name in by_remainder[: int(missing / MICRO)]:
        floors[name] += MICRO
    stock = floors.pop("")
    return Split(stock, {name: part for name, part in floors.items() if part})


def borne(parts: Split, total_value: Decimal) -> Split:
    """What a level of this value can bear: its value never falls below zero."""
    if total_value + parts.stock >= 0:
        return parts
    rest = total_value + parts.stock
    gone = {**parts.gone, VARIANCE: parts.gone.get(VARIANCE, ZERO) + rest}
    return Split(-total_value, gone)


def cost_difference(quantity: int, cost: Decimal, value: Decimal) -> Decimal:
    """How much more than ``value`` the units cost at ``cost`` each, to the millionth."""
    return CTX.subtract(value_of(cost, quantity), value)


def as_text(parts: Mapping[str, Decimal]) -> dict[str, str]:
    """Decimals as they are stored in JSON: exactly, as text."""
    return {name: f"{part:f}" for name, part in parts.items()}


def from_text(parts: Mapping[str, str]) -> dict[str, Decimal]:
    """The decimals again."""
    return {name: Decimal(part) for name, part in parts.items()}
