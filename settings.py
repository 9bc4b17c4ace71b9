"""Everything that can be configured, read once at the entrances and handed down as one object.

Variables carry the prefix ``STOCKWRIGHT_``; ``TEMPORAL_ADDRESS`` and ``TEMPORAL_NAMESPACE`` keep
the names that Temporal's own tools read.
"""

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """One installation's settings. Times are in seconds, sizes in the unit that the name says."""

    model_config = SettingsConfigDict(env_prefix="STOCKWRIGHT_", extra="ignore")

    data_dir: Path = Field(
        default=Path(".stockwright"),
        description="Folder of the embedded stack: database, process history, logs, pid files.",
    )
    cache_dir: Path | None = Field(
        default=None,
        description="Folder of built tools, shared by all data folders. Default: the user's cache.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="A running PostgreSQL, as a role that may create roles and databases."
        " Without it the embedded PostgreSQL is started.",
    )
    database: str = Field(
        default="stockwright", pattern=r"^[a-z][a-z0-9_]{0,60}$", description="Its name."
    )
    postgres_port: int = Field(default=5543, ge=1, le=65535)
    temporal_address: str | None = Field(
        default=None,
        validation_alias=AliasChoices("STOCKWRIGHT_TEMPORAL_ADDRESS", "TEMPORAL_ADDRESS"),
        description="host:port of a running Temporal. Without it the dev server is started.",
    )
    temporal_namespace: str = Field(
        default="default",
        validation_alias=AliasChoices("STOCKWRIGHT_TEMPORAL_NAMESPACE", "TEMPORAL_NAMESPACE"),
    )
    task_queue: str = Field(default="stockwright", min_length=1, description="Of our workers.")
    temporal_port: int = Field(default=7243, ge=1, le=65535)
    temporal_ui_port: int = Field(default=8243, ge=1, le=65535)
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8080, ge=1, le=65535)
    log_level: str = "INFO"

    writer_batch_max: int = Field(default=500, ge=1, le=5000, description="Commands in one batch.")
    writer_queue_max: int = Field(default=20_000, ge=1, description="Commands waiting, then 429.")
    worker_activities_max: int = Field(default=16, ge=1, le=200)

    order_payment_window: int = Field(
        default=3 * 24 * 3600, ge=1, description="How long an unpaid order may hold stock."
    )
    order_ship_window: int = Field(
        default=14 * 24 * 3600, ge=1, description="How long an unshipped reservation may live."
    )
    order_close_after: int = Field(
        default=30 * 24 * 3600, ge=1, description="How long after delivery an order closes itself."
    )
