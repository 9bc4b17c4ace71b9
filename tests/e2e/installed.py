"""An installation of its own, driven only through the command line, in processes that can die."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import stack
from client import ApiClient
from installation import api_url, kept_key
from settings import Settings
from tests.stack.stack_helpers import free_ports

ROOT = Path(__file__).parents[2]
#: The real sample, where the checkout lies beside it.
REAL_SAMPLE = ROOT.parent / "shared" / "data" / "online-retail-sample.csv"
_PORTS = ("POSTGRES_PORT", "TEMPORAL_PORT", "TEMPORAL_UI_PORT", "API_PORT")


@dataclass(frozen=True, slots=True)
class Installation:
    """One data folder with its settings; ``files`` is for what a test writes."""

    settings: Settings
    env: dict[str, str]
    files: Path

    def run(self, *args: str | Path, timeout: float = 150) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self._command(args),
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.env,
            cwd=self.files,
        )

    def json(self, *args: str | Path, code: int = 0) -> dict[str, Any]:
        """The one object that a command answers with; it must end with ``code``."""
        done = self.run(*args, "--json")
        assert done.returncode == code, f"{done.returncode}: {done.stdout}\n{done.stderr}"
        lines = done.stdout.splitlines()
        assert len(lines) == 1, done.stdout
        document: dict[str, Any] = json.loads(lines[0])
        return document

    def start(self, *args: str | Path) -> subprocess.Popen[bytes]:
        """Start a command and leave it running."""
        return subprocess.Popen(
            self._command(args),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.env,
            cwd=self.files,
        )

    def client(self, tenant: str) -> ApiClient:
        """A tenant's calls, with the key that the command line keeps."""
        return ApiClient(api_url(self.settings), kept_key(self.settings, tenant))

    def service_pid(self, name: str) -> int:
        """The process of a service."""
        service = stack.status(self.settings.data_dir).service(name)
        assert service is not None
        assert service.pid is not None
        return service.pid

    @staticmethod
    def _command(args: tuple[str | Path, ...]) -> list[str]:
        return [sys.executable, "-P", "-m", "cli", *map(str, args)]


@contextmanager
def own_installation() -> Iterator[Installation]:
    """An empty data folder on free ports; whatever runs on it in the end is stopped and removed."""
    with TemporaryDirectory(prefix="stockwright-e2e-") as folder:
        root = Path(folder)
        # PostgreSQL runs as another user when the tests run as root.
        root.chmod(0o755)
        data, files = root / "data", root / "files"
        files.mkdir()
        ports = dict(zip(_PORTS, free_ports(4), strict=True))
        settings = Settings.model_validate(
            {"data_dir": data} | {name.lower(): port for name, port in ports.items()}
        )
        foreign = ("STOCKWRIGHT_", "TEMPORAL_")
        env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        env |= {f"STOCKWRIGHT_{name}": str(port) for name, port in ports.items()}
        env |= {"STOCKWRIGHT_DATA_DIR": str(data), "PYTHONPATH": str(ROOT)}
        if "STOCKWRIGHT_CACHE_DIR" in os.environ:
            env["STOCKWRIGHT_CACHE_DIR"] = os.environ["STOCKWRIGHT_CACHE_DIR"]
        try:
            yield Installation(settings, env, files)
        finally:
            stack.destroy(data)
