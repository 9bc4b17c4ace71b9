"""An example of each answer in the API's description, made from its schema and field names."""

from typing import Any

_ID = "01980000-0000-7000-8000-000000000001"
_AT = "2026-11-21T09:30:00Z"
#: What a field of this name holds in a believable answer.
_BY_NAME: dict[str, Any] = {
    "sku": "MUG",
    "name": "Mug, white",
    "description": "Mug, white",
    "code": "W1",
    "barcode": "4006381333931",
    "currency": "EUR",
    "number": "SO-1001",
    "workflow_id": "order-acme-SO-1001",
    "fulfilment": "reserved",
    "payment": "pending",
    "return_status": "none",
    "policy": "complete",
    "status": "active",
    "waiting_for": "payment",
    "then_what": "expire",
    "actions": ["pay", "cancel"],
    "kind": "reserve",
    "actor": "sales of acme",
    "created_by": "sales of acme",
    "recorded_by": "sales of acme",
    "shipped_by": "warehouse of acme",
    "owner": "order-acme-SO-1001",
    "reference": "web-7731",
    "reference_kind": "order",
    "reference_id": "SO-1001",
    "reason": None,
    "notes": None,
    "method": "bank_transfer",
    "email": "ada@example.org",
    "phone": "+49 30 1234",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "contact_person": "Ada Lovelace",
    "contact_email": "ada@example.org",
    "contact_phone": "+49 30 1234",
    "prefix": "sw_live_0123456789ab",
    "role": "sales",
    "average_cost": "4.20",
    "unit_cost": "4.20",
    "carrier": "Parcel post",
    "tracking": "1Z999",
    "metadata": {},
    "data": {"waiting_for": "payment"},
    "refusal": None,
    "next_cursor": None,
    "lot": None,
    "closed_at": None,
    "attention": None,
    "ordered": 3,
    "reserved": 3,
    "backordered": 0,
    "shipped": 0,
    "cancelled": 0,
    "returned": 0,
    "damaged": 0,
    "quarantine": 0,
    "in_transit": 0,
    "total_amount": "37.50",
    "paid_amount": "0.00",
    "balance": "-37.50",
    "amount": "37.50",
    "unit_price": "12.50",
}
_BY_FORMAT = {"uuid": _ID, "date-time": _AT, "date": "2026-11-21"}
_BY_TYPE: dict[str, Any] = {"integer": 1, "number": 1, "boolean": False, "string": "text"}
_DEPTH_MAX = 8


def add_examples(schema: dict[str, Any], operation: dict[str, Any]) -> None:
    """Give every JSON answer of an operation an example that fits its schema."""
    for status, response in operation["responses"].items():
        for content in response.get("content", {}).values():
            if status.startswith("2") and "example" not in content and "schema" in content:
                content["example"] = example_of(schema, content["schema"])


def example_of(schema: dict[str, Any], part: dict[str, Any], name: str = "", depth: int = 0) -> Any:
    """A value that fits ``part``, a schema within the description ``schema``."""
    if "$ref" in part:
        part = schema["components"]["schemas"][part["$ref"].rpartition("/")[2]]
    choices = part.get("anyOf") or part.get("oneOf") or ()
    if name in _BY_NAME and _fits(part, choices, _BY_NAME[name]):
        return _BY_NAME[name]
    if part.get("type") == "array" and "items" in part:
        return [] if depth > _DEPTH_MAX else [example_of(schema, part["items"], "", depth + 1)]
    if "properties" in part:
        members = part["properties"].items()
        return {key: example_of(schema, value, key, depth + 1) for key, value in members}
    if choices:
        nullable = any(choice.get("type") == "null" for choice in choices)
        # Of a nullable text in a form of its own nothing fitting is known by its name.
        return (
            None
            if nullable and "pattern" in choices[0]
            else example_of(schema, choices[0], name, depth)
        )
    return _simple(part)


def _simple(part: dict[str, Any]) -> Any:
    """A value of a schema without parts."""
    if "const" in part or "enum" in part:
        return part["const"] if "const" in part else part["enum"][0]
    if part.get("examples"):
        return part["examples"][0]
    if part.get("type") == "object" or "additionalProperties" in part:
        return {}
    return _BY_FORMAT.get(part.get("format", ""), _BY_TYPE.get(part.get("type", "")))


def _fits(part: dict[str, Any], choices: Any, value: Any) -> bool:
    """Whether a value known by its name is of a kind that this field allows."""
    kinds = {part.get("type")} | {choice.get("type") for choice in choices}
    named = {str: "string", list: "array", dict: "object", int: "integer", type(None): "null"}
    allowed = part.get("enum", [value])
    return named[type(value)] in kinds and value in allowed
