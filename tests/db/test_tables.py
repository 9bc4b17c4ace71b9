"""The mapped classes say what the migrated database is: columns, keys, nullability, types."""

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import Column, Engine, Table, inspect
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine.interfaces import ReflectedColumn

from db.reorder_tables import StockAlert
from db.upkeep_tables import SignedBreak

DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # It has no annotations.
#: Of every class: those of db/tables.py share the metadata of these.
TABLES = {**StockAlert.metadata.tables, **SignedBreak.metadata.tables}
#: Columns that the database computes; a class reads them, so their nullability is its own affair.
COMPUTED = {("inventory_levels", "is_low_stock"), ("inventory_levels", "is_out_of_stock")}


@pytest.fixture(scope="module")
def columns(maint_engine: Engine) -> Mapping[str, dict[str, ReflectedColumn]]:
    """Every table of the database with its columns."""
    inspector = inspect(maint_engine)
    return {
        table: {column["name"]: column for column in inspector.get_columns(table)}
        for table in inspector.get_table_names()
    }


def test_every_table_of_the_database_is_mapped(columns: Mapping[str, Any]) -> None:
    assert set(columns) - set(TABLES) == {"alembic_version", "follower_cursors"}
    assert set(TABLES) <= set(columns)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_class_maps_exactly_the_columns_of_its_table(
    table: Table, columns: Mapping[str, Mapping[str, Any]]
) -> None:
    assert set(table.columns.keys()) == set(columns[table.name])


def _type(column: Column[Any]) -> str:
    """The SQL of a type, with the names that only spell the same thing differently."""
    return column.type.compile(DIALECT).replace("VARCHAR", "TEXT")


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_mapped_types_are_the_types_of_the_database(
    table: Table, columns: Mapping[str, Mapping[str, Any]]
) -> None:
    for column in table.columns:
        real = columns[table.name][column.name]["type"].compile(DIALECT)
        # A collation is the database's affair; SMALLINT is read into the same int.
        real = real.split(" COLLATE")[0].replace("SMALLINT", "INTEGER")
        assert _type(column).replace("SMALLINT", "INTEGER") == real, f"{table.name}.{column.name}"


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_mapped_nullability_is_that_of_the_database(
    table: Table, columns: Mapping[str, Mapping[str, Any]]
) -> None:
    for column in table.columns:
        if (table.name, column.name) not in COMPUTED:
            real = columns[table.name][column.name]["nullable"]
            assert column.nullable == real, f"{table.name}.{column.name}"


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_mapped_primary_keys_are_those_of_the_database(table: Table, maint_engine: Engine) -> None:
    real = inspect(maint_engine).get_pk_constraint(table.name)["constrained_columns"]
    mapped = {column.name for column in table.primary_key.columns}
    assert mapped == set(real)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_what_the_database_fills_in_has_a_default_there(
    table: Table, columns: Mapping[str, Mapping[str, Any]]
) -> None:
    for column in table.columns:
        if column.server_default is not None:
            real = columns[table.name][column.name]
            filled = real["default"] or real.get("computed") or real.get("identity")
            assert filled, f"{table.name}.{column.name}"
