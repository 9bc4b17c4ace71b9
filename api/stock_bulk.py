"""Many stock commands in one request: as one JSON body, or as a stream of lines in and out.

A JSON body is one command of the writer: one transaction, one stored answer. A stream is cut into
pieces of fixed size, each with a key of its own that follows from the request's, so that a client
whose connection broke sends the same stream again and gets the same lines.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Query, Request, Response
from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import to_json
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.answers import respond
from api.auth import needs
from api.bodies import MAX_BODY, load, media_type, refuse_wrong_values, require_json
from api.idempotency import StreamKey
from api.problems import from_validation, instance_of, problem, render_problem
from api.quantities import known_units
from api.routing import make_router
from api.services import Services, TheServices
from api.stock_bodies import (
    AddStock,
    AdjustStock,
    DeductStock,
    MoveStock,
    ReverseStock,
    SetStock,
    TransferStock,
)
from api.stock_post import durable, origin_of
from db.operations import HTTP, fingerprint
from db.stock_commands import BulkRow, RowResult, StockBulk, describe
from domain.errors import Conflict, InvalidInput, NotFound, StockwrightError, Unreadable
from domain.permissions import Actor, Permission, authorize
from domain.stock import UNKNOWN, Refused, check
from domain.units import in_base_units, wanted_variants
from domain.values import Body, example

router = make_router("/v1/inventory/stock", "stock")
#: Whoever may write stock at all may send a bulk; each row needs its own command's permission.
Sender = Annotated[Actor, needs(Permission.STOCK_RECEIVE)]
ROWS_MAX = 1000
#: Lines of all rows of one transaction.
LINES_MAX = 5000
#: Rows of a piece of a stream: fixed, because the piece's key follows from its number.
_PIECE_ROWS = 500
_NDJSON = "application/x-ndjson"


class AddRow(AddStock):
    """Goods come in."""

    command: Literal["add"]


class DeductRow(DeductStock):
    """Goods leave from what is available."""

    command: Literal["deduct"]


class AdjustRow(AdjustStock):
    """A correction, with its reason."""

    command: Literal["adjust"]


class SetRow(SetStock):
    """Compare and set."""

    command: Literal["set"]


class MoveRow(MoveStock):
    """Units change their bucket."""

    command: Literal["move"]


class TransferRow(TransferStock):
    """Goods change their warehouse at once."""

    command: Literal["transfer"]


class ReverseRow(ReverseStock):
    """An earlier command is undone."""

    command: Literal["reverse"]


Row = AddRow | DeductRow | AdjustRow | SetRow | MoveRow | TransferRow | ReverseRow
_ROW: TypeAdapter[Row] = TypeAdapter(Annotated[Row, Field(discriminator="command")])
_PERMISSIONS = {"add": Permission.STOCK_RECEIVE, "deduct": Permission.STOCK_DEDUCT}


class StockBulkBody(Body):
    """Up to 1,000 commands, each as its own route takes it, with its name beside."""

    model_config = example(
        {
            "policy": "reject_failed",
            "items": [
                {
                    "command": "deduct",
                    "warehouse_id": "01980000-0000-7000-8000-000000000001",
                    "variant_id": "01980000-0000-7000-8000-000000000002",
                    "quantity": 2,
                }
            ],
        }
    )

    policy: Literal["reject_all", "reject_failed"]
    # What a row holds is looked at row by row: a wrong one fails alone.
    items: list[Any] = Field(min_length=1, max_length=ROWS_MAX)


@dataclass(frozen=True, slots=True)
class _Read:
    """A row that can be posted, or why not."""

    row: BulkRow | None
    error: StockwrightError | None = None


def _published() -> dict[str, Any]:
    schema = StockBulkBody.model_json_schema()
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schema},
                _NDJSON: {"schema": {"type": "string", "description": "One item a line."}},
            },
        }
    }


@router.post("/bulk", openapi_extra=_published())
async def bulk_stock(
    request: Request,
    actor: Sender,
    services: TheServices,
    key: StreamKey,
    policy: Annotated[
        Literal["reject_failed"] | None, Query(description="Of a stream; a body has its own.")
    ] = None,
) -> Response:
    """Post many commands: add, deduct, adjust, set, move, transfer, reverse.

    As JSON: up to 1,000 rows in one transaction, decided in order; one result a row, in order. With
    `reject_all` one wrong row refuses all (422 for a malformed one, else 409 `bulk_rejected`). With
    `reject_failed` every row stands alone: its `status`, `code`, and for a malformed one `errors`
    with pointers into the row.

    As `application/x-ndjson`: any number of rows, one a line, answered a line each while they come;
    `reject_failed` only. A stream that broke is sent again from its start with the same key.
    """
    if media_type(request) == _NDJSON:
        return await _stream(services, actor, key, request)
    if policy is not None:
        raise InvalidInput.field("?policy", "policy", "The policy of a JSON body is in the body.")
    raw = await request.body()
    require_json(request, raw)
    body = _body(load(raw))
    rows = await _rows(services, actor, body.items)
    all_or_nothing = body.policy == "reject_all"
    wrong = [(n, read.error) for n, read in enumerate(rows) if read.error is not None]
    if all_or_nothing and wrong:
        raise _refused_whole(wrong)
    command = StockBulk(
        key=key,
        source=HTTP,
        fingerprint=fingerprint(request.method, instance_of(request), raw),
        rows=[read.row for read in rows if read.row is not None],
        all_or_nothing=all_or_nothing,
        encode=partial(_encode, instance_of(request), body.policy, rows),
    )
    return respond(await durable(services, actor, command))


def _body(value: Any) -> StockBulkBody:
    try:
        return StockBulkBody.model_validate(value)
    except ValidationError as error:
        raise from_validation(_located(error, 0)) from None


def _located(error: ValidationError, skip: int) -> list[dict[str, Any]]:
    """The errors with places as the framework gives them for a body."""
    located = []
    for one in error.errors():
        place = ("command",) if one["type"].startswith("union_tag") else one["loc"][skip:]
        located.append({**one, "loc": ("body", *place)})
    return located


async def _rows(services: Services, actor: Actor, items: Sequence[Any]) -> list[_Read]:
    """Read every row by itself: schema, permission, units, limits."""
    read = [_model(actor, item) for item in items]
    lines = [line for row in read if not isinstance(row, StockwrightError) for line in _lines(row)]
    if len(lines) > LINES_MAX:
        raise InvalidInput.field("/items", "too_many_lines", f"At most {LINES_MAX} lines in all.")
    wanted = wanted_variants(lines)
    known = await known_units(services, actor, wanted) if wanted else {}
    found = []
    for row in read:
        try:
            if isinstance(row, StockwrightError):
                raise row
            if wanted_variants(_lines(row)):
                row = row.model_copy(update={"lines": in_base_units(_lines(row), known)})  # noqa: PLW2901
            action = row.action()
            check(action)
            found.append(_Read(BulkRow(action, origin_of(actor, action, row))))
        except StockwrightError as error:
            found.append(_Read(None, error))
    return found


def _lines(row: Row) -> list[Any]:
    return list(getattr(row, "lines", ()))


def _model(actor: Actor, item: Any) -> Row | StockwrightError:
    try:
        if isinstance(item, StockwrightError):
            return item
        refuse_wrong_values(item)
        row = _ROW.validate_python(item)
        authorize(actor, _PERMISSIONS.get(row.command, Permission.STOCK_ADJUST))
    except ValidationError as error:
        # Errors within a known command have its name before their place.
        known = isinstance(item, dict) and item.get("command") in _COMMANDS
        return from_validation(_located(error, 1 if known else 0))
    except StockwrightError as error:
        return error
    return row


_COMMANDS = ("add", "deduct", "adjust", "set", "move", "transfer", "reverse")


def _refused_whole(wrong: Sequence[tuple[int, StockwrightError]]) -> StockwrightError:
    """The first malformed rows as one error of the request, which may be mended and sent again."""
    for _, error in wrong:
        if error.status != InvalidInput.status:
            return error
    fields = [
        type(field)(f"/items/{n}{field.pointer}", field.code, field.message)
        for n, error in wrong[:20]
        for field in error.errors
    ]
    return InvalidInput("Rows are malformed, so nothing was done.", errors=fields)


def _encode(
    instance: str, policy: str, rows: Sequence[_Read], results: Sequence[RowResult]
) -> tuple[int, bytes]:
    """The answer of the whole, which is stored under its key."""
    answers = _answers(rows, results, 0)
    failed = [answer for answer in answers if answer["status"] >= 400]
    if failed and policy == "reject_all":
        refusal = Conflict(
            f"{len(failed)} of {len(answers)} rows were refused, so nothing was done.",
            code="bulk_rejected",
            details={"results": failed},
        )
        return refusal.status, render_problem(refusal, instance)
    members = {
        "object": "stock_bulk",
        "policy": policy,
        "accepted": len(answers) - len(failed),
        "refused": len(failed),
        "results": answers,
    }
    return 200, to_json(members)


def _answers(
    rows: Sequence[_Read], results: Sequence[RowResult], first: int
) -> list[dict[str, Any]]:
    """One answer a row, in order; ``first`` is the number of the first."""
    posted = iter(results)
    answers = []
    for n, read in enumerate(rows, start=first):
        error = read.error
        if error is None:
            done = next(posted)
            if not isinstance(done.result, Refused):
                members = describe(done.operation_id, done.action, done.result)
                answers.append({"index": n, "status": 200, **members})
                continue
            refused = done.result
            kind = NotFound if refused.code in UNKNOWN else Conflict
            error = kind(refused.detail, code=refused.code, details=refused.details)
        told = problem(error, "")
        shown = {name: told[name] for name in ("status", "code", "detail", "details", "errors")}
        answers.append({"index": n, **shown})
    return answers


class _TwoWay(StreamingResponse):
    """An answer that is sent while the request still comes in.

    The usual one watches for the client's end by reading, and would swallow the request.
    """

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await self.stream_response(send)


async def _stream(services: Services, actor: Actor, key: str, request: Request) -> Response:
    """Pieces in, lines out; an error before the first line still has its own status."""
    pieces = _pieces(request)
    answers = _posted(services, actor, key, pieces)
    first = await anext(answers, b"")

    async def lines() -> AsyncIterator[bytes]:
        yield first
        try:
            async for answer in answers:
                yield answer
        except StockwrightError as error:
            yield to_json({"object": "problem", **problem(error, instance_of(request))}) + b"\n"

    return _TwoWay(lines(), media_type=_NDJSON)


async def _posted(
    services: Services, actor: Actor, key: str, pieces: AsyncIterator[list[bytes]]
) -> AsyncIterator[bytes]:
    number = 0
    async for piece in pieces:
        rows = await _rows(services, actor, [_item(line) for line in piece])
        command = StockBulk(
            # A character that no client's key can hold keeps the piece's key apart from them all.
            key=f"{key}\x1f{number}",
            source=HTTP,
            fingerprint=fingerprint("POST", "ndjson", b"\n".join(piece)),
            rows=[read.row for read in rows if read.row is not None],
            all_or_nothing=False,
            encode=partial(_encode_lines, rows, number * _PIECE_ROWS),
        )
        yield (await durable(services, actor, command)).body
        number += 1


def _encode_lines(
    rows: Sequence[_Read], first: int, results: Sequence[RowResult]
) -> tuple[int, bytes]:
    return 200, b"".join(to_json(one) + b"\n" for one in _answers(rows, results, first))


def _item(line: bytes) -> Any:
    try:
        return load(line)
    except StockwrightError as error:
        return error


async def _pieces(request: Request) -> AsyncIterator[list[bytes]]:
    """Lines as they arrive, a fixed number at a time; blank lines do not count.

    Raises:
        Unreadable: a line is longer than a body may be.
    """
    piece: list[bytes] = []
    rest = b""
    async for chunk in request.stream():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                piece.append(line)
            if len(piece) == _PIECE_ROWS:
                yield piece
                piece = []
        if len(rest) > MAX_BODY:
            raise Unreadable("A line is too long.", code="line_too_long")
    if rest.strip():
        piece.append(rest)
    if piece:
        yield piece
