"""A small shop over the real API: what the tests of processes buy, sell and look at."""

from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import uuid4

import httpx2
from temporalio.client import Client

from tests.conftest import TenantFixture

Json = dict[str, Any]


@dataclass
class Shop:
    """One tenant's API; ``variants`` by SKU."""

    http: httpx2.AsyncClient
    tenant: TenantFixture
    temporal: Client
    variants: dict[str, str] = field(default_factory=dict)
    customer: str = ""
    warehouse: str = ""
    _keys: Any = field(default_factory=count)

    async def open(self) -> None:
        """A warehouse, a customer and two articles without stock."""
        self.warehouse = (await self.post("/v1/warehouses", {"code": "W1", "name": "Main"}))["id"]
        self.customer = (await self.post("/v1/customers", {"name": "Ada"}))["id"]
        for sku, price in (("A", "10.00"), ("B", "2.50")):
            body = {"sku": sku, "name": f"Article {sku}", "price": price}
            await self.post("/v1/products", body)
            found = await self.get(f"/v1/variants?sku={sku}")
            self.variants[sku] = found["data"][0]["id"]

    async def send(self, path: str, body: Json, key: str | None = None) -> httpx2.Response:
        """POST with a key; the plain response."""
        headers = {"Idempotency-Key": key or f"{uuid4()}"}
        return await self.http.post(path, json=body, headers=headers)

    async def post(self, path: str, body: Json, key: str | None = None) -> Json:
        """POST that must succeed; the body."""
        response = await self.send(path, body, key)
        assert response.status_code < 300, response.text
        answer: Json = response.json()
        return answer

    async def get(self, path: str) -> Json:
        """GET that must succeed; the body."""
        response = await self.http.get(path)
        assert response.status_code == 200, response.text
        answer: Json = response.json()
        return answer

    async def receive(self, sku: str, quantity: int, unit_cost: str = "1.00") -> None:
        """Put goods on the shelf."""
        line = {
            "warehouse_id": self.warehouse,
            "variant_id": self.variants[sku],
            "quantity": quantity,
            "unit_cost": unit_cost,
        }
        await self.post("/v1/inventory/stock/add", {"lines": [line]})

    async def level(self, sku: str) -> Json:
        """The level of an article."""
        found = await self.get(f"/v1/inventory/levels?variant_id={self.variants[sku]}")
        level: Json = found["data"][0]
        return level

    def order_body(self, quantities: dict[str, int], **more: Any) -> Json:
        """The body of an order over some articles."""
        lines = [{"variant_id": self.variants[s], "quantity": q} for s, q in quantities.items()]
        return {"customer_id": self.customer, "lines": lines, **more}

    async def place(self, quantities: dict[str, int], **more: Any) -> Json:
        """Place an order that must be reserved."""
        return await self.post("/v1/orders", self.order_body(quantities, **more))

    async def tell(self, order: Json, command: str, **body: Any) -> Json:
        """Send a command that must succeed."""
        return await self.post(f"/v1/orders/{order['number']}/{command}", body)

    async def pay(self, order: Json) -> Json:
        """Pay an order in full."""
        money = {"method": "transfer", "amount": order["total_amount"], "currency": "EUR"}
        return await self.tell(order, "pay", **money)
