"""Answers of records: JSON with ETag and Location, 304 for what is known, replays as stored."""

import json
from typing import Any, Protocol, Self
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel

from api.etag import etag, unchanged
from api.problems import PROBLEM_JSON
from db.operations import Answer
from db.tables import Order, Record
from domain.values import Instant


class RecordView(BaseModel):
    """What every editable object shows of itself; a room adds its fields in a subclass."""

    id: UUID
    metadata: dict[str, str]
    created_at: Instant
    updated_at: Instant
    version: int

    @classmethod
    def of(cls, row: Record | Order, **more: Any) -> Self:
        """The view of a row: its fields by their names, and ``more`` that the row does not have."""
        fields = (name for name in cls.model_fields if name not in more)
        values = {name: getattr(row, _ATTRIBUTES.get(name, name)) for name in fields}
        return cls.model_validate({**values, **more})


_ATTRIBUTES = {"metadata": "metadata_"}


def respond(answer: Answer, *, location: str | None = None) -> Response:
    """A command's answer, byte for byte as stored.

    ``location`` is the new object's path with fields of the body in braces, as in
    ``/v1/orders/{number}``. It and the ETag are taken from the body, so that a replay has them too.
    """
    headers = {"Idempotent-Replayed": "true"} if answer.replayed else {}
    if answer.status >= 400:
        return Response(answer.body, answer.status, headers, PROBLEM_JSON)
    if not answer.body:
        return Response(b"", answer.status, headers)
    if location is not None or b'"version":' in answer.body:
        members = json.loads(answer.body)
        if isinstance(members.get("version"), int):
            headers["ETag"] = etag(members["version"])
        if location is not None:
            headers["Location"] = location.format_map(members)
    return Response(answer.body, answer.status, headers, "application/json")


class Versioned(Protocol):
    """What can be shown with an ETag."""

    version: int

    def model_dump_json(self) -> str: ...


def show(view: Versioned, if_none_match: str | None = None) -> Response:
    """One record as it is now, or 304 when the reader's version still holds."""
    headers = {"ETag": etag(view.version)}
    if unchanged(if_none_match, view.version):
        return Response(status_code=304, headers=headers)
    return Response(view.model_dump_json(), headers=headers, media_type="application/json")
