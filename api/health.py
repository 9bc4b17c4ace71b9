"""Two questions of the machines that run us, without a key: is it alive, can it serve."""

import asyncio
from collections.abc import Awaitable

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import text
from starlette.concurrency import run_in_threadpool

from api.services import Services, TheServices
from domain.errors import Unavailable

_PATIENCE = 3.0

router = APIRouter(tags=["operations"])


class Health(BaseModel):
    """The process answers."""

    status: str = "ok"


class Readiness(BaseModel):
    """What was asked, and that it answered."""

    status: str = "ready"
    checks: dict[str, str]


@router.get("/healthz")
async def alive() -> Health:
    """The process is alive; nothing else is asked."""
    return Health()


@router.get("/readyz")
async def ready(services: TheServices) -> Readiness:
    """The database answers, and Temporal where it is configured; else 503."""
    checks: dict[str, Awaitable[bool]] = {"database": run_in_threadpool(_ask_database, services)}
    if services.temporal is not None:
        checks["temporal"] = services.temporal.service_client.check_health()
    told = dict(zip(checks, await asyncio.gather(*map(_outcome, checks.values())), strict=True))
    if set(told.values()) != {"ok"}:
        raise Unavailable("A server of ours does not answer.", details=told, retry_after=1)
    return Readiness(checks=told)


def _ask_database(services: Services) -> bool:
    with services.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    return True


async def _outcome(check: Awaitable[bool]) -> str:
    try:
        answered = await asyncio.wait_for(check, _PATIENCE)
    except Exception:  # noqa: BLE001  # Whatever goes wrong, the server can't be used.
        return "no answer"
    return "ok" if answered else "not serving"
