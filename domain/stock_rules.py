"""The rules of stock: what a command does to levels and holds, or why it is refused.

This is the only place that knows these rules, with ``stock_steps`` (the arithmetic of one level),
``stock_refusals`` and ``stock_corrections`` (what takes back or revalues). They are pure: a view of
the touched levels and holds goes in, the changes or a refusal come out. ``db/stock.py`` locks,
asks and writes.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from domain.stock import (
    MICRO,
    ZERO,
    Accepted,
    Action,
    Adjust,
    Deduct,
    Hold,
    Kind,
    Level,
    LevelKey,
    Line,
    Move,
    NewId,
    Receive,
    Refused,
    Release,
    Reserve,
    Revalue,
    Reverse,
    Set,
    Ship,
    Transfer,
    View,
)
from domain.stock_corrections import revalue, reverse
from domain.stock_refusals import Step, blocked, level_at, over_limit, short, summed, unknown
from domain.stock_steps import CTX, apply, change, value_of


def decide(view: View, action: Action, new_id: NewId) -> Accepted | Refused:
    """Apply ``action`` to ``view``, or refuse it and leave the view as it was.

    ``new_id`` gives ids for new holds. Lines of one level are summed before any check, so that
    two lines of one variant can never take more than there is.
    """
    decided: Accepted | Refused
    match action:
        case Reserve():
            decided = _reserve(view, action, new_id)
        case Ship():
            decided = _from_holds(view, action.owner, action.lines, Kind.SHIP)
        case Release():
            decided = _from_holds(view, action.owner, action.lines, Kind.RELEASE)
        case Receive():
            decided = _receive(view, action)
        case Deduct():
            decided = _deduct(view, action)
        case Adjust():
            decided = _adjust(view, action)
        case Move():
            decided = _move(view, action)
        case Set():
            decided = _set_to(view, action)
        case Transfer():
            decided = _transfer(view, action)
        case Reverse():
            decided = reverse(view, action)
        case Revalue():
            decided = revalue(view, action)
    return decided


def _reserve(view: View, action: Reserve, new_id: NewId) -> Accepted | Refused:
    sums = summed(view, action.lines)
    refusal = unknown(view, sums) or blocked(sums) or short(action.lines, sums, "available")
    if refusal:
        return refusal
    accepted = apply(Kind.RESERVE, [Step(level, -need, need) for _, level, need in sums])
    if isinstance(accepted, Accepted):
        for line in action.lines:
            hold = Hold(
                id=new_id(),
                level=line.level,
                level_id=level_at(view, line.level).id,
                owner=action.owner,
                line=line.line,
                quantity=line.quantity,
                open=line.quantity,
                expires_at=action.expires_at,
            )
            accepted.new_holds.append(hold)
            view.holds.setdefault(action.owner, []).append(hold)
    return accepted


def _from_holds(
    view: View, owner: str, lines: Mapping[int, int] | None, kind: Kind
) -> Accepted | Refused:
    holds = [hold for hold in view.holds.get(owner, ()) if hold.open]
    if lines is None:
        lines = {}
        for hold in holds:
            lines[hold.line] = lines.get(hold.line, 0) + hold.open
    taken: list[tuple[Hold, int]] = []
    missing: list[dict[str, int]] = []
    for line, quantity in lines.items():
        left = quantity
        for hold in holds:
            if left and hold.line == line:
                part = min(left, hold.open)
                taken.append((hold, part))
                left -= part
        if left:
            missing.append({"line": line, "requested": quantity, "reserved": quantity - left})
    if missing:
        return Refused(
            "not_reserved",
            f"{owner} does not hold what was asked for.",
            {"owner": owner, "lines": missing},
        )
    sums: dict[LevelKey, int] = {}
    for hold, part in taken:
        sums[hold.level] = sums.get(hold.level, 0) + part
    back = 0 if kind is Kind.SHIP else 1
    accepted = apply(
        kind,
        [
            Step(view.levels[key], available=back * units, reserved=-units)
            for key, units in sums.items()
        ],
    )
    if isinstance(accepted, Accepted):
        for hold, part in taken:
            hold.open -= part
            accepted.used_holds.append(hold)
    return accepted


def _receive(view: View, action: Receive) -> Accepted | Refused:
    sums = summed(view, action.lines)
    refusal = unknown(view, sums) or blocked(sums)
    if refusal:
        return refusal
    values: dict[LevelKey, Decimal] = {}
    for line in action.lines:
        cost = line.unit_cost if line.unit_cost is not None else ZERO
        value = CTX.multiply(cost, Decimal(line.quantity)).quantize(MICRO, context=CTX)
        values[line.level] = CTX.add(values.get(line.level, ZERO), value)
    return apply(
        action.kind,
        [Step(level, available=units, value=values[key]) for key, level, units in sums],
    )


def _deduct(view: View, action: Deduct) -> Accepted | Refused:
    sums = summed(view, action.lines)
    bucket = action.source.value
    refusal = unknown(view, sums) or short(action.lines, sums, bucket)
    if refusal:
        return refusal
    return apply(action.kind, [_taken(level, bucket, units) for _, level, units in sums])


def _taken(level: Level, bucket: str, units: int) -> Step:
    deltas: dict[str, Any] = {bucket: -units}
    return Step(level, **deltas)


def _adjust(view: View, action: Adjust) -> Accepted | Refused:
    sums = summed(view, action.lines)
    falls = [one._replace(units=-one.units) for one in sums if one.units < 0]
    rises = [one for one in sums if one.units > 0]
    refusal = unknown(view, sums) or blocked(rises) or short(action.lines, falls, "available")
    if refusal:
        return refusal
    gains = _gains(action.lines)
    steps = []
    for key, level, units in sums:
        inbound = None
        if units > 0 and key in gains:
            priced, worth = gains[key]
            mean = CTX.divide(CTX.multiply(worth, Decimal(units)), Decimal(priced))
            inbound = mean.quantize(MICRO, context=CTX)
        if units:
            steps.append(Step(level, available=units, value=inbound))
    return apply(action.kind, steps)


def _gains(lines: Iterable[Line]) -> dict[LevelKey, tuple[int, Decimal]]:
    """Units and worth of the gains that name a cost; their mean values a level's net gain."""
    gains: dict[LevelKey, tuple[int, Decimal]] = {}
    for line in lines:
        if line.quantity > 0 and line.unit_cost is not None:
            units, worth = gains.get(line.level, (0, ZERO))
            more = CTX.multiply(line.unit_cost, Decimal(line.quantity))
            gains[line.level] = (units + line.quantity, CTX.add(worth, more))
    return gains


