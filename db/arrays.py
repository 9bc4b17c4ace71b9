"""Columns of values as PostgreSQL array literals.

The batch writer sends some thirty arrays a batch. Adapting lists element by element is the largest
part of its time in the client; joining strings is several times cheaper. Every literal is cast to
its array type in the statement: a value of the wrong kind is an error there, never another value.
"""

from collections.abc import Iterable
from datetime import datetime


def plain(values: Iterable[object]) -> str:
    """Integers, decimals, UUIDs, dates and words of our own: nothing that needs quotes."""
    return "{" + ",".join(map(str, values)) + "}"


def texts(values: Iterable[str | None]) -> str:
    """Texts of any content; None is NULL."""
    return "{" + ",".join(map(_quoted, values)) + "}"


def binaries(values: Iterable[bytes | None]) -> str:
    """Byte strings in hexadecimal form; None is NULL."""
    parts = ("NULL" if value is None else f'"\\\\x{value.hex()}"' for value in values)
    return "{" + ",".join(parts) + "}"


def numbers(values: Iterable[int | None]) -> str:
    """Integers; None is NULL."""
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"


def instants(values: Iterable[datetime | None]) -> str:
    """Points in time with their zone; None is NULL."""
    parts = ("NULL" if value is None else value.isoformat() for value in values)
    return "{" + ",".join(parts) + "}"


def _quoted(value: str | None) -> str:
    if value is None:
        return "NULL"
    if "\\" in value or '"' in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'
