"""Tells whether docs/openapi.json is the API's own description; `make openapi` writes it."""

import sys

from api.app import create_app
from api.openapi import SNAPSHOT, snapshot


def main() -> int:
    """Exit code 1 when the stored description is not the current one."""
    stored = SNAPSHOT.read_text(encoding="utf-8") if SNAPSHOT.exists() else ""
    if stored == snapshot(create_app(None)):
        return 0
    sys.stderr.write("docs/openapi.json is not what the API is now; `make openapi` writes it.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
