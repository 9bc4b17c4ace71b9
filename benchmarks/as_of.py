"""``python -m benchmarks.as_of [--movements 1000000]``: stock as of a date and of a position.

Fills a tenant by SQL with movements over two years, one level of which has a tenth of them all, and
times pages of levels as of dates and positions as the app role: while the daily sums have seen
nothing, half, and all of the ledger. Every page is also computed from the whole ledger in the
plainest way, and must be the same.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.conninfo import make_conninfo
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

import stack
from benchmarks.lab import Lab, open_lab
from benchmarks.measure import median
from db import as_of, events, level_days
from db.engine import APP, FOLLOWER, MAINT, make_engine, role_url, transaction
from db.tables import InventoryLevel
from entrance import addresses
from settings import Settings

FIRST_DAY, DAYS = date(2024, 1, 1), 730
_PAGE = 200
_POSTED = 1000
_HOT_SHARE = 10
States = Mapping[UUID, as_of.LevelThen]

# Movement n of all goes to the hot level when n is a multiple of ten, else to the others in turn.
# Odd sequences bring five units at 1.25, even ones take two; a tenth is dated up to 30 days back.
_FILL = f"""
WITH shelf AS MATERIALIZED (
    SELECT id, warehouse_id, variant_id, available, sequence,
           row_number() OVER (ORDER BY id) - 1 AS n, count(*) OVER () AS levels
      FROM inventory_levels WHERE tenant_id = %(tenant)s
), drawn AS (
    SELECT n, CASE WHEN n %% {_HOT_SHARE} = 0 THEN 0 ELSE n %% s.levels END AS shelf
      FROM generate_series(1, %(movements)s) AS n, (SELECT max(levels) AS levels FROM shelf) s
), plan AS MATERIALIZED (
    SELECT d.n, s.id AS level_id, s.warehouse_id, s.variant_id, s.sequence + d.turn AS sequence,
           CASE WHEN d.turn %% 2 = 1 THEN 5 ELSE -2 END AS change,
           s.available + 3 * (d.turn / 2) + CASE WHEN d.turn %% 2 = 1 THEN 5 ELSE 0 END AS after,
           timestamptz '{FIRST_DAY} 12:00Z' + make_interval(days => greatest(0,
               (CAST(d.n AS bigint) * {DAYS - 1} / %(movements)s)::int
               - CASE WHEN d.n %% 10 = 3 THEN (d.n %% 30)::int ELSE 0 END)) AS occurred_at,
           (d.n - 1) / {_POSTED} + 1 AS posting, (d.n - 1) %% {_POSTED} + 1 AS ordinal
      FROM (SELECT *, row_number() OVER (PARTITION BY shelf ORDER BY n) AS turn FROM drawn) d
      JOIN shelf s ON s.n = d.shelf
), made AS (
    INSERT INTO postings (tenant_id, facts)
    SELECT %(tenant)s, count(*) FROM plan GROUP BY posting ORDER BY posting RETURNING id
), posted AS (
    SELECT id, row_number() OVER (ORDER BY id) AS posting FROM made
), moved AS (
    INSERT INTO stock_movements (
        tenant_id, posting_id, ordinal, operation_id, level_id, sequence, warehouse_id, variant_id,
        kind, available_before, available_change, available_after, reserved_before, reserved_change,
        reserved_after, damaged_before, damaged_change, damaged_after, quarantine_before,
        quarantine_change, quarantine_after, in_transit_before, in_transit_change,
        in_transit_after, unit_cost, value_change, value_after, reference_kind, reference_id,
        created_by, occurred_at, business_date)
    SELECT %(tenant)s, p.id, m.ordinal, uuidv7(), m.level_id, m.sequence, m.warehouse_id,
           m.variant_id, CASE WHEN m.change > 0 THEN 'purchase' ELSE 'sale' END,
           m.after - m.change, m.change, m.after, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           1.25, m.change * 1.25, m.after * 1.25,
           CASE WHEN m.change < 0 THEN 'order' END, CASE WHEN m.change < 0 THEN 'SO-' || m.n END,
           'bench', m.occurred_at, CAST(m.occurred_at AT TIME ZONE 'UTC' AS date)
      FROM plan m JOIN posted p ON p.posting = m.posting ORDER BY m.n
)
UPDATE inventory_levels l
   SET available = last.after, total_value = last.after * 1.25, average_cost = 1.25,
       sequence = last.sequence
  FROM (SELECT DISTINCT ON (level_id) * FROM plan ORDER BY level_id, sequence DESC) last
 WHERE l.tenant_id = %(tenant)s AND l.id = last.level_id
"""  # noqa: S608  # Constants of this file only.


def fill(conn: Connection[Any], tenant: UUID, movements: int) -> None:
    """Add movements to a tenant's levels as maint, with the postings that they belong to."""
    conn.execute(_FILL.encode(), {"tenant": tenant, "movements": movements})


# The plainest answers, straight from the ledger.
_PLAIN_DATE = text("""
SELECT level_id, count(*), sum(available_change)::bigint, sum(reserved_change)::bigint,
       sum(damaged_change)::bigint, sum(quarantine_change)::bigint, sum(in_transit_change)::bigint,
       sum(value_change), sum(in_transit_value_change)
  FROM stock_movements WHERE business_date <= :then AND level_id = ANY(:ids) GROUP BY level_id
""")
_PLAIN_POSITION = text("""
SELECT m.level_id, count(*), sum(available_change)::bigint, sum(reserved_change)::bigint,
       sum(damaged_change)::bigint, sum(quarantine_change)::bigint, sum(in_transit_change)::bigint,
       sum(value_change), sum(in_transit_value_change)
  FROM stock_movements m JOIN postings p ON p.id = m.posting_id
 WHERE p.first_position + m.ordinal - 1 <= :then AND m.level_id = ANY(:ids) GROUP BY m.level_id
""")


