"""What takes an earlier operation back, and what gives goods on hand another cost.

Nothing is edited: both append movements. A reversal moves the same units the other way, at the
value they were moved at. Average cost mixes, so that value may be gone with other goods in the
meantime: then what is left of it goes, never more, and all of it with the last unit.
"""

from collections.abc import Iterable
from decimal import Decimal

from domain.stock import (
    MICRO,
    UNKNOWN_OPERATION,
    ZERO,
    Accepted,
    Bucket,
    Kind,
    LevelKey,
    Line,
    Moved,
    Refused,
    Revalue,
    Reverse,
    View,
)
from domain.stock_refusals import Step, Sum, blocked, level_at, over_limit, summed, unknown
from domain.stock_steps import CTX, apply, change

#: What is undone in another way: what is held by a release or a return, an undo by doing it anew.
_NOT_REVERSED = {
    Kind.RESERVE: "Release what it holds.",
    Kind.RELEASE: "Reserve again.",
    Kind.SHIP: "Goods that have left come back by a return.",
    Kind.REVERSAL: "Send the command again.",
    Kind.REVALUATION: "Revalue again.",
    Kind.CORRECTION: "It was signed; adjust what is wrong with it.",
}


def reverse(view: View, action: Reverse) -> Accepted | Refused:
    """The opposite of every movement of an operation, once: all or none."""
    original = view.originals.get(action.operation_id)
    operation = {"operation_id": str(action.operation_id)}
    if original is None:
        return Refused(UNKNOWN_OPERATION, "No operation of this id moved any stock.", operation)
    if original.reversed_by is not None:
        by = {"reversed_by": str(original.reversed_by)}
        return Refused("already_reversed", "The operation was reversed before.", operation | by)
    for moved in original.movements:
        advice = _NOT_REVERSED.get(moved.kind)
        if advice is not None:
            why = {"kind": moved.kind.value}
            return Refused("not_reversible", f"It is not reversed: {advice}", operation | why)
    returning = [
        Sum(moved.level, view.levels[moved.level], -_on_hand(moved))
        for moved in original.movements
        if _on_hand(moved) < 0
    ]
    refusal = blocked(returning) or _gone(view, original.movements)
    if refusal is not None:
        return refusal
    # What is taken out first tells what there is to give back: a transfer keeps its value.
    steps = [_back(view, moved) for moved in original.movements]
    taken = [step for step in steps if step.on_hand <= 0]
    given = [step for step in steps if step.on_hand > 0]
    if any(moved.kind is Kind.TRANSFER_IN for moved in original.movements):
        given = _shared(taken, given)
    refusal = over_limit([*taken, *given])
    if refusal is not None:
        return refusal
    return Accepted(changes=[change(Kind.REVERSAL, step) for step in [*taken, *given]])


def revalue(view: View, action: Revalue) -> Accepted | Refused:
    """Add to the value of what is on hand, or take from it; its average cost follows."""
    sums: dict[LevelKey, Decimal] = {}
    for line in action.lines:
        sums[line.level] = CTX.add(sums.get(line.level, ZERO), line.value)
    refusal = unknown(view, summed(view, [Line(key, 0) for key in sums]))
    if refusal is not None:
        return refusal
    for key, value in sums.items():
        level = level_at(view, key)
        total, units = level.total_value, level.on_hand
        if units == 0 or total + value < 0:
            return Refused(
                "value_below_zero",
                "A level's value cannot fall below zero, and no units have no value.",
                {
                    "warehouse_id": str(key.warehouse_id),
                    "variant_id": str(key.variant_id),
                    "on_hand": units,
                    "total_value": f"{total:.6f}",
                    "value": f"{value:.6f}",
                },
            )
    return apply(
        Kind.REVALUATION, [Step(view.levels[key], value=value) for key, value in sums.items()]
    )


def _on_hand(moved: Moved) -> int:
    return moved.available + moved.reserved + moved.damaged + moved.quarantine


def _gone(view: View, movements: Iterable[Moved]) -> Refused | None:
    """Refuse when units that shall go back are no longer where the operation put them."""
    rows = []
    for moved in movements:
        level = view.levels[moved.level]
        for bucket in Bucket:
            need, have = getattr(moved, bucket.value), getattr(level, bucket.value)
            if need > have:
                rows.append(
                    {
                        "variant_id": str(moved.level.variant_id),
                        "warehouse_id": str(moved.level.warehouse_id),
                        "bucket": bucket.value,
                        "requested": need,
                        bucket.value: have,
                    }
                )
    if not rows:
        return None
    detail = "Units of the operation are no longer where it put them."
    return Refused("insufficient_stock", detail, {"lines": rows})


def _back(view: View, moved: Moved) -> Step:
    level = view.levels[moved.level]
    units = _on_hand(moved)
    value = None
    if units:
        gone = level.total_value if units == level.on_hand else min(moved.value, level.total_value)
        value = -gone if units > 0 else -moved.value
    return Step(
        level,
        available=-moved.available,
        reserved=-moved.reserved,
        damaged=-moved.damaged,
        quarantine=-moved.quarantine,
        in_transit=-moved.in_transit,
        value=value,
    )


def _shared(taken: list[Step], given: list[Step]) -> list[Step]:
    """The value that was taken out of a transfer's targets goes back into its sources.

    Each variant by itself, by the share that each source had; the last takes what is left.
    """
    shared = []
    for variant in {step.level.key.variant_id: None for step in given}:
        sources = [step for step in given if step.level.key.variant_id == variant]
        value = sum((-(s.value or ZERO) for s in taken if s.level.key.variant_id == variant), ZERO)
        whole = sum(((step.value or ZERO) for step in sources), ZERO)
        for step in sources:
            mine = step.value or ZERO
            part = value
            if step is not sources[-1]:
                share = CTX.divide(CTX.multiply(value, mine), whole) if whole else ZERO
                part = share.quantize(MICRO, context=CTX)
            whole, value = CTX.subtract(whole, mine), CTX.subtract(value, part)
            shared.append(step._replace(value=part))
    return shared
