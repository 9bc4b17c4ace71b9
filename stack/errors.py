"""The errors of the embedded stack; each message tells a person what to do next.

StackError
├── AlreadyRunning    a supervisor holds this data folder
├── NotRunning        no supervisor runs for this data folder
├── PortTaken         another program listens where a server should
├── ServiceFailed     a service did not become healthy; carries its log's tail
├── MissingTool       a program could neither be found nor built
└── DataFolderError   the data folder cannot be used
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stack.models import StackInfo


class StackError(Exception):
    """Anything that keeps the embedded stack from doing what it was asked."""


class AlreadyRunning(StackError):
    """A second start on a data folder. `info` is None while the first start is under way."""

    def __init__(self, pid: int | None, info: "StackInfo | None") -> None:
        self.pid = pid
        self.info = info
        super().__init__(
            f"The stack already runs on this data folder (process {pid or 'unknown'})."
            " Use it, stop it with `stockwright down`, or choose another STOCKWRIGHT_DATA_DIR."
        )


class NotRunning(StackError):
    """A request to the supervisor of a data folder that has none."""

    def __init__(self) -> None:
        super().__init__("No stack runs on this data folder. Start it with `stockwright up`.")


class PortTaken(StackError):
    """A port that a server needs is in use by a program that is not ours."""

    def __init__(self, port: int, variable: str) -> None:
        self.port = port
        self.variable = variable
        super().__init__(
            f"Port {port} on 127.0.0.1 is taken by another program."
            f" Stop that program or set {variable} to a free port."
        )


class ServiceFailed(StackError):
    """A service that did not become healthy in time; `log_tail` holds its last lines."""

    def __init__(self, name: str, reason: str, log_file: str, log_tail: str) -> None:
        self.name = name
        self.log_file = log_file
        self.log_tail = log_tail
        super().__init__(
            f"{name} {reason}. Its log is {log_file}; the last lines:\n{log_tail or '(empty)'}"
        )


class MissingTool(StackError):
    """A program that is neither installed nor could be got; the message names the ways."""


class DataFolderError(StackError):
    """The data folder, or the place PostgreSQL needs, cannot be used as it is."""
