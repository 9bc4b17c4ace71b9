"""The command line. Every command answers on standard output and tells progress on standard error.

Exit codes: 0 done, 1 findings or a failure, 2 wrong usage, 3 not running or unavailable, 4 bad
input, 130 interrupted. With --json the answer is exactly one JSON object, errors included.
"""

import asyncio
import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.table import Table
from sqlalchemy.orm import Session

import cli_audit
import installation
import stack
from client import ApiClient
from db import tenants
from entrance import addresses
from importer.layout import open_sales
from importer.plan import plan_import
from importer.planned import PlanOptions
from importer.report import ImportReport, write_errors
from importer.rows import DateOrder, DecimalMark, ReadOptions
from importer.run import RunOptions, import_sales
from importer.show import show_report
from settings import Settings
from terminal import FAILED, UNAVAILABLE, answering, console, interruptible, meter, tell

app = typer.Typer(
    help="Inventory and order operations as durable processes.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _group(name: str, told: str) -> typer.Typer:
    group = typer.Typer(help=told, no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name=name)
    return group


tenant_app = _group("tenant", "Tenants: the companies that this installation serves.")
key_app = _group("api-key", "Keys with which programs use the API.")
import_app = _group("import", "Bring data of other systems in.")

Json = Annotated[bool, typer.Option("--json", help="Answer with exactly one JSON object.")]
TenantSlug = Annotated[str | None, typer.Option("--tenant", help="Short name of a tenant.")]


def _example(*lines: str) -> str:
    # The mark keeps the lines as they are.
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


@app.command(epilog=_example("stockwright up", "stockwright up --foreground"))
def up(
    foreground: Annotated[
        bool, typer.Option(help="Stay until Ctrl-C, then stop everything.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start PostgreSQL, Temporal, worker and API. Repeating it completes what is missing."""
    with answering(as_json), meter() as told:
        settings = Settings()
        if not foreground:
            _print_up(settings, fresh=installation.up(settings, told.say), as_json=as_json)
            return
        with interruptible(), installation.running(settings, told.say) as fresh:
            _print_up(settings, fresh=fresh, as_json=as_json)
            with suppress(KeyboardInterrupt):
                installation.stay(settings)


def _print_up(settings: Settings, *, fresh: bool, as_json: bool) -> None:
    asyncio.run(installation.keep_histories(settings))
    url = installation.api_url(settings)
    where = {"api": url, "docs": f"{url}/docs", "temporal_ui": addresses(settings).ui_url}
    said = "Stockwright is up." if fresh else "Stockwright was up already on this data folder."
    tell(
        as_json,
        {"started": fresh, "data_dir": str(settings.data_dir.resolve()), "addresses": where},
        f"{said}\n" + "\n".join(f"{name:<12} {value or '-'}" for name, value in where.items()),
    )


@app.command(epilog=_example("stockwright down"))
def down(as_json: Json = False) -> None:
    """Stop everything of this data folder. The data stays."""
    with answering(as_json):
        ran = stack.stop(Settings().data_dir)
        tell(as_json, {"stopped": ran}, "Stopped." if ran else "Nothing was running.")


@app.command(epilog=_example("stockwright status", "kill -9 $(stockwright status --pid worker)"))
def status(
    pid: Annotated[str | None, typer.Option(help="Print only the pid of this service.")] = None,
    as_json: Json = False,
) -> None:
    """Tell what runs; exit code 3 when nothing does, 1 when something is not healthy."""
    with answering(as_json):
        found = stack.status(Settings().data_dir)
        if pid is not None:
            service = found.service(pid)
            if service is None or service.pid is None:
                raise stack.StackError(f"No service {pid!r} is running.")
            typer.echo(service.pid)
            return
        table = Table("Service", "State", "Pid", "Restarts", "Address", "Log")
        for one in found.services:
            row = (one.name, one.state, one.pid, one.restarts, one.address, one.log_file)
            table.add_row(*("-" if value is None else str(value) for value in row))
        said = table if found.running else "Nothing runs on this data folder."
        tell(as_json, found.model_dump(mode="json") | {"healthy": found.healthy}, said)
        if not found.running:
            raise typer.Exit(UNAVAILABLE)
        if not found.healthy:
            raise typer.Exit(FAILED)


@app.command(epilog=_example("stockwright doctor"))
def doctor(as_json: Json = False) -> None:
    """Look at what a start needs and change nothing; each problem comes with its fix."""
    with answering(as_json):
        findings = stack.doctor(Settings())
        good = all(one.ok for one in findings)
        lines = [
            f"{'ok ' if one.ok else 'BAD'} {one.name}: {one.detail}"
            + (f"\n    {one.fix}" if one.fix else "")
            for one in findings
        ]
        document = {"ok": good, "findings": [one.model_dump(mode="json") for one in findings]}
        tell(as_json, document, "\n".join(lines))
        if not good:
            raise typer.Exit(FAILED)


@app.command(epilog=_example("stockwright worker"))
def worker() -> None:
    """Run one worker in the foreground; `up` runs one by itself."""
    from worker import main as run  # noqa: PLC0415  Costs a second that other commands save.

    run()


@app.command(epilog=_example("stockwright api"))
def api() -> None:
    """Run one API server in the foreground; `up` runs one by itself."""
    from api.__main__ import main as run  # noqa: PLC0415  As above.

    run()


@tenant_app.command("create", epilog=_example("stockwright tenant create acme --currency GBP"))
def tenant_create(
    slug: Annotated[str, typer.Argument(help="Short name: lower-case letters and digits.")],
    name: Annotated[str | None, typer.Option(help="Full name; default: the short one.")] = None,
    currency: Annotated[str, typer.Option(help="ISO 4217 code.")] = "EUR",
    time_zone: Annotated[str, typer.Option(help="IANA zone of its business days.")] = "UTC",
    as_json: Json = False,
) -> None:
    """Make a tenant."""
    with answering(as_json), installation.maint(Settings()) as engine:
        with Session(engine) as session, session.begin():
            made = tenants.create_tenant(
                session, slug=slug, name=name or slug, currency=currency, time_zone=time_zone
            )
            tenant_id = str(made.id)
        document = {"id": tenant_id, "slug": slug, "currency": currency, "time_zone": time_zone}
        tell(as_json, document, f"Made tenant {slug}.")


@key_app.command("create", epilog=_example("stockwright api-key create --tenant acme --name till"))
def key_create(
    tenant: Annotated[str, typer.Option(help="Short name of the tenant.")],
    name: Annotated[str, typer.Option(help="Who uses it.")],
    role: Annotated[str, typer.Option(help="admin, manager, sales, warehouse, viewer.")] = "admin",
    as_json: Json = False,
) -> None:
    """Make an API key and print it: it is shown this once and kept nowhere."""
    with answering(as_json), installation.maint(Settings()) as engine:
        key = installation.create_api_key(engine, tenant, name, role)
        tell(as_json, {"tenant": tenant, "name": name, "role": role, "key": key}, key)


@import_app.command(
    "sales",
    epilog=_example(
        "stockwright import sales sales.csv --tenant acme --dry-run",
        "stockwright import sales verkauf.csv --tenant acme --delimiter ';' --decimal comma",
    ),
)
def import_sales_file(
    file: Annotated[Path, typer.Argument(help="A CSV file in the Online Retail layout.")],
    *,
    tenant: TenantSlug = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Post nothing.")] = False,
    date_order: Annotated[DateOrder | None, typer.Option(help="Default: found out.")] = None,
    decimal: Annotated[DecimalMark | None, typer.Option(help="Default: found out.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="One of , ; tab |.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Default: found out.")] = None,
    time_zone: Annotated[str, typer.Option(help="In which the file's times are.")] = (
        "Europe/London"
    ),
    source: Annotated[
        str, typer.Option(help="Name of the system that wrote it: part of every key.")
    ] = "online-retail",
    warehouse: Annotated[str | None, typer.Option(help="Its code; default: the default.")] = None,
    errors: Annotated[Path | None, typer.Option(help="Write refused rows as CSV here.")] = None,
    url: Annotated[str | None, typer.Option(envvar="STOCKWRIGHT_URL", help="Another API.")] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="STOCKWRIGHT_API_KEY", help="Instead of --tenant.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring past sales in: customers, products, opening stock, one order an invoice.

    The same file again changes nothing; after an interruption it goes on where it stopped.
    """
    with answering(as_json):
        mark = "\t" if delimiter == "tab" else delimiter
        reader = open_sales(file, ReadOptions(encoding, mark, decimal, date_order))
        plan = plan_import(reader, PlanOptions(time_zone=time_zone, source=source))
        if dry_run:
            report = ImportReport(plan, dry_run=True)
        else:
            settings = Settings()
            if api_key is None:
                if tenant is None:
                    raise typer.BadParameter("Say whose sales these are: --tenant or --api-key.")
                api_key = installation.kept_key(settings, tenant)
            with (
                ApiClient(url or installation.api_url(settings), api_key) as client,
                meter() as told,
            ):
                report = import_sales(client, plan, RunOptions(warehouse), told)
        if errors is not None:
            write_errors(report, errors)
        tell(as_json, report.as_dict(), lambda: show_report(console(), report))
        if not dry_run and not report.complete:
            raise typer.Exit(FAILED)


@app.command(epilog=_example("stockwright demo", "stockwright demo --import sales.csv --exit"))
def demo(
    file: Annotated[Path | None, typer.Option("--import", help="Instead of the sample.")] = None,
    leave: Annotated[bool, typer.Option("--exit", help="Stop what it started and end.")] = False,
    as_json: Json = False,
) -> None:
    """Show everything on two demo tenants, check the books, and stay up until Ctrl-C."""
    from demo.run import run_demo  # noqa: PLC0415  Other commands need none of it.
    from demo.summary import as_dict, show  # noqa: PLC0415  As above.

    with answering(as_json), interruptible():
        settings = Settings()
        with meter() as told, installation.running(settings, told.say):
            asyncio.run(installation.keep_histories(settings))
            result = run_demo(settings, file, told)
            # From here on Ctrl-C is the end that was asked for.
            with suppress(KeyboardInterrupt):
                tell(
                    as_json,
                    as_dict(settings, result),
                    lambda: show(console(), settings, result, stays=not leave),
                )
                if not leave:
                    told.say("Everything stays up until Ctrl-C.")
                    installation.stay(settings)
        if not result.good:
            raise typer.Exit(FAILED)


app.command(
    "audit",
    epilog=_example(
        "stockwright audit --tenant acme",
        "stockwright audit --correct LEVEL --keep ledger --signed-by 'Ada King' --reason 'counted'",
    ),
)(cli_audit.audit_books)


@app.command(epilog=_example("stockwright events --tenant acme", "stockwright events --follow"))
def events(
    tenant: TenantSlug = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until Ctrl-C.")] = False,
    after: Annotated[int, typer.Option(help="Only facts behind this position.")] = 0,
    name: Annotated[
        str | None, typer.Option(help="Go on where the reader of this name stopped.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print every fact in order. With --json it is one JSON object a line."""
    with answering(as_json), interruptible():
        settings = Settings()
        for fact in installation.facts_of(settings, tenant, name=name, after=after, follow=follow):
            document = asdict(fact)
            typer.echo(
                json.dumps(document, default=str, separators=(",", ":"))
                if as_json
                else f"{fact.position:>8} {fact.recorded_at:%Y-%m-%d %H:%M:%S} {fact.kind}"
                f" {fact.subject_kind} {fact.subject_id} by {fact.actor}"
            )


@app.command(epilog=_example("stockwright version"))
def version(as_json: Json = False) -> None:
    """Print the version."""
    try:
        number = package_version("stockwright")
    except PackageNotFoundError:
        number = "0+unknown"
    tell(as_json, {"version": number}, number)


def main() -> NoReturn:
    """``stockwright``; leaves without the interpreter's own end, which Temporal's client can abort.

    See docs/decisions: the answer is flushed, and everything that was started has been stopped.
    """
    code = 0
    try:
        app()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
