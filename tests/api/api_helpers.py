"""What the tests of the API share: callers with real keys, rows of other rooms, examples."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import Engine, select, text

from db.engine import transaction
from db.tables import InventoryLevel, Order, OrderLine, StockMovement
from db.tenants import create_api_key
from db.upkeep_tables import Revaluation

JSON = {"Content-Type": "application/json"}


def new_key() -> str:
    """An idempotency key that nobody used."""
    return f"test-{uuid4().hex}"


@dataclass
class Caller:
    """Somebody with an API key of one tenant and role."""

    client: TestClient
    engine: Engine
    tenant_id: UUID
    role: str
    token: str = field(init=False)
    key_id: UUID = field(init=False)

    def __post_init__(self) -> None:
        with transaction(self.engine, self.tenant_id) as session:
            key, self.token = create_api_key(session, f"{self.role} in a test", self.role)
            self.key_id = key.id

    def send(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        match: str | None = None,
        headers: dict[str, str] | None = None,
        **content: Any,
    ) -> Response:
        """One request with the caller's key; a POST gets a fresh idempotency key by itself."""
        sent = {"Authorization": f"Bearer {self.token}"}
        if key is not None or method.upper() == "POST":
            sent["Idempotency-Key"] = key or new_key()
        if match is not None:
            sent["If-Match"] = match
        return self.client.request(method, path, headers={**sent, **(headers or {})}, **content)

    def get(self, path: str, **more: Any) -> Response:
        return self.send("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Response:
        return self.send("POST", path, **({"json": body} if body is not None else {}), **more)

    def patch(self, path: str, body: Any, match: str = "*", **more: Any) -> Response:
        return self.send("PATCH", path, json=body, match=match, **more)

    def put(self, path: str, body: Any, match: str = "*", **more: Any) -> Response:
        return self.send("PUT", path, json=body, match=match, **more)

    def delete(self, path: str, match: str = "*", **more: Any) -> Response:
        return self.send("DELETE", path, match=match, **more)

    def made(self, path: str, body: Any) -> dict[str, Any]:
        """The object that a POST made."""
        answer = self.post(path, body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made


def code_of(answer: Response) -> str:
    """The code of a problem, after a look at its shape."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    members = {"type", "title", "status", "detail", "instance", "code", "errors", "details"}
    assert members <= set(problem), problem
    assert problem["status"] == answer.status_code
    code: str = problem["code"]
    return code


def pointers_of(answer: Response) -> set[str]:
    """The pointers of a problem's wrong fields."""
    return {error["pointer"] for error in answer.json()["errors"]}


def product(**fields: Any) -> dict[str, Any]:
    """A product's body with a SKU that nobody has."""
    return {"sku": f"SKU-{uuid4().hex[:12]}", "name": "Mug", "price": "7.50", **fields}


def warehouse(**fields: Any) -> dict[str, Any]:
    """A warehouse's body with a code that nobody has."""
    return {"code": f"W-{uuid4().hex[:12]}", "name": "Store", **fields}


def put_level(engine: Engine, tenant: UUID, warehouse_id: str, variant_id: str, units: int) -> str:
    """A level with ``units`` available, as a command would leave it."""
    with transaction(engine, tenant) as session:
        level = session.execute(
            text("""
                INSERT INTO inventory_levels (warehouse_id, variant_id, available)
                VALUES (:warehouse, :variant, :units) RETURNING id
            """),
            {"warehouse": warehouse_id, "variant": variant_id, "units": units},
        )
        return str(level.scalar_one())


def empty_level(engine: Engine, tenant: UUID, level_id: str) -> None:
    """The level after its last unit left."""
    with transaction(engine, tenant) as session:
        level = session.get_one(InventoryLevel, (tenant, UUID(level_id)))
        level.available = 0


def put_order(
    engine: Engine, tenant: UUID, *, customer_id: str, variant_id: str, warehouse_id: str
) -> str:
    """An open order of one line, as its process would record it; gives its id."""
    now, number = datetime.now(UTC), f"SO-{uuid4().hex[:8]}"
    with transaction(engine, tenant) as session:
        order = Order(
            number=number,
            workflow_id=f"order-test-{number}",
            customer_id=UUID(customer_id),
            currency="EUR",
            total_amount=Decimal(10),
            paid_amount=Decimal(0),
            charges=[],
            policy="complete",
            payment_required=False,
            fulfilment="reserved",
            payment="none",
            actions=[],
            occurred_at=now,
            business_date=now.date(),
            version=1,
        )
        session.add(order)
        session.flush()
        session.add(
            OrderLine(
                order_id=order.id,
                line=1,
                variant_id=UUID(variant_id),
                warehouse_id=UUID(warehouse_id),
                description="Mug",
                ordered=1,
                reserved=1,
                backordered=0,
                shipped=0,
                cancelled=0,
                returned=0,
                unit_price=Decimal(10),
            )
        )
        return str(order.id)


def put_revaluation(engine: Engine, tenant: UUID) -> str:
    """A revaluation of the tenant's first movement, as its process would record it."""
    with transaction(engine, tenant) as session:
        receipt = session.scalars(select(StockMovement).order_by(StockMovement.id)).first()
        assert receipt is not None
        row = Revaluation(
            id=uuid4(),
            number=f"RV-{uuid4().hex[:8]}",
            workflow_id="revaluation-test",
            movement_id=receipt.id,
            level_id=receipt.level_id,
            quantity=5,
            unit_cost_before=receipt.unit_cost,
            unit_cost=Decimal(3),
            difference=Decimal(5),
            reason="test",
            status="walking",
            cursor_sequence=1,
            remaining=Decimal(5),
            gone={},
            created_by="test",
        )
        session.add(row)
        session.flush()
        return str(row.id)


def close_order(engine: Engine, tenant: UUID, order_id: str) -> None:
    """The order after its process ended."""
    with transaction(engine, tenant) as session:
        session.execute(
            text("UPDATE orders SET closed_at = now() WHERE id = :id"), {"id": order_id}
        )


def resolved(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """The schema that a ``$ref`` names, or the part itself."""
    while "$ref" in part:
        part = schema["components"]["schemas"][part["$ref"].rsplit("/", 1)[1]]
    return part


def published_examples(schema: dict[str, Any], operation: dict[str, Any]) -> list[Any]:
    """The examples that the schema publishes of an operation's body."""
    content = operation["requestBody"]["content"]["application/json"]
    given = content.get("examples") or resolved(schema, content["schema"]).get("examples") or []
    return [named["value"] for named in given.values()] if isinstance(given, dict) else given
