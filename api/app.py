"""Builds the API: the router of each room, problems for each error, a context for each request."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI

from api import (
    alerts,
    attributes,
    catalogue,
    health,
    identity,
    levels,
    movements,
    orders,
    organization,
    partners,
    proposals,
    reorder,
    revaluations,
    stock,
    stock_bulk,
    summary,
    units,
    warehouses,
)
from api.auth import KeyRing
from api.context import RequestContext
from api.docs import install_docs
from api.problems import install_handlers
from api.schema import DESCRIPTION, TAGS, TITLE, VERSION, Api
from api.services import Services

#: One router a room; a new room is added here.
ROUTERS = (
    *catalogue.ROUTERS,
    *units.ROUTERS,
    attributes.router,
    *partners.ROUTERS,
    warehouses.router,
    stock.router,
    stock_bulk.router,
    levels.router,
    revaluations.router,
    alerts.router,
    *reorder.ROUTERS,
    proposals.router,
    movements.router,
    summary.router,
    orders.router,
    *organization.ROUTERS,
    identity.router,
    health.router,
)
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(services: Services | None, *, lifespan: Lifespan | None = None) -> FastAPI:
    """The application over ``services``; ``lifespan`` surrounds its serving.

    Without services it can only describe itself.
    """
    app = Api(
        title=TITLE,
        version=VERSION,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        lifespan=lifespan,
    )
    if services is not None:
        app.state.services = services
        app.state.keys = KeyRing(services.engine)
    app.add_middleware(RequestContext)
    install_handlers(app)
    for router in ROUTERS:
        app.include_router(router)
    install_docs(app)
    return app
