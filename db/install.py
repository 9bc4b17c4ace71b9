"""Makes a database ready: roles, the database itself, grants on the schema, migrations."""

from collections.abc import Mapping
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from db.engine import APP, FOLLOWER, MAINT, OWNER

MIGRATIONS = Path(__file__).parent / "migrations"
#: No transaction of the app may hold back vacuum or block others for longer than this.
APP_TRANSACTION_TIMEOUT = "30s"
_ATTRIBUTES = {
    OWNER: "NOBYPASSRLS",
    APP: "NOBYPASSRLS",
    FOLLOWER: "BYPASSRLS",
    MAINT: "BYPASSRLS",
}


def install(admin_url: str, passwords: Mapping[str, str], database: str) -> None:
    """Create or bring up to date the database named ``database``; safe to repeat.

    ``admin_url`` belongs to a role that may create roles and databases; nothing else uses it.
    ``passwords`` has one entry for each of the four roles.
    """
    _create_roles(admin_url, passwords)
    _create_database(admin_url, database)
    migrate(admin_url, database)


def _create_roles(admin_url: str, passwords: Mapping[str, str]) -> None:
    with psycopg.connect(_plain(admin_url), autocommit=True) as admin:
        for role, attributes in _ATTRIBUTES.items():
            name = sql.Identifier(role)
            known = admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
            if known is None:
                admin.execute(sql.SQL("CREATE ROLE {}").format(name))
            admin.execute(
                sql.SQL(
                    "ALTER ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE {} PASSWORD {}"
                ).format(name, sql.SQL(attributes), sql.Literal(passwords[role]))
            )
        # The owner may hand the few SECURITY DEFINER functions to maint, but gains no row by it.
        admin.execute(
            sql.SQL("GRANT {} TO {} WITH INHERIT FALSE, SET TRUE").format(
                sql.Identifier(MAINT), sql.Identifier(OWNER)
            )
        )
        admin.execute(
            sql.SQL("ALTER ROLE {} SET transaction_timeout = {}").format(
                sql.Identifier(APP), sql.Literal(APP_TRANSACTION_TIMEOUT)
            )
        )


def _create_database(admin_url: str, database: str) -> None:
    with psycopg.connect(_plain(admin_url), autocommit=True) as admin:
        known = admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
        if known.fetchone() is None:
            admin.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(
                    sql.Identifier(database), sql.Identifier(OWNER)
                )
            )
        admin.execute(
            sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(
                sql.Identifier(database)
            )
        )
        admin.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}, {}, {}").format(
                sql.Identifier(database), *map(sql.Identifier, (APP, FOLLOWER, MAINT))
            )
        )


def migrate(admin_url: str, database: str) -> None:
    """Run the missing migrations as the owner role, in one transaction, one runner at a time."""
    url = make_url(admin_url).set(drivername="postgresql+psycopg", database=database)
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended('stockwright.migrate', 0))")
        )
        connection.execute(
            text(
                f"REVOKE CREATE ON SCHEMA public FROM PUBLIC;"
                f"GRANT USAGE, CREATE ON SCHEMA public TO {OWNER}, {MAINT};"
                f"GRANT USAGE ON SCHEMA public TO {APP}, {FOLLOWER};"
                f"SET LOCAL ROLE {OWNER}"
            )
        )
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()


def head_revision() -> str:
    """The newest revision that the code knows."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def _plain(admin_url: str) -> str:
    return make_url(admin_url).set(drivername="postgresql").render_as_string(hide_password=False)
