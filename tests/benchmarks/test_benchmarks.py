"""The bench in short: every contender does the work that its figures are for, however fast."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from psycopg.rows import dict_row

import stack
from benchmarks import growth, hot, orders, over_http
from benchmarks.baselines import connect
from benchmarks.contenders import UnequalWork, compare, nothing, proven
from benchmarks.copying import copying
from benchmarks.lab import STOCK, Lab, Rows, make_lab
from benchmarks.measure import Round
from benchmarks.plot import draw
from benchmarks.report import Goal, best, rate, ratios, summary, table
from entrance import addresses
from settings import Settings

if TYPE_CHECKING:
    from tests.conftest import Database

SHORT = 0.2
_TABLES = ("postings", "stock_movements", "operations", "reservations")


@pytest.fixture
def lab(own_database: "Database", settings: Settings) -> Lab:
    """A tenant with a few levels."""
    return make_lab(addresses(settings), own_database.name, 12)


@pytest.fixture
def postmaster(settings: Settings) -> int:
    """The process id of the run's PostgreSQL."""
    service = stack.status(settings.data_dir).service("postgres")
    assert service is not None
    assert service.pid is not None
    return service.pid


def filled_columns(lab: Lab) -> dict[str, set[str]]:
    """Of the tenant's newest row in each table, which columns hold something."""
    with lab.admin() as admin:
        cursor = admin.cursor(row_factory=dict_row)
        found = {}
        for name in _TABLES:
            order = "created_at" if name == "operations" else "id"
            cursor.execute(
                f"SELECT * FROM {name} WHERE tenant_id = %s ORDER BY {order} DESC LIMIT 1",  # noqa: S608
                (lab.tenant,),
            )
            row = cursor.fetchone()
            assert row is not None, name
            found[name] = {column for column, value in row.items() if value is not None}
    return found


def ways_of_writing(lab: Lab) -> list[tuple[Any, ...]]:
    """How the tenant's reserves were written: one row, unless some were written otherwise."""
    with lab.admin() as admin:
        return admin.execute(
            "SELECT DISTINCT o.source, o.state, o.status, length(o.fingerprint), m.kind,"
            " m.available_change + r.quantity, m.reserved_change - r.quantity, r.quantity - r.open,"
            " m.value_change, m.created_by, m.business_date, r.line >= 1, p.facts >= m.ordinal"
            " FROM reservations r JOIN stock_movements m USING (tenant_id, operation_id, level_id)"
            " JOIN operations o ON o.tenant_id = m.tenant_id AND o.id = m.operation_id"
            " JOIN postings p ON p.id = m.posting_id WHERE r.tenant_id = %s",
            (lab.tenant,),
        ).fetchall()


def newest_answers(lab: Lab, count: int) -> list[dict[str, Any]]:
    """What was answered last."""
    with lab.admin() as admin:
        rows = admin.execute(
            "SELECT answer FROM operations WHERE tenant_id = %s ORDER BY created_at DESC LIMIT %s",
            (lab.tenant, count),
        )
        return [json.loads(row[0]) for row in rows]


def members(answers: Sequence[dict[str, Any]]) -> set[tuple[str, ...]]:
    """The names in answers and in their movements, in order."""
    return {(*answer, *(name for m in answer["movements"] for name in m)) for answer in answers}


def test_all_who_reserve_one_unit_write_the_same(lab: Lab, postmaster: int) -> None:
    labs = [lab, *(lab.neighbour() for _ in range(3))]
    with lab.writer() as post:
        contenders = [
            hot.batch_writer(lab, post, 8, lab.levels[:1], postmaster),
            hot.baseline(labs[1], "naive", 3, labs[1].levels[:1], postmaster),
            hot.baseline(labs[2], "single", 4, labs[2].levels[:1], postmaster),
            copying(labs[3], 16, postmaster),
        ]
        # Each proves that a command is an operation, a movement and a reservation.
        done = [proven(contender, SHORT) for contender in contenders]
        on_many = hot.batch_writer(lab, post, 8, lab.levels, postmaster)
        assert proven(on_many, SHORT).commands > 0
    assert all(one.commands > 0 and one.lines == one.commands for one in done)
    assert lab.findings() == []
    columns = [filled_columns(one) for one in labs]
    assert columns[1:] == columns[:1] * 3
    ways = [ways_of_writing(one) for one in labs]
    assert len(ways[0]) == 1
    assert ways[1:] == ways[:1] * 3
    answers = [newest_answers(one, 5) for one in labs]
    assert len({frozenset(members(some)) for some in answers}) == 1
    sizes = [len(json.dumps(some)) / len(some) for some in answers]
    assert max(sizes) / min(sizes) < 1.05


def test_orders_are_the_same_work_for_row_locks_and_the_writer(lab: Lab, postmaster: int) -> None:
    theirs = lab.neighbour()
    drawn = orders.draw_orders(theirs.levels, 200)
    assert {len(order) for order in drawn} == set(range(1, orders.LINES_MAX + 1))
    assert all(len({line.level for line in order}) == len(order) for order in drawn)
    wanted = [line.level for order in drawn for line in order]
    assert wanted.count(theirs.levels[0]) > 1.5 * wanted.count(theirs.levels[-1])
    locks = orders.row_locks(theirs, 4, drawn, postmaster)
    done = proven(locks, SHORT)
    assert done.lines > done.commands
    with lab.writer() as post:
        ours = orders.draw_orders(lab.levels, 200)
        done = proven(orders.batch_writer(lab, post, 8, ours, postmaster), SHORT)
        assert done.lines > done.commands
    assert lab.findings() == []
    assert filled_columns(lab) == filled_columns(theirs)
    assert len(ways_of_writing(lab)) == 1
    assert ways_of_writing(lab) == ways_of_writing(theirs)
    answers = newest_answers(lab, 20), newest_answers(theirs, 20)
    names = [{(m[:3], m[3:17]) for m in members(some)} for some in answers]
    assert names[0] == names[1]


