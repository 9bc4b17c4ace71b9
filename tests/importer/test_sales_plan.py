"""A plan follows the rules of the import and accounts for every row and invoice."""

import dataclasses
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from pathlib import Path

import pytest

from importer.accounts import EXACT
from importer.charges import charge_name
from importer.layout import SalesFileError, open_sales, read_sales
from importer.plan import (
    Charge,
    Customer,
    ImportPlan,
    PlannedLine,
    PlanOptions,
    Product,
    RefusedInvoice,
    account,
    plan_import,
)

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
SAMPLE = Path(__file__).parents[2].parent / "shared/data/online-retail-sample.csv"

Plan = Callable[..., ImportPlan]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Plan rows given as `invoice code quantity price customer`, the rest being ordinary."""

    def write_and_plan(
        rows: Iterable[str], options: PlanOptions = PlanOptions(), date: str = "2011-01-13 10:00"
    ) -> ImportPlan:
        lines = [HEADER]
        for row in rows:
            if row.count(",") == 7 or not row:
                lines.append(row)
                continue
            invoice, code, quantity, price, customer = row.split(" ")
            lines.append(f"{invoice},{code},THING {code},{quantity},{date},{price},{customer},UK")
        path = tmp_path / "sales.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        made = plan_import(open_sales(path), options)
        account(made)
        assert made == plan_import(read_sales(path), options)
        return made

    return write_and_plan


def notes_of(made: ImportPlan) -> dict[str, int]:
    return {note.code: note.count for note in made.notes}


def refused_of(made: ImportPlan) -> list[tuple[int, str]]:
    return [(row.line, row.code) for row in made.refused_rows]


@pytest.mark.skipif(not SAMPLE.exists(), reason=f"the public sample is not at {SAMPLE}")
def test_the_public_sample() -> None:
    made = plan_import(open_sales(SAMPLE))

    assert account(made) == {
        "lines_read": 999,
        "blank_lines": 0,
        "usable_lines": 987,
        "charge_lines": 2,
        "deferred_lines": 10,
        "refused_lines": 0,
        "invoices": 66,
        "orders": 62,
        "deferred_invoices": 4,
        "refused_invoices": 0,
        "units": 12919,
        "value": Decimal("24633.88"),
        "charge_value": Decimal(69),
        "customers": 47,
        "articles": 584,
        "opening_units": 12919,
    }
    assert notes_of(made) == {"date_order_ambiguous": 56, "price_zero": 1, "customer_guest": 1}
    assert made.orders[0].number == "536365"
    assert made.orders[0].occurred_at == datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
    assert {opening.occurred_at for opening in made.openings} == {
        datetime(2010, 11, 30, tzinfo=UTC)
    }


def test_an_order_keeps_its_lines_and_charges_in_file_order(plan: Plan) -> None:
    made = plan(["1 A1 2 1.50 7", "1 post 3 18 7", "1 B1 1 2 7", "1 A1 4 1.25 7"])

    (order,) = made.orders
    assert (order.number, order.customer) == ("1", "7")
    assert order.lines == (
        PlannedLine("A1", 2, Decimal("1.5"), 2),
        PlannedLine("B1", 1, Decimal(2), 4),
        PlannedLine("A1", 4, Decimal("1.25"), 5),
    )
    assert order.charges == (Charge("POST", "THING post", Decimal(54), 3),)
    assert (made.totals.units, made.totals.value) == (7, Decimal("10.00"))
    assert made.totals.charge_value == 54


def test_invoices_that_are_no_sales(plan: Plan) -> None:
    made = plan(
        [
            "C1 A1 -2 1 7",
            "c2 D -1 27.5 7",
            "C3 A1 0 1 7",
            "A4 B 1 11062.06 7",
            "5 POST 1 18 7",
            "6 A1 -3 0 7",
            "7 A1 0 1 7",
            "8 A1 x 1 7",
            "9 A1 1 1 7",
        ]
    )

    assert [order.number for order in made.orders] == ["9"]
    assert [invoice.number for invoice in made.deferred] == ["C1", "C2"]
    assert made.deferred[0].lines == (PlannedLine("A1", -2, Decimal(1), 2),)
    assert [(item.number, item.code) for item in made.refused_invoices] == [
        ("C3", "no_usable_line"),
        ("A4", "bad_debt_adjustment"),
        ("5", "no_usable_line"),
        ("6", "no_usable_line"),
        ("7", "no_usable_line"),
        ("8", "no_usable_line"),
    ]
    assert refused_of(made) == [
        (4, "quantity_zero"),
        (5, "bad_debt_adjustment"),
        (6, "charge_without_goods"),
        (7, "adjustment_without_invoice"),
        (8, "quantity_zero"),
        (9, "quantity_invalid"),
    ]


def test_bad_rows_leave_the_rest_of_their_invoice(plan: Plan) -> None:
    made = plan(["1 A1 2 1 7", "1 A1 -1 1 7", "", "1 B1 x 1 7", "broken,,,,,,,", "1 B1 3 1 7"])

    assert [line.source_line for line in made.orders[0].lines] == [2, 7]
    assert refused_of(made) == [
        (3, "adjustment_without_invoice"),
        (5, "quantity_invalid"),
        (6, "code_empty"),
    ]
    assert made.totals.blank_lines == 1
    assert made.refused_invoices == (
        RefusedInvoice(
            "BROKEN", "no_usable_line", "The invoice has no line that can be sold.", 6, 1
        ),
    )


@pytest.mark.parametrize(
    "code",
    ["POST", "DOT", "D", "M", "m", "C2", "bank charges", "BANK  CHARGES", "CRUK", "PADS",
     "AMAZONFEE", "S", "B", "gift_0001_20", "TEST001", "ADJUST", "adjust2"],
)  # fmt: skip
def test_codes_that_are_charges(code: str) -> None:
    assert charge_name(code)


@pytest.mark.parametrize("code", ["85123A", "DCGS0076", "15056BL", "SP1002", "MUG", "C22"])
def test_codes_that_are_articles(code: str) -> None:
    assert charge_name(code) is None


def test_a_charge_without_description_gets_its_name(plan: Plan) -> None:
    made = plan(["1 A1 1 1 7", "1,POST,,2,2011-01-13 10:00,0.335,7,UK"])

    assert made.orders[0].charges == (Charge("POST", "Postage", Decimal("0.670"), 3),)


def test_an_article_takes_its_most_frequent_name_and_price(plan: Plan) -> None:
    rows = ["1,85123a,?,1,2011-01-13,9,7,UK"]
    rows += ["1,85123A,HEART   HOLDER,1,2011-01-13,2,7,UK"] * 2
    rows += ["1,85123A,CREAM HOLDER,1,2011-01-13,3,7,UK"] * 2
    rows += ["1,85123A,,1,2011-01-13,0,7,UK"] * 3
    rows += ["1,X9,,5,2011-01-13,0,7,UK"]

    made = plan(rows)

    assert made.products == (
        Product("85123A", "HEART HOLDER", Decimal(2)),
        Product("X9", "X9", Decimal(0)),
    )
    assert [(item.sku, item.units, item.unit_cost) for item in made.openings] == [
        # The median of 2, 2, 3, 3, 9 is 3; gifts have no say in it.
        ("85123A", 8, Decimal("1.800000")),
        ("X9", 5, Decimal(0)),
    ]
    assert notes_of(made) == {
        "price_zero": 4,
        "sku_spellings": 1,
        "article_unnamed": 1,
        "article_unpriced": 1,
    }


@pytest.mark.parametrize(
    ("prices", "ratio", "cost"),
    [
        (["1", "2"], "0.60", "0.9"),
        (["0.000001"], "0.5", "0.000000"),
        (["0.000003"], "0.5", "0.000002"),
        (["0.000005"], "0.5", "0.000002"),
        (["3", "1", "2", "10"], "1", "2.5"),
        (["999999999999.999999"], "1", "999999999999.999999"),
    ],
)
def test_the_opening_cost_is_exact_and_rounds_half_to_even(
    plan: Plan, prices: list[str], ratio: str, cost: str
) -> None:
    with localcontext() as context:
        # What the caller does to decimals must not matter.
        context.prec = 3
        made = plan(
            [f"{number} A1 1 {price} 7" for number, price in enumerate(prices)],
            PlanOptions(cost_ratio=Decimal(ratio)),
        )

    assert made.openings[0].unit_cost == Decimal(cost)
    assert made.openings[0].unit_cost.as_tuple().exponent == -6


def test_the_largest_amounts_stay_exact(plan: Plan) -> None:
    made = plan([f"1 A1 {2**53} 999999999999.999999 7"] * 3)

    # In whole millionths, which integers hold exactly.
    assert int(made.totals.value.scaleb(6, EXACT)) == 3 * 2**53 * 999_999_999_999_999_999


def test_openings_may_hold_more_than_is_sold(plan: Plan) -> None:
    options = PlanOptions(opening_factor=Decimal("1.25"), extra_units=10)

    made = plan(["1 A1 5 1 7", "1 B1 4 1 7"], options)

    assert [(item.units, item.sold) for item in made.openings] == [(17, 5), (15, 4)]


def test_one_invoice_number_is_one_order_wherever_its_rows_stand(plan: Plan) -> None:
    made = plan(
        [
            "x1,A1,A,1,2011-01-14 10:00,1,,",
            "2,A1,A,1,2011-01-13 10:00,1,8,France",
            "X1,A1,A,2,2011-01-14 10:01,1,9,Spain",
            "3,A1,A,1,2011-01-15 10:00,1,8,Spain",
            "4,A1,A,1,2011-01-16 10:00,1,,Norway",
        ]
    )

    assert [order.number for order in made.orders] == ["2", "X1", "3", "4"]
    late = made.orders[1]
    assert (late.customer, late.occurred_at) == ("guest", datetime(2011, 1, 14, 10, tzinfo=UTC))
    assert [line.quantity for line in late.lines] == [1, 2]
    assert made.customers == (Customer("guest", "Norway"), Customer("8", "France"))
    assert notes_of(made) == {
        "customer_guest": 2,
        "invoice_customers": 1,
        "invoice_times": 1,
        "customer_countries": 1,
    }


@pytest.mark.parametrize(
    ("zone", "local", "instant", "note"),
    [
        ("Europe/London", "2011-07-01 10:00", "2011-07-01T09:00", None),
        ("Europe/London", "2011-03-27 01:30", "2011-03-27T01:30", "clock_gap"),
        ("Europe/London", "2011-10-30 01:30", "2011-10-30T00:30", "clock_fold"),
        ("Asia/Kolkata", "2011-07-01 00:10", "2011-06-30T18:40", None),
        ("UTC", "2011-03-27 01:30", "2011-03-27T01:30", None),
    ],
)
def test_business_time_is_meant_in_the_tenants_zone(
    plan: Plan, zone: str, local: str, instant: str, note: str | None
) -> None:
    made = plan(["1 A1 1 1 7"], PlanOptions(time_zone=zone), local)

    assert made.orders[0].occurred_at == datetime.fromisoformat(f"{instant}+00:00")
    assert made.orders[0].occurred_at.tzinfo is UTC
    assert list(notes_of(made)) == ([] if note is None else [note])


def test_openings_come_a_day_before_the_first_business_day(plan: Plan) -> None:
    made = plan(
        ["1,A1,A,1,2011-07-02 10:00,1,7,UK", "C2,A1,A,-1,2011-07-01 10:00,1,7,UK"],
    )

    assert made.openings[0].occurred_at == datetime(2011, 6, 29, 23, tzinfo=UTC)


def test_keys_name_the_object_and_survive_any_code(plan: Plan) -> None:
    made = plan(["1 A1 1 1 7"], PlanOptions(source="shop two"))

    assert made.key_of("order", "536365") == "import/shop%20two/order/536365"
    assert made.key_of("product", "Ä/1") == "import/shop%20two/product/%C3%84%2F1"
    assert plan(["1 A1 1 1 7"]).key_of("order", "1") == "import/online-retail/order/1"


def test_a_file_without_rows_plans_nothing(plan: Plan) -> None:
    made = plan([])

    assert set(account(made).values()) == {0}
    assert [*made.openings, *made.orders, *made.customers, *made.notes] == []
    assert len(made.sha256) == 64


@pytest.mark.parametrize(
    "options",
    [
        PlanOptions(time_zone="Mars/Olympus"),
        PlanOptions(time_zone=""),
        PlanOptions(time_zone="../etc"),
        PlanOptions(cost_ratio=Decimal("NaN")),
        PlanOptions(cost_ratio=Decimal(-1)),
        PlanOptions(opening_factor=Decimal("Infinity")),
        PlanOptions(extra_units=-1),
        PlanOptions(source=" "),
    ],
)
def test_options_out_of_range_are_refused(plan: Plan, options: PlanOptions) -> None:
    with pytest.raises(SalesFileError) as caught:
        plan(["1 A1 1 1 7"], options)

    assert caught.value.code == "option_invalid"


def test_account_notices_a_plan_that_was_tampered_with(plan: Plan) -> None:
    made = plan(["1 A1 1 1 7", "2 B1 1 1 8", "C3 A1 -1 1 7", "4 A1 0 1 7"])
    wrong = [
        dataclasses.replace(made, orders=made.orders[1:]),
        dataclasses.replace(made, orders=(made.orders[0], made.orders[0])),
        dataclasses.replace(made, deferred=()),
        dataclasses.replace(made, refused_rows=()),
        dataclasses.replace(made, refused_invoices=()),
        dataclasses.replace(made, products=made.products[1:]),
        dataclasses.replace(made, products=made.products + made.products),
        dataclasses.replace(made, openings=made.openings[1:]),
        dataclasses.replace(made, customers=()),
        dataclasses.replace(made, totals=dataclasses.replace(made.totals, lines_read=5)),
        dataclasses.replace(made, totals=dataclasses.replace(made.totals, invoices=3)),
        dataclasses.replace(made, totals=dataclasses.replace(made.totals, value=Decimal(3))),
    ]

    for changed in wrong:
        with pytest.raises(SalesFileError) as caught:
            account(changed)
        assert caught.value.code == "accounts_differ"
