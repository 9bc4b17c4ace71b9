"""The organization, its departments and employees over HTTP."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response
from sqlalchemy.orm import Session

from api.answers import RecordView, respond, show
from api.auth import needs
from api.etag import IfMatch, IfNoneMatch
from api.idempotency import KeyedCommand, OptionalCommand, write
from api.pages import ListOf, PageQuery, listing, window
from api.routing import make_router
from api.services import TheServices
from db import organization, records
from db.engine import transaction
from db.tables import Department, Employee
from domain.organization import (
    DepartmentChanges,
    EmployeeChanges,
    NewDepartment,
    NewEmployee,
    OrganizationData,
)
from domain.permissions import Actor, Permission
from domain.values import Address, Email

company = make_router("/v1/organization", "organization")
departments = make_router("/v1/departments", "organization")
employees = make_router("/v1/employees", "organization")
ROUTERS = (company, departments, employees)
Reader = Annotated[Actor, needs(Permission.ORGANIZATION_READ)]
Writer = Annotated[Actor, needs(Permission.ORGANIZATION_WRITE)]


class OrganizationView(RecordView):
    """The company."""

    name: str
    phone: str | None
    address: Address


class DepartmentView(RecordView):
    """A department."""

    organization_id: UUID
    name: str
    manager_id: UUID | None


class EmployeeView(RecordView):
    """A person who works in a department."""

    department_id: UUID
    first_name: str
    last_name: str
    email: str
    phone: str | None
    job_title: str | None
    hired_on: date | None


class EmployeeQuery(PageQuery):
    """Filters of the list of employees."""

    department_id: UUID | None = None
    email: Email | None = None


@company.get("", response_model=OrganizationView)
def get_organization(
    actor: Reader, services: TheServices, if_none_match: IfNoneMatch = None
) -> Response:
    """Show the organization."""
    with transaction(services.engine, actor.tenant_id) as session:
        return show(OrganizationView.of(organization.get_organization(session)), if_none_match)


@company.put("", response_model=OrganizationView)
def replace_organization(
    body: OrganizationData,
    versions: IfMatch,
    actor: Writer,
    services: TheServices,
    command: OptionalCommand,
) -> Response:
    """Replace everything that is edited of the organization."""

    def effect(session: Session) -> OrganizationView:
        return OrganizationView.of(organization.replace_organization(session, versions, body))

    return respond(write(services, actor, command, effect))


@departments.post("", status_code=201, response_model=DepartmentView)
def create_department(
    body: NewDepartment, actor: Writer, services: TheServices, command: KeyedCommand
) -> Response:
    """Make a department."""

    def effect(session: Session) -> DepartmentView:
        return DepartmentView.of(organization.create_department(session, body))

    answer = write(services, actor, command, effect, status=201)
    return respond(answer, location="/v1/departments/{id}")


@departments.get("", response_model=ListOf[DepartmentView])
def list_departments(
    request: Request, query: Annotated[PageQuery, Query()], actor: Reader, services: TheServices
) -> Response:
    """List the departments."""
    with transaction(services.engine, actor.tenant_id) as session:
        page = organization.list_departments(session, window(request, query))
        return listing(request, page, [DepartmentView.of(row) for row in page.rows])


@departments.get("/{department_id}", response_model=DepartmentView)
def get_department(
    department_id: UUID, actor: Reader, services: TheServices, if_none_match: IfNoneMatch = None
) -> Response:
    """Show a department."""
    with transaction(services.engine, actor.tenant_id) as session:
        department = records.get(session, Department, department_id)
        return show(DepartmentView.of(department), if_none_match)


@departments.patch("/{department_id}", response_model=DepartmentView)
def change_department(
    department_id: UUID,
    body: DepartmentChanges,
    versions: IfMatch,
    actor: Writer,
    services: TheServices,
    command: OptionalCommand,
) -> Response:
    """Edit a department."""

    def effect(session: Session) -> DepartmentView:
        department = organization.change_department(session, department_id, versions, body.sent())
        return DepartmentView.of(department)

    return respond(write(services, actor, command, effect))


@departments.delete("/{department_id}", status_code=204, response_model=None)
def delete_department(
    department_id: UUID,
    versions: IfMatch,
    actor: Writer,
    services: TheServices,
    command: OptionalCommand,
) -> Response:
    """Delete a department without employees."""

    def effect(session: Session) -> None:
        organization.delete_department(session, department_id, versions)

    return respond(write(services, actor, command, effect))


@employees.post("", status_code=201, response_model=EmployeeView)
def create_employee(
    body: NewEmployee, actor: Writer, services: TheServices, command: KeyedCommand
) -> Response:
    """Make an employee."""

    def effect(session: Session) -> EmployeeView:
        return EmployeeView.of(organization.create_employee(session, body))

    answer = write(services, actor, command, effect, status=201)
    return respond(answer, location="/v1/employees/{id}")


@employees.get("", response_model=ListOf[EmployeeView])
def list_employees(
    request: Request,
    query: Annotated[EmployeeQuery, Query()],
    actor: Reader,
    services: TheServices,
) -> Response:
    """List employees by department or mail address."""
    with transaction(services.engine, actor.tenant_id) as session:
        page = organization.list_employees(
            session,
            window(request, query),
            department_id=query.department_id,
            email=query.email,
        )
        return listing(request, page, [EmployeeView.of(row) for row in page.rows])


@employees.get("/{employee_id}", response_model=EmployeeView)
def get_employee(
    employee_id: UUID, actor: Reader, services: TheServices, if_none_match: IfNoneMatch = None
) -> Response:
    """Show an employee."""
    with transaction(services.engine, actor.tenant_id) as session:
        return show(EmployeeView.of(records.get(session, Employee, employee_id)), if_none_match)


@employees.patch("/{employee_id}", response_model=EmployeeView)
def change_employee(
    employee_id: UUID,
    body: EmployeeChanges,
    versions: IfMatch,
    actor: Writer,
    services: TheServices,
    command: OptionalCommand,
) -> Response:
    """Edit an employee."""

    def effect(session: Session) -> EmployeeView:
        employee = organization.change_employee(session, employee_id, versions, body.sent())
        return EmployeeView.of(employee)

    return respond(write(services, actor, command, effect))


@employees.delete("/{employee_id}", status_code=204, response_model=None)
def delete_employee(
    employee_id: UUID,
    versions: IfMatch,
    actor: Writer,
    services: TheServices,
    command: OptionalCommand,
) -> Response:
    """Delete an employee who manages no department."""

    def effect(session: Session) -> None:
        organization.delete_employee(session, employee_id, versions)

    return respond(write(services, actor, command, effect))
