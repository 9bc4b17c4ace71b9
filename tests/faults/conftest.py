"""A stack that may be killed: own PostgreSQL, own Temporal, real worker processes."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from temporalio.client import Client

import stack
from api.app import create_app
from api.services import Services
from db.engine import conninfo, make_engine, transaction
from db.install import install
from db.stock_writer import StockWriter
from db.tenants import create_api_key, create_tenant
from entrance import addresses, connect
from settings import Settings
from tests.conftest import TenantFixture
from tests.stack.stack_helpers import free_ports
from tests.workflows.shop import Shop

ROOT = Path(__file__).parents[2]


@dataclass
class House:
    """One installation of its own with everything that can be killed."""

    settings: Settings
    engine: Engine
    maint_engine: Engine
    writer: StockWriter
    temporal: Client

    @contextmanager
    def worker(self) -> Iterator["WorkerProcess"]:
        """A real worker process, started anew whenever ``kill`` ended it."""
        process = WorkerProcess(self.settings)
        process.start()
        try:
            yield process
        finally:
            process.stop()


class WorkerProcess:
    """``python -m worker`` as a child."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.kills = 0

    def start(self) -> None:
        settings = self._settings
        environment = {
            **os.environ,
            "STOCKWRIGHT_DATA_DIR": str(settings.data_dir),
            "STOCKWRIGHT_POSTGRES_PORT": str(settings.postgres_port),
            "STOCKWRIGHT_TEMPORAL_PORT": str(settings.temporal_port),
            "STOCKWRIGHT_DATABASE": settings.database,
            "STOCKWRIGHT_TASK_QUEUE": settings.task_queue,
        }
        log = (settings.data_dir / "worker.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "worker"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
        log.close()

    def kill(self) -> None:
        """kill -9, in the middle of whatever it does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)
        self.kills += 1

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(20)


def _folder() -> Path:
    """A data folder that PostgreSQL's own user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="stockwright-fault-"))
    folder.chmod(0o755)
    return folder


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """A whole stack on free ports, without a worker."""
    folder = _folder()
    database, temporal_port, ui, api = free_ports(4)
    settings = Settings.model_validate(
        {
            "data_dir": folder,
            "postgres_port": database,
            "temporal_port": temporal_port,
            "temporal_ui_port": ui,
            "api_port": api,
        }
    )
    stack.start(settings, options=stack.StackOptions(temporal_in_memory=True, tie_to_parent=True))
    where = addresses(settings)
    install(where.admin_url, where.passwords, settings.database)
    engine, maint = make_engine(where.app), make_engine(where.maint)
    writer = StockWriter(conninfo(where.app))
    try:
        yield House(settings, engine, maint, writer, await connect(settings))
    finally:
        writer.close()
        engine.dispose()
        maint.dispose()
        stack.destroy(folder)


@pytest.fixture
async def shop(house: House) -> AsyncIterator[Shop]:
    """The API over that stack, in this process."""
    with Session(house.maint_engine) as session, session.begin():
        made = create_tenant(
            session, slug="acme", name="Acme", currency="EUR", time_zone="Europe/Berlin"
        )
        tenant = TenantFixture(made.id, made.slug, made.currency)
    with transaction(house.engine, tenant.id) as session:
        _, token = create_api_key(session, name="test", role="admin")
    app = create_app(
        Services(
            settings=house.settings,
            engine=house.engine,
            temporal=house.temporal,
            writer=house.writer,
        )
    )
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(
        transport=transport,
        base_url="http://test",
        headers={"Authorization": f"Bearer {token}"},
        timeout=120,
    ) as http:
        opened = Shop(http, tenant, house.temporal)
        await opened.open()
        yield opened
