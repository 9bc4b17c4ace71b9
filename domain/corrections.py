"""What a level shall hold after a signed correction, and the steps that lead there visibly.

A level that does not balance has two stories: what its row says, and what its movements add up
to. A person keeps one of them. Whatever is kept, reserved becomes what the open holds add up to
(each of them belongs to an owner who will use or free it; the difference goes to or comes from
available), and value becomes average cost times what is on hand.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from domain.errors import Conflict
from domain.stock import ZERO
from domain.stock_steps import value_of

BUCKETS = ("available", "reserved", "damaged", "quarantine", "in_transit")
_AVERAGE = Decimal(1).scaleb(-24)
_CTX = Context(prec=96, rounding=ROUND_HALF_UP)


class Keep(StrEnum):
    """Which of the two stories a correction keeps."""

    LEDGER = "ledger"
    LEVEL = "level"


class Standing(NamedTuple):
    """What a level holds, or by how much two standings differ."""

    available: int = 0
    reserved: int = 0
    damaged: int = 0
    quarantine: int = 0
    in_transit: int = 0
    value: Decimal = ZERO
    in_transit_value: Decimal = ZERO

    @property
    def on_hand(self) -> int:
        return self.available + self.reserved + self.damaged + self.quarantine

    def minus(self, other: "Standing") -> "Standing":
        """The change that leads from ``other`` to this."""
        return Standing(
            available=self.available - other.available,
            reserved=self.reserved - other.reserved,
            damaged=self.damaged - other.damaged,
            quarantine=self.quarantine - other.quarantine,
            in_transit=self.in_transit - other.in_transit,
            value=self.value - other.value,
            in_transit_value=self.in_transit_value - other.in_transit_value,
        )

    def told(self) -> str:
        """``available=7 reserved=3 …``: what people and stored evidence read."""
        return " ".join(f"{name}={value}" for name, value in self._asdict().items())


class Settled(NamedTuple):
    """Where a correction leads: the standing, its average cost, and the movements on the way."""

    standing: Standing
    average_cost: Decimal
    steps: tuple[tuple[Standing, Standing], ...]


def settle(
    keep: Keep, row: Standing, ledger: Standing, average_cost: Decimal, open_holds: int
) -> Settled:
    """The steps (before and after of each movement) from the ledger's sum to what is kept.

    The first step is what nobody explained: from what the movements add up to, to what the row
    says. The second, where there is one, goes from the row to what shall hold. A correction that
    keeps the ledger so shows the unexplained change and its reversal.

    Raises:
        Conflict: what would be kept cannot be: a bucket, a value or an average below zero.
    """
    kept = ledger if keep is Keep.LEDGER else row
    standing = kept._replace(
        available=kept.available + kept.reserved - open_holds, reserved=open_holds
    )
    if standing.in_transit == 0:
        standing = standing._replace(in_transit_value=ZERO)
    average = average_cost
    if keep is Keep.LEDGER and value_of(average, standing.on_hand) != ledger.value:
        average = _average(standing, average_cost)
    standing = standing._replace(value=value_of(average, standing.on_hand))
    _refuse_below_zero(keep, standing, average)
    steps = _steps((ledger, row, standing))
    return Settled(standing, average, steps)


def _average(standing: Standing, before: Decimal) -> Decimal:
    """The average that gives the ledger's value; without units the old one stays."""
    if standing.on_hand <= 0:
        return before
    units = Decimal(standing.on_hand)
    return _CTX.divide(standing.value, units).quantize(_AVERAGE, context=_CTX)


def _refuse_below_zero(keep: Keep, standing: Standing, average: Decimal) -> None:
    wrong = [name for name, value in standing._asdict().items() if value < 0]
    if average < 0:
        wrong.append("average_cost")
    if wrong:
        raise Conflict(
            f"The {keep} cannot be kept: {', '.join(wrong)} would be below zero"
            f" ({standing.told()}).",
            code="cannot_keep",
            details={"keep": keep.value, "below_zero": wrong},
        )


def _steps(states: Sequence[Standing]) -> tuple[tuple[Standing, Standing], ...]:
    return tuple((before, after) for before, after in pairwise(states) if before != after)
