"""Drives orders to their ends: each place in the file always goes the same way."""

import time
from collections.abc import Mapping
from typing import Any

from demo.shop import EXPIRY_SECONDS, Goods, Shop

LAMP = Goods("DEMO-LAMP", "Desk lamp, brass", price="40.00", cost="24.00", units=100)
_WINDOW_SECONDS = 2
_WHOLE = ("pay", "pick", "ship", "deliver", "close")
_TWO_PARCELS = ("pay", "pick", "part", "ship", "deliver", "close")


def way_of(place: int) -> tuple[str, ...]:
    """The commands that the order at this place gets, in order."""
    return _TWO_PARCELS if place % 3 == 2 else _WHOLE


def drive(shop: Shop, place: int, order: Mapping[str, Any]) -> None:
    """Send an imported order its commands; each happened when its invoice was written."""
    number, at = order["number"], order["occurred_at"]
    parcels = 0
    for command in way_of(place):
        if command == "pay":
            if not _owes(order):
                continue
            body = _payment(order) | {"occurred_at": at}
        elif command == "part":
            first = _first_parcel(order)
            if not first:
                continue
            body = {"lines": first, "carrier": "Parcel post", "occurred_at": at}
        elif command == "ship":
            body = {"carrier": "Parcel post", "occurred_at": at}
        else:
            body = {"occurred_at": at} if command == "deliver" else {}
        if command in ("part", "ship"):
            parcels += 1
            done = shop.tell(number, "ship", body, parcels)
        else:
            done = shop.tell(number, command, body)
        if not done:
            return


def own_orders(shop: Shop) -> dict[str, str]:
    """Place orders that end otherwise, and two that stay open, so that there is something to do.

    Gives their numbers by what becomes of them.
    """
    customer = shop.customer("DEMO", "Corner café")
    variant = shop.stock(LAMP)
    numbers = {
        "expired_unpaid": shop.order(
            "never paid", customer, variant, 2, payment_window=_WINDOW_SECONDS
        ),
        "expired_unshipped": shop.order(
            "never picked",
            customer,
            variant,
            2,
            payment_required=False,
            ship_window=_WINDOW_SECONDS,
        ),
        "cancelled": shop.order("changed their mind", customer, variant, 3),
        "partly_cancelled": shop.order("enough after four", customer, variant, 10),
        "refused": shop.order("more than there is", customer, variant, 1000),
        "waiting_for_payment": shop.order("still to be paid", customer, variant, 1),
        "on_its_way": shop.order("with the carrier", customer, variant, 2),
    }
    shop.tell(numbers["cancelled"], "cancel", {"reason": "ordered twice"})
    _ship_four_of_ten(shop, numbers["partly_cancelled"])
    _send_off(shop, numbers["on_its_way"])
    shop.write_off(variant, 1, "dropped in the store")
    return numbers


def wait_for_expiry(shop: Shop, numbers: Mapping[str, str]) -> None:
    """Return when the orders with a short window have expired, or when they are long overdue."""
    waiting = [numbers["expired_unpaid"], numbers["expired_unshipped"]]
    deadline = time.monotonic() + EXPIRY_SECONDS
    while waiting and time.monotonic() < deadline:
        waiting = [one for one in waiting if shop.read(one)["fulfilment"] != "expired"]
        if waiting:
            time.sleep(0.3)


def ending_of(order: Mapping[str, Any]) -> str:
    """How an order stands, in one word; what was given up after a parcel is told apart."""
    lines = order["lines"]
    shipped = sum(line["shipped"] for line in lines)
    if shipped and sum(line["cancelled"] for line in lines):
        return "partly_cancelled"
    return "refused" if order["fulfilment"] == "failed" else str(order["fulfilment"])


def _ship_four_of_ten(shop: Shop, number: str) -> None:
    order = shop.read(number)
    if order["fulfilment"] == "closed":
        return
    shop.tell(number, "pay", _payment(order))
    shop.tell(number, "pick", {})
    shop.tell(number, "ship", {"lines": [{"line": 1, "quantity": 4}]})
    shop.tell(number, "cancel", {"reason": "four are enough"})
    shop.tell(number, "deliver", {})
    shop.tell(number, "close", {})


def _send_off(shop: Shop, number: str) -> None:
    shop.tell(number, "pay", _payment(shop.read(number)))
    shop.tell(number, "pick", {})
    shop.tell(number, "ship", {"carrier": "Parcel post", "tracking": "DEMO-1"})


def _payment(order: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "method": "bank_transfer",
        "amount": order["total_amount"],
        "currency": order["currency"],
    }


def _owes(order: Mapping[str, Any]) -> bool:
    """Whether there is anything to pay: gifts cost nothing."""
    return bool(order["total_amount"].strip("0."))


def _first_parcel(order: Mapping[str, Any]) -> list[dict[str, int]]:
    """The first half of the lines, or of a single line; nothing when there is only one unit."""
    lines = order["lines"]
    if len(lines) > 1:
        half = lines[: len(lines) // 2]
        return [{"line": line["line"], "quantity": line["ordered"]} for line in half]
    units = lines[0]["ordered"] // 2
    return [{"line": lines[0]["line"], "quantity": units}] if units else []
