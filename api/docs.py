"""The interactive reference at /docs, from vendored assets: it asks no other host for anything."""

from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).parent / "static"
#: Styles may be inline because the reference sets them while it draws; scripts may not.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def _page(_request: Request) -> FileResponse:
    return FileResponse(
        STATIC / "docs" / "index.html",
        media_type="text/html",
        headers={"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"},
    )


def install_docs(app: FastAPI) -> None:
    """Serve the page and its assets; neither is part of the schema."""
    app.add_route("/docs", _page, include_in_schema=False)
    app.mount("/docs/static", StaticFiles(directory=STATIC))
