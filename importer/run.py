"""Posts a planned import over the HTTP API: whatever is repeated or interrupted, nothing is twice.

Every call carries a key of the plan, so a second run is answered what the first one did, and a run
that was killed is continued by starting it again. The stages follow each other (warehouse,
customers, products, openings, orders); within one, a few calls are on the way at once.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import quote

from client import ApiClient, ClientError, Reply
from importer.meter import Meter
from importer.planned import (
    GUEST,
    Customer,
    ImportPlan,
    ObjectKind,
    Opening,
    PlannedOrder,
    Product,
)
from importer.report import ImportedOrder, ImportReport, Outcome
from importer.rows import SalesFileError

T = TypeVar("T")
R = TypeVar("R")
#: Calls on the way at once: enough to keep a small machine busy, few enough for others to be heard.
WORKERS = 8
DEFAULT_WAREHOUSE = {"code": "MAIN", "name": "Main warehouse"}
_KEY_MAX = 200
_NAME_MAX = 200


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where the goods lie (a warehouse's code, or the default one) and how many calls at once."""

    warehouse: str | None = None
    workers: int = WORKERS


@dataclass(frozen=True, slots=True)
class _Posted:
    """What became of one object; ``body`` is the API's, None when there is no such object."""

    outcome: Outcome
    body: dict[str, Any] | None
    code: str = ""
    detail: str = ""


def import_sales(
    client: ApiClient, plan: ImportPlan, options: RunOptions, meter: Meter
) -> ImportReport:
    """Post everything that ``plan`` asks for and tell what became of each object.

    Raises:
        ClientError: the API can't be reached or refuses the key; start again to continue.
        SalesFileError: there is no warehouse of the given code.
    """
    began = time.monotonic()
    run = _Import(client, plan, options, meter)
    run.post()
    run.report.seconds = time.monotonic() - began
    return run.report


