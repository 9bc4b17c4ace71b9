"""The organization, departments and employees in SQL."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import paging, records, usage
from db.tables import Department, Employee, Organization
from domain.errors import Conflict, InvalidInput
from domain.organization import NewDepartment, NewEmployee, OrganizationData

_CONSTRAINTS: records.Refusals = {
    "departments_name_key": lambda: Conflict(
        "Another department has this name.", code="name_taken"
    ),
    "departments_manager_fkey": lambda: InvalidInput.field(
        "/manager_id", "unknown_employee", "There is no such employee."
    ),
    "employees_email_key": lambda: Conflict(
        "Another employee has this mail address.", code="email_taken"
    ),
    "employees_department_fkey": lambda: InvalidInput.field(
        "/department_id", "unknown_department", "There is no such department."
    ),
}
_DEPARTMENT_REFERRED: records.Refusals = {
    "employees_department_fkey": lambda: usage.in_use("It has employees.", []),
}
_EMPLOYEE_REFERRED: records.Refusals = {
    "departments_manager_fkey": lambda: usage.in_use("The employee manages a department.", []),
}
_SHOWN = 20


def get_organization(session: Session) -> Organization:
    """The one organization of the tenant."""
    return session.scalars(select(Organization).order_by(Organization.id).limit(1)).one()


def replace_organization(
    session: Session, versions: records.Versions, data: OrganizationData
) -> Organization:
    """Replace everything that is edited of the organization.

    Raises:
        PreconditionFailed: see ``records.change``.
    """
    values = data.model_dump()
    id_ = get_organization(session).id
    return records.change(session, Organization, id_, versions, values, {})


def create_department(session: Session, new: NewDepartment) -> Department:
    """A new department of the tenant's organization.

    Raises:
        Conflict: the name is taken.
        InvalidInput: there is no such manager.
    """
    department = Department(
        organization_id=get_organization(session).id, **records.columns(new.model_dump())
    )
    return records.add(session, department, _CONSTRAINTS)


def list_departments(session: Session, window: paging.Window) -> paging.Page[Department]:
    """All departments."""
    return paging.fetch(session, select(Department), (Department.id,), window)


def change_department(
    session: Session, department_id: UUID, versions: records.Versions, sent: Mapping[str, Any]
) -> Department:
    """Edit a department.

    Raises:
        NotFound, PreconditionFailed: see ``records.change``.
        Conflict: the name is taken.
        InvalidInput: there is no such manager.
    """
    return records.change(session, Department, department_id, versions, sent, _CONSTRAINTS)


def delete_department(session: Session, department_id: UUID, versions: records.Versions) -> None:
    """Delete a department without employees.

    Raises:
        NotFound, PreconditionFailed: see ``records.lock``.
        Conflict: ``in_use``.
    """
    department = records.lock(session, Department, department_id, versions)
    found = select(Employee.id).where(Employee.department_id == department_id).limit(_SHOWN)
    people = [{"kind": "employee", "id": str(id_)} for id_ in session.scalars(found)]
    if people:
        raise usage.in_use("It has employees.", people)
    records.remove(session, department, _DEPARTMENT_REFERRED)


def create_employee(session: Session, new: NewEmployee) -> Employee:
    """A new employee.

    Raises:
        Conflict: the mail address is taken.
        InvalidInput: there is no such department.
    """
    employee = Employee(**records.columns(new.model_dump()))
    return records.add(session, employee, _CONSTRAINTS)


def list_employees(
    session: Session,
    window: paging.Window,
    *,
    department_id: UUID | None = None,
    email: str | None = None,
) -> paging.Page[Employee]:
    """Employees by department or mail address."""
    found = select(Employee)
    if department_id is not None:
        found = found.where(Employee.department_id == department_id)
    if email is not None:
        found = found.where(Employee.email == email)
    return paging.fetch(session, found, (Employee.id,), window)


def change_employee(
    session: Session, employee_id: UUID, versions: records.Versions, sent: Mapping[str, Any]
) -> Employee:
    """Edit an employee.

    Raises:
        NotFound, PreconditionFailed: see ``records.change``.
        Conflict: the mail address is taken.
        InvalidInput: there is no such department.
    """
    return records.change(session, Employee, employee_id, versions, sent, _CONSTRAINTS)


def delete_employee(session: Session, employee_id: UUID, versions: records.Versions) -> None:
    """Delete an employee who manages no department.

    Raises:
        NotFound, PreconditionFailed: see ``records.lock``.
        Conflict: ``in_use``.
    """
    employee = records.lock(session, Employee, employee_id, versions)
    found = select(Department.id).where(Department.manager_id == employee_id).limit(_SHOWN)
    managed = [{"kind": "department", "id": str(id_)} for id_ in session.scalars(found)]
    if managed:
        raise usage.in_use("The employee manages a department.", managed)
    records.remove(session, employee, _EMPLOYEE_REFERRED)
