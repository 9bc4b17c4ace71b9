"""A bounded fuzz over the published schema: no 5xx, and answers have the shape it promises."""

import time
from typing import Any

import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.python.asgi import get_client
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.api_helpers import Caller, new_key

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
#: Operations that come later are left out when the time is over; each run starts with the same.
SECONDS = 25


def _fuzz(operation: Any, caller: Caller, session: Any) -> None:
    @settings(
        max_examples=6,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def run(case: Any) -> None:
        headers = {"Authorization": f"Bearer {caller.token}", "Idempotency-Key": new_key()}
        case.call_and_validate(session=session, headers=headers, checks=CHECKS)

    run()


def test_the_api_keeps_its_word(app: FastAPI, admin: Caller) -> None:
    application: Any = (
        app  # The fuzzer's type of an ASGI application is narrower than the true one.
    )
    described: Any = schemathesis.openapi.from_asgi("/openapi.json", application)
    end, tried = time.monotonic() + SECONDS, 0
    with get_client(application) as session:
        for found in described.get_all_operations():
            if time.monotonic() < end:
                _fuzz(found.ok(), admin, session)
                tried += 1
    assert tried > 40
