"""The Temporal dev server with its Web UI, as a service of the supervisor."""

import os
import signal
from pathlib import Path

from stack.health import LOOPBACK
from stack.models import HealthCheck, ServiceSpec, StackOptions, StackPaths

PORT_VARIABLE = "STOCKWRIGHT_TEMPORAL_PORT"
UI_PORT_VARIABLE = "STOCKWRIGHT_TEMPORAL_UI_PORT"

# At most ten, so that every process can be found by them without an own index.
SEARCH_ATTRIBUTES = {
    "Tenant": "Keyword",
    "Kind": "Keyword",
    "Number": "Keyword",
    "Stage": "Keyword",
    "Amount": "Double",
    "Currency": "Keyword",
    "Warehouse": "KeywordList",
    "DueAt": "Datetime",
    "NeedsAttention": "Bool",
    "Actor": "Keyword",
}


def ui_url(ui_port: int) -> str:
    """The address of the Web UI for a browser."""
    return f"http://{LOOPBACK}:{ui_port}"


def service(
    program: Path,
    paths: StackPaths,
    *,
    port: int,
    ui_port: int,
    namespace: str,
    options: StackOptions,
) -> ServiceSpec:
    """What the supervisor runs. Namespace and search attributes are made at each start.

    The dev server keeps closed processes for 24 hours, then deletes their histories; change it
    with `temporal operator namespace update --retention 30d -n NAMESPACE`.
    """
    flags = ["--ip", LOOPBACK, "--port", str(port), "--ui-port", str(ui_port)]
    flags += ["--namespace", namespace, "--log-level", "error", "--color", "never"]
    for name, kind in SEARCH_ATTRIBUTES.items():
        flags += ["--search-attribute", f"{name}={kind}"]
    if not options.temporal_in_memory:
        flags += ["--db-filename", str(paths.temporal / "dev.db")]
    # Variables for Temporal's clients, such as an address, must not steer our server.
    foreign: dict[str, str | None] = {
        name: None for name in os.environ if name.startswith("TEMPORAL_")
    }
    return ServiceSpec(
        name="temporal",
        argv=(str(program), "server", "start-dev", *flags),
        env={**foreign, "TEMPORAL_VERSION_CHECK_DISABLED": "1"},
        stop_signal=signal.SIGTERM,
        death_signal=signal.SIGTERM,
        # The UI asks the server behind it, so one answer proves UI, server, store and namespace.
        health=HealthCheck(kind="http", address=f"{ui_url(ui_port)}/api/v1/namespaces/{namespace}"),
        address=f"{LOOPBACK}:{port}",
        ready_timeout_s=60,
        stop_timeout_s=15,
    )
