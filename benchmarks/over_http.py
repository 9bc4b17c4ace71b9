"""Deductions over HTTP beside the same route that returns a constant; bulks beside the writer."""

import json
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from socket import create_server

from api.app import ROUTERS
from benchmarks.contenders import (
    FINGERPRINT,
    Contender,
    Work,
    closed_loop,
    deductions,
    new_key,
    nothing,
)
from benchmarks.http_client import Errand, Told
from benchmarks.lab import COST, Lab, Rows
from benchmarks.measure import Round, Usage, summed
from db.engine import transaction
from db.stock_commands import StockCommand, plain_answer
from db.stock_writer import StockWriter
from db.tenants import create_api_key
from domain.stock import Deduct, LevelKey, Line
from settings import Settings

STOCK = "/v1/inventory/stock"
DEDUCT, BULK, TWIN = f"{STOCK}/deduct", f"{STOCK}/bulk", "/v1/bench/deduct-nothing"
CONNECTIONS, BULK_ITEMS = 64, 100
#: Of bulks: enough that the writer always has its next batch.
BULK_CONNECTIONS = 16
_ROOT = Path(__file__).resolve().parents[1]
_START_SECONDS = 60
_LINES = 1000


@dataclass(frozen=True, slots=True)
class Api:
    """A served application: its process, its port, and a key of the lab's tenant."""

    pid: int
    port: int
    token: str

    def post(self, path: str, body: object) -> None:
        """One request outside of the measured time; raises on any answer but 2xx."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            json.dumps(body).encode(),
            {
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
                "Idempotency-Key": new_key("fill"),
            },
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # Our own server.
            answer.read()


@contextmanager
def serve(settings: Settings, lab: Lab) -> Iterator[Api]:
    """The application over the lab's database; its writer has touched every level of the lab."""
    with create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.http_server"),
            *(str(settings.data_dir), str(settings.postgres_port), lab.database, str(port)),
        ],
        cwd=_ROOT,
    )
    try:
        api = Api(process.pid, port, _token(lab))
        _wait(process, port)
        for start in range(0, len(lab.levels), _LINES):
            lines = [
                {
                    "warehouse_id": str(level.warehouse_id),
                    "variant_id": str(level.variant_id),
                    "quantity": 1,
                    "unit_cost": str(COST),
                }
                for level in lab.levels[start : start + _LINES]
            ]
            api.post(f"{STOCK}/add", {"lines": lines})
        yield api
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _token(lab: Lab) -> str:
    engine = lab.engine()
    with transaction(engine, lab.tenant) as session:
        token = create_api_key(session, "bench", "admin")[1]
    engine.dispose()
    return token


def _wait(process: "subprocess.Popen[bytes]", port: int) -> None:
    until = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/docs", timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("The application did not start.")


def requests(
    lab: Lab, api: Api, path: str, levels: list[LevelKey], postmaster: int, name: str
) -> Contender:
    """Requests of one deduction each, on the bulk route of a hundred; rates are of deductions."""
    items = BULK_ITEMS if path == BULK else 1

    def measure(seconds: float) -> Round:
        errand = Errand(
            port=api.port,
            path=path,
            token=api.token,
            warehouse=str(levels[0].warehouse_id),
            variants=[str(level.variant_id) for level in levels],
            items=items,
            connections=CONNECTIONS if items == 1 else BULK_CONNECTIONS,
            seconds=seconds,
            api=api.pid,
            postmaster=postmaster,
        )
        return _told(errand, _send(errand))

    work: Work = {DEDUCT: deductions, TWIN: nothing, BULK: _bulks}[path]
    callers = CONNECTIONS if items == 1 else BULK_CONNECTIONS
    return Contender(name, callers, lab, measure, work)


def _bulks(done: Round) -> Rows:
    """A bulk is one operation; its latencies are of bulks."""
    return Rows(done.commands // BULK_ITEMS, done.lines, 0)


def _send(errand: Errand) -> Told:
    client = subprocess.run(
        [sys.executable, "-m", "benchmarks.http_client"],
        cwd=_ROOT,
        input=json.dumps(asdict(errand)).encode(),
        stdout=subprocess.PIPE,
        timeout=errand.seconds + 90,
        check=True,
    )
    told = Told(**json.loads(client.stdout))
    if told.refused is not None:
        raise RuntimeError(f"{errand.path} refused: {told.refused}")
    return told


def _told(errand: Errand, told: Told) -> Round:
    done = summed(told.latencies, Usage(told.seconds, told.client, told.server))
    commands = done.commands * errand.items
    return replace(
        done,
        commands=commands,
        lines=commands,
        client_us=done.client_us / errand.items,
        server_us=done.server_us / errand.items,
        api_us=told.api / commands * 1e6,
    )


def has_bulk() -> bool:
    """Whether the application has the bulk route."""
    paths = {getattr(route, "path", "") for router in ROUTERS for route in router.routes}
    return BULK in paths


def writers_own(
    lab: Lab, post: StockWriter, callers: int, levels: list[LevelKey], postmaster: int
) -> Contender:
    """The same deductions given to a batch writer directly."""

    def make() -> tuple[StockCommand, int]:
        action, key = Deduct((Line(random.choice(levels), 1),)), new_key("deduct")
        return StockCommand(key, "http", FINGERPRINT, action, lab.origin, plain_answer), 1

    def measure(seconds: float) -> Round:
        return closed_loop(post, lab, callers, make, seconds, postmaster)

    return Contender("batch writer, no HTTP", callers, lab, measure, deductions)
