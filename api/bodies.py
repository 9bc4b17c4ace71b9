"""Reads a request's body: bounded in size and depth, strict JSON, nothing that the rest can't hold.

Checked once here, for every route, are the things that no field type sees: bytes that are no UTF-8,
numbers that are no numbers or too large for a JSON reader, NUL and half characters in any text.
"""

import json
import math
from typing import Any

from starlette.requests import Request

from api.problems import BodyTooLarge, pointer_part
from domain.errors import FieldError, InvalidInput, Unreadable
from domain.values import MAX_WHOLE

MAX_BODY = 1024 * 1024
MAX_DEPTH = 32
_MAX_FIELD_ERRORS = 20


class BoundedRequest(Request):
    """A request whose body has at most MAX_BODY bytes and, as JSON, is what parse() accepts."""

    async def body(self) -> bytes:
        """The body, counted as it arrives.

        Raises:
            BodyTooLarge: more bytes than MAX_BODY were announced or sent.
        """
        if not hasattr(self, "_body"):
            announced = self.headers.get("content-length", "")
            if announced.isdecimal() and len(announced) < 20 and int(announced) > MAX_BODY:
                raise _too_large()
            chunks, size = [], 0
            async for chunk in self.stream():
                size += len(chunk)
                if size > MAX_BODY:
                    raise _too_large()
                chunks.append(chunk)
            self._body = b"".join(chunks)
        return self._body

    async def json(self) -> Any:
        """The body as JSON.

        Raises:
            Unreadable: it is announced as something else, or is not JSON.
            InvalidInput: it holds numbers or text that no field may have.
        """
        if not hasattr(self, "_json"):
            body = await self.body()
            require_json(self, body)
            self._json = parse(body) if body else None
        return self._json


def media_type(request: Request) -> str:
    """What the body is announced as, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def require_json(request: Request, body: bytes) -> None:
    """Refuse a body that is announced as something else.

    Raises:
        Unreadable: it is no JSON by its media type.
    """
    kind = media_type(request)
    if body and kind != "application/json" and not kind.endswith("+json"):
        raise Unreadable("Send JSON with Content-Type: application/json.", code="not_json")


def parse(body: bytes) -> Any:
    """``body`` as JSON, or an error that says where it is wrong.

    Raises:
        Unreadable: it is not UTF-8, not JSON, or nested too deeply.
        InvalidInput: numbers or text that no field may have; each with its pointer.
    """
    value = load(body)
    refuse_wrong_values(value)
    return value


def load(body: bytes) -> Any:
    """``body`` as JSON, whatever its values.

    Raises:
        Unreadable: it is not UTF-8, not JSON, or nested too deeply to be read.
    """
    try:
        return json.loads(body.decode(), parse_int=_whole)
    except UnicodeDecodeError:
        raise Unreadable("The body is not UTF-8.", code="not_json") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"The body is not JSON: {error.msg}.", code="not_json") from None
    except RecursionError:
        raise _too_deep() from None


def refuse_wrong_values(value: Any) -> None:
    """Refuse numbers or text that no field may have.

    Raises:
        InvalidInput: each with its pointer.
        Unreadable: it is nested too deeply.
    """
    errors = _wrong_values(value)
    if errors:
        raise InvalidInput("The body holds values that no field may have.", errors=errors)


def check_text(text: str) -> tuple[str, str] | None:
    """Code and message when ``text`` cannot be stored: NUL, or half of a surrogate pair."""
    if "\0" in text:
        return "nul_character", "text cannot hold the character U+0000"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "lone_surrogate", "text cannot hold half of a surrogate pair"
    return None


def _whole(digits: str) -> int | float:
    # Python refuses to read very long numbers at all; infinity is caught as too large below.
    return int(digits) if len(digits) <= 20 else math.inf


def _wrong_values(root: Any) -> list[FieldError]:
    errors: list[FieldError] = []
    waiting: list[tuple[Any, str, int]] = [(root, "", 0)]
    while waiting and len(errors) < _MAX_FIELD_ERRORS:
        value, pointer, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise _too_deep()
        wrong = None
        if isinstance(value, dict):
            for key, item in value.items():
                inside = f"{pointer}/{pointer_part(key)}"
                wrong_key = check_text(key)
                if wrong_key is not None:
                    errors.append(FieldError(inside, *wrong_key))
                waiting.append((item, inside, depth + 1))
        elif isinstance(value, list):
            waiting += [(item, f"{pointer}/{n}", depth + 1) for n, item in enumerate(value)]
        elif isinstance(value, str):
            wrong = None if value.isascii() and "\0" not in value else check_text(value)
        elif isinstance(value, int | float) and not -MAX_WHOLE <= value <= MAX_WHOLE:
            wrong = "number_out_of_range", f"numbers lie between -{MAX_WHOLE} and {MAX_WHOLE}"
        if wrong is not None:
            errors.append(FieldError(pointer, *wrong))
    return errors


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"A request has at most {MAX_BODY} bytes.", details={"max_bytes": MAX_BODY})


def _too_deep() -> Unreadable:
    return Unreadable(f"The body is nested deeper than {MAX_DEPTH} levels.", code="too_deep")
