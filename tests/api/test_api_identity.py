"""API keys over HTTP."""

from sqlalchemy import Engine, text

from db.engine import transaction
from tests.api.api_helpers import Caller, code_of, new_key, pointers_of


def test_a_new_key_works_and_its_secret_is_shown_once(admin: Caller, engine: Engine) -> None:
    key = new_key()
    body = {"name": "Shop", "role": "viewer", "expires_at": "2999-01-01T00:00:00+02:00"}
    first = admin.post("/v1/api-keys", body, key=key)
    assert first.status_code == 201
    made = first.json()
    assert made["secret"].startswith(made["prefix"] + "_")
    assert made["expires_at"] == "2998-12-31T22:00:00Z"
    bearer = {"Authorization": f"Bearer {made['secret']}"}
    assert admin.client.get("/v1/products", headers=bearer).status_code == 200

    again = admin.post("/v1/api-keys", body, key=key)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == {**made, "secret": None}
    listed = admin.get("/v1/api-keys").json()["data"]
    assert made["id"] in {shown["id"] for shown in listed}
    assert all("secret" not in shown for shown in listed)
    plain = made["secret"].rsplit("_", 1)[1]
    with transaction(engine, admin.tenant_id) as session:
        rows = session.execute(
            text(
                "SELECT encode(answer, 'escape') FROM operations UNION ALL SELECT k::text"
                " FROM api_keys k"
            )
        ).scalars()
        assert not any(plain in (row or "") for row in rows)


def test_a_revoked_key_stays_revoked(admin: Caller) -> None:
    made = admin.made("/v1/api-keys", {"name": "Shop", "role": "sales"})
    first = admin.post(f"/v1/api-keys/{made['id']}/revoke")
    again = admin.post(f"/v1/api-keys/{made['id']}/revoke")
    assert first.json()["revoked_at"] == again.json()["revoked_at"]
    bearer = {"Authorization": f"Bearer {made['secret']}"}
    assert admin.client.get("/v1/products", headers=bearer).status_code == 401


def test_wrong_roles_and_times_are_refused(admin: Caller) -> None:
    refused = admin.post("/v1/api-keys", {"name": "x", "role": "god", "expires_at": "tomorrow"})
    assert pointers_of(refused) == {"/role", "/expires_at"}
    for when in (
        "2020-01-01T00:00:00Z",
        "2030-01-01T00:00:00",
        4102444800,
        "9999-12-31T23:59:59-12:00",
    ):
        refused = admin.post("/v1/api-keys", {"name": "x", "role": "sales", "expires_at": when})
        assert refused.status_code == 422, when
        assert pointers_of(refused) == {"/expires_at"}


def test_a_manager_may_not_manage_keys(admin: Caller, engine: Engine) -> None:
    manager = Caller(admin.client, engine, admin.tenant_id, "manager")
    assert code_of(manager.get("/v1/api-keys")) == "permission_denied"
