"""The organization, departments and employees over HTTP."""

from typing import Any

from tests.api.api_helpers import Caller, code_of, pointers_of

GRACE = {"first_name": "Grace", "last_name": "Hopper", "email": "grace@example.com"}


def _employee(caller: Caller, department: str, **fields: Any) -> dict[str, Any]:
    return caller.made("/v1/employees", {**GRACE, "department_id": department, **fields})


def test_the_one_organization_is_there_and_editable(admin: Caller) -> None:
    shown = admin.get("/v1/organization")
    assert shown.headers["ETag"] == '"v1"'
    data = {"name": "Acme GmbH", "phone": "+49 40 1", "address": {"city": "Hamburg"}}
    changed = admin.put("/v1/organization", data, match='"v1"').json()
    assert (changed["id"], changed["name"]) == (shown.json()["id"], "Acme GmbH")
    assert admin.get("/v1/organization").json() == changed
    assert admin.put("/v1/organization", data, match='"v1"').status_code == 412


def test_departments_and_their_people(admin: Caller) -> None:
    stock = admin.made("/v1/departments", {"name": "Stock"})
    assert stock["organization_id"] == admin.get("/v1/organization").json()["id"]
    grace = _employee(admin, stock["id"], hired_on="2026-01-15")
    assert grace["hired_on"] == "2026-01-15"
    path = f"/v1/departments/{stock['id']}"
    assert admin.patch(path, {"manager_id": grace["id"]}).json()["manager_id"] == grace["id"]
    listed = admin.get("/v1/employees", params={"department_id": stock["id"]}).json()["data"]
    assert [row["id"] for row in listed] == [grace["id"]]

    refused = admin.delete(path)
    assert code_of(refused) == "in_use"
    assert refused.json()["details"]["references"] == [{"kind": "employee", "id": grace["id"]}]
    refused = admin.delete(f"/v1/employees/{grace['id']}")
    assert code_of(refused) == "in_use"
    assert refused.json()["details"]["references"] == [{"kind": "department", "id": stock["id"]}]
    assert admin.patch(path, {"manager_id": None}).json()["manager_id"] is None
    assert admin.delete(f"/v1/employees/{grace['id']}").status_code == 204
    assert admin.delete(path).status_code == 204


def test_names_and_mail_addresses_are_taken_once(admin: Caller) -> None:
    stock = admin.made("/v1/departments", {"name": "Stock"})
    assert code_of(admin.post("/v1/departments", {"name": "Stock"})) == "name_taken"
    _employee(admin, stock["id"])
    again = admin.post("/v1/employees", {**GRACE, "department_id": stock["id"]})
    assert (again.status_code, code_of(again)) == (409, "email_taken")


def test_unknown_references_are_wrong_fields(admin: Caller) -> None:
    unknown = "0199d3a0-0000-7000-8000-000000000001"
    refused = admin.post("/v1/departments", {"name": "A", "manager_id": unknown})
    assert (refused.status_code, pointers_of(refused)) == (422, {"/manager_id"})
    refused = admin.post("/v1/employees", {**GRACE, "department_id": unknown})
    assert (refused.status_code, pointers_of(refused)) == (422, {"/department_id"})


def test_days_are_days(admin: Caller) -> None:
    stock = admin.made("/v1/departments", {"name": "Stock"})
    for wrong in ("2026-02-30", 20260115, "2026-01-15T10:00:00Z", "yesterday"):
        refused = admin.post(
            "/v1/employees", {**GRACE, "department_id": stock["id"], "hired_on": wrong}
        )
        assert pointers_of(refused) == {"/hired_on"}, wrong
