"""Keyset pages: rows behind a position in a fixed order, stable while rows are added."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Select, literal, tuple_
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


def fetch(
    session: Session,
    statement: Select[Row],
    columns: Sequence[InstrumentedAttribute[Any]],
    window: Window,
) -> Page[Row]:
    """One page of a statement that selects one mapped class, ordered by ``columns``.

    The last column must be unique within the list (an id), or rows would be lost between pages.

    Raises:
        Unreadable: the position does not fit the columns.
    """
    statement = behind(statement, columns, window)
    order = [column.desc() if window.descending else column.asc() for column in columns]
    found = session.scalars(statement.order_by(*order).limit(window.limit + 1)).all()
    rows = found[: window.limit]
    if len(found) <= window.limit:
        return Page(rows, None)
    return Page(rows, tuple(_write(getattr(rows[-1], column.key)) for column in columns))


def behind(
    statement: Select[Row], columns: Sequence[InstrumentedAttribute[Any]], window: Window
) -> Select[Row]:
    """The statement's rows behind the window's position.

    The planner does not carry the condition over a join: a statement whose order can be read from
    a joined table's index names that table's equal columns as well.

    Raises:
        Unreadable: the position does not fit the columns.
    """
    if window.after is None:
        return statement
    position = [
        literal(_read(value, column.type.python_type), column.type)
        for value, column in zip(_fitting(window.after, columns), columns, strict=True)
    ]
    here, there = tuple_(*columns), tuple_(*position)
    return statement.where(here < there if window.descending else here > there)


def _fitting(position: Position, columns: Sequence[InstrumentedAttribute[Any]]) -> Position:
    if len(position) != len(columns):
        raise bad_cursor()
    return position


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
        if kind is str and isinstance(value, str) and "\0" not in value:
            return value
    except ValueError:
        pass
    raise bad_cursor()


def bad_cursor() -> Unreadable:
    """The cursor is broken, or was given for another list, filter or order."""
    return Unreadable("The cursor does not belong to this list.", code="bad_cursor")