def test_row_locks_refuse_an_order_as_a_whole(lab: Lab) -> None:
    enough, short = lab.levels[:2]
    order = (orders.OrderLine(enough, 1), orders.OrderLine(short, STOCK + 1))
    before = lab.rows()
    with connect(lab) as conn:
        assert not orders.reserve_with_row_locks(conn, lab, "k1", order, "somebody")
        assert lab.rows().since(before) == Rows(1, 0, 0)
        assert newest_answers(lab, 1)[0]["code"] == "insufficient_stock"
        assert orders.reserve_with_row_locks(conn, lab, "k2", order[:1], "somebody")
        # A known key does nothing again.
        assert not orders.reserve_with_row_locks(conn, lab, "k2", order[:1], "somebody")
    assert lab.rows().since(before) == Rows(2, 1, 1)
    assert lab.findings() == []


def test_requests_over_http_are_work_and_their_twin_is_none(
    lab: Lab, settings: Settings, postmaster: int
) -> None:
    direct = lab.neighbour()
    with over_http.serve(settings, lab) as api, direct.writer() as post:
        deduct = over_http.requests(lab, api, over_http.DEDUCT, lab.levels, postmaster, "deduct")
        bulk = over_http.requests(lab, api, over_http.BULK, lab.levels, postmaster, "bulk")
        twin = over_http.requests(lab, api, over_http.TWIN, lab.levels, postmaster, "constant")
        own = over_http.writers_own(direct, post, 8, direct.levels, postmaster)
        assert over_http.has_bulk()
        done = compare([deduct, bulk, twin, own], 1, SHORT)
    assert all(rounds[0].commands > 0 for rounds in done.values())
    assert done["deduct, 64"][0].api_us > 0
    assert lab.findings() == []


def test_a_history_is_one_that_the_audit_agrees_with(lab: Lab, postmaster: int) -> None:
    empty, before = lab.neighbour(), lab.rows()
    assert growth.fill(lab, 240) == 240
    assert lab.rows().since(before) == Rows(240, 240, 120)
    assert lab.findings() == []
    with lab.admin() as admin:
        missing = admin.execute("SELECT count(*) FROM postings WHERE first_position IS NULL")
        assert missing.fetchone() == (0,)
    with lab.writer() as full_post, empty.writer() as empty_post:
        pair = [
            replace(hot.batch_writer(one, post, 4, one.levels, postmaster), name=name)
            for one, post, name in ((empty, empty_post, "empty"), (lab, full_post, "full"))
        ]
        results = growth.pairs(pair[0], pair[1], 2, 0.1)
    assert [len(rounds) for rounds in results.values()] == [2, 2]
    assert lab.findings() == []


def test_a_contender_that_does_less_is_found_out(lab: Lab, postmaster: int) -> None:
    with lab.writer() as post:
        honest = hot.batch_writer(lab, post, 2, lab.levels, postmaster)
        lazy = replace(honest, measure=lambda _: round_of(1000.0))
        with pytest.raises(UnequalWork, match="wrote Rows"):
            proven(lazy, SHORT)
        with pytest.raises(UnequalWork):
            growth.pairs(replace(honest, name="empty"), replace(lazy, name="full"), 1, 0.05)
        with pytest.raises(UnequalWork):
            proven(replace(honest, work=nothing), SHORT)


def test_a_refusal_ends_a_round(lab: Lab, postmaster: int) -> None:
    with lab.writer() as post:
        one = (orders.OrderLine(lab.levels[0], STOCK * 2),)
        greedy = orders.batch_writer(lab, post, 2, [one], postmaster)
        with pytest.raises(RuntimeError, match="Refused"):
            greedy.measure(SHORT)


def round_of(commands_per_second: float, callers_cpu: float = 10.0) -> Round:
    return Round(int(commands_per_second), 1.0, 0.001, 0.002, callers_cpu, 5.0, 1)


def test_a_goal_is_judged_by_the_median_of_its_rounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = {
        "ours, 8": [round_of(3000), round_of(900), round_of(2000)],
        "theirs, 1": [round_of(1000), round_of(1000), round_of(1000)],
        "theirs, 2": [round_of(100), round_of(9000), round_of(100)],
    }
    assert best(results, "theirs") == "theirs, 1"
    by_rate = ratios(results, "ours, 8", "theirs, 1", rate)
    assert by_rate == [3.0, 0.9, 2.0]
    reached = Goal("load", "at least two", by_rate, at_least=2)
    missed = Goal("load", "at most one", by_rate, at_most=1)
    told = Goal("load", "beside it", by_rate)
    assert [goal.reached for goal in (reached, missed, told)] == [True, False, None]
    table("A load", results)
    summary([reached, missed, told])
    printed = capsys.readouterr().out
    assert "| ours, 8 | 2,000 | 900 to 3,000 |" in printed
    assert "| load | at least two | 2.00 x (0.90 to 3.00) | yes |" in printed
    assert "| load | at most one | 2.00 x (0.90 to 3.00) | no |" in printed
    draw([reached, missed, told], tmp_path / "ratios.svg")
    drawn = "".join(ET.parse(tmp_path / "ratios.svg").getroot().itertext())  # noqa: S314
    assert "load: at least two" in drawn
