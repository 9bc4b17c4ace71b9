"""A whole installation on one data folder: servers, database, worker and API, tenants and keys."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from temporalio.api.workflowservice.v1 import UpdateNamespaceRequest

import stack
from db import tenants
from db.engine import make_engine, transaction
from db.events import Fact, assign_positions, read
from db.follower import facts
from db.install import install
from db.tables import ApiKey, Tenant
from domain.errors import InvalidInput, NotFound
from entrance import addresses, connect
from settings import Settings
from stack.files import locked, read_text, write_private
from stack.health import port_is_free

Progress = Callable[[str], None]
WORKER, API = "worker", "api"
#: Closed processes stay visible in the Temporal UI as long as HTTP keys are kept.
RETENTION = timedelta(days=30)
_KEPT_KEY = "command line"
_COMPLETE_SECONDS = 120.0


def api_url(settings: Settings) -> str:
    """Where clients on this machine reach the API."""
    host = "127.0.0.1" if settings.api_host in {"0.0.0.0", "::"} else settings.api_host  # noqa: S104  # Compared, not bound.
    return f"http://{host}:{settings.api_port}"


def services(settings: Settings) -> tuple[stack.ServiceSpec, stack.ServiceSpec]:
    """Worker and API as the supervisor runs them, with these very settings."""
    given = settings.model_dump(mode="json", include=settings.model_fields_set - {"database_url"})
    env = {f"STOCKWRIGHT_{name.upper()}": str(value) for name, value in given.items()}
    # The children run inside the data folder, so a relative one would be taken from there.
    env["STOCKWRIGHT_DATA_DIR"] = str(settings.data_dir.expanduser().resolve())
    python = (sys.executable, "-P", "-m")
    url = api_url(settings)
    return (
        stack.ServiceSpec(
            name=WORKER, argv=(*python, "worker"), env=env, ready_timeout_s=60, stop_timeout_s=20
        ),
        stack.ServiceSpec(
            name=API,
            argv=(*python, "api"),
            env=env,
            health=stack.HealthCheck(kind="http", address=f"{url}/healthz"),
            address=url,
            ready_timeout_s=60,
            stop_timeout_s=20,
        ),
    )


def up(settings: Settings, progress: Progress, *, tied: bool = False) -> bool:
    """Bring everything up; False when it was up before. Repeating completes what is missing.

    With ``tied`` it all ends when this process does.
    """
    options = stack.StackOptions(tie_to_parent=tied)
    try:
        if not stack.status(settings.data_dir).running and not port_is_free(settings.api_port):
            raise stack.PortTaken(settings.api_port, "STOCKWRIGHT_API_PORT")
        stack.start(settings, options=options, progress=progress)
        fresh = True
    except stack.AlreadyRunning:
        fresh = False
    try:
        # Two at once take turns: the second finds nothing left to do.
        with locked(stack.StackPaths(settings.data_dir).run / "up.lock"):
            _complete(settings, progress, fresh=fresh)
    except BaseException:
        if fresh:
            stack.stop(settings.data_dir)
        raise
    return fresh


def _complete(settings: Settings, progress: Progress, *, fresh: bool) -> None:
    """Install the database and start worker and API, as far as they do not run yet."""
    if not fresh:
        _wait_for_servers(settings)
    known = {one.name for one in stack.status(settings.data_dir).services}
    missing = [spec for spec in services(settings) if spec.name not in known]
    if not missing:
        return
    progress("Bringing the database up to date")
    where = addresses(settings)
    install(where.admin_url, where.passwords, settings.database)
    progress("Starting worker and API")
    stack.add_services(settings.data_dir, *missing)


def _wait_for_servers(settings: Settings) -> None:
    """Another start may be on its way: wait until what it runs is healthy."""
    deadline = time.monotonic() + _COMPLETE_SECONDS
    while True:
        current = stack.status(settings.data_dir)
        if current.healthy and current.services:
            return
        if not current.running:
            raise stack.NotRunning
        if time.monotonic() >= deadline:
            bad = ", ".join(one.name for one in current.services if one.state != "healthy")
            raise stack.StackError(
                f"The stack runs, but {bad or 'nothing of it'} is not healthy."
                " `stockwright status` names the logs."
            )
        time.sleep(0.2)


@contextmanager
def running(settings: Settings, progress: Progress) -> Iterator[bool]:
    """Everything up for the block; what this started is stopped behind it. Gives whether it did."""
    fresh = up(settings, progress, tied=True)
    try:
        yield fresh
    finally:
        if fresh:
            progress("Stopping")
            stack.stop(settings.data_dir)


def stay(settings: Settings) -> None:
    """Return only by KeyboardInterrupt; raise when the supervisor ends by itself."""
    while stack.status(settings.data_dir).running:
        time.sleep(0.5)
    raise stack.NotRunning


async def keep_histories(settings: Settings) -> None:
    """Let our own Temporal keep closed processes for RETENTION; it starts with a day."""
    if settings.temporal_address is not None:
        return
    client = await connect(settings)
    request = UpdateNamespaceRequest(namespace=settings.temporal_namespace)
    request.config.workflow_execution_retention_ttl.FromTimedelta(RETENTION)
    await client.workflow_service.update_namespace(request)


@contextmanager
def maint(settings: Settings) -> Iterator[Engine]:
    """The role that sees every tenant: for making tenants and for the audit."""
    engine = make_engine(addresses(settings).maint, pool_size=2)
    try:
        yield engine
    finally:
        engine.dispose()


def find_tenant(session: Session, slug: str) -> Tenant | None:
    """A tenant by its slug; ``session`` belongs to the maint role."""
    return session.scalars(select(Tenant).where(Tenant.slug == slug)).one_or_none()


def need_tenant(session: Session, slug: str) -> Tenant:
    """A tenant by its slug.

    Raises:
        NotFound: there is none.
    """
    tenant = find_tenant(session, slug)
    if tenant is None:
        raise NotFound(
            f"There is no tenant {slug!r}. Make it with `stockwright tenant create {slug}`."
        )
    return tenant


def create_api_key(engine: Engine, slug: str, name: str, role: str) -> str:
    """A new key of a tenant; its plain text is kept nowhere.

    Raises:
        NotFound: there is no such tenant.
        InvalidInput: there is no such role.
    """
    if not name.strip():
        raise InvalidInput.field("/name", "name", "A key needs a name that says who uses it.")
    with Session(engine) as session:
        tenant_id = need_tenant(session, slug).id
    with transaction(engine, tenant_id) as session:
        return tenants.create_api_key(session, name, role)[1]


def keys_file(settings: Settings) -> Path:
    """Where the command line keeps the keys that it made for itself, readable by its owner only."""
    return stack.StackPaths(settings.data_dir).data_dir / "api-keys.json"


def kept_key(settings: Settings, slug: str) -> str:
    """The command line's own key of a tenant, made when there is none that still holds.

    Raises:
        NotFound: there is no such tenant.
    """
    path = keys_file(settings)
    with locked(path.with_suffix(".lock")), maint(settings) as engine:
        keys: dict[str, Any] = json.loads(read_text(path) or "{}")
        known = str(keys.get(slug, ""))
        # An emptied database forgets keys that the data folder still has.
        if not _holds(engine, slug, known):
            known = create_api_key(engine, slug, _KEPT_KEY, "admin")
            write_private(path, json.dumps(keys | {slug: known}, indent=1))
        return known


def _holds(engine: Engine, slug: str, key: str) -> bool:
    """Whether a kept key is still one of the tenant's and was not revoked."""
    wanted = (
        select(ApiKey.id)
        .join(Tenant, Tenant.id == ApiKey.tenant_id)
        .where(
            Tenant.slug == slug,
            ApiKey.prefix == key.rpartition("_")[0],
            ApiKey.revoked_at.is_(None),
        )
    )
    with Session(engine) as session:
        return session.scalars(wanted).one_or_none() is not None


def facts_of(
    settings: Settings, slug: str | None, *, name: str | None, after: int, follow: bool
) -> Iterator[Fact]:
    """Facts in order, of one tenant or of all; with ``name`` from that reader's stored position on.

    Raises:
        NotFound: there is no such tenant.
    """
    tenant_id = None
    if slug is not None:
        with maint(settings) as engine, Session(engine) as session:
            tenant_id = need_tenant(session, slug).id
    engine = make_engine(addresses(settings).follower, pool_size=2)
    try:
        found = (
            _facts_after(engine, after, follow=follow)
            if name is None
            else facts(engine, name, follow=follow)
        )
        for fact in found:
            if tenant_id in (None, fact.tenant_id):
                yield fact
    finally:
        engine.dispose()


def _facts_after(engine: Engine, after: int, *, follow: bool) -> Iterator[Fact]:
    """Like ``facts``, for a reader that keeps its position itself."""
    while True:
        with Session(engine) as session, session.begin():
            assign_positions(session)
        with Session(engine) as session, session.begin():
            found = read(session, after)
        yield from found
        if found:
            after = found[-1].position
        elif not follow:
            return
        else:
            time.sleep(1.0)
