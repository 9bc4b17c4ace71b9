"""Credentials, permissions, and that every route declares one."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from api.auth import KeyRing, Needs
from api.schema import declared_needs
from db.engine import transaction
from db.tables import ApiKey
from db.tenants import create_api_key
from domain.errors import Unauthenticated
from domain.permissions import ROLES
from tests.api.api_helpers import Caller, code_of
from tests.api.conftest import MakeCaller

if TYPE_CHECKING:
    from tests.conftest import TenantFixture

PUBLIC = {"/healthz", "/readyz", "/openapi.json", "/docs"}
SOME_ID = "0199d3a0-0000-7000-8000-000000000001"


def _fill(path: str) -> str:
    return "/".join(SOME_ID if part.startswith("{") else part for part in path.split("/"))


def _routes(app: FastAPI) -> list[tuple[str, str, Needs]]:
    return [
        (method, path, needed)
        for (method, path), needed in sorted(declared_needs(app).items())
        if needed is not None
    ]


def test_every_route_declares_a_permission(app: FastAPI) -> None:
    undeclared = {path for (_, path), needed in declared_needs(app).items() if needed is None}
    assert undeclared == PUBLIC


def test_the_schema_and_the_routes_agree(app: FastAPI, schema: dict[str, Any]) -> None:
    published = {
        (method, path, operation.get("x-permission"))
        for path, item in schema["paths"].items()
        for method, operation in item.items()
    }
    declared = {(method, path, needed.permission.value) for method, path, needed in _routes(app)}
    assert {route for route in published if route[2] is not None} == declared


@pytest.mark.parametrize("role", sorted(ROLES))
def test_each_role_may_use_exactly_the_routes_of_its_permissions(
    app: FastAPI, make_caller: MakeCaller, tenant: "TenantFixture", role: str
) -> None:
    caller = make_caller(tenant, role)
    routes = _routes(app)
    assert len(routes) > 50
    for method, path, needed in routes:
        # The empty body stops an allowed request behind the permission and before any effect.
        answer = caller.send(method, _fill(path), headers={"Content-Type": "application/json"})
        refused = answer.status_code == 403 and code_of(answer) == "permission_denied"
        assert answer.status_code != 401
        assert refused is (needed.permission not in ROLES[role]), (method, path, answer.text)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic abc",
        "Bearer sw_live_000000000000",
        "Bearer sw_live_000000000000_" + "0" * 48,
        "Bearer sw_live_00000000000g_" + "0" * 48,
        "Bearer " + "a" * 5000,
        "Bearer \xff\xfe",
        "Bearer sw_live_000000000000_" + "0" * 48 + " ",
    ],
)
def test_anything_but_a_valid_key_gets_the_same_401(client: TestClient, header: str | None) -> None:
    headers = {} if header is None else {b"Authorization": header.encode("latin-1")}
    answer = client.get("/v1/products", headers=headers)
    assert (answer.status_code, code_of(answer)) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["detail"].startswith("Send a valid key")


def test_a_wrong_secret_of_a_known_key_is_refused(client: TestClient, admin: Caller) -> None:
    wrong = admin.token[:-1] + ("0" if admin.token[-1] != "0" else "1")
    answer = client.get("/v1/products", headers={"Authorization": f"Bearer {wrong}"})
    assert answer.status_code == 401
    lower = {"Authorization": f"bearer {admin.token}"}
    assert client.get("/v1/products", headers=lower).status_code == 200


def test_the_credential_is_judged_before_the_request(client: TestClient, admin: Caller) -> None:
    broken: dict[str, Any] = {"content": b"{", "headers": {"Content-Type": "application/json"}}
    assert client.post("/v1/products?x=1", **broken).status_code == 401
    assert admin.send("POST", "/v1/products", **broken).status_code == 400


def test_an_expired_key_is_refused(
    client: TestClient, engine: Engine, tenant: "TenantFixture"
) -> None:
    ended = datetime.now(UTC) - timedelta(seconds=1)
    with transaction(engine, tenant.id) as session:
        _, token = create_api_key(session, "old", "admin", ended)
    answer = client.get("/v1/products", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


def test_a_revoked_key_is_refused_once_it_is_forgotten(engine: Engine, admin: Caller) -> None:
    remembering, forgetful = KeyRing(engine), KeyRing(engine, memory=0.0)
    for ring in (remembering, forgetful):
        assert ring.identify(admin.token).tenant_id == admin.tenant_id
    other = Caller(admin.client, engine, admin.tenant_id, "admin")
    assert other.post(f"/v1/api-keys/{admin.key_id}/revoke").json()["revoked_at"] is not None
    assert remembering.remembered(admin.token) is not None
    assert forgetful.remembered(admin.token) is None
    with pytest.raises(Unauthenticated):
        forgetful.identify(admin.token)


def test_verified_keys_are_remembered_up_to_a_bound(
    engine: Engine, admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.auth._KEYS_MAX", 1)
    ring, other = KeyRing(engine), Caller(admin.client, engine, admin.tenant_id, "viewer")
    ring.identify(admin.token)
    ring.identify(other.token)
    assert ring.remembered(admin.token) is None
    assert ring.remembered(other.token) is not None


def test_a_suspended_tenant_is_told_so(
    maint_engine: Engine, make_caller: MakeCaller, tenant: "TenantFixture"
) -> None:
    caller = make_caller(tenant)
    with transaction(maint_engine, tenant.id) as session:
        session.execute(
            text("UPDATE tenants SET status = 'suspended' WHERE id = :id"), {"id": tenant.id}
        )
    answer = caller.get("/v1/products")
    assert (answer.status_code, code_of(answer)) == (403, "tenant_suspended")


def test_use_of_a_key_is_noted_once_a_minute(engine: Engine, admin: Caller) -> None:
    with transaction(engine, admin.tenant_id) as session:
        session.execute(text("UPDATE api_keys SET created_at = now() - interval '1 hour'"))
    KeyRing(engine).identify(admin.token)
    with transaction(engine, admin.tenant_id) as session:
        first = session.get_one(ApiKey, (admin.tenant_id, admin.key_id)).last_used_at
    KeyRing(engine).identify(admin.token)
    with transaction(engine, admin.tenant_id) as session:
        second = session.get_one(ApiKey, (admin.tenant_id, admin.key_id)).last_used_at
    assert first is not None
    assert first == second
