"""The API's entrance: settings, engines, writer, Temporal client, server; nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from api.app import create_app
from api.services import Services
from db.engine import conninfo, make_engine
from db.stock_writer import StockWriter
from entrance import addresses, configure_logging, connect
from settings import Settings

#: What an answer may still take after a request to stop: longer than a stock command's batch.
SHUTDOWN_SECONDS = 10


async def serve(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM; requests in flight are answered first."""
    where = addresses(settings)
    engine = make_engine(where.app)
    writer = StockWriter(
        conninfo(where.app),
        batch_max=settings.writer_batch_max,
        queue_max=settings.writer_queue_max,
    )
    # Lazy, so that an API which starts before Temporal answers what needs no process.
    temporal = await connect(settings, lazy=True)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # Here and not after serve(): the server ends the process by the signal that stopped it.
        yield
        await run_in_threadpool(writer.close)
        engine.dispose()

    app = create_app(Services(settings, engine, temporal, writer), lifespan=lifespan)
    config = uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    await uvicorn.Server(config).serve()


def main() -> None:
    """``python -m api``."""
    settings = Settings()
    configure_logging(settings)
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
