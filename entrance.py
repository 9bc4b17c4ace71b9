"""What every entrance (worker, API, command line) opens: addresses, engines, Temporal's client."""

import logging
import sys
from dataclasses import dataclass

from sqlalchemy import URL
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from db.engine import APP, FOLLOWER, MAINT, OWNER, role_url
from settings import Settings
from stack import StackPaths, load_or_create, stack_info


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the servers are and who logs in. ``admin_url`` is for the installer only."""

    admin_url: str
    passwords: dict[str, str]
    app: URL
    follower: URL
    maint: URL
    temporal: str
    ui_url: str | None


def addresses(settings: Settings) -> Addresses:
    """From the settings and the data folder's secrets; asks no server."""
    secrets = load_or_create(StackPaths(settings.data_dir))
    info = stack_info(settings, secrets)
    admin = info.admin_url.get_secret_value()
    passwords = {
        OWNER: secrets.owner.get_secret_value(),
        APP: secrets.app.get_secret_value(),
        FOLLOWER: secrets.follower.get_secret_value(),
        MAINT: secrets.maint.get_secret_value(),
    }
    urls = {
        role: role_url(admin, role, password, settings.database)
        for role, password in passwords.items()
    }
    return Addresses(
        admin_url=admin,
        passwords=passwords,
        app=urls[APP],
        follower=urls[FOLLOWER],
        maint=urls[MAINT],
        temporal=info.temporal_address,
        ui_url=info.ui_url,
    )


async def connect(settings: Settings, *, lazy: bool = False) -> Client:
    """Temporal's client with the one data converter that all our processes share."""
    return await Client.connect(
        addresses(settings).temporal,
        namespace=settings.temporal_namespace,
        data_converter=pydantic_data_converter,
        lazy=lazy,
    )


def configure_logging(settings: Settings) -> None:
    """Plain lines on stderr, which the supervisor writes to the service's log file."""
    logging.basicConfig(
        level=settings.log_level,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
