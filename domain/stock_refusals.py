"""Why a stock command is refused, with the numbers that explain it."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from domain.stock import MAX_QUANTITY, UNKNOWN_ITEM, Level, LevelKey, Line, Refused, View

#: What the column of the average cost holds, with room to spare.
MAX_AVERAGE = Decimal(10) ** 18


class Step(NamedTuple):
    """A planned change of one level: signed deltas of the buckets.

    ``value`` is what the level's value changes by; None leaves the average cost as it is.
    """

    level: Level
    available: int = 0
    reserved: int = 0
    damaged: int = 0
    quarantine: int = 0
    in_transit: int = 0
    value: Decimal | None = None

    @property
    def on_hand(self) -> int:
        return self.available + self.reserved + self.damaged + self.quarantine


def blocked(view: View, keys: Iterable[LevelKey]) -> Refused | None:
    """Refuse what a disabled variant or a closed warehouse may not do any more."""
    for key in keys:
        level = view.levels.get(key)
        where = {"variant_id": str(key.variant_id), "warehouse_id": str(key.warehouse_id)}
        if level is not None and not level.variant_active:
            return Refused("variant_disabled", "The variant is disabled.", where)
        if level is not None and not level.warehouse_active:
            return Refused("warehouse_inactive", "The warehouse is not active.", where)
    return None


def unknown(view: View, keys: Iterable[LevelKey]) -> Refused | None:
    """Refuse what names a variant or a warehouse that does not exist."""
    for key in keys:
        if key in view.unknown:
            return Refused(
                UNKNOWN_ITEM,
                "There is no such variant or warehouse.",
                {"variant_id": str(key.variant_id), "warehouse_id": str(key.warehouse_id)},
            )
    return None


def short(
    view: View, lines: Sequence[Line], sums: Mapping[LevelKey, int], bucket: str
) -> Refused | None:
    """Refuse when a bucket holds less than the summed need, with the numbers of every line."""
    short: dict[LevelKey, int] = {}
    for key, need in sums.items():
        level = view.levels.get(key)
        have: int = getattr(level, bucket) if level is not None else 0
        if have < need:
            short[key] = have
    if not short:
        return None
    rows = [
        {
            "line": line.line,
            "variant_id": str(line.level.variant_id),
            "warehouse_id": str(line.level.warehouse_id),
            "requested": abs(line.quantity),
            "requested_in_all": sums[line.level],
            bucket: short[line.level],
        }
        for line in lines
        if line.level in short
    ]
    return Refused("insufficient_stock", f"There is not enough {bucket} stock.", {"lines": rows})


def over_limit(steps: Sequence[Step]) -> Refused | None:
    """Refuse a level of more units than a JSON reader can count, or of a cost beyond its column."""
    for step in steps:
        level = step.level
        on_hand = level.on_hand + step.on_hand
        where = {"variant_id": str(level.key.variant_id)}
        if on_hand > MAX_QUANTITY:
            detail = f"A level holds at most {MAX_QUANTITY} units."
            return Refused("quantity_limit", detail, where | {"limit": MAX_QUANTITY})
        if step.value is not None and level.total_value + step.value > MAX_AVERAGE * on_hand > 0:
            detail = "The average cost of what is left would be beyond any amount."
            return Refused("value_limit", detail, where | {"limit": str(MAX_AVERAGE)})
    return None