@dataclass(frozen=True, slots=True)
class Ground:
    """The filled database as its roles see it."""

    lab: Lab
    app: Engine
    follower: Engine
    positions: int

    def page(self, session: Session, number: int) -> list[InventoryLevel]:
        """A page of levels; the first has the hot one in it."""
        ordered = select(InventoryLevel).order_by(InventoryLevel.id)
        return list(session.scalars(ordered.offset(number * _PAGE).limit(_PAGE)))


def prepare(settings: Settings, levels: int, movements: int) -> Ground:
    """A fresh database with a filled ledger, numbered."""
    where = addresses(settings)
    lab = open_lab(where, levels)
    begun = time.perf_counter()
    with psycopg.connect(lab.conninfo(MAINT), autocommit=True) as maint:
        fill(maint, lab.tenant, movements)
    with psycopg.connect(
        make_conninfo(where.admin_url, dbname=lab.database), autocommit=True
    ) as admin:
        admin.execute("VACUUM ANALYZE")
    app, follower = (
        make_engine(role_url(where.admin_url, role, where.passwords[role], lab.database))
        for role in (APP, FOLLOWER)
    )
    before, head = -1, 0
    while head != before:
        with Session(follower) as session, session.begin():
            before, head = head, events.assign_positions(session)
    print(f"{movements:,} movements on {levels:,} levels; {time.perf_counter() - begun:.0f} s")
    return Ground(lab, app, follower, head)


def fold_until(ground: Ground, share: float) -> None:
    """Let the daily sums come to a share of the ledger, and tell how fast."""
    begun, first, reached = time.perf_counter(), -1, 0
    while reached < ground.positions * share:
        with Session(ground.follower) as session, session.begin():
            first = events.cursor(session, level_days.NAME) if first < 0 else first
            folded = level_days.fold(session)
        reached = folded if folded is not None else ground.positions
    took = time.perf_counter() - begun
    if share:
        print(f"\nFolded {reached - first:,} facts in {took:.1f} s")


def timed(ground: Ground, draws: int, check: bool) -> None:
    """Print how long pages of dates and positions take, and compare with the plain sums."""
    dice = random.Random(7)
    pages = len(ground.lab.levels) // _PAGE
    days = [FIRST_DAY + timedelta(days=dice.randrange(DAYS)) for _ in range(draws)]
    places = [dice.randrange(1, ground.positions) for _ in range(draws)]
    asked: list[tuple[str, list[Callable[[Session, list[InventoryLevel]], States]]]] = [
        ("date", [lambda s, rows, d=d: as_of.on_date(s, rows, d) for d in days]),  # type: ignore[misc]
        ("position", [lambda s, rows, p=p: as_of.at_position(s, rows, p) for p in places]),  # type: ignore[misc]
    ]
    thens: dict[str, Sequence[date | int]] = {"date": days, "position": places}
    for name, questions in asked:
        for which in ("first page, with the hot level", "any other page"):
            took = []
            for question, then in zip(questions, thens[name], strict=True):
                number = 0 if which.startswith("first") else dice.randrange(1, max(pages, 2))
                with transaction(ground.app, ground.lab.tenant) as session:
                    rows = ground.page(session, number)
                    begun = time.perf_counter()
                    states = question(session, rows)
                    took.append(time.perf_counter() - begun)
                    if check:
                        plain = _PLAIN_DATE if name == "date" else _PLAIN_POSITION
                        compare(session, states, plain, then)
            print(f"| {name} | {which} | {median(took) * 1e3:.1f} | {max(took) * 1e3:.1f} |")


def compare(session: Session, states: States, plain: object, then: date | int) -> None:
    """Stop when a page is not what the whole ledger says."""
    expected = {
        row[0]: as_of.LevelThen(*row[1:])
        for row in session.execute(plain, {"then": then, "ids": list(states)})  # type: ignore[call-overload]
    }
    wrong = [id_ for id_, state in states.items() if state != expected.get(id_, as_of.LevelThen())]
    if wrong:
        sys.exit(f"As of {then}, {len(wrong)} levels are not the sum of the ledger.")


def main() -> None:
    """Start a PostgreSQL of its own, fill, measure, stop it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.as_of", description=__doc__)
    parser.add_argument("--movements", type=int, default=1_000_000)
    parser.add_argument("--levels", type=int, default=10_000)
    parser.add_argument("--draws", type=int, default=20, help="dates and positions drawn")
    parser.add_argument("--no-check", action="store_true", help="leave the plain sums out")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="stockwright-bench-"))
    folder.chmod(0o755)
    settings = Settings.model_validate({"data_dir": folder, "postgres_port": 5644})
    stack.start(settings, ["postgres"], options=stack.StackOptions(tie_to_parent=True))
    try:
        print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores")
        ground = prepare(settings, options.levels, options.movements)
        for share, title in ((0.0, "nothing"), (0.5, "half"), (1.0, "all")):
            fold_until(ground, share)
            print(f"\n### The daily sums have seen {title}\n")
            print("| as of | page of 200 levels | median ms | max ms |\n| --- | --- | --- | --- |")
            timed(ground, options.draws, not options.no_check)
        ground.app.dispose()
        ground.follower.dispose()
    finally:
        stack.destroy(folder)


if __name__ == "__main__":
    main()
