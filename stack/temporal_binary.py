"""The Temporal dev server's program: found on PATH or in the cache, else downloaded or built.

Order: `temporal` on PATH, the cache, the SDK's download, `go install`. The last needs only a Go
toolchain and a module proxy, and takes 3 to 4 minutes on two cores.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from stack import go_toolchain
from stack.errors import MissingTool
from stack.files import locked
from stack.progress import Progress, run_told

VERSION = "1.5.1"
MODULE = f"github.com/temporalio/cli/cmd/temporal@v{VERSION}"
# The first server with update-with-start for everybody.
NEEDED_SERVER = (1, 28)
DOWNLOAD_TIMEOUT_S = 20
BUILD_TIMEOUT_S = 20 * 60

# The SDK downloads the program and starts it; we only want the file it leaves.
_DOWNLOAD = """
import asyncio, os, sys
from temporalio.testing import WorkflowEnvironment
async def main():
    await WorkflowEnvironment.start_local(
        download_dest_dir=sys.argv[1], dev_server_download_version=sys.argv[2])
    print("downloaded", flush=True)
    os._exit(0)
asyncio.run(main())
"""


def cache_folder(cache_dir: Path | None) -> Path:
    """Where built tools lie: the setting, else the user's cache."""
    if cache_dir is not None:
        return cache_dir.expanduser().resolve()
    user_cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(user_cache).expanduser() / "stockwright"


def cached_program(cache_dir: Path | None) -> Path:
    """Where the program is, or will be, in the cache."""
    return cache_folder(cache_dir) / "bin" / f"temporal-{VERSION}"


def find(cache_dir: Path | None) -> Path | None:
    """A program that is there already and new enough."""
    found = shutil.which("temporal")
    for candidate in (Path(found) if found else None, cached_program(cache_dir)):
        if candidate is not None and (server_version(candidate) or (0, 0)) >= NEEDED_SERVER:
            return candidate
    return None


def server_version(program: Path) -> tuple[int, int] | None:
    """Major and minor version of the server inside, None when the program does not run."""
    try:
        done = subprocess.run(
            [program, "--version"],
            check=False,
            capture_output=True,
            text=True,
            timeout=20,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"Server (\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else None


def find_or_build(cache_dir: Path | None, progress: Progress) -> Path:
    """The program, got unattended if need be; raises MissingTool with the ways to help.

    Of two that build at once the second waits and takes what the first made.
    """
    found = find(cache_dir)
    if found is not None:
        return found
    wanted = cached_program(cache_dir)
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with locked(wanted.parent / ".lock"):
        found = find(cache_dir)
        if found is not None:
            return found
        with tempfile.TemporaryDirectory(dir=wanted.parent, prefix=".new-") as folder:
            fresh = _download(Path(folder), progress) or _build(Path(folder), progress)
            fresh.chmod(0o755)
            fresh.replace(wanted)
    return wanted


def _download(folder: Path, progress: Progress) -> Path | None:
    progress("The Temporal dev server is not installed: trying the SDK's download")
    command = [sys.executable, "-c", _DOWNLOAD, str(folder), f"v{VERSION}"]
    done, _ = run_told("Downloading Temporal", command, progress, timeout=DOWNLOAD_TIMEOUT_S)
    files = [path for path in folder.iterdir() if path.is_file()]
    if not done or len(files) != 1 or server_version(files[0]) is None:
        progress("The download did not succeed")
        return None
    return files[0]


def _build(folder: Path, progress: Progress) -> Path:
    go = go_toolchain.find_or_get(folder, progress)
    if go is None:
        raise MissingTool(f"The Temporal dev server is missing. {ways_to_help()}")
    progress(f"Building the Temporal dev server {VERSION} with {go}; once, about 4 minutes")
    built = folder / "bin"
    done, lines = run_told(
        "Building Temporal",
        [go, "install", "-v", MODULE],
        progress,
        timeout=BUILD_TIMEOUT_S,
        env=_build_environment(built, None if go == go_toolchain.on_path() else folder),
        cwd=folder,
    )
    program = built / "temporal"
    if not done or server_version(program) is None:
        raise MissingTool(
            f"Building the Temporal dev server failed. {ways_to_help()} The last lines:\n{lines}"
        )
    return program


def _build_environment(built: Path, own_caches: Path | None) -> dict[str, str]:
    unset = {"GOOS", "GOARCH", "GOROOT", "GO111MODULE"}
    variables = {name: value for name, value in os.environ.items() if name not in unset}
    # Pure Go needs no C compiler.
    variables |= {"GOBIN": str(built), "CGO_ENABLED": "0"}
    if own_caches is not None or "HOME" not in os.environ:
        # Who has no Go shall not find gigabytes of its caches at home; ours go with the build.
        folder = own_caches or built.parent
        variables |= {"GOPATH": str(folder / "gopath"), "GOCACHE": str(folder / "gocache")}
        variables["GOFLAGS"] = f"{variables.get('GOFLAGS', '')} -modcacherw".strip()
    return variables


def ways_to_help() -> str:
    """What a person can do when there is no way to get the program."""
    major, minor = go_toolchain.NEEDED
    return (
        "Install Temporal's command line (`temporal`), or Go"
        f" {major}.{minor} or newer, and start again; or set TEMPORAL_ADDRESS to a running server."
    )
