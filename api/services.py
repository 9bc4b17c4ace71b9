"""What the API works with: settings, engines and clients, made at the entrance and handed down."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy import Engine

from settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """One process's connections. Without a Temporal client or writer only records can be edited."""

    settings: Settings
    engine: Engine
    temporal: Any | None = None
    writer: Any | None = None


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


TheServices = Annotated[Services, Depends(_services)]
