"""The arithmetic of one level: units move between its buckets, and its value follows.

Value. ``total_value = round(average_cost * on_hand, 6)`` holds for every level at every moment.
Goods that come in with a cost set a new average, ``(total_value + inbound value) / on_hand``
(perpetual weighted average, IAS 2.27). Goods that leave, or are found again without a cost, leave
the average as it is; zero units have zero value. The average has 24 decimals, so that up to 2^53
units at six decimals are valued without losing a millionth.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal

from domain.stock import MICRO, Accepted, Change, Kind, Refused
from domain.stock_refusals import Step, over_limit

_AVERAGE = Decimal(1).scaleb(-24)
_NOTHING = Decimal("0.000000")
#: Every product and quotient of the ledger is rounded once, half away from zero, as PostgreSQL
#: rounds numerics.
CTX = Context(prec=96, rounding=ROUND_HALF_UP)


def apply(kind: Kind, steps: Sequence[Step]) -> Accepted | Refused:
    """Check every step against the limits, then change all levels: all or none."""
    return over_limit(steps) or Accepted(changes=[change(kind, step) for step in steps])


def change(kind: Kind, step: Step) -> Change:
    """Apply one step to its level, whatever the limits say."""
    level = step.level
    on_hand_before, value_before = level.on_hand, level.total_value
    unit_cost = level.average_cost
    level.available += step.available
    level.reserved += step.reserved
    level.damaged += step.damaged
    level.quarantine += step.quarantine
    level.in_transit += step.in_transit
    level.sequence += 1
    on_hand = level.on_hand
    units = on_hand - on_hand_before
    if step.value is not None and on_hand:
        level.total_value = CTX.add(value_before, step.value)
        level.average_cost = _per_unit(level.total_value, on_hand)
        unit_cost = _per_unit(step.value, units) if units else level.average_cost
    elif units:
        level.total_value = value_of(level.average_cost, on_hand)
    return Change(
        level.key,
        level.id,
        kind,
        step.available,
        step.reserved,
        step.damaged,
        step.quarantine,
        step.in_transit,
        CTX.subtract(level.total_value, value_before) if units or step.value else _NOTHING,
        unit_cost,
        level.sequence,
        level.available,
        level.reserved,
        on_hand,
        level.total_value,
        level.average_cost,
    )


def _per_unit(value: Decimal, units: int) -> Decimal:
    return CTX.divide(value, Decimal(units)).quantize(_AVERAGE, context=CTX)


def value_of(average_cost: Decimal, on_hand: int) -> Decimal:
    """``round(average_cost * on_hand, 6)``, half away from zero as PostgreSQL rounds numerics."""
    return CTX.multiply(average_cost, Decimal(on_hand)).quantize(MICRO, context=CTX)
