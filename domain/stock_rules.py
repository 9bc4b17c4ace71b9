"""The arithmetic of stock: what a command does to levels and holds, or why it is refused.

This is the only place that knows these rules. They are pure: a view of the touched levels and
holds goes in, the changes or a refusal come out. ``db/stock.py`` locks, asks and writes.

Value. ``total_value = round(average_cost * on_hand, 6)`` holds for every level at every moment.
Goods that come in with a cost set a new average, ``(total_value + inbound value) / on_hand``
(perpetual weighted average, IAS 2.27). Goods that leave, or are found again without a cost, leave
the average as it is; zero units have zero value. The average has 24 decimals, so that up to 2^53
units at six decimals are valued without losing a millionth.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, NamedTuple

from domain.stock import (
    MAX_QUANTITY,
    MICRO,
    UNKNOWN_ITEM,
    ZERO,
    Accepted,
    Action,
    Adjust,
    Change,
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
    Set,
    Ship,
    Transfer,
    View,
)

_AVERAGE = Decimal(1).scaleb(-24)
_CTX = Context(prec=96, rounding=ROUND_HALF_UP)


class _Step(NamedTuple):
    """A planned change of one level: signed deltas of the buckets, and an inbound value."""

    level: Level
    available: int = 0
    reserved: int = 0
    damaged: int = 0
    quarantine: int = 0
    in_transit: int = 0
    inbound: Decimal | None = None


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
    return decided


def _summed(lines: Iterable[Line]) -> dict[LevelKey, int]:
    sums: dict[LevelKey, int] = {}
    for line in lines:
        sums[line.level] = sums.get(line.level, 0) + line.quantity
    return sums


def _reserve(view: View, action: Reserve, new_id: NewId) -> Accepted | Refused:
    sums = _summed(action.lines)
    refusal = (
        _unknown(view, sums)
        or _blocked(view, sums)
        or _short(view, action.lines, sums, "available")
    )
    if refusal:
        return refusal
    accepted = _apply(
        Kind.RESERVE,
        [_Step(view.levels[key], available=-need, reserved=need) for key, need in sums.items()],
    )
    if isinstance(accepted, Accepted):
        for line in action.lines:
            hold = Hold(
                id=new_id(),
                level=line.level,
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
    accepted = _apply(
        kind,
        [
            _Step(view.levels[key], available=back * units, reserved=-units)
            for key, units in sums.items()
        ],
    )
    if isinstance(accepted, Accepted):
        for hold, part in taken:
            hold.open -= part
            accepted.used_holds.append(hold)
    return accepted


def _receive(view: View, action: Receive) -> Accepted | Refused:
    sums = _summed(action.lines)
    refusal = _unknown(view, sums) or _blocked(view, sums)
    if refusal:
        return refusal
    values: dict[LevelKey, Decimal] = {}
    for line in action.lines:
        cost = line.unit_cost if line.unit_cost is not None else ZERO
        value = _CTX.multiply(cost, Decimal(line.quantity)).quantize(MICRO, context=_CTX)
        values[line.level] = _CTX.add(values.get(line.level, ZERO), value)
    return _apply(
        action.kind,
        [_Step(view.levels[k], available=q, inbound=values[k]) for k, q in sums.items()],
    )


def _deduct(view: View, action: Deduct) -> Accepted | Refused:
    sums = _summed(action.lines)
    refusal = _unknown(view, sums) or _short(view, action.lines, sums, "available")
    if refusal:
        return refusal
    return _apply(action.kind, [_Step(view.levels[k], available=-q) for k, q in sums.items()])


def _adjust(view: View, action: Adjust) -> Accepted | Refused:
    sums = _summed(action.lines)
    falls = {key: -units for key, units in sums.items() if units < 0}
    rises = [key for key, units in sums.items() if units > 0]
    refusal = (
        _unknown(view, sums)
        or _blocked(view, rises)
        or _short(view, action.lines, falls, "available")
    )
    if refusal:
        return refusal
    gains = _gains(action.lines)
    steps = []
    for key, units in sums.items():
        inbound = None
        if units > 0 and key in gains:
            priced, worth = gains[key]
            mean = _CTX.divide(_CTX.multiply(worth, Decimal(units)), Decimal(priced))
            inbound = mean.quantize(MICRO, context=_CTX)
        if units:
            steps.append(_Step(view.levels[key], available=units, inbound=inbound))
    return _apply(action.kind, steps)


def _gains(lines: Iterable[Line]) -> dict[LevelKey, tuple[int, Decimal]]:
    """Units and worth of the gains that name a cost; their mean values a level's net gain."""
    gains: dict[LevelKey, tuple[int, Decimal]] = {}
    for line in lines:
        if line.quantity > 0 and line.unit_cost is not None:
            units, worth = gains.get(line.level, (0, ZERO))
            more = _CTX.multiply(line.unit_cost, Decimal(line.quantity))
            gains[line.level] = (units + line.quantity, _CTX.add(worth, more))
    return gains


def _move(view: View, action: Move) -> Accepted | Refused:
    sums = _summed(action.lines)
    refusal = _unknown(view, sums) or _short(view, action.lines, sums, action.source.value)
    if refusal:
        return refusal
    steps = []
    for key, units in sums.items():
        deltas: dict[str, Any] = {action.source.value: -units, action.target.value: units}
        steps.append(_Step(view.levels[key], **deltas))
    return _apply(action.kind, steps)


