"""Shows a report of an import to people: a few sentences, then tables of what needs a look."""

from rich.console import Console
from rich.table import Table

from importer.report import OUTCOMES, ImportReport

_ROWS_SHOWN = 50


def show_report(console: Console, report: ImportReport) -> None:
    """Everything that was counted; long lists are cut, the error file and JSON have them whole."""
    told = report.as_dict()
    file, rows, invoices = told["file"], told["rows"], told["invoices"]
    console.print(
        f"Read {rows['read']} rows ({file['encoding']}, {file['delimiter']!r} between fields,"
        f" decimal {file['decimal']}, dates {file['date_order'].replace('_', ' ')}):"
        f" {rows['sold']} sold, {rows['charges']} charges, {rows['deferred']} of cancellations,"
        f" {rows['refused']} refused, {rows['blank']} blank.",
        highlight=False,
    )
    console.print(
        f"{invoices['read']} invoices: {invoices['orders']}"
        f" {'would be' if report.dry_run else 'are'} orders, {invoices['deferred']} cancellations"
        f" wait for returns, {invoices['refused']} refused.",
        highlight=False,
    )
    if report.dry_run:
        planned = told["planned"]
        console.print(
            f"{planned['units']} units for {planned['value']}, {planned['charges']} of charges,"
            f" {planned['products']} products, {planned['customers']} customers."
            " Nothing was posted.",
            highlight=False,
        )
    else:
        console.print(_objects(report))
        states = ", ".join(f"{count} {state}" for state, count in told["orders"].items())
        console.print(
            f"Orders: {states or 'none'}; {told['units']} units, {told['value']} with charges;"
            f" {told['seconds']} s, {told['orders_per_second']} orders a second.",
            highlight=False,
        )
    for note in told["notes"]:
        times = f" ({note['count']} times)" if note["count"] > 1 else ""
        console.print(f"Note: {note['text']}{times}", highlight=False, markup=False)
    _show_refused(console, report)


def _objects(report: ImportReport) -> Table:
    table = Table("", *(name.replace("_", " ") for name in OUTCOMES))
    for kind, counts in report.counts.items():
        table.add_row(f"{kind}s", *(str(counts[outcome]) for outcome in OUTCOMES))
    return table


def _show_refused(console: Console, report: ImportReport) -> None:
    rows, troubles = report.plan.refused_rows, report.troubles
    if rows:
        table = Table("Line", "Column", "Code", "Reason", "Value", title="Rows refused")
        for row in rows[:_ROWS_SHOWN]:
            table.add_row(str(row.line), row.column, row.code, row.reason, repr(row.value))
        console.print(table, markup=False)
    if troubles:
        table = Table("What", "Outcome", "Code", "Detail", title="Not posted as the file has it")
        for one in troubles[:_ROWS_SHOWN]:
            table.add_row(f"{one.kind} {one.name}", one.outcome, one.code, one.detail)
        console.print(table, markup=False)
    hidden = max(len(rows) - _ROWS_SHOWN, 0) + max(len(troubles) - _ROWS_SHOWN, 0)
    if hidden:
        console.print(f"… and {hidden} more; --errors FILE writes all of them.", highlight=False)
