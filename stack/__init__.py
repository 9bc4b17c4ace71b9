"""The embedded stack: PostgreSQL and Temporal without Docker, kept running by one supervisor."""

from stack.control import (
    add_services,
    destroy,
    remove_service,
    restart_service,
    run_foreground,
    running_info,
    stack_info,
    start,
    status,
    stop,
)
from stack.doctor import doctor
from stack.errors import (
    AlreadyRunning,
    DataFolderError,
    MissingTool,
    NotRunning,
    PortTaken,
    ServiceFailed,
    StackError,
)
from stack.models import (
    Finding,
    HealthCheck,
    ServiceSpec,
    ServiceState,
    ServiceStatus,
    StackInfo,
    StackOptions,
    StackPaths,
    StackStatus,
)
from stack.secrets import StackSecrets, load_or_create

__all__ = [
    "AlreadyRunning",
    "DataFolderError",
    "Finding",
    "HealthCheck",
    "MissingTool",
    "NotRunning",
    "PortTaken",
    "ServiceFailed",
    "ServiceSpec",
    "ServiceState",
    "ServiceStatus",
    "StackError",
    "StackInfo",
    "StackOptions",
    "StackPaths",
    "StackSecrets",
    "StackStatus",
    "add_services",
    "destroy",
    "doctor",
    "load_or_create",
    "remove_service",
    "restart_service",
    "run_foreground",
    "running_info",
    "stack_info",
    "start",
    "status",
    "stop",
]
