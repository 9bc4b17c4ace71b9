"""What an import did: every object and invoice with its outcome, for people and for programs."""

import csv
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from domain.values import decimal_text
from importer.planned import ImportPlan
from importer.rows import RowRefused

#: ``changed`` is an object that was posted before under the same key with another content.
Outcome = Literal["created", "already_there", "changed", "refused"]
OUTCOMES: tuple[Outcome, ...] = ("created", "already_there", "changed", "refused")
KINDS = ("warehouse", "customer", "product", "opening", "order")
_ERROR_COLUMNS = ("line", "column", "code", "reason", "value", "invoice")


@dataclass(frozen=True, slots=True)
class Trouble:
    """An object that was not posted, or not as the file has it."""

    kind: str
    name: str
    outcome: Outcome
    code: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        """The same for JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "outcome": self.outcome,
            "code": self.code,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class ImportedOrder:
    """An invoice that is an order now; ``order`` is the API's answer when it was placed."""

    place: int
    invoice: str
    order: dict[str, Any]


@dataclass(slots=True)
class ImportReport:
    """Filled while the import runs; ``place`` of an order is its place in business time."""

    plan: ImportPlan
    dry_run: bool = False
    counts: dict[str, Counter[str]] = field(
        default_factory=lambda: {kind: Counter() for kind in KINDS}
    )
    orders: list[ImportedOrder] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    seconds: float = 0.0

    def note(
        self, kind: str, name: str, outcome: Outcome, code: str = "", detail: str = ""
    ) -> None:
        """Count an object; anything but created or already there is listed as well."""
        self.counts[kind][outcome] += 1
        if outcome in ("changed", "refused"):
            self.troubles.append(Trouble(kind, name, outcome, code, detail))

    @property
    def invoices(self) -> dict[str, int | bool]:
        """Every invoice of the file and what became of it; ``accounted`` when the sum is right."""
        totals = self.plan.totals
        placed = totals.orders if self.dry_run else len(self.orders)
        unplaced = 0 if self.dry_run else sum(one.kind == "order" for one in self.troubles)
        refused = totals.refused_invoices
        return {
            "read": totals.invoices,
            "orders": placed,
            "deferred": totals.deferred_invoices,
            "refused": refused + unplaced,
            "accounted": placed + totals.deferred_invoices + refused + unplaced == totals.invoices,
        }

    @property
    def complete(self) -> bool:
        """Whether every invoice is accounted for, and all that was planned is there as planned."""
        return bool(self.invoices["accounted"]) and not self.troubles

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON; docs/cli.md tells every field."""
        plan, totals, layout = self.plan, self.plan.totals, self.plan.layout
        placed = self.counts["order"].total()
        units = sum(line["ordered"] for one in self.orders for line in one.order["lines"])
        value = sum((Decimal(one.order["total_amount"]) for one in self.orders), Decimal(0))
        return {
            "dry_run": self.dry_run,
            "file": {
                "sha256": layout.sha256,
                "bytes": layout.size,
                "encoding": layout.encoding,
                "delimiter": layout.delimiter,
                "decimal": layout.decimal_mark,
                "date_order": layout.date_order,
            },
            "rows": {
                "read": totals.lines_read,
                "sold": totals.usable_lines,
                "charges": totals.charge_lines,
                "deferred": totals.deferred_lines,
                "refused": totals.refused_lines,
                "blank": totals.blank_lines,
            },
            "invoices": self.invoices,
            "planned": {
                "customers": len(plan.customers),
                "products": len(plan.products),
                "openings": len(plan.openings),
                "orders": len(plan.orders),
                "units": totals.units,
                "value": decimal_text(totals.value),
                "charges": decimal_text(totals.charge_value),
            },
            "objects": {
                kind: {outcome: counts[outcome] for outcome in OUTCOMES}
                for kind, counts in self.counts.items()
            },
            "orders": dict(sorted(Counter(one.order["fulfilment"] for one in self.orders).items())),
            "units": units,
            "value": decimal_text(value),
            "rows_refused": [row_dict(row) for row in plan.refused_rows],
            "invoices_refused": [
                {"invoice": one.number, "code": one.code, "reason": one.reason, "line": one.line}
                for one in plan.refused_invoices
            ],
            "invoices_deferred": [one.number for one in plan.deferred],
            "troubles": [one.as_dict() for one in self.troubles],
            "notes": [
                {"code": one.code, "text": one.text, "count": one.count, "lines": list(one.lines)}
                for one in plan.notes
            ],
            "seconds": round(self.seconds, 2),
            "orders_per_second": round(placed / self.seconds, 1) if self.seconds else 0.0,
        }


def row_dict(row: RowRefused) -> dict[str, Any]:
    """A refused row for JSON."""
    return {
        "line": row.line,
        "column": row.column,
        "code": row.code,
        "reason": row.reason,
        "value": row.value,
        "invoice": row.invoice,
    }


def write_errors(report: ImportReport, path: Path) -> int:
    """Write refused rows, and objects that were not posted as the file has them; returns how many.

    What would be read as a formula by a spreadsheet is written behind an apostrophe.
    """
    rows = [row_dict(row) for row in report.plan.refused_rows]
    rows += [
        {
            "line": "",
            "column": one.kind,
            "code": one.code or one.outcome,
            "reason": one.detail,
            "value": one.name,
            "invoice": one.name if one.kind == "order" else "",
        }
        for one in report.troubles
    ]
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(_ERROR_COLUMNS)
        writer.writerows([_harmless(row[name]) for name in _ERROR_COLUMNS] for row in rows)
    return len(rows)


def _harmless(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return f"'{value}"
    return value
