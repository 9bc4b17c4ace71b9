"""Cheap questions to servers: does it answer, is it still getting ready, is the port free."""

import contextlib
import http.client
import socket
from enum import StrEnum
from urllib.parse import urlsplit

from psycopg import pq

from stack.models import HealthCheck

LOOPBACK = "127.0.0.1"


class Answer(StrEnum):
    """BUSY is a server that lives and says it is not ready, such as PostgreSQL in recovery."""

    OK = "ok"
    BUSY = "busy"
    FAILED = "failed"


def ask(check: HealthCheck) -> Answer:
    """Ask once; never raises, takes at most about the check's timeout."""
    try:
        if check.kind == "tcp":
            return _ask_tcp(check)
        if check.kind == "http":
            return _ask_http(check)
        if check.kind == "postgres":
            return _ask_postgres(check)
    except (OSError, http.client.HTTPException, ValueError):
        return Answer.FAILED
    return Answer.OK


def port_is_free(port: int) -> bool:
    """Whether a server could listen on that loopback port now."""
    with contextlib.closing(socket.socket()) as probe:
        # As servers do, so that connections of a server just stopped do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _ask_tcp(check: HealthCheck) -> Answer:
    host, _, port = check.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=check.timeout_s):
        return Answer.OK


def _ask_http(check: HealthCheck) -> Answer:
    url = urlsplit(check.address)
    connection = http.client.HTTPConnection(
        url.hostname or LOOPBACK, url.port, timeout=check.timeout_s
    )
    with contextlib.closing(connection):
        path = f"{url.path or '/'}{'?' + url.query if url.query else ''}"
        connection.request("GET", path)
        return Answer.OK if connection.getresponse().status < 400 else Answer.FAILED


def _ask_postgres(check: HealthCheck) -> Answer:
    host, _, port = check.address.rpartition(":")
    # libpq's ping needs no password and is refused politely while the server recovers.
    conninfo = (
        f"host={host} port={port} dbname=postgres user=postgres sslmode=disable"
        f" gssencmode=disable connect_timeout={max(2, int(check.timeout_s))}"
    )
    ping = pq.PGconn.ping(conninfo.encode())
    if ping == pq.Ping.OK:
        return Answer.OK
    return Answer.BUSY if ping == pq.Ping.REJECT else Answer.FAILED
