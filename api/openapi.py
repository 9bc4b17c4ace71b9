"""``python -m api.openapi`` rewrites the committed snapshot of the published schema."""

import json
import sys
from pathlib import Path

from fastapi import FastAPI

from api.app import create_app

SNAPSHOT = Path(__file__).parent.parent / "docs" / "openapi.json"


def snapshot(app: FastAPI) -> str:
    """The schema as the text of the snapshot: a line for each member, in a fixed order."""
    return json.dumps(app.openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    """Write ``docs/openapi.json``; needs no database."""
    SNAPSHOT.write_text(snapshot(create_app(None)))
    sys.stdout.write(f"wrote {SNAPSHOT.name}\n")


if __name__ == "__main__":
    main()
