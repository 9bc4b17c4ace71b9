"""Keeps docs/openapi.json the API's own description: compares it, or writes it with ``--write``."""

import json
import sys
from pathlib import Path

from api.app import create_app

SNAPSHOT = Path(__file__).resolve().parents[1] / "docs" / "openapi.json"


def current() -> str:
    """The description as the API gives it, in a form that compares well line by line."""
    return json.dumps(create_app(None).openapi(), indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Exit code 1 when the stored description is not the current one."""
    now = current()
    if sys.argv[1:] == ["--write"]:
        SNAPSHOT.write_text(now, encoding="utf-8")
        return 0
    stored = SNAPSHOT.read_text(encoding="utf-8") if SNAPSHOT.exists() else ""
    if stored == now:
        return 0
    sys.stderr.write("docs/openapi.json is not what the API is now; `make openapi` writes it.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
