"""The comparisons that are made: who takes part in each, and what has to be reached."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from benchmarks import growth, hot, orders, over_http
from benchmarks.contenders import Contender, Results, compare
from benchmarks.copying import copying
from benchmarks.lab import Lab, lab_for
from benchmarks.report import Goal, best, cpu, p50, p99, rate, ratios, table
from entrance import Addresses
from settings import Settings

#: Fewer pairs than this tell nothing about a quarter more or less.
_PAIRS_MIN = 5


@dataclass
class Bench:
    """What is measured on, how long, and what came of it. ``seconds`` are of one round."""

    settings: Settings
    where: Addresses
    postmaster: int
    rounds: int
    seconds: float
    variants: int
    movements: int
    rows: list[dict[str, object]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)

    def measure(self, title: str, contenders: list[Contender]) -> Results:
        """Rounds of all, and their table."""
        results = compare(contenders, self.rounds, self.seconds)
        self.rows += table(title, results)
        return results

    def check_books(self, lab: Lab) -> None:
        """Raise RuntimeError unless the audit finds nothing wrong with all that was written."""
        findings = lab.findings()
        if findings:
            raise RuntimeError(f"The audit found {len(findings)} differences: {findings[0]}")
        print("\nThe audit of all of it found 0 differences.", flush=True)


def hot_level(bench: Bench) -> None:
    """One hot level: everybody wants the same article."""
    pid = bench.postmaster
    with lab_for(bench.where, bench.variants) as lab, lab.writer() as post:
        theirs = lab.neighbour()
        results = bench.measure(
            "One hot level",
            [
                *(hot.baseline(theirs, "naive", n, theirs.levels[:1], pid) for n in (1, 8)),
                *(
                    hot.baseline(theirs, "single", n, theirs.levels[:1], pid)
                    for n in (1, 2, 4, 8, 32)
                ),
                *(hot.batch_writer(lab, post, n, lab.levels[:1], pid) for n in (1, 32, 256)),
            ],
        )
        bench.check_books(lab)
    ours, load = "batch writer, 256", "one hot variant, 256 callers"
    single = best(results, "single")
    bench.goals += [
        Goal(
            load,
            "≥ 15 x the single statement at 32 callers",
            ratios(results, ours, "single, 32", rate),
            at_least=15,
        ),
        Goal(
            load,
            f"beside it: the single statement at its best ({single})",
            ratios(results, ours, single, rate),
        ),
        Goal(
            load,
            "≥ 45 x naive at 8 callers",
            ratios(results, ours, "naive, 8", rate),
            at_least=45,
        ),
        Goal(
            load,
            "p99 ≤ 0.2 x the single statement at 32 callers",
            ratios(results, ours, "single, 32", p99),
            at_most=0.2,
        ),
        Goal(
            "alone, one caller",
            "p50 ≤ 2 x the single statement",
            ratios(results, "batch writer, 1", "single, 1", p50),
            at_most=2,
        ),
    ]


def many_levels(bench: Bench) -> None:
    """Uniform over all levels, with COPY as the limit."""
    pid = bench.postmaster
    with lab_for(bench.where, bench.variants) as lab, lab.writer() as post:
        theirs, copied = lab.neighbour(), lab.neighbour()
        load = f"{bench.variants:,} variants"
        results = bench.measure(
            load,
            [
                hot.baseline(theirs, "naive", 8, theirs.levels, pid),
                *(hot.baseline(theirs, "single", n, theirs.levels, pid) for n in (2, 4, 8, 32)),
                *(hot.batch_writer(lab, post, n, lab.levels, pid) for n in (32, 256)),
                *(copying(copied, n, pid) for n in (256, 500)),
            ],
        )
        bench.check_books(lab)
    ours, single = "batch writer, 256", best(results, "single")
    copy = best(results, "COPY in batches")
    bench.goals += [
        Goal(
            load,
            "≥ 3 x the single statement at 32 callers",
            ratios(results, ours, "single, 32", rate),
            at_least=3,
        ),
        Goal(
            load,
            f"beside it: the single statement at its best ({single})",
            ratios(results, ours, single, rate),
        ),
        Goal(load, f"≥ 0.45 x {copy}", ratios(results, ours, copy, rate), at_least=0.45),
        Goal(load, f"beside it: CPU per command by {copy}", ratios(results, ours, copy, cpu)),
    ]


def order_reservations(bench: Bench) -> None:
    """Orders of several lines, all or nothing."""
    pid = bench.postmaster
    with lab_for(bench.where, orders.VARIANTS) as lab, lab.writer() as post:
        theirs = lab.neighbour()
        ours_drawn, drawn = orders.draw_orders(lab.levels), orders.draw_orders(theirs.levels)
        results = bench.measure(
            f"Orders of 1 to {orders.LINES_MAX} lines, Zipf over {orders.VARIANTS:,} variants",
            [
                *(orders.row_locks(theirs, n, drawn, pid) for n in (1, 2, 4, 8, 16, 32)),
                *(orders.batch_writer(lab, post, n, ours_drawn, pid) for n in (1, 32, 256)),
            ],
        )
        bench.check_books(lab)
    locks = best(results, "row locks")
    bench.goals.append(
        Goal(
            "orders of 1-10 lines, Zipf, all or nothing",
            f"≥ 10 x a row-locking transaction an order at its best ({locks})",
            ratios(results, "batch writer, 256", locks, rate),
            at_least=10,
        )
    )


def through_http(bench: Bench) -> None:
    """The same command through HTTP, beside a route that does nothing; bulks beside the writer."""
    pid, bulk = bench.postmaster, over_http.has_bulk()
    with ExitStack() as stack:
        lab = stack.enter_context(lab_for(bench.where, bench.variants))
        direct = lab.neighbour()
        post = stack.enter_context(direct.writer())
        api = stack.enter_context(over_http.serve(bench.settings, lab))
        one, all_ = lab.levels[:1], lab.levels
        contenders = [
            over_http.requests(lab, api, over_http.DEDUCT, one, pid, "deduct, hot level"),
            over_http.requests(lab, api, over_http.DEDUCT, all_, pid, "deduct, all levels"),
            over_http.requests(lab, api, over_http.TWIN, all_, pid, "constant"),
            over_http.writers_own(direct, post, 256, direct.levels, pid),
        ]
        if bulk:
            contenders.append(
                over_http.requests(lab, api, over_http.BULK, all_, pid, "bulk of 100, all levels")
            )
        else:
            print(f"\nThe application has no {over_http.BULK}: bulks are left out.")
        results = bench.measure("Through HTTP", contenders)
        bench.check_books(lab)
    constant = f"constant, {over_http.CONNECTIONS}"
    for level in ("hot level", "all levels"):
        title = f"deduct, {level}, {over_http.CONNECTIONS}"
        bench.goals.append(
            Goal(
                f"through HTTP, {level}",
                "≥ 0.8 x the same route with a constant answer",
                ratios(results, title, constant, rate),
                at_least=0.8,
            )
        )
    if bulk:
        title = f"bulk of 100, all levels, {over_http.BULK_CONNECTIONS}"
        bench.goals.append(
            Goal(
                "through HTTP, bulk of 100",
                "≥ 0.6 x the writer's own rate",
                ratios(results, title, "batch writer, no HTTP, 256", rate),
                at_least=0.6,
            )
        )


def full_tables(bench: Bench) -> None:
    """The writer on a database with a history, beside one without."""
    pid, rounds = bench.postmaster, max(_PAIRS_MIN, bench.rounds)
    with ExitStack() as stack:
        full = stack.enter_context(lab_for(bench.where, bench.variants))
        movements = growth.fill(full, bench.movements)
        empty = stack.enter_context(lab_for(bench.where, bench.variants))
        posts = [stack.enter_context(lab.writer()) for lab in (empty, full)]
        for level in ("hot level", "all levels"):
            pair = [
                replace(
                    hot.batch_writer(
                        lab, post, 256, lab.levels[:1] if level == "hot level" else lab.levels, pid
                    ),
                    name=name,
                )
                for lab, post, name in zip((empty, full), posts, ("empty", "full"), strict=True)
            ]
            results = growth.pairs(pair[0], pair[1], rounds, bench.seconds)
            bench.rows += table(f"{movements:,} movements, {level}", results)
            bench.goals.append(
                Goal(
                    f"{movements:,} movements, {level}",
                    "CPU per command ≤ 1.25 x of empty",
                    ratios(results, "full, 256", "empty, 256", cpu),
                    at_most=1.25,
                )
            )
        print("\nAuditing the history takes a minute", file=sys.stderr, flush=True)
        bench.check_books(empty)
        bench.check_books(full)


GROUPS: dict[str, Callable[[Bench], None]] = {
    "hot": hot_level,
    "many": many_levels,
    "orders": order_reservations,
    "http": through_http,
    "growth": full_tables,
}
