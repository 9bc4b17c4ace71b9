"""Alive and ready, without a key."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import create_engine

from tests.api.api_helpers import code_of


class _Temporal:
    """Stands for a Temporal client whose server answers as told."""

    def __init__(self, answer: bool | Exception) -> None:
        self.service_client = self
        self._answer = answer

    async def check_health(self) -> bool:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.fixture
def replace_service(app: FastAPI) -> Iterator[Callable[..., None]]:
    """Gives the application other services until the test ends."""
    before = app.state.services

    def change(**services: Any) -> None:
        app.state.services = replace(before, **services)

    yield change
    app.state.services = before


def test_alive(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


def test_ready_when_the_real_servers_answer(client: TestClient) -> None:
    answer = client.get("/readyz")
    assert answer.json() == {"status": "ready", "checks": {"database": "ok", "temporal": "ok"}}


@pytest.mark.parametrize(
    ("outcome", "told"),
    [(False, "not serving"), (OSError("gone"), "no answer")],
)
def test_not_ready_without_temporal(
    client: TestClient, replace_service: Callable[..., None], outcome: bool | Exception, told: str
) -> None:
    replace_service(temporal=_Temporal(outcome))
    answer = client.get("/readyz")
    assert (answer.status_code, code_of(answer)) == (503, "unavailable")
    assert answer.json()["details"] == {"database": "ok", "temporal": told}
    assert client.get("/healthz").status_code == 200


def test_not_ready_without_a_database(
    client: TestClient, replace_service: Callable[..., None]
) -> None:
    nowhere = create_engine(
        "postgresql+psycopg://nobody@127.0.0.1:1/nothing", connect_args={"connect_timeout": 2}
    )
    replace_service(engine=nowhere, temporal=None)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["details"]) == (503, {"database": "no answer"})
    nowhere.dispose()
