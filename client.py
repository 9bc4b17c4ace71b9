"""A small client of the HTTP API: what the command line, the importer, the demo and tests share.

Every POST carries an idempotency key, so every request may be sent again: what passes (a server
that restarts, a full queue, the same key in flight) is retried under the same key, with bounded
back-off, until ``patience`` seconds have gone by. Everything else becomes a ClientError.
"""

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2

#: Longer than the server's own longest answer.
ANSWER_SECONDS = 45.0
#: How long what passes is retried.
PATIENCE_SECONDS = 60.0
#: States in which a process has not answered its start yet.
UNSETTLED = frozenset({"placed", "reserving"})
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 3.0
_POLL_SECONDS = 0.3
_PASSING = frozenset({429, 502, 503, 504})
_PAGE = 200


class ClientError(Exception):
    """A refusal or failure of the API; branch on ``code``. Status 0 means that it can't be reached.

    ``details`` holds the numbers that explain it, ``errors`` the wrong fields.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        details: Mapping[str, Any] | None = None,
        errors: list[dict[str, str]] | None = None,
        retry_after: float | None = None,
        replayed: bool = False,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.details: dict[str, Any] = dict(details or {})
        self.errors = errors or []
        self.retry_after = retry_after
        self.replayed = replayed

    @property
    def passing(self) -> bool:
        """Whether the same request with the same key may be answered better a little later."""
        return self.status == 0 or self.status in _PASSING or self.code == "in_flight"

    def __str__(self) -> str:
        fields = "; ".join(f"{one.get('pointer')}: {one.get('message')}" for one in self.errors)
        return f"{self.detail} ({fields})" if fields else self.detail


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: ``replayed`` says that the effect had happened before under the same key."""

    status: int
    body: dict[str, Any]
    replayed: bool
    location: str | None


class ApiClient:
    """One tenant's calls; safe to share between threads."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        patience: float = PATIENCE_SECONDS,
        timeout: float = ANSWER_SECONDS,
        connections: int = 16,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._patience = patience
        self._http = httpx2.Client(
            base_url=self.base_url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=httpx2.Timeout(timeout, connect=5.0),
            limits=httpx2.Limits(
                max_connections=connections, max_keepalive_connections=connections
            ),
            # A proxy of the environment must not see keys on their way to our own server.
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """Read one object or one page."""
        return self._send("GET", path, params=params).body

    def post(self, path: str, body: Mapping[str, Any], key: str) -> Reply:
        """Change something, once per ``key`` however often it is sent."""
        return self._send("POST", path, body=body, headers={"Idempotency-Key": key})

    def items(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Every object of a list, page by page."""
        page = self.get(path, limit=_PAGE, **params)
        while True:
            yield from page["data"]
            if not page["has_more"]:
                return
            page = self.get(path, limit=_PAGE, cursor=page["next_cursor"], **params)

    def place_order(self, body: Mapping[str, Any], key: str) -> Reply:
        """Place an order and wait until it is settled, also when the first answer is only 202."""
        reply = self.post("/v1/orders", body, key)
        if reply.status != 202:
            return reply
        path = urlsplit(reply.location or f"/v1/orders/{reply.body['id']}").path
        deadline = time.monotonic() + self._patience
        while True:
            order = self._settled(path)
            if order is not None:
                return Reply(200, order, reply.replayed, reply.location)
            if time.monotonic() >= deadline:
                raise ClientError(0, "not_settled", f"The order at {path} was not settled in time.")
            time.sleep(_POLL_SECONDS)

    def _settled(self, path: str) -> dict[str, Any] | None:
        """The order once it is settled; None while its first record is not written yet."""
        try:
            order = self.get(path)
        except ClientError as error:
            if error.status == 404:
                return None
            raise
        return None if order["fulfilment"] in UNSETTLED else order

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        deadline = time.monotonic() + self._patience
        delay = _FIRST_DELAY
        while True:
            try:
                return self._once(method, path, body, params, headers)
            except ClientError as error:
                # Jitter keeps many callers from coming back at the same instant.
                wait = max(error.retry_after or 0.0, delay * random.uniform(0.5, 1.0))  # noqa: S311  # No secret.
                if not error.passing or time.monotonic() + wait > deadline:
                    raise
                time.sleep(wait)
                delay = min(delay * 2, _LONGEST_DELAY)

    def _once(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        params: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
    ) -> Reply:
        given = {name: value for name, value in (params or {}).items() if value is not None}
        try:
            response = self._http.request(method, path, json=body, params=given, headers=headers)
        except httpx2.TransportError as error:
            raise ClientError(
                0, "unreachable", f"The API at {self.base_url} does not answer: {error}"
            ) from error
        replayed = response.headers.get("Idempotent-Replayed") == "true"
        if response.status_code >= 400:
            raise _error_of(response, replayed=replayed)
        document = response.json() if response.content else {}
        return Reply(response.status_code, document, replayed, response.headers.get("Location"))


def _error_of(response: httpx2.Response, *, replayed: bool) -> ClientError:
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    wait = response.headers.get("Retry-After", "")
    return ClientError(
        response.status_code,
        str(problem.get("code", "http_error")),
        str(problem.get("detail") or f"The API answered {response.status_code}."),
        details=problem.get("details"),
        errors=problem.get("errors"),
        retry_after=float(wait) if wait.isdigit() else None,
        replayed=replayed,
    )