def _move(view: View, action: Move) -> Accepted | Refused:
    sums = summed(view, action.lines)
    refusal = unknown(view, sums) or short(action.lines, sums, action.source.value)
    if refusal:
        return refusal
    steps = []
    for _, level, units in sums:
        deltas: dict[str, Any] = {action.source.value: -units, action.target.value: units}
        steps.append(Step(level, **deltas))
    return apply(action.kind, steps)


def _set_to(view: View, action: Set) -> Accepted | Refused:
    """The difference is posted as an adjustment, unless what was expected is no longer there."""
    stale, lines = [], []
    for line in action.lines:
        current = level_at(view, line.level).available
        if line.expected is not None and line.expected != current:
            stale.append({"line": line.line, "expected": line.expected, "current": current})
        elif line.quantity != current:
            lines.append(Line(line.level, line.quantity - current, line.line))
    named = [Line(line.level, line.quantity) for line in action.lines]
    refusal = unknown(view, summed(view, named))
    if stale and refusal is None:
        refusal = Refused("stale_quantity", "The quantity was changed meanwhile.", {"lines": stale})
    return refusal or _adjust(view, Adjust(tuple(lines)))


def _transfer(view: View, action: Transfer) -> Accepted | Refused:
    """Out of the sources at average cost, into the targets at exactly that value."""
    lines = [Line(line.level, line.quantity, line.line) for line in action.lines]
    sums = summed(view, lines)
    into = summed(view, [Line(line.target, line.quantity) for line in action.lines])
    refusal = unknown(view, [*sums, *into]) or blocked(into) or short(lines, sums, "available")
    if refusal:
        return refusal
    arriving = [Step(level, available=units) for _, level, units in into]
    refusal = over_limit(arriving)
    if refusal:
        return refusal
    out = [change(Kind.TRANSFER_OUT, Step(level, available=-q)) for _, level, q in sums]
    left = {change.level: (-change.available, -change.value) for change in out}
    values: dict[LevelKey, Decimal] = {}
    for line in action.lines:
        # The last units of a source take what is left of its value, so that no millionth is lost.
        units, value = left[line.level]
        part = value_of(CTX.divide(value, Decimal(units)), line.quantity)
        left[line.level] = (units - line.quantity, CTX.subtract(value, part))
        values[line.target] = CTX.add(values.get(line.target, ZERO), part)
    steps = [step._replace(value=values[step.level.key]) for step in arriving]
    return Accepted(changes=out + [change(Kind.TRANSFER_IN, step) for step in steps])
