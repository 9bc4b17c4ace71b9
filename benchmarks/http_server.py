"""The real application in a process of its own, with one more route: the twin of the deduction.

``python -m benchmarks.http_server DATA_DIR POSTGRES_PORT DATABASE PORT``; ends when told to.
"""

import argparse
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import Response

from api.answers import respond
from api.app import create_app
from api.auth import needs
from api.idempotency import KeyedCommand
from api.routing import make_router
from api.services import Services, TheServices
from api.stock_bodies import DeductStock
from benchmarks.over_http import TWIN
from db.engine import conninfo, make_engine
from db.operations import Answer
from db.stock_writer import StockWriter
from domain.permissions import Actor, Permission
from entrance import addresses
from settings import Settings

#: As long as the answer of a deduction of one line.
CONSTANT = b'{"object":"stock_operation","movements":[],"padding":"' + b"x" * 440 + b'"}'
twin = make_router("", "bench")
Deducter = Annotated[Actor, needs(Permission.STOCK_DEDUCT)]


@twin.post(TWIN)
async def deduct_nothing(
    _body: DeductStock, _actor: Deducter, _services: TheServices, _command: KeyedCommand
) -> Response:
    """All that a deduction passes through, but a constant instead of the writer's answer."""
    return respond(Answer(200, CONSTANT, False))


def main() -> None:
    """Serve until SIGTERM, as ``python -m api`` does."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http_server", description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("postgres_port", type=int)
    parser.add_argument("database")
    parser.add_argument("port", type=int)
    given = parser.parse_args()
    settings = Settings.model_validate(
        {
            "data_dir": given.data_dir,
            "postgres_port": given.postgres_port,
            "database": given.database,
        }
    )
    where = addresses(settings)
    engine = make_engine(where.app)
    writer = StockWriter(conninfo(where.app))
    app = create_app(Services(settings, engine, None, writer))
    app.include_router(twin)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=given.port,
        log_config=None,
        access_log=False,
        server_header=False,
    )


if __name__ == "__main__":
    main()