def _set_to(view: View, action: Set) -> Accepted | Refused:
    """The difference is posted as an adjustment, unless what was expected is no longer there."""
    stale, lines = [], []
    for line in action.lines:
        level = view.levels.get(line.level)
        current = level.available if level is not None else 0
        if line.expected is not None and line.expected != current:
            stale.append({"line": line.line, "expected": line.expected, "current": current})
        elif line.quantity != current:
            lines.append(Line(line.level, line.quantity - current, line.line))
    refusal = _unknown(view, (line.level for line in action.lines))
    if stale and refusal is None:
        refusal = Refused("stale_quantity", "The quantity was changed meanwhile.", {"lines": stale})
    return refusal or _adjust(view, Adjust(tuple(lines)))


def _transfer(view: View, action: Transfer) -> Accepted | Refused:
    """Out of the sources at average cost, into the targets at exactly that value."""
    lines = [Line(line.level, line.quantity, line.line) for line in action.lines]
    sums = _summed(lines)
    into = _summed(Line(line.target, line.quantity) for line in action.lines)
    refusal = (
        _unknown(view, [*sums, *into])
        or _blocked(view, into)
        or _short(view, lines, sums, "available")
    )
    if refusal:
        return refusal
    arriving = [_Step(view.levels[key], available=units) for key, units in into.items()]
    refusal = _over_limit(arriving)
    if refusal:
        return refusal
    out = [_change(Kind.TRANSFER_OUT, _Step(view.levels[k], available=-q)) for k, q in sums.items()]
    left = {change.level: (-change.available, -change.value) for change in out}
    values: dict[LevelKey, Decimal] = {}
    for line in action.lines:
        # The last units of a source take what is left of its value, so that no millionth is lost.
        units, value = left[line.level]
        part = value_of(_CTX.divide(value, Decimal(units)), line.quantity)
        left[line.level] = (units - line.quantity, _CTX.subtract(value, part))
        values[line.target] = _CTX.add(values.get(line.target, ZERO), part)
    steps = [step._replace(inbound=values[step.level.key]) for step in arriving]
    return Accepted(changes=out + [_change(Kind.TRANSFER_IN, step) for step in steps])


def _blocked(view: View, keys: Iterable[LevelKey]) -> Refused | None:
    """Refuse what a disabled variant or a closed warehouse may not do any more."""
    for key in keys:
        level = view.levels.get(key)
        where = {"variant_id": str(key.variant_id), "warehouse_id": str(key.warehouse_id)}
        if level is not None and not level.variant_active:
            return Refused("variant_disabled", "The variant is disabled.", where)
        if level is not None and not level.warehouse_active:
            return Refused("warehouse_inactive", "The warehouse is not active.", where)
    return None


def _unknown(view: View, keys: Iterable[LevelKey]) -> Refused | None:
    """Refuse what names a variant or a warehouse that does not exist."""
    for key in keys:
        if key in view.unknown:
            return Refused(
                UNKNOWN_ITEM,
                "There is no such variant or warehouse.",
                {"variant_id": str(key.variant_id), "warehouse_id": str(key.warehouse_id)},
            )
    return None


def _short(
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


def _apply(kind: Kind, steps: Sequence[_Step]) -> Accepted | Refused:
    """Check every step against the limits, then change all levels."""
    return _over_limit(steps) or Accepted(changes=[_change(kind, step) for step in steps])


def _over_limit(steps: Sequence[_Step]) -> Refused | None:
    for step in steps:
        level = step.level
        rise = step.available + step.reserved + step.damaged + step.quarantine
        if level.on_hand + rise > MAX_QUANTITY:
            return Refused(
                "quantity_limit",
                f"A level holds at most {MAX_QUANTITY} units.",
                {"variant_id": str(level.key.variant_id), "limit": MAX_QUANTITY},
            )
    return None


def _change(kind: Kind, step: _Step) -> Change:
    level = step.level
    on_hand_before = level.on_hand
    unit_cost = level.average_cost
    level.available += step.available
    level.reserved += step.reserved
    level.damaged += step.damaged
    level.quarantine += step.quarantine
    level.in_transit += step.in_transit
    level.sequence += 1
    on_hand = level.on_hand
    value_before = level.total_value
    if step.inbound is not None:
        units = Decimal(on_hand - on_hand_before)
        unit_cost = _CTX.divide(step.inbound, units).quantize(_AVERAGE, context=_CTX)
        level.total_value = _CTX.add(value_before, step.inbound)
        level.average_cost = _CTX.divide(level.total_value, Decimal(on_hand)).quantize(
            _AVERAGE, context=_CTX
        )
    elif on_hand != on_hand_before:
        level.total_value = value_of(level.average_cost, on_hand)
    return Change(
        level=level.key,
        kind=kind,
        available=step.available,
        reserved=step.reserved,
        damaged=step.damaged,
        quarantine=step.quarantine,
        in_transit=step.in_transit,
        value=_CTX.subtract(level.total_value, value_before),
        unit_cost=unit_cost,
        sequence=level.sequence,
        available_after=level.available,
        reserved_after=level.reserved,
        on_hand_after=on_hand,
        value_after=level.total_value,
    )


def value_of(average_cost: Decimal, on_hand: int) -> Decimal:
    """``round(average_cost * on_hand, 6)``, half away from zero as PostgreSQL rounds numerics."""
    return _CTX.multiply(average_cost, Decimal(on_hand)).quantize(MICRO, context=_CTX)
