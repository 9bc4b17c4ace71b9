"""Warehouses as clients describe them."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from domain.attributes import Values
from domain.values import Address, Body, Code, Email, Metadata, Name, Phone, Quantity, ShortText


class Weekday(StrEnum):
    """A day of the week."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]"
Hours = Annotated[str, StringConstraints(pattern=f"^{_TIME}-{_TIME}$")]


class WarehouseData(Body):
    """Everything that is edited of a warehouse; a PUT replaces all of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "code": "MAIN",
                    "name": "Main warehouse",
                    "address": {"line1": "Dock Road 1", "city": "Hamburg", "country": "DE"},
                    "contact_email": "dock@example.com",
                    "total_capacity": 50000,
                    "operating_hours": {"monday": "06:00-22:00"},
                    "priority": 10,
                }
            ]
        }
    )

    code: Code
    name: Name
    address: Address = Field(default_factory=Address)
    contact_person: ShortText | None = None
    contact_email: Email | None = None
    contact_phone: Phone | None = None
    total_capacity: Quantity | None = Field(default=None, description="In base units.")
    operating_hours: dict[Weekday, Hours] = Field(
        default_factory=dict, description="Per weekday `HH:MM-HH:MM` in the tenant's zone."
    )
    priority: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = Field(
        default=100, description="Stock is taken from small numbers first."
    )
    attributes: Values = Field(default_factory=dict)
    metadata: Metadata = Field(default_factory=dict)
