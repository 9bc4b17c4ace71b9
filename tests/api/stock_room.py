"""A tenant with stock, made through the API, for tests of what can be read of it."""

from dataclasses import dataclass, field
from typing import Any

from tests.api.api_helpers import Caller, product, warehouse


@dataclass
class Room:
    """Products by name and warehouses by name, and commands on them."""

    caller: Caller
    products: dict[str, dict[str, Any]] = field(default_factory=dict)
    houses: dict[str, dict[str, Any]] = field(default_factory=dict)

    def open(self, *names: str, houses: tuple[str, ...] = ("main",)) -> "Room":
        """Make products and warehouses of these names."""
        for name in names:
            self.products[name] = self.caller.made("/v1/products", product(name=name))
        for name in houses:
            self.houses[name] = self.caller.made("/v1/warehouses", warehouse(name=name))
        return self

    def variant(self, name: str) -> str:
        """The id of a product's default variant."""
        found: str = self.products[name]["default_variant_id"]
        return found

    def add(
        self, name: str, units: int, *, house: str = "main", cost: str = "2.00", **more: Any
    ) -> dict[str, Any]:
        """Goods come in."""
        line = {
            "warehouse_id": self.houses[house]["id"],
            "variant_id": self.variant(name),
            "quantity": units,
            "unit_cost": cost,
        }
        return self._sent("add", {"lines": [line], **more})

    def take(self, name: str, units: int, *, house: str = "main", **more: Any) -> dict[str, Any]:
        """Goods leave."""
        line = {
            "warehouse_id": self.houses[house]["id"],
            "variant_id": self.variant(name),
            "quantity": units,
        }
        return self._sent("deduct", {"lines": [line], **more})

    def list(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """Every row of a list, page by page of two."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            more: dict[str, str] = {"cursor": cursor} if cursor else {}
            answer = self.caller.get(path, params={"limit": 2, **params, **more})
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    def _sent(self, command: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.caller.post(f"/v1/inventory/stock/{command}", body)
        assert answer.status_code < 300, answer.text
        outcome: dict[str, Any] = answer.json()
        return outcome
