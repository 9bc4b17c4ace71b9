"""The demo: two tenants, an import, orders driven to every kind of end, and the books checked."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from client import ApiClient, ClientError
from db import tenants
from db.audit import Finding, audit, balance
from demo.endings import drive, own_orders, wait_for_expiry
from demo.sample import write_sample
from demo.shop import MAIN, Goods, Shop
from importer.layout import open_sales
from importer.meter import Meter
from importer.plan import plan_import
from importer.planned import ImportPlan, PlanOptions
from importer.report import ImportReport
from importer.run import WORKERS, RunOptions, each, import_sales
from installation import api_url, find_tenant, kept_key, maint
from settings import Settings

#: The published file is in pounds and London time; the demo's own sample follows it.
ACME = ("acme", "Acme Homewares", "GBP", "Europe/London")
GLOBEX = ("globex", "Globex Werkzeuge", "EUR", "Europe/Berlin")
_DRILL = Goods("DRILL-18V", "Cordless drill 18 V", price="129.00", cost="81.50", units=12)


@dataclass(slots=True)
class DemoResult:
    """Everything that the summary tells; ``phases`` are seconds."""

    report: ImportReport
    file: str
    own: dict[str, str] = field(default_factory=dict)
    orders: list[dict[str, Any]] = field(default_factory=list)
    balances: dict[str, dict[str, Any]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    foreign_order_status: int = 0
    phases: dict[str, float] = field(default_factory=dict)

    @property
    def balanced(self) -> bool:
        """Whether what came in is what is there and what left, for every tenant of the demo."""
        return bool(self.balances) and all(one["balanced"] for one in self.balances.values())

    @property
    def good(self) -> bool:
        """Whether the demo proved what it is there to prove."""
        accounted = bool(self.report.invoices["accounted"])
        return self.balanced and accounted and not self.findings


class _Phases:
    """Seconds by name of what was done."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def ended(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = round(now - self._last, 2)
        self._last = now


def run_demo(settings: Settings, file: Path | None, meter: Meter) -> DemoResult:
    """Tell the whole story on a running installation; repeating it changes nothing.

    Raises:
        SalesFileError: the file can't be read.
        ClientError: the API can't be reached; start again to continue.
    """
    phases = _Phases()
    plan, name = _plan(settings, file)
    for tenant in (ACME, GLOBEX):
        _ensure_tenant(settings, tenant)
    with (
        ApiClient(api_url(settings), kept_key(settings, ACME[0])) as acme,
        ApiClient(api_url(settings), kept_key(settings, GLOBEX[0])) as globex,
    ):
        shop = Shop(acme)
        shop.open()
        phases.ended("prepare")
        report = import_sales(acme, plan, RunOptions(warehouse=MAIN), meter)
        phases.ended("import")
        result = DemoResult(report, name)
        meter.say("Orders that end otherwise: cancelled, expired, refused")
        result.own = own_orders(shop)
        result.foreign_order_status = _other_tenant(acme, Shop(globex))
        phases.ended("own_orders")
        _drive(shop, report, meter)
        phases.ended("orders")
        wait_for_expiry(shop, result.own)
        result.orders = list(acme.items("/v1/orders"))
    _check_books(settings, result)
    phases.ended("check")
    result.phases = phases.seconds
    return result


def _plan(settings: Settings, file: Path | None) -> tuple[ImportPlan, str]:
    if file is not None:
        return plan_import(open_sales(file)), str(file)
    sample = settings.data_dir / "demo-sales.csv"
    write_sample(sample)
    # A source of its own: its invoices are never taken for those of a real file.
    return plan_import(open_sales(sample), PlanOptions(source="demo-sample")), sample.name


def _ensure_tenant(settings: Settings, wanted: tuple[str, str, str, str]) -> None:
    slug, name, currency, time_zone = wanted
    with maint(settings) as engine, Session(engine) as session, session.begin():
        if find_tenant(session, slug) is None:
            tenants.create_tenant(
                session, slug=slug, name=name, currency=currency, time_zone=time_zone
            )


def _other_tenant(acme: ApiClient, globex: Shop) -> int:
    """Give the second tenant stock and an order; how the first one is answered when it asks."""
    globex.open()
    customer = globex.customer("G-1", "Werkstatt Nord")
    number = globex.order("first order", customer, globex.stock(_DRILL), 2)
    foreign = globex.read(number)["id"]
    try:
        acme.get(f"/v1/orders/{foreign}")
    except ClientError as error:
        return error.status
    return 200


def _drive(shop: Shop, report: ImportReport, meter: Meter) -> None:
    meter.begin("Orders to their ends", len(report.orders))
    for _ in each(report.orders, lambda one: drive(shop, one.place, one.order), WORKERS):
        meter.step()


def _check_books(settings: Settings, result: DemoResult) -> None:
    with maint(settings) as engine:
        for slug in (ACME[0], GLOBEX[0]):
            with Session(engine) as session:
                tenant = find_tenant(session, slug)
                if tenant is not None:
                    held = balance(session, tenant.id)
                    result.balances[slug] = held | {"currency": tenant.currency}
        result.findings = audit(engine)
