"""Why a stock command is refused, with the numbers that explain it."""

from collections.abc import Iterable, Sequence
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


class Sum(NamedTuple):
    """What all lines of a command on one level add up to.

    ``level`` is an empty one where nothing ever lay.
    """

    key: LevelKey
    level: Level
    units: int


def summed(view: View, lines: Sequence[Line]) -> list[Sum]:
    """The lines of each level added up: two lines of one variant never take more than there is."""
    units: dict[LevelKey, int] = {}
    if len(lines) == 1:
        units[lines[0].level] = lines[0].quantity
    else:
        for line in lines:
            units[line.level] = units.get(line.level, 0) + line.quantity
    return [Sum(key, level_at(view, key), n) for key, n in units.items()]


def level_at(view: View, key: LevelKey) -> Level:
    """The level of a key, or an empty one that is part of nothing."""
    return view.levels.get(key) or Level(key.variant_id, key)


def blocked(sums: Iterable[Sum]) -> Refused | None:
    """Refuse what a disabled variant or a closed warehouse may not do any more."""
    for key, level, _ in sums:
        if level.variant_active and level.warehouse_active:
            continue
        where = {"variant_id": str(key.variant_id), "warehouse_id": str(key.warehouse_id)}
        if not level.variant_active:
            return Refused("variant_disabled", "The variant is disabled.", where)
        return Refused("warehouse_inactive", "The warehouse is not active.", where)
    return None


def unknown(view: View, sums: Iterable[Sum]) -> Refused | None:
    """Refuse what names a variant or a warehouse that does not exist."""
    if not view.unknown:
        return None
    for key, _, _ in sums:
        if key in view.unknown:
            return Refused(
                UNKNOWN_ITEM,
                "There is no such variant or warehouse.",
                {"variant_id": str(key.variant_id), "warehouse_id": str(key.warehouse_id)},
            )
    return None


def short(lines: Sequence[Line], sums: Iterable[Sum], bucket: str) -> Refused | None:
    """Refuse when a bucket holds less than the summed need, with the numbers of every line."""
    lacking = {
        key: (need, getattr(level, bucket))
        for key, level, need in sums
        if getattr(level, bucket) < need
    }
    if not lacking:
        return None
    rows = [
        {
            "line": line.line,
            "variant_id": str(line.level.variant_id),
            "warehouse_id": str(line.level.warehouse_id),
            "requested": abs(line.quantity),
            "requested_in_all": lacking[line.level][0],
            bucket: lacking[line.level][1],
        }
        for line in lines
        if line.level in lacking
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
