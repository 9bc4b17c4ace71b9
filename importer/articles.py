"""Gathers what an import has to know of each article: name, price, and what to open it with."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

from importer.planned import Opening, PlanOptions, Product
from importer.rows import SaleRow

_COST_STEP = Decimal("0.000001")


@dataclass(slots=True)
class Article:
    """The accepted sales of one article so far, each different value with how often it came."""

    sku: str
    line: int
    sold: int = 0
    names: dict[str, int] = field(default_factory=dict)
    prices: dict[Decimal, int] = field(default_factory=dict)
    spellings: set[str] = field(default_factory=set)

    def add(self, row: SaleRow) -> None:
        """Count one accepted sale line; lines without price or name have no say in those."""
        self.sold += row.quantity
        self.spellings.add(row.stock_code)
        if row.unit_price:
            self.prices[row.unit_price] = self.prices.get(row.unit_price, 0) + 1
        name = " ".join(row.description.split())
        if name:
            self.names[name] = self.names.get(name, 0) + 1

    def product(self) -> Product:
        """The most frequent name and price, the first one when several are; else code and zero."""
        # max() keeps the first of equals, and dicts keep the order of appearance.
        name = max(self.names, key=self.names.__getitem__, default=self.sku)
        price = max(self.prices, key=self.prices.__getitem__, default=Decimal(0))
        return Product(self.sku, name, price)

    def opening(self, options: PlanOptions, occurred_at: datetime) -> Opening:
        """The receipt that covers the sales, at a share of the median price, half to even."""
        units = (self.sold * options.opening_factor).to_integral_value(ROUND_CEILING)
        cost = median(self.prices) * options.cost_ratio
        return Opening(
            sku=self.sku,
            units=int(units) + options.extra_units,
            unit_cost=cost.quantize(_COST_STEP, ROUND_HALF_EVEN),
            sold=self.sold,
            occurred_at=occurred_at,
        )


def median(counts: dict[Decimal, int]) -> Decimal:
    """The median of values given with how often each came; of an even number, the middle two's
    exact mean; zero of none.
    """
    total = sum(counts.values())
    if not total:
        return Decimal(0)
    middle = _nth(sorted(counts.items()), ((total - 1) // 2, total // 2))
    return sum(middle, Decimal(0)) / 2


def _nth(counts: Iterable[tuple[Decimal, int]], places: tuple[int, int]) -> list[Decimal]:
    """The values at two places, the first not behind the second, of the spread-out list."""
    found: list[Decimal] = []
    passed = 0
    for value, count in counts:
        passed += count
        found += [value for place in places[len(found) :] if place < passed]
    return found
