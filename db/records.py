"""What every room of records does alike: find, lock, add, change and remove one by its id."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import UUID

from psycopg.errors import IntegrityError as DriverIntegrityError
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.tables import Record
from domain.errors import NotFound, PreconditionFailed, StockwrightError

R = TypeVar("R", bound=Record)
#: Versions that an edit accepts; None accepts whichever there is (``If-Match: *``).
Versions = Collection[int] | None
#: The one error that a named constraint stands for.
Refusals = Mapping[str, Callable[[], StockwrightError]]


def get(session: Session, kind: type[R], id_: UUID) -> R:
    """The record with this id.

    Raises:
        NotFound: the transaction's tenant has none.
    """
    row = session.scalars(select(kind).where(kind.id == id_)).one_or_none()
    if row is None:
        raise _unknown()
    return row


def lock(session: Session, kind: type[R], id_: UUID, versions: Versions = None) -> R:
    """The record, locked until the transaction ends: no order or level can begin to refer to it.

    Raises:
        NotFound: the transaction's tenant has none.
        PreconditionFailed: its version is none of ``versions``.
    """
    row = session.scalars(
        select(kind)
        .where(kind.id == id_)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        raise _unknown()
    if versions is not None and row.version not in versions:
        raise _stale(row.version)
    return row


def add(session: Session, row: R, refusals: Refusals) -> R:
    """Insert a record, with the values that the database fills in.

    Raises:
        StockwrightError: the one that ``refusals`` gives for a violated constraint.
    """
    with refusing(refusals):
        session.add(row)
        session.flush()
    return row


def change(
    session: Session,
    kind: type[R],
    id_: UUID,
    versions: Versions,
    values: Mapping[str, Any],
    refusals: Refusals,
) -> R:
    """Set ``values`` (by attribute) if the record still has one of ``versions``.

    The comparison is part of the UPDATE: of two editors who read the same version, one wins.

    Raises:
        NotFound: the transaction's tenant has none.
        PreconditionFailed: its version is none of ``versions``.
        StockwrightError: the one that ``refusals`` gives for a violated constraint.
    """
    if not values:
        return lock(session, kind, id_, versions)
    statement = update(kind).where(kind.id == id_).values(columns(values)).returning(kind)
    if versions is not None:
        statement = statement.where(kind.version.in_(versions))
    with refusing(refusals):
        row = session.scalars(
            statement.execution_options(populate_existing=True, synchronize_session=False)
        ).one_or_none()
    if row is None:
        raise _stale(get(session, kind, id_).version)
    return row


def remove(session: Session, row: Record, refusals: Refusals) -> None:
    """Delete a record.

    Raises:
        StockwrightError: the one that ``refusals`` gives for a row that still refers to it.
    """
    with refusing(refusals):
        session.delete(row)
        session.flush()


def columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by attribute instead of by the client's names; SQLAlchemy owns ``metadata``."""
    return {"metadata_" if name == "metadata" else name: values[name] for name in values}


@contextmanager
def refusing(refusals: Refusals) -> Iterator[None]:
    """Turn the violation of a named constraint into its own error; raise any other as it is."""
    try:
        yield
    except IntegrityError as error:
        refusal = refusals.get(_constraint(error) or "")
        if refusal is None:
            raise
        raise refusal() from error


def _constraint(error: IntegrityError) -> str | None:
    cause = error.orig
    return cause.diag.constraint_name if isinstance(cause, DriverIntegrityError) else None


def _unknown() -> NotFound:
    return NotFound("There is no such object.")


def _stale(version: int) -> PreconditionFailed:
    return PreconditionFailed(
        "The record was changed since it was read; read it again.",
        details={"current_version": version},
    )
