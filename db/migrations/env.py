"""Alembic's entrance: runs the migrations on the connection that db.install hands over."""

from alembic import context
from sqlalchemy import Connection


def run() -> None:
    """Run inside the caller's transaction, or print SQL when asked for ``--sql``."""
    connection = context.config.attributes.get("connection")
    if isinstance(connection, Connection):
        context.configure(connection=connection, target_metadata=None)
    else:
        context.configure(dialect_name="postgresql", literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


run()
