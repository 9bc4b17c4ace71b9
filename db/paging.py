"""Keyset pages: rows behind a position in a fixed order, stable while rows are added."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from operator import attrgetter
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from domain.errors import Unreadable

Row = TypeVar("Row")
Row_co = TypeVar("Row_co", covariant=True)
#: A place in an order: the values of the order's columns in the last row that was given.
Position = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is wanted: up to ``limit`` rows behind ``after``."""

    limit: int = 50
    after: Position | None = None
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[Row_co]):
    """The rows of a page, and where the next begins; ``next`` is None on the last page."""

    rows: Sequence[Row_co]
    next: Position | None


@dataclass(frozen=True, slots=True)
class Key:
    """A part of an order that is no plain column: its SQL, and its value in a row."""

    expression: ColumnElement[Any]
    value: Callable[[Any], object]


#: What a list is ordered by, first to last.
Order = Sequence[InstrumentedAttribute[Any] | Key]


def fetch(session: Session, statement: Select[Row], order: Order, window: Window) -> Page[Row]:
    """One page of a statement that selects one mapped class, in an order.

    The last key must be unique within the list (an id), or rows would be lost between pages; none
    may be null.

    Raises:
        Unreadable: the position does not fit the order.
    """
    keys = [_key(part) for part in order]
    statement = behind(statement, order, window)
    by = [key.expression.desc() if window.descending else key.expression.asc() for key in keys]
    found = session.scalars(statement.order_by(*by).limit(window.limit + 1)).all()
    rows = found[: window.limit]
    if len(found) <= window.limit:
        return Page(rows, None)
    return Page(rows, tuple(_write(key.value(rows[-1])) for key in keys))


def behind(statement: Select[Row], order: Order, window: Window) -> Select[Row]:
    """The statement's rows behind the window's position.

    The planner does not carry the condition over a join: a statement whose order can be read from
    a joined table's index names that table's equal columns as well.

    Raises:
        Unreadable: the position does not fit the order.
    """
    if window.after is None:
        return statement
    keys = [_key(part) for part in order]
    if len(window.after) != len(keys):
        raise bad_cursor()
    position = [
        literal(_read(value, key.expression.type.python_type), key.expression.type)
        for value, key in zip(window.after, keys, strict=True)
    ]
    here, there = tuple_(*(key.expression for key in keys)), tuple_(*position)
    return statement.where(here < there if window.descending else here > there)


def _key(part: InstrumentedAttribute[Any] | Key) -> Key:
    return part if isinstance(part, Key) else Key(part.expression, attrgetter(part.key))


def _write(value: object) -> str | int:
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, int) else str(value)


def _read(value: str | int, kind: type[Any]) -> Any:
    try:
        if kind is int and isinstance(value, int) and abs(value) < 2**63:
            return value
        if kind is UUID and isinstance(value, str):
            return UUID(value)
        if kind in {date, datetime} and isinstance(value, str):
            return kind.fromisoformat(value)
        if kind is Decimal and isinstance(value, str) and Decimal(value).is_finite():
            return Decimal(value)
        if kind is str and isinstance(value, str) and "\0" not in value:
            return value
    except (ValueError, InvalidOperation):
        pass
    raise bad_cursor()


def bad_cursor() -> Unreadable:
    """The cursor is broken, or was given for another list, filter or order."""
    return Unreadable("The cursor does not belong to this list.", code="bad_cursor")
