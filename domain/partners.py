"""Customers and suppliers as clients describe them: one shape for who buys and who delivers."""

from pydantic import ConfigDict, Field

from domain.attributes import Values
from domain.values import (
    Address,
    Body,
    Changes,
    Code,
    Email,
    Metadata,
    Name,
    Phone,
    ShortText,
    omitted,
)


class NewPartner(Body):
    """A customer or supplier; ``code`` is its number in the company's other systems."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "code": "C-12346",
                    "name": "Ada Lovelace",
                    "first_name": "Ada",
                    "last_name": "Lovelace",
                    "email": "ada@example.com",
                    "phone": "+44 20 7946 0000",
                    "address": {"line1": "12 St James's Square", "city": "London", "country": "GB"},
                }
            ]
        }
    )

    code: Code | None = None
    name: Name
    first_name: ShortText | None = None
    last_name: ShortText | None = None
    email: Email | None = None
    phone: Phone | None = None
    address: Address = Field(default_factory=Address)
    attributes: Values = Field(default_factory=dict)
    metadata: Metadata = Field(default_factory=dict)


class PartnerChanges(Changes):
    """What of a customer or supplier may be edited; address and metadata are replaced whole.

    Attributes are replaced one by one.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "ada@example.org"}]})

    code: Code | None = omitted()
    name: Name = omitted()
    first_name: ShortText | None = omitted()
    last_name: ShortText | None = omitted()
    email: Email | None = omitted()
    phone: Phone | None = omitted()
    address: Address = omitted()
    attributes: Values = omitted()
    metadata: Metadata = omitted()
