"""What the demo tells at its end: orders by ending, the sum that must hold, what to try next."""

import shutil
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from demo.endings import ending_of
from demo.run import ACME, GLOBEX, DemoResult
from entrance import addresses
from installation import api_url, kept_key, keys_file
from settings import Settings


def as_dict(settings: Settings, result: DemoResult) -> dict[str, Any]:
    """The summary for programs; docs/cli.md tells every field, and they stay."""
    imported = result.report.as_dict()
    held = result.balances[ACME[0]]
    units = {kind: int(value) for kind, value in held["units_by_kind"].items()}
    value = {kind: Decimal(amount) for kind, amount in held["value_by_kind"].items()}
    return {
        "file": result.file,
        "orders": dict(sorted(Counter(map(ending_of, result.orders)).items())),
        "invoices": imported["invoices"],
        "units": {
            "in": sum(one for one in units.values() if one > 0),
            "out": -sum(one for one in units.values() if one < 0),
            "on_hand": held["on_hand"],
            "available": held["available"],
            "reserved": held["reserved"],
            "by_kind": units,
        },
        "value": {
            "in": str(sum((one for one in value.values() if one > 0), Decimal(0))),
            "out": str(-sum((one for one in value.values() if one < 0), Decimal(0))),
            "on_hand": held["value_on_hand"],
            "currency": held["currency"],
            "by_kind": {kind: str(one) for kind, one in value.items()},
        },
        "sold": {
            "units": imported["units"],
            "value": imported["value"],
            "charges": imported["planned"]["charges"],
        },
        "ledger_balanced": result.balanced,
        "audit_findings": len(result.findings),
        "findings": [finding.as_dict() for finding in result.findings],
        "rows_refused": imported["rows_refused"],
        "objects": imported["objects"],
        "troubles": imported["troubles"],
        "own_orders": result.own,
        "tenants": sorted(result.balances),
        "foreign_order_status": result.foreign_order_status,
        "addresses": _addresses(settings),
        "phases": result.phases,
        "seconds": round(sum(result.phases.values()), 2),
    }


def show(console: Console, settings: Settings, result: DemoResult, *, stays: bool) -> None:
    """The same for people, and what they can do now when everything stays up."""
    told = as_dict(settings, result)
    invoices = told["invoices"]
    console.print()
    console.print(
        f"{invoices['read']} invoices of {told['file']}: {invoices['orders']} are orders,"
        f" {invoices['deferred']} cancellations wait for returns, {invoices['refused']} refused."
        f" {told['sold']['units']} units sold for {told['sold']['value']}"
        f" {told['value']['currency']}, charges included.",
        highlight=False,
    )
    for row in told["rows_refused"]:
        console.print(
            f"Refused: line {row['line']}, {row['column'] or 'the row'}: {row['reason']}"
            f" ({row['code']})",
            highlight=False,
            markup=False,
        )
    console.print(_orders_table(told))
    console.print(_sum_table(told))
    verdict = "The sum holds" if result.balanced else "THE SUM DOES NOT HOLD"
    console.print(
        f"{verdict}; the audit of every tenant has {told['audit_findings']} findings."
        f" Asking for {GLOBEX[0]}'s order with {ACME[0]}'s key is answered"
        f" {told['foreign_order_status']}.",
        highlight=False,
    )
    for finding in told["findings"]:
        console.print(finding, markup=False)
    seconds = ", ".join(f"{name.replace('_', ' ')} {s} s" for name, s in told["phases"].items())
    console.print(f"Took {told['seconds']} s: {seconds}.", highlight=False)
    if stays:
        _show_next_steps(console, settings, result)


def _orders_table(told: dict[str, Any]) -> Table:
    table = Table("Orders", "Count", title=None)
    for ending, count in told["orders"].items():
        table.add_row(ending.replace("_", " "), str(count))
    return table


def _sum_table(told: dict[str, Any]) -> Table:
    """What came in and went out by kind of movement, which must be what is on hand."""
    units, value = told["units"], told["value"]
    table = Table("What moved", "Units", f"Value {value['currency']}")
    for kind, count in units["by_kind"].items():
        table.add_row(kind.replace("_", " "), f"{count:+d}", value["by_kind"].get(kind, "0"))
    moved = sum(units["by_kind"].values())
    worth = sum((Decimal(one) for one in value["by_kind"].values()), Decimal(0))
    table.add_section()
    table.add_row("together", str(moved), str(worth))
    table.add_row("on hand", str(units["on_hand"]), value["on_hand"])
    return table


def _addresses(settings: Settings) -> dict[str, str | None]:
    url = api_url(settings)
    return {"api": url, "docs": f"{url}/docs", "temporal_ui": addresses(settings).ui_url}


def _show_next_steps(console: Console, settings: Settings, result: DemoResult) -> None:
    where = _addresses(settings)
    key = kept_key(settings, ACME[0])
    url, command = where["api"], _command()
    open_order = next((one for one in result.orders if one["fulfilment"] == "shipped"), None)
    number = (open_order or result.orders[-1])["number"]
    text = f"""
API           {url}
Reference     {where["docs"]}
Temporal UI   {where["temporal_ui"] or "of your own server"}
API key       {key}
              ({ACME[0]}'s, kept in {keys_file(settings)})

Five things to try in another terminal:

  export KEY={key}
  1. How an order came to its end, step by step:
     curl -s {url}/v1/orders/{number}/timeline -H "Authorization: Bearer $KEY"
  2. Deliver that order; send it twice, it happens once:
     curl -s -X POST {url}/v1/orders/{number}/deliver -H "Authorization: Bearer $KEY" \\
       -H "Idempotency-Key: try-1" -H "Content-Type: application/json" -d '{{}}'
  3. Kill the worker and watch it come back with every process where it was:
     kill -9 $({command} status --pid worker) && sleep 2 && {command} status
  4. Check every level against its movements:
     {command} audit --tenant {ACME[0]}
  5. Import a file of your own, or first only look at what it would do:
     {command} import sales FILE.csv --tenant {ACME[0]} --dry-run
"""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _command() -> str:
    """How this very command line is called from here."""
    if shutil.which("stockwright"):
        return "stockwright"
    program = Path(sys.executable).with_name("stockwright")
    here = Path.cwd()
    return str(program.relative_to(here) if program.is_relative_to(here) else program)
