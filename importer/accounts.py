"""Proves that a plan leaves nothing of its file out and counts nothing twice."""

from collections.abc import Iterable, Iterator
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
    localcontext,
)
from itertools import chain

from importer.planned import GUEST, ImportPlan
from importer.rows import SalesFileError

# Quantities to 2^53, prices to 18 digits and sums of millions of them stay exact in 60 digits. The
# caller's own context must not matter, so it is complete.
EXACT = Context(
    prec=60, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow]
)


def account(plan: ImportPlan) -> dict[str, int | Decimal]:
    """Check the sums that must hold and return them by name.

    Every row is used, charge, deferred, refused or blank; every invoice is an order, deferred or
    refused; no line of the file is used twice; units and value are those of the order lines; each
    sold article has one product and one opening, each order a customer. Raises SalesFileError
    `accounts_differ` naming the first sum that doesn't hold: a fault of the planning, not the file.
    """
    with localcontext(EXACT):
        sums = _sums(plan)
        totals = plan.totals
        for name, value in sums.items():
            _same(name, value, getattr(totals, name))
    rows = (
        totals.usable_lines
        + totals.charge_lines
        + totals.deferred_lines
        + totals.refused_lines
        + totals.blank_lines
    )
    _same("lines_read", rows, totals.lines_read)
    invoices = totals.orders + totals.deferred_invoices + totals.refused_invoices
    _same("invoices", invoices, totals.invoices)
    _check_identity(plan)
    _check_references(plan)
    return {
        "lines_read": totals.lines_read,
        "blank_lines": totals.blank_lines,
        "invoices": totals.invoices,
        **sums,
        "customers": len(plan.customers),
        "articles": len(plan.products),
        "opening_units": sum(opening.units for opening in plan.openings),
    }


def _sums(plan: ImportPlan) -> dict[str, int | Decimal]:
    """The plan's lists, counted afresh, under the names of its totals."""
    lines = [line for order in plan.orders for line in order.lines]
    charges = [charge for order in plan.orders for charge in order.charges]
    return {
        "usable_lines": len(lines),
        "charge_lines": len(charges),
        "deferred_lines": sum(len(invoice.lines) for invoice in plan.deferred),
        "refused_lines": len(plan.refused_rows),
        "orders": len(plan.orders),
        "deferred_invoices": len(plan.deferred),
        "refused_invoices": len(plan.refused_invoices),
        "units": sum(line.quantity for line in lines),
        "value": sum((line.quantity * line.unit_price for line in lines), Decimal(0)),
        "charge_value": sum((charge.amount for charge in charges), Decimal(0)),
    }


def _check_identity(plan: ImportPlan) -> None:
    """No line of the file and no invoice number may stand in two places."""
    _unique("lines of the file", _source_lines(plan))
    _unique(
        "invoices",
        chain(
            (order.number for order in plan.orders),
            (invoice.number for invoice in plan.deferred),
            (invoice.number for invoice in plan.refused_invoices),
        ),
    )
    _unique("articles", (product.sku for product in plan.products))
    _unique("customers", (customer.code for customer in plan.customers))


def _source_lines(plan: ImportPlan) -> Iterator[int]:
    for order in plan.orders:
        yield from (line.source_line for line in order.lines)
        yield from (charge.source_line for charge in order.charges)
    for invoice in plan.deferred:
        yield from (line.source_line for line in invoice.lines)
    yield from (row.line for row in plan.refused_rows)


def _check_references(plan: ImportPlan) -> None:
    """What orders speak of is posted before them, and what is sold is what openings cover."""
    sold: dict[str, int] = {}
    for order in plan.orders:
        for line in order.lines:
            sold[line.sku] = sold.get(line.sku, 0) + line.quantity
    _same("articles sold", {product.sku for product in plan.products}, set(sold))
    _same("units opened for", {item.sku: item.sold for item in plan.openings}, sold)
    buyers = {order.customer for order in plan.orders}
    _same("customers", {customer.code for customer in plan.customers}, buyers)
    if any(not order.customer for order in plan.orders):
        raise SalesFileError("accounts_differ", f"An order names no customer, not even {GUEST}.")


def _unique(name: str, values: Iterable[str | int]) -> None:
    seen: set[str | int] = set()
    for value in values:
        if value in seen:
            raise SalesFileError("accounts_differ", f"Among the {name}, {value} stands twice.")
        seen.add(value)


def _same(name: str, left: object, right: object) -> None:
    if left != right:
        # Large sets would drown the message; the name says where to look.
        detail = f": {left} is not {right}" if isinstance(left, int | Decimal) else ""
        raise SalesFileError("accounts_differ", f"The sum of {name} doesn't hold{detail}.")
