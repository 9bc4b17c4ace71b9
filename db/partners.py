"""Customers and suppliers in SQL: one implementation, told which of the two it works on."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import func, or_
from sqlalchemy.orm import Session

from db import attributes, paging, records, usage
from db.tables import Customer, Order, Partner
from domain.errors import Conflict
from domain.partners import NewPartner

P = TypeVar("P", bound=Partner)
ACTIVE, DISABLED = "active", "disabled"


def _code_taken() -> Conflict:
    return Conflict("Another one has this code.", code="code_taken")


_CONSTRAINTS: records.Refusals = {
    "customers_code_key": _code_taken,
    "suppliers_code_key": _code_taken,
}


def _history() -> Conflict:
    return usage.in_use("Its history refers to it: disable it instead of deleting it.", [])


_REFERRED: records.Refusals = {
    "orders_customer_fkey": _history,
    "variant_suppliers_supplier_fkey": _history,
    "reorder_proposals_supplier_fkey": _history,
}


def create(session: Session, kind: type[P], new: NewPartner) -> P:
    """A new customer or supplier.

    Raises:
        InvalidInput: an attribute does not fit.
        Conflict: the code is taken.
    """
    columns = records.columns(new.model_dump(exclude={"attributes"}))
    row = records.add(session, kind(**columns), _CONSTRAINTS)
    attributes.add(session, {row: ("", new.attributes)})
    return row


def list_partners(
    session: Session,
    kind: type[P],
    window: paging.Window,
    *,
    code: str | None = None,
    email: str | None = None,
    q: str | None = None,
    having: Sequence[str] = (),
) -> paging.Page[P]:
    """By code, by mail address in any case, by attributes, or by a part of name, mail address,
    phone or code.

    Raises:
        InvalidInput: see ``attributes.having``.
    """
    found = attributes.having(session, kind, having, window)
    if code is not None:
        found = found.where(kind.code == code)
    if email is not None:
        found = found.where(func.lower(kind.email) == email.lower())
    if q is not None:
        searched = (kind.name, kind.email, kind.phone, kind.code)
        found = found.where(or_(*(column.icontains(q, autoescape=True) for column in searched)))
    return paging.fetch(session, found, (kind.id,), window)


def change(
    session: Session,
    kind: type[P],
    id_: UUID,
    versions: records.Versions,
    sent: Mapping[str, Any],
) -> P:
    """Edit a customer or supplier.

    Raises:
        NotFound, PreconditionFailed: see ``records.change``.
        InvalidInput: an attribute does not fit.
        Conflict: the code is taken.
    """
    return attributes.change_record(session, kind, id_, versions, sent, _CONSTRAINTS)


def delete(session: Session, kind: type[P], id_: UUID, versions: records.Versions) -> None:
    """Delete a customer or supplier that no order ever named.

    Raises:
        NotFound, PreconditionFailed: see ``records.lock``.
        Conflict: ``in_use``.
    """
    row = records.lock(session, kind, id_, versions)
    if kind is Customer:
        usage.refuse_any_use(session, Order.customer_id == id_)
    records.remove(session, row, _REFERRED)
    attributes.forget(session, [id_])


def disable(session: Session, kind: type[P], id_: UUID) -> P:
    """Take out of use.

    Raises:
        NotFound: there is no such record.
        Conflict: ``in_use`` by open orders.
    """
    row = records.lock(session, kind, id_)
    if kind is Customer:
        usage.refuse_open_work(session, Order.customer_id == id_)
    return _set_status(session, row, DISABLED)


def enable(session: Session, kind: type[P], id_: UUID) -> P:
    """Put back into use.

    Raises:
        NotFound: there is no such record.
    """
    return _set_status(session, records.lock(session, kind, id_), ACTIVE)


def _set_status(session: Session, row: P, status: str) -> P:
    row.status = status
    session.flush()
    return row
