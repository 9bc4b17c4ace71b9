"""The client against a server that answers as told: retries with the same key, typed errors."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from client import ApiClient, ClientError
from tests.stack.stack_helpers import free_ports

Scripted = tuple[int, dict[str, str], dict[str, Any]]


class Server(ThreadingHTTPServer):
    """Answers one after the other, the last one for ever; remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Scripted] = []
        self.asked: list[tuple[str, str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer()

    def _answer(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.asked.append((self.command, self.path, self.headers.get("Idempotency-Key")))
        answers = server.answers
        status, headers, body = answers.pop(0) if len(answers) > 1 else answers[0]
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # Its name there.
        del format, args


@pytest.fixture
def server() -> Iterator[Server]:
    """The scripted server."""
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def client(server: Server) -> Iterator[ApiClient]:
    """A client of it that gives up after three seconds."""
    with ApiClient(server.url, "key", patience=3) as made:
        yield made


def problem(status: int, code: str, **more: Any) -> Scripted:
    return status, {"Content-Type": "application/problem+json"}, {"code": code, **more}


@pytest.mark.parametrize(
    "passing",
    [problem(503, "unavailable"), problem(429, "busy"), problem(409, "in_flight")],
    ids=["503", "429", "in flight"],
)
def test_what_passes_is_sent_again_with_the_same_key(
    server: Server, client: ApiClient, passing: Scripted
) -> None:
    server.answers = [passing, passing, (201, {"Idempotent-Replayed": "true"}, {"id": "1"})]
    reply = client.post("/v1/things", {"a": 1}, "k-1")
    assert (reply.status, reply.body, reply.replayed) == (201, {"id": "1"}, True)
    assert server.asked == [("POST", "/v1/things", "k-1")] * 3


def test_retry_after_is_waited_for_or_not_at_all(server: Server, client: ApiClient) -> None:
    status, headers, body = problem(429, "busy")
    server.answers = [(status, headers | {"Retry-After": "60"}, body)]
    with pytest.raises(ClientError) as caught:
        client.post("/v1/things", {}, "k")
    # A minute is beyond its patience, so it does not even begin to wait.
    assert caught.value.retry_after == 60
    assert len(server.asked) == 1


def test_a_refusal_is_told_with_its_numbers_and_not_repeated(
    server: Server, client: ApiClient
) -> None:
    details = {"lines": [{"line": 1, "requested": 9, "available": 2}]}
    server.answers = [problem(409, "insufficient_stock", detail="Too few.", details=details)]
    with pytest.raises(ClientError, match=r"Too few\.") as caught:
        client.post("/v1/orders", {}, "k")
    assert (caught.value.status, caught.value.code) == (409, "insufficient_stock")
    assert caught.value.details == details
    assert not caught.value.passing
    assert len(server.asked) == 1


def test_wrong_fields_are_named(server: Server, client: ApiClient) -> None:
    errors = [{"pointer": "/name", "code": "missing", "message": "Field required"}]
    server.answers = [problem(422, "invalid_input", detail="Wrong.", errors=errors)]
    with pytest.raises(ClientError, match="/name: Field required"):
        client.post("/v1/things", {}, "k")


def test_an_answer_that_is_no_problem_document_is_an_error_too(
    server: Server, client: ApiClient
) -> None:
    server.answers = [(500, {}, {})]
    with pytest.raises(ClientError) as caught:
        client.get("/v1/things")
    assert (caught.value.status, caught.value.code) == (500, "http_error")


def test_a_server_that_is_away_is_status_0() -> None:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with (
        ApiClient(url, "key", patience=0.5) as client,
        pytest.raises(ClientError, match="does not answer") as caught,
    ):
        client.get("/v1/things")
    assert (caught.value.status, caught.value.code) == (0, "unreachable")


def test_lists_are_read_page_by_page(server: Server, client: ApiClient) -> None:
    server.answers = [
        (200, {}, {"data": [{"n": 1}, {"n": 2}], "has_more": True, "next_cursor": "c"}),
        (200, {}, {"data": [{"n": 3}], "has_more": False, "next_cursor": None}),
    ]
    found = list(client.items("/v1/things", status="open", q=None))
    assert [one["n"] for one in found] == [1, 2, 3]
    assert [path for _, path, _ in server.asked] == [
        "/v1/things?limit=200&status=open",
        "/v1/things?limit=200&cursor=c&status=open",
    ]


def test_an_order_that_takes_longer_is_followed_until_it_is_settled(
    server: Server, client: ApiClient
) -> None:
    server.answers = [
        (202, {"Location": "/v1/orders/SO-1"}, {"number": "SO-1"}),
        problem(404, "not_found"),
        (200, {}, {"number": "SO-1", "fulfilment": "reserving"}),
        (200, {}, {"number": "SO-1", "fulfilment": "reserved"}),
    ]
    reply = client.place_order({}, "k")
    assert reply.body["fulfilment"] == "reserved"
    assert [path for _, path, _ in server.asked] == ["/v1/orders", *["/v1/orders/SO-1"] * 3]
