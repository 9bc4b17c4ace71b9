"""One tenant of the demo as seen through the API: its warehouse, its customers, its orders.

Every call carries a key that says what it is for, so a second demo on the same data finds
everything done and changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from client import ApiClient, ClientError
from importer.run import DEFAULT_WAREHOUSE

MAIN = str(DEFAULT_WAREHOUSE["code"])
#: How long an expiring order may take beyond its window: the process is woken by a timer.
EXPIRY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Goods:
    """A product of the demo's own, with the price that orders pay and the cost it came in at."""

    sku: str
    name: str
    price: str
    cost: str
    units: int


class Shop:
    """The calls that the demo makes for one tenant; ``opened`` first."""

    def __init__(self, client: ApiClient) -> None:
        self.client = client
        self.warehouse = ""

    def open(self) -> None:
        """Make sure of the main warehouse, whoever made it."""
        self.warehouse = self._record("warehouses", DEFAULT_WAREHOUSE, "warehouse")["id"]

    def customer(self, code: str, name: str) -> str:
        """The id of a customer."""
        made = self._record("customers", {"code": code, "name": name}, f"customer/{code}")
        return str(made["id"])

    def stock(self, goods: Goods) -> str:
        """Buy goods in; gives the id of their variant."""
        body = {"sku": goods.sku, "name": goods.name, "price": goods.price}
        product = self._record("products", body, f"product/{goods.sku}", code="sku")
        variant = str(product["default_variant_id"])
        line = {
            "warehouse_id": self.warehouse,
            "variant_id": variant,
            "quantity": goods.units,
            "unit_cost": goods.cost,
        }
        self.client.post(
            "/v1/inventory/stock/add",
            {"kind": "purchase", "reason": "first delivery", "lines": [line]},
            f"demo/purchase/{goods.sku}",
        )
        return variant

    def write_off(self, variant: str, quantity: int, reason: str) -> None:
        """Take broken goods out."""
        line = {"warehouse_id": self.warehouse, "variant_id": variant, "quantity": quantity}
        self.client.post(
            "/v1/inventory/stock/deduct",
            {"kind": "write_off", "reason": reason, "lines": [line]},
            f"demo/write-off/{variant}",
        )

    def order(self, name: str, customer: str, variant: str, quantity: int, **more: Any) -> str:
        """Place an order and give its number, also when the stock refuses it."""
        line = {"variant_id": variant, "warehouse_id": self.warehouse, "quantity": quantity}
        body = {"customer_id": customer, "reference": f"demo {name}", "lines": [line], **more}
        try:
            return str(self.client.place_order(body, f"demo/order/{name}").body["number"])
        except ClientError as error:
            if error.code != "insufficient_stock":
                raise
            return str(error.details["number"])

    def read(self, number: str) -> dict[str, Any]:
        """An order as it is now."""
        return self.client.get(f"/v1/orders/{number}")

    def tell(self, number: str, command: str, body: Mapping[str, Any], n: int = 1) -> bool:
        """Send the ``n``-th such command to an order; False when its state refuses it.

        A person who tries things out may have moved the order on: then that is how it is.
        """
        key = f"demo/{number}/{command}/{n}"
        try:
            self.client.post(f"/v1/orders/{number}/{command}", body, key)
        except ClientError as error:
            if error.status == 409 and not error.passing:
                return False
            raise
        return True

    def _record(
        self, noun: str, body: Mapping[str, Any], key: str, *, code: str = "code"
    ) -> dict[str, Any]:
        try:
            return self.client.post(f"/v1/{noun}", body, f"demo/{key}").body
        except ClientError as error:
            if error.code not in ("sku_taken", "code_taken"):
                raise
        found: dict[str, Any] = self.client.get(f"/v1/{noun}", **{code: body[code]})["data"][0]
        return found