class _Import:
    """One run; ids of what was posted are kept by the file's codes."""

    def __init__(
        self, client: ApiClient, plan: ImportPlan, options: RunOptions, meter: Meter
    ) -> None:
        self.report = ImportReport(plan)
        self._client = client
        self._plan = plan
        self._options = options
        self._meter = meter
        self._warehouse = ""
        self._customers: dict[str, str] = {}
        self._variants: dict[str, str] = {}

    def post(self) -> None:
        """All stages, each complete before the next."""
        plan = self._plan
        self._warehouse = self._find_warehouse()
        stage = self._stage
        for customer, posted in stage("customer", "Customers", plan.customers, self._customer):
            if posted.body is not None:
                self._customers[customer.code] = posted.body["id"]
        for product, posted in stage("product", "Products", plan.products, self._product):
            if posted.body is not None:
                self._variants[product.sku] = posted.body["default_variant_id"]
        openings = [one for one in plan.openings if one.units and one.sku in self._variants]
        for _ in stage("opening", "Opening stock", openings, self._opening):
            pass
        # Where openings don't cover the sales, who comes first decides; then one follows the other.
        covered = plan.options.opening_factor >= 1
        placing = stage("order", "Orders", plan.orders, self._order, None if covered else 1)
        for place, (order, posted) in enumerate(placing):
            if posted.body is not None:
                self.report.orders.append(ImportedOrder(place, order.number, posted.body))

    def _stage(
        self,
        kind: ObjectKind,
        title: str,
        items: Iterable[T],
        work: Callable[[T], _Posted],
        workers: int | None = None,
    ) -> Iterator[tuple[T, _Posted]]:
        listed = list(items)
        self._meter.begin(title, len(listed))
        done = each(listed, work, workers or self._options.workers)
        for item, posted in zip(listed, done, strict=True):
            name = item.sku if isinstance(item, Product | Opening) else _code_of(item)
            self.report.note(kind, name, posted.outcome, posted.code, posted.detail)
            self._meter.step()
            yield item, posted

    def _find_warehouse(self) -> str:
        """The warehouse's id; the first import of a tenant without any makes one."""
        wanted = self._options.warehouse
        found = list(self._client.items("/v1/warehouses", code=wanted))
        for one in found:
            if one["code"] == wanted or (wanted is None and one["is_default"]):
                self.report.note("warehouse", one["code"], "already_there")
                return str(one["id"])
        if wanted is not None:
            raise SalesFileError("option_invalid", f"There is no warehouse with code {wanted!r}.")
        key = f"import/{quote(self._plan.options.source, safe='')}/warehouse"
        made = self._client.post("/v1/warehouses", DEFAULT_WAREHOUSE, key)
        self.report.note("warehouse", made.body["code"], _outcome(made))
        return str(made.body["id"])

    def _customer(self, customer: Customer) -> _Posted:
        guest = customer.code == GUEST
        name = "Customers without a number" if guest else f"Customer {customer.code}"
        body: dict[str, Any] = {"code": customer.code, "name": name}
        if customer.country:
            # The file has names of countries, an address takes codes of two letters.
            body["metadata"] = {"country": customer.country[:500]}
        return self._record(
            "customer", customer.code, "/v1/customers", body, {"code": customer.code}
        )

    def _product(self, product: Product) -> _Posted:
        body = {
            "sku": product.sku,
            "name": _one_line(product.name) or product.sku,
            "price": _money(product.price),
        }
        return self._record("product", product.sku, "/v1/products", body, {"sku": product.sku})

    def _opening(self, opening: Opening) -> _Posted:
        line = {
            "warehouse_id": self._warehouse,
            "variant_id": self._variants[opening.sku],
            "quantity": opening.units,
            "unit_cost": _money(opening.unit_cost),
        }
        body = {
            "kind": "opening",
            "reason": "opening stock of an import",
            "occurred_at": opening.occurred_at.isoformat(),
            "lines": [line],
        }
        key = self._key("opening", opening.sku)
        return self._post(lambda: self._client.post("/v1/inventory/stock/add", body, key))

    def _order(self, order: PlannedOrder) -> _Posted:
        customer = self._customers.get(order.customer)
        missing = [line.sku for line in order.lines if line.sku not in self._variants]
        if customer is None or missing:
            what = f"product {missing[0]}" if missing else f"customer {order.customer}"
            return _Posted("refused", None, "reference_missing", f"There is no {what}.")
        body = {
            "customer_id": customer,
            "reference": order.number,
            "occurred_at": order.occurred_at.isoformat(),
            "policy": "complete",
            "payment_required": False,
            "lines": [
                {
                    "variant_id": self._variants[line.sku],
                    "warehouse_id": self._warehouse,
                    "quantity": line.quantity,
                    "unit_price": _money(line.unit_price),
                }
                for line in order.lines
            ],
            "charges": [
                {
                    "code": charge.code,
                    "description": _one_line(charge.description),
                    "amount": _money(charge.amount),
                }
                for charge in order.charges
            ],
        }
        key = self._key("order", order.number)
        return self._post(lambda: self._client.place_order(body, key))

    def _record(
        self,
        kind: ObjectKind,
        code: str,
        path: str,
        body: Mapping[str, Any],
        wanted: Mapping[str, str],
    ) -> _Posted:
        """Make a record; one of the same code that somebody else made is used as it is."""
        posted = self._post(lambda: self._client.post(path, body, self._key(kind, code)))
        taken = posted.code in ("sku_taken", "code_taken")
        if posted.body is not None or not (taken or posted.outcome == "changed"):
            return posted
        found = self._client.get(path, **wanted)["data"]
        if not found:
            return posted
        if taken:
            return _Posted("already_there", found[0])
        return _Posted("changed", found[0], posted.code, posted.detail)

    def _post(self, call: Callable[[], Reply]) -> _Posted:
        try:
            reply = call()
        except ClientError as error:
            # What concerns every call ends the import; it goes on when it is started again.
            if error.passing or error.status in (0, 401, 403) or error.status >= 500:
                raise
            changed = error.code == "idempotency_key_reuse"
            return _Posted("changed" if changed else "refused", None, error.code, str(error))
        return _Posted(_outcome(reply), reply.body)

    def _key(self, kind: ObjectKind, code: str) -> str:
        """The plan's key; codes in other scripts may make it longer than a header may be."""
        key = self._plan.key_of(kind, code)
        if len(key) <= _KEY_MAX:
            return key
        return f"{key[: _KEY_MAX - 65]}/{hashlib.sha256(key.encode()).hexdigest()}"


def each(items: Iterable[T], work: Callable[[T], R], workers: int) -> Iterator[R]:
    """The results in the order of the items, with at most ``workers`` at once.

    When the caller stops early, what has not begun is given up and what is on the way is awaited.
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _code_of(item: object) -> str:
    return str(getattr(item, "number", None) or getattr(item, "code", ""))


def _outcome(reply: Reply) -> Outcome:
    return "already_there" if reply.replayed else "created"


def _money(amount: Decimal) -> str:
    """A decimal string without exponent; the API takes up to six decimals."""
    return f"{amount:f}"


def _one_line(text: str) -> str:
    """A text as the API takes names: printable, on one line, not too long."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return plain if len(plain) <= _NAME_MAX else f"{plain[: _NAME_MAX - 1]}…"
