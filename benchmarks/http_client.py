"""Callers over HTTP in a process of their own: raw sockets and prepared bytes, to cost little.

``python -m benchmarks.http_client`` reads an ``Errand`` as JSON from its input and prints what came
of it. Each connection is kept alive and sends its next request when the last is answered.
"""

import asyncio
import json
import random
import sys
import time
from dataclasses import asdict, dataclass
from itertools import count

from benchmarks.measure import process_cpu, server_cpu

#: Bulks that are made ready.
_BULKS = 200


@dataclass(frozen=True, slots=True)
class Errand:
    """What to send where, for how long. ``api`` and ``postmaster`` are the servers' process ids.

    ``items`` deductions of one line go in one request: one by itself, more as a bulk.
    """

    port: int
    path: str
    token: str
    warehouse: str
    variants: list[str]
    items: int
    connections: int
    seconds: float
    api: int
    postmaster: int


@dataclass(frozen=True, slots=True)
class Told:
    """What came of an errand: times and CPU in seconds, ``refused`` the first other answer."""

    latencies: list[float]
    seconds: float
    client: float
    api: float
    server: float
    refused: str | None


def bodies(errand: Errand) -> list[bytes]:
    """The bodies that the requests choose from: one of each variant, or bulks of any of them."""
    if errand.items == 1:
        return [_json({"lines": [_line(errand, variant)]}) for variant in errand.variants]
    bulks = (random.choices(errand.variants, k=errand.items) for _ in range(_BULKS))
    return [
        _json(
            {
                "policy": "reject_failed",
                "items": [{"command": "deduct", "lines": [_line(errand, v)]} for v in variants],
            }
        )
        for variants in bulks
    ]


def _line(errand: Errand, variant: str) -> dict[str, object]:
    return {"warehouse_id": errand.warehouse, "variant_id": variant, "quantity": 1}


def _json(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


class _Caller(asyncio.Protocol):
    """One connection."""

    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._buffer = b""
        self._begun = 0.0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # TCP can be written to.
        self.send()

    def send(self) -> None:
        """The next request, with a key that nobody used."""
        if self._transport is not None:
            request = self._load.request()
            self._begun = time.perf_counter()
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self._buffer.find(b"content-length: ", 0, end) + 16
        length = int(self._buffer[at : self._buffer.find(b"\r\n", at)])
        if len(self._buffer) < end + 4 + length:
            return
        answer, self._buffer = self._buffer, b""
        if self._load.answered(answer, self._begun):
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.ended(exc)


class _Load:
    """All connections of an errand, with what they have seen."""

    def __init__(self, errand: Errand) -> None:
        self._heads = [
            (
                f"POST {errand.path} HTTP/1.1\r\nHost: 127.0.0.1:{errand.port}\r\n"
                f"Authorization: Bearer {errand.token}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nIdempotency-Key: ".encode(),
                b"\r\n\r\n" + body,
            )
            for body in bodies(errand)
        ]
        self._run = f"{random.getrandbits(48):012x}"
        self._numbers = count(1)
        self._connections = errand.connections
        self._idle = 0
        self.stop_at = 0.0
        self.latencies: list[float] = []
        self.refused: str | None = None
        self.done = asyncio.Event()

    def request(self) -> bytes:
        """The bytes of a request; half of the keys are client strings, half process keys."""
        n = next(self._numbers)
        key = f"{self._run}{n:012x}" if n % 2 else f"order-{self._run}-SO-{n}/deduct"
        head, tail = random.choice(self._heads)
        return head + key.encode() + tail

    def answered(self, answer: bytes, begun: float) -> bool:
        """Note an answer; whether its connection shall send another request."""
        now = time.perf_counter()
        self.latencies.append(now - begun)
        if answer[9:12] != b"200" and self.refused is None:
            self.refused = answer.decode("utf-8", "replace")[:1000]
        if now < self.stop_at and self.refused is None:
            return True
        self._idle += 1
        if self._idle == self._connections:
            self.done.set()
        return False

    def ended(self, error: Exception | None) -> None:
        """A connection is gone: before the end that is a fault."""
        if not self.done.is_set():
            self.refused = self.refused or f"A connection ended: {error}"
            self.done.set()


async def load(errand: Errand) -> Told:
    """Run an errand; requests that are under way when the time is up are waited for."""
    loop, all_ = asyncio.get_running_loop(), _Load(errand)
    client, api, server = (
        time.process_time(),
        process_cpu(errand.api),
        server_cpu(errand.postmaster),
    )
    begun = time.perf_counter()
    all_.stop_at = begun + errand.seconds
    for _ in range(errand.connections):
        await loop.create_connection(lambda: _Caller(all_), "127.0.0.1", errand.port)
    await all_.done.wait()
    took = time.perf_counter() - begun
    return Told(
        latencies=all_.latencies,
        seconds=took,
        client=time.process_time() - client,
        api=process_cpu(errand.api) - api,
        server=server_cpu(errand.postmaster) - server,
        refused=all_.refused,
    )


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(load(Errand(**json.load(sys.stdin)))))))
