"""Connections: one engine a role, and the transaction that knows its tenant."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.orm import Session

#: Login roles of an installation; see docs/decisions for what each may do.
OWNER, APP, FOLLOWER, MAINT = (
    "stockwright_owner",
    "stockwright_app",
    "stockwright_follower",
    "stockwright_maint",
)
_SET_TENANT = text("SELECT set_config('app.tenant', :tenant, true)")


def role_url(admin_url: str, role: str, password: str, database: str | None = None) -> URL:
    """The address of ``admin_url`` with another role, and another database if one is given."""
    url = make_url(admin_url).set(drivername="postgresql+psycopg", username=role, password=password)
    return url.set(database=database) if database else url


def conninfo(url: URL) -> str:
    """The same address in the form that psycopg itself reads."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def make_engine(url: URL, *, pool_size: int = 16) -> Engine:
    """An engine with a bounded pool; a connection that died while idle is replaced on use."""
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5, "application_name": "stockwright"},
    )


@contextmanager
def transaction(engine: Engine, tenant_id: UUID) -> Iterator[Session]:
    """One transaction of one tenant: committed when the block ends, rolled back on any error.

    Row security shows and accepts only the tenant's rows, whatever the statements say.
    """
    with Session(engine, expire_on_commit=False) as session, session.begin():
        session.execute(_SET_TENANT, {"tenant": str(tenant_id)})
        yield session
