"""Columns of values as PostgreSQL arrays in the binary format, made by joining bytes.

The batch writer sends some thirty arrays a batch. Adapting lists element by element would be the
largest part of its time in the client, and reading text the largest of its time in the server.
Decimals stay text: their binary form is slower to make. Every array is cast to its type in the
statement: a value of the wrong kind is an error there, never another value.

The format is that of ``array_send`` in PostgreSQL's ``arrayfuncs.c``: dimensions, a flag for NULLs,
the element's type, length and lower bound, then each element with its length before it.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import repeat
from struct import Struct
from typing import Any
from uuid import UUID

from psycopg import Cursor
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEADER = Struct(">iiIii").pack
_EMPTY = Struct(">iiI").pack
_LENGTH = Struct(">i").pack
_INT4 = Struct(">ii").pack
_INT8 = Struct(">iq").pack
_UUID = Struct(">i16s").pack
_NULL = _LENGTH(-1)
_TRUE, _FALSE = _LENGTH(1) + b"\1", _LENGTH(1) + b"\0"
#: Numbers of PostgreSQL's types (``pg_type.oid``).
_BOOL, _BYTEA, _INT8_OID, _INT4_OID, _TEXT = 16, 17, 20, 23, 25
_DATE, _INSTANT, _UUID_OID = 1082, 1184, 2950
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_DAY_ZERO = date(2000, 1, 1).toordinal()
_MICROSECOND = timedelta(microseconds=1)


class Array(bytes):
    """An array as the server receives it."""

    __slots__ = ()


class _ArrayDumper(Dumper):
    """Hands an array over as it is; its type is the one it is cast to."""

    format = Format.BINARY

    def dump(self, obj: Any) -> bytes:
        return bytes(obj)


def adapt(cursor: Cursor[Any]) -> None:
    """Let ``cursor`` send arrays of this module."""
    cursor.adapters.register_dumper(Array, _ArrayDumper)


def decimals(values: Iterable[Decimal | None]) -> str:
    """Exact numbers, as a literal; None is NULL."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def integers(values: Sequence[int]) -> Array:
    """Whole numbers of eight bytes."""
    return _array(_INT8_OID, list(map(_INT8, repeat(8), values)))


def numbers(values: Sequence[int | None]) -> Array:
    """Whole numbers of four bytes; None is NULL."""
    return _array(_INT4_OID, [_NULL if value is None else _INT4(4, value) for value in values])


def booleans(values: Iterable[bool]) -> Array:
    """Yes or no."""
    return _array(_BOOL, [_TRUE if value else _FALSE for value in values])


def uuids(values: Iterable[UUID | None]) -> Array:
    """Identifiers; None is NULL."""
    parts = [_NULL if value is None else _UUID(16, value.bytes) for value in values]
    return _array(_UUID_OID, parts)


def texts(values: Iterable[str | None]) -> Array:
    """Texts of any content; None is NULL."""
    return _array(
        _TEXT,
        [_NULL if value is None else _sized(value.encode()) for value in values],
    )


def words(values: Iterable[str | None]) -> Array:
    """Texts of which the same few come again and again: kinds, states, people."""
    return _array(_TEXT, list(map(_word, values)))


def binaries(values: Iterable[bytes | None]) -> Array:
    """Byte strings; None is NULL."""
    return _array(_BYTEA, [_NULL if value is None else _sized(value) for value in values])


def instants(values: Iterable[datetime | None]) -> Array:
    """Points in time with their zone, to the microsecond; None is NULL."""
    return _array(
        _INSTANT,
        [
            _NULL if value is None else _INT8(8, (value - _EPOCH) // _MICROSECOND)
            for value in values
        ],
    )


def dates(values: Iterable[date]) -> Array:
    """Calendar dates."""
    return _array(_DATE, [_INT4(4, value.toordinal() - _DAY_ZERO) for value in values])


@lru_cache(4096)
def _word(value: str | None) -> bytes:
    return _NULL if value is None else _sized(value.encode())


def _sized(value: bytes) -> bytes:
    return _LENGTH(len(value)) + value


def _array(kind: int, parts: list[bytes]) -> Array:
    if not parts:
        return Array(_EMPTY(0, 0, kind))
    # The flag says that there may be NULLs; without any it costs nothing.
    return Array(_HEADER(1, 1, kind, len(parts), 1) + b"".join(parts))
