"""What the stack is described with: paths, services, health checks, status, findings."""

import signal
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from stack.errors import DataFolderError


class Frozen(BaseModel):
    """A value: never changed, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StackPaths:
    """Where one embedded stack keeps its things; relative folders are taken from here and now."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.expanduser().resolve()
        self.logs = self.data_dir / "logs"
        self.run = self.data_dir / "run"
        self.services = self.run / "services"
        self.lock = self.run / "supervisor.lock"
        self.status = self.run / "status.json"
        self.info = self.run / "info.json"
        self.postgres = self.data_dir / "postgres"
        self.postgres_location = self.data_dir / "postgres.location"
        self.temporal = self.data_dir / "temporal"
        self.secrets = self.data_dir / "secrets.json"

    def log(self, name: str) -> Path:
        """The log file of a service, or of the supervisor itself."""
        return self.logs / f"{name}.log"

    def pid_file(self, name: str) -> Path:
        """Holds pid and start tick of a running child, to recognise it later."""
        return self.run / f"{name}.pid"

    def create(self) -> None:
        """Make the folders. The data folder may be entered by all, the private ones by us only.

        Raises DataFolderError when that is not possible.
        """
        try:
            self.data_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
            for folder in (self.logs, self.run, self.services, self.temporal):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise DataFolderError(
                f"The data folder cannot be made: {error}."
                " Let this user write there, or set STOCKWRIGHT_DATA_DIR to another folder."
            ) from error


class StackOptions(Frozen):
    """Choices of one start that are no settings of the installation."""

    temporal_in_memory: bool = Field(
        default=False, description="No database file: faster, and gone with the process."
    )
    postgres_fsync: bool = Field(
        default=True, description="False only for throw-away data: a power cut destroys it."
    )
    tie_to_parent: bool = Field(
        default=False, description="Stop everything when the calling process is gone."
    )


class HealthCheck(Frozen):
    """How to ask a service whether it works.

    `process`: it lives. `tcp`: address is host:port. `http`: address is a URL that must answer
    below 400. `postgres`: address is host:port, asked as pg_isready does.
    """

    kind: Literal["process", "tcp", "http", "postgres"] = "process"
    address: str = ""
    timeout_s: float = Field(default=3.0, gt=0)


class ServiceSpec(Frozen):
    """One child of the supervisor. Times are in seconds."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")
    argv: tuple[str, ...] = Field(min_length=1)
    env: dict[str, str | None] = Field(
        default_factory=dict,
        description="Laid over the supervisor's environment; None removes a variable.",
    )
    cwd: Path | None = None
    user: str | None = Field(default=None, description="Unprivileged user; only as root.")
    stop_signal: int = signal.SIGTERM
    death_signal: int = Field(
        default=signal.SIGTERM, description="Sent by the kernel when the supervisor dies."
    )
    health: HealthCheck = HealthCheck()
    address: str | None = Field(default=None, description="Shown to people: host:port or URL.")
    ready_timeout_s: float = Field(default=30.0, gt=0)
    unhealthy_after_s: float = Field(
        default=30.0, gt=0, description="A living child whose check fails this long is restarted."
    )
    stop_timeout_s: float = Field(default=15.0, gt=0, description="Then it is killed.")
    depends_on: tuple[str, ...] = ()
    revision: str = Field(default="", description="Another value means: restart the service.")


class ServiceState(StrEnum):
    """Where a service is in its life."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    BACKING_OFF = "backing_off"
    STOPPED = "stopped"


class ServiceStatus(Frozen):
    """One service as the supervisor sees it; `since` is when it came into this state."""

    name: str
    state: ServiceState
    pid: int | None
    since: datetime
    restarts: int
    address: str | None
    log_file: str
    last_exit: int | None = Field(description="Exit code; negative is the signal that ended it.")
    revision: str


class StackStatus(Frozen):
    """The whole stack of one data folder."""

    data_dir: str
    running: bool
    supervisor_pid: int | None
    since: datetime | None
    services: tuple[ServiceStatus, ...] = ()

    def service(self, name: str) -> ServiceStatus | None:
        """The service of that name, None when there is none."""
        return next((one for one in self.services if one.name == name), None)

    @property
    def healthy(self) -> bool:
        """Whether the supervisor runs and every service it has is healthy."""
        return self.running and all(one.state is ServiceState.HEALTHY for one in self.services)


class StackInfo(Frozen):
    """How to reach the servers of a stack."""

    data_dir: Path
    admin_url: SecretStr = Field(description="PostgreSQL as superuser: for the installer only.")
    postgres_host: str
    postgres_port: int
    postgres_database: str
    temporal_address: str
    temporal_namespace: str
    ui_url: str | None


class Finding(Frozen):
    """One line of the doctor's report; `fix` is a sentence when `ok` is false, else empty."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
