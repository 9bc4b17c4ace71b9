"""Drafts of orders: what a client counted in boxes is frozen in base units."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from uuid_utils.compat import uuid7

from db import units
from db.engine import transaction
from db.operations import Claim
from db.order_drafts import Windows, draft
from domain.errors import InvalidInput
from domain.order_requests import NewOrder
from domain.orders import PlaceOrder
from domain.units import NewUnit, VariantUnits
from tests.conftest import TenantFixture
from tests.support import Items, make_items


@pytest.fixture
def boxed(engine: Engine, tenant: TenantFixture) -> Items:
    """A variant at 1.00 a piece that comes in boxes of 12."""
    items = make_items(engine, tenant.id)
    with transaction(engine, tenant.id) as session:
        units.create(session, NewUnit(code="box", name="Box"))
        boxes = VariantUnits.model_validate({"units": [{"unit": "box", "factor": 12}]})
        units.replace(session, items.variants[0], None, boxes)
        session.execute(text("INSERT INTO customers (name) VALUES ('Ada')"))
    return items


def _draft(engine: Engine, tenant: TenantFixture, items: Items, **line: Any) -> PlaceOrder:
    with transaction(engine, tenant.id) as session:
        customer: UUID = session.execute(text("SELECT id FROM customers")).scalar_one()
        place = {"variant_id": items.variants[0], "warehouse_id": items.warehouses[0]}
        new = NewOrder.model_validate({"customer_id": customer, "lines": [{**place, **line}]})
        claim = Claim(uuid7(), "SO-1", "order-x-SO-1")
        return draft(session, tenant.actor(), claim, new, Windows(60, 60, 60))


@pytest.mark.parametrize(
    ("line", "quantity", "price"),
    [
        ({"quantity": 2, "unit": "box"}, 24, "1"),
        ({"quantity": "0.5", "unit": "box", "unit_price": "6.00"}, 6, "0.5"),
        ({"quantity": 2, "unit_price": "6.00"}, 2, "6"),
    ],
)
def test_boxes_become_pieces(
    engine: Engine,
    tenant: TenantFixture,
    boxed: Items,
    line: dict[str, Any],
    quantity: int,
    price: str,
) -> None:
    placed = _draft(engine, tenant, boxed, **line)
    assert (placed.lines[0].quantity, placed.lines[0].unit_price) == (quantity, Decimal(price))
    assert placed.total == quantity * Decimal(price)


@pytest.mark.parametrize(
    ("line", "pointer", "code"),
    [
        ({"quantity": "0.1", "unit": "box"}, "/lines/0/quantity", "not_whole"),
        ({"quantity": 1, "unit": "crate"}, "/lines/0/unit", "unknown_unit"),
        ({"quantity": 1, "unit": "box", "unit_price": "1"}, "/lines/0/unit_price", "not_exact"),
    ],
)
def test_what_does_not_convert_is_no_order(
    engine: Engine,
    tenant: TenantFixture,
    boxed: Items,
    line: dict[str, Any],
    pointer: str,
    code: str,
) -> None:
    with pytest.raises(InvalidInput) as refused:
        _draft(engine, tenant, boxed, **line)
    assert [(error.pointer, error.code) for error in refused.value.errors] == [(pointer, code)]
