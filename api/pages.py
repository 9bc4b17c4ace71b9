"""Lists: limit, opaque cursor and order in the query, a page and the next cursor in the answer."""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from typing import Generic, Literal, TypeVar

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from db.paging import Page, Position, Window, bad_cursor
from domain.attributes import FILTERS_MAX, ValueFilter

View = TypeVar("View", bound=BaseModel)


class SortedQuery(BaseModel):
    """Query parameters of every list; each list says by what it can be sorted."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(
        default=None, max_length=1000, description="`next_cursor` of the page before."
    )
    sort: str | None


class PageQuery(SortedQuery):
    """Query parameters of a list by age; a list with filters adds them in a subclass."""

    sort: Literal["created_at", "-created_at"] = "created_at"


class RecordQuery(PageQuery):
    """Query parameters of lists of records that take custom attributes."""

    attribute: list[ValueFilter] = Field(
        default_factory=list,
        max_length=FILTERS_MAX,
        description="`key:value`, such as `colour:red`: only records with this value. Several are"
        " all met.",
    )


class ListOf(BaseModel, Generic[View]):
    """One page of a list."""

    object: Literal["list"] = "list"
    data: Sequence[View]
    has_more: bool
    next_cursor: str | None


def window(request: Request, query: SortedQuery) -> Window:
    """The part of the list that the query asks for.

    Raises:
        Unreadable: the cursor is broken or was given for another list, filter or order.
    """
    after = None if query.cursor is None else _decode(query.cursor, _list_id(request))
    return Window(query.limit, after, descending=(query.sort or "").startswith("-"))


def listing(request: Request, page: Page[object], views: Sequence[BaseModel]) -> Response:
    """The answer for a page; ``views`` are the page's rows as they are shown."""
    cursor = None if page.next is None else _encode(page.next, _list_id(request))
    answer = {
        "object": "list",
        "data": [view.model_dump(mode="json") for view in views],
        "has_more": cursor is not None,
        "next_cursor": cursor,
    }
    headers = {}
    if cursor is not None:
        following = request.url.include_query_params(cursor=cursor)
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return JSONResponse(answer, headers=headers)


def _list_id(request: Request) -> str:
    """What makes a list the same list: its tenant, path, filters and order, but not its page."""
    fixed = sorted(
        item for item in request.query_params.multi_items() if item[0] not in {"cursor", "limit"}
    )
    tenant = str(request.state.actor.tenant_id)
    named = json.dumps([tenant, request.url.path, fixed])
    return hashlib.sha256(named.encode()).hexdigest()[:16]


def _encode(position: Position, list_id: str) -> str:
    text = json.dumps([list_id, *position], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str, list_id: str) -> Position:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        decoded = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        raise bad_cursor() from None
    if not isinstance(decoded, list) or decoded[:1] != [list_id]:
        raise bad_cursor()
    position = tuple(decoded[1:])
    if not all(isinstance(value, str | int) for value in position):
        raise bad_cursor()
    return position
