"""The company, its departments and people, as clients describe them."""

from uuid import UUID

from pydantic import ConfigDict, Field

from domain.values import (
    Address,
    Body,
    Changes,
    Day,
    Email,
    Metadata,
    Name,
    Phone,
    ShortText,
    omitted,
)


class OrganizationData(Body):
    """Everything that is edited of the organization; a PUT replaces all of it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Acme GmbH", "phone": "+49 40 1234"}]}
    )

    name: Name
    phone: Phone | None = None
    address: Address = Field(default_factory=Address)
    metadata: Metadata = Field(default_factory=dict)


class NewDepartment(Body):
    """A department; its manager is the default approver of its people."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Purchasing"}]})

    name: Name
    manager_id: UUID | None = None
    metadata: Metadata = Field(default_factory=dict)


class DepartmentChanges(Changes):
    """What of a department may be edited."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Buying"}]})

    name: Name = omitted()
    manager_id: UUID | None = omitted()
    metadata: Metadata = omitted()


class NewEmployee(Body):
    """A person who works in a department."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "department_id": "0199d3a0-0000-7000-8000-000000000001",
                    "first_name": "Grace",
                    "last_name": "Hopper",
                    "email": "grace@example.com",
                    "job_title": "Warehouse lead",
                    "hired_on": "2026-01-15",
                }
            ]
        }
    )

    department_id: UUID
    first_name: Name
    last_name: Name
    email: Email
    phone: Phone | None = None
    job_title: ShortText | None = None
    hired_on: Day | None = None
    metadata: Metadata = Field(default_factory=dict)


class EmployeeChanges(Changes):
    """What of an employee may be edited."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"job_title": "Head of stock"}]})

    department_id: UUID = omitted()
    first_name: Name = omitted()
    last_name: Name = omitted()
    email: Email = omitted()
    phone: Phone | None = omitted()
    job_title: ShortText | None = omitted()
    hired_on: Day | None = omitted()
    metadata: Metadata = omitted()
