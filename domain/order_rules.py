"""What an order may do next: pure functions over its state, used by validators and handlers."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from domain.errors import Conflict, InvalidInput, ProcessClosed
from domain.orders import (
    Cancel,
    Close,
    Command,
    Deliver,
    Fulfilment,
    LineState,
    OrderState,
    Parcel,
    Pay,
    Payload,
    PaymentStatus,
    Pick,
    Receipt,
    RecordOrder,
    ReleaseStock,
    Resolve,
    Ship,
    ShipLine,
    ShipStock,
    Waiting,
)

_HOLDING = frozenset({Fulfilment.RESERVED, Fulfilment.PICKING, Fulfilment.PARTIALLY_SHIPPED})


def refuse(state: OrderState, command: Command) -> None:
    """Raise when the state does not allow the command; otherwise do nothing.

    Raises:
        ProcessClosed: the order has ended.
        Conflict: another state is needed first; ``details`` names both.
        InvalidInput: the command does not fit the order (unknown line, other currency).
    """
    if state.ended:
        raise ProcessClosed(
            f"Order {state.order.number} is {state.fulfilment}.",
            details={"fulfilment": state.fulfilment.value},
        )
    if state.attention is not None and not isinstance(command, Resolve):
        raise Conflict(state.attention, code="needs_attention")
    match command:
        case Pay():
            _refuse_pay(state, command)
        case Pick():
            _refuse_pick(state)
        case Ship():
            _refuse_ship(state, command)
        case Deliver():
            _need(state, "not_shipped", Fulfilment.SHIPPED)
        case Close():
            _need(state, "not_delivered", Fulfilment.DELIVERED)
        case Cancel():
            _refuse_cancel(state)
        case Resolve() if state.attention is None:
            raise Conflict("Nothing of this order needs a decision.", code="nothing_to_resolve")
        case _:
            pass


def _need(state: OrderState, code: str, *allowed: Fulfilment) -> None:
    if state.fulfilment not in allowed:
        raise Conflict(
            f"Order {state.order.number} is {state.fulfilment}.",
            code=code,
            details={
                "fulfilment": state.fulfilment.value,
                "needed": [status.value for status in allowed],
            },
        )


def _refuse_pay(state: OrderState, command: Pay) -> None:
    if command.currency != state.order.currency:
        raise InvalidInput.field(
            "/currency", "currency", f"The order is in {state.order.currency}."
        )
    if command.amount <= 0:
        raise InvalidInput.field("/amount", "amount", "The amount must be above zero.")
    _need(
        state,
        "not_reserved",
        *_HOLDING,
        Fulfilment.SHIPPED,
        Fulfilment.DELIVERED,
    )


def _refuse_pick(state: OrderState) -> None:
    _need(state, "not_reserved", Fulfilment.RESERVED)
    if state.order.payment_required and state.payment is not PaymentStatus.PAID:
        raise Conflict(
            f"Order {state.order.number} must be paid before picking.",
            code="payment_required",
            details={"total": str(state.order.total), "paid": str(state.paid)},
        )


def _refuse_ship(state: OrderState, command: Ship) -> None:
    if state.fulfilment in (Fulfilment.SHIPPED, Fulfilment.DELIVERED):
        raise Conflict(f"Order {state.order.number} has been shipped.", code="already_shipped")
    _need(state, "not_picked", Fulfilment.PICKING, Fulfilment.PARTIALLY_SHIPPED)
    by_line = {line.line: line for line in state.lines}
    short = []
    for line, quantity in summed(command.lines).items():
        if line not in by_line:
            raise InvalidInput.field("/lines", "unknown_line", f"There is no line {line}.")
        if quantity > by_line[line].reserved:
            short.append({"line": line, "requested": quantity, "reserved": by_line[line].reserved})
    if short:
        raise Conflict(
            "More was to be shipped than is reserved.",
            code="not_reserved",
            details={"lines": short},
        )


def _refuse_cancel(state: OrderState) -> None:
    if state.fulfilment in (Fulfilment.SHIPPED, Fulfilment.DELIVERED):
        raise Conflict(
            f"Order {state.order.number} has left the house; open a return instead.",
            code="already_shipped",
        )
    _need(state, "not_reserved", *_HOLDING)


def summed(lines: tuple[ShipLine, ...]) -> dict[int, int]:
    """Quantity per order line: the same line twice in one parcel is added up."""
    sums: dict[int, int] = {}
    for line in lines:
        sums[line.line] = sums.get(line.line, 0) + line.quantity
    return sums


def to_ship(state: OrderState, command: Ship) -> dict[int, int]:
    """What a parcel takes: the lines it names, or all that is still reserved."""
    if command.lines:
        return summed(command.lines)
    return {line.line: line.reserved for line in state.lines if line.reserved}


def reserved_lines(state: OrderState) -> list[LineState]:
    """The lines right after all of them were reserved."""
    return [line.model_copy(update={"reserved": line.ordered}) for line in state.lines]


def shipped_lines(state: OrderState, parcel: Mapping[int, int]) -> list[LineState]:
    """The lines after ``parcel`` left: shipped rises by what reserved falls."""
    return [
        line.model_copy(
            update={
                "reserved": line.reserved - parcel.get(line.line, 0),
                "shipped": line.shipped + parcel.get(line.line, 0),
            }
        )
        for line in state.lines
    ]


def cancelled_lines(state: OrderState) -> list[LineState]:
    """The lines after everything that has not been shipped was given up."""
    return [
        line.model_copy(
            update={"reserved": 0, "backordered": 0, "cancelled": line.ordered - line.shipped}
        )
        for line in state.lines
    ]


def payment_status(state: OrderState, paid: Decimal) -> PaymentStatus:
    """Paid once the total is reached; more than the total is shown, not refused."""
    return PaymentStatus.PAID if paid >= state.order.total else PaymentStatus.PENDING


def receipt(state: OrderState, command: Pay, now: datetime) -> Receipt:
    """The payment as it is recorded, the last of the order so far."""
    return Receipt(
        n=state.receipts,
        method=command.method,
        amount=command.amount,
        currency=command.currency,
        reference=command.reference,
        received_at=command.occurred_at or now,
        recorded_by=command.actor,
    )


def parcel(state: OrderState, command: Ship, units: Mapping[int, int], now: datetime) -> Parcel:
    """The shipment as it is recorded, the last of the order so far."""
    return Parcel(
        n=state.parcels,
        lines=tuple(ShipLine(line=line, quantity=quantity) for line, quantity in units.items()),
        carrier=command.carrier,
        tracking=command.tracking,
        shipped_at=command.occurred_at or now,
        shipped_by=command.actor,
    )


def waiting(state: OrderState, now: datetime) -> Waiting | None:
    """What the order waits for, until when, and what happens then; nothing once it has ended."""
    since = state.since or now
    if state.ended:
        return None
    if state.attention is not None:
        return Waiting(what="decision", since=since)
    unpaid = state.order.payment_required and state.payment is not PaymentStatus.PAID
    match state.fulfilment:
        case Fulfilment.RESERVED if unpaid:
            what, until = "payment", state.payment_deadline
        case Fulfilment.RESERVED:
            what, until = "picking", state.ship_deadline
        case Fulfilment.PICKING | Fulfilment.PARTIALLY_SHIPPED:
            what, until = "shipping", state.ship_deadline
        case Fulfilment.SHIPPED:
            what, until = "delivery", _after(state.shipped_at, state.order.close_after)
        case Fulfilment.DELIVERED:
            what, until = "closing", _after(state.delivered_at, state.order.close_after)
        case _:
            return Waiting(what="reservation", since=since)
    ends = "close" if what in ("delivery", "closing") else "expire"
    return Waiting(what=what, since=since, until=until, then_what=ends)


def _after(start: datetime | None, seconds: int) -> datetime | None:
    return None if start is None else start + timedelta(seconds=seconds)


_PROBES: dict[str, Command] = {
    "pay": Pay(actor="", method="", amount=Decimal(1), currency=""),
    "pick": Pick(actor=""),
    "ship": Ship(actor=""),
    "deliver": Deliver(actor=""),
    "close": Close(actor=""),
    "cancel": Cancel(actor=""),
}


def actions(state: OrderState) -> tuple[str, ...]:
    """The commands that the state allows now, by the same rules that refuse the others."""
    if state.attention is not None and not state.ended:
        return ("resolve",)
    allowed = []
    for name, probe in _PROBES.items():
        fitting = (
            probe.model_copy(update={"currency": state.order.currency})
            if isinstance(probe, Pay)
            else probe
        )
        try:
            refuse(state, fitting)
        except (Conflict, InvalidInput):
            continue
        allowed.append(name)
    return tuple(allowed)


def summary(step: Payload) -> str:
    """A step in a few words, for the Temporal UI."""
    match step:
        case ShipStock():
            return f"{sum(step.lines.values())} units leave"
        case ReleaseStock():
            return f"release: {step.reason}" if step.reason else "release"
        case RecordOrder():
            return ", ".join(fact.kind for fact in step.facts) or step.fulfilment.value
        case _:
            return ""


def describe(state: OrderState, now_waiting: Waiting | None) -> str:
    """The state as a small Markdown table, for the Temporal UI."""
    what, since, until, then = "-", "-", "-", "-"
    if now_waiting is not None:
        what, since = now_waiting.what, str(now_waiting.since)
        until, then = str(now_waiting.until or "-"), now_waiting.then_what or "-"
    allowed = ", ".join(actions(state)) or "-"
    head = f"**{state.order.number}** is **{state.fulfilment}**, payment **{state.payment}**"
    table = "| waits for | since | until | then | allowed now |\n| --- | --- | --- | --- | --- |"
    text = f"{head}\n\n{table}\n| {what} | {since} | {until} | {then} | {allowed} |"
    return text if state.attention is None else f"{text}\n\n**Needs a decision:** {state.attention}"
