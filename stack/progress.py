"""Long unattended commands that tell every few seconds how they are getting on."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Progress = Callable[[str], None]

TELL_EVERY_S = 5.0
_KEPT_LINES = 30
_LAUNCHER = str(Path(__file__).with_name("launch.py"))


def stderr_line(text: str) -> None:
    """The usual way to tell: one line on standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def run_told(
    title: str,
    command: Sequence[str],
    progress: Progress,
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> tuple[bool, str]:
    """Run a command; returns whether it succeeded, and its last lines.

    It runs in its own session and ends with us, so that neither a timeout (in seconds) nor our
    own end leaves compilers behind.
    """
    launcher = [sys.executable, "-I", "-S", _LAUNCHER]
    process = subprocess.Popen(
        [*launcher, str(os.getpid()), str(int(signal.SIGKILL)), "-", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=env,
        cwd=cwd,
        start_new_session=True,
        text=True,
        errors="replace",
    )
    lines: deque[str] = deque(maxlen=_KEPT_LINES)
    reader = threading.Thread(target=_read, args=(process, lines), daemon=True)
    reader.start()
    began = told = time.monotonic()
    try:
        while process.poll() is None:
            now = time.monotonic()
            if now - began >= timeout:
                return False, "\n".join([*lines, f"gave up after {timeout:.0f} s"])
            if now - told >= TELL_EVERY_S:
                told = now
                progress(f"{title}: {now - began:.0f} s, {lines[-1] if lines else 'working'}")
            time.sleep(0.1)
        reader.join(timeout=5)
        return process.returncode == 0, "\n".join(lines)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join(timeout=5)
        if process.stdout is not None:
            process.stdout.close()


def _read(process: subprocess.Popen[str], lines: deque[str]) -> None:
    if process.stdout is not None:
        with contextlib.suppress(ValueError):  # Closed by the one who waits.
            for line in process.stdout:
                if line.strip():
                    lines.append(line.strip()[:200])
