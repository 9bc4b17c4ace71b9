"""Small things on files: atomic writes, the folder lock, log rotation and tails, known pids."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stack.errors import DataFolderError

LOG_ROTATE_BYTES = 20 * 1024 * 1024
_TAIL_BYTES = 16 * 1024


def read_text(path: Path) -> str | None:
    """The file's text, None when there is no such file."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner may read it."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def try_lock(path: Path) -> int | None:
    """Take the exclusive lock and return its descriptor, or None when another holds it.

    The lock belongs to the open descriptor, so it passes to a child that inherits it and ends
    with the last process that has it: a stale file means nothing.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def write_lock_owner(descriptor: int, pid: int) -> None:
    """Note in the locked file which process to send signals to."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{pid}\n".encode(), 0)


def lock_owner(path: Path) -> tuple[bool, int | None]:
    """Whether the lock is held, and the pid that its holder noted."""
    try:
        if not path.exists():
            return False, None
        descriptor = try_lock(path)
    except PermissionError as error:
        raise DataFolderError(
            f"{path.parent} belongs to another user. Run this as that user, or choose another"
            " STOCKWRIGHT_DATA_DIR."
        ) from error
    if descriptor is not None:
        os.close(descriptor)
        return False, None
    noted = (read_text(path) or "").strip()
    return True, int(noted) if noted.isdigit() else None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for an exclusive lock and hold it for the block."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def open_log(path: Path) -> int:
    """Open a log for appending; one that grew beyond the limit is set aside as `.1` first."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_ROTATE_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log, empty when there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def start_tick(pid: int) -> str | None:
    """When a process started, in the kernel's own count; None when it is gone or unknowable.

    Together with the pid it names one process for ever, although pids are used again.
    """
    stat = None
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    if stat is None:
        return None
    # The command's name may hold blanks and brackets, so count the fields behind it.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else fields[19]


def note_pid(path: Path, pid: int) -> None:
    """Write a pid file that `noted_pid` can trust later."""
    write_private(path, f"{pid} {start_tick(pid) or '-'}\n")


def noted_pid(path: Path) -> int | None:
    """The noted process if exactly that one still lives, else None."""
    words = (read_text(path) or "").split()
    if len(words) != 2 or words[1] == "-" or not words[0].isdigit():
        return None
    pid = int(words[0])
    return pid if start_tick(pid) == words[1] else None
