"""The one tree of errors that people and programs meet.

StockwrightError
├── InvalidInput            422  a field is wrong; ``errors`` names it
│   └── KeyReused           422  an idempotency key came back with another body
├── Unreadable              400  the request could not be read at all
├── Unauthenticated         401  no valid credential
├── Forbidden               403  a permission or limit is missing
├── NotFound                404  it does not exist, or belongs to another tenant
├── Conflict                409  the state or the stock refuses; ``details`` has the numbers
│   ├── InFlight            409  the same key is being worked on (retryable)
│   └── ProcessClosed       409  the process has ended
├── PreconditionFailed      412  the record changed since it was read
├── PreconditionRequired    428  If-Match is missing
├── Busy                    429  more waits than the bound allows (retryable)
└── Unavailable             503  a server of ours did not answer (retryable)

Each has a stable ``code``, the HTTP ``status`` and whether the same request may be sent again.
Callers branch on type or code, never on text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: ``pointer`` is a JSON pointer into the body, or ``?name`` of a parameter."""

    pointer: str
    code: str
    message: str

    def as_dict(self) -> dict[str, str]:
        return {"pointer": self.pointer, "code": self.code, "message": self.message}


class StockwrightError(Exception):
    """Root of the tree; never raised itself."""

    status: ClassVar[int] = 500
    default_code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
        errors: Sequence[FieldError] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.details: dict[str, Any] = dict(details or {})
        self.errors = tuple(errors)
        self.retry_after = retry_after


class InvalidInput(StockwrightError):
    """The request was read, and something in it is not allowed."""

    status = 422
    default_code = "invalid_input"

    @classmethod
    def field(cls, pointer: str, code: str, message: str) -> "InvalidInput":
        """One wrong field, the common case."""
        return cls(message, errors=[FieldError(pointer, code, message)])


class KeyReused(InvalidInput):
    """The idempotency key was used before with another body."""

    default_code = "idempotency_key_reuse"


class Unreadable(StockwrightError):
    """Not JSON, a broken cursor, a missing header."""

    status = 400
    default_code = "unreadable"


class Unauthenticated(StockwrightError):
    """No credential, or one that is unknown, expired or revoked."""

    status = 401
    default_code = "unauthenticated"


class Forbidden(StockwrightError):
    """The actor may not do this."""

    status = 403
    default_code = "permission_denied"


class NotFound(StockwrightError):
    """Unknown, or owned by another tenant: the answer is the same on purpose."""

    status = 404
    default_code = "not_found"


class Conflict(StockwrightError):
    """The state of the record, process or stock refuses the command."""

    status = 409
    default_code = "conflict"


class InFlight(Conflict):
    """The same key is being worked on right now."""

    default_code = "in_flight"
    retryable = True


class ProcessClosed(Conflict):
    """The process has ended; its answers stay, new commands are refused."""

    default_code = "process_closed"


class PreconditionFailed(StockwrightError):
    """If-Match names an old version."""

    status = 412
    default_code = "stale_version"


class PreconditionRequired(StockwrightError):
    """If-Match is missing on a record that several people edit."""

    status = 428
    default_code = "if_match_required"


class Busy(StockwrightError):
    """More commands wait than the bound allows; nothing of this one was done."""

    status = 429
    default_code = "busy"
    retryable = True


class Unavailable(StockwrightError):
    """A server of ours did not answer; the same request with the same key may be sent again."""

    status = 503
    default_code = "unavailable"
    retryable = True
